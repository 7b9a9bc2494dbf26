package core

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/schemas"
)

// erasures adds up to n wishes to be forgotten to a history, none at the instant
// of another event of its customer.
func erasures(t *rapid.T, events []*schemas.Event, n int) []*schemas.Event {
	for i := range rapid.IntRange(0, n).Draw(t, "erasures") {
		after := events[rapid.IntRange(0, len(events)-1).Draw(t, "erased after")]
		e := schemas.Event{Kind: schemas.Behavior, Type: ErasedType, EventID: fmt.Sprintf("erased-%d", i), CustomerID: after.CustomerID, OccurredAt: after.OccurredAt + schemas.Second}
		if rapid.Bool().Draw(t, "now") {
			e.Attributes = []schemas.Attribute{{Key: CompactNow, Value: "now"}}
		}
		events = append(slices.Clone(events), &e)
		sort.SliceStable(events, func(i, j int) bool { return events[i].OccurredAt < events[j].OccurredAt })
	}
	return events
}

// TestErasedWasNeverThere: what a customer did before she was erased leaves
// nothing: her state is that of one who came after it, also where the wish and the
// events around it come late, each within the allowed disorder.
func TestErasedWasNeverThere(t *testing.T) {
	pb := rules(t, "live", "")
	rapid.Check(t, func(rt *rapid.T) {
		events := erasures(rt, made(rt, 3, 14, true), 3)
		last := map[string]schemas.EventTime{}
		for _, e := range events {
			if e.Type == ErasedType {
				last[e.CustomerID] = e.OccurredAt
			}
		}
		var after []*schemas.Event
		for _, e := range events {
			if e.OccurredAt > last[e.CustomerID] {
				after = append(after, e)
			}
		}
		never, sorted, late := bed(t, pb, Config{CacheBytes: 1 << 20}), bed(t, pb, Config{CacheBytes: 1 << 20}), bed(t, pb, Config{CacheBytes: 1 << 20})
		defer never.close()
		defer sorted.close()
		defer late.close()
		inOrder(rt, never, after)
		inOrder(rt, sorted, events)
		lateness(rt, late, wishesLate(rt, events, pb.Disorder), pb.Disorder)
		end := events[len(events)-1].OccurredAt + 300*schemas.Day
		for _, w := range []*world{never, sorted, late} {
			if err := w.tick(end, nil); err != nil {
				rt.Fatal(err)
			}
			if err := w.commitAll(); err != nil {
				rt.Fatal(err)
			}
			sound(rt, w)
		}
		for i := range 3 {
			id := fmt.Sprintf("c%d", i)
			want := withoutIdentity(known(rt, never, id))
			if got := withoutIdentity(known(rt, sorted, id)); got != want {
				rt.Fatalf("%s, erased:\n%s\nnever there:\n%s", id, got, want)
			}
			if got := withoutIdentity(known(rt, late, id)); got != want {
				rt.Fatalf("%s, erased late:\n%s\nnever there:\n%s", id, got, want)
			}
		}
	})
}

// wishesLate delays the wishes by up to by, and the other events as disordered does.
func wishesLate(t *rapid.T, events []*schemas.Event, by schemas.EventTime) []*schemas.Event {
	arrives := map[*schemas.Event]schemas.EventTime{}
	out := disordered(t, events, by)
	top := begin
	for _, e := range out {
		top = max(top, e.OccurredAt)
		arrives[e] = top
		if e.Type == ErasedType {
			arrives[e] = e.OccurredAt + schemas.EventTime(rapid.Int64Range(0, int64(by)-1).Draw(t, "wish late by"))
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return arrives[out[i]] < arrives[out[j]] })
	return out
}

func withoutIdentity(known string) string {
	lines := strings.Split(known, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, identityRule) }), "\n")
}

