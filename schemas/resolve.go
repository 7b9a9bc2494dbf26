package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hamba/avro/v2"
)

// ErrSchema: the text is not an Avro schema.
var ErrSchema = errors.New("not a valid Avro schema")

// ResolveError says why no body of a writer's schema can become an Event.
type ResolveError struct {
	Record string // the contract's record, for example OrderEvent
	Field  string // the field in question, for example items[].sku; "" for the record itself
	Reason string
}

func (e *ResolveError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("the writer's schema does not resolve to %s: %s", e.Record, e.Reason)
	}
	return fmt.Sprintf("the writer's schema does not resolve to %s: field %s: %s", e.Record, e.Field, e.Reason)
}

// shape is the type of a field of the contract.
type shape uint8

const (
	shapeString shape = iota
	shapeInt
	shapeLong
	shapeOrderType
	shapeItems
	shapeItem
	shapeMap
)

// target is one field of the contract's schema, which is the reader's schema in
// the specification's words. A test holds the tables against the .avsc files.
type target struct {
	name     string
	code     opcode
	shape    shape
	required bool // the contract gives no default; every default is empty
}

var orderFields = []target{
	{"event_id", opEventID, shapeString, true},
	{"customer_id", opCustomerID, shapeString, true},
	{"order_id", opOrderID, shapeString, true},
	{"type", opOrderType, shapeOrderType, true},
	{"occurred_at", opOccurredAt, shapeLong, true},
	{"amount_minor", opAmount, shapeLong, true},
	{"currency", opCurrency, shapeString, true},
	{"channel", opChannel, shapeString, false},
	{"items", opItems, shapeItems, false},
	{"attributes", opAttributes, shapeMap, false},
}

var itemFields = []target{
	{"sku", opSKU, shapeString, true},
	{"category", opCategory, shapeString, false},
	{"quantity", opQuantity, shapeInt, true},
	{"amount_minor", opItemAmount, shapeLong, true},
}

var behaviorFields = []target{
	{"event_id", opEventID, shapeString, true},
	{"customer_id", opCustomerID, shapeString, true},
	{"type", opBehaviorType, shapeString, true},
	{"occurred_at", opOccurredAt, shapeLong, true},
	{"channel", opChannel, shapeString, false},
	{"attributes", opAttributes, shapeMap, false},
}

// The unqualified names that a writer's named types must have.
const (
	orderTypeName = "OrderEventType"
	itemName      = "OrderItem"
)

// CompileReader resolves a writer's schema against the contract's schema for
// kind, by the rules of the Avro 1.12 specification ("Schema resolution"):
// fields match by name in any order, fields that the contract lacks are
// skipped, absent ones take the contract's default, int becomes long, bytes and
// string become each other, an enum's symbols match by name, records and enums
// by their names without namespace. A writer's union resolves per value; a
// value of a branch that does not fit is an error of Decode.
//
// refs are the texts of the schemas that writerSchema refers to by name, each
// after those that it refers to itself.
//
// The error wraps ErrSchema for a text that is no schema, and is a
// *ResolveError for one whose bodies can never be read. Both are final: the
// same text gives the same answer.
func CompileReader(writerSchema string, kind Kind, refs ...string) (*Reader, error) {
	cache := &avro.SchemaCache{}
	var writer avro.Schema
	for _, text := range append(slices.Clone(refs), writerSchema) {
		bare, err := withoutDefaults(text)
		if err == nil {
			writer, err = avro.ParseWithCache(bare, "", cache)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSchema, err)
		}
	}
	c := &resolver{record: kind.Record(), skips: map[string]*skip{}}
	targets := orderFields
	if kind == Behavior {
		targets = behaviorFields
	}
	fields, err := c.recordFields(writer, c.record, targets, "")
	if err != nil {
		return nil, err
	}
	return &Reader{kind: kind, fields: fields}, nil
}

// withoutDefaults drops the defaults of a writer's fields and enums: resolution
// never looks at them, and registries hold schemas whose defaults are invalid.
func withoutDefaults(text string) (string, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "", err
	}
	dropDefaults(v)
	bare, err := json.Marshal(v)
	return string(bare), err
}

