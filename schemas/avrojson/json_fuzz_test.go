package avrojson

import (
	"encoding/json"
	"testing"

	"tidemark/testkit/soak"
)

// FuzzAppend: bytes of any kind under a schema with everything in it become
// JSON or an error, and an error leaves what was there as it was.
func FuzzAppend(f *testing.F) { fuzzAppend(f) }

func fuzzAppend(f soak.F) {
	s, err := Compile(`{"type":"record","name":"All","fields":[
		{"name":"a","type":"string"},{"name":"b","type":"bytes"},{"name":"c","type":"double"},{"name":"d","type":"float"},
		{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"f","type":{"type":"fixed","name":"F","size":3}},
		{"name":"g","type":{"type":"map","values":["null","long","All"]}},{"name":"h","type":{"type":"array","items":"null"}},
		{"name":"i","type":["null","boolean",{"type":"array","items":"int"}]},{"name":"j","type":{"type":"record","name":"Empty","fields":[]}}]}`)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x02a\x02b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00abc\x02\x02k\x00\x00\x02\x00\x02\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x7f\x00\x00\x80\x7f\x02xyz\x00\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := s.Append([]byte("x"), body)
		if err != nil {
			if string(out) != "x" {
				t.Fatalf("after an error: %q", out)
			}
			return
		}
		if out[0] != 'x' || !json.Valid(out[1:]) {
			t.Fatalf("not JSON: %q", out)
		}
	})
}
