package award

import (
	"math/bits"
	"sort"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// Award is what one order, behavior or folded day earned.
type Award struct {
	At      schemas.EventTime // when it was earned
	Settled schemas.EventTime // from when it counts; 0: not known yet
	Units   int64             // after refunds
	Gross   int64             // as if nothing had been refunded
	Event   uint64            // hash of the event, of an order its id; 0: of a folded day
}

// Rule is a growth rule bound to the streams of a store.
type Rule struct {
	def     *playbook.Growth
	streams []history.Stream // by factor
	locks   []history.Stream // by factor; of those with a Lock
	levels  []history.Stream // by factor and multiplier, in their order; of those by tier
	settle  history.Stream   // of deliveries or completions, with Settle.On
}

// Bind resolves a rule; ids gives the stream of a store for an index into Playbook.Streams.
func Bind(def *playbook.Growth, ids func(int) history.Stream) *Rule {
	r := &Rule{def: def}
	for i := range def.Factors {
		r.streams = append(r.streams, ids(def.Factors[i].Stream))
		var lock history.Stream
		if l := def.Factors[i].Lock; l != nil {
			lock = ids(l.Stream)
		}
		r.locks = append(r.locks, lock)
		for _, m := range def.Factors[i].Multiply {
			var level history.Stream
			if m.Tier != "" {
				level = ids(m.Stream)
			}
			r.levels = append(r.levels, level)
		}
	}
	if def.Settle.On != "" {
		r.settle = ids(def.Settle.Stream)
	}
	return r
}

// unit is one thing that may earn, before caps.
type unit struct {
	at         schemas.EventTime
	settled    schemas.EventTime
	net, gross int64 // of what it measures
	times      int64 // how many it stands for
	event      uint64
}

// List is all awards earned up to at, in order of Settled, those without one
// last. What left the horizon comes as one award of its last instant.
func (r *Rule) List(v history.View, at schemas.EventTime) []Award {
	var out []Award
	levels := r.levels
	for i := range r.def.Factors {
		n, m := len(out), len(r.def.Factors[i].Multiply)
		out = r.factor(out, v, at, &r.def.Factors[i], r.streams[i], levels[:m])
		levels = levels[m:]
		if l := r.def.Factors[i].Lock; l != nil {
			out = append(out[:n], unlocked(out[n:], v, at, l, r.locks[i])...)
		}
	}
	if len(r.def.Caps) > 0 {
		out = r.capped(v, out)
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		switch {
		case a.Settled != b.Settled:
			return b.Settled == 0 || a.Settled != 0 && a.Settled < b.Settled
		case a.At != b.At:
			return a.At < b.At
		}
		return a.Event < b.Event
	})
	return out
}

func (r *Rule) factor(out []Award, v history.View, at schemas.EventTime, f *playbook.Factor, s history.Stream, levels []history.Stream) []Award {
	var units []unit
	switch {
	case f.Each != "":
		units = r.held(v, s, at, f.Each)
	case s.ID == 0:
		units = r.orders(v, at)
	default:
		units = r.marks(v, s, at)
	}
	caps := newCaps(f.Caps)
	day, left, leftGross := int64(-1<<62), int64(0), int64(0)
	for i := range units {
		u := &units[i]
		net, gross := f.Gives*u.times, f.Gives*u.times
		if f.Denominator != 0 {
			net, gross = share(u.net, f.Numerator, f.Denominator), share(u.gross, f.Numerator, f.Denominator)
		} else if u.net == 0 && u.gross != 0 {
			net = 0
		}
		d := v.Zone.Day(u.at)
		byTier := func(k int) bool { return levelBefore(v, levels[k], u.at) >= f.Multiply[k].Level }
		if p := f.Multiplied(d, byTier); p != 100 {
			net, gross = share(net, p, 100), share(gross, p, 100)
		}
		if f.CapDay > 0 {
			if d != day {
				day, left, leftGross = d, f.CapDay, f.CapDay
			}
			net, gross = min(net, left), min(gross, leftGross)
			left -= net
			leftGross -= gross
		}
		net, gross = caps.take(v.Zone, u.at, net, gross)
		if net != 0 || gross != 0 {
			out = append(out, Award{At: u.at, Settled: u.settled, Units: net, Gross: gross, Event: u.event})
		}
	}
	return out
}

// unlocked lets each award count from the next event of the lock's stream on;
// what waited too long is left out.
func unlocked(list []Award, v history.View, at schemas.EventTime, l *playbook.Lock, s history.Stream) []Award {
	kept := list[:0]
	for _, a := range list {
		next := v.NextThat(s, a.At)
		switch {
		case next != 0 && next <= at && (l.Within == 0 || next <= a.At+l.Within):
			a.Settled = max(a.Settled, next)
		case l.Within != 0 && at > a.At+l.Within:
			continue
		default:
			a.Settled = 0
		}
		kept = append(kept, a)
	}
	return kept
}

