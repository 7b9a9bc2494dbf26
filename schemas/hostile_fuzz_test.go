package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"tidemark/testkit/soak"
)

// FuzzWire: a frame is read back as it was written, and nothing else is a frame.
func FuzzWire(f *testing.F) { fuzzWire(f) }

func fuzzWire(f soak.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 7})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 1, 2})
	f.Add([]byte("plain text"))
	f.Fuzz(func(t *testing.T, value []byte) {
		id, body, err := ParseWire(value)
		if err != nil {
			var w *WireError
			if !errors.As(err, &w) || !errors.Is(err, ErrWireShort) && !errors.Is(err, ErrWireMagic) || w.Length != len(value) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if again := AppendWire(nil, id, body); !bytes.Equal(again, value) {
			t.Fatalf("%x is written again as %x", value, again)
		}
	})
}

// drawForeign draws a type that the contract has no place for: what a writer may
// have added, nested, named, referred to again and recursive.
func drawForeign(t *rapid.T, names *[]string, depth int) any {
	kinds := []string{"null", "boolean", "int", "long", "float", "double", "string", "bytes", "enum", "fixed"}
	if depth < 4 {
		kinds = append(kinds, "array", "map", "record", "union", "list")
	}
	if len(*names) > 0 {
		kinds = append(kinds, "again")
	}
	name := func(kind string) string {
		n := fmt.Sprintf("%s%d", kind, len(*names))
		*names = append(*names, n)
		return n
	}
	switch kind := rapid.SampledFrom(kinds).Draw(t, "type"); kind {
	case "again":
		return rapid.SampledFrom(*names).Draw(t, "name")
	case "enum":
		return map[string]any{"type": kind, "name": name("E"), "symbols": []any{"A", "B", "C"}[:rapid.IntRange(1, 3).Draw(t, "symbols")]}
	case "fixed":
		return map[string]any{"type": kind, "name": name("F"), "size": rapid.IntRange(1, 40).Draw(t, "size")}
	case "array":
		return map[string]any{"type": kind, "items": drawForeign(t, names, depth+1)}
	case "map":
		return map[string]any{"type": kind, "values": drawForeign(t, names, depth+1)}
	case "union":
		// Two branches that goavro too can tell apart.
		return []any{"null", drawBranch(t, names, depth)}
	case "record":
		fields := []any{}
		for i := range rapid.IntRange(0, 4).Draw(t, "fields") {
			fields = append(fields, map[string]any{"name": fmt.Sprintf("f%d", i), "type": drawForeign(t, names, depth+1)})
		}
		return map[string]any{"type": kind, "name": name("R"), "fields": fields}
	case "list": // contains itself, but ends
		n := fmt.Sprintf("L%d", len(*names))
		r := map[string]any{"type": "record", "name": n, "fields": []any{
			map[string]any{"name": "value", "type": drawForeign(t, names, depth+1)},
			map[string]any{"name": "next", "type": []any{"null", n}}}}
		*names = append(*names, n)
		return r
	default:
		return kind
	}
}

func drawBranch(t *rapid.T, names *[]string, depth int) any {
	for {
		b := drawForeign(t, names, depth+1)
		if _, union := b.([]any); !union && b != "null" {
			return b
		}
	}
}

// drawWriter puts foreign fields at random places of one of the contract's own
// schemas, and so gives a schema that resolves.
func drawWriter(t *rapid.T) (kind Kind, text string) {
	kind = rapid.SampledFrom([]Kind{Order, Behavior}).Draw(t, "kind")
	var root map[string]any
	if err := json.Unmarshal([]byte(Text(kind.Record())), &root); err != nil {
		t.Fatal(err)
	}
	delete(root, "namespace")
	fields := root["fields"].([]any)
	var names []string
	for i := range rapid.IntRange(1, 4).Draw(t, "foreign") {
		at := rapid.IntRange(0, len(fields)).Draw(t, "at")
		extra := map[string]any{"name": fmt.Sprintf("x%d", i), "type": drawForeign(t, &names, 0)}
		fields = append(fields[:at:at], append([]any{extra}, fields[at:]...)...)
	}
	// A name must stand before it is used; drawn late and inserted early it may not.
	root["fields"] = fields
	raw, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return kind, strings.ReplaceAll(string(raw), `"logicalType"`, `"ignored"`)
}

// FuzzForeignWriter holds the reader against goavro under writers' schemas that
// nobody wrote by hand: sound bodies, cut bodies, changed bodies.
func FuzzForeignWriter(f *testing.F) { fuzzForeignWriter(f) }

func fuzzForeignWriter(f soak.F) {
	// The bytes are what rapid draws from, eight for each choice.
	rng := rand.New(rand.NewPCG(1, 1))
	for range 32 {
		choices := make([]byte, 4096)
		for i := range choices {
			choices[i] = byte(rng.Uint32())
		}
		f.Add(choices)
	}
	f.Fuzz(rapid.MakeFuzz(foreignWriter))
}

