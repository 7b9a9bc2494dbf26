package core

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// sopRule takes customers through a sequence of steps. Its state in a row: Phase
// says whether she is under way, Since when she began, Aux the version and how often
// the step was handed on, Due when it is looked at next. In the log From tells the
// begin apart (the episode of the rule that put her there, or a hash of the event),
// To is the step in the dictionary. While she waits, the last entry is the step to
// come: Withheld is momentHeld and At its due.
//
// A step stands as it was decided at its time. Where what began the sequence was not
// true, given what is known now, all of it is RETRACTED; a late event alone undoes no
// step.
type sopRule struct {
	pb  *playbook.Sop
	rd  uint32
	on  history.Stream // ID 0: a rule begins it
	ids [][]uint32     // of the steps of each version
}

const (
	sopIdle    int32 = 0
	sopWaiting int32 = 1 // for the next step's time
	sopStaffed int32 = 2 // for the staff
)

const (
	sopVersionBits = 16
	sopHandedOn    = 1 << sopVersionBits
)

func (c *Core) bindSops() {
	c.sops, c.sopsOn, c.reports = nil, nil, history.Stream{}
	for i := range c.pb.Streams {
		if c.pb.Streams[i].Name == playbook.StepStream {
			c.reports = c.streams.ids[i]
		}
	}
	for i := range c.pb.Sops {
		s := &c.pb.Sops[i]
		k := &sopRule{pb: s, rd: c.name(s.Name)}
		if s.On.Rule == "" {
			k.on = c.streams.ids[s.On.Stream]
		} else {
			if c.sopsOn == nil {
				c.sopsOn = map[uint32][]*sopRule{}
			}
			on := c.name(s.On.Rule)
			c.sopsOn[on] = append(c.sopsOn[on], k)
		}
		for j := range s.Versions {
			var ids []uint32
			for n := range s.Versions[j].Steps {
				ids = append(ids, c.name("step/"+s.Name+"/"+s.Versions[j].Steps[n].Name))
			}
			k.ids = append(k.ids, ids)
		}
		c.sops = append(c.sops, k)
	}
}

// stepNumber is where a step stands in a version, -1 if it does not.
func (k *sopRule) stepNumber(version int, id uint32) int {
	for i, n := range k.ids[version] {
		if n == id {
			return i
		}
	}
	return -1
}

// place is the version and the step that a customer stands at; false: hers is gone.
func (k *sopRule) place(st *state.Rule, id uint32) (version, step int, ok bool) {
	want := st.Aux & (sopHandedOn - 1)
	if want != k.pb.Versions[0].Version {
		switch k.pb.UnderWay {
		case playbook.UnderWayStop:
			return 0, 0, false
		case playbook.UnderWayFinish:
			for i := range k.pb.Versions {
				if k.pb.Versions[i].Version == want {
					step = k.stepNumber(i, id)
					return i, step, step >= 0
				}
			}
		}
		st.Aux = st.Aux&^(sopHandedOn-1) | k.pb.Versions[0].Version
	}
	step = k.stepNumber(0, id)
	return 0, step, step >= 0
}

// stepOf is a step by its name in the dictionary, in whatever version; nil if it is gone.
func (k *sopRule) stepOf(id uint32) *playbook.SopStep {
	for i := range k.ids {
		if n := k.stepNumber(i, id); n >= 0 {
			return &k.pb.Versions[i].Steps[n]
		}
	}
	return nil
}

// sopMoved begins and ends sequences where a rule that they follow moved.
func (c *Core) sopMoved(e *entry, v history.View, r rule, f *state.Firing, cause string) {
	for _, k := range c.sopsOn[r.id()] {
		p := k.pb.On.Phase
		switch {
		case p < 0 || f.To == p:
			c.begin(e, v, k, int32(f.Episode), f.At, cause)
		case f.From == p && !k.pb.Stay:
			c.leave(e, v, k, f.At, cause)
		}
	}
}

// sopLeft: the episode that began a sequence ended.
func (c *Core) sopLeft(e *entry, v history.View, r rule, f *state.Firing, cause string) {
	for _, k := range c.sopsOn[r.id()] {
		if st := e.Rule(k.rd); !k.pb.Stay && c.began(st) == int32(f.Episode) {
			c.leave(e, v, k, f.Ended, cause)
		}
	}
}

