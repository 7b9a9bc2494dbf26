package facts

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

const start = schemas.EventTime(1_704_067_200_000) // 2024-01-01

var marksOf = []history.Stream{{}, {ID: 1}, {ID: 2}}

func bound(def playbook.Fact) Fact {
	return Bind(def, func(i int) history.Stream { return marksOf[i] })
}

// known is a customer with marks of two streams, step apart from each other.
func known(t *rapid.T, step schemas.EventTime) *state.Customer {
	c := &state.Customer{}
	at := start
	for i := range rapid.IntRange(0, 9).Draw(t, "marks") {
		at += schemas.EventTime(rapid.IntRange(0, 30).Draw(t, "gap")) * step
		c.InsertMark(state.Mark{Stream: uint32(rapid.IntRange(1, 2).Draw(t, "stream")), At: at, Event: uint64(i + 1),
			Key: uint64(rapid.IntRange(1, 3).Draw(t, "key")), Value: int64(rapid.IntRange(-3, 9).Draw(t, "value"))})
	}
	return c
}

// What comes by time alone is told in time: no value leaves its cell before Next says so.
func TestNextIsNeverLate(t *testing.T) {
	rolling := playbook.Window{Rolling: 40}
	defs := []playbook.Fact{
		{Name: "count", Kind: playbook.FactCount, Stream: 1, Window: rolling},
		{Name: "sum", Kind: playbook.FactSum, Stream: 1, Window: rolling},
		{Name: "average", Kind: playbook.FactAverage, Stream: 1, Window: rolling},
		{Name: "ratio", Kind: playbook.FactRatio, Stream: 1, Window: playbook.Window{Rolling: 20}, OfWindow: rolling},
		{Name: "min", Kind: playbook.FactMin, Stream: 1, Window: rolling},
		{Name: "max", Kind: playbook.FactMax, Stream: 1, Window: rolling},
		{Name: "share", Kind: playbook.FactShare, Stream: 1, Other: 2, Window: rolling},
		{Name: "open", Kind: playbook.FactOpen, Stream: 1, Other: 2, Within: 15, For: 25},
		{Name: "silence", Kind: playbook.FactSilence, Stream: 1},
	}
	days := []playbook.Fact{
		{Name: "since", Kind: playbook.FactSince, Stream: 1},
		{Name: "first", Kind: playbook.FactSinceFirst, Stream: 1},
		{Name: "streak", Kind: playbook.FactStreak, Stream: 1, Other: 2, MakeUps: 2, AtMost: 9},
		{Name: "day", Kind: playbook.FactCount, Stream: 1, Window: playbook.Window{Cycle: "day"}},
		{Name: "week", Kind: playbook.FactAverage, Stream: 1, Window: playbook.Window{Cycle: "week"}},
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []struct {
		defs []playbook.Fact
		step schemas.EventTime
		zone history.Zone
	}{{defs, 1, history.Zone{}}, {days, 5 * schemas.Hour, history.NewZone(london)}} {
		for _, def := range set.defs {
			t.Run(def.Name, func(t *testing.T) {
				f := bound(def)
				rapid.Check(t, func(t *rapid.T) {
					v := history.View{C: known(t, set.step), Zone: set.zone}
					at := start + schemas.EventTime(rapid.IntRange(0, 130).Draw(t, "at"))*set.step
					// Nothing comes any more.
					kept := v.C.Marks[:0]
					for _, m := range v.C.Marks {
						if m.At <= at {
							kept = append(kept, m)
						}
					}
					v.C.Marks = kept
					value := f.Eval(v, at).Int
					lo, hi := int64(Lowest), int64(Highest)
					if rapid.Bool().Draw(t, "below") {
						lo = value - int64(rapid.IntRange(0, 3).Draw(t, "lo"))
					}
					if rapid.Bool().Draw(t, "above") {
						hi = value + int64(rapid.IntRange(1, 3).Draw(t, "hi"))
					}
					next := f.Next(v, at, value, lo, hi)
					if next != 0 && next <= at {
						t.Fatalf("at %d: next is %d", at, next)
					}
					for u := at + set.step; u < at+120*set.step; u += set.step {
						if now := f.Eval(v, u).Int; (now < lo || now >= hi) && (next == 0 || next > u) {
							t.Fatalf("%d at %d is %d at %d, out of [%d, %d); next is %d", value, at, now, u, lo, hi, next)
						}
					}
				})
			})
		}
	}
}

// 100,000.00 for ten days, then nothing: the bank's own example.
func TestAverage(t *testing.T) {
	c := &state.Customer{}
	c.InsertMark(state.Mark{Stream: 1, At: start, Event: 1, Value: 10_000_000})
	c.InsertMark(state.Mark{Stream: 1, At: start + 10*schemas.Day, Event: 2})
	f := bound(playbook.Fact{Kind: playbook.FactAverage, Stream: 1, Window: playbook.Window{Rolling: 30 * schemas.Day}})
	v := history.View{C: c}
	if got, want := f.Eval(v, start+30*schemas.Day).Int, int64(3_333_333); got != want {
		t.Errorf("on day 30 it is %d, want %d", got, want)
	}
	// 20,000.00 are six days' worth: they are left after 34 days, to the millisecond.
	if got, want := f.Next(v, start+30*schemas.Day, 3_333_333, 2_000_000, Highest), start+34*schemas.Day+1; got != want {
		t.Errorf("it falls below 20,000.00 at %d, want %d", got, want)
	}
}

func TestWide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		c, d := rapid.Int64Range(-1<<60, 1<<60).Draw(t, "c"), rapid.Int64Range(1, 1<<42).Draw(t, "d")
		big1 := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
		big1.Add(big1, big.NewInt(c))
		q := new(big.Int).Div(big1, big.NewInt(d)) // Euclidean: for a divisor above 0 it is rounded down
		got, ok := times(a, b).plus(wideOf(c)).over(d)
		if ok != (q.IsInt64() && q.Int64() != -1<<63) && fmt.Sprint(q) != "-9223372036854775808" {
			t.Fatalf("(%d*%d+%d)/%d: %v, %v", a, b, c, d, ok, q)
		}
		if ok && got != q.Int64() {
			t.Fatalf("(%d*%d+%d)/%d is %d, want %v", a, b, c, d, got, q)
		}
	})
}

// Conditions are told of a change if and only if a comparison of theirs is another.
func TestChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		ref := playbook.Ref{Key: "x"}
		table.Place(ref, func() Fact { return Fact{} })
		n := rapid.IntRange(1, 12).Draw(t, "conditions")
		for i := range n {
			x := playbook.Expr{Op: playbook.OpCompare, Ref: ref, Cmp: playbook.Cmp(rapid.IntRange(0, 5).Draw(t, "cmp")),
				Limit: playbook.Value{Int: int64(rapid.IntRange(-4, 4).Draw(t, "limit"))}}
			table.Add(nil, x, true, int32(i), func(playbook.Ref) (int, func(string) int64) { return 0, nil })
		}
		table.Seal()
		old := playbook.Value{Int: int64(rapid.IntRange(-6, 6).Draw(t, "old"))}
		now := playbook.Value{Int: int64(rapid.IntRange(-6, 6).Draw(t, "now"))}
		told := map[int32]bool{}
		table.Changed(0, old, now, func(o int32) { told[o] = true })
		for i := range n {
			a, b := table.Holds(i, []playbook.Value{old}, nil), table.Holds(i, []playbook.Value{now}, nil)
			if a != b && !told[int32(i)] {
				t.Fatalf("condition %d holds %v at %d and %v at %d, and is not told", i, a, old.Int, b, now.Int)
			}
		}
	})
}
