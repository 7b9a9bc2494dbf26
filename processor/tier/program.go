package tier

import (
	"tidemark/playbook"
	"tidemark/processor/award"
	"tidemark/processor/facts"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// Program is a program that needs more than a window over plain growth: factors,
// pending awards, a fact, cycles, thresholds to keep, grants by hand.
//
// Where it stands hangs on where it stood: a level that was reached is kept until
// the instant at which the program looks (at once, at a local midnight, at the
// end of a cycle) and finds less than the threshold to keep.
type Program struct {
	T              *playbook.Tier
	Growth         *award.Rule // nil with Fact
	Fact           *facts.Fact
	Grants, Member history.Stream
	Bought         []history.Stream // by T.Bought
}

// State is where a customer stands, and what decided it.
type State struct {
	Level   int32
	Value   int64 // that was compared
	Renewed bool  // the cycle ended and the level is kept
	Granted bool  // by hand
	Ended   bool  // what was granted by hand is over
	Due     schemas.EventTime
}

// now is what one evaluation looks at.
type now struct {
	p     *Program
	v     history.View
	at    schemas.EventTime
	since schemas.EventTime // when the level was reached
	list  []award.Award
}

// Eval says where a customer stands at an instant, given the level before and
// since when she had it. told is a level that was published at this very instant
// and is not taken back by a refund; 0: none.
func (p *Program) Eval(v history.View, at schemas.EventTime, level, told int32, since schemas.EventTime) State {
	n := p.look(v, at, since)
	level = min(max(level, 0), int32(len(p.T.Levels)-1))
	net, gross := n.value(at)
	s := State{Level: level, Value: net}
	up := max(p.reached(net), min(told, int32(len(p.T.Levels)-1)))
	rise := up
	if p.T.Rise != "" {
		rise = max(n.risen(&s, level), min(told, int32(len(p.T.Levels)-1)))
	}
	granted, until, last := p.grant(v, at)
	switch {
	case rise > level:
		s.Level = rise
	case p.over(last, level, since, until, at):
		// What was given by hand is over: what she earned meanwhile stands.
		kept := p.kept(net, gross, level)
		if start, closed, ok := n.closing(); ok && p.T.Fall == playbook.FallCycleEnd {
			a, b := n.between(start, closed)
			kept = max(kept, p.kept(a, b, level))
		}
		s.Level, s.Ended = max(kept, up), true
	case level > up:
		s = n.fall(s, up, net, gross)
	}
	if granted >= s.Level && granted > 0 {
		s.Level, s.Granted = granted, granted > up
	}
	s.Renewed = s.Renewed && s.Level == level
	s.Due = n.due(s.Level)
	if p.T.Rise != "" && p.reached(net) > s.Level {
		next, _ := v.Zone.Cycle(p.T.Rise, at)
		s.Due = earlier(s.Due, next)
	}
	if until > at {
		s.Due = earlier(s.Due, until)
	}
	return s
}

// risen is the level that the end of a cycle gives: at its end, by what stands
// then, and where the window is the cycle by what it held; else level.
func (n *now) risen(s *State, level int32) int32 {
	t := n.p.T
	start, _ := n.v.Zone.CycleStart(t.Rise, n.at)
	if start != n.at {
		return level
	}
	net := s.Value
	if t.Cycle != "" {
		from, _ := n.v.Zone.CycleStart(t.Rise, n.at-1)
		net, _ = n.between(from, n.at-1)
	}
	up := n.p.reached(net)
	if up > level {
		s.Value = net
	}
	return up
}

func (p *Program) look(v history.View, at, since schemas.EventTime) *now {
	n := &now{p: p, v: v, at: at, since: since}
	if p.Growth != nil {
		n.list = p.Growth.List(v, at)
	}
	return n
}

// fall is where a level goes that is above what is reached now.
func (n *now) fall(s State, up int32, net, gross int64) State {
	t := n.p.T
	switch t.Fall {
	case playbook.FallDayEnd:
		if n.at != n.v.Zone.Midnight(n.v.Zone.Day(n.at)) {
			return s
		}
	case playbook.FallCycleEnd:
		from, to, ends := n.closing()
		if !ends || to != n.at-1 {
			return s
		}
		if n.p.Fact == nil && t.Cycle != "" {
			net, gross = n.between(from, to)
		}
		s.Renewed = n.since < n.at
	}
	s.Value = net
	level := max(n.p.kept(net, gross, s.Level), up)
	if t.OneStep {
		level = max(level, s.Level-1)
	}
	s.Renewed = s.Renewed && level == s.Level
	s.Level = level
	return s
}

// kept is the highest level up to one that the values keep.
func (p *Program) kept(net, gross int64, level int32) int32 {
	value := net
	if p.T.OnRefund == playbook.RefundNeverGranted {
		value = gross
	}
	for level > 0 && value < p.T.Levels[level].Keep {
		level--
	}
	return level
}

func (p *Program) reached(value int64) int32 {
	for i := len(p.T.Levels) - 1; i > 0; i-- {
		if value >= p.T.Levels[i].Reach {
			return int32(i)
		}
	}
	return 0
}

// value is what counts as of an instant from n.at on, if nothing comes after n.at.
func (n *now) value(at schemas.EventTime) (net, gross int64) {
	t := n.p.T
	switch {
	case n.p.Fact != nil:
		x := n.p.Fact.Eval(n.v, n.at).Int
		return x, x
	case t.Cycle != "":
		start, _, _, ok := n.cycle(t.Cycle, at)
		if !ok {
			return n.sum(0, at, true)
		}
		return n.sum(start-1, at, false)
	}
	return n.sum(at-t.Window, at, t.Window == 0)
}

// between sums what counts from one instant to another, both in it.
func (n *now) between(from, to schemas.EventTime) (net, gross int64) {
	return n.sum(from-1, to, false)
}

func (n *now) sum(from, at schemas.EventTime, ever bool) (net, gross int64) {
	return n.p.Growth.Sum(n.v.Zone, n.list, from, at, ever)
}

// cycle is the cycle that holds an instant; n is 0 in the first of an anniversary.
func (n *now) cycle(name string, at schemas.EventTime) (start, next schemas.EventTime, nth int, ok bool) {
	switch name {
	case playbook.TierAnniversary:
		if n.since > 0 && n.since <= at {
			return n.v.Zone.Anniversary(n.since, at)
		}
		fallthrough
	case playbook.MembershipAnniversary:
		base, ok := n.v.FirstOf(n.p.Member, n.at)
		if first, bought := n.v.First(n.at); bought && (!ok || first < base) {
			base, ok = first, true
		}
		if !ok {
			return 0, 0, 0, false
		}
		return n.v.Zone.Anniversary(base, at)
	}
	start, ok = n.v.Zone.CycleStart(name, at)
	next, _ = n.v.Zone.Cycle(name, at)
	return start, next, 1, ok
}

// closing is the cycle that last came to its end, grace in it: from its first
// instant to the last before the program looks at it.
func (n *now) closing() (from, to schemas.EventTime, ok bool) { return n.closed(n.at) }

func (n *now) closed(at schemas.EventTime) (from, to schemas.EventTime, ok bool) {
	t := n.p.T
	if t.FallCycle == "" {
		return 0, 0, false
	}
	start, _, nth, ok := n.cycle(t.FallCycle, at-t.Grace)
	if !ok || nth == 0 {
		return 0, 0, false
	}
	if from, _, _, ok = n.cycle(t.FallCycle, start-1); !ok {
		return 0, 0, false
	}
	return from, start + t.Grace - 1, true
}

// nextEnd is the next instant after at at which the program looks at a cycle that ended.
func (n *now) nextEnd(at schemas.EventTime) schemas.EventTime {
	_, next, _, ok := n.cycle(n.p.T.FallCycle, at-n.p.T.Grace)
	if !ok {
		// The first cycle has not begun, or its grace is under way.
		if _, next, _, ok = n.cycle(n.p.T.FallCycle, at); !ok {
			return 0
		}
	}
	return next + n.p.T.Grace
}

// due is the next instant after n.at at which time alone may change something.
func (n *now) due(level int32) schemas.EventTime {
	t := n.p.T
	due := schemas.EventTime(0)
	if n.p.Growth != nil {
		due = n.p.Growth.Next(n.v, n.list, n.at)
	}
	if n.p.Fact != nil {
		x := n.p.Fact.Eval(n.v, n.at).Int
		lo, hi := int64(facts.Lowest), int64(facts.Highest)
		if level > 0 && t.Fall != playbook.FallCycleEnd {
			if lo = t.Levels[level].Keep; x < lo {
				lo = facts.Lowest
			}
		}
		if int(level)+1 < len(t.Levels) {
			if hi = t.Levels[level+1].Reach; x >= hi {
				hi = facts.Highest
			}
		}
		due = earlier(due, n.p.Fact.Next(n.v, n.at, x, lo, hi))
	}
	if level == 0 {
		return due
	}
	switch t.Fall {
	case playbook.FallCycleEnd:
		due = earlier(due, n.nextEnd(n.at))
	case playbook.FallInstant:
		due = earlier(due, n.lapse(level))
	case playbook.FallDayEnd:
		net, gross := n.value(n.at)
		if n.p.kept(net, gross, level) < level {
			due = earlier(due, n.v.Zone.Midnight(n.v.Zone.Day(n.at)+1))
		} else if l := n.lapse(level); l != 0 {
			due = earlier(due, l)
		}
	}
	return due
}

// lapse is the first instant after n.at at which the window lets go of what
// keeps a level, if nothing comes; 0: never, or not to be known before.
func (n *now) lapse(level int32) schemas.EventTime {
	t := n.p.T
	switch {
	case n.p.Fact != nil:
		return 0
	case n.p.Growth.Decays() != "":
		return n.decay(level)
	case t.Cycle != "":
		_, next, _, _ := n.cycle(t.Cycle, n.at)
		return next
	case t.Window == 0:
		return 0
	}
	for i := range n.list {
		a := &n.list[i]
		if a.Settled == 0 {
			break
		}
		if out := a.Settled + t.Window; out > n.at {
			if n.p.keptAt(n, out, level) < level {
				return out
			}
		}
	}
	return 0
}

// decay is lapse where the value decays: each begin of a cycle may let go of the
// level, and so may the window.
func (n *now) decay(level int32) schemas.EventTime {
	t := n.p.T
	if t.Levels[level].Keep <= 0 {
		return 0
	}
	for at := n.at; ; {
		next, _ := n.v.Zone.Cycle(n.p.Growth.Decays(), at)
		if t.Cycle != "" {
			_, end, _, _ := n.cycle(t.Cycle, at)
			next = earlier(next, end)
		}
		for i := range n.list {
			if out := n.list[i].Settled + t.Window; t.Window > 0 && n.list[i].Settled > 0 && out > at {
				next = earlier(next, out)
				break
			}
		}
		if next == 0 || n.p.keptAt(n, next, level) < level {
			return next
		}
		if next-n.at > 400*366*schemas.Day {
			return 0 // not in the life of a customer
		}
		at = next
	}
}

func (p *Program) keptAt(n *now, at schemas.EventTime, level int32) int32 {
	net, gross := n.value(at)
	return p.kept(net, gross, level)
}

// Fall is when a level is lost if nothing comes any more, what is missing to
// keep it by then, and the level that threatens. until is 0 where it never is,
// or where nobody can know.
func (p *Program) Fall(v history.View, at schemas.EventTime, level int32, since schemas.EventTime) (until schemas.EventTime, missing int64, to int32) {
	if level <= 0 || int(level) >= len(p.T.Levels) {
		return 0, 0, 0
	}
	n := p.look(v, at, since)
	t := p.T
	keep := t.Levels[level].Keep
	granted, grantEnds, _ := p.grant(v, at)
	if granted >= level {
		if len(t.Bought) > 0 && grantEnds != 0 {
			net, _ := n.value(grantEnds)
			missing = max(keep-net, 0)
		}
		return grantEnds, missing, max(p.keptAt(n, at, level-1), 0)
	}
	var net, gross int64
	switch t.Fall {
	case playbook.FallCycleEnd:
		end := at
		for range 400 { // as many cycles as a window can be long, and to spare
			if end = n.nextEnd(end); end == 0 {
				return 0, 0, 0
			}
			switch from, last, ok := n.closed(end); {
			case n.p.Fact != nil, t.Cycle == "":
				net, gross = n.value(end)
			case ok:
				net, gross = n.between(from, last)
			default:
				continue
			}
			if p.kept(net, gross, level) < level {
				until = end
				break
			}
			if p.Fact != nil || t.Cycle == "" && t.Window == 0 {
				return end, 0, level
			}
		}
	default:
		until = n.lapse(level)
		if t.Fall == playbook.FallDayEnd && until != 0 {
			if m := v.Zone.Midnight(v.Zone.Day(until)); m != until {
				until = v.Zone.Midnight(v.Zone.Day(until) + 1)
			}
		}
		if until != 0 {
			net, gross = n.value(until)
		}
	}
	if until == 0 {
		return 0, 0, level
	}
	to = p.kept(net, gross, level)
	if t.OneStep {
		to = max(to, level-1)
	}
	if t.OnRefund == playbook.RefundNeverGranted {
		net = gross
	}
	return until, max(keep-net, 0), to
}

// Grant is the level given by hand that holds at an instant, and until when it
// does or did; 0: for ever.
func (p *Program) Grant(v history.View, at schemas.EventTime) (level int32, until schemas.EventTime) {
	level, until, _ = p.grant(v, at)
	return level, until
}

// Settles is the next instant after at at which a pending award begins to count,
// or a grant ends; 0: none.
func (p *Program) Settles(v history.View, at schemas.EventTime) schemas.EventTime {
	due := schemas.EventTime(0)
	if p.Growth != nil {
		due = p.Growth.Next(v, p.Growth.List(v, at), at)
	}
	if _, until, _ := p.grant(v, at); until > at {
		due = earlier(due, until)
	}
	return due
}

// Value is what counts at an instant.
func (p *Program) Value(v history.View, at, since schemas.EventTime) int64 {
	net, _ := p.look(v, at, since).value(at)
	return net
}

// grant is the level given by hand that holds at an instant, until when it does
// or did (0: for ever), and the level of the last grant whether it holds or not.
func (p *Program) grant(v history.View, at schemas.EventTime) (level int32, until schemas.EventTime, last int32) {
	until = 0
	take := func(t schemas.EventTime, value int64, text string) {
		switch {
		case value < 0: // taken back
			if level > 0 || until > t || until == 0 {
				until = t
			}
			level = 0
		default:
			level, until = p.named(text), schemas.EventTime(value)
			last = level
		}
	}
	if b := v.C.MarkBase(p.Grants.ID); b != nil && b.Last <= at {
		take(b.Last, b.Value, b.Text)
	}
	v.EachMark(p.Grants, at, func(t schemas.EventTime, value int64, m *state.Mark) bool {
		if m != nil {
			take(t, value, m.Text)
		}
		return true
	})
	if until != 0 && at >= until {
		level = 0
	}
	for i := range p.T.Bought {
		b := &p.T.Bought[i]
		end := schemas.EventTime(0)
		v.EachMark(p.Bought[i], at, func(t schemas.EventTime, _ int64, _ *state.Mark) bool {
			end = max(end, t) + b.For
			return true
		})
		switch {
		case end == 0:
		case at < end && b.Level > level, at < end && b.Level == level && (until != 0 && end > until):
			level, until, last = b.Level, end, b.Level
		case at >= end && level == 0 && (last == 0 || until < end):
			until, last = end, b.Level
		}
	}
	return level, until, last
}

// over says whether the level is one that was given by hand and is so no more.
func (p *Program) over(last, level int32, since, until, at schemas.EventTime) bool {
	return last > 0 && last == level && until != 0 && until <= at && since <= until
}

// HasGrants says whether anything was ever given or taken by hand.
func (p *Program) HasGrants(v history.View) bool {
	if len(p.T.Bought) > 0 {
		return true
	}
	if v.C.MarkBase(p.Grants.ID) != nil {
		return true
	}
	for i := range v.C.Marks {
		if v.C.Marks[i].Stream == p.Grants.ID {
			return true
		}
	}
	return false
}

func (p *Program) named(text string) int32 {
	for i := range p.T.Levels {
		name := p.T.Levels[i].Name
		if len(name) > state.MarkText {
			name = name[:state.MarkText]
		}
		if name == text {
			return int32(i)
		}
	}
	return 0
}

func earlier(a, b schemas.EventTime) schemas.EventTime {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
