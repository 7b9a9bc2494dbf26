package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// In JSON every record is one object with the schema's fields in the schema's
// order: instants are epoch milliseconds, bytes are base64, a map is an object
// sorted by key, an empty array is [] and never null. Each plain form below has
// the fields of its record and none of its methods; embedding keeps Head flat.

type (
	plainTierChange        TierChange
	plainChurnWarning      ChurnWarning
	plainRecallTrigger     RecallTrigger
	plainLifecycleChange   LifecycleChange
	plainSuppressedTrigger SuppressedTrigger
	plainDeadLetter        DeadLetter
	plainJournal           Journal
	plainJournalItem       JournalItem
	plainEngagementTrigger EngagementTrigger
	plainLifecycleMetric   LifecycleMetric
)

// The outer field hides the embedded one of the same JSON name. It comes last,
// which is where attributes stands in the schema.
type jsonEngagementTrigger struct {
	plainEngagementTrigger
	Attributes attributeMap `json:"attributes"`
}

// dimensions stands in the middle of the schema, so the fields are listed again.
type jsonLifecycleMetric struct {
	MetricID        string       `json:"metric_id"`
	Metric          string       `json:"metric"`
	PlaybookVersion string       `json:"playbook_version"`
	Revision        int64        `json:"revision"`
	Cycle           string       `json:"cycle"`
	PeriodStart     EventTime    `json:"period_start"`
	PeriodEnd       EventTime    `json:"period_end"`
	Dimensions      attributeMap `json:"dimensions"`
	Value           *string      `json:"value"`
	Numerator       *int64       `json:"numerator"`
	Denominator     *int64       `json:"denominator"`
	Currency        string       `json:"currency"`
	Target          *string      `json:"target"`
	Owner           string       `json:"owner"`
}

// attributeMap is a map<string> as a JSON object.
type attributeMap []Attribute

