package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the shrunk script of each mutant to testdata")

// A simulator is worth what it catches: each way to have the protocol wrong is
// seen within 100 seeds.
func TestMutantsAreCaught(t *testing.T) {
	for _, m := range Mutants() {
		t.Run(string(m), func(t *testing.T) {
			for seed := uint64(1); seed <= 100; seed++ {
				s := Generate(seed)
				res := Run(t, s, m)
				if res.Err == nil {
					continue
				}
				t.Logf("seed %d: %.300v", seed, res.Err)
				if *rewrite {
					s = Shrink(t, s, m, 60)
					text := "# The protocol with " + string(m) + " fails this; as it is, it must not.\n# mutant=" + string(m) + "\n" + s.String()
					if err := os.WriteFile(filepath.Join("testdata", string(m)+".txt"), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				return
			}
			t.Errorf("100 seeds do not show %s", m)
		})
	}
}

// likeIt is how many seeds a script may need to show its mutant: its faults stay,
// the load and the latencies differ. What one seed shows hangs on which of two
// requests comes first, and so on every change of the processor's own pace.
const likeIt = 40

// What once failed, shrunk: a mutant named in the script must still fail it, and
// the protocol as it is must not.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < len(Mutants()) {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if res := Run(t, s, Sound); res.Err != nil {
			t.Errorf("%s: %v\n%s", f, res.Err, res.Log.Last(*tail))
		}
		if _, rest, ok := strings.Cut(string(text), "mutant="); ok {
			name, _, _ := strings.Cut(rest, "\n")
			caught := false
			for i := 0; i < likeIt && !caught; i++ {
				like := s
				like.Seed += uint64(i)
				caught = Run(t, like, Mutant(name)).Err != nil
				if caught {
					t.Logf("%s: %s is caught by seed %d of it", f, name, i+1)
				}
			}
			if !caught {
				t.Errorf("%s: %s is not caught any more in %d seeds", f, name, likeIt)
			}
		}
	}
}

// The same seed gives the same history. Where two goroutines of a processor are
// ready at once Go may choose either, so a few may differ.
func TestTheSameSeedGivesTheSameHistory(t *testing.T) {
	const n = 20
	same := 0
	for seed := uint64(1); seed <= n; seed++ {
		if Run(t, Generate(seed), Sound).Trace == Run(t, Generate(seed), Sound).Trace {
			same++
		}
	}
	t.Logf("%d of %d seeds gave the same history twice", same, n)
	// On a machine busy with other work a quarter to three quarters do.
	if same == 0 {
		t.Errorf("none of %d seeds gave the same history twice", n)
	}
}
