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
		text, err := added([]byte(page), step, 1000)
		if err != nil {
			t.Fatal(err)
		}
		page = string(text)
	}
	want := "# Page\n\n| target | executions | runs |\n|---|---|---|\n| config FuzzLoad | 2,000 | 2 |\n| state FuzzRow | 1,201,000 | 3 |\n\nMore.\n"
	if page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
	if _, err := added([]byte("no table"), target{}, 1); err == nil {
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
