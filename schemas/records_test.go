package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"tidemark/testkit/soak"
)

// one of each record; the order is that of Records without the inputs.
func emptyRecords() []Record {
	return []Record{&TierChange{}, &ChurnWarning{}, &RecallTrigger{}, &LifecycleChange{},
		&EngagementTrigger{}, &SuppressedTrigger{}, &LifecycleMetric{}, &DeadLetter{},
		&Journal{}, &Control{}, &Transfer{}}
}

// avroField is one field of a record schema, as far as the tests look at it.
type avroField struct {
	Name    string          `json:"name"`
	Type    any             `json:"type"`
	Doc     string          `json:"doc"`
	Default json.RawMessage `json:"default"`
}

type avroRecord struct {
	Type      string      `json:"type"`
	Name      string      `json:"name"`
	Namespace string      `json:"namespace"`
	Doc       string      `json:"doc"`
	Fields    []avroField `json:"fields"`
}

// structFields lists the fields of a struct in the order of the wire, Head flattened.
func structFields(t reflect.Type) (fields []reflect.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range structFields(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				fields = append(fields, inner)
			}
			continue
		}
		fields = append(fields, f)
	}
	return fields
}

var (
	typeOfTime       = reflect.TypeFor[EventTime]()
	typeOfAttributes = reflect.TypeFor[[]Attribute]()
	typeOfBytes      = reflect.TypeFor[[]byte]()
)

// nullableBytes are the []byte fields whose comment says nil.
var nullableBytes = map[string]bool{"DeadLetter.key": true, "DeadLetter.value": true, "Header.value": true}

// wantType is the schema that a Go type stands for, in the shape of decoded JSON.
func wantType(t reflect.Type, path string) any {
	switch {
	case t == typeOfTime:
		return map[string]any{"type": "long", "logicalType": "timestamp-millis"}
	case t == typeOfAttributes:
		return map[string]any{"type": "map", "values": "string"}
	case t == typeOfBytes && nullableBytes[path]:
		return []any{"null", "bytes"}
	case t == typeOfBytes:
		return "bytes"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return []any{"null", wantType(t.Elem(), path)}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": wantType(t.Elem(), path)}
	case reflect.String:
		return "string"
	case reflect.Int32:
		return "int"
	case reflect.Int64:
		return "long"
	case reflect.Float64:
		return "double"
	case reflect.Bool:
		return "boolean"
	case reflect.Struct:
		return t
	}
	return fmt.Sprintf("no schema for %v", t)
}

// compareSchema reports every difference between a record schema and a struct.
func compareSchema(t *testing.T, schema avroRecord, typ reflect.Type) {
	t.Helper()
	if got, want := schema.Name, typ.Name(); got != want {
		t.Errorf("record name %s, want %s", got, want)
	}
	fields := structFields(typ)
	if got, want := len(schema.Fields), len(fields); got != want {
		t.Fatalf("%s: %d fields in the schema, %d in the struct", schema.Name, got, want)
	}
	for i, f := range schema.Fields {
		path := schema.Name + "." + f.Name
		if got, want := f.Name, fields[i].Tag.Get("json"); got != want {
			t.Errorf("field %d of %s is %s in the schema, %s in the struct", i, schema.Name, got, want)
		}
		if f.Doc == "" {
			t.Errorf("%s has no doc", path)
		}
		want := wantType(fields[i].Type, path)
		nested := f.Type
		if array, ok := f.Type.(map[string]any); ok && array["type"] == "array" {
			if elem, ok := want.(map[string]any)["items"].(reflect.Type); ok {
				nested = array["items"]
				want = elem
			}
		}
		if elem, ok := want.(reflect.Type); ok {
			text, _ := json.Marshal(nested)
			var inner avroRecord
			if err := json.Unmarshal(text, &inner); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			compareSchema(t, inner, elem)
		} else if !reflect.DeepEqual(f.Type, want) {
			t.Errorf("%s is %v in the schema, %v by the struct", path, f.Type, want)
		}
		wantDefault := ""
		if fields[i].Type.Kind() == reflect.Pointer || nullableBytes[path] {
			wantDefault = "null"
		} else if f.Name == "owner" {
			wantDefault = `""`
		}
		if got := string(f.Default); got != wantDefault {
			t.Errorf("%s has default %q, want %q", path, got, wantDefault)
		}
	}
}

