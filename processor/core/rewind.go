package core

import (
	"sort"

	"github.com/cespare/xxhash/v2"

	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// rewind runs a rule again from the instant at which the facts changed and
// tells the difference between what was published and what is known now.
func (c *Core) rewind(e *entry, v history.View, r rule, ch *change, now schemas.EventTime) {
	st := e.Rule(r.id())
	start := ch.tc

	// What was published from start on, and where the rule stood just before.
	first := sort.Search(len(st.Log), func(i int) bool { return st.Log[i].At >= start })
	old := append([]state.Firing(nil), st.Log[first:]...)
	s := standing{phase: st.Phase, aux: r.resume(v, start)}
	// What time alone does is due only as far as it has been done for the others
	// too: up to the clock, or the customer's own last event.
	fired := max(c.pos.Fired, e.Latest-1)
	var since schemas.EventTime
	open := -1 // the episode from before start that was open at start
	switch {
	case first > 0:
		before := &st.Log[first-1]
		s.phase, since = before.To, before.At
		if before.Ended != 0 {
			if before.Ended < start {
				s.phase, since = before.From, before.Ended
			} else {
				open = first - 1
			}
		} else if endsEpisodes(r) {
			open = first - 1
		}
		if open >= 0 {
			s.aux = r.resume(v, before.At)
		}
	case len(old) > 0:
		s.phase = old[0].From
	}
	wasEnded := schemas.EventTime(0)
	if open >= 0 {
		wasEnded = st.Log[open].Ended
	}

	// Run it again: at start, at every order after it, and whenever it is due.
	var found []move
	endedNow := schemas.EventTime(0)
	at := start
	for {
		n := r.eval(v, at, &s)
		if n.end {
			if k := len(found) - 1; k >= 0 && found[k].ended == 0 {
				found[k].ended = at
			} else if k < 0 && open >= 0 {
				endedNow = at
			}
		}
		if n.fire {
			found = append(found, move{at: at, facts: at, from: s.phase, to: n.phase, by: n.by, aux: n.aux, cause: ch.cause, since: since})
		}
		if n.phase != s.phase {
			since = at
		}
		if n.due != 0 && n.due <= at {
			n.due = at + 1
		}
		s = n
		next := c.nextInstant(e, r, at)
		if s.due != 0 && s.due <= fired && (next == 0 || s.due < next) {
			next = s.due
		}
		if next == 0 || next > now {
			break
		}
		at = next
	}
	st = e.Rule(r.id())
	if s.phase != st.Phase || len(found) > 0 || len(old) > 0 {
		st.Since = since
		if st.Since == 0 {
			st.Since = start
		}
	}
	st.Phase, st.Due, st.Aux = s.phase, s.due, s.aux

	if open >= 0 {
		switch {
		case wasEnded == 0 && endedNow != 0:
			c.end(e, v, r, st, open, endedNow, ch.cause)
		case wasEnded != 0 && endedNow == 0 && len(found) == 0:
			st.Log[open].Ended = 0
			f := &st.Log[open]
			c.correct(e, v, r, st, open, &move{at: f.At, facts: f.At, from: f.From, to: f.To, aux: s.aux, cause: ch.cause}, true)
		case endedNow != 0:
			st.Log[open].Ended = endedNow
		}
	}

	// Lay the two side by side: equal steps in equal order are the same episode.
	st.Log = st.Log[:first]
	match := align(old, found)
	for i := range old {
		if match.old[i] < 0 {
			c.retract(e, v, r, st, &old[i], ch)
		}
	}
	for i := range found {
		m := &found[i]
		if k := match.found[i]; k >= 0 {
			st.Log = append(st.Log, old[k])
			j := len(st.Log) - 1
			f := &st.Log[j]
			moved := f.At != m.at || f.Ended != 0 && m.ended == 0
			was := f.Ended
			f.At = m.at
			if m.ended == 0 {
				f.Ended = 0
			}
			c.correct(e, v, r, st, j, m, moved)
			if m.ended != 0 && was == 0 {
				c.end(e, v, r, st, j, m.ended, ch.cause)
			} else {
				st.Log[j].Ended = m.ended
			}
			continue
		}
		c.fire(e, v, r, st, m, ch)
		if m.ended != 0 {
			c.end(e, v, r, st, len(st.Log)-1, m.ended, ch.cause)
		}
	}
	st.Log = prune(st.Log, now-r.common().CorrectWithin)
}

// nextInstant is the first instant after at at which the history has an order.
func (c *Core) nextInstant(e *entry, r rule, at schemas.EventTime) schemas.EventTime {
	var best schemas.EventTime
	for i := range e.Orders {
		if t := e.Orders[i].At; t > at {
			best = t
			break
		}
	}
	if t := c.cutsAfter(r, at); t != 0 && (best == 0 || t < best) {
		best = t
	}
	return best
}

type alignment struct{ old, found []int }

// align pairs published and found steps of equal phases, in order: the longest
// common subsequence, so that one changed step does not disturb the others.
func align(old []state.Firing, found []move) alignment {
	a := alignment{old: make([]int, len(old)), found: make([]int, len(found))}
	for i := range a.old {
		a.old[i] = -1
	}
	for i := range a.found {
		a.found[i] = -1
	}
	n, m := len(old), len(found)
	if n == 0 || m == 0 {
		return a
	}
	same := func(i, j int) bool { return old[i].From == found[j].from && old[i].To == found[j].to }
	lcs := make([]int, (n+1)*(m+1))
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			l := max(lcs[(i+1)*(m+1)+j], lcs[i*(m+1)+j+1])
			if same(i, j) {
				l = max(l, lcs[(i+1)*(m+1)+j+1]+1)
			}
			lcs[i*(m+1)+j] = l
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case same(i, j) && lcs[i*(m+1)+j] == lcs[(i+1)*(m+1)+j+1]+1:
			a.old[i], a.found[j] = j, i
			i++
			j++
		case lcs[(i+1)*(m+1)+j] >= lcs[i*(m+1)+j+1]:
			i++
		default:
			j++
		}
	}
	return a
}

