package core

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// Whoever adds a reason adds it to the list by which a misspelt one is known.
func TestReasons(t *testing.T) {
	text, err := os.ReadFile("input.go")
	if err != nil {
		t.Fatal(err)
	}
	all := Reasons()
	found := regexp.MustCompile(`(?m)^\tReason\w+ += "(\w+)"`).FindAllSubmatch(text, -1)
	if len(found) != len(all) {
		t.Errorf("%d constants and %d reasons", len(found), len(all))
	}
	for _, m := range found {
		if !slices.Contains(all, string(m[1])) {
			t.Errorf("%s is not listed", m[1])
		}
	}
}
