package core

import (
	"sort"

	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
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
	s, since, open := c.before(v, r, st, first, start)
	// openNow is what the episode under way at start should say.
	var openNow, was move
	if open >= 0 {
		f := &st.Log[open]
		was = move{at: f.At, to: f.To, ended: f.Ended}
		openNow = move{at: since, to: s.phase}
		if open == first { // it became graver since
			first++
		}
	}
	old := append([]state.Firing(nil), st.Log[first:]...)
	keeps, _ := r.(*tierRule)
	if keeps != nil && keeps.pb.OnRefund != playbook.RefundNow {
		keeps.told = old
		defer func() { keeps.told = nil }()
	} else {
		keeps = nil
	}

	// Run it again: at start, at every order after it, and whenever it is due.
	// What time alone does is due only as far as it has been done for the others
	// too: up to the clock, or the customer's own last event.
	fired := c.done(e)
	var found []move
	for at := start; ; {
		s.since = since
		if k, ok := r.(*taskRule); ok {
			s = k.current(v, at, s)
		}
		n := r.eval(v, at, s)
		if n.end {
			if k := len(found) - 1; k >= 0 {
				found[k].ended = at
			} else {
				openNow.ended = at
			}
		}
		switch k := len(found) - 1; {
		case n.up && k >= 0 && found[k].ended == 0:
			found[k].at, found[k].facts, found[k].to, found[k].aux = at, at, n.phase, n.aux
		case n.up && k < 0 && open >= 0 && openNow.ended == 0:
			openNow.at, openNow.to = at, n.phase
		case n.fire || n.up:
			found = append(found, move{at: at, facts: at, from: s.phase, to: n.phase, by: n.by, aux: n.aux, cause: ch.cause, since: since})
		}
		if n.phase != s.phase {
			since = at
		}
		if n.due != 0 && n.due <= at {
			n.due = at + 1
		}
		s = n
		next := c.nextInstant(e, v, r, at)
		if s.due != 0 && s.due <= fired && (next == 0 || s.due < next) {
			next = s.due
		}
		if next == 0 || next > now {
			break
		}
		at = next
	}
	c.sized(r, st.Phase, s.phase)
	st.Phase, st.Due, st.Aux, st.Since = s.phase, s.due, s.aux, since

	if open >= 0 && (openNow.at != was.at || openNow.to != was.to || openNow.ended != was.ended) {
		openNow.facts, openNow.from, openNow.aux, openNow.cause = openNow.at, st.Log[open].From, r.resume(v, openNow.at), ch.cause
		c.restate(e, v, r, st, open, &openNow)
	}
	// Lay the two side by side.
	st.Log = st.Log[:first]
	match := align(old, found, endsEpisodes(r))
	for i := range old {
		if match.old[i] < 0 {
			c.retract(e, v, r, st, &old[i], ch)
		}
	}
	for i := range found {
		m := &found[i]
		if k := match.found[i]; k >= 0 {
			st.Log = append(st.Log, old[k])
			if keeps != nil && old[k].At == m.at && old[k].To == m.to {
				continue // what was said stands, whatever was refunded since
			}
			c.restate(e, v, r, st, len(st.Log)-1, m)
			continue
		}
		begun := *m
		begun.ended = 0
		c.fire(e, v, r, st, &begun, ch)
		if m.ended != 0 {
			c.end(e, v, r, st, len(st.Log)-1, m.ended, ch.cause)
		}
	}
	st.Log = prune(st.Log, max(now-r.common().CorrectWithin, folded(e)))
}

// before is where a rule stood just before start: first is the index of the
// first episode whose last step was from start on. open is the index of an
// episode that began before and was not over by then, or -1; it is first where
// the episode became graver from start on, and since then when it became what
// it was at start.
func (c *Core) before(v history.View, r rule, st *state.Rule, first int, start schemas.EventTime) (s standing, since schemas.EventTime, open int) {
	if first > 0 {
		f := &st.Log[first-1]
		if k, ok := r.(*churnRule); ok && f.Ended >= start && f.Ended != 0 && !k.proven(v, f) {
			// What it rested on changed too long ago to be told, and now its end is in
			// question: it goes on as the history has it, or not at all.
			if phase, at := k.standing(v, start-1); phase != churnQuiet {
				return standing{phase: phase, aux: r.resume(v, start-1)}, at, first - 1
			}
			return standing{aux: r.resume(v, start-1)}, st.Armed, -1
		}
		if endsEpisodes(r) && (f.Ended == 0 || f.Ended >= start) {
			return standing{phase: f.To, aux: r.resume(v, f.At)}, f.At, first - 1
		}
	}
	if k, ok := r.(*churnRule); ok && first < len(st.Log) && st.Log[first].From == churnQuiet {
		// It became graver from start on. Before, nothing has changed, so the history
		// says where it stood.
		if phase, at := k.standing(v, start-1); phase != churnQuiet && at >= st.Armed {
			return standing{phase: phase, aux: r.resume(v, start-1)}, at, first
		}
	}
	if first > 0 {
		f := &st.Log[first-1]
		switch {
		case f.Ended >= st.Armed && f.Ended != 0:
			return standing{phase: f.From, aux: r.resume(v, start-1)}, f.Ended, -1
		case f.At >= st.Armed && f.Ended == 0:
			return standing{phase: f.To, aux: r.resume(v, start-1)}, f.At, -1
		}
	}
	// A playbook put it there, or it stands where everybody begins.
	s = standing{phase: st.Phase, aux: r.resume(v, start-1)}
	if first < len(st.Log) {
		s.phase = st.Log[first].From
	} else if endsEpisodes(r) {
		s.aux = st.Aux
	}
	return s, st.Armed, -1
}