// began tells the begin of the sequence under way apart; -1: none is.
func (c *Core) began(st *state.Rule) int32 {
	if n := len(st.Log); st.Phase != sopIdle && n > 0 {
		return st.Log[n-1].From
	}
	return -1
}

// sopRestated: what began a sequence is told otherwise now.
func (c *Core) sopRestated(e *entry, v history.View, r rule, was, now *state.Firing, cause string) {
	for _, k := range c.sopsOn[r.id()] {
		p := k.pb.On.Phase
		before, after := p < 0 || was.To == p, p < 0 || now.To == p
		switch {
		case before && !after:
			c.unbegin(e, v, k, int32(now.Episode), cause)
		case after && !before:
			c.begin(e, v, k, int32(now.Episode), now.At, cause)
		case before:
			st := e.Rule(k.rd)
			if c.began(st) != int32(now.Episode) {
				continue
			}
			if now.Ended != 0 && !k.pb.Stay {
				c.leave(e, v, k, now.Ended, cause)
				continue
			}
			st.Since = now.At
			n := len(st.Log)
			if st.Phase == sopWaiting && (n < 2 || st.Log[n-2].From != st.Log[n-1].From) {
				if version, step, ok := k.place(st, uint32(st.Log[n-1].To)); ok && step == 0 {
					st.Log = st.Log[:n-1]
					c.next(e, v, k, st, version, 0, int32(now.Episode), now.At)
				}
			}
		}
	}
}

// sopRetracted: there was no reason to begin.
func (c *Core) sopRetracted(e *entry, v history.View, r rule, f *state.Firing, cause string) {
	for _, k := range c.sopsOn[r.id()] {
		if p := k.pb.On.Phase; p < 0 || f.To == p {
			c.unbegin(e, v, k, int32(f.Episode), cause)
		}
	}
}

// begin puts a customer on her way, unless she is or was for this reason.
func (c *Core) begin(e *entry, v history.View, k *sopRule, key int32, at schemas.EventTime, cause string) {
	st := e.Rule(k.rd)
	if st.Phase != sopIdle || follows(st.Log, uint32(key)) {
		return
	}
	st.Since, st.Aux = at, k.pb.Versions[0].Version
	if often := tooOften(&k.pb.Common, st, at); often != sent {
		st.Episode++
		f := state.Firing{Episode: st.Episode, At: at, From: key, To: int32(k.ids[0][0]), Withheld: often}
		c.publish(e, k.pb.Name, &f, schemas.Fired, cause, k.pb.MaxAge, c.stepTrigger(e, k, st, &f, nil, ""))
		st.Log = append(st.Log, f)
		return
	}
	noteSent(&k.pb.Common, st, at)
	c.next(e, v, k, st, 0, 0, key, at)
}

// next arms a step, or ends the sequence where there is none.
func (c *Core) next(e *entry, v history.View, k *sopRule, st *state.Rule, version, step int, key int32, from schemas.EventTime) {
	steps := k.pb.Versions[version].Steps
	st.Aux &= sopHandedOn - 1
	if step < 0 || step >= len(steps) {
		st.Phase, st.Due = sopIdle, 0
		return
	}
	s := &steps[step]
	due := from + s.Wait
	if s.At >= 0 {
		due = nextLocal(c.placeOf(v, due).loc, due, s.At)
	}
	st.Phase, st.Due = sopWaiting, due
	st.Log = append(st.Log, state.Firing{At: due, From: key, To: int32(k.ids[version][step]), Withheld: momentHeld})
}

// nextLocal is the first instant from t on at which a local clock shows a minute of
// the day; where it is skipped, the instant that the zone puts in its place.
func nextLocal(loc *time.Location, t schemas.EventTime, minute int) schemas.EventTime {
	y, m, d := time.UnixMilli(int64(t)).In(loc).Date()
	for i := 0; ; i++ {
		if at := schemas.EventTime(time.Date(y, m, d+i, minute/60, minute%60, 0, 0, loc).UnixMilli()); at >= t {
			return at
		}
	}
}

// leads is the number of the step after one; len(steps) and beyond, or less than 0: none.
func leads(step, to int) int {
	switch to {
	case playbook.NextStep:
		return step + 1
	case playbook.ExitStep:
		return -1
	}
	return to
}

