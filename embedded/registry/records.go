package registry

import (
	"encoding/json"
	"fmt"
)

// Types of keys in the schemas topic; see doc.go for the layout.
const (
	keySchema        = "SCHEMA"
	keyDeleteSubject = "DELETE_SUBJECT"
	keyConfig        = "CONFIG"
	keyMode          = "MODE"
	keyNoop          = "NOOP"
)

// Each type of key has its own struct, because the order of the fields is part
// of the key: compaction compares bytes.
type schemaKey struct {
	Type    string `json:"keytype"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
	Magic   int    `json:"magic"`
}

type subjectKey struct {
	Type    string  `json:"keytype"`
	Subject *string `json:"subject"` // null: global
	Magic   int     `json:"magic"`
}

type noopKey struct {
	Type  string `json:"keytype"`
	Magic int    `json:"magic"`
}

type schemaValue struct {
	Subject    string      `json:"subject"`
	Version    int         `json:"version"`
	ID         int         `json:"id"`
	Type       string      `json:"schemaType,omitempty"` // absent: AVRO
	References []Reference `json:"references,omitempty"`
	Schema     string      `json:"schema"`
	Deleted    bool        `json:"deleted"`
}

type deleteSubjectValue struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

type configValue struct {
	Level string `json:"compatibilityLevel"`
}

type modeValue struct {
	Mode string `json:"mode"`
}

type noopValue struct {
	MaxID int `json:"maxId"`
}

// record is one record to write. A nil value is a tombstone.
type record struct{ key, value []byte }

func schemaRecord(v schemaValue) record {
	return record{marshal(schemaKey{keySchema, v.Subject, v.Version, 1}), marshal(v)}
}

func tombstone(subject string, version int) record {
	return record{key: marshal(schemaKey{keySchema, subject, version, 1})}
}

func deleteSubjectRecord(subject string, version int) record {
	return record{marshal(subjectKey{keyDeleteSubject, &subject, 0}), marshal(deleteSubjectValue{subject, version})}
}

// settingRecord is a CONFIG or MODE record; an empty subject is global, a nil value removes.
func settingRecord(keyType, subject string, value any) record {
	k := subjectKey{Type: keyType}
	if subject != "" {
		k.Subject = &subject
	}
	r := record{key: marshal(k)}
	if value != nil {
		r.value = marshal(value)
	}
	return r
}

func maxIDRecord(id int) record {
	return record{marshal(noopKey{keyNoop, 0}), marshal(noopValue{id})}
}

// apply takes one record of the topic, in the topic's order.
func (s *state) apply(key, value []byte) error {
	var k struct {
		Type    string  `json:"keytype"`
		Subject *string `json:"subject"`
		Version int     `json:"version"`
	}
	if err := json.Unmarshal(key, &k); err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	subject := ""
	if k.Subject != nil {
		subject = *k.Subject
	}
	read := func(v any) error {
		if err := json.Unmarshal(value, v); err != nil {
			return fmt.Errorf("value of key %s: %w", key, err)
		}
		return nil
	}
	switch k.Type {
	case keySchema:
		if value == nil {
			s.remove(subject, k.Version)
			return nil
		}
		var v schemaValue
		if err := read(&v); err != nil {
			return err
		}
		if v.Subject != subject || v.Version != k.Version || v.Version < 1 || v.ID < 1 {
			return fmt.Errorf("key %s has the value of subject %q version %d id %d", key, v.Subject, v.Version, v.ID)
		}
		return s.put(v)
	case keyDeleteSubject:
		if value == nil {
			return nil
		}
		var v deleteSubjectValue
		if err := read(&v); err != nil {
			return err
		}
		s.softDelete(subject, v.Version)
	case keyConfig:
		if value == nil {
			delete(s.levels, subject)
			return nil
		}
		var v configValue
		if err := read(&v); err != nil {
			return err
		}
		s.levels[subject] = v.Level
	case keyMode:
		if value == nil {
			delete(s.modes, subject)
			return nil
		}
		var v modeValue
		if err := read(&v); err != nil {
			return err
		}
		s.modes[subject] = v.Mode
	case keyNoop:
		if value == nil {
			return nil
		}
		var v noopValue
		if err := read(&v); err != nil {
			return err
		}
		s.maxID = max(s.maxID, v.MaxID)
	}
	return nil
}
