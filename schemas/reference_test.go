package schemas

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

// goavro makes room for as many entries as a block claims to have.
func init() { goavro.MaxBlockCount = 1 << 12 }

// avroSchema is a schema as decoded JSON, with its named types at hand. It is
// read without any of the code that it is the reference for.
type avroSchema struct {
	root  any
	names map[string]map[string]any // by full name
	space map[string]string         // namespace in force inside the named type
}

func parseReference(text string) *avroSchema {
	s := &avroSchema{names: map[string]map[string]any{}, space: map[string]string{}}
	if err := json.Unmarshal([]byte(text), &s.root); err != nil {
		panic(err)
	}
	s.collect(s.root, "")
	return s
}

func (s *avroSchema) collect(v any, namespace string) {
	switch v := v.(type) {
	case []any:
		for _, branch := range v {
			s.collect(branch, namespace)
		}
	case map[string]any:
		if name, ok := v["name"].(string); ok {
			if own, ok := v["namespace"].(string); ok {
				namespace = own
			}
			v["full"] = join(namespace, name)
			s.names[join(namespace, name)] = v
			s.space[join(namespace, name)] = namespace
			fields, _ := v["fields"].([]any)
			for _, f := range fields {
				s.collect(f.(map[string]any)["type"], namespace)
			}
		}
		s.collect(v["items"], namespace)
		s.collect(v["values"], namespace)
	}
}

func join(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "." + name
}

// shape returns the type's name and, for all but primitives, its definition.
func (s *avroSchema) shape(v any, namespace string) (kind string, def map[string]any, inner string) {
	switch v := v.(type) {
	case string:
		if def := s.names[join(namespace, v)]; def != nil {
			return s.shape(def, namespace)
		}
		return v, nil, namespace
	case map[string]any:
		inner = namespace
		if full, ok := v["full"].(string); ok {
			inner = s.space[full]
		}
		return v["type"].(string), v, inner
	}
	return "union", nil, namespace
}

var errReference = errors.New("does not resolve")

