package history

import (
	"tidemark/schemas"
	"tidemark/state"
)

// Stream selects what a question is about: the zero value is the customer's
// orders that count, net of refunds; else the marks of a stream.
type Stream struct {
	ID uint32 // in the store's dictionary of names; 0: orders
	// Net says that each mark is an order by its Key: one with nothing left counts
	// no more, and its value is what is left.
	Net bool
}

// Tally is what a stream holds in a window.
type Tally struct{ Count, Sum int64 }

// Tally counts and sums what lies in (from, at]; with ever, all up to at.
func (v View) Tally(s Stream, from, at schemas.EventTime, ever bool) Tally {
	if s.ID == 0 {
		window := at - from
		if ever {
			window = 0
		} else if window <= 0 {
			return Tally{}
		}
		v.On = s
		x := v.Window(window, at)
		return Tally{x.Orders, x.Net}
	}
	var t Tally
	if b := v.C.MarkBase(s.ID); b != nil && ever {
		t = Tally{b.Count, b.Sum}
	}
	for i := range v.C.MarkDays {
		if d := &v.C.MarkDays[i]; d.Stream == s.ID && d.Last <= at && (ever || d.Last > from) {
			t.Count += d.Count
			t.Sum += d.Sum
		}
	}
	for i := len(v.C.Marks) - 1; i >= 0; i-- {
		m := &v.C.Marks[i]
		if m.At > at {
			continue
		}
		if !ever && m.At <= from {
			break
		}
		if m.Stream != s.ID {
			continue
		}
		if value, counts := v.Worth(s, m); counts {
			t.Count++
			t.Sum += value
		}
	}
	return t
}

// Worth is what a mark measures now, and whether it counts.
func (v View) Worth(s Stream, m *state.Mark) (int64, bool) {
	if s.Net {
		if o := v.C.FindOrder(m.Key); o != nil {
			whole := o.Base
			if whole == 0 {
				whole = o.Paid
			}
			if net := o.Net(); net < whole && m.Value > 0 {
				return mulDiv(m.Value, net, whole), o.Counts()
			}
			return m.Value, o.Counts()
		}
	}
	return m.Value, true
}

// LastOf is the latest instant of a stream up to at.
func (v View) LastOf(s Stream, at schemas.EventTime) (schemas.EventTime, bool) {
	if s.ID == 0 {
		v.On = s
		return v.Last(at)
	}
	for i := len(v.C.Marks) - 1; i >= 0; i-- {
		if m := &v.C.Marks[i]; m.Stream == s.ID && m.At <= at {
			if _, counts := v.Worth(s, m); counts {
				return m.At, true
			}
		}
	}
	for i := len(v.C.MarkDays) - 1; i >= 0; i-- {
		if d := &v.C.MarkDays[i]; d.Stream == s.ID && d.Last <= at {
			return d.Last, true
		}
	}
	if b := v.C.MarkBase(s.ID); b != nil && b.Count > 0 && b.Last <= at {
		return b.Last, true
	}
	return 0, false
}

// FirstOf is the first instant of a stream, if it is not after at.
func (v View) FirstOf(s Stream, at schemas.EventTime) (schemas.EventTime, bool) {
	if s.ID == 0 {
		v.On = s
		return v.First(at)
	}
	if b := v.C.MarkBase(s.ID); b != nil && b.Count > 0 {
		return b.First, b.First <= at
	}
	first, ok := schemas.EventTime(0), false
	for i := range v.C.MarkDays {
		if d := &v.C.MarkDays[i]; d.Stream == s.ID {
			first, ok = d.Last, true
			break
		}
	}
	for i := range v.C.Marks {
		m := &v.C.Marks[i]
		if m.Stream != s.ID || ok && m.At >= first {
			continue
		}
		if _, counts := v.Worth(s, m); counts {
			first, ok = m.At, true
			break
		}
	}
	return first, ok && first <= at
}

// RepeatOf is Repeat over a stream.
func (v View) RepeatOf(s Stream, at schemas.EventTime) Repeat {
	if s.ID == 0 {
		v.On = s
		return v.Repeat(at)
	}
	var r Repeat
	if b := v.C.MarkBase(s.ID); b != nil && b.Count > 0 {
		r = Repeat{Days: b.Days, First: v.Zone.Day(b.First), Last: v.Zone.Day(b.Last)}
	}
	add := func(t schemas.EventTime) {
		d := v.Zone.Day(t)
		if r.Days == 0 {
			r.First = d
		} else if d <= r.Last {
			return
		}
		r.Days++
		r.Last = d
	}
	v.EachMark(s, at, func(t schemas.EventTime, _ int64, _ *state.Mark) bool {
		add(t)
		return true
	})
	return r
}

