package script

import (
	"errors"
	"os"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/cockroachdb/datadriven"

	"tidemark/playbook"
)

var _ = datadriven.RunTest // it registers -rewrite

// TestExamples runs the scripts of the example playbooks as their authors do.
func TestExamples(t *testing.T) {
	for _, name := range []string{"bank", "shop"} {
		pb, err := playbook.Load("../../../examples/playbooks/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		file := "../../../examples/scripts/" + name + ".txt"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := Run(pb, string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if rewriting() {
			if err := os.WriteFile(file, []byte(Format(blocks)), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if Format(blocks) != string(text) {
			t.Errorf("%s is not as it would be written", file)
		}
		for i := range blocks {
			if b := &blocks[i]; !b.Same() {
				t.Errorf("%s:%d expects\n%s\nand the playbook says\n%s", file, b.Line, strings.Join(b.Want, "\n"), strings.Join(b.Got, "\n"))
			}
		}
	}
}

const small = `
playbook: small
clock: input
time_zone: Asia/Shanghai
currency: CNY
segments:
  - {name: bought, when: orders >= 1}
`

func TestDiffers(t *testing.T) {
	pb, err := playbook.Compile([]byte(small), "small")
	if err != nil {
		t.Fatal(err)
	}
	const said = "lifecycle-changes c1 FIRED bought 1/0 2024-01-05 segment_entered -→bought | orders 1 >= 1"
	for text, want := range map[string]bool{
		"event c1 2024-01-05 PAID o1 1.00\n----\n" + said + "\n":                               true,
		"event c1 2024-01-05 PAID o1 1.00\n----\n":                                             false,
		"event c1 2024-01-05 PAID o1 1.00\nadvance 3d\n----\n" + said + "\n" + said + "\n":     false,
		"# a remark alone\n\nevent c1 2024-01-05 app.opened page=\"home page\"\n----\n":        true,
		"event c1 2024-01-05 PAID o1 1.00 channel=app items=book:1.00\n----\n  " + said + "\n": true,
	} {
		blocks, err := Run(pb, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := blocks[len(blocks)-1].Same(); got != want {
			t.Errorf("%s: same %v, it said %q", text, got, blocks[len(blocks)-1].Got)
		}
	}
}

func TestMistakes(t *testing.T) {
	pb, err := playbook.Compile([]byte(small), "small")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"event c1 2024-01-05 PAID":                          "line 1: PAID needs the order that it is about",
		"event c1 yesterday PAID o1":                        `line 1: "yesterday" is no time`,
		"# a\nevent c1":                                     "line 2: an event is:",
		"wait 3d":                                           `line 1: unknown command "wait"`,
		"advance 2024-01-02\nadvance 2024-01-01":            "line 2: time does not go back",
		"advance 2024-01-02":                                "line 1: the block has no line ----",
		"event c1 2024-01-05 app.opened page=\"home":        "line 1: a quote is not closed",
		"event c1 2024-01-05 app.opened home":               `line 1: "home" is no attribute`,
		"event c1 2024-01-05 PAID o1 1.005\n----":           "line 1: ",
		"advance soon\n----":                                `line 1: "soon" is no time`,
		"advance 2024-01-02\n\nevent c1 2024-01-03 PAID o1": "line 2: the block has no line ----",
	} {
		_, err := Run(pb, text)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func rewriting() bool {
	for _, a := range os.Args {
		if a == "-rewrite" || a == "--rewrite" {
			return true
		}
	}
	return false
}