// The structs, their JSON names and the published schemas say the same thing.
func TestSchemasMatchStructs(t *testing.T) {
	records := emptyRecords()
	if got, want := len(records)+2, len(Records()); got != want {
		t.Fatalf("%d records are tested, %d exist", got, want)
	}
	for i, r := range records {
		name := Records()[i+2]
		if got := NameOf(r); got != name {
			t.Errorf("NameOf(%T) = %s, want %s", r, got, name)
		}
		var schema avroRecord
		if err := json.Unmarshal([]byte(Text(name)), &schema); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if schema.Doc == "" || schema.Namespace != "tidemark.v1" || schema.Type != "record" {
			t.Errorf("%s: type %s, namespace %s, doc %q", name, schema.Type, schema.Namespace, schema.Doc)
		}
		compareSchema(t, schema, reflect.TypeOf(r).Elem())
	}
	if Text("Nobody") != "" || Topic("nowhere").Record() != "" {
		t.Error("an unknown name has a schema")
	}
	for _, r := range records {
		if trigger, ok := r.(Trigger); ok {
			if got, want := trigger.Topic().Record(), NameOf(r); got != want {
				t.Errorf("topic %s carries %s, want %s", trigger.Topic(), got, want)
			}
		}
	}
}

// fill draws a random value for everything under v.
func fill(t *rapid.T, v reflect.Value, label string) {
	switch v.Type() {
	case typeOfAttributes:
		m := rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, label)
		for k, s := range m {
			v.Set(reflect.Append(v, reflect.ValueOf(Attribute{Key: k, Value: s})))
		}
		v.Set(reflect.ValueOf(sortedAttributes(v.Interface().([]Attribute))))
		return
	case typeOfBytes:
		if rapid.Bool().Draw(t, label+" set") {
			v.SetBytes(rapid.SliceOf(rapid.Byte()).Draw(t, label))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), label+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, label+" set") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), label)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, label+" length")
		for i := range n {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			fill(t, v.Index(i), label)
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, label))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, label)))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, label))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, label))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, label))
	default:
		t.Fatalf("no random %v", v.Type())
	}
}

// native is v as goavro decodes it.
func native(v reflect.Value, path string) any {
	switch {
	case v.Type() == typeOfTime:
		return time.UnixMilli(v.Int()).UTC()
	case v.Type() == typeOfAttributes:
		m := map[string]any{}
		for _, a := range v.Interface().([]Attribute) {
			m[a.Key] = a.Value
		}
		return m
	case v.Type() == typeOfBytes && nullableBytes[path]:
		if v.IsNil() {
			return nil
		}
		return map[string]any{"bytes": v.Bytes()}
	case v.Type() == typeOfBytes:
		return append([]byte{}, v.Bytes()...)
	}
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for _, f := range structFields(v.Type()) {
			name := f.Tag.Get("json")
			m[name] = native(v.FieldByIndex(f.Index), v.Type().Name()+"."+name)
		}
		return m
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		branch := wantType(v.Type().Elem(), path)
		if v.Type().Elem() == typeOfTime {
			branch = "long.timestamp-millis"
		}
		return map[string]any{branch.(string): native(v.Elem(), path)}
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, native(v.Index(i), path))
		}
		return list
	case reflect.Int32:
		return int32(v.Int())
	case reflect.Int64:
		return v.Int()
	}
	return v.Interface()
}

