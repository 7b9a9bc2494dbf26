package core

import (
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// rule is one rule of the playbook that moves a customer between phases.
type rule interface {
	common() *playbook.Common
	id() uint32
	// eval says where the rule stands at an instant, given where it stood
	// before. It reads the history as of that instant and nothing else.
	eval(v history.View, at schemas.EventTime, before standing) standing
	// resume is the aux of a standing that was reached at an instant.
	resume(v history.View, at schemas.EventTime) int64
	// trigger fills the body and the evidence of a move at an instant. ended is
	// set for the end of an episode.
	trigger(v history.View, m *move) schemas.Trigger
}

// standing is where a rule stands with a customer.
type standing struct {
	phase int32
	due   schemas.EventTime // when time alone may change it; 0: never
	aux   int64
	// What the evaluation said about the step that led here.
	fire bool // it begins an episode
	up   bool // it makes the open episode graver
	end  bool // it ends the open episode
	by   string
	from schemas.EventTime // it has been so since this instant, if that is later than the one asked about
	// since is when the phase before began, as known to the caller.
	since schemas.EventTime
}

func standingOf(r *state.Rule) standing {
	return standing{phase: r.Phase, due: r.Due, aux: r.Aux, since: r.Since}
}

// move is one step between phases, as published or as it should be.
type move struct {
	at       schemas.EventTime // effective_at
	facts    schemas.EventTime // the instant as of which facts are read; mostly at
	from, to int32
	ended    schemas.EventTime // when the episode ended; 0: it is open
	by       string            // what moved it
	aux      int64
	cause    string
	since    schemas.EventTime // when the phase before began; 0 unknown
}

// settle brings every rule of a customer in line with a change of the facts.
func (c *Core) settle(e *entry, ch *change) {
	now := c.reached(e)
	v := history.View{C: &e.Customer, Zone: c.zone}
	c.ensure(e)
	if levels := c.settleRules(e, v, ch, now); c.tasks != nil || levels >= 0 {
		c.settleDerived(e, v, ch, now, levels)
	}
	if c.moments != nil {
		c.settleMoments(e, v, ch)
	}
	if c.sops != nil {
		c.settleSops(e, v, ch)
	}
	if c.experiments != nil && ch.orders {
		c.recount(e, v, ch)
	}
	if c.ledgers != nil {
		c.settleBooks(e, v, ch)
	}
	if c.touching != nil {
		c.touches(e, v, c.done(e), ch.cause)
	}
	c.arm(e)
}

// settleRules is settle for all rules that stand by facts alone. It returns the
// first instant at which a level that others read became another; -1: none did.
func (c *Core) settleRules(e *entry, v history.View, ch *change, now schemas.EventTime) schemas.EventTime {
	levels := schemas.EventTime(-1)
	for _, r := range c.rule {
		if !ch.reaches(r) {
			continue
		}
		c.settleRule(e, v, r, ch, now)
		c.count(e, v, r, now)
		if k, ok := r.(*tierRule); ok && k.levels.ID != 0 {
			if t := c.levelled(e, k, min(ch.tc, ch.at)); t >= 0 && (levels < 0 || t < levels) {
				levels = t
			}
		}
	}
	if c.group != nil {
		c.group.serial++
		c.settlePhases(e, v, ch, now)
	}
	return levels
}

// reaches says whether a rule reads what changed.
func (ch *change) reaches(r rule) bool {
	marks := false
	switch r := r.(type) {
	case *tierRule:
		marks = r.extended && ch.marks || ch.granted
	case *noticeRule:
		marks = ch.marks
	case *churnRule:
		marks = r.on.ID != 0
	case *rfmRule:
		marks = r.on.ID != 0
	}
	return ch.orders || marks
}

func (c *Core) settleRule(e *entry, v history.View, r rule, ch *change, now schemas.EventTime) {
	st := e.Rule(r.id())
	touched := lastMove(st)
	// The past can be told again as far as it may still be corrected, since a
	// playbook put the rule where it stands, and where all orders are known singly.
	floor := max(now-r.common().CorrectWithin, st.Armed, folded(e), unlogged(e, st))
	switch {
	case ch.fresh && ch.tc >= ch.prior && ch.tc > touched:
		c.step(e, v, r, ch.tc, ch.tc, ch.cause, ch)
	case ch.tc >= floor:
		c.rewind(e, v, r, ch, now)
	default:
		// The past stands; it is an ordinary change now, and its effective_at
		// is when its cause occurred.
		c.step(e, v, r, max(ch.at, touched, st.Armed), now, ch.cause, ch)
	}
}

// lastMove is the instant of the rule's latest published step.
func lastMove(st *state.Rule) schemas.EventTime {
	t := st.Since
	if k := len(st.Log) - 1; k >= 0 {
		t = max(t, st.Log[k].At, st.Log[k].Ended)
	}
	return t
}

// step evaluates one rule once: effective at at, facts as of facts.
func (c *Core) step(e *entry, v history.View, r rule, at, facts schemas.EventTime, cause string, ch *change) {
	st := e.Rule(r.id())
	before := standingOf(st)
	if k, ok := r.(*taskRule); ok {
		before = k.current(v, facts, before)
		st.Phase = before.phase // what an older round left is no step of this one
	}
	s := r.eval(v, facts, before)
	at = max(at, s.from)
	if s.by == "time" && cause != "" {
		s.by = "customer"
	}
	since := st.Since
	if s.phase != st.Phase {
		st.Since = at
	}
	c.sized(r, st.Phase, s.phase)
	st.Phase, st.Due, st.Aux = s.phase, s.due, s.aux
	if c.quiet {
		st.Armed = at
	}
	if s.end {
		if k := openFiring(st); k >= 0 {
			c.end(e, v, r, st, k, at, cause)
		}
	}
	if s.fire || s.up {
		m := &move{at: at, facts: facts, from: before.phase, to: s.phase, by: s.by, aux: s.aux, cause: cause, since: since}
		if k := openFiring(st); s.up && k >= 0 {
			c.raise(e, v, r, st, k, m)
		} else {
			c.fire(e, v, r, st, m, ch)
		}
	}
	st.Log = prune(st.Log, max(max(c.pos.Clock, e.Latest)-r.common().CorrectWithin, folded(e)))
}

// openFiring is the index of the last episode that has not ended, or -1.
func openFiring(st *state.Rule) int {
	if k := len(st.Log) - 1; k >= 0 && st.Log[k].Ended == 0 {
		return k
	}
	return -1
}

// unlogged is the first instant from which the log holds every episode. Where a
// folded day is gone, because its orders came back one by one, folded alone would
// let a rule say again what was published before its log begins.
func unlogged(e *entry, st *state.Rule) schemas.EventTime {
	if e.Spilled == 0 || len(st.Log) == 0 || st.Log[0].Episode <= 1 {
		return 0
	}
	return st.Log[0].At + 1
}

// prune drops what can't be corrected any more, because it is too old or what it
// followed from is folded: a rule that fires at every event of a customer with very
// many must not make her row grow. It keeps the last one before floor, which says
// where the rule stood there.
func prune(log []state.Firing, floor schemas.EventTime) []state.Firing {
	n := 0
	for n+1 < len(log) && log[n+1].At < floor && log[n].Withheld != momentHeld {
		n++
	}
	if n == 0 {
		return log
	}
	return append(log[:0], log[n:]...)
}

// wake does what is due for a customer at an instant: each rule whose own
// time has come, and refunds that waited long enough.
func (c *Core) wake(e *entry, at schemas.EventTime) error {
	c.touch(e)
	c.ensure(e)
	e.Wake = 0
	c.waking = at
	if c.ledgers != nil {
		c.closeBooks(e, max(c.pos.Clock, e.Latest))
	}
	defer func() { c.waking = 0 }()
	c.expire(e, at)
	v := history.View{C: &e.Customer, Zone: c.zone}
	moved := false
	for _, r := range c.rule {
		st := e.Rule(r.id())
		if st == nil || st.Due == 0 || st.Due > at {
			continue
		}
		due, was := st.Due, st.Phase
		c.step(e, v, r, due, due, "", nil)
		if st = e.Rule(r.id()); st.Due != 0 && st.Due <= due {
			// A rule that asks for its own instant again would spin for ever.
			st.Due = due + 1
		}
		c.count(e, v, r, due)
		if k, ok := r.(*tierRule); ok && k.levels.ID != 0 {
			c.levelled(e, k, due)
		}
		moved = moved || st.Phase != was
	}
	if c.group != nil {
		c.wakePhases(e, v, at, moved)
	}
	if c.tasks != nil {
		c.wakeTasks(e, v, at)
	}
	c.wakeRecall(e, v, at)
	if c.moments != nil {
		c.wakeMoments(e, v, at)
	}
	if c.sops != nil {
		c.wakeSops(e, v, at, "")
	}
	if c.experiments != nil {
		c.wakeExperiments(e, v, at)
	}
	if c.ledgers != nil {
		c.wakeBooks(e, v, at)
	}
	if err := c.fold(e); err != nil {
		return err
	}
	c.arm(e)
	return nil
}

// reached is how far a customer's time has come: to the clock, to her last event,
// and to the timer that fires, which an event may bring on before the clock does.
func (c *Core) reached(e *entry) schemas.EventTime {
	return max(c.pos.Clock, e.Latest, c.waking)
}

// done is the last instant up to which all that time alone does to a customer was
// done. What is told again goes that far too, or it would take back what she was told.
func (c *Core) done(e *entry) schemas.EventTime {
	return max(c.pos.Fired, e.Latest-1, c.waking-1)
}

// arm sets the customer's timer to the first instant at which anything may
// change. A timer that is too early is left: it is looked at when it fires.
func (c *Core) arm(e *entry) {
	c.ensure(e)
	var due schemas.EventTime
	for i := range e.Rules {
		if d := e.Rules[i].Due; d != 0 && d < untilResume && (due == 0 || d < due) {
			due = d
		}
	}
	for i := range e.Wait {
		if d := e.Wait[i].Until; due == 0 || d < due {
			due = d
		}
	}
	if due == 0 || e.Wake != 0 && e.Wake <= due {
		return
	}
	e.Wake = due
	c.timers.add(due, e.ID)
}

// ensure gives every rule of the playbook its place in the row, so that
// pointers into it stay good while the rules run, and stills the timers of
// rules that are no longer in it.
func (c *Core) ensure(e *entry) {
	if e.ensured == c.pb {
		return
	}
	e.ensured = c.pb
	// Once, and not one by one: most customers never get another.
	if n := len(c.rule) + len(c.recalls) + len(c.moments); cap(e.Rules) < n {
		e.Rules = append(make([]state.Rule, 0, n), e.Rules...)
	}
	for _, r := range c.rule {
		e.EnsureRule(r.id())
	}
	for _, k := range c.recalls {
		e.EnsureRule(k.rd)
	}
	for _, k := range c.moments {
		e.EnsureRule(k.rd)
	}
	for _, k := range c.sops {
		e.EnsureRule(k.rd)
	}
	for _, k := range c.experiments {
		e.EnsureRule(k.rd)
	}
	for _, k := range c.ledgers {
		e.EnsureRule(k.rid)
	}
	if c.touching != nil {
		e.EnsureRule(c.touching.id)
	}
	if len(e.Rules) == len(c.rule)+len(c.recalls) {
		return
	}
	for i := range e.Rules {
		if st := &e.Rules[i]; !c.inForce(st.ID) {
			st.Due = 0
		}
	}
}

func (c *Core) inForce(id uint32) bool {
	for _, r := range c.rule {
		if r.id() == id {
			return true
		}
	}
	for _, k := range c.recalls {
		if k.rd == id {
			return true
		}
	}
	for _, k := range c.moments {
		if k.rd == id {
			return true
		}
	}
	for _, k := range c.sops {
		if k.rd == id {
			return true
		}
	}
	for _, k := range c.experiments {
		if k.rd == id {
			return true
		}
	}
	for _, k := range c.ledgers {
		if k.rid == id {
			return true
		}
	}
	for _, k := range c.tasks {
		if k.rid == id {
			return true
		}
	}
	return c.group != nil && (id == c.group.id || c.group.byID[id] != nil)
}

// compared is a line of evidence that is true: where the comparison does not
// hold, because the trigger takes back what was said, its opposite does.
func compared(fact string, value int64, comparison string, limit int64) schemas.Evidence {
	if comparison == ">=" && value < limit {
		comparison = "<"
	} else if comparison == "<" && value >= limit {
		comparison = ">="
	}
	return schemas.Evidence{Fact: fact, Value: strconv.FormatInt(value, 10), Comparison: comparison, Limit: strconv.FormatInt(limit, 10)}
}
