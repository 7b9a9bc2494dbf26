package core

import (
	"slices"
	"strconv"

	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// What rules decide may be history to others: a task that was completed, a level
// that multiplies what is earned from then on. It is kept as marks of streams that
// no event reaches, so facts, awards and tasks read it as of any instant. A mark
// never decides about its own instant for the rule that made it, or the two would
// chase each other.

// derivedPasses bounds how often what was derived may move the rules that it is
// derived from, within one change.
const derivedPasses = 64

// settleDerived brings the tasks in line with a change of the facts, and then all
// that reads what was done of them, until nothing moves any more. levels is the
// first instant at which a level that others read became another; -1: none did.
func (c *Core) settleDerived(e *entry, v history.View, ch *change, now, levels schemas.EventTime) {
	for range derivedPasses {
		given := levels
		for _, r := range c.tasks {
			mine := *ch
			if given >= 0 && given < mine.tc {
				mine.tc, mine.fresh = given, false
			}
			if t := c.settleTask(e, v, r, &mine, now); t >= 0 && (given < 0 || t < given) {
				given = t
			}
		}
		if given < 0 {
			return
		}
		ch = &change{tc: given, at: ch.at, prior: ch.prior, cause: ch.cause, fresh: ch.fresh && given == ch.tc, marks: true, unmatched: ch.unmatched}
		levels = c.settleRules(e, v, ch, now)
	}
}

// derive lays the marks of a stream beside those that a rule's episodes want, from
// an instant on, as far back as it may be corrected (within), and returns the
// first at which they differed; -1: nowhere.
func (c *Core) derive(e *entry, st *state.Rule, within schemas.EventTime, stream uint32, from schemas.EventTime, want []state.Mark) schemas.EventTime {
	// Before nothing is told again, days are not told apart, and episodes are forgotten.
	from = max(from, st.Armed, folded(e), c.reached(e)-within)
	want = slices.DeleteFunc(want, func(m state.Mark) bool { return m.At < from })
	first := schemas.EventTime(-1)
	differs := func(at schemas.EventTime) {
		if first < 0 || at < first {
			first = at
		}
	}
	for i := 0; i < len(e.Marks); i++ {
		m := &e.Marks[i]
		if m.Stream != stream || m.At < from || m.Event == seeded {
			continue
		}
		if k := slices.Index(want, *m); k >= 0 {
			want = slices.Delete(want, k, k+1)
			continue
		}
		differs(m.At)
		e.Marks = slices.Delete(e.Marks, i, i+1)
		i--
	}
	for _, m := range want {
		differs(m.At)
		e.InsertMark(m)
	}
	if first >= 0 {
		e.facts = nil // they were looked at without it
	}
	return first
}

// seeded is the Event of a mark that a new playbook set, of what stood already.
const seeded = 1

// levelled marks the levels of a program that a multiplier reads. It returns the
// first instant at which they became others and something may have been earned
// since; -1: none.
func (c *Core) levelled(e *entry, r *tierRule, from schemas.EventTime) schemas.EventTime {
	st := e.Rule(r.rid)
	var want []state.Mark
	for i := range st.Log {
		if f := &st.Log[i]; f.To != f.From {
			want = append(want, state.Mark{Stream: r.levels.ID, At: f.At, Event: c.hash('t', r.pb.Name+"@"+strconv.FormatInt(int64(f.At), 10)), Value: int64(f.To)})
		}
	}
	first := c.derive(e, st, r.pb.CorrectWithin, r.levels.ID, from, want)
	if first < 0 || first >= e.Latest && first >= c.pos.Clock {
		return -1 // it counts for what comes later
	}
	return first
}

// seedLevels marks the level of who has one already when a playbook begins to read it.
func (c *Core) seedLevels(e *entry, at schemas.EventTime) {
	for _, r := range c.rule {
		k, ok := r.(*tierRule)
		if !ok || k.levels.ID == 0 || e.MarkBase(k.levels.ID) != nil || slices.ContainsFunc(e.Marks, func(m state.Mark) bool { return m.Stream == k.levels.ID }) ||
			slices.ContainsFunc(e.MarkDays, func(d state.MarkDay) bool { return d.Stream == k.levels.ID }) {
			continue
		}
		if st := e.Rule(k.rid); st != nil && st.Phase != 0 {
			e.InsertMark(state.Mark{Stream: k.levels.ID, At: at, Event: seeded, Value: int64(st.Phase)})
			e.facts = nil
		}
	}
}
