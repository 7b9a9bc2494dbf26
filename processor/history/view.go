package history

import (
	"math/bits"

	"tidemark/schemas"
	"tidemark/state"
)

// View is one customer's history. The zero window means the whole lifetime.
type View struct {
	C    *state.Customer
	Zone Zone
	// On is what Window, Last, First, Repeat, NextLeave and Leaves are about: the
	// orders, or the marks of a stream that stand in for them.
	On Stream
}

// Sums is what counts in a window.
type Sums struct {
	Orders   int64 // with something left of them
	Net      int64 // minor units of the playbook's currency
	Growing  int64 // the part of Net that earns growth value
	Refunded int64 // orders refunded in full or in part
}

// Window sums the orders in (at-window, at]; window 0: all up to at.
func (v View) Window(window, at schemas.EventTime) Sums {
	if v.On.ID != 0 {
		t := v.Tally(v.On, at-window, at, window == 0)
		return Sums{Orders: t.Count, Net: t.Sum, Growing: t.Sum}
	}
	var s Sums
	from := at - window
	if window == 0 {
		b := &v.C.Base
		s = Sums{Orders: b.Count, Net: b.Sum, Growing: b.Sum - b.Omitted, Refunded: b.Refunded}
	}
	for i := range v.C.Days {
		d := &v.C.Days[i]
		if d.Last > at || window != 0 && d.Last <= from {
			continue
		}
		s.Orders += d.Count
		s.Net += d.Sum
		s.Growing += d.Sum - d.Omitted
		s.Refunded += d.Refunded
	}
	for i := len(v.C.Orders) - 1; i >= 0; i-- {
		o := &v.C.Orders[i]
		if o.At > at {
			continue
		}
		if window != 0 && o.At <= from {
			break
		}
		if o.Refunded > 0 || o.Voided > 0 {
			s.Refunded++
		}
		if o.StandIn() {
			// A refund that met no order lowers what was spent, and no count.
			s.Net -= o.Lowers()
			s.Growing -= o.Lowers()
			continue
		}
		if !o.Counts() {
			continue
		}
		net := o.Net()
		s.Orders++
		s.Net += net
		s.Growing += Growing(o)
	}
	s.Net, s.Growing = max(s.Net, 0), max(s.Growing, 0)
	return s
}

// Growing is the part of an order's net that earns growth value.
func Growing(o *state.Order) int64 {
	net := o.Net()
	if o.Omitted == 0 {
		return net
	}
	if o.Omitted >= o.Paid {
		return 0
	}
	// The omitted lines shrink with the order in proportion; rounding down favours nobody twice.
	return mulDiv(net, o.Paid-o.Omitted, o.Paid)
}

// Last is the occurred_at of the last order up to at that still counts.
func (v View) Last(at schemas.EventTime) (schemas.EventTime, bool) {
	if v.On.ID != 0 {
		return v.LastOf(v.On, at)
	}
	for i := len(v.C.Orders) - 1; i >= 0; i-- {
		if o := &v.C.Orders[i]; o.At <= at && o.Counts() {
			return o.At, true
		}
	}
	for i := len(v.C.Days) - 1; i >= 0; i-- {
		if d := &v.C.Days[i]; d.Last <= at && d.Count > 0 {
			return d.Last, true
		}
	}
	if v.C.Base.Count > 0 {
		return v.C.Base.Last, true
	}
	return 0, false
}

// First is the occurred_at of the first order that still counts, if it is not after at.
func (v View) First(at schemas.EventTime) (schemas.EventTime, bool) {
	if v.On.ID != 0 {
		return v.FirstOf(v.On, at)
	}
	if v.C.Base.Count > 0 {
		return v.C.Base.First, true
	}
	first, ok := schemas.EventTime(0), false
	for i := range v.C.Days {
		if d := &v.C.Days[i]; d.Count > 0 {
			first, ok = d.Last, true
			break
		}
	}
	for i := range v.C.Orders {
		if o := &v.C.Orders[i]; o.Counts() {
			if !ok || o.At < first {
				first, ok = o.At, true
			}
			break
		}
	}
	return first, ok && first <= at
}

// Repeat is the summary that buy-till-you-die models read: distinct local days
// with an order, and the first and last of those days.
type Repeat struct {
	Days        int64 // 0: never bought
	First, Last int64 // local day numbers
}

