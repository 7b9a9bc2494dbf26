package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSorterSortsLikeStrings(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		prefix := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 4, -1).Draw(rt, "prefix")
		ids := rapid.SliceOf(rapid.Custom(func(rt *rapid.T) string {
			return prefix + rapid.StringOfN(rapid.RuneFrom([]rune("ab\x01\u00ff")), 0, 12, -1).Draw(rt, "rest")
		})).Draw(rt, "ids")
		var es []*entry
		for _, id := range ids {
			e := &entry{}
			e.ID = id
			es = append(es, e)
		}
		want := slices.Clone(ids)
		slices.Sort(want)
		var s sorter
		s.strings(ids)
		s.entries(es)
		for i := range want {
			if got := ids[i]; got != want[i] {
				rt.Fatalf("id %d is %q, want %q", i, got, want[i])
			}
			if got := es[i].ID; got != want[i] {
				rt.Fatalf("entry %d is %q, want %q", i, got, want[i])
			}
		}
	})
}