// orders are the orders up to at. A refund that met no order takes back by an
// award below 0 of its own instant.
func (r *Rule) orders(v history.View, at schemas.EventTime) []unit {
	var out []unit
	b := &v.C.Base
	if b.Count > 0 && b.Last <= at {
		out = append(out, unit{at: b.Last, settled: b.Last, net: b.Sum - b.Omitted, gross: b.Sum - b.Omitted, times: b.Count})
	}
	for i := range v.C.Days {
		if d := &v.C.Days[i]; d.Last <= at {
			out = append(out, unit{at: d.Last, settled: d.Last + r.def.Settle.After, net: d.Sum - d.Omitted, gross: d.Sum - d.Omitted, times: d.Count})
		}
	}
	for i := range v.C.Orders {
		o := &v.C.Orders[i]
		switch {
		case o.At > at:
		case o.StandIn():
			out = append(out, unit{at: o.At, settled: o.At, net: -o.Lowers(), gross: -o.Lowers(), event: o.ID})
		default:
			whole := *o
			whole.Refunded, whole.Voided = 0, 0
			u := unit{at: o.At, settled: r.SettledAt(v, o.ID, o.At, at), gross: history.Growing(&whole), times: 1, event: o.ID}
			if o.Counts() {
				u.net = history.Growing(o)
			}
			out = append(out, u)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].at < out[j].at })
	return out
}

// SettledAt is when the awards of an order that was earned at an instant begin to
// count, as known at at; 0: not yet.
func (r *Rule) SettledAt(v history.View, order uint64, earned, at schemas.EventTime) schemas.EventTime {
	after := r.def.Settle.After
	if r.def.Settle.On == "" {
		return earned + after
	}
	for i := range v.C.Marks {
		if m := &v.C.Marks[i]; m.Stream == r.settle.ID && m.Key == order && m.At <= at {
			return max(m.At, earned) + after
		}
	}
	// Of deliveries that were folded nobody knows which order they were of; an
	// order older than the last of them counts as delivered with it.
	for i := len(v.C.MarkDays) - 1; i >= 0; i-- {
		if d := &v.C.MarkDays[i]; d.Stream == r.settle.ID && d.Last >= earned && d.Last <= at {
			return d.Last + after
		}
	}
	return 0
}

func (r *Rule) marks(v history.View, s history.Stream, at schemas.EventTime) []unit {
	var out []unit
	if b := v.C.MarkBase(s.ID); b != nil && b.Count > 0 && b.Last <= at {
		out = append(out, unit{at: b.Last, settled: b.Last, net: b.Sum, gross: b.Sum, times: b.Count})
	}
	for i := range v.C.MarkDays {
		if d := &v.C.MarkDays[i]; d.Stream == s.ID && d.Last <= at {
			out = append(out, unit{at: d.Last, settled: d.Last + r.def.Settle.After, net: d.Sum, gross: d.Sum, times: d.Count})
		}
	}
	for i := range v.C.Marks {
		m := &v.C.Marks[i]
		if m.Stream != s.ID || m.At > at {
			continue
		}
		u := unit{at: m.At, settled: m.At + r.def.Settle.After, gross: m.Value, times: 1, event: m.Event}
		value, counts := v.Worth(s, m)
		if u.net = value; !counts {
			u.net = 0
		}
		if s.Net {
			u.settled = r.SettledAt(v, m.Key, m.At, at)
			u.event = m.Key
		}
		if m.Value == 0 { // it measures nothing: it counts or it does not
			if u.gross = 1; counts {
				u.net = 1
			}
		}
		out = append(out, u)
	}
	return out
}

// Sum adds up what counts in (from, at]; with ever, all up to at.
func Sum(list []Award, from, at schemas.EventTime, ever bool) (net, gross int64) {
	for i := range list {
		a := &list[i]
		if a.Settled == 0 || a.Settled > at {
			break
		}
		if ever || a.Settled > from {
			net += a.Units
			gross += a.Gross
		}
	}
	return max(net, 0), max(gross, 0)
}

// Next is the first instant after at at which an award of the list begins to
// count; 0: none does.
func Next(list []Award, at schemas.EventTime) schemas.EventTime {
	for i := range list {
		if s := list[i].Settled; s > at {
			return s
		}
	}
	return 0
}

// share is value × num / den, towards 0; den above 0.
func share(value, num, den int64) int64 {
	sign := int64(1)
	if value < 0 {
		value, sign = -value, -1
	}
	hi, lo := bits.Mul64(uint64(value), uint64(num))
	if hi >= uint64(den) {
		return sign * maxUnits
	}
	q, _ := bits.Div64(hi, lo, uint64(den))
	return sign * int64(min(q, maxUnits))
}

// maxUnits bounds one award, so that sums of thousands can't overflow.
const maxUnits = 1 << 50