// nextInstant is the first instant after at at which the history has something
// that the rule reads.
func (c *Core) nextInstant(e *entry, v history.View, r rule, at schemas.EventTime) schemas.EventTime {
	var best schemas.EventTime
	switch r := r.(type) {
	case *phaseRule:
		return r.g.nextInstant(at)
	case *tierRule:
		if r.readsMarks(v) {
			return nextOfAny(v, at)
		}
	case *taskRule:
		best = nextOfAny(v, at)
		if r.entry != nil && r.days() {
			if st := v.C.Rule(r.entry.rid); st != nil {
				for i := range st.Log {
					if t := st.Log[i].At; t > at {
						best = sooner(best, t)
					}
				}
			}
		}
		return best
	case *noticeRule:
		best = nextOfAny(v, at)
		if st := v.C.Rule(r.of.rid); st != nil {
			for i := range st.Log {
				if t := st.Log[i].At; t > at && (best == 0 || t < best) {
					best = t
				}
			}
			if t := st.Since; t > at && (best == 0 || t < best) {
				best = t
			}
		}
		return best
	case *churnRule:
		if r.on.ID != 0 {
			return v.NextOf(r.on, at)
		}
	case *rfmRule:
		if r.on.ID != 0 {
			best = v.NextOf(r.on, at)
			if t := c.cutsAfter(r, at); t != 0 && (best == 0 || t < best) {
				best = t
			}
			return best
		}
	}
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

// nextOfAny is the first instant after at at which the history has anything.
func nextOfAny(v history.View, at schemas.EventTime) schemas.EventTime {
	best := v.NextOf(history.Stream{}, at)
	for i := range v.C.Marks {
		if t := v.C.Marks[i].At; t > at {
			return sooner(best, t)
		}
	}
	return best
}

type alignment struct{ old, found []int }

// align pairs published steps with found ones, in order, so that one changed
// step does not disturb the others: the pairs of the greatest worth. Best is
// the same step at the same instant; then the same step at another instant, or
// another outcome of the same step. In a rule whose episodes end (loose), any two
// that begin alike may be one that has both another instant and another level.
func align(old []state.Firing, found []move, loose bool) alignment {
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
	worth := func(i, j int) int {
		f, g := &old[i], &found[j]
		switch {
		case f.From != g.from:
			return 0
		case f.To != g.to && f.At != g.at:
			if loose {
				return 1
			}
			return 0
		case f.To == g.to && f.At == g.at:
			return 3
		}
		return 2
	}
	best := make([]int, (n+1)*(m+1))
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			b := max(best[(i+1)*(m+1)+j], best[i*(m+1)+j+1])
			if w := worth(i, j); w > 0 {
				b = max(b, w+best[(i+1)*(m+1)+j+1])
			}
			best[i*(m+1)+j] = b
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		w := worth(i, j)
		switch {
		case w > 0 && best[i*(m+1)+j] == w+best[(i+1)*(m+1)+j+1]:
			a.old[i], a.found[j] = j, i
			i++
			j++
		case best[(i+1)*(m+1)+j] >= best[i*(m+1)+j+1]:
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
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: m.at, From: m.from, To: m.to, Hash: c.valueHash(t)}
	if ch != nil && ch.unmatched {
		h := t.TriggerHead()
		h.Evidence = append(h.Evidence, schemas.Evidence{Fact: "refund", Value: "unmatched", Comparison: "==", Limit: "unmatched"})
	}
	leaves := false
	if k, ok := r.(*phaseRule); ok && k.pb.Mode == playbook.Member && m.to == 0 {
		// Leaving is told to whoever was told of the entry, and to nobody else.
		leaves = true
		if n := len(st.Log); n > 0 && (st.Log[n-1].Withheld == withheldCoolDown || st.Log[n-1].Withheld == withheldOnce) {
			f.Withheld = st.Log[n-1].Withheld
		}
	} else {
		f.Withheld = tooOften(r.common(), st, f.At)
	}
	f.Withheld = c.publish(e, r.common().Name, &f, schemas.Fired, m.cause, r.common().MaxAge, t)
	if f.Withheld == sent && !leaves {
		noteSent(r.common(), st, f.At)
	}
	st.Log = append(st.Log, f)
	c.followFired(e, v, r, &f, m)
	c.sopMoved(e, v, r, &f, m.cause)
}

// noteSent notes when an episode was sent, where the rule asks for it.
func noteSent(k *playbook.Common, st *state.Rule, at schemas.EventTime) {
	if k.Once || k.CoolDown > 0 {
		st.Sent = max(st.Sent, at)
	}
}

// tooOften says why an episode is not sent though it begins: once was enough, or
// the last that was sent is too near.
func tooOften(k *playbook.Common, st *state.Rule, at schemas.EventTime) uint8 {
	switch {
	case st.Sent == 0:
	case k.Once:
		return withheldOnce
	case k.CoolDown > 0 && at < st.Sent+k.CoolDown:
		return withheldCoolDown
	}
	return sent
}

// raise publishes a graver level of the open episode, as its next revision.
func (c *Core) raise(e *entry, v history.View, r rule, st *state.Rule, k int, m *move) {
	if c.quiet {
		return
	}
	t := r.trigger(v, m)
	f := &st.Log[k]
	f.Revision++
	f.At, f.To, f.Hash = m.at, m.to, c.valueHash(t)
	f.Withheld = c.publish(e, r.common().Name, f, schemas.Fired, m.cause, r.common().MaxAge, t)
	c.followFired(e, v, r, f, m)
	c.sopMoved(e, v, r, f, m.cause)
}

// end closes an episode and publishes that.
func (c *Core) end(e *entry, v history.View, r rule, st *state.Rule, k int, at schemas.EventTime, cause string) {
	f := &st.Log[k]
	f.Ended = at
	f.Revision++
	t := r.trigger(v, &move{at: f.At, facts: f.At, from: f.From, to: f.To, ended: at, aux: r.resume(v, f.At), cause: cause})
	c.publish(e, r.common().Name, f, schemas.Ended, cause, 0, t)
	c.followEnded(e, v, r, *f, cause)
	c.sopLeft(e, v, r, f, cause)
}

// restate publishes an episode again if it is another one than was published:
// ENDED if it is over, else CORRECTED.
func (c *Core) restate(e *entry, v history.View, r rule, st *state.Rule, k int, m *move) {
	f := &st.Log[k]
	open, was := *m, *f
	open.ended = 0
	t := r.trigger(v, &open)
	h := c.valueHash(t)
	same := h == f.Hash && f.At == m.at && f.Ended == m.ended
	f.At, f.From, f.To, f.Ended, f.Hash = m.at, m.from, m.to, m.ended, h
	if same {
		return
	}
	f.Revision++
	if m.ended != 0 {
		c.publish(e, r.common().Name, f, schemas.Ended, m.cause, 0, r.trigger(v, m))
		c.followEnded(e, v, r, *f, m.cause)
		c.sopRestated(e, v, r, &was, f, m.cause)
		return
	}
	c.publish(e, r.common().Name, f, schemas.Corrected, m.cause, 0, t)
	c.followCorrected(e, v, r, *f, m.cause)
	c.sopRestated(e, v, r, &was, f, m.cause)
}

// retract publishes that an episode never was.
func (c *Core) retract(e *entry, v history.View, r rule, st *state.Rule, f *state.Firing, ch *change) {
	f.Revision++
	if st.Sent != 0 && f.At == st.Sent { // it was never sent, so the next may be
		st.Sent = 0
		for i := range st.Log {
			if o := &st.Log[i]; o.Withheld == sent && o.Episode != f.Episode {
				st.Sent = max(st.Sent, o.At)
			}
		}
	}
	t := r.trigger(v, &move{at: f.At, facts: f.At, from: f.From, to: f.To, aux: r.resume(v, f.At), cause: ch.cause})
	c.publish(e, r.common().Name, f, schemas.Retracted, ch.cause, 0, t)
	c.followRetracted(e, v, r, *f, ch.cause)
	c.sopRetracted(e, v, r, f, ch.cause)
}

// endsEpisodes says whether the rule's episodes end, or only follow each other.
func endsEpisodes(r rule) bool {
	switch r.(type) {
	case *churnRule, *noticeRule:
		return true
	}
	return false
}

// valueHash is over all that a trigger says, its identity apart.
func (c *Core) valueHash(t schemas.Trigger) uint32 {
	c.work.body = t.AppendAvro(c.work.body[:0])
	return uint32(xxhash.Sum64(c.work.body))
}