// Repeat summarises all orders up to at.
func (v View) Repeat(at schemas.EventTime) Repeat {
	if v.On.ID != 0 {
		return v.RepeatOf(v.On, at)
	}
	var r Repeat
	add := func(t schemas.EventTime) {
		d := v.Zone.Day(t)
		if r.Days == 0 {
			r.First = d
		} else if d == r.Last {
			return
		}
		r.Days++
		r.Last = d
	}
	if b := &v.C.Base; b.Count > 0 {
		r = Repeat{Days: b.Days, First: v.Zone.Day(b.First), Last: v.Zone.Day(b.Last)}
	}
	v.each(func(d *state.DaySum, o *state.Order) bool {
		switch {
		case d != nil && d.Last <= at && d.Count > 0:
			add(d.Last)
		case o != nil && o.At > at:
			return false
		case o != nil && o.Counts():
			add(o.At)
		}
		return true
	})
	return r
}

// NextLeave is the first instant after at when an order leaves the window.
func (v View) NextLeave(window, at schemas.EventTime) (schemas.EventTime, bool) {
	if v.On.ID != 0 {
		return v.NextLeaveOf(v.On, window, at)
	}
	if window == 0 {
		return 0, false
	}
	best, ok := schemas.EventTime(0), false
	take := func(t schemas.EventTime) {
		if t <= at && t+window > at && (!ok || t+window < best) {
			best, ok = t+window, true
		}
	}
	for i := range v.C.Days {
		take(v.C.Days[i].Last)
	}
	for i := range v.C.Orders {
		if o := &v.C.Orders[i]; o.Counts() || o.StandIn() {
			take(o.At)
		}
	}
	return best, ok
}

// Leaves calls fn for each departure from the window after at, in order of
// time, with what is left of s, which is the window's sum at at; until fn says
// false. It says false itself, and calls nothing, where refunds without an order
// are in the window: what is left then depends on where the sum is cut at 0.
func (v View) Leaves(window, at schemas.EventTime, s Sums, fn func(left schemas.EventTime, s Sums) bool) bool {
	if v.On.ID != 0 {
		return v.markLeaves(window, at, s, fn)
	}
	from := at - window
	for i := range v.C.Orders {
		if o := &v.C.Orders[i]; o.StandIn() && o.At > from && o.At <= at {
			return false
		}
	}
	for i := range v.C.Days {
		if d := &v.C.Days[i]; d.Sum < 0 {
			return false
		}
	}
	v.each(func(d *state.DaySum, o *state.Order) bool {
		switch {
		case d != nil && d.Last > from && d.Last <= at:
			s.Orders -= d.Count
			s.Net -= d.Sum
			return fn(d.Last+window, s)
		case o != nil && o.At > from && o.At <= at && o.Counts():
			s.Orders--
			s.Net -= o.Net()
			return fn(o.At+window, s)
		}
		return true
	})
	return true
}

// FallsBelow is the first instant after at when the growing sum of the window
// is less than limit if no order comes any more. window must not be 0.
func (v View) FallsBelow(window, at schemas.EventTime, sum, limit int64) (schemas.EventTime, bool) {
	from := at - window
	var due schemas.EventTime
	v.each(func(d *state.DaySum, o *state.Order) bool {
		var left schemas.EventTime
		switch {
		case d != nil && d.Last > from && d.Last <= at:
			left, sum = d.Last, sum-(d.Sum-d.Omitted)
		case o == nil || o.At <= from || o.At > at:
			return true
		case o.StandIn():
			left, sum = o.At, sum+o.Lowers()
		case o.Counts():
			left, sum = o.At, sum-Growing(o)
		default:
			return true
		}
		if sum < limit {
			due = left + window
			return false
		}
		return true
	})
	return due, due != 0
}

// each calls fn with the days and the orders in order of time, until it says false.
func (v View) each(fn func(*state.DaySum, *state.Order) bool) {
	days, orders := v.C.Days, v.C.Orders
	for len(days) > 0 || len(orders) > 0 {
		var ok bool
		if len(orders) == 0 || len(days) > 0 && days[0].Last <= orders[0].At {
			ok = fn(&days[0], nil)
			days = days[1:]
		} else {
			ok = fn(nil, &orders[0])
			orders = orders[1:]
		}
		if !ok {
			return
		}
	}
}

// Portion is value×num/den rounded down, without overflow in between; all >= 0, num <= den.
func Portion(value, num, den int64) int64 { return mulDiv(value, num, den) }

// mulDiv is a*b/c rounded down, without overflow in between; all >= 0, b <= c.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q)
}