// fire begins an episode and publishes it.
func (c *Core) fire(e *entry, v history.View, r rule, st *state.Rule, m *move, ch *change) {
	if c.quiet {
		return
	}
	t := r.trigger(v, m)
	if ch != nil && ch.unmatched {
		h := t.TriggerHead()
		h.Evidence = append(h.Evidence, schemas.Evidence{Fact: "refund", Value: "unmatched", Comparison: "==", Limit: "unmatched"})
	}
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: m.at, From: m.from, To: m.to, Hash: c.valueHash(t)}
	f.Withheld = c.publish(e, r.common().Name, &f, schemas.Fired, m.cause, r.common().MaxAge, t)
	st.Log = append(st.Log, f)
	c.followFired(e, v, r, &f, m)
}

// end closes an episode and publishes that.
func (c *Core) end(e *entry, v history.View, r rule, st *state.Rule, k int, at schemas.EventTime, cause string) {
	f := &st.Log[k]
	f.Ended = at
	if endsEpisodes(r) {
		f.Revision++
		t := r.trigger(v, &move{at: f.At, facts: f.At, from: f.From, to: f.To, ended: at, aux: st.Aux, cause: cause})
		c.publish(e, r.common().Name, f, schemas.Ended, cause, 0, t)
	}
	c.followEnded(e, v, r, *f, cause)
}

// correct publishes an episode again if its values differ, or must is set.
func (c *Core) correct(e *entry, v history.View, r rule, st *state.Rule, k int, m *move, must bool) {
	t := r.trigger(v, m)
	f := &st.Log[k]
	h := c.valueHash(t)
	if h == f.Hash && !must {
		return
	}
	f.Hash = h
	f.Revision++
	c.publish(e, r.common().Name, f, schemas.Corrected, m.cause, 0, t)
	c.followCorrected(e, v, r, *f, m.cause)
}

// retract publishes that an episode never was.
func (c *Core) retract(e *entry, v history.View, r rule, st *state.Rule, f *state.Firing, ch *change) {
	f.Revision++
	t := r.trigger(v, &move{at: f.At, facts: f.At, from: f.From, to: f.To, aux: st.Aux, cause: ch.cause})
	c.publish(e, r.common().Name, f, schemas.Retracted, ch.cause, 0, t)
	c.followRetracted(e, v, r, *f, ch.cause)
}

// endsEpisodes says whether the rule's episodes end, or only follow each other.
func endsEpisodes(r rule) bool {
	_, ok := r.(*churnRule)
	return ok
}

// valueHash is over all that a trigger says, its identity apart.
func (c *Core) valueHash(t schemas.Trigger) uint32 {
	c.work.body = t.AppendAvro(c.work.body[:0])
	return uint32(xxhash.Sum64(c.work.body))
}