// dropDefaults walks over schemas only, never into a default or a property.
func dropDefaults(v any) {
	switch v := v.(type) {
	case []any: // a union
		for _, branch := range v {
			dropDefaults(branch)
		}
	case map[string]any:
		if v["type"] == "enum" {
			delete(v, "default")
		}
		fields, _ := v["fields"].([]any)
		for _, f := range fields {
			if field, ok := f.(map[string]any); ok {
				delete(field, "default")
				dropDefaults(field["type"])
			}
		}
		for _, key := range []string{"type", "items", "values"} {
			dropDefaults(v[key])
		}
	}
}

type resolver struct {
	record string
	skips  map[string]*skip // named types, by full name
}

func (c *resolver) fail(field, format string, args ...any) error {
	return &ResolveError{Record: c.record, Field: field, Reason: fmt.Sprintf(format, args...)}
}

func deref(s avro.Schema) avro.Schema {
	if ref, ok := s.(*avro.RefSchema); ok {
		return ref.Schema()
	}
	return s
}

// recordFields compiles a writer's record against the contract's fields.
func (c *resolver) recordFields(writer avro.Schema, name string, targets []target, prefix string) ([]op, error) {
	record, ok := deref(writer).(*avro.RecordSchema)
	if !ok {
		return nil, c.fail(prefix, "the contract has a record, the writer has %s", writer.Type())
	}
	if got := record.Name(); got != name {
		return nil, c.fail(prefix, "the contract's record is named %s, the writer's %s", name, got)
	}
	if prefix != "" {
		prefix += "."
	}
	found := map[string]bool{}
	var ops []op
	for _, f := range record.Fields() {
		i := slices.IndexFunc(targets, func(t target) bool { return t.name == f.Name() })
		if i < 0 {
			s, err := c.skip(f.Type())
			if err != nil {
				return nil, err
			}
			ops = append(ops, op{code: opSkip, field: prefix + f.Name(), skip: s})
			continue
		}
		found[f.Name()] = true
		o, err := c.resolve(f.Type(), targets[i], prefix+f.Name())
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	for _, t := range targets {
		if t.required && !found[t.name] {
			return nil, c.fail(prefix+t.name, "the writer does not have it, and the contract gives it no default")
		}
	}
	return ops, nil
}

// resolve compiles one value of the writer for a field of the contract.
func (c *resolver) resolve(writer avro.Schema, t target, path string) (op, error) {
	writer = deref(writer)
	if union, ok := writer.(*avro.UnionSchema); ok {
		return c.resolveUnion(union, t, path)
	}
	o := op{code: t.code, field: path}
	mismatch := func(want string) (op, error) {
		return op{}, c.fail(path, "the contract has %s, the writer has %s", want, writer.Type())
	}
	switch t.shape {
	case shapeString:
		if writer.Type() != avro.String && writer.Type() != avro.Bytes {
			return mismatch("string")
		}
	case shapeInt:
		if writer.Type() != avro.Int {
			return mismatch("int")
		}
	case shapeLong:
		if writer.Type() != avro.Long && writer.Type() != avro.Int {
			return mismatch("long")
		}
		o.narrow = writer.Type() == avro.Int
	case shapeOrderType:
		enum, ok := writer.(*avro.EnumSchema)
		if !ok {
			return mismatch("an enum")
		}
		if got := enum.Name(); got != orderTypeName {
			return op{}, c.fail(path, "the contract's enum is named %s, the writer's %s", orderTypeName, got)
		}
		for _, symbol := range enum.Symbols() {
			o.symbols = append(o.symbols, ParseOrderType(symbol))
		}
	case shapeItems:
		array, ok := writer.(*avro.ArraySchema)
		if !ok {
			return mismatch("an array")
		}
		return c.entries(o, array.Items(), target{code: opItem, shape: shapeItem}, path+"[]", 0)
	case shapeItem:
		fields, err := c.recordFields(writer, itemName, itemFields, path)
		if err != nil {
			return op{}, err
		}
		o.fields = fields
	case shapeMap:
		m, ok := writer.(*avro.MapSchema)
		if !ok {
			return mismatch("a map")
		}
		return c.entries(o, m.Values(), target{code: opMapValue, shape: shapeString}, path+"{}", 1)
	}
	return o, nil
}

// entries completes o, an array or a map, whose entries take overhead bytes
// before the value itself.
func (c *resolver) entries(o op, writer avro.Schema, t target, path string, overhead int) (op, error) {
	entry, err := c.resolve(writer, t, path)
	if err != nil {
		return op{}, err
	}
	s, err := c.skip(writer)
	if err != nil {
		return op{}, err
	}
	o.entry, o.size = &entry, max(s.min+overhead, 1)
	return o, nil
}

// resolveUnion keeps a branch that does not fit as an error of Decode, unless
// no branch fits.
func (c *resolver) resolveUnion(union *avro.UnionSchema, t target, path string) (op, error) {
	o := op{code: opUnion, field: path}
	fits := false
	for _, branch := range union.Types() {
		b, err := c.resolve(branch, t, path)
		if err != nil {
			b = op{code: opFail, fail: fmt.Errorf("%w: %s", ErrUnresolved, deref(branch).Type())}
		}
		fits = fits || err == nil
		o.branches = append(o.branches, b)
	}
	if !fits {
		return op{}, c.fail(path, "no branch of the writer's union %s fits", union)
	}
	return o, nil
}

// skip compiles a value that is stepped over.
func (c *resolver) skip(writer avro.Schema) (*skip, error) {
	writer = deref(writer)
	named, isNamed := writer.(avro.NamedSchema)
	if isNamed {
		if s := c.skips[named.FullName()]; s != nil {
			return s, nil
		}
	}
	// min is 1 until it is known. That matters only to a record that contains
	// itself without a union, array or map between: no value of it ever ends.
	s := &skip{min: 1}
	if isNamed {
		c.skips[named.FullName()] = s
	}
	switch w := writer.(type) {
	case *avro.NullSchema:
		s.kind, s.min = skipNothing, 0
	case *avro.PrimitiveSchema:
		switch w.Type() {
		case avro.Null:
			s.kind, s.min = skipNothing, 0
		case avro.Boolean:
			s.kind = skipBoolean
		case avro.Int, avro.Long:
			s.kind = skipNumber
		case avro.Float:
			s.kind, s.size, s.min = skipFixed, 4, 4
		case avro.Double:
			s.kind, s.size, s.min = skipFixed, 8, 8
		case avro.Bytes, avro.String:
			s.kind = skipBytes
		default:
			return nil, fmt.Errorf("%w: unknown type %s", ErrSchema, w.Type())
		}
	case *avro.FixedSchema:
		s.kind, s.size = skipFixed, w.Size()
		if s.size < 0 {
			return nil, fmt.Errorf("%w: %s has a negative size", ErrSchema, w.FullName())
		}
		s.min = min(s.size, maxMin)
		if s.size == 0 {
			s.kind = skipNothing
		}
	case *avro.EnumSchema:
		s.kind, s.size = skipEnum, len(w.Symbols())
	case *avro.ArraySchema:
		s.kind = skipArray
		return s, c.skipInto(s, w.Items())
	case *avro.MapSchema:
		s.kind = skipMap
		return s, c.skipInto(s, w.Values())
	case *avro.UnionSchema:
		s.kind = skipUnion
		return s, c.skipInto(s, w.Types()...)
	case *avro.RecordSchema:
		s.kind = skipRecord
		for _, f := range w.Fields() {
			if err := c.skipInto(s, f.Type()); err != nil {
				return nil, err
			}
		}
		total := 0
		for _, f := range s.of {
			total = min(total+f.min, maxMin)
		}
		// Fields that take no bytes are not walked: a hostile schema has thousands of
		// them in an entry of one byte. A record that is still being compiled has a
		// min of 1 and stays.
		s.of = slices.DeleteFunc(s.of, func(f *skip) bool { return f.min == 0 })
		if s.min = total; total == 0 {
			s.kind, s.of = skipNothing, nil
		}
	default:
		return nil, fmt.Errorf("%w: unknown type %s", ErrSchema, writer.Type())
	}
	return s, nil
}

func (c *resolver) skipInto(s *skip, types ...avro.Schema) error {
	for _, t := range types {
		inner, err := c.skip(t)
		if err != nil {
			return err
		}
		s.of = append(s.of, inner)
	}
	return nil
}