// pending takes the step to come out of the log.
func pending(st *state.Rule) state.Firing {
	n := len(st.Log) - 1
	p := st.Log[n]
	st.Log = st.Log[:n]
	return p
}

// settleSops brings sequences in line with events: those that begin one, and what
// the staff report.
func (c *Core) settleSops(e *entry, v history.View, ch *change) {
	for _, k := range c.sops {
		if !ch.marks {
			break
		}
		st := e.Rule(k.rd)
		if k.on.ID != 0 && (st.Since == 0 || ch.at > st.Since) {
			for i := range e.Marks {
				if m := &e.Marks[i]; m.Stream == k.on.ID && m.At == ch.at {
					c.begin(e, v, k, int32(m.Event&0x7fffffff), m.At, ch.cause)
					break
				}
			}
		}
		if st.Phase == sopStaffed {
			c.reported(e, v, k, st, ch.cause)
		}
	}
	c.wakeSops(e, v, c.done(e), ch.cause)
}

// wakeSops does the steps that are due, by due, then by priority.
func (c *Core) wakeSops(e *entry, v history.View, upTo schemas.EventTime, cause string) {
	for {
		var k *sopRule
		var due schemas.EventTime
		for _, x := range c.sops {
			st := e.Rule(x.rd)
			if st.Phase == sopIdle || st.Due == 0 || st.Due > upTo {
				continue
			}
			if k == nil || st.Due < due || st.Due == due && x.pb.Priority > k.pb.Priority {
				k, due = x, st.Due
			}
		}
		if k == nil {
			return
		}
		st := e.Rule(k.rd)
		if st.Phase == sopStaffed {
			c.overdue(e, v, k, st, cause)
		} else {
			c.takeStep(e, v, k, st, cause)
		}
		st.Log = prune(st.Log, max(c.pos.Clock, e.Latest)-k.pb.CorrectWithin)
	}
}

// takeStep does the step whose time has come, or looks at it again later.
func (c *Core) takeStep(e *entry, v history.View, k *sopRule, st *state.Rule, cause string) {
	p := pending(st)
	version, step, ok := k.place(st, uint32(p.To))
	if !ok {
		st.Phase, st.Due = sopIdle, 0
		return
	}
	s := &k.pb.Versions[version].Steps[step]
	at := max(st.Due, c.done(e))
	if c.touching != nil {
		at = c.sendingAt(e, st.Due)
	}
	facts := c.facts(e, v, at)
	if k.pb.Exit != nil {
		if over, err := k.pb.Exit.Eval(facts); over && err == nil {
			st.Log = append(st.Log, p)
			c.leave(e, v, k, at, cause)
			return
		}
	}
	if s.If != nil {
		if holds, err := s.If.Eval(facts); !holds || err != nil {
			c.next(e, v, k, st, version, leads(step, s.Else), p.From, at)
			return
		}
	}
	arm := c.draw(e, k.rd, &k.pb.Touching, p.At)
	if len(c.ts.Pauses) > 0 {
		channel := s.Channel
		if channel == "" && arm >= 0 && k.pb.Experiment != nil {
			channel = k.pb.Experiment.Arms[arm].Channel
		}
		if c.waits(k.pb.Name, channel) {
			st.Due = untilResume
			st.Log = append(st.Log, p)
			return
		}
	}
	var x verdict
	if !c.rolledOut(e, k.pb.Name, &k.pb.Touching) {
		x.why = withheldRollout
	}
	going := x.why == sent && c.withhold(p.At, k.pb.MaxAge, nil) == sent
	if going {
		c.assign(e, k.rd, arm, p.At, cause)
	}
	expired := s.ExpireAfter > 0 && at >= p.At+s.ExpireAfter
	if c.touching != nil && going && arm >= 0 && !expired && (s.Staff == "" || s.Channel != "") {
		t := &sending{rule: k.rd, episode: st.Episode + 1, pb: &k.pb.Touching, channel: s.Channel}
		if t.channel == "" && k.pb.Experiment != nil {
			t.channel = k.pb.Experiment.Arms[arm].Channel
		}
		if s.ExpireAfter > 0 {
			t.expires = p.At + s.ExpireAfter
		}
		if x = c.judge(e, v, t, at); x.hold != 0 {
			st.Due = x.hold
			st.Log = append(st.Log, p)
			return
		}
		c.note(e, t, &x, at)
	}
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: p.At, From: p.From, To: p.To, Withheld: x.why}
	if s.Staff != "" {
		f.At = at // from then on the staff have their time
	}
	t := c.stepTrigger(e, k, st, &f, facts, "")
	f.Hash = c.valueHash(t)
	switch {
	case expired:
		f.Withheld = withheldStale
		c.head(e, k.pb.Name, &f, schemas.Fired, cause, t)
		c.suppress(e.ID, t, SuppressedStale, "it expired before it could be sent", "")
	case x.why != sent:
		c.head(e, k.pb.Name, &f, schemas.Fired, cause, t)
		t.Evidence = append(t.Evidence, x.evidence...)
		c.suppress(e.ID, t, withheld[x.why], x.detail, x.winner)
	default:
		f.Withheld = c.publish(e, k.pb.Name, &f, schemas.Fired, cause, k.pb.MaxAge, t)
	}
	st.Log = append(st.Log, f)
	if f.Withheld == sent {
		c.expose(e, k.rd, at, cause)
	}
	if s.Staff != "" && f.Withheld == sent {
		st.Phase, st.Due = sopStaffed, at+s.Deadline
		if s.Accept != 0 {
			st.Due = at + s.Accept
		}
		return
	}
	c.next(e, v, k, st, version, leads(step, s.Then), p.From, at)
}

