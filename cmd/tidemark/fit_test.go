package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/playbook"
)

// TestFitVerbs: each verb over an example, as text and as one JSON object, and
// what it writes can be used.
func TestFitVerbs(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "fit.yaml")
	r := tidemark(t, "fit", "churn", "cdnow-sample", "-o", out)
	if r.code != 0 || !strings.Contains(r.out, "Recommended: ") || !strings.Contains(r.out, "base rate") || !strings.Contains(r.out, "converged, identified") {
		t.Fatalf("code %d\n%s\n%s", r.code, r.out, r.stderr)
	}
	_, block, _ := strings.Cut(r.out, "\nchurn:\n")
	book := filepath.Join(dir, "book.yaml")
	if err := os.WriteFile(book, []byte("playbook: a\ntime_zone: UTC\ncurrency: USD\nclock: input\nchurn:\n"+block), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := playbook.Load(book); err != nil {
		t.Errorf("%v\n%s", err, block)
	}
	for _, args := range [][]string{
		{"churn", "cdnow-sample", "--horizon", "39w", "--calibrate-to", "1997-09-30"},
		{"inflection", "cdnow-sample"},
		{"tiers", "--shares", "60,25,10,4,1", "cdnow-sample"},
	} {
		r := tidemark(t, append([]string{"fit", args[0], "--format", "json"}, args[1:]...)...)
		var v map[string]any
		if err := json.Unmarshal([]byte(r.out), &v); err != nil || r.code != 0 {
			t.Errorf("%v: code %d, %v\n%s", args, r.code, err, r.stderr)
		}
		if s, _ := v["block"].(string); s == "" {
			t.Errorf("%v: no block in %v", args, v)
		}
	}
	for _, x := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"churn"}, 2, "<sources>"},
		{[]string{"churn", "none.jsonl"}, 2, "none.jsonl"},
		{[]string{"churn", "cdnow-sample", "--horizon", "soon"}, 2, "--horizon"},
		{[]string{"churn", "cdnow-sample", "--horizon", "900d"}, 1, "not enough history"},
		{[]string{"churn", "cdnow-sample", "--calibrate-to", "1.1.97"}, 2, "--calibrate-to"},
		{[]string{"churn", "cdnow-sample", "--model", "pareto"}, 2, "--model"},
		{[]string{"churn", "cdnow-sample", "--zone", "Mars/Base"}, 2, "--zone"},
		{[]string{"tiers", "cdnow-sample"}, 2, "--shares"},
		{[]string{"tiers", "--shares", "60,25", "cdnow-sample"}, 2, "sum to 85"},
		{[]string{"inflection", "cdnow-sample", "--within", "3h"}, 2, "--within"},
		{[]string{"window", "cdnow-sample"}, 1, "a window needs 20"},
	} {
		r := tidemark(t, append([]string{"fit"}, x.args...)...)
		if r.code != x.code || !strings.Contains(r.stderr, x.says) {
			t.Errorf("fit %v: code %d, want %d with %q\n%s", x.args, r.code, x.code, x.says, r.stderr)
		}
	}
}
