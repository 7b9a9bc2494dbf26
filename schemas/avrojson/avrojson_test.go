package avrojson

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"tidemark/schemas"
)

func ptr[T any](v T) *T { return &v }

// records are filled so that every form occurs: null and not, empty and not,
// text that JSON escapes, maps out of order.
func records() []schemas.Record {
	head := schemas.Head{TriggerID: "t<1>&", CustomerID: "客户\u2028\"\\\n", Rule: "r", PlaybookVersion: "1-ab", Episode: 3,
		Status: schemas.Corrected, Corrects: ptr("t0"), EffectiveAt: 1_700_000_000_123, CausedBy: ptr("e\x01"),
		Evidence: []schemas.Evidence{{Fact: "p", Value: "0.8", Comparison: ">=", Limit: "0.5"}}, Owner: "o"}
	return []schemas.Record{
		&schemas.TierChange{}, &schemas.ChurnWarning{}, &schemas.RecallTrigger{}, &schemas.LifecycleChange{}, &schemas.EngagementTrigger{},
		&schemas.SuppressedTrigger{}, &schemas.LifecycleMetric{}, &schemas.DeadLetter{}, &schemas.Journal{}, &schemas.Control{Body: []byte{}}, &schemas.Transfer{Body: []byte{}},
		&schemas.TierChange{Head: head, Kind: "upgrade", FromLevel: -1, ToLevel: math.MaxInt32, GrowthValue: math.MinInt64, ValidUntil: ptr(schemas.EventTime(5)), Benefits: []string{"a", "b"}},
		&schemas.ChurnWarning{Head: head, Risk: ptr(0.123456), HorizonMS: ptr(int64(7)), ExpectedPrecision: ptr(1e-9), BaseRate: ptr(2.0), EndedAt: ptr(schemas.EventTime(-1))},
		&schemas.EngagementTrigger{Head: head, Attributes: []schemas.Attribute{{Key: "z", Value: "1"}, {Key: "a", Value: "<2>"}}},
		&schemas.LifecycleMetric{MetricID: "m", Dimensions: []schemas.Attribute{{Key: "b", Value: "x"}, {Key: "a", Value: "y"}}, Value: ptr("1.50")},
		&schemas.DeadLetter{DeadLetterID: "d", Key: []byte("k"), Value: []byte{0, 1, 255}, Truncated: true,
			Headers: []schemas.Header{{Key: "h", Value: []byte("v")}, {Key: "n"}}},
		&schemas.Journal{Format: 1, Sequence: 9, Starts: []schemas.InputOffset{{Input: 1, Offset: 2}},
			Items: []schemas.JournalItem{{Kind: schemas.TickItem, To: 4, Place: []byte{1, 2}}}, Dead: []schemas.DeadMark{{Reason: "x"}}, TriggerHash: -4},
	}
}

