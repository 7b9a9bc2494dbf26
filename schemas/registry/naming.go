package registry

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Naming says under which subject a schema is registered or looked up. Reading
// goes by id and does not hang on it.
type Naming string

// Confluent's three strategies.
const (
	TopicName       Naming = "topic"        // <topic>-value; also what the zero Naming means
	RecordName      Naming = "record"       // the record's full name
	TopicRecordName Naming = "topic-record" // <topic>-<full name>
)

// subject turns the subject of TopicName, see schemas.Subject, into that of n.
func (n Naming) subject(subject, schema string) (string, error) {
	if n == "" || n == TopicName {
		return subject, nil
	}
	var record struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
	if err := json.Unmarshal([]byte(schema), &record); err != nil || record.Name == "" {
		return "", &Error{Op: "naming of " + subject, Kind: ErrInvalid, Detail: fmt.Sprintf("the strategy %s needs a record with a name", n)}
	}
	name := record.Name
	if record.Namespace != "" && !strings.Contains(name, ".") {
		name = record.Namespace + "." + name
	}
	switch n {
	case RecordName:
		return name, nil
	case TopicRecordName:
		return strings.TrimSuffix(subject, "-value") + "-" + name, nil
	}
	return "", &Error{Op: "naming of " + subject, Kind: ErrInvalid, Detail: fmt.Sprintf("there is no strategy %q", string(n))}
}
