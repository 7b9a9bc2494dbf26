package main

import (
	"strings"
	"testing"
)

func TestExecutions(t *testing.T) {
	out := "fuzz: elapsed: 0s, gathering baseline coverage: 0/9 completed\nfuzz: elapsed: 3s, execs: 1200 (400/sec), new interesting: 1 (total: 10)\nfuzz: elapsed: 6s, execs: 2500 (430/sec), new interesting: 1 (total: 10)\nPASS\n"
	if got, want := executions([]byte(out)), int64(2500); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestTableAddsUp(t *testing.T) {
	page := "# Page\n\n| target | executions | runs |\n|---|---|---|\n| state FuzzRow | 1,200,000 | 2 |\n\nMore.\n"
	for _, step := range []target{{"./state", "FuzzRow"}, {"./config", "FuzzLoad"}, {"./config", "FuzzLoad"}} {
		text, err := edited([]byte(page), fuzzed, step, func(c *counted) error { c.sum, c.runs = c.sum+1000, c.runs+1; return nil })
		if err != nil {
			t.Fatal(err)
		}
		page = string(text)
	}
	want := "# Page\n\n| target | executions | runs |\n|---|---|---|\n| config FuzzLoad | 2,000 | 2 |\n| state FuzzRow | 1,201,000 | 3 |\n\nMore.\n"
	if page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
	if _, err := edited([]byte("no table"), fuzzed, target{}, func(*counted) error { return nil }); err == nil {
		t.Error("a page without a table is taken")
	}
}

// Every target is found from the module's root, so that none is left out of a run.
func TestFind(t *testing.T) {
	targets, err := find("../../..")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, x := range targets {
		all = append(all, x.Name)
	}
	for _, want := range []string{"FuzzRow", "FuzzBatch", "FuzzCompile", "FuzzHostile", "FuzzInternal", "FuzzCSV", "FuzzLoad"} {
		if !strings.Contains(strings.Join(all, " "), want) {
			t.Errorf("%s is not among %v", want, all)
		}
	}
}

// A soak is counted in its own table, without what its target skipped, and no
// seed is counted twice.
func TestSoaksAddUp(t *testing.T) {
	out := "=== RUN\n    soak.go:60: soak FuzzRow executions 1200 skipped 200 seed 7 corpus 12 00ff in 1s\n--- PASS\n    soak.go:60: soak FuzzKeys executions 5 skipped 0 seed 7 corpus 1 00ff in 1s\n"
	got := soaks([]byte(out))
	if len(got) != 2 || got[0] != (told{"FuzzRow", 1000}) || got[1] != (told{"FuzzKeys", 5}) {
		t.Errorf("got %v", got)
	}
	page := "| target | executions | runs |\n|---|---|---|\n| state FuzzRow | 7 | 1 |\n\n" + soaked + "| state FuzzRow | 1,000 | 2 | 3, 5 |\n"
	text, err := edited([]byte(page), soaked, target{"./state", "FuzzRow"}, func(c *counted) (err error) {
		c.sum, c.runs = c.sum+1000, c.runs+1
		c.seeds, err = withSeed(c.seeds, 4)
		return err
	})
	want := "| target | executions | runs |\n|---|---|---|\n| state FuzzRow | 7 | 1 |\n\n" + soaked + "| state FuzzRow | 2,000 | 3 | 3-5 |\n"
	if err != nil || string(text) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, text, want)
	}
	if list, err := withSeed("1-3, 9", 2); err == nil {
		t.Errorf("seed 2 is counted again: %s", list)
	}
}