// TestErasureLeavesNothing: of customers who were all erased the store holds no
// row, timer, sub-key or count, and no byte of an id.
func TestErasureLeavesNothing(t *testing.T) {
	pb := rules(t, "live", cutsByMean)
	rapid.Check(t, func(rt *rapid.T) {
		events := erasures(rt, made(rt, 3, 14, true), 2)
		w := bed(t, pb, Config{CacheBytes: rapid.SampledFrom([]int64{0, 1 << 20}).Draw(rt, "cache")})
		defer w.close()
		inOrder(rt, w, events)
		if rapid.Bool().Draw(rt, "applied") {
			if err := w.commitAll(); err != nil {
				rt.Fatal(err)
			}
		}
		if err := w.tick(events[len(events)-1].OccurredAt+50*schemas.Day, w.commitAll); err != nil {
			rt.Fatal(err)
		}
		at := w.core.Clock()
		for i := range 3 {
			w.give(&schemas.Event{Kind: schemas.Behavior, Type: ErasedType, EventID: fmt.Sprintf("last-%d", i), CustomerID: fmt.Sprintf("c%d", i), OccurredAt: at})
		}
		if err := w.take(w.commitAll); err != nil {
			rt.Fatal(err)
		}
		if err := w.commitAll(); err != nil {
			rt.Fatal(err)
		}
		all, err := w.dump()
		if err != nil {
			rt.Fatal(err)
		}
		stones := 0
		for k, v := range all {
			switch k[0] {
			case 'e':
				stones++
			case 'm':
			default:
				rt.Fatalf("left: %q = %q", k, v)
			}
			for i := range 3 {
				if id := fmt.Sprintf("c%d-", i); strings.Contains(k+v, id) { // the orders' ids begin so
					rt.Fatalf("%q is in %q = %q", id, k, v)
				}
			}
		}
		if got, want := stones, 3; got != want {
			rt.Fatalf("%d tombstones, want %d", got, want)
		}
	})
}

// TestSweepPassesErased: a sweep does not stop at customers who were erased and
// whose rows the store still has.
func TestSweepPassesErased(t *testing.T) {
	pb, other := rules(t, "live", ""), rules(t, "live", cutsByMean)
	w := bed(t, pb, Config{CacheBytes: 1 << 20})
	w.small = true
	for i := range 8 {
		w.give(&schemas.Event{Order: schemas.Paid, EventID: fmt.Sprintf("e%d", i), OrderID: fmt.Sprintf("o%d", i), CustomerID: fmt.Sprintf("c%d", i), OccurredAt: begin + schemas.EventTime(i)*schemas.Hour, AmountMinor: 100, Currency: "GBP"})
	}
	if err := w.take(nil); err != nil {
		t.Fatal(err)
	}
	if err := w.commitAll(); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		w.give(&schemas.Event{Kind: schemas.Behavior, Type: ErasedType, EventID: fmt.Sprintf("x%d", i), CustomerID: fmt.Sprintf("c%d", i), OccurredAt: begin + schemas.Day})
	}
	w.topics.add(Record{Input: schemas.ControlInput, Control: NewPlaybook(other, "test", 0)})
	if err := w.take(nil); err != nil {
		t.Fatal(err)
	}
	w.core.sweepAhead = 2
	for range 5 {
		if _, err := w.core.Sweep(1, w.wall); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.core.stats.Swept, int64(1); got != want || w.core.Sweeping() {
		t.Errorf("swept %d customers, want %d; still sweeping: %v", got, want, w.core.Sweeping())
	}
}

func TestTombstone(t *testing.T) {
	want := tombstone{at: 1_704_448_800_000, episodes: 7, taken: 1_704_448_800_001, number: 3}
	got, err := decodeTombstone(want.encode())
	if err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range want.encode() {
		if _, err := decodeTombstone(want.encode()[:n]); err == nil {
			t.Errorf("%d bytes of it are taken", n)
		}
	}
	if _, err := decodeTombstone(append(want.encode(), 0)); err == nil {
		t.Error("one byte more is taken")
	}
}
