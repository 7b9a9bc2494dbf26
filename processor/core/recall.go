package core

import (
	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/recall"
	"tidemark/schemas"
	"tidemark/state"
)

// A campaign follows the warnings of one churn rule. Its state in a row:
// Phase idle or pending, Aux the warning's episode, Due when it is sent. In its
// log, From is the warning's episode and To the arm.
const (
	recallIdle    int32 = 0
	recallPending int32 = 1
)

type recallRule struct {
	pb *playbook.Recall
	rd uint32
}

// followers calls fn for each campaign that follows churn rule r.
func (c *Core) followers(r rule, fn func(*recallRule)) {
	k, ok := r.(*churnRule)
	if !ok {
		return
	}
	for _, f := range c.recalls {
		if f.pb.Churn == k.index {
			fn(f)
		}
	}
}

// followFired begins a campaign's episode with a warning's, at the first level
// at which its audience holds.
func (c *Core) followFired(e *entry, v history.View, r rule, f *state.Firing, m *move) {
	c.followers(r, func(k *recallRule) {
		st := e.EnsureRule(k.rd)
		if st.Phase == recallPending && st.Aux == int64(f.Episode) || follows(st.Log, f.Episode) {
			return
		}
		ok, _ := c.audience(e, v, k, m.at, r, m.to)
		if !ok {
			return
		}
		st.Phase, st.Aux, st.Since, st.Due = recallPending, int64(f.Episode), m.at, m.at+k.pb.SendAfter
		if c.touching != nil {
			return // all that is due is sent together, by priority
		}
		if st.Due <= c.done(e) || k.pb.SendAfter == 0 {
			c.send(e, v, k, st, r, m.cause)
		}
	})
}

func follows(log []state.Firing, warning uint32) bool {
	for i := range log {
		if log[i].From == int32(warning) {
			return true
		}
	}
	return false
}

// audience evaluates the campaign's condition at an instant. A condition that
// fails to evaluate holds nobody.
func (c *Core) audience(e *entry, v history.View, k *recallRule, at schemas.EventTime, r rule, level int32) (bool, *playbook.Facts) {
	f := c.facts(e, v, at)
	f.Churn[r.common().Name] = c.churn[k.pb.Churn].level(level) // the warning itself is under way
	if recall.CustomerType(f.Orders, false) == "" {
		return false, f
	}
	if k.pb.Audience == nil {
		return true, f
	}
	ok, err := k.pb.Audience.Eval(f)
	return ok && err == nil, f
}

// send publishes a pending episode, after its condition was looked at again.
func (c *Core) send(e *entry, v history.View, k *recallRule, st *state.Rule, r rule, cause string) {
	at := st.Due
	var x verdict
	if c.touching != nil {
		at = c.sendingAt(e, at)
	}
	ok, facts := c.audience(e, v, k, at, r, max(e.Rule(r.id()).Phase, churnWarned))
	warning := uint32(st.Aux)
	since := st.Since
	arm := c.draw(e, k.rd, &k.pb.Touching, since+k.pb.SendAfter)
	if channel := ""; ok && len(c.ts.Pauses) > 0 {
		if arm >= 0 {
			channel = k.pb.Experiment.Arms[arm].Channel
		}
		if c.waits(k.pb.Name, channel) {
			st.Due = untilResume
			return
		}
	}
	if ok && !c.rolledOut(e, k.pb.Name, &k.pb.Touching) {
		x.why = withheldRollout
	}
	often := tooOften(&k.pb.Common, st, at)
	if ok && x.why == sent && often == sent && c.withhold(since, k.pb.MaxAge, nil) == sent {
		c.assign(e, k.rd, arm, since+k.pb.SendAfter, cause)
	}
	// The draw, the history and the age come before the policy: who is not treated
	// uses up nobody's cap.
	if c.touching != nil && ok && x.why == sent && arm >= 0 && often == sent && c.withhold(since, k.pb.MaxAge, nil) == sent {
		s := &sending{rule: k.rd, episode: st.Episode + 1, pb: &k.pb.Touching, channel: k.pb.Experiment.Arms[arm].Channel}
		if k.pb.ExpireAfter > 0 {
			s.expires = since + k.pb.SendAfter + k.pb.ExpireAfter
		}
		if x = c.judge(e, v, s, at); x.hold != 0 {
			st.Due = x.hold
			return
		}
		c.note(e, s, &x, at)
		st = e.Rule(k.rd) // a first note moves the rules of the row
	}
	st.Phase, st.Due = recallIdle, 0
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: since, From: int32(warning), To: int32(arm), Withheld: x.why}
	t := c.recallTrigger(e, v, k, &f, facts, r)
	f.Hash = c.valueHash(t)
	switch {
	case x.why != sent:
		c.head(e, k.pb.Name, &f, schemas.Fired, cause, t)
		t.Evidence = append(t.Evidence, x.evidence...)
		c.suppress(e.ID, t, withheld[x.why], x.detail, x.winner)
	case ok:
		f.Withheld = often
		f.Withheld = c.publish(e, k.pb.Name, &f, schemas.Fired, cause, k.pb.MaxAge, t)
	default:
		f.Withheld = withheldStale
		c.stale(e, k, &f, t, cause, "the audience no longer holds at send_at")
	}
	if ok && f.Withheld == sent {
		c.expose(e, k.rd, at, cause)
	}
	if ok && (f.Withheld == sent || f.Withheld == withheldHoldout) { // both halves of an experiment wait alike
		noteSent(&k.pb.Common, st, at)
	}
	st.Log = append(st.Log, f)
	st.Log = prune(st.Log, max(c.pos.Clock, e.Latest)-k.pb.CorrectWithin)
}