// reported looks for what the staff said of the step under way, whoever it was
// given to.
func (c *Core) reported(e *entry, v history.View, k *sopRule, st *state.Rule, cause string) {
	open := &st.Log[len(st.Log)-1]
	s := k.stepOf(uint32(open.To))
	if s == nil {
		return
	}
	keys := map[uint64]bool{}
	for i := range st.Log {
		if f := &st.Log[i]; f.From == open.From && f.To == open.To {
			keys[c.hash('o', c.triggerID(e, k.pb.Name, f.Episode, 0))] = true
		}
	}
	for i := range e.Marks {
		m := &e.Marks[i]
		if m.Stream != c.reports.ID || !keys[m.Key] || m.At < open.At {
			continue
		}
		if m.Value == 1 {
			st.Due = max(st.Due, open.At+s.Deadline)
			continue
		}
		outcome := "done"
		if m.Value == 3 {
			outcome = "skipped"
		}
		c.endStep(e, k, st, open, m.At, outcome, cause)
		version, step, ok := k.place(st, uint32(open.To))
		if !ok {
			st.Phase, st.Due = sopIdle, 0
			return
		}
		c.next(e, v, k, st, version, leads(step, s.Then), open.From, m.At)
		return
	}
}

// overdue hands a step of the staff on, or goes on without it.
func (c *Core) overdue(e *entry, v history.View, k *sopRule, st *state.Rule, cause string) {
	due := st.Due
	open := &st.Log[len(st.Log)-1]
	key, id := open.From, open.To
	c.endStep(e, k, st, open, due, "overdue", cause)
	version, step, ok := k.place(st, uint32(id))
	if !ok {
		st.Phase, st.Due = sopIdle, 0
		return
	}
	s := &k.pb.Versions[version].Steps[step]
	level := int(st.Aux >> sopVersionBits)
	if level >= len(s.Escalate) {
		c.next(e, v, k, st, version, step+1, key, due)
		return
	}
	st.Aux += sopHandedOn
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: due, From: key, To: id}
	t := c.stepTrigger(e, k, st, &f, nil, "")
	f.Hash = c.valueHash(t)
	f.Withheld = c.publish(e, k.pb.Name, &f, schemas.Fired, cause, k.pb.MaxAge, t)
	st.Log = append(st.Log, f)
	st.Due = due + s.Deadline
	if s.Accept != 0 {
		st.Due = due + s.Accept
	}
}

// endStep tells that a step needs nobody any more, and why.
func (c *Core) endStep(e *entry, k *sopRule, st *state.Rule, f *state.Firing, at schemas.EventTime, outcome, cause string) {
	f.Ended = at
	f.Revision++
	c.publish(e, k.pb.Name, f, schemas.Ended, cause, 0, c.stepTrigger(e, k, st, f, nil, outcome))
}

