package award

import (
	"sort"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// caps is what is left to earn in the cycle under way, for each bound.
type caps []bound

type bound struct {
	playbook.EarnCap
	until       schemas.EventTime // the next cycle's begin
	left, gross int64
}

func newCaps(of []playbook.EarnCap) caps {
	if len(of) == 0 {
		return nil
	}
	c := make(caps, len(of))
	for i := range of {
		c[i] = bound{EarnCap: of[i]}
	}
	return c
}

// take earns up to what every bound has left; instants ascend. What takes away
// is not bounded, and makes no room.
func (c caps) take(z history.Zone, at schemas.EventTime, net, gross int64) (int64, int64) {
	for i := range c {
		b := &c[i]
		if at >= b.until {
			b.until, _ = z.Cycle(b.Cycle, at)
			b.left, b.gross = b.AtMost, b.AtMost
		}
		net, gross = min(net, b.left), min(gross, b.gross)
	}
	for i := range c {
		c[i].left -= max(net, 0)
		c[i].gross -= max(gross, 0)
	}
	return net, gross
}

// capped holds all awards together against the rule's bounds, in order of earning.
func (r *Rule) capped(v history.View, list []Award) []Award {
	sort.SliceStable(list, func(i, j int) bool { return list[i].At < list[j].At })
	c := newCaps(r.def.Caps)
	kept := list[:0]
	for _, a := range list {
		if a.Units, a.Gross = c.take(v.Zone, a.At, a.Units, a.Gross); a.Units != 0 || a.Gross != 0 {
			kept = append(kept, a)
		}
	}
	return kept
}

// levelBefore is the level that a program's stream held just before an instant.
func levelBefore(v history.View, s history.Stream, at schemas.EventTime) (level int64) {
	if m := v.LastMark(s, at-1); m != nil {
		return m.Value
	}
	if b := v.C.MarkBase(s.ID); b != nil && b.Last < at {
		level = b.Value
	}
	v.EachMark(s, at-1, func(_ schemas.EventTime, x int64, _ *state.Mark) bool {
		level = x
		return true
	})
	return level
}

// held is what a gauge earns: at the begin of each cycle by what it held just before.
func (r *Rule) held(v history.View, s history.Stream, at schemas.EventTime, cycle string) (out []unit) {
	value, next := int64(0), schemas.EventTime(0)
	upTo := func(t schemas.EventTime) {
		for next != 0 && next <= t {
			if value > 0 {
				out = append(out, unit{at: next, settled: next + r.def.Settle.After, net: value, gross: value, times: 1})
			}
			next, _ = v.Zone.Cycle(cycle, next)
		}
	}
	if b := v.C.MarkBase(s.ID); b != nil && b.Count > 0 && b.Last <= at {
		value = b.Value
		next, _ = v.Zone.Cycle(cycle, b.Last)
	}
	v.EachMark(s, at, func(t schemas.EventTime, x int64, _ *state.Mark) bool {
		upTo(t)
		if value = x; next == 0 {
			next, _ = v.Zone.Cycle(cycle, t)
		}
		return true
	})
	upTo(at)
	return out
}

// Next is the first instant after at at which an award begins to count, or a
// gauge earns one; 0: none does.
func (r *Rule) Next(v history.View, list []Award, at schemas.EventTime) schemas.EventTime {
	due := Next(list, at)
	for i := range r.def.Factors {
		f := &r.def.Factors[i]
		if f.Each == "" || levelBefore(v, r.streams[i], at+1) <= 0 {
			continue
		}
		if t, _ := v.Zone.Cycle(f.Each, at); due == 0 || t < due {
			due = t
		}
	}
	return due
}

// Sum adds up what counts in (from, at]; with ever, all up to at. Where the value
// decays, each begin of a cycle takes its part of what there is, rounded so that
// the value is rounded down.
func (r *Rule) Sum(z history.Zone, list []Award, from, at schemas.EventTime, ever bool) (net, gross int64) {
	d := r.def.Decay
	if d.Cycle == "" {
		return Sum(list, from, at, ever)
	}
	next := schemas.EventTime(0)
	upTo := func(t schemas.EventTime) {
		for next != 0 && next <= t && (net != 0 || gross != 0) {
			net, gross = share(net, 1_000_000-d.PPM, 1_000_000), share(gross, 1_000_000-d.PPM, 1_000_000)
			next, _ = z.Cycle(d.Cycle, next)
		}
	}
	for i := range list {
		a := &list[i]
		if a.Settled == 0 || a.Settled > at {
			break
		}
		if !ever && a.Settled <= from {
			continue
		}
		upTo(a.Settled)
		net += a.Units
		gross += a.Gross
		next, _ = z.Cycle(d.Cycle, a.Settled)
	}
	upTo(at)
	return max(net, 0), max(gross, 0)
}

// Decays is the cycle at whose begin the value decays; "": it does not.
func (r *Rule) Decays() string { return r.def.Decay.Cycle }
