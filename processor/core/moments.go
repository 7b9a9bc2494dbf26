package core

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"tidemark/playbook"
	"tidemark/processor/calendar"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// momentRule tells the instants of one entry of the calendar. Its state in a row:
// Armed from when on, Due the next instant or when a held touch is looked at
// again. In its log At is the moment, From tells its item apart, To is the offset in
// days, and Ended, while Withheld is momentHeld, when it is looked at again.
//
// A moment is true as of itself: its date was known before it and was not changed
// or removed by then, and the audience held. A change of the past within
// correct_within makes missing ones FIRED and others RETRACTED.
type momentRule struct {
	pb *playbook.Moment
	rd uint32
	on history.Stream
}

// momentHeld is the Withheld of a touch that waits for its time and was not
// published yet. It is no reason.
const momentHeld uint8 = 255

func (c *Core) bindMoments() {
	c.moments, c.keptStreams = nil, nil
	for i := range c.pb.Moments {
		m := &c.pb.Moments[i]
		k := &momentRule{pb: m, rd: c.name(m.Name)}
		if m.Stream > 0 {
			k.on = c.streams.ids[m.Stream]
		}
		if m.Kind == playbook.FromDates {
			if c.keptStreams == nil {
				c.keptStreams = map[uint32]bool{}
			}
			c.keptStreams[k.on.ID] = true
		}
		c.moments = append(c.moments, k)
	}
}

// dated lists what the moments of a rule are counted from, by item.
func (c *Core) dated(v history.View, k *momentRule) []calendar.Dated {
	var out []calendar.Dated
	day := func(t schemas.EventTime) int64 {
		y, m, d := time.UnixMilli(int64(t)).In(c.placeOf(v, t).loc).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
	}
	add := func(item string, key uint64, date string, from schemas.EventTime) {
		for i := range out {
			if o := &out[i]; o.Key == key && o.Until == 0 {
				o.Until = max(from, 1)
			}
		}
		d := calendar.Dated{Item: item, Key: key, From: from}
		if n, ok := playbook.DayNumber(date); ok {
			d.Day = n
		} else if m, x, ok := playbook.MonthDay(strings.TrimPrefix(date, "--")); ok && k.pb.Kind == playbook.Birthday {
			d.Month, d.Date = m, x
		} else {
			return // removed, or no date
		}
		out = append(out, d)
	}
	switch k.pb.Kind {
	case playbook.MemberDay:
		return nil
	case playbook.FromFirstOrder:
		if t, ok := v.First(1 << 62); ok {
			out = append(out, calendar.Dated{Day: day(t), From: t})
		}
		return out
	case playbook.FromRegistration:
		if b := v.C.MarkBase(k.on.ID); b != nil && b.Count > 0 {
			return append(out, calendar.Dated{Day: day(b.First), From: b.First})
		}
	case playbook.Birthday:
		if b := v.C.MarkBase(k.on.ID); b != nil && b.Text != "" {
			add("", 0, b.Text, b.Last)
		}
	}
	for i := range v.C.Marks {
		m := &v.C.Marks[i]
		switch {
		case m.Stream != k.on.ID:
		case k.pb.Kind == playbook.FromRegistration:
			return append(out, calendar.Dated{Day: day(m.At), From: m.At})
		case k.pb.Kind == playbook.Birthday:
			add("", 0, m.Text, m.At)
		default:
			date, item, _ := strings.Cut(m.Text, " ")
			if m.Value < 0 {
				date = ""
			}
			add(item, m.Key, date, m.At)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Item < out[j].Item })
	return out
}

// momentIn says whether the rule's customers are told at an instant.
func (c *Core) momentIn(e *entry, v history.View, k *momentRule, at schemas.EventTime) (bool, *playbook.Facts) {
	if k.pb.Audience == nil {
		return true, nil
	}
	f := c.facts(e, v, at)
	ok, err := k.pb.Audience.Eval(f)
	return ok && err == nil, f
}