// stale withholds an episode that no longer holds when it is to be sent.
func (c *Core) stale(e *entry, k *recallRule, f *state.Firing, t schemas.Trigger, cause, detail string) {
	c.head(e, k.pb.Name, f, schemas.Fired, cause, t)
	c.suppress(e.ID, t, SuppressedStale, detail, "")
}

func (c *Core) recallTrigger(e *entry, v history.View, k *recallRule, f *state.Firing, facts *playbook.Facts, r rule) *schemas.RecallTrigger {
	cr := c.pb.Churn[k.pb.Churn]
	w := c.warningID(e, r, uint32(f.From))
	t := &schemas.RecallTrigger{
		Campaign: k.pb.Name, CustomerType: recall.CustomerType(facts.Orders, holdsFor(k.pb.Competitor, facts)), Cause: "unknown", Round: 1,
		Group: groupOf(int(f.To)), SendAt: f.At + k.pb.SendAfter, Warning: &w,
		ValueAtStake: facts.Spend365Minor, Currency: c.pb.Currency,
	}
	if arms := k.pb.Experiment.Arms; f.To >= 0 && int(f.To) < len(arms) {
		a := &arms[f.To]
		t.Arm, t.Time, t.Content, t.Channel, t.Landing = a.Name, a.Time, a.Content, a.Channel, a.Landing
	}
	if k.pb.ExpireAfter > 0 {
		x := t.SendAt + k.pb.ExpireAfter
		t.ExpiresAt = &x
	}
	if n := c.noted(e, k.rd, f.Episode); n != nil {
		t.SendAt, t.Channel = n.At, c.touching.channelName(n.From)
	}
	t.Evidence = append(t.Evidence,
		schemas.Evidence{Fact: "warning", Value: cr.Name, Comparison: "==", Limit: cr.Name},
		compared("orders", facts.Orders, ">=", 1))
	if k.pb.Audience != nil {
		t.Evidence = append(t.Evidence, playbook.Compared(k.pb.Audience, facts)...)
	}
	if t.CustomerType == "lost_to_competitor" {
		t.Evidence = append(t.Evidence, playbook.Compared(k.pb.Competitor, facts)...)
	}
	for i := range k.pb.Causes {
		if holdsFor(k.pb.Causes[i].When, facts) {
			t.Cause = k.pb.Causes[i].Name
			t.Evidence = append(t.Evidence, playbook.Compared(k.pb.Causes[i].When, facts)...)
			break
		}
	}
	return t
}

// holdsFor evaluates a condition; one that is absent or fails holds for nobody.
func holdsFor(k playbook.Condition, f *playbook.Facts) bool {
	if k == nil {
		return false
	}
	ok, err := k.Eval(f)
	return ok && err == nil
}

// warningID names the latest revision of the warning's FIRED or CORRECTED record.
func (c *Core) warningID(e *entry, r rule, episode uint32) string {
	rev := uint32(0)
	for i := range e.Rule(r.id()).Log {
		if f := &e.Rule(r.id()).Log[i]; f.Episode == episode {
			rev = f.Revision
			if f.Ended != 0 && rev > 0 {
				rev--
			}
		}
	}
	return c.triggerID(e, r.common().Name, episode, rev)
}

// wakeRecall sends what is due.
func (c *Core) wakeRecall(e *entry, v history.View, at schemas.EventTime) {
	if c.touching != nil {
		c.touches(e, v, at, "")
		return
	}
	for _, k := range c.recalls {
		st := e.Rule(k.rd)
		if st != nil && st.Phase == recallPending && st.Due != 0 && st.Due <= at {
			c.send(e, v, k, st, c.churn[k.pb.Churn], "")
		}
	}
}

