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
	var s Sums
	from := at - window
	if window == 0 {
		b := &v.C.Base
		s = Sums{Orders: b.Count, Net: b.Sum, Growing: b.Sum, Refunded: b.Refunded}
	}
	for i := range v.C.Days {
		d := &v.C.Days[i]
		if d.Last > at || window != 0 && d.Last <= from {
			continue
		}
		s.Orders += d.Count
		s.Net += d.Sum
		s.Growing += d.Sum
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
		if o.Paid == 0 {
			// A refund that met no order lowers what was spent, and no count.
			s.Net -= o.Refunded
			s.Growing -= o.Refunded
			continue
		}
		net := o.Net()
		if net <= 0 {
			continue
		}
		s.Orders++
		s.Net += net
		s.Growing += growing(o, net)
	}
	s.Net, s.Growing = max(s.Net, 0), max(s.Growing, 0)
	return s
}

func growing(o *state.Order, net int64) int64 {
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
	for i := len(v.C.Orders) - 1; i >= 0; i-- {
		if o := &v.C.Orders[i]; o.At <= at && o.Net() > 0 {
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
	if v.C.Base.Count > 0 {
		return v.C.Base.First, true
	}
	if len(v.C.Days) > 0 && v.C.Days[0].Last <= at {
		return v.C.Days[0].Last, true
	}
	for i := range v.C.Orders {
		if o := &v.C.Orders[i]; o.Net() > 0 {
			return o.At, o.At <= at
		}
	}
	return 0, false
}

// Repeat is the summary that buy-till-you-die models read: distinct local days
// with an order, and the first and last of those days.
type Repeat struct {
	Days        int64 // 0: never bought
	First, Last int64 // local day numbers
}

// Repeat summarises all orders up to at.
func (v View) Repeat(at schemas.EventTime) Repeat {
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
	for i := range v.C.Days {
		if v.C.Days[i].Last <= at && v.C.Days[i].Count > 0 {
			add(v.C.Days[i].Last)
		}
	}
	for i := range v.C.Orders {
		o := &v.C.Orders[i]
		if o.At > at {
			break
		}
		if o.Net() > 0 {
			add(o.At)
		}
	}
	return r
}

// NextLeave is the first instant after at when an order leaves the window.
func (v View) NextLeave(window, at schemas.EventTime) (schemas.EventTime, bool) {
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
		if o := &v.C.Orders[i]; o.Net() > 0 || o.Paid == 0 {
			take(o.At)
		}
	}
	return best, ok
}

// FallsBelow is the first instant after at when the growing sum of the window
// is less than limit if no order comes any more. window must not be 0.
func (v View) FallsBelow(window, at schemas.EventTime, sum, limit int64) (schemas.EventTime, bool) {
	from := at - window
	for i := range v.C.Days {
		d := &v.C.Days[i]
		if d.Last <= from || d.Last > at {
			continue
		}
		if sum -= d.Sum; sum < limit {
			return d.Last + window, true
		}
	}
	for i := range v.C.Orders {
		o := &v.C.Orders[i]
		if o.At <= from {
			continue
		}
		if o.At > at {
			break
		}
		if o.Paid == 0 {
			sum += o.Refunded
			continue
		}
		net := o.Net()
		if net <= 0 {
			continue
		}
		if sum -= growing(o, net); sum < limit {
			return o.At + window, true
		}
	}
	return 0, false
}

// mulDiv is a*b/c rounded down, without overflow in between; all >= 0, b <= c.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q)
}
