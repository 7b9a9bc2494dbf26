package registry

import (
	"context"
	"fmt"
	"strings"

	"github.com/hamba/avro/v2"
)

const (
	avroType = "AVRO"
	// maxSchema keeps a record below Kafka's default max.message.bytes, in bytes of canonical text.
	maxSchema = 900 << 10
	maxInt    = 1<<31 - 1
)

// request is the body of a registration, a look-up and a compatibility check.
type request struct {
	Schema     string      `json:"schema"`
	SchemaType string      `json:"schemaType"`
	References []Reference `json:"references"`
	ID         int         `json:"id"`      // import mode only
	Version    int         `json:"version"` // import mode only
	Metadata   any         `json:"metadata"`
	RuleSet    any         `json:"ruleSet"`
}

// parse checks the schema of a request against what is registered. A
// reference's version −1 is the subject's latest. The caller holds s.mu to read.
func (s *state) parse(r *request, normalize bool) (*parsed, error) {
	if r.SchemaType != "" && r.SchemaType != avroType {
		return nil, refuse(codeInvalidSchema, "Invalid schema type %s; this registry knows AVRO only", r.SchemaType)
	}
	if r.Metadata != nil || r.RuleSet != nil {
		return nil, refuse(codeInvalidSchema, "This registry keeps no metadata and no rule sets")
	}
	refs := make([]Reference, 0, len(r.References))
	for _, ref := range r.References {
		if ref.Version == -1 {
			if all := s.versions(ref.Subject, false); len(all) > 0 {
				ref.Version = all[len(all)-1].number
			}
		}
		refs = append(refs, ref)
	}
	p, err := parse(r.Schema, refs, normalize, s.resolve)
	if err != nil {
		return nil, refuse(codeInvalidSchema, "Invalid schema %s, details: %v", abbreviate(r.Schema), err)
	}
	if len(p.text) > maxSchema {
		return nil, refuse(codeInvalidSchema, "The schema has %d bytes, at most %d can be kept", len(p.text), maxSchema)
	}
	return p, nil
}

func abbreviate(text string) string {
	if len(text) > 500 {
		return text[:500] + "…"
	}
	return text
}

// find is the latest version of a subject with this content, or nil.
func (s *state) find(subject string, p *parsed, deleted bool) *version {
	key := "\x00" + contentKey(p.text, p.refs)
	var found *version
	for _, v := range s.versions(subject, deleted) {
		if s.byID[v.id].key() == key {
			found = v
		}
	}
	return found
}

// history are the versions to hold a new schema against, ascending.
func (s *state) history(subject string) ([]earlier, error) {
	var list []earlier
	for _, v := range s.versions(subject, false) {
		a, err := s.avroOf(v)
		if err != nil {
			return nil, refuse(codeInvalidSchema, "Version %d of subject '%s' can't be read: %v", v.number, v.subject, err)
		}
		list = append(list, earlier{v.number, a})
	}
	return list, nil
}

func (s *state) avroOf(v *version) (avro.Schema, error) {
	c := s.byID[v.id]
	if c.schemaType != "" {
		return nil, fmt.Errorf("it is of type %s", c.schemaType)
	}
	p, err := parse(c.text, c.refs, false, s.resolve)
	if err != nil {
		return nil, err
	}
	return p.avro, nil
}

// register returns the id of a schema under a subject, and writes it if it is new there.
func (s *Server) register(ctx context.Context, subject string, r *request, normalize bool) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	value, known, err := s.decide(subject, r, normalize)
	if err != nil || known {
		return value.ID, err
	}
	if err := s.store(ctx, schemaRecord(value)); err != nil {
		return 0, err
	}
	return value.ID, nil
}

// decide says what to write for a registration; known means that it stands already.
func (s *Server) decide(subject string, r *request, normalize bool) (value schemaValue, known bool, err error) {
	s.mu.Lock() // for maxID
	defer s.mu.Unlock()
	st := s.state
	p, err := st.parse(r, normalize)
	if err != nil {
		return value, false, err
	}
	importing := st.mode(subject) == modeImport
	if v := st.find(subject, p, false); v != nil && (!importing || r.ID == v.id) {
		return schemaValue{ID: v.id}, true, nil
	}
	if err := st.checkWritable(subject); err != nil {
		return value, false, err
	}
	for _, ref := range p.refs {
		if v := st.subjects[ref.Subject][ref.Version]; v == nil || v.deleted {
			return value, false, refuse(codeInvalidSchema, "No schema reference found for subject \"%s\" and version %d", ref.Subject, ref.Version)
		}
	}
	value = schemaValue{Subject: subject, References: p.refs, Schema: p.text, Version: 1}
	if all := st.versions(subject, true); len(all) > 0 {
		value.Version = all[len(all)-1].number + 1
	}
	if importing {
		return value, false, st.imported(&value, r)
	}
	if r.ID > 0 {
		return value, false, refuse(codeNotPermitted, "Subject %s is not in import mode", subject)
	}
	before, err := st.history(subject)
	if err != nil && st.level(subject) != levelNone {
		return value, false, err
	}
	if why := conflicts(p.avro, before, st.level(subject)); len(why) > 0 {
		return value, false, refuse(codeIncompatible, "Schema being registered is incompatible with an earlier schema for subject \"%s\", details: [%s; compatibility: %s]",
			subject, strings.Join(why, "; "), st.level(subject))
	}
	if id, ok := st.ids["\x00"+contentKey(p.text, p.refs)]; ok {
		value.ID = id
		return value, false, nil
	}
	if s.maxID >= maxInt {
		return value, false, refuse(codeStore, "All ids are used up")
	}
	// Counted before it is written: a write that seems to fail may yet stand in the topic.
	s.maxID++
	value.ID = s.maxID
	return value, false, nil
}

// imported takes id and version from the request, as import mode has it.
func (s *state) imported(value *schemaValue, r *request) error {
	if r.ID < 1 || r.ID > maxInt {
		return refuse(codeNotPermitted, "Subject %s is in import mode; a schema needs its id", value.Subject)
	}
	value.ID = r.ID
	if r.Version > 0 {
		value.Version = r.Version
	}
	if c := s.byID[r.ID]; c != nil && c.key() != "\x00"+contentKey(value.Schema, value.References) {
		return refuse(codeNotPermitted, "Overwrite new schema with id %d is not permitted.", r.ID)
	}
	if v := s.subjects[value.Subject][value.Version]; v != nil && v.id != r.ID {
		return refuse(codeNotPermitted, "Subject %s version %d exists with id %d", value.Subject, value.Version, v.id)
	}
	return nil
}

func (s *state) checkWritable(subject string) error {
	if s.mode(subject) == modeReadOnly {
		return refuse(codeNotPermitted, "Subject %s is in read-only mode", subject)
	}
	return nil
}