// settleMoments brings the calendar in line with a change of the facts.
func (c *Core) settleMoments(e *entry, v history.View, ch *change) {
	for _, k := range c.moments {
		st := e.Rule(k.rd)
		begun := st.Armed != 0
		if !begun {
			st.Armed = max(ch.at, 1)
		}
		reads := k.pb.Audience != nil || k.pb.Kind == playbook.FromFirstOrder && ch.orders ||
			ch.marks && (k.pb.Kind != playbook.MemberDay || c.zoneFact != nil)
		if begun && !reads {
			continue
		}
		now := max(c.pos.Clock, e.Latest)
		done := max(c.pos.Fired, e.Latest-1, st.Since) // up to there moments have been told
		dates := c.dated(v, k)
		if begun {
			c.retell(e, v, k, st, dates, max(now-k.pb.CorrectWithin, st.Armed, folded(e), ch.tc-1), done, ch.cause)
		}
		c.nextMoment(e, v, k, st, dates, done)
	}
}

// retell lays what was told of (from, upTo] beside what is known now.
func (c *Core) retell(e *entry, v history.View, k *momentRule, st *state.Rule, dates []calendar.Dated, from, upTo schemas.EventTime, cause string) {
	type told struct {
		found calendar.Found
		key   int32
	}
	var want []told
	for at := from; ; {
		f, ok := calendar.Next(k.pb, dates, c.placeOf(v, at).loc, at)
		if !ok || f.At > upTo {
			break
		}
		at = f.At
		if in, _ := c.momentIn(e, v, k, at); in {
			for _, g := range calendar.At(k.pb, dates, c.placeOf(v, at).loc, at) {
				want = append(want, told{g, keyOf(dates, g)})
			}
		}
	}
	kept := st.Log[:0]
	for _, f := range append([]state.Firing(nil), st.Log...) {
		matched := f.At <= from || f.At > upTo
		for i := range want {
			if want[i].found.At == f.At && want[i].key == f.From {
				want = append(want[:i], want[i+1:]...)
				matched = true
				break
			}
		}
		if matched {
			kept = append(kept, f)
			continue
		}
		if f.Withheld == momentHeld { // nobody was told yet
			f.Withheld, f.Ended = withheldStale, 0
			t := c.momentTrigger(e, v, k, &f, nil, momentOf(&f), nil)
			c.head(e, k.pb.Name, &f, schemas.Fired, cause, t)
			c.suppress(e.ID, t, SuppressedStale, "it never held, as is known now", "")
			continue
		}
		f.Revision++
		t := c.momentTrigger(e, v, k, &f, nil, calendar.Found{At: f.At, Of: -1, Offset: int(f.To)}, nil)
		c.publish(e, k.pb.Name, &f, schemas.Retracted, cause, 0, t)
	}
	st.Log = kept
	for i := range want {
		c.moment(e, v, k, st, dates, want[i].found, cause)
	}
	sort.SliceStable(st.Log, func(i, j int) bool { return st.Log[i].At < st.Log[j].At })
}

func keyOf(dates []calendar.Dated, f calendar.Found) int32 {
	if f.Of < 0 || f.Of >= len(dates) {
		return 0
	}
	return int32(dates[f.Of].Key & 0x7fffffff)
}

// nextMoment arms the first moment after an instant.
func (c *Core) nextMoment(e *entry, v history.View, k *momentRule, st *state.Rule, dates []calendar.Dated, after schemas.EventTime) {
	st.Due = 0
	if f, ok := calendar.Next(k.pb, dates, c.placeOf(v, max(after, e.Latest)).loc, max(after, st.Armed)); ok {
		st.Due = f.At
	}
	for i := range st.Log {
		if f := &st.Log[i]; f.Withheld == momentHeld && (st.Due == 0 || f.Ended < st.Due) {
			st.Due = f.Ended
		}
	}
	st.Since = max(st.Since, after)
}

