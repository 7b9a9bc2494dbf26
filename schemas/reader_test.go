package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"tidemark/testkit/soak"
)

// For every writer's schema: what the reader makes of well-formed bytes, of
// bytes cut short and of bytes changed at random is what goavro and a slow
// resolution make of them.
func TestReaderAgainstReference(t *testing.T) {
	for _, w := range loadWriters(t) {
		t.Run(w.name, func(t *testing.T) {
			var e Event // one for all, as in use: nothing may be left of the record before
			decoded := 0
			rapid.Check(t, func(t *rapid.T) {
				body := w.schema.write(t, nil, w.schema.root, "", 0)
				if err := w.check(body, &e); err != nil {
					t.Fatal(err)
				}
				if w.reader.Decode(body, &e) == nil {
					decoded++
				}
				if len(body) == 0 {
					return
				}
				cut := body[:rapid.IntRange(0, len(body)-1).Draw(t, "cut")]
				if err := w.check(slices.Clip(cut), &e); err != nil {
					t.Fatalf("cut to %d: %v", len(cut), err)
				}
				for range 3 {
					body[rapid.IntRange(0, len(body)-1).Draw(t, "place")] = rapid.Byte().Draw(t, "byte")
				}
				if err := w.check(body, &e); err != nil {
					t.Fatalf("changed: %v", err)
				}
			})
			if decoded == 0 {
				t.Error("no body decoded, so nothing was compared")
			}
		})
	}
}

func FuzzReader(f *testing.F) { fuzzReader(f) }

func fuzzReader(f soak.F) {
	writers := loadWriters(f)
	for i, w := range writers {
		gen := rapid.Custom(func(t *rapid.T) []byte { return w.schema.write(t, nil, w.schema.root, "", 0) })
		for seed := range 8 {
			f.Add(uint8(i), gen.Example(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		w := writers[int(which)%len(writers)]
		var e Event
		if err := w.check(body, &e); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
	})
}

// FuzzCompileReader: no schema text makes the compiler panic, and no reader
// that comes out of it panics.
func FuzzCompileReader(f *testing.F) { fuzzCompileReader(f) }

func fuzzCompileReader(f soak.F) {
	for _, name := range Records()[:2] {
		f.Add(Text(name), []byte("\x02a\x02b\x02c\x02\x02\x02\x02d\x00\x00\x00"))
	}
	for _, w := range loadWriters(f) {
		text, _ := json.Marshal(w.schema.root)
		f.Add(string(text), []byte{})
	}
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		for _, kind := range []Kind{Order, Behavior} {
			if r, err := CompileReader(text, kind); err == nil {
				var e Event
				_ = r.Decode(body, &e)
			}
		}
	})
}

