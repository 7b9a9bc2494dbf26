package facts

import (
	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// level is what a gauge holds from an instant on.
type level struct {
	at    schemas.EventTime
	value int64
}

// levels are a gauge's values up to at, oldest first; the first holds from
// before the window's begin, 0 where nothing was known then.
func (f *Fact) levels(v history.View, from, at schemas.EventTime) []level {
	start := level{at: from}
	if b := v.C.MarkBase(f.Stream.ID); b != nil {
		start.value = b.Value
	}
	out := []level{start}
	v.EachMark(f.Stream, at, func(t schemas.EventTime, value int64, _ *state.Mark) bool {
		if t <= from {
			out[0].value = value
		} else if k := len(out) - 1; out[k].at == t {
			out[k].value = value
		} else {
			out = append(out, level{t, value})
		}
		return true
	})
	return out
}

// begin is where the window of a gauge begins.
func (f *Fact) begin(v history.View, at schemas.EventTime) schemas.EventTime {
	if f.Window.Rolling != 0 {
		return at - f.Window.Rolling
	}
	start, _ := v.Zone.CycleStart(f.Window.Cycle, at)
	return start
}

// area is the sum of value × milliseconds between the first level and at.
func area(ls []level, at schemas.EventTime) wide {
	var a wide
	for i := range ls {
		end := at
		if i+1 < len(ls) {
			end = ls[i+1].at
		}
		a = a.plus(times(ls[i].value, int64(end-ls[i].at)))
	}
	return a
}

func (f *Fact) average(v history.View, at schemas.EventTime) int64 {
	from := f.begin(v, at)
	ls := f.levels(v, from, at)
	if at == from {
		return ls[len(ls)-1].value
	}
	n, _ := area(ls, at).over(int64(at - from))
	return n
}

// nextAverage solves when the average leaves [lo, hi): between two changes of
// what the window lets go of, the sum moves by the same amount every millisecond.
func (f *Fact) nextAverage(v history.View, at schemas.EventTime, lo, hi int64) schemas.EventTime {
	from := f.begin(v, at)
	ls := f.levels(v, from, at)
	now := ls[len(ls)-1].value
	sum := area(ls, at)
	if f.Window.Rolling == 0 {
		next, _ := v.Zone.Cycle(f.Window.Cycle, at)
		width := int64(at - from)
		// Measured against a limit, the sum moves by now-limit every millisecond.
		if k := steps(sum.minus(times(lim(lo), width)), now-lim(lo), lo != Lowest, false); k > 0 && at+schemas.EventTime(k) < next {
			next = at + schemas.EventTime(k)
		}
		if k := steps(sum.minus(times(lim(hi), width)), now-lim(hi), false, hi != Highest); k > 0 && at+schemas.EventTime(k) < next {
			next = at + schemas.EventTime(k)
		}
		return next
	}
	width := int64(f.Window.Rolling)
	s := at
	for i := range ls {
		end := schemas.EventTime(0) // the last level never leaves: what comes in is what goes out
		if i+1 < len(ls) {
			end = ls[i+1].at + f.Window.Rolling
		}
		if end == 0 {
			return 0
		}
		d := now - ls[i].value
		k := steps(sum.minus(times(lim(lo), width)), d, lo != Lowest, false)
		if k2 := steps(sum.minus(times(lim(hi), width)), d, false, hi != Highest); k == 0 || k2 != 0 && k2 < k {
			k = k2
		}
		if k > 0 && s+schemas.EventTime(k) <= end {
			return s + schemas.EventTime(k)
		}
		sum = sum.plus(times(d, int64(end-s)))
		s = end
	}
	return 0
}

// lim keeps products with "no bound" small; they are not used.
func lim(x int64) int64 {
	if x == Lowest || x == Highest {
		return 0
	}
	return x
}

// steps is how many milliseconds it takes, at d each, until room is below 0
// (below) or at least 0 (reach); 0: never.
func steps(room wide, d int64, below, reach bool) int64 {
	switch {
	case below && d < 0 && !room.negative():
		if k, ok := room.over(-d); ok && k < 1<<50 {
			return k + 1
		}
	case reach && d > 0 && room.negative():
		if k, ok := (wide{}.minus(room)).plus(wideOf(d - 1)).over(d); ok && k < 1<<50 {
			return max(k, 1)
		}
	}
	return 0
}

// extreme is the least or greatest that the gauge held in the window.
func (f *Fact) extreme(v history.View, at schemas.EventTime) int64 {
	ls := f.levels(v, f.begin(v, at), at)
	n := ls[0].value
	for _, l := range ls[1:] {
		if f.Kind == playbook.FactMin {
			n = min(n, l.value)
		} else {
			n = max(n, l.value)
		}
	}
	return n
}

// nextExtreme is when the window lets go of the oldest value in it.
func (f *Fact) nextExtreme(v history.View, at schemas.EventTime) schemas.EventTime {
	if f.Window.Rolling == 0 {
		next, _ := v.Zone.Cycle(f.Window.Cycle, at)
		return next
	}
	ls := f.levels(v, at-f.Window.Rolling, at)
	if len(ls) < 2 {
		return 0
	}
	return ls[1].at + f.Window.Rolling
}
