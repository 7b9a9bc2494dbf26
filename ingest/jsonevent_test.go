package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidemark/schemas"
	"tidemark/testkit/soak"
)

// reference reads a line with encoding/json. Members go through a map of raw
// values, since decoding into structs would fold the case of keys and would let
// a later duplicate of an array fill the elements of an earlier one.
func reference(line []byte) (*schemas.Event, error) {
	if t := bytes.TrimLeft(line, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return nil, errors.New("no object")
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, err
	}
	for k, v := range m {
		if string(v) == "null" {
			delete(m, k)
		}
	}
	var firstErr error
	into := func(m map[string]json.RawMessage, key string, to any, needed bool) {
		raw, ok := m[key]
		var err error
		if ok {
			err = json.Unmarshal(raw, to)
		} else if needed {
			err = errors.New(key + " is missing")
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	filled := func(s string) {
		if s == "" && firstErr == nil {
			firstErr = errors.New("empty")
		}
	}
	e := &schemas.Event{Kind: schemas.Behavior}
	into(m, "event_id", &e.EventID, true)
	filled(e.EventID)
	into(m, "customer_id", &e.CustomerID, true)
	filled(e.CustomerID)
	into(m, "channel", &e.Channel, false)
	var kind string
	into(m, "type", &kind, true)
	filled(kind)
	if raw := m["occurred_at"]; len(raw) > 0 && raw[0] == '"' {
		var s string
		into(m, "occurred_at", &s, true)
		at, err := time.Parse(time.RFC3339, s)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		e.OccurredAt = schemas.EventTime(at.UnixMilli())
	} else {
		into(m, "occurred_at", (*int64)(&e.OccurredAt), true)
	}
	if _, err := inRange(e.OccurredAt); err != nil && firstErr == nil {
		firstErr = err
	}
	if _, ok := m["order_id"]; ok {
		e.Kind = schemas.Order
		into(m, "order_id", &e.OrderID, true)
		filled(e.OrderID)
		into(m, "amount_minor", &e.AmountMinor, true)
		into(m, "currency", &e.Currency, true)
		var items []map[string]json.RawMessage
		into(m, "items", &items, false)
		for _, fields := range items {
			if fields == nil && firstErr == nil {
				firstErr = errors.New("a null item")
			}
			for k, v := range fields {
				if string(v) == "null" {
					delete(fields, k)
				}
			}
			var it schemas.Item
			into(fields, "sku", &it.SKU, true)
			into(fields, "category", &it.Category, false)
			into(fields, "quantity", &it.Quantity, true)
			into(fields, "amount_minor", &it.AmountMinor, true)
			e.Items = append(e.Items, it)
		}
		e.Order = schemas.ParseOrderType(kind)
		if firstErr == nil && (e.Order == schemas.OrderUnknown || e.AmountMinor < 0 || !isCurrency(e.Currency)) {
			firstErr = errors.New("not an order event")
		}
	} else {
		e.Type = kind
	}
	if raw, ok := m["attributes"]; ok && firstErr == nil {
		var attributes map[string]json.RawMessage
		firstErr = json.Unmarshal(raw, &attributes)
		for k, v := range attributes {
			var s string
			if err := json.Unmarshal(v, &s); (err != nil || v[0] != '"') && firstErr == nil {
				firstErr = errors.New("an attribute is no string")
			}
			e.Attributes = append(e.Attributes, schemas.Attribute{Key: k, Value: s})
		}
	}
	return e, firstErr
}

// sameEvent compares but for the order and the repeats of attributes.
func sameEvent(a, b *schemas.Event) bool {
	flat := func(e *schemas.Event) (schemas.Event, map[string]string) {
		c, m := *e, map[string]string{}
		for _, at := range e.Attributes {
			m[at.Key] = at.Value
		}
		c.Attributes = nil
		if len(c.Items) == 0 {
			c.Items = nil
		}
		return c, m
	}
	ea, ma := flat(a)
	eb, mb := flat(b)
	return reflect.DeepEqual(ea, eb) && reflect.DeepEqual(ma, mb)
}

func TestJSONEdges(t *testing.T) {
	const order = `"event_id":"e","customer_id":"c","order_id":"o","type":"PAID","occurred_at":"2024-01-05T10:00:00Z","amount_minor":12000,"currency":"CNY"`
	const behavior = `"event_id":"e","customer_id":"c","type":"login","occurred_at":1704448800000`
	for _, c := range []struct {
		line string
		want string // "" for an event, else part of the reason
	}{
		{`{` + order + `}`, ""},
		{`{` + behavior + `}`, ""},
		{` { ` + behavior + ` } ` + "\r", ""},
		{`{` + behavior + `,"order_id":null}`, ""},
		{`{` + behavior + `,"extra":{"a":[1,2.5e3,null,{"b":"}"}]}}`, ""},
		{`{` + behavior + `,"type":"logout"}`, ""},
		{`{` + behavior + `,"type":3}`, "type must be a string"},
		{`{"type":3,` + behavior + `}`, ""},
		{`{` + behavior + `,"\u0074ype":"logout"}`, ""},
		{`{` + behavior + `,"channel":"\ud83d\ude00 \ud83d x\u00e9\/\b"}`, ""},
		{`{` + behavior + `,"channel":"` + "\xff\xc3" + `"}`, ""},
		{`{` + behavior + `,"channel":"小程序"}`, ""},
		{`{` + behavior + `,"attributes":{"a":"1","b":"x","a":"2"}}`, ""},
		{`{` + behavior + `,"attributes":{"a":1}}`, `the value of "a" must be a string`},
		{`{` + behavior + `,"attributes":{"a":null}}`, `the value of "a" must be a string`},
		{`{` + behavior + `,"channel":"` + "\t" + `"}`, "control character"},
		{`{` + behavior + `,"channel":"\x"}`, "unknown escape"},
		{`{` + behavior + `,"channel":"\u12g4"}`, "four hexadecimal digits"},
		{`{` + behavior + `,}`, "a key in quotes was expected"},
		{`{` + behavior, "the line ends too early"},
		{`{` + behavior + `} {}`, "something stands behind the object"},
		{`[1]`, "not a JSON object"},
		{`event_id,customer_id`, "a CSV file needs a mapping"},
		{`{` + behavior + `,"n":01}`, "a comma or } was expected"},
		{`{` + behavior + `,"n":1.}`, "a digit was expected"},
		{`{"event_id":"e"}`, "customer_id is missing"},
		{`{` + behavior + `,"customer_id":""}`, "customer_id is empty"},
		{`{` + behavior + `,"occurred_at":"2024-02-30T10:00:00Z"}`, "not RFC 3339"},
		{`{` + behavior + `,"occurred_at":"2024-02-29T10:00:00.123456789+08:00"}`, ""},
		{`{` + behavior + `,"occurred_at":"2024-02-29T10:00:00"}`, "not RFC 3339"},
		{`{` + behavior + `,"occurred_at":"1969-12-31T23:59:59.9996Z"}`, ""},
		{`{` + behavior + `,"occurred_at":1.5}`, "whole number"},
		{`{` + behavior + `,"occurred_at":true}`, "RFC 3339 text or epoch milliseconds"},
		{`{` + behavior + `,"occurred_at":9223372036854775807}`, "outside the years"},
		{`{` + order + `,"amount_minor":-1}`, "never negative"},
		{`{` + order + `,"amount_minor":1e2}`, "whole number of 64 bits"},
		{`{` + order + `,"amount_minor":"5"}`, "whole number of 64 bits"},
		{`{` + order + `,"type":"paid"}`, "none of PLACED"},
		{`{` + order + `,"currency":"cny"}`, "ISO 4217"},
		{`{` + order + `,"order_id":""}`, "order_id is empty"},
		{`{` + order + `,"items":[{"sku":"a","quantity":2,"amount_minor":-5,"q":[]},{"quantity":1,"sku":"b","amount_minor":7,"category":"x","quantity":3}]}`, ""},
		{`{` + order + `,"items":[{"sku":"a","quantity":2147483648,"amount_minor":5}]}`, "items[0]: quantity must be a whole number of 32 bits"},
		{`{` + order + `,"items":[{"quantity":2,"amount_minor":5}]}`, "items[0]: sku is missing"},
		{`{` + order + `,"items":[3]}`, "items[0]: must be an object"},
		{`{` + order + `,"items":{}}`, "items must be an array"},
		{`{` + order + `,"items":[{"sku":"a","quantity":1,"amount_minor":1}],"items":[]}`, ""},
	} {
		var p eventParser
		got, err := p.parse([]byte(c.line))
		want, refErr := reference([]byte(c.line))
		if (err == nil) != (refErr == nil) {
			t.Errorf("%s\nerror %v, encoding/json %v", c.line, err, refErr)
			continue
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s\n%v", c.line, err)
		case c.want == "" && !sameEvent(got, want):
			t.Errorf("%s\ngot  %+v\nwant %+v", c.line, got, want)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s\nerror %v, want %q", c.line, err, c.want)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := `{"event_id":"e","customer_id":"c","type":"t","occurred_at":1,"x":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`
	deeper := strings.Replace(strings.Replace(deep, "[", "[[", 1), "]", "]]", 1)
	var p eventParser
	if _, err := p.parse([]byte(deep)); err != nil {
		t.Error(err)
	}
	if _, err := p.parse([]byte(deeper)); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
		t.Errorf("nesting of 10,001: %v", err)
	}
}

// FuzzJSONLine holds the parser against encoding/json, then writes the event,
// reads it again, and takes it through the record form.
func FuzzJSONLine(f *testing.F) { fuzzJSONLine(f) }

func fuzzJSONLine(f soak.F) {
	f.Add([]byte(`{"event_id":"e","customer_id":"c","order_id":"o","type":"PAID","occurred_at":"2024-01-05T10:00:00.5+08:00","amount_minor":12000,"currency":"CNY","items":[{"sku":"a\n","quantity":1,"amount_minor":12000}],"attributes":{"a":"\u00e9\ud800"}}`))
	f.Add([]byte(`{"event_id":"e","customer_id":"c","type":"login","occurred_at":-1,"attributes":{"a":"1","a":"2"}}`))
	f.Add([]byte(`{"event_id":"e","event_id":null,"customer_id":"\xff","type":"x","occurred_at":"0000-02-29T24:00:00Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.ReplaceAll(line, []byte{'\n'}, []byte{' '})
		var p eventParser
		got, err := p.parse(line)
		want, refErr := reference(line)
		if (err == nil) != (refErr == nil) {
			t.Fatalf("error %v, encoding/json %v", err, refErr)
		}
		if err != nil {
			return
		}
		if !sameEvent(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		var d recordDecoder
		decoded, err := d.decode(appendRecord(nil, got))
		if err != nil || !sameEvent(decoded, got) {
			t.Fatalf("record gives %+v, %v", decoded, err)
		}
		written, err := AppendJSONL(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(written) || bytes.IndexByte(written, '\n') != len(written)-1 {
			t.Fatalf("not one line of UTF-8: %q", written)
		}
		var q eventParser
		if back, err := q.parse(written[:len(written)-1]); err != nil || !sameEvent(back, got) {
			t.Fatalf("written %s\ngives %+v, %v", written, back, err)
		}
	})
}

func TestQuickRFC3339AgreesWithTimeParse(t *testing.T) {
	n := 0
	for _, date := range []string{"0000-01-01", "0000-03-01", "1600-02-29", "1900-02-28", "1969-12-31", "1970-01-01", "1999-12-31", "2000-02-29", "2023-02-29", "2024-02-29", "2024-04-31", "2024-13-01", "9999-12-31"} {
		for _, clock := range []string{"00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00:60", "12:34:56.7", "12:34:56.789999", "12:34:56."} {
			for _, zone := range []string{"Z", "+00:00", "-05:30", "+08:00", "+14:00", "+24:00", "z", ""} {
				s := date + "T" + clock + zone
				got, ok := quickRFC3339(s)
				at, err := time.Parse(time.RFC3339, s)
				if !ok {
					continue
				}
				n++
				if err != nil {
					t.Errorf("%s is refused by time.Parse: %v", s, err)
				}
				if want := schemas.EventTime(at.UnixMilli()); got != want {
					t.Errorf("%s: %d, want %d", s, got, want)
				}
			}
		}
	}
	if n < 150 {
		t.Errorf("only %d texts went the quick way", n)
	}
}

// jsonLinesOf writes n events in the size of the contract's order, every one
// step milliseconds after the last; step 0 shuffles them.
func jsonLinesOf(n, step int) []byte {
	var b bytes.Buffer
	for i := range n {
		at := schemas.EventTime(1700000000000 + int64(i)*int64(step))
		if step == 0 {
			at += schemas.EventTime(i * 7919 % n)
		}
		e := schemas.Event{EventID: fmt.Sprintf("event-%09d", i), CustomerID: fmt.Sprintf("customer-%07d", i%9973), OccurredAt: at, Channel: "app"}
		if i%4 == 3 {
			e.Kind, e.Type = schemas.Behavior, "page_view"
			e.Attributes = []schemas.Attribute{{Key: "page", Value: "/home"}}
		} else {
			e.Order, e.OrderID, e.AmountMinor, e.Currency = schemas.Paid, fmt.Sprintf("order-%09d", i), int64(i%100000), "CNY"
			e.Items = []schemas.Item{{SKU: "sku-1", Category: "food", Quantity: 2, AmountMinor: int64(i % 100000)}}
		}
		WriteJSONL(&b, &e)
	}
	return b.Bytes()
}

func BenchmarkParseLine(b *testing.B) {
	lines := bytes.Split(bytes.TrimSpace(jsonLinesOf(1000, 1)), []byte{'\n'})
	var p eventParser
	var record []byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e, err := p.parse(lines[i%len(lines)])
		if err != nil {
			b.Fatal(err)
		}
		record = appendRecord(record[:0], e)
	}
	b.SetBytes(int64(len(lines[0])))
}

func BenchmarkJSONLines(b *testing.B) {
	const n = 200000
	for _, c := range []struct {
		name   string
		step   int
		budget int64
	}{{"sorted", 1, 0}, {"reversed", -1, 0}, {"shuffled", 0, 0}, {"sorted-spilled", 1, 8 << 20}, {"shuffled-spilled", 0, 8 << 20}} {
		text := jsonLinesOf(n, c.step)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				drainQuickly(b, []Source{{Path: "x", Reader: bytes.NewReader(text)}}, Options{MemoryBytes: c.budget, TempDir: b.TempDir()})
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
