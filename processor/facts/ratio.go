package facts

import (
	"tidemark/processor/history"
	"tidemark/schemas"
)

// A ratio is the average of a gauge over one window in whole percent of its
// average over another: 100 × A/W : B/V, with A and B the sums of value ×
// milliseconds. It is compared without dividing: the ratio reaches c as soon as
// 100 × V × A − c × W × B is at least 0, and between two instants at which a
// window lets go of something that moves by the same amount every millisecond.
// The widths are taken without their common divisor (the compiler sees to it
// that they are small then), so everything fits into 128 bits.

// ratioMost bounds the value.
const ratioMost = 1_000_000

// lead is 100 × V × a − c × W × b.
func (f *Fact) lead(a, b wide, c int64) wide {
	w, v := f.widths()
	return a.by(100 * v).minus(b.by(c).by(w))
}

// widths are the two windows without their common divisor.
func (f *Fact) widths() (w, v int64) {
	w, v = int64(f.Window.Rolling), int64(f.OfWindow.Rolling)
	a, b := w, v
	for b != 0 {
		a, b = b, a%b
	}
	return w / a, v / a
}

func (f *Fact) areas(v history.View, at schemas.EventTime) (ls, of []level, a, b wide) {
	ls, of = f.levels(v, at-f.Window.Rolling, at), f.levels(v, at-f.OfWindow.Rolling, at)
	return ls, of, area(ls, at), area(of, at)
}

// ratio is 100 where there is nothing to compare with, and never below 0.
func (f *Fact) ratio(v history.View, at schemas.EventTime) int64 {
	_, _, a, b := f.areas(v, at)
	if !b.positive() {
		return 100
	}
	if !a.positive() {
		return 0
	}
	lo, hi := int64(0), int64(ratioMost)
	for lo < hi { // the greatest c that is reached
		c := (lo + hi + 1) / 2
		if f.lead(a, b, c).negative() {
			hi = c - 1
		} else {
			lo = c
		}
	}
	return lo
}

// nextRatio is when the ratio may leave [lo, hi): the first millisecond at which
// one of the sums or leads that decide it has another sign.
func (f *Fact) nextRatio(v history.View, at schemas.EventTime, lo, hi int64) schemas.EventTime {
	ls, of, a, b := f.areas(v, at)
	now := ls[len(ls)-1].value
	s := at
	signs := func(a, b wide) [4]bool {
		x := [4]bool{a.positive(), b.positive()}
		for i, c := range [2]int64{lo, hi} {
			if c > 0 && c <= ratioMost {
				x[2+i] = f.lead(a, b, c).negative()
			}
		}
		return x
	}
	for len(ls) > 1 || len(of) > 1 {
		end := schemas.EventTime(0)
		if len(ls) > 1 {
			end = ls[1].at + f.Window.Rolling
		}
		if len(of) > 1 {
			end = earlier(end, of[1].at+f.OfWindow.Rolling)
		}
		da, db := now-ls[0].value, now-of[0].value
		later := func(k int64) [4]bool { return signs(a.plus(times(da, k)), b.plus(times(db, k))) }
		was, first := later(0), int64(0)
		for i, x := range later(int64(end - s)) { // each moves in a line, and turns once at most
			if x == was[i] {
				continue
			}
			low, high := int64(1), int64(end-s)
			for low < high {
				if mid := (low + high) / 2; later(mid)[i] != was[i] {
					high = mid
				} else {
					low = mid + 1
				}
			}
			if first == 0 || low < first {
				first = low
			}
		}
		if first > 0 {
			return s + schemas.EventTime(first)
		}
		a, b, s = a.plus(times(da, int64(end-s))), b.plus(times(db, int64(end-s))), end
		if len(ls) > 1 && ls[1].at+f.Window.Rolling == end {
			ls = ls[1:]
		}
		if len(of) > 1 && of[1].at+f.OfWindow.Rolling == end {
			of = of[1:]
		}
	}
	return 0
}
