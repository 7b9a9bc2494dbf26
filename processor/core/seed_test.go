package core

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain gives the property tests the same histories in every run, so that a
// commit is judged by itself and not by luck. Others are looked for with a seed of
// one's own, or 0 for a new one each time:
//
//	go test ./processor/core -rapid.seed=0 -rapid.checks=1000
func TestMain(m *testing.M) {
	const seed = "20261122"
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	checksGiven = given["rapid.checks"]
	if !given["rapid.seed"] {
		if err := flag.Set("rapid.seed", seed); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		fmt.Println("rapid.seed", seed)
	}
	os.Exit(m.Run())
}

var checksGiven bool // on the command line

// fewer lowers how many cases a slow property tries, unless -rapid.checks says
// how many; tests that use it do not run beside others.
func fewer(t *testing.T, checks string) {
	t.Helper()
	if checksGiven {
		return
	}
	was := flag.Lookup("rapid.checks").Value.String()
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set("rapid.checks", was); err != nil {
			t.Fatal(err)
		}
	})
}
