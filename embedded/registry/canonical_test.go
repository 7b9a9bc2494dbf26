package registry

import (
	"os"
	"strings"
	"testing"

	"tidemark/testkit/soak"
)

func TestCanonicalIsJavas(t *testing.T) {
	data, err := os.ReadFile("testdata/canonical.txt")
	if err != nil {
		t.Fatal(err)
	}
	pairs := 0
	for _, pair := range strings.Split(string(data), "\n\n") {
		var lines []string
		for _, line := range strings.Split(pair, "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		if len(lines) != 2 {
			continue
		}
		pairs++
		p, err := parse(lines[0], nil, false, nil)
		if err != nil {
			t.Errorf("%s: %v", lines[0], err)
			continue
		}
		if got, want := p.text, lines[1]; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		again, err := parse(p.text, nil, false, nil)
		if err != nil || again.text != p.text {
			t.Errorf("canonical form of a canonical form: %v, %v", again, err)
		}
	}
	if pairs != 12 {
		t.Fatalf("%d pairs in the file, want 12", pairs)
	}
}

// No text that anybody may send makes the parser panic, and what is accepted
// keeps its canonical form.
func FuzzParse(f *testing.F) { fuzzParse(f) }

func fuzzParse(f soak.F) {
	for _, s := range []string{`"int"`, rec(fieldA, fieldBDefault), `["null",{"type":"array","items":"string"}]`,
		`{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"],"default":null}]}`,
		`{"type":"enum","name":"a.E","symbols":["A"],"default":"A","aliases":["b.F"]}`, `{"type":"fixed","name":"F","size":2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text, nil, false, nil)
		if err != nil {
			if strings.Contains(err.Error(), "means something else") || strings.Contains(err.Error(), "canonical form") {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		again, err := parse(p.text, nil, false, nil)
		if err != nil || again.text != p.text {
			t.Fatalf("%s: canonical %s, then %v %v", text, p.text, again, err)
		}
	})
}