// NextLeaveOf is the first instant after at when something leaves a rolling window.
func (v View) NextLeaveOf(s Stream, window, at schemas.EventTime) (schemas.EventTime, bool) {
	if s.ID == 0 {
		v.On = s
		return v.NextLeave(window, at)
	}
	if window == 0 {
		return 0, false
	}
	due, ok := schemas.EventTime(0), false
	v.EachMark(s, at, func(t schemas.EventTime, _ int64, _ *state.Mark) bool {
		if t+window > at {
			due, ok = t+window, true
			return false
		}
		return true
	})
	return due, ok
}

// EachMark calls fn with what a stream holds up to at, oldest first, until it
// says false: instant, value, and the mark itself where it stands singly. Days
// come as one, with the value of their last mark; what left the horizon does not
// come. Of orders only those kept singly come, without a mark.
func (v View) EachMark(s Stream, at schemas.EventTime, fn func(t schemas.EventTime, value int64, m *state.Mark) bool) {
	if s.ID == 0 {
		v.each(func(d *state.DaySum, o *state.Order) bool {
			switch {
			case d != nil && d.Last <= at && d.Count > 0:
				return fn(d.Last, d.Sum, nil)
			case o != nil && o.At <= at && o.Counts():
				return fn(o.At, o.Net(), nil)
			}
			return true
		})
		return
	}
	days, marks := v.C.MarkDays, v.C.Marks
	for len(days) > 0 || len(marks) > 0 {
		if len(marks) == 0 || len(days) > 0 && days[0].Last <= marks[0].At {
			if d := &days[0]; d.Stream == s.ID && d.Last <= at && !fn(d.Last, d.Value, nil) {
				return
			}
			days = days[1:]
			continue
		}
		m := &marks[0]
		if m.At > at {
			return
		}
		if m.Stream == s.ID {
			if value, counts := v.Worth(s, m); counts && !fn(m.At, value, m) {
				return
			}
		}
		marks = marks[1:]
	}
}

// NextOf is the first instant after at at which a stream has something; 0: none.
func (v View) NextOf(s Stream, at schemas.EventTime) schemas.EventTime {
	if s.ID == 0 {
		for i := range v.C.Orders {
			if t := v.C.Orders[i].At; t > at {
				return t
			}
		}
		return 0
	}
	for i := range v.C.Marks {
		if m := &v.C.Marks[i]; m.Stream == s.ID && m.At > at {
			return m.At
		}
	}
	return 0
}

// NextThat is NextOf of what counts, whatever is known of refunds.
func (v View) NextThat(s Stream, at schemas.EventTime) schemas.EventTime {
	if s.ID == 0 {
		for i := range v.C.Orders {
			if o := &v.C.Orders[i]; o.At > at && !o.StandIn() && o.Counts() {
				return o.At
			}
		}
		return 0
	}
	for i := range v.C.Marks {
		if m := &v.C.Marks[i]; m.Stream == s.ID && m.At > at {
			if _, counts := v.Worth(s, m); counts {
				return m.At
			}
		}
	}
	return 0
}

// LastMark is the latest mark of a stream up to at that stands singly, nil if there is none.
func (v View) LastMark(s Stream, at schemas.EventTime) *state.Mark {
	for i := len(v.C.Marks) - 1; i >= 0; i-- {
		if m := &v.C.Marks[i]; m.Stream == s.ID && m.At <= at {
			return m
		}
	}
	return nil
}

// markLeaves is Leaves of a stream; it can't tell where marks were folded into days.
func (v View) markLeaves(window, at schemas.EventTime, s Sums, fn func(left schemas.EventTime, s Sums) bool) bool {
	for i := range v.C.MarkDays {
		if v.C.MarkDays[i].Stream == v.On.ID {
			return false
		}
	}
	v.EachMark(v.On, at, func(t schemas.EventTime, value int64, _ *state.Mark) bool {
		if t <= at-window {
			return true
		}
		s.Orders--
		s.Net -= value
		return fn(t+window, s)
	})
	return true
}