// leave ends a sequence before its end. Steps that somebody may still act on end.
func (c *Core) leave(e *entry, v history.View, k *sopRule, at schemas.EventTime, cause string) {
	st := e.Rule(k.rd)
	if st.Phase == sopIdle {
		return
	}
	key := c.began(st)
	if st.Phase == sopWaiting {
		pending(st)
	}
	for i := range st.Log {
		f := &st.Log[i]
		if f.From != key || f.Ended != 0 || f.Withheld != sent {
			continue
		}
		if s := k.stepOf(uint32(f.To)); s != nil && s.ExpireAfter > 0 && f.At+s.ExpireAfter <= at {
			continue
		}
		c.endStep(e, k, st, f, max(at, f.At), "left", cause)
	}
	st.Phase, st.Due = sopIdle, 0
}

// unbegin takes back all steps of a sequence that had no reason to begin.
func (c *Core) unbegin(e *entry, v history.View, k *sopRule, key int32, cause string) {
	st := e.Rule(k.rd)
	if c.began(st) == key {
		if st.Phase == sopWaiting {
			pending(st)
		}
		st.Phase, st.Due = sopIdle, 0
		if st.Sent == st.Since {
			st.Sent = 0
		}
	}
	kept := st.Log[:0]
	for _, f := range st.Log {
		if f.From != key {
			kept = append(kept, f)
			continue
		}
		f.Revision++
		c.publish(e, k.pb.Name, &f, schemas.Retracted, cause, 0, c.stepTrigger(e, k, st, &f, nil, ""))
	}
	st.Log = kept
}

// stepTrigger says what a step is. outcome tells how one of the staff's ended.
func (c *Core) stepTrigger(e *entry, k *sopRule, st *state.Rule, f *state.Firing, facts *playbook.Facts, outcome string) *schemas.EngagementTrigger {
	t := &schemas.EngagementTrigger{Kind: "sop_step", Name: k.pb.Name, Step: strings.TrimPrefix(c.RuleName(uint32(f.To)), "step/"+k.pb.Name+"/")}
	add := func(key, value string) {
		if value != "" {
			t.Attributes = append(t.Attributes, schemas.Attribute{Key: key, Value: value})
		}
	}
	send := f.At
	t.SendAt = &send
	t.Evidence = []schemas.Evidence{{Fact: k.pb.On.Fact, Value: k.pb.On.Value, Comparison: "==", Limit: k.pb.On.Value}}
	c.grouped(e, k.rd, &k.pb.Touching, f.At, t)
	s := k.stepOf(uint32(f.To))
	if s != nil {
		if s.Channel != "" {
			t.Channel = s.Channel
		}
		if s.ExpireAfter > 0 {
			x := f.At + s.ExpireAfter
			t.ExpiresAt = &x
		}
		if s.Staff != "" {
			due := f.At + s.Deadline
			t.DueAt, t.Operator = &due, s.Staff
			// Who has it is how many firings of this step came before.
			level := -1
			for i := range st.Log {
				if o := &st.Log[i]; o.From == f.From && o.To == f.To && o.Withheld != momentHeld && o.Episode < f.Episode {
					level++
				}
			}
			if level >= 0 && level < len(s.Escalate) {
				t.Operator = s.Escalate[level]
				add("escalated", strconv.Itoa(level+1))
			}
		}
		replace := func(key, value string) {
			if value == "" {
				return
			}
			for i := range t.Attributes {
				if t.Attributes[i].Key == key {
					t.Attributes[i].Value = value
					return
				}
			}
			add(key, value)
		}
		replace("content", s.Content)
		replace("landing", s.Landing)
		if s.If != nil && facts != nil {
			t.Evidence = append(t.Evidence, playbook.Compared(s.If, facts)...)
		}
	}
	add("outcome", outcome)
	add("version", strconv.FormatInt(st.Aux&(sopHandedOn-1), 10))
	sort.Slice(t.Attributes, func(i, j int) bool { return t.Attributes[i].Key < t.Attributes[j].Key })
	if n := c.noted(e, k.rd, f.Episode); n != nil {
		at := n.At
		t.SendAt, t.Channel = &at, c.touching.channelName(n.From)
	}
	return t
}