// wakeMoments tells what is due, by priority.
func (c *Core) wakeMoments(e *entry, v history.View, upTo schemas.EventTime) {
	for {
		var k *momentRule
		for _, x := range c.moments {
			st := e.Rule(x.rd)
			if st.Due == 0 || st.Due > upTo {
				continue
			}
			if was := k; was == nil || st.Due < e.Rule(was.rd).Due || st.Due == e.Rule(was.rd).Due && x.pb.Priority > was.pb.Priority {
				k = x
			}
		}
		if k == nil {
			return
		}
		st := e.Rule(k.rd)
		at := st.Due
		dates := c.dated(v, k)
		loc := c.placeOf(v, at).loc
		for i := range st.Log {
			if f := &st.Log[i]; f.Withheld == momentHeld && f.Ended <= at {
				c.release(e, v, k, st, i, dates)
			}
		}
		if in, _ := c.momentIn(e, v, k, at); in {
			for _, f := range calendar.At(k.pb, dates, loc, at) {
				if !heldOrTold(st, f, keyOf(dates, f)) {
					c.moment(e, v, k, st, dates, f, "")
				}
			}
		}
		c.nextMoment(e, v, k, st, dates, at)
		st.Log = prune(st.Log, max(c.pos.Clock, e.Latest)-k.pb.CorrectWithin)
	}
}

func heldOrTold(st *state.Rule, f calendar.Found, key int32) bool {
	for i := range st.Log {
		if st.Log[i].At == f.At && st.Log[i].From == key {
			return true
		}
	}
	return false
}

// moment begins an episode: it is told, withheld, or held.
func (c *Core) moment(e *entry, v history.View, k *momentRule, st *state.Rule, dates []calendar.Dated, found calendar.Found, cause string) {
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: found.At, From: keyOf(dates, found), To: int32(found.Offset)}
	st.Log = append(st.Log, f)
	c.tellMoment(e, v, k, st, len(st.Log)-1, dates, found, found.At, cause)
}

func momentOf(f *state.Firing) calendar.Found {
	return calendar.Found{At: f.At, Of: -1, Offset: int(f.To)}
}

// release looks at a held moment again. Its item may be gone, or she no longer belongs.
func (c *Core) release(e *entry, v history.View, k *momentRule, st *state.Rule, i int, dates []calendar.Dated) {
	f := &st.Log[i]
	at := f.Ended
	f.Withheld, f.Ended = sent, 0
	found := momentOf(f)
	for _, g := range calendar.At(k.pb, dates, c.placeOf(v, f.At).loc, f.At) {
		if keyOf(dates, g) == f.From {
			found = g
		}
	}
	in, facts := c.momentIn(e, v, k, at)
	gone := found.Of < 0 || found.Of < len(dates) && dates[found.Of].Until != 0 && dates[found.Of].Until <= at
	if in && !gone {
		c.tellMoment(e, v, k, st, i, dates, found, at, "")
		return
	}
	t := c.momentTrigger(e, v, k, f, dates, found, facts)
	f.Withheld = withheldStale
	c.head(e, k.pb.Name, f, schemas.Fired, "", t)
	c.suppress(e.ID, t, SuppressedStale, "it no longer holds at send_at", "")
}