func newCodec(t testing.TB, text string) *goavro.Codec {
	t.Helper()
	codec, err := goavro.NewCodec(text)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// What AppendAvro writes is what an independent Avro implementation reads with
// the published schema, appended after what was there, and the same each time.
func TestAppendAvroAgainstGoavro(t *testing.T) {
	for _, empty := range emptyRecords() {
		name := NameOf(empty)
		t.Run(name, func(t *testing.T) {
			codec := newCodec(t, Text(name))
			rapid.Check(t, func(t *rapid.T) {
				v := reflect.New(reflect.TypeOf(empty).Elem())
				fill(t, v.Elem(), name)
				body := v.Interface().(Record).AppendAvro([]byte("before"))[len("before"):]
				got, rest, err := codec.NativeFromBinary(body)
				if err != nil {
					t.Fatal(err)
				}
				if len(rest) != 0 {
					t.Fatalf("%d bytes left over", len(rest))
				}
				if want := native(v.Elem(), name); !sameNative(got, want) {
					t.Fatalf("goavro reads\n%v\nwant\n%v", got, want)
				}
				if again := v.Interface().(Record).AppendAvro(nil); !bytes.Equal(again, body) {
					t.Fatal("the same record gives other bytes")
				}
			})
		})
	}
}

// sameNative is reflect.DeepEqual with instants compared as milliseconds: a
// time.Time may hold the same instant in two ways.
func sameNative(a, b any) bool {
	switch x := a.(type) {
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.UnixMilli() == y.UnixMilli()
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			other, ok := y[k]
			if !ok || !sameNative(x[k], other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameNative(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

func drawEvent(t *rapid.T, kind Kind) *Event {
	e := &Event{Kind: kind}
	for _, name := range []string{"EventID", "CustomerID", "OccurredAt", "Channel", "Attributes"} {
		fill(t, reflect.ValueOf(e).Elem().FieldByName(name), name)
	}
	if kind == Behavior {
		e.Type = rapid.String().Draw(t, "type")
		return e
	}
	for _, name := range []string{"OrderID", "AmountMinor", "Currency", "Items"} {
		fill(t, reflect.ValueOf(e).Elem().FieldByName(name), name)
	}
	e.Order = OrderType(rapid.IntRange(int(Placed), int(Refunded)).Draw(t, "order"))
	return e
}

// eventNative is e as goavro decodes it under the contract's schema.
func eventNative(e *Event) map[string]any {
	m := map[string]any{
		"event_id": e.EventID, "customer_id": e.CustomerID, "channel": e.Channel,
		"occurred_at": time.UnixMilli(int64(e.OccurredAt)).UTC(),
	}
	attributes := map[string]any{}
	for _, a := range e.Attributes {
		attributes[a.Key] = a.Value
	}
	m["attributes"] = attributes
	if e.Kind == Behavior {
		m["type"] = e.Type
		return m
	}
	m["type"], m["order_id"], m["amount_minor"], m["currency"] = e.Order.String(), e.OrderID, e.AmountMinor, e.Currency
	items := []any{}
	for _, i := range e.Items {
		items = append(items, map[string]any{"sku": i.SKU, "category": i.Category, "quantity": i.Quantity, "amount_minor": i.AmountMinor})
	}
	m["items"] = items
	return m
}

func appendEvent(dst []byte, e *Event) []byte {
	if e.Kind == Behavior {
		return AppendBehaviorAvro(dst, e)
	}
	return AppendOrderAvro(dst, e)
}

func TestAppendInputsAgainstGoavro(t *testing.T) {
	for _, kind := range []Kind{Order, Behavior} {
		codec := newCodec(t, Text(kind.Record()))
		rapid.Check(t, func(t *rapid.T) {
			e := drawEvent(t, kind)
			got, rest, err := codec.NativeFromBinary(appendEvent(nil, e))
			if err != nil || len(rest) != 0 {
				t.Fatalf("%v, %d bytes left over", err, len(rest))
			}
			if want := eventNative(e); !sameNative(got, want) {
				t.Fatalf("goavro reads\n%v\nwant\n%v", got, want)
			}
		})
	}
}

func TestSortedAttributes(t *testing.T) {
	in := []Attribute{{"b", "1"}, {"a", "2"}, {"b", "3"}, {"c", "4"}, {"a", "5"}}
	want := []Attribute{{"a", "5"}, {"b", "3"}, {"c", "4"}}
	if got := sortedAttributes(in); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if in[0].Key != "b" || in[4].Value != "5" {
		t.Error("the caller's attributes were changed")
	}
}

// normal makes nil and empty the same, which is all that decoding loses.
func normal(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			normal(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			normal(v.Field(i))
		}
	}
}

var internalDecoders = map[string]func([]byte) (any, error){
	"Journal":  func(b []byte) (any, error) { return DecodeJournal(b) },
	"Control":  func(b []byte) (any, error) { return DecodeControl(b) },
	"Transfer": func(b []byte) (any, error) { return DecodeTransfer(b) },
}

func TestInternalRoundTrip(t *testing.T) {
	for _, empty := range emptyRecords()[8:] {
		name := NameOf(empty)
		rapid.Check(t, func(t *rapid.T) {
			v := reflect.New(reflect.TypeOf(empty).Elem())
			fill(t, v.Elem(), name)
			body := v.Interface().(Record).AppendAvro(nil)
			got, err := internalDecoders[name](body)
			if err != nil {
				t.Fatal(err)
			}
			clear(body) // what was decoded must not live in the body
			normal(v.Elem())
			if !reflect.DeepEqual(got, v.Interface()) {
				t.Fatalf("got %+v, want %+v", got, v.Interface())
			}
		})
	}
}

// Every body that is cut short, or has one byte too many, is refused.
func TestInternalDecodersRefuse(t *testing.T) {
	for _, empty := range emptyRecords()[8:] {
		name := NameOf(empty)
		rapid.Check(t, func(t *rapid.T) {
			v := reflect.New(reflect.TypeOf(empty).Elem())
			fill(t, v.Elem(), name)
			body := v.Interface().(Record).AppendAvro(nil)
			n := rapid.IntRange(0, len(body)-1).Draw(t, "cut")
			if got, err := internalDecoders[name](body[:n]); err == nil {
				t.Fatalf("%d of %d bytes decode to %+v", n, len(body), got)
			}
			if _, err := internalDecoders[name](append(body, 0)); err == nil {
				t.Fatal("a byte too many is not noticed")
			}
		})
	}
}

func FuzzDecodeInternal(f *testing.F) { fuzzDecodeInternal(f) }

func fuzzDecodeInternal(f soak.F) {
	for _, r := range emptyRecords()[8:] {
		f.Add(r.AppendAvro(nil))
	}
	j := Journal{Starts: []InputOffset{{1, 2}}, Items: []JournalItem{{Kind: RunItem, Place: []byte("p")}}, Dead: []DeadMark{{Step: "s"}}}
	f.Add(j.AppendAvro(nil))
	for _, r := range emptyRecords()[8:] { // and some that are full
		body := rapid.Custom(func(t *rapid.T) []byte {
			v := reflect.New(reflect.TypeOf(r).Elem())
			fill(t, v.Elem(), NameOf(r))
			return v.Interface().(Record).AppendAvro(nil)
		})
		for seed := range 12 {
			f.Add(body.Example(seed))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, decode := range internalDecoders {
			got, err := decode(body)
			if err != nil {
				continue
			}
			// The bytes need not be canonical, but the value is the same the second time.
			again, err := decode(got.(Record).AppendAvro(nil))
			if err != nil || !reflect.DeepEqual(got, again) {
				t.Fatalf("%s: %+v, then %+v, %v", name, got, again, err)
			}
		}
	})
}

// jsonKeys lists the keys of an object in their order.
func jsonKeys(t *testing.T, text []byte) (keys []string) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	depth, isKey := 0, false
	for {
		token, err := dec.Token()
		if err != nil {
			return keys
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			isKey = depth == 1
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			isKey = depth == 1
			continue
		}
		if depth != 1 {
			continue
		}
		if isKey {
			keys = append(keys, token.(string))
		}
		isKey = !isKey
	}
}

// An empty record is where a forgotten null or a key out of place would show.
func TestJSONHasTheSchemasFieldsInOrder(t *testing.T) {
	for _, r := range emptyRecords() {
		name := NameOf(r)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var schema avroRecord
		if err := json.Unmarshal([]byte(Text(name)), &schema); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, f := range schema.Fields {
			want = append(want, f.Name)
			var array bool
			if m, ok := f.Type.(map[string]any); ok {
				array = m["type"] == "array"
			}
			if array && !strings.Contains(string(text), `"`+f.Name+`":[]`) {
				t.Errorf("%s.%s is not [] in %s", name, f.Name, text)
			}
		}
		if got := jsonKeys(t, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has keys %v, want %v", name, got, want)
		}
	}
}

func TestJSONForm(t *testing.T) {
	risk := 0.123456
	w := &ChurnWarning{Head: Head{Evidence: []Evidence{{"risk", "0.5", "<=", "a&b"}}}, Risk: &risk}
	got, err := AppendJSON([]byte("> "), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`> {"trigger_id":""`, `"comparison":"<=","limit":"a&b"`, `"risk":0.123456`, `"corrects":null`} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	m := &LifecycleMetric{Dimensions: []Attribute{{"b", "2"}, {"a", "<1>"}}}
	got, err = AppendJSON(nil, m)
	if err != nil || !bytes.Contains(got, []byte(`"dimensions":{"a":"<1>","b":"2"},"value":null`)) {
		t.Errorf("%s, %v", got, err)
	}
	j := &Journal{Items: []JournalItem{{Kind: TickItem}}}
	got, err = AppendJSON(nil, j)
	if err != nil || !bytes.Contains(got, []byte(`"place":""`)) {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := AppendJSON(nil, nil); err == nil {
		t.Error("a nil record has a JSON form")
	}
}

// By value and by pointer, alone and within something else, with and without
// escapes: the same object, from which the record comes back.
func TestJSONRoundTrip(t *testing.T) {
	for _, empty := range emptyRecords() {
		typ := reflect.TypeOf(empty).Elem()
		t.Run(typ.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := reflect.New(typ)
				fill(t, v.Elem(), typ.Name())
				line, err := AppendJSON(nil, v.Interface().(Record))
				if err != nil {
					t.Fatal(err)
				}
				byValue, err := json.Marshal([]any{v.Elem().Interface(), v.Interface()})
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := json.Marshal([]json.RawMessage{line, line}); !bytes.Equal(byValue, want) {
					t.Fatalf("%s\nand\n%s", byValue, want)
				}
				back := reflect.New(typ)
				if err := json.Unmarshal(line, back.Interface()); err != nil {
					t.Fatal(err)
				}
				normal(back.Elem())
				normal(v.Elem())
				if !reflect.DeepEqual(back.Interface(), v.Interface()) {
					t.Fatalf("got %+v, want %+v", back.Interface(), v.Interface())
				}
			})
		})
	}
}
