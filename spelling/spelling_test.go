package spelling

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"unknown_schema", "too_late", "no_rate", "occurred_at", "ab"}
	for word, want := range map[string]string{
		"unknown_shema":  "unknown_schema",
		"unkonwn_schema": "unknown_schema", // a swap is one slip
		"Too_Late":       "too_late",
		"to_late":        "too_late",
		"occured_at":     "occurred_at",
		"a":              "ab",
		"amount":         "",
		"":               "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := Distance("kitten", "sitting", 9); got != 3 {
		t.Errorf("kitten to sitting: %d slips, want 3", got)
	}
	if got := Distance("abcdef", "uvwxyz", 2); got != 3 {
		t.Errorf("over the limit of 2: %d, want 3", got)
	}
}