func TestForeignWriters(t *testing.T) { rapid.Check(t, foreignWriter) }

func foreignWriter(t *rapid.T) {
	kind, text := drawWriter(t)
	r, err := CompileReader(text, kind)
	codec, refErr := goavro.NewCodec(text)
	if err != nil || refErr != nil {
		if err == nil || errors.Is(err, ErrSchema) {
			t.Skip("not a schema to both")
		}
		t.Fatalf("%s: %v, goavro %v", text, err, refErr)
	}
	w := &writer{kind: kind, reader: r, codec: codec, schema: parseReference(text), reference: parseReference(Text(kind.Record()))}
	body := w.schema.write(t, nil, w.schema.root, "", 0)
	var e Event
	if err := w.check(body, &e); err != nil {
		t.Fatalf("%s\n%x: %v", text, body, err)
	}
	if len(body) == 0 {
		return
	}
	if cut := body[:rapid.IntRange(0, len(body)-1).Draw(t, "cut")]; true {
		if err := w.check(bytes.Clone(cut), &e); err != nil {
			t.Fatalf("%s\n%x cut: %v", text, cut, err)
		}
	}
	body[rapid.IntRange(0, len(body)-1).Draw(t, "place")] = rapid.Byte().Draw(t, "byte")
	if err := w.check(body, &e); err != nil {
		t.Fatalf("%s\n%x changed: %v", text, body, err)
	}
}

// FuzzHostile decodes any bytes under schemas made to hurt, and bounds what that
// may allocate by the length of the body.
func FuzzHostile(f *testing.F) { fuzzHostile(f) }

func fuzzHostile(f soak.F) {
	var readers []*Reader
	for _, foreign := range hostileTypes() {
		r, err := CompileReader(withForeign(foreign), Order)
		if err != nil {
			f.Fatalf("%.200s: %v", foreign, err)
		}
		readers = append(readers, r)
	}
	for i := range readers {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), bytes.Repeat([]byte{2}, 40))
		f.Add(uint8(i), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0})
		f.Add(uint8(i), append(bytes.Repeat([]byte{0xfe, 0xff, 0xff, 0xff, 0x0f}, 3), 0))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		var e Event
		before := allocated()
		err := readers[int(which)%len(readers)].Decode(body, &e)
		if n := allocated() - before; n > 1<<20+100*uint64(len(body)) {
			t.Fatalf("%d bytes allocated for a body of %d", n, len(body))
		}
		var d *DecodeError
		if err != nil && !errors.As(err, &d) {
			t.Fatalf("error %#v", err)
		}
	})
}

// allocated is what the process has allocated so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func withForeign(foreign string) string {
	return strings.Replace(Text("OrderEvent"), `"fields": [`, `"fields": [{"name": "hostile", "type": `+foreign+`},`, 1)
}

func hostileTypes() []string {
	wide := make([]string, 2000)
	for i := range wide {
		wide[i] = fmt.Sprintf(`{"name":"n%d","type":"null"}`, i)
	}
	doubling := `"boolean"`
	for i := range 20 {
		doubling = fmt.Sprintf(`{"type":"record","name":"D%d","fields":[{"name":"a","type":%s}`, i, doubling)
		if i > 0 {
			doubling += fmt.Sprintf(`,{"name":"b","type":"D%d"}`, i-1)
		}
		doubling += `]}`
	}
	return []string{
		`{"type":"record","name":"Self","fields":[{"name":"s","type":"Self"}]}`,
		`{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}`,
		`{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"array","items":"T"}}]}`,
		`{"type":"record","name":"M","fields":[{"name":"m","type":{"type":"map","values":"M"}}]}`,
		`{"type":"array","items":"null"}`,
		`{"type":"array","items":{"type":"record","name":"Empty","fields":[]}}`,
		`{"type":"array","items":{"type":"fixed","name":"Huge","size":2147483647}}`,
		strings.Repeat(`{"type":"array","items":`, 300) + `"null"` + strings.Repeat(`}`, 300),
		`{"type":"array","items":{"type":"record","name":"Wide","fields":[` + strings.Join(wide, ",") + `,{"name":"b","type":"boolean"}]}}`,
		doubling,
	}
}

// What a body costs follows from its length: a record with thousands of fields
// that take no bytes must not be walked field by field for every entry.
func TestFieldsOfNothingCostNothing(t *testing.T) {
	for _, foreign := range hostileTypes() {
		r, err := CompileReader(withForeign(foreign), Order)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[*skip]bool{}
		var walk func(s *skip)
		walk = func(s *skip) {
			if s == nil || seen[s] {
				return
			}
			seen[s] = true
			for _, f := range s.of {
				if s.kind == skipRecord && f.kind == skipNothing {
					t.Fatalf("%.80s: a record of %d fields is walked with one that takes no bytes", foreign, len(s.of))
				}
				walk(f)
			}
		}
		for i := range r.fields {
			walk(r.fields[i].skip)
		}
	}
}