func (c *Core) tellMoment(e *entry, v history.View, k *momentRule, st *state.Rule, i int, dates []calendar.Dated, found calendar.Found, due schemas.EventTime, cause string) {
	f := &st.Log[i]
	if len(c.ts.Pauses) > 0 {
		channel := ""
		if arm := c.draw(e, k.rd, &k.pb.Touching, f.At); arm >= 0 && k.pb.Experiment != nil {
			channel = k.pb.Experiment.Arms[arm].Channel
		}
		if c.waits(k.pb.Name, channel) {
			f.Withheld, f.Ended = momentHeld, untilResume
			return
		}
	}
	often := tooOften(&k.pb.Common, st, f.At)
	_, facts := c.momentIn(e, v, k, f.At)
	var x verdict
	arm := c.draw(e, k.rd, &k.pb.Touching, f.At)
	if !c.rolledOut(e, k.pb.Name, &k.pb.Touching) {
		x.why = withheldRollout
	}
	going := x.why == sent && often == sent && c.withhold(f.At, k.pb.MaxAge, nil) == sent
	if going {
		c.assign(e, k.rd, arm, f.At, cause)
	}
	if c.touching != nil && going && arm >= 0 {
		s := &sending{rule: k.rd, episode: f.Episode, pb: &k.pb.Touching}
		if x := k.pb.Experiment; x != nil {
			s.channel = x.Arms[arm].Channel
		}
		if k.pb.ExpireAfter > 0 {
			s.expires = f.At + k.pb.ExpireAfter
		}
		at := c.sendingAt(e, due)
		if x = c.judge(e, v, s, at); x.hold != 0 {
			f.Withheld, f.Ended = momentHeld, x.hold
			return
		}
		c.note(e, s, &x, at)
	}
	t := c.momentTrigger(e, v, k, f, dates, found, facts)
	f.Hash = c.valueHash(t)
	if x.why != sent {
		f.Withheld = x.why
		c.head(e, k.pb.Name, f, schemas.Fired, cause, t)
		t.Evidence = append(t.Evidence, x.evidence...)
		c.suppress(e.ID, t, withheld[x.why], x.detail, x.winner)
		return
	}
	f.Withheld = often
	f.Withheld = c.publish(e, k.pb.Name, f, schemas.Fired, cause, k.pb.MaxAge, t)
	if f.Withheld == sent {
		c.expose(e, k.rd, f.At, cause)
	}
	if f.Withheld == sent || f.Withheld == withheldHoldout {
		noteSent(&k.pb.Common, st, f.At)
	}
}

func (c *Core) momentTrigger(e *entry, v history.View, k *momentRule, f *state.Firing, dates []calendar.Dated, found calendar.Found, facts *playbook.Facts) *schemas.EngagementTrigger {
	t := &schemas.EngagementTrigger{Kind: "life_moment", Name: k.pb.Name}
	at := f.At
	t.DueAt = &at
	if k.pb.Kind == playbook.MemberDay {
		t.Kind = "member_day"
	}
	if found.Of >= 0 {
		if found.Of < len(dates) {
			t.Item = dates[found.Of].Item
		}
		y, m, d := time.Unix(found.Day*86400, 0).UTC().Date()
		day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Format("2006-01-02")
		t.Attributes = []schemas.Attribute{{Key: "day", Value: day}}
		if found.Offset != 0 {
			t.Attributes = append(t.Attributes, schemas.Attribute{Key: "offset_days", Value: strconv.Itoa(found.Offset)})
		}
		t.Evidence = append(t.Evidence, schemas.Evidence{Fact: "moment.day", Value: day, Comparison: "==", Limit: day})
	} else {
		t.Evidence = append(t.Evidence, schemas.Evidence{Fact: "moment.day", Value: "", Comparison: "==", Limit: ""})
	}
	if k.pb.Audience != nil && facts != nil {
		t.Evidence = append(t.Evidence, playbook.Compared(k.pb.Audience, facts)...)
	}
	if k.pb.ExpireAfter > 0 {
		x := f.At + k.pb.ExpireAfter
		t.ExpiresAt = &x
	}
	c.grouped(e, k.rd, &k.pb.Touching, f.At, t)
	if n := c.noted(e, k.rd, f.Episode); n != nil {
		send := n.At
		t.SendAt, t.Channel = &send, c.touching.channelName(n.From)
	}
	return t
}

// armMoments lets the calendar of a new playbook begin for a customer.
func (c *Core) armMoments(e *entry, v history.View, names []string, at schemas.EventTime) {
	for _, k := range c.moments {
		st := e.Rule(k.rd)
		for _, name := range names {
			if name == k.pb.Name && st.Armed < at {
				st.Armed = at
				c.nextMoment(e, v, k, st, c.dated(v, k), at)
			}
		}
	}
}