// What replay prints and what a consumer of the topic is shown is one text.
func TestSameBytesAsTheRecordsOwnJSON(t *testing.T) {
	for _, r := range records() {
		name := schemas.NameOf(r)
		s, err := Compile(schemas.Text(name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := schemas.AppendJSON(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if want[0] == '{' && (name == "Journal") { // an item's empty place is "" on the wire
			want = []byte(strings.ReplaceAll(string(want), `"place":null`, `"place":""`))
		}
		got, err := s.Append([]byte("x"), r.AppendAvro(nil))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(got) != "x"+string(want) {
			t.Errorf("%s:\ngot  %s\nwant x%s", name, got, want)
		}
	}
}

const everything = `{"type":"record","name":"a.Tree","fields":[
 {"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"b","type":"boolean"},
 {"name":"x","type":{"type":"fixed","name":"Two","size":2}},{"name":"x2","type":"Two"},
 {"name":"e","type":{"type":"enum","name":"E","symbols":["P","Q"]}},
 {"name":"m","type":{"type":"map","values":{"type":"array","items":["null","int"]}}},
 {"name":"kids","type":{"type":"array","items":"Tree"}}]}`

func TestOtherWritersSchemas(t *testing.T) {
	codec, err := goavro.NewCodec(everything)
	if err != nil {
		t.Fatal(err)
	}
	leaf := map[string]any{"f": float32(0.5), "d": math.Inf(1), "b": true, "x": []byte("hi"), "x2": []byte{0, 1}, "e": "Q",
		"m": map[string]any{"k": []any{nil, map[string]any{"int": 4}}, "a": []any{}}, "kids": []any{}}
	root := map[string]any{}
	for k, v := range leaf {
		root[k] = v
	}
	root["kids"] = []any{leaf}
	body, err := codec.BinaryFromNative(nil, root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(everything)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Append(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	one := `{"f":0.5,"d":"+Inf","b":true,"x":"aGk=","x2":"AAE=","e":"Q","m":{"a":[],"k":[null,4]},"kids":[`
	if want := one + one + "]}]}"; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := s.Name(), "a.Tree"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}

	// Every cut and many flips: an error or valid JSON, never a panic.
	r := rand.New(rand.NewSource(1))
	for i := range body {
		if _, err := s.Append(nil, body[:i]); err == nil {
			t.Errorf("cut at %d of %d is taken", i, len(body))
		}
		for range 20 {
			bad := append([]byte(nil), body...)
			bad[i] = byte(r.Intn(256))
			if out, err := s.Append(nil, bad); err == nil && !json.Valid(out) {
				t.Fatalf("%x gives %s", bad, out)
			}
		}
	}
	if _, err := s.Append(nil, append(body, 0)); !errors.Is(err, ErrTrailing) {
		t.Errorf("a byte too many: %v", err)
	}
}

// A writer may say how long a block is, and may cut an array into several.
func TestBlocks(t *testing.T) {
	s, err := Compile(`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"int"}},{"name":"m","type":{"type":"map","values":"int"}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{3, 4, 2, 4, 2, 6, 0 /* -2 in 2 bytes: 1 2; 1: 3 */, 1, 6, 2, 'k', 8, 2, 2, 'k', 10, 0 /* -1 in 3 bytes: k 4; k 5 */}
	if got, err := s.Append(nil, body); err != nil || string(got) != `{"a":[1,2,3],"m":{"k":5}}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	nulls, err := Compile(`{"type":"array","items":"null"}`)
	if err != nil {
		t.Fatal(err)
	}
	bomb := []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0}
	if _, err := nulls.Append(nil, bomb); !errors.Is(err, ErrLimit) {
		t.Errorf("2^63 nulls: %v", err)
	}
	// A million nulls in four bytes cost megabytes of text; as many values in as
	// many bytes are taken.
	million := []byte{0x80, 0x89, 0x7a, 0}
	if _, err := nulls.Append(nil, million); !errors.Is(err, ErrLimit) {
		t.Errorf("a million nulls in four bytes: %v", err)
	}
	longs, err := Compile(`{"type":"array","items":"long"}`)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := longs.Append(nil, slices.Concat(million[:3], make([]byte, 1_000_001))); err != nil || len(out) != 2_000_001 {
		t.Errorf("a million longs: %d bytes, %v", len(out), err)
	}
	deep, err := Compile(`{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deep.Append(nil, []byte(strings.Repeat("\x02", 10_000)+"\x00")); !errors.Is(err, ErrLimit) {
		t.Errorf("10,000 levels: %v", err)
	}
	if _, err := Compile(`{"type":"nothing"}`); !errors.Is(err, ErrSchema) {
		t.Errorf("no schema: %v", err)
	}
	if s, err := Compile(`{"type":"record","name":"R","fields":[{"name":"o","type":"x.Other"}]}`,
		`{"type":"record","name":"x.Other","fields":[{"name":"s","type":"string"}]}`); err != nil {
		t.Error(err)
	} else if got, err := s.Append(nil, []byte("\x04ab")); err != nil || string(got) != `{"o":{"s":"ab"}}` {
		t.Errorf("%s, %v", got, err)
	}
}