func contract(t testing.TB, kind Kind) *Reader {
	t.Helper()
	r, err := CompileReader(Text(kind.Record()), kind)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReaderRoundTrip(t *testing.T) {
	for _, kind := range []Kind{Order, Behavior} {
		r := contract(t, kind)
		if r.Kind() != kind {
			t.Errorf("kind %v, want %v", r.Kind(), kind)
		}
		var got Event
		rapid.Check(t, func(t *rapid.T) {
			want := drawEvent(t, kind)
			if err := r.Decode(appendEvent(nil, want), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Items) == 0 {
				want.Items, got.Items = nil, nil
			}
			if len(got.Attributes) == 0 {
				want.Attributes, got.Attributes = nil, nil
			}
			if !reflect.DeepEqual(&got, want) {
				t.Fatalf("got %+v, want %+v", &got, want)
			}
		})
	}
}

// The tables of resolve.go are the contract's schemas: same fields, same
// types, required where the schema has no default, empty where it has one.
func TestTargetsAreTheContract(t *testing.T) {
	shapes := map[string]shape{"string": shapeString, "int": shapeInt, "long": shapeLong,
		"enum": shapeOrderType, "array": shapeItems, "map": shapeMap}
	var compare func(schema avroRecord, targets []target)
	compare = func(schema avroRecord, targets []target) {
		if got, want := len(targets), len(schema.Fields); got != want {
			t.Fatalf("%s has %d fields, the table %d", schema.Name, want, got)
		}
		for i, f := range schema.Fields {
			got := targets[i]
			name := f.Name
			typeName, _ := f.Type.(string)
			if m, ok := f.Type.(map[string]any); ok {
				typeName = m["type"].(string)
				if items, ok := m["items"]; ok {
					var inner avroRecord
					text, _ := json.Marshal(items)
					if err := json.Unmarshal(text, &inner); err != nil {
						t.Fatal(err)
					}
					if inner.Name != itemName {
						t.Errorf("items are %s, want %s", inner.Name, itemName)
					}
					compare(inner, itemFields)
				}
				if typeName == "enum" && m["name"] != orderTypeName {
					t.Errorf("the enum is %s, want %s", m["name"], orderTypeName)
				}
				if symbols, ok := m["symbols"].([]any); ok {
					for j, s := range symbols {
						if got, want := ParseOrderType(s.(string)), OrderType(j)+Placed; got != want {
							t.Errorf("symbol %s is %v, want %v", s, got, want)
						}
					}
				}
			}
			want, known := shapes[typeName]
			if got.name != name || got.shape != want || !known || got.required != (f.Default == nil) {
				t.Errorf("%s.%s is %+v in the table, %s with default %s in the schema", schema.Name, name, got, typeName, f.Default)
			}
			if d := string(f.Default); d != "" && d != `""` && d != "[]" && d != "{}" {
				t.Errorf("%s.%s has default %s: the reader only knows empty ones", schema.Name, name, d)
			}
		}
	}
	for kind, targets := range map[Kind][]target{Order: orderFields, Behavior: behaviorFields} {
		var schema avroRecord
		if err := json.Unmarshal([]byte(Text(kind.Record())), &schema); err != nil {
			t.Fatal(err)
		}
		compare(schema, targets)
	}
}

// edit returns the contract's schema with one piece of its text replaced.
func edit(t *testing.T, kind Kind, old, new string) string {
	t.Helper()
	text := Text(kind.Record())
	if strings.Count(text, old) == 0 {
		t.Fatalf("%q is not in the schema", old)
	}
	return strings.Replace(text, old, new, 1)
}

func TestCompileReaderRefuses(t *testing.T) {
	for _, c := range []struct {
		old, new, field string
	}{
		{`"event_id"`, `"id"`, "event_id"},
		{`"sku"`, `"product"`, "items[].sku"},
		{`"name": "currency", "type": "string"`, `"name": "currency", "type": "int"`, "currency"},
		{`"name": "currency", "type": "string"`, `"name": "currency", "type": ["null", "int"]`, "currency"},
		{`"name": "currency", "type": "string"`, `"name": "currency", "type": []`, "currency"},
		{`"name": "quantity", "type": "int"`, `"name": "quantity", "type": "long"`, "items[].quantity"},
		{`"name": "amount_minor", "type": "long"`, `"name": "amount_minor", "type": "double"`, "amount_minor"},
		{`"values": "string"`, `"values": "long"`, "attributes{}"},
		{`"OrderItem"`, `"Line"`, "items[]"},
		{`"OrderEventType"`, `"Step"`, "type"},
		{`"name": "OrderEvent"`, `"name": "Order"`, ""},
	} {
		_, err := CompileReader(edit(t, Order, c.old, c.new), Order)
		var typed *ResolveError
		if !errors.As(err, &typed) || typed.Field != c.field || typed.Record != "OrderEvent" {
			t.Errorf("%s: %v, want a ResolveError for field %q", c.new, err, c.field)
		}
	}
	for _, text := range []string{"", "{", `"string"`, `"Nobody"`, `{"type":"record"}`, `[]`, `null`, `7`} {
		_, err := CompileReader(text, Order)
		var typed *ResolveError
		if err == nil || !errors.Is(err, ErrSchema) && !errors.As(err, &typed) {
			t.Errorf("%s compiles: %v", text, err)
		}
	}
	if _, err := CompileReader(Text("BehaviorEvent"), Order); err == nil {
		t.Error("a behavior event resolves to an order event")
	}
}

// A registry holds schemas whose defaults fit no type; they decode all the same.
func TestCompileReaderIgnoresWritersDefaults(t *testing.T) {
	text := edit(t, Order, `"name": "channel", "type": "string", "default": ""`, `"name": "channel", "type": ["null", "string"], "default": 7`)
	if _, err := CompileReader(text, Order); err != nil {
		t.Error(err)
	}
}

func TestCompileReaderReferences(t *testing.T) {
	item := `{"type":"record","name":"OrderItem","namespace":"tidemark.v1","fields":[{"name":"sku","type":"string"},
		{"name":"unit","type":"tidemark.v1.Unit"},{"name":"quantity","type":"int"},{"name":"amount_minor","type":"long"}]}`
	unit := `{"type":"enum","name":"Unit","namespace":"tidemark.v1","symbols":["PIECE"]}`
	text := Text("OrderEvent")
	from := strings.Index(text, `{"type": "record", "name": "OrderItem"`)
	to := strings.Index(text, `}, "default": []`)
	text = text[:from] + `"OrderItem"` + text[to:]
	if _, err := CompileReader(text, Order); !errors.Is(err, ErrSchema) {
		t.Errorf("without the reference: %v", err)
	}
	r, err := CompileReader(text, Order, unit, item)
	if err != nil {
		t.Fatal(err)
	}
	body := AppendOrderAvro(nil, &Event{Order: Paid})
	body = append(body[:len(body)-2], "\x02\x02s\x00\x04\x06\x00\x00"...)
	var e Event
	if err := r.Decode(body, &e); err != nil {
		t.Fatal(err)
	}
	if got, want := e.Items[0], (Item{SKU: "s", Quantity: 2, AmountMinor: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeErrors(t *testing.T) {
	nullable, err := CompileReader(edit(t, Behavior, `"name": "channel", "type": "string"`, `"name": "channel", "type": ["null", "string"]`), Behavior)
	if err != nil {
		t.Fatal(err)
	}
	more, err := CompileReader(edit(t, Order, `"PAID"`, `"PAID", "LOST"`), Order)
	if err != nil {
		t.Fatal(err)
	}
	order, behavior := contract(t, Order), contract(t, Behavior)
	paid := string(AppendOrderAvro(nil, &Event{Order: Paid, EventID: "e"}))
	const empty = "\x00\x00\x00\x00\x00"
	for _, c := range []struct {
		name  string
		r     *Reader
		body  string
		field string
		want  error
	}{
		{"empty", behavior, "", "event_id", ErrTruncated},
		{"length beyond the end", behavior, "\x06ab", "event_id", ErrLength},
		{"negative length", behavior, "\x01", "event_id", ErrLength},
		{"invalid UTF-8", behavior, "\x02\xff", "event_id", ErrUTF8},
		{"eleven bytes of number", behavior, "\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "occurred_at", ErrVarint},
		{"65 bits of number", behavior, "\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "occurred_at", ErrVarint},
		{"number cut off", behavior, "\x00\x00\x00\xff\xff", "occurred_at", ErrTruncated},
		{"more entries than bytes", behavior, empty + "\x06\x00\x00\x00\x00", "attributes", ErrLength},
		{"huge count", behavior, empty + "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "attributes", ErrLength},
		{"least count", behavior, empty + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "attributes", ErrLength},
		{"block longer than its entries", behavior, empty + "\x01\x06\x00\x00\x00\x00", "attributes", ErrBlockSize},
		{"negative block size", behavior, empty + "\x01\x01\x00\x00\x00", "attributes", ErrBlockSize},
		{"left over", behavior, empty + "\x00\x00", "", ErrTrailing},
		{"null for a string", nullable, "\x00\x00\x00\x00\x00\x00", "channel", ErrUnresolved},
		{"no such branch", nullable, "\x00\x00\x00\x00\x04\x00", "channel", ErrBranch},
		{"no such symbol", order, strings.Replace(paid, "\x02e\x00\x00\x02", "\x02e\x00\x00\x08", 1), "type", ErrSymbol},
		{"foreign symbol", more, strings.Replace(paid, "\x02e\x00\x00\x02", "\x02e\x00\x00\x04", 1), "type", ErrSymbol},
		{"quantity of 33 bits", order, paid[:len(paid)-2] + "\x02\x00\x00\xfe\xff\xff\xff\x1f\x00\x00\x00", "items", ErrVarint},
	} {
		var e Event
		err := c.r.Decode([]byte(c.body), &e)
		var typed *DecodeError
		if !errors.Is(err, c.want) || !errors.As(err, &typed) || typed.Field != c.field {
			t.Errorf("%s: %v, want field %q, %v", c.name, err, c.field, c.want)
		}
		if typed != nil && (typed.Offset < 0 || typed.Offset > len(c.body)) {
			t.Errorf("%s: stopped at byte %d of %d", c.name, typed.Offset, len(c.body))
		}
	}
}

// withUnknown is a behavior event's schema with one more field at its end.
func withUnknown(t *testing.T, typ string) *Reader {
	t.Helper()
	text := edit(t, Behavior, `"default": {}}`, `"default": {}}, {"name": "unknown", "type": `+typ+`}`)
	r, err := CompileReader(text, Behavior)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSkippingIsBounded(t *testing.T) {
	empty := AppendBehaviorAvro(nil, &Event{Kind: Behavior})
	decode := func(r *Reader, unknown ...byte) error {
		var e Event
		return r.Decode(append(slices.Clone(empty), unknown...), &e)
	}
	enum := withUnknown(t, `{"type": "enum", "name": "Two", "symbols": ["A", "B"]}`)
	for index, want := range map[byte]error{0: nil, 2: nil, 4: ErrSymbol, 1: ErrSymbol} {
		if err := decode(enum, index); !errors.Is(err, want) {
			t.Errorf("symbol %d of two: %v, want %v", index, err, want)
		}
	}
	list := withUnknown(t, `{"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}`)
	if err := decode(list, append([]byte(strings.Repeat("\x02", 200)), 0)...); err != nil {
		t.Errorf("a list of 200: %v", err)
	}
	if err := decode(list, []byte(strings.Repeat("\x02", 1<<20))...); !errors.Is(err, ErrDepth) {
		t.Errorf("a list of a million: %v", err)
	}
	endless := withUnknown(t, `{"type": "record", "name": "Endless", "fields": [{"name": "self", "type": "Endless"}]}`)
	if err := decode(endless); !errors.Is(err, ErrDepth) {
		t.Errorf("a record that contains itself: %v", err)
	}
	// 2^62 nulls are none, and take no time.
	nulls := withUnknown(t, `{"type": "array", "items": "null"}`)
	if err := decode(nulls, append(appendLong(nil, 1<<62), 0)...); err != nil {
		t.Errorf("nulls: %v", err)
	}
	// 2^40 records of nothing each are nothing too.
	nothing := `{"type": "record", "name": "N0", "fields": []}`
	for i := range 40 {
		nothing = fmt.Sprintf(`{"type": "record", "name": "N%d", "fields": [{"name": "a", "type": %s}, {"name": "b", "type": "N%d"}]}`, i+1, nothing, i)
	}
	if err := decode(withUnknown(t, nothing)); err != nil {
		t.Errorf("records of nothing: %v", err)
	}
	wide := strings.Replace(nothing, `"fields": []`, `"fields": [{"name": "x", "type": "boolean"}]`, 1)
	if err := decode(withUnknown(t, wide)); !errors.Is(err, ErrTruncated) {
		t.Errorf("2^40 booleans in no bytes: %v", err)
	}
}

// A hostile count must not make the reader ask for memory.
func TestDecodeAllocatesLittle(t *testing.T) {
	body := AppendBehaviorAvro(nil, &Event{Kind: Behavior})
	body = append(appendLong(body[:len(body)-1], math.MaxInt32), make([]byte, 64)...)
	r := contract(t, Behavior)
	got := testing.AllocsPerRun(10, func() {
		var e Event
		if err := r.Decode(body, &e); err == nil {
			t.Error("decoded")
		}
	})
	if got > 4 {
		t.Errorf("%v allocations", got)
	}
}

// An Event that is used again holds nothing of the record before.
func TestDecodeForgetsTheRecordBefore(t *testing.T) {
	body := AppendOrderAvro(nil, benchmarkOrder())
	oldest := map[Kind]*Reader{}
	for _, w := range loadWriters(t) {
		if strings.HasSuffix(w.name, "_oldest") {
			oldest[w.kind] = w.reader
		}
	}
	for kind, next := range map[Kind][]byte{
		Order:    []byte("\x02e\x02c\x02o\x02\x02\x04\x02d"), // no channel, items or attributes
		Behavior: []byte("\x02e\x02c\x02t\x02"),
	} {
		var used, fresh Event
		if err := contract(t, Order).Decode(body, &used); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(oldest[kind].Decode(next, &used), oldest[kind].Decode(next, &fresh)); err != nil {
			t.Fatal(err)
		}
		if len(used.Items) > 0 || len(used.Attributes) > 0 || cap(used.Items) == 0 {
			t.Errorf("%v: %d items, %d attributes, room for %d items", kind, len(used.Items), len(used.Attributes), cap(used.Items))
		}
		used.Items, used.Attributes = nil, nil
		if !reflect.DeepEqual(used, fresh) {
			t.Errorf("%v: got %+v, want %+v", kind, used, fresh)
		}
	}
}

// One byte that is not ASCII is found at every place of every length.
func TestIsASCII(t *testing.T) {
	for n := 1; n <= 40; n++ {
		b := []byte(strings.Repeat("a", n))
		if !isASCII(b) {
			t.Fatalf("%d letters are not ASCII", n)
		}
		for i := range b {
			b[i] = 0x80
			if isASCII(b) {
				t.Fatalf("byte %d of %d is overlooked", i, n)
			}
			b[i] = 'a'
		}
	}
}

func benchmarkOrder() *Event {
	return &Event{Order: Paid, EventID: "evt-00000000000012345", CustomerID: "customer-0012345", OrderID: "order-000001234567",
		OccurredAt: 1767225600000, AmountMinor: 25980, Currency: "CNY", Channel: "miniapp",
		Items:      []Item{{"sku-0001234", "beverage", 2, 19980}, {"sku-77", "snack", 1, 6000}},
		Attributes: []Attribute{{"shop", "shanghai-07"}},
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	body := AppendOrderAvro(nil, benchmarkOrder())
	r := contract(t, Order)
	var e Event
	if got := testing.AllocsPerRun(100, func() {
		if err := r.Decode(body, &e); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkDecodeOrder(b *testing.B) {
	body := AppendOrderAvro(nil, benchmarkOrder())
	r := contract(b, Order)
	var e Event
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Decode(body, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeOrderGoavro(b *testing.B) {
	body := AppendOrderAvro(nil, benchmarkOrder())
	codec, err := goavro.NewCodec(Text("OrderEvent"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := codec.NativeFromBinary(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendOrder(b *testing.B) {
	e := benchmarkOrder()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendOrderAvro(dst[:0], e)
	}
}