// resolveReference is the specification's schema resolution, value by value:
// the writer's value, as goavro decodes it without logical types, in the
// reader's shape.
func resolveReference(w *avroSchema, wt any, wns string, value any, r *avroSchema, rt any, rns string) (any, error) {
	wk, wd, wns := w.shape(wt, wns)
	rk, rd, rns := r.shape(rt, rns)
	if wk == "union" {
		for _, branch := range wt.([]any) {
			bk, bd, _ := w.shape(branch, wns)
			key := bk
			if bd != nil && bd["full"] != nil {
				key = bd["full"].(string)
			}
			if m, ok := value.(map[string]any); ok && value != nil {
				if inner, ok := m[key]; ok {
					return resolveReference(w, branch, wns, inner, r, rt, rns)
				}
			} else if bk == "null" && value == nil {
				return resolveReference(w, branch, wns, nil, r, rt, rns)
			}
		}
		return nil, fmt.Errorf("no branch for %v", value)
	}
	switch wk + ">" + rk {
	case "string>string", "long>long", "int>int":
		return value, nil
	case "int>long":
		return int64(value.(int32)), nil
	case "bytes>string":
		return string(value.([]byte)), nil
	case "enum>enum":
		if wd["name"] != rd["name"] {
			return nil, errReference
		}
		for _, symbol := range rd["symbols"].([]any) {
			if symbol == value {
				return value, nil
			}
		}
		return nil, errReference
	case "array>array":
		list := []any{}
		for _, v := range value.([]any) {
			entry, err := resolveReference(w, wd["items"], wns, v, r, rd["items"], rns)
			if err != nil {
				return nil, err
			}
			list = append(list, entry)
		}
		return list, nil
	case "map>map":
		m := map[string]any{}
		for k, v := range value.(map[string]any) {
			entry, err := resolveReference(w, wd["values"], wns, v, r, rd["values"], rns)
			if err != nil {
				return nil, err
			}
			m[k] = entry
		}
		return m, nil
	case "record>record":
		if wd["name"] != rd["name"] {
			return nil, errReference
		}
		written := map[string]any{}
		for _, f := range wd["fields"].([]any) {
			written[f.(map[string]any)["name"].(string)] = f.(map[string]any)["type"]
		}
		out := map[string]any{}
		for _, f := range rd["fields"].([]any) {
			f := f.(map[string]any)
			name := f["name"].(string)
			fieldType, ok := written[name]
			if !ok {
				def, ok := f["default"]
				if !ok {
					return nil, errReference
				}
				out[name] = def
				continue
			}
			v, err := resolveReference(w, fieldType, wns, value.(map[string]any)[name], r, f["type"], rns)
			if err != nil {
				return nil, err
			}
			out[name] = v
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: %s to %s", errReference, wk, rk)
}

// writer is one writer's schema under test.
type writer struct {
	name      string
	kind      Kind
	schema    *avroSchema
	reader    *Reader
	codec     *goavro.Codec
	reference *avroSchema
}

func loadWriters(t testing.TB) (writers []*writer) {
	t.Helper()
	names, err := filepath.Glob("testdata/writers/*.avsc")
	if err != nil || len(names) < 9 {
		t.Fatalf("%d writers' schemas, %v", len(names), err)
	}
	for _, path := range names {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w := &writer{name: strings.TrimSuffix(filepath.Base(path), ".avsc")}
		if strings.HasPrefix(w.name, "behavior") {
			w.kind = Behavior
		}
		if w.reader, err = CompileReader(string(text), w.kind); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		// goavro turns logical types into its own; resolution looks at the number.
		raw := strings.ReplaceAll(string(text), `"logicalType"`, `"ignored"`)
		w.codec = newCodec(t, raw)
		w.schema = parseReference(raw)
		w.reference = parseReference(Text(w.kind.Record()))
		writers = append(writers, w)
	}
	return writers
}

// decodeReference decodes with goavro and resolves slowly.
func (w *writer) decodeReference(body []byte) (any, error) {
	value, rest, err := w.codec.NativeFromBinary(body)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, ErrTrailing
	}
	return resolveReference(w.schema, w.schema.root, "", value, w.reference, w.reference.root, "")
}

// generic is e in the shape of resolveReference's answer.
func generic(e *Event) map[string]any {
	m := eventNative(e)
	m["occurred_at"] = int64(e.OccurredAt)
	return m
}

// check holds the reader against the reference. Where they may differ, each
// case is named.
func (w *writer) check(body []byte, e *Event) error {
	want, refErr := w.decodeReference(body)
	err := w.reader.Decode(body, e)
	switch {
	case err == nil && refErr == nil:
		if got := generic(e); !sameNative(got, want) {
			return fmt.Errorf("got\n%v\nwant\n%v", got, want)
		}
	case err == nil:
		// goavro refuses a map that repeats a key, and blocks beyond a fixed count.
		if !strings.Contains(refErr.Error(), "duplicate") && !strings.Contains(refErr.Error(), "MaxBlockCount") {
			return fmt.Errorf("decoded to %+v, the reference says: %w", e, refErr)
		}
	case refErr == nil:
		// goavro wraps numbers that are too long, ignores the sizes of blocks and
		// takes any bytes for a string.
		for _, strict := range []error{ErrVarint, ErrBlockSize, ErrUTF8, ErrDepth} {
			if errors.Is(err, strict) {
				return nil
			}
		}
		return fmt.Errorf("%w, the reference decodes to %v", err, want)
	}
	return nil
}

// write appends a random value of a type, its arrays and maps cut into random
// blocks, with and without their sizes.
func (s *avroSchema) write(t *rapid.T, dst []byte, v any, namespace string, depth int) []byte {
	kind, def, namespace := s.shape(v, namespace)
	switch kind {
	case "null":
		return dst
	case "boolean":
		return appendBool(dst, rapid.Bool().Draw(t, kind))
	case "int":
		return appendInt(dst, rapid.Int32().Draw(t, kind))
	case "long":
		return appendLong(dst, rapid.Int64().Draw(t, kind))
	case "float":
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(rapid.Float32().Draw(t, kind)))
	case "double":
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(rapid.Float64().Draw(t, kind)))
	case "string":
		return appendString(dst, rapid.StringN(0, 8, -1).Draw(t, kind))
	case "bytes":
		return appendString(dst, rapid.StringN(0, 8, -1).Draw(t, kind))
	case "fixed":
		return append(dst, make([]byte, int(def["size"].(float64)))...)
	case "enum":
		return appendLong(dst, int64(rapid.IntRange(0, len(def["symbols"].([]any))-1).Draw(t, kind)))
	case "union":
		branches := v.([]any)
		i := rapid.IntRange(0, len(branches)-1).Draw(t, kind)
		if depth > 6 {
			for j, b := range branches {
				if b == "null" {
					i = j
				}
			}
		}
		return s.write(t, appendLong(dst, int64(i)), branches[i], namespace, depth+1)
	case "record":
		for _, f := range def["fields"].([]any) {
			dst = s.write(t, dst, f.(map[string]any)["type"], namespace, depth+1)
		}
		return dst
	}
	for depth < 8 && rapid.Bool().Draw(t, "another block") {
		n := rapid.IntRange(1, 3).Draw(t, "entries")
		var block []byte
		for i := range n {
			if kind == "map" {
				key := fmt.Sprint(rapid.StringN(0, 3, -1).Draw(t, "key"), i, len(dst))
				block = s.write(t, appendString(block, key), def["values"], namespace, depth+1)
			} else {
				block = s.write(t, block, def["items"], namespace, depth+1)
			}
		}
		if rapid.Bool().Draw(t, "with size") {
			dst = appendLong(appendLong(dst, int64(-n)), int64(len(block)))
		} else {
			dst = appendLong(dst, int64(n))
		}
		dst = append(dst, block...)
	}
	return append(dst, 0)
}
