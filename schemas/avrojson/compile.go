package avrojson

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hamba/avro/v2"
)

// ErrSchema: the text is not an Avro schema.
var ErrSchema = errors.New("avrojson: not a valid Avro schema")

// Schema shows the bodies of one writer's schema.
type Schema struct {
	name string
	root *node
}

// Name is the full name of the schema's record, "" for a schema without a name.
func (s *Schema) Name() string { return s.name }

type kind uint8

const (
	kNull kind = iota
	kBool
	kInt
	kLong
	kFloat
	kDouble
	kBytes
	kString
	kFixed
	kEnum
	kArray
	kMap
	kUnion
	kRecord
)

var primitives = map[avro.Type]kind{avro.Boolean: kBool, avro.Int: kInt, avro.Long: kLong,
	avro.Float: kFloat, avro.Double: kDouble, avro.Bytes: kBytes, avro.String: kString, avro.Null: kNull}

type node struct {
	kind    kind
	size    int      // kFixed
	symbols [][]byte // kEnum: quoted
	items   []*node  // kUnion: the branches; kArray, kMap: one; kRecord: the fields
	labels  [][]byte // kRecord: `"name":`, after the first with a comma before
	names   []string // kRecord
}

// Compile reads a schema. refs are the texts that it refers to by name, each
// after those that it refers to itself. The error wraps ErrSchema.
func Compile(text string, refs ...string) (*Schema, error) {
	cache := &avro.SchemaCache{}
	var parsed avro.Schema
	for _, t := range append(slices.Clone(refs), text) {
		s, err := avro.ParseWithCache(t, "", cache)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSchema, err)
		}
		parsed = s
	}
	c := compiler{named: map[string]*node{}}
	root, err := c.node(parsed)
	if err != nil {
		return nil, err
	}
	s := &Schema{root: root}
	if n, ok := parsed.(avro.NamedSchema); ok {
		s.name = n.FullName()
	}
	return s, nil
}

type compiler struct{ named map[string]*node }

func (c *compiler) node(s avro.Schema) (*node, error) {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	if n, ok := s.(avro.NamedSchema); ok {
		if have := c.named[n.FullName()]; have != nil {
			return have, nil
		}
	}
	n := &node{}
	switch s := s.(type) {
	case *avro.NullSchema:
	case *avro.PrimitiveSchema:
		k, ok := primitives[s.Type()]
		if !ok {
			return nil, fmt.Errorf("%w: type %s", ErrSchema, s.Type())
		}
		n.kind = k
	case *avro.FixedSchema:
		c.named[s.FullName()] = n
		n.kind, n.size = kFixed, s.Size()
	case *avro.EnumSchema:
		c.named[s.FullName()] = n
		n.kind = kEnum
		for _, symbol := range s.Symbols() {
			n.symbols = append(n.symbols, quoted(nil, symbol))
		}
	case *avro.ArraySchema:
		n.kind = kArray
		return n, c.add(n, s.Items())
	case *avro.MapSchema:
		n.kind = kMap
		return n, c.add(n, s.Values())
	case *avro.UnionSchema:
		n.kind = kUnion
		return n, c.add(n, s.Types()...)
	case *avro.RecordSchema:
		c.named[s.FullName()] = n
		n.kind = kRecord
		for i, f := range s.Fields() {
			var label []byte
			if i > 0 {
				label = append(label, ',')
			}
			n.labels = append(n.labels, append(quoted(label, f.Name()), ':'))
			n.names = append(n.names, f.Name())
			if err := c.add(n, f.Type()); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("%w: type %s", ErrSchema, s.Type())
	}
	return n, nil
}

func (c *compiler) add(n *node, of ...avro.Schema) error {
	for _, s := range of {
		m, err := c.node(s)
		if err != nil {
			return err
		}
		n.items = append(n.items, m)
	}
	return nil
}

// AppendString appends s as encoding/json writes it without the escapes for
// HTML: bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte { return quoted(dst, s) }

func quoted(dst []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(append(dst, '"'), s...), '"')
	}
	w := tailWriter{dst}
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always has a form
	return w.b[:len(w.b)-1]
}

type tailWriter struct{ b []byte }

func (w *tailWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}
