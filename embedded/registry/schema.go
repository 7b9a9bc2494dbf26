package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hamba/avro/v2"
)

// Reference says that a schema uses the names which another registered schema declares.
type Reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// parsed is a schema that is known to be sound.
type parsed struct {
	text string // canonical
	refs []Reference
	avro avro.Schema
}

// contentKey tells schemas apart: what has the same key has the same id.
func contentKey(text string, refs []Reference) string {
	if len(refs) == 0 {
		return text
	}
	return text + "\x00" + string(marshal(refs))
}

// resolver gives the text and the references of a registered version.
type resolver func(subject string, version int) (text string, refs []Reference, err error)

// parse checks a schema and everything that it refers to. A text in canonical
// form keeps it. Errors say what is wrong with the schema.
//
// The parser keeps what it has seen in a cache, by default one for the whole
// process, so that a name could come from a schema of somebody else. Every
// call therefore has its own.
func parse(text string, refs []Reference, normalize bool, resolve resolver) (p *parsed, err error) {
	// The parser is fed by whoever calls the registry: a fault in it must not take the process along.
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("the Avro parser failed: %v", r)
		}
	}()
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("empty schema")
	}
	tree, err := decodeOrdered(text)
	if err != nil {
		return nil, err
	}
	cache := &avro.SchemaCache{}
	if err := load(cache, refs, resolve, map[Reference]bool{}); err != nil {
		return nil, err
	}
	if err := checkShape(tree); err != nil {
		return nil, err
	}
	given, err := avro.ParseWithCache(text, "", cache)
	if err != nil {
		return nil, err
	}
	canon := canonical(tree, normalize)
	schema, err := avro.ParseWithCache(canon, "", cache)
	if err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	if given.Fingerprint() != schema.Fingerprint() {
		return nil, fmt.Errorf("canonical form %s means something else", canon)
	}
	return &parsed{text: canon, refs: refs, avro: schema}, nil
}

// load parses the referenced schemas into cache, the deepest first.
func load(cache *avro.SchemaCache, refs []Reference, resolve resolver, seen map[Reference]bool) error {
	for _, r := range refs {
		at := Reference{Subject: r.Subject, Version: r.Version}
		if seen[at] {
			continue
		}
		seen[at] = true
		text, deeper, err := resolve(r.Subject, r.Version)
		if err != nil {
			return err
		}
		if err := load(cache, deeper, resolve, seen); err != nil {
			return err
		}
		if _, err := avro.ParseWithCache(text, "", cache); err != nil {
			return fmt.Errorf("referenced schema %s version %d: %w", r.Subject, r.Version, err)
		}
	}
	return nil
}

// checkShape refuses what the parser lets pass although the specification and
// the Java implementation do not: an object whose type is a union, and an
// attribute in the wrong case, which the parser takes for the right one.
func checkShape(v any) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := checkShape(e); err != nil {
				return err
			}
		}
	case object:
		if err := checkCase(v, caseAttributes); err != nil {
			return err
		}
		typ, _ := v.get("type")
		if _, union := typ.([]any); union {
			return errors.New(`an object's "type" is a union; write the union itself`)
		}
		for _, key := range []string{"items", "values"} {
			if e, ok := v.get(key); ok {
				if err := checkShape(e); err != nil {
					return err
				}
			}
		}
		fields, _ := v.get("fields")
		list, _ := fields.([]any)
		for _, f := range list {
			field, _ := f.(object)
			if err := checkCase(field, fieldAttributes); err != nil {
				return err
			}
			if t, ok := field.get("type"); ok {
				if err := checkShape(t); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

var caseAttributes = append(slices.Clone(schemaAttributes), "default", "precision", "scale")

func checkCase(o object, attributes []string) error {
	for _, m := range o {
		for _, a := range attributes {
			if m.key != a && strings.EqualFold(m.key, a) {
				return fmt.Errorf("attribute %q: write %q, or give the property another name", m.key, a)
			}
		}
	}
	return nil
}