// followEnded: the customer came back. What waited is withheld, what was sent ends.
func (c *Core) followEnded(e *entry, v history.View, r rule, w state.Firing, cause string) {
	c.followers(r, func(k *recallRule) {
		st := e.Rule(k.rd)
		if st == nil {
			return
		}
		if st.Phase == recallPending && st.Aux == int64(w.Episode) {
			facts := c.facts(e, v, st.Since)
			st.Phase, st.Due = recallIdle, 0
			st.Episode++
			f := state.Firing{Episode: st.Episode, At: st.Since, Ended: w.Ended, From: int32(w.Episode), To: int32(c.draw(e, k.rd, &k.pb.Touching, st.Since+k.pb.SendAfter)), Withheld: withheldStale}
			t := c.recallTrigger(e, v, k, &f, facts, r)
			f.Hash = c.valueHash(t)
			c.stale(e, k, &f, t, cause, "the customer came back before send_at")
			st.Log = append(st.Log, f)
			return
		}
		c.revise(e, v, k, st, r, w.Episode, schemas.Ended, cause, func(f *state.Firing) bool {
			was := f.Ended
			f.Ended = w.Ended
			return was == 0
		})
	})
}

// followRetracted: there was no reason to call her.
func (c *Core) followRetracted(e *entry, v history.View, r rule, w state.Firing, cause string) {
	c.followers(r, func(k *recallRule) {
		st := e.Rule(k.rd)
		if st == nil {
			return
		}
		if st.Phase == recallPending && st.Aux == int64(w.Episode) {
			st.Phase, st.Due = recallIdle, 0
			return
		}
		if c.revise(e, v, k, st, r, w.Episode, schemas.Retracted, cause, func(*state.Firing) bool { return true }) {
			for i := range st.Log {
				if st.Log[i].From == int32(w.Episode) {
					st.Log = append(st.Log[:i], st.Log[i+1:]...)
					break
				}
			}
		}
	})
}

// followCorrected: the warning holds with other values, so the call may too.
func (c *Core) followCorrected(e *entry, v history.View, r rule, w state.Firing, cause string) {
	c.followers(r, func(k *recallRule) {
		st := e.Rule(k.rd)
		if st == nil {
			return
		}
		if st.Phase == recallPending && st.Aux == int64(w.Episode) {
			st.Since, st.Due = w.At, w.At+k.pb.SendAfter
			return
		}
		c.revise(e, v, k, st, r, w.Episode, schemas.Corrected, cause, func(f *state.Firing) bool {
			reopened := f.Ended != 0 && w.Ended == 0
			f.At, f.Ended = w.At, w.Ended
			h := f.Hash
			f.Hash = c.valueHash(c.recallTrigger(e, v, k, f, c.facts(e, v, f.At+k.pb.SendAfter), r))
			return reopened || h != f.Hash
		})
	})
}

// revise publishes a further revision of the episode that followed a warning, if change says so.
func (c *Core) revise(e *entry, v history.View, k *recallRule, st *state.Rule, r rule, warning uint32, status, cause string, change func(*state.Firing) bool) bool {
	for i := range st.Log {
		f := &st.Log[i]
		if f.From != int32(warning) {
			continue
		}
		if !change(f) {
			return false
		}
		f.Revision++
		t := c.recallTrigger(e, v, k, f, c.facts(e, v, f.At+k.pb.SendAfter), r)
		c.publish(e, k.pb.Name, f, status, cause, 0, t)
		return true
	}
	return false
}

// facts gathers what conditions read, as of an instant.
func (c *Core) facts(e *entry, v history.View, at schemas.EventTime) *playbook.Facts {
	all, year := v.Window(0, at), v.Window(365*schemas.Day, at)
	f := &playbook.Facts{
		Orders: all.Orders, SpendMinor: all.Net, Orders365: year.Orders, Spend365Minor: year.Net,
		DaysSinceFirst: -1, DaysSinceLast: -1, Refunds: all.Refunded,
		Tiers: map[string]string{}, TierLevels: map[string]int64{}, Classes: map[string]string{}, Churn: map[string]string{},
	}
	if all.Orders > 0 {
		f.AOVMinor = all.Net / all.Orders
	}
	today := c.zone.Day(at)
	if t, ok := v.First(at); ok {
		f.DaysSinceFirst = today - c.zone.Day(t)
	}
	if t, ok := v.Last(at); ok {
		f.DaysSinceLast = today - c.zone.Day(t)
	}
	f.More = c.more(v, at)
	for _, r := range c.rule {
		st := e.Rule(r.id())
		switch r := r.(type) {
		case *tierRule:
			level := int32(0)
			if st != nil {
				level = min(st.Phase, int32(len(r.pb.Levels)-1)) // a playbook with fewer levels may not have reached her yet
			}
			f.Tiers[r.pb.Name], f.TierLevels[r.pb.Name] = r.pb.Levels[level].Name, int64(level)
		case *rfmRule:
			class := ""
			if st != nil {
				class = r.className(st.Phase)
			}
			f.Classes[r.pb.Name] = class
		case *churnRule:
			level := ""
			if st != nil && st.Phase != churnQuiet {
				level = r.level(st.Phase)
			}
			f.Churn[r.pb.Name] = level
		}
	}
	return f
}