// MarshalJSON writes an object sorted by key; the last of a repeated key holds.
func (m attributeMap) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, a := range sortedAttributes(m) {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, s := range [...]string{a.Key, a.Value} {
			if j == 1 {
				b.WriteByte(':')
			}
			text, err := encodeJSON(s)
			if err != nil {
				return nil, err
			}
			b.Write(text)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object of strings, sorted by key.
func (m *attributeMap) UnmarshalJSON(text []byte) error {
	var entries map[string]string
	if err := json.Unmarshal(text, &entries); err != nil {
		return err
	}
	*m = nil
	for k, v := range entries {
		*m = append(*m, Attribute{Key: k, Value: v})
	}
	slices.SortFunc(*m, func(a, b Attribute) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

// filled returns list, or an empty one for nil, so that JSON has [] and not null.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// encodeJSON leaves < > & as they are, as in "comparison":"<=". An encoder that
// is asked to escape them does so to the result of MarshalJSON too.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// AppendJSON appends r as one JSON object on one line, without a newline and
// with < > & unescaped. It fails for a NaN or infinite number and for a type
// that is not one of this package's records.
func AppendJSON(dst []byte, r Record) ([]byte, error) {
	var form any
	switch v := r.(type) {
	case *TierChange:
		form = v.jsonForm()
	case *ChurnWarning:
		form = v.jsonForm()
	case *RecallTrigger:
		form = v.jsonForm()
	case *LifecycleChange:
		form = v.jsonForm()
	case *EngagementTrigger:
		form = v.jsonForm()
	case *SuppressedTrigger:
		form = v.jsonForm()
	case *LifecycleMetric:
		form = v.jsonForm()
	case *DeadLetter:
		form = v.jsonForm()
	case *Journal:
		form = v.jsonForm()
	case *Control, *Transfer:
		form = v
	default:
		return dst, fmt.Errorf("no JSON form for %T", r)
	}
	text, err := encodeJSON(form)
	if err != nil {
		return dst, fmt.Errorf("%s as JSON: %w", NameOf(r), err)
	}
	return append(dst, text...), nil
}

func (t TierChange) jsonForm() any {
	t.Evidence, t.Benefits = filled(t.Evidence), filled(t.Benefits)
	return (*plainTierChange)(&t)
}

func (t ChurnWarning) jsonForm() any {
	t.Evidence = filled(t.Evidence)
	return (*plainChurnWarning)(&t)
}

func (t RecallTrigger) jsonForm() any {
	t.Evidence = filled(t.Evidence)
	return (*plainRecallTrigger)(&t)
}

func (t LifecycleChange) jsonForm() any {
	t.Evidence = filled(t.Evidence)
	return (*plainLifecycleChange)(&t)
}

func (t EngagementTrigger) jsonForm() any {
	t.Evidence = filled(t.Evidence)
	return &jsonEngagementTrigger{plainEngagementTrigger: plainEngagementTrigger(t), Attributes: t.Attributes}
}

func (t SuppressedTrigger) jsonForm() any {
	t.Evidence = filled(t.Evidence)
	return (*plainSuppressedTrigger)(&t)
}

func (m LifecycleMetric) jsonForm() any {
	return &jsonLifecycleMetric{
		MetricID: m.MetricID, Metric: m.Metric, PlaybookVersion: m.PlaybookVersion, Revision: m.Revision,
		Cycle: m.Cycle, PeriodStart: m.PeriodStart, PeriodEnd: m.PeriodEnd, Dimensions: m.Dimensions,
		Value: m.Value, Numerator: m.Numerator, Denominator: m.Denominator, Currency: m.Currency,
		Target: m.Target, Owner: m.Owner,
	}
}

func (d DeadLetter) jsonForm() any {
	d.Headers = filled(d.Headers)
	return (*plainDeadLetter)(&d)
}

func (j Journal) jsonForm() any {
	j.Starts, j.Items, j.Dead = filled(j.Starts), filled(j.Items), filled(j.Dead)
	return (*plainJournal)(&j)
}

// MarshalJSON implements json.Marshaler.
func (t TierChange) MarshalJSON() ([]byte, error) { return encodeJSON(t.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (t ChurnWarning) MarshalJSON() ([]byte, error) { return encodeJSON(t.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (t RecallTrigger) MarshalJSON() ([]byte, error) { return encodeJSON(t.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (t LifecycleChange) MarshalJSON() ([]byte, error) { return encodeJSON(t.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (t EngagementTrigger) MarshalJSON() ([]byte, error) { return encodeJSON(t.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (t SuppressedTrigger) MarshalJSON() ([]byte, error) { return encodeJSON(t.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (m LifecycleMetric) MarshalJSON() ([]byte, error) { return encodeJSON(m.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (d DeadLetter) MarshalJSON() ([]byte, error) { return encodeJSON(d.jsonForm()) }

// MarshalJSON implements json.Marshaler.
func (j Journal) MarshalJSON() ([]byte, error) { return encodeJSON(j.jsonForm()) }

// MarshalJSON implements json.Marshaler: place is never null.
func (i JournalItem) MarshalJSON() ([]byte, error) {
	i.Place = filled(i.Place)
	return encodeJSON((*plainJournalItem)(&i))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *EngagementTrigger) UnmarshalJSON(text []byte) error {
	var form jsonEngagementTrigger
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	*t = EngagementTrigger(form.plainEngagementTrigger)
	t.Attributes = form.Attributes
	return nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *LifecycleMetric) UnmarshalJSON(text []byte) error {
	var f jsonLifecycleMetric
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	*m = LifecycleMetric{
		MetricID: f.MetricID, Metric: f.Metric, PlaybookVersion: f.PlaybookVersion, Revision: f.Revision,
		Cycle: f.Cycle, PeriodStart: f.PeriodStart, PeriodEnd: f.PeriodEnd, Dimensions: f.Dimensions,
		Value: f.Value, Numerator: f.Numerator, Denominator: f.Denominator, Currency: f.Currency,
		Target: f.Target, Owner: f.Owner,
	}
	return nil
}
