package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{{nil, "no licence was found"}, {[]string{"MIT"}, ""}, {[]string{"MIT", "GPL-3.0"}, "GPL-3.0"}, {[]string{"unknown (LICENSE)"}, "unknown (LICENSE)"}} {
		if got := refused(c.names, words(allowedText)); got != c.want {
			t.Errorf("%v: %q, want %q", c.names, got, c.want)
		}
	}
}

func TestLicences(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE.txt"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "COPYING"), []byte("You may do nothing with this."), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := licences(dir)
	if err != nil || len(got) != 2 || !slices.Contains(got, "unknown (COPYING)") {
		t.Errorf("%v, %v", got, err)
	}
}
