package facts

import (
	"math"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// Fact is a definition bound to the streams of a store.
type Fact struct {
	playbook.Fact
	Stream, Other history.Stream
	Pair          bool // Other is read
}

// Bind resolves a definition; ids gives the stream of a store for an index into Playbook.Streams.
func Bind(def playbook.Fact, ids func(int) history.Stream) Fact {
	f := Fact{Fact: def, Stream: ids(def.Stream)}
	switch def.Kind {
	case playbook.FactShare, playbook.FactOpen:
		f.Pair = true
	case playbook.FactStreak:
		f.Pair = def.Other >= 0
	}
	if f.Pair {
		f.Other = ids(def.Other)
	}
	return f
}

// from is the instant before the window's begin; ever says that it has none.
func (f *Fact) from(v history.View, at schemas.EventTime) (from schemas.EventTime, ever bool) {
	switch w := &f.Window; {
	case w.Rolling != 0:
		return at - w.Rolling, false
	case w.Cycle != "":
		start, _ := v.Zone.CycleStart(w.Cycle, at)
		return start - 1, false
	}
	return 0, true
}

// Eval is the fact's value as of an instant.
func (f *Fact) Eval(v history.View, at schemas.EventTime) playbook.Value {
	n := int64(0)
	switch f.Kind {
	case playbook.FactCount:
		from, ever := f.from(v, at)
		n = v.Tally(f.Stream, from, at, ever).Count
	case playbook.FactSum:
		from, ever := f.from(v, at)
		n = v.Tally(f.Stream, from, at, ever).Sum
	case playbook.FactAverage:
		n = f.average(v, at)
	case playbook.FactRatio:
		n = f.ratio(v, at)
	case playbook.FactMin, playbook.FactMax:
		n = f.extreme(v, at)
	case playbook.FactLast:
		n, _ = lastValue(v, f.Stream, at)
	case playbook.FactSince, playbook.FactSinceFirst, playbook.FactSilence:
		t, ok := f.instant(v, at)
		switch {
		case !ok:
			n = -1
		case f.Kind == playbook.FactSilence:
			n = int64(at - t)
		default:
			n = v.Zone.Day(at) - v.Zone.Day(t)
		}
	case playbook.FactStreak:
		n, _ = f.streak(v, at)
	case playbook.FactShare:
		from, ever := f.from(v, at)
		part, whole := v.Tally(f.Stream, from, at, ever).Sum, v.Tally(f.Other, from, at, ever).Sum
		if whole > 0 && part > 0 {
			n, _ = times(part, 100).over(whole)
		}
	case playbook.FactOpen:
		n, _ = f.open(v, at)
	case playbook.FactText:
		return playbook.Value{Text: lastText(v, f.Stream, at)}
	case playbook.FactFirst:
		return playbook.Value{Text: firstText(v, f.Stream, at)}
	case playbook.FactHeld:
		return playbook.Value{Text: f.held(v, at)}
	case playbook.FactAOV:
		if x := v.Window(0, at); x.Orders > 0 {
			n = x.Net / x.Orders
		}
	case playbook.FactRefunds:
		n = v.Window(0, at).Refunded
	}
	return playbook.Value{Int: n}
}

func (f *Fact) instant(v history.View, at schemas.EventTime) (schemas.EventTime, bool) {
	if f.Kind == playbook.FactSinceFirst {
		return v.FirstOf(f.Stream, at)
	}
	return v.LastOf(f.Stream, at)
}

// No bound: see Next.
const (
	Lowest  = math.MinInt64
	Highest = math.MaxInt64
)

// Next is the first instant after at at which time alone may bring the value,
// which is value at at, out of [lo, hi); 0: never.
func (f *Fact) Next(v history.View, at schemas.EventTime, value, lo, hi int64) schemas.EventTime {
	switch f.Kind {
	case playbook.FactCount:
		if lo == Lowest {
			return 0 // time only takes away
		}
		return f.leaves(v, at, f.Stream)
	case playbook.FactSum:
		return f.leaves(v, at, f.Stream)
	case playbook.FactShare:
		return earlier(f.leaves(v, at, f.Stream), f.leaves(v, at, f.Other))
	case playbook.FactAverage:
		return f.nextAverage(v, at, lo, hi)
	case playbook.FactRatio:
		return f.nextRatio(v, at, lo, hi)
	case playbook.FactMin, playbook.FactMax:
		return f.nextExtreme(v, at)
	case playbook.FactSince, playbook.FactSinceFirst, playbook.FactSilence:
		t, ok := f.instant(v, at)
		switch {
		case !ok || hi == Highest || hi > 1<<50:
			return 0
		case f.Kind == playbook.FactSilence:
			return t + schemas.EventTime(hi)
		}
		return v.Zone.Midnight(v.Zone.Day(t) + hi)
	case playbook.FactStreak:
		if n, last := f.streak(v, at); n > 0 {
			return v.Zone.Midnight(last + 2)
		}
	case playbook.FactOpen:
		_, due := f.open(v, at)
		return due
	case playbook.FactHeld:
		if m := v.LastMark(f.Stream, at); m != nil && f.Within != 0 && m.Value == 1 && m.At+f.Within > at {
			return m.At + f.Within
		}
	}
	return 0
}

// leaves is when the window next lets go of something of a stream.
func (f *Fact) leaves(v history.View, at schemas.EventTime, s history.Stream) schemas.EventTime {
	switch w := &f.Window; {
	case w.Rolling != 0:
		t, _ := v.NextLeaveOf(s, w.Rolling, at)
		return t
	case w.Cycle != "":
		start, _ := v.Zone.CycleStart(w.Cycle, at)
		if v.Tally(s, start-1, at, false) == (history.Tally{}) {
			return 0
		}
		t, _ := v.Zone.Cycle(w.Cycle, at)
		return t
	}
	return 0
}

func earlier(a, b schemas.EventTime) schemas.EventTime {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// lastValue is the value of the latest of a stream and its instant.
func lastValue(v history.View, s history.Stream, at schemas.EventTime) (value int64, since schemas.EventTime) {
	if m := v.LastMark(s, at); m != nil {
		return m.Value, m.At
	}
	if b := v.C.MarkBase(s.ID); b != nil {
		value, since = b.Value, b.Last
	}
	v.EachMark(s, at, func(t schemas.EventTime, x int64, _ *state.Mark) bool {
		value, since = x, t
		return true
	})
	return value, since
}

func lastText(v history.View, s history.Stream, at schemas.EventTime) string {
	if m := v.LastMark(s, at); m != nil {
		return m.Text
	}
	if b := v.C.MarkBase(s.ID); b != nil {
		return b.Text
	}
	return ""
}

func firstText(v history.View, s history.Stream, at schemas.EventTime) string {
	if b := v.C.MarkBase(s.ID); b != nil && b.Count > 0 {
		return b.FirstText
	}
	text := ""
	v.EachMark(s, at, func(_ schemas.EventTime, _ int64, m *state.Mark) bool {
		if m == nil {
			return true
		}
		text = m.Text
		return false
	})
	return text
}

// held is the text of the latest if its value is 1 and it has not run out.
func (f *Fact) held(v history.View, at schemas.EventTime) string {
	if m := v.LastMark(f.Stream, at); m != nil {
		if m.Value == 1 && (f.Within == 0 || at < m.At+f.Within) {
			return m.Text
		}
		return ""
	}
	if b := v.C.MarkBase(f.Stream.ID); b != nil && b.Value == 1 && (f.Within == 0 || at < b.Last+f.Within) {
		return b.Text
	}
	return ""
}

// streak counts local days in a row with something of the stream, up to today
// or yesterday, and says which day was the last of them. Each make-up fills the
// latest missing day before its own, up to MakeUps of them.
func (f *Fact) streak(v history.View, at schemas.EventTime) (days, last int64) {
	today := v.Zone.Day(at)
	var active []int64 // ascending, distinct
	v.EachMark(f.Stream, at, func(t schemas.EventTime, _ int64, _ *state.Mark) bool {
		if d := v.Zone.Day(t); len(active) == 0 || d > active[len(active)-1] {
			active = append(active, d)
		}
		return true
	})
	if len(active) == 0 {
		return 0, 0
	}
	if f.Pair {
		left := f.MakeUps
		v.EachMark(f.Other, at, func(t schemas.EventTime, _ int64, _ *state.Mark) bool {
			if left > 0 && fillGap(&active, v.Zone.Day(t)) {
				left--
			}
			return left > 0
		})
	}
	last = active[len(active)-1]
	if last < today-1 {
		return 0, 0
	}
	days = 1
	for i := len(active) - 2; i >= 0 && active[i] == active[i+1]-1; i-- {
		days++
	}
	if f.AtMost > 0 {
		days = min(days, f.AtMost)
	}
	return days, last
}

// fillGap adds the latest day before day that is missing after the first.
func fillGap(active *[]int64, day int64) bool {
	a := *active
	i := len(a)
	for i > 0 && a[i-1] >= day {
		i--
	}
	for d := day - 1; i > 0; d, i = d-1, i-1 {
		if a[i-1] == d {
			continue
		}
		if d < a[0] {
			return false
		}
		a = append(a, 0)
		copy(a[i+1:], a[i:])
		a[i] = d
		*active = a
		return true
	}
	return false
}

// open counts events of the stream that the other did not follow in time, and
// says when time alone changes that.
func (f *Fact) open(v history.View, at schemas.EventTime) (n int64, due schemas.EventTime) {
	v.EachMark(f.Stream, at, func(t schemas.EventTime, _ int64, m *state.Mark) bool {
		if m == nil || f.For != 0 && t+f.Within+f.For <= at {
			return true
		}
		followed := false
		for i := range v.C.Marks {
			b := &v.C.Marks[i]
			if b.Stream == f.Other.ID && b.Key == m.Key && b.At >= m.At && b.At <= at {
				followed = true
				break
			}
		}
		if followed {
			return true
		}
		if t+f.Within > at {
			due = earlier(due, t+f.Within)
			return true
		}
		n++
		if f.For != 0 {
			due = earlier(due, t+f.Within+f.For)
		}
		return true
	})
	return n, due
}
