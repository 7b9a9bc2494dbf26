package core

import (
	"strconv"
	"strings"
	"time"

	"tidemark/playbook"
	"tidemark/processor/facts"
	"tidemark/processor/history"
	"tidemark/processor/touch"
	"tidemark/schemas"
	"tidemark/state"
)

// touching is the touch policy in force. What was sent to a customer, and what
// was withheld by the policy, stands in her row as the log of one rule named
// "touch/": At is when it was sent or would have been, From the channel and To the
// rule, both in the dictionary, Hash the rule's episode. It is kept as long as a
// cap or a correction may ask for it, and no longer than touchLog entries.
//
// What was sent stays sent: a trigger that is retracted later has reached her
// all the same, and counts.
type touching struct {
	pol     *playbook.TouchPolicy
	id      uint32
	channel []uint32     // of the policy's channels, in the dictionary
	bound   []facts.Fact // by channel
	consent map[string][]facts.Fact
	rules   map[uint32]*playbook.Touching
	keep    schemas.EventTime
}

const touchLog = 64

const touchRule = "touch/"

// bindTouch binds the policy; nil without one.
func (c *Core) bindTouch() *touching {
	pol := c.pb.Touch
	if pol == nil {
		return nil
	}
	t := &touching{pol: pol, id: c.name(touchRule), consent: map[string][]facts.Fact{}, rules: map[uint32]*playbook.Touching{}, keep: touch.Longest(pol)}
	bind := func(name string) facts.Fact {
		def, _ := c.pb.FactNamed(name)
		return facts.Bind(def, func(i int) history.Stream { return c.streams.ids[i] })
	}
	for i := range pol.Channels {
		t.channel = append(t.channel, c.name("channel/"+pol.Channels[i].Name))
		t.bound = append(t.bound, bind(playbook.BoundFact(pol.Channels[i].Name)))
		for _, p := range pol.Purposes {
			t.consent[p] = append(t.consent[p], bind(playbook.ConsentFact(pol.Channels[i].Name, p)))
		}
	}
	for _, k := range c.recalls {
		t.rules[k.rd] = &k.pb.Touching
		t.keep = max(t.keep, k.pb.CorrectWithin)
	}
	for _, k := range c.sops {
		t.rules[k.rd] = &k.pb.Touching
		t.keep = max(t.keep, k.pb.CorrectWithin)
	}
	for _, k := range c.moments {
		t.rules[k.rd] = &k.pb.Touching
		t.keep = max(t.keep, k.pb.CorrectWithin)
	}
	return t
}

// place is a time zone in both forms.
type place struct {
	loc  *time.Location
	zone history.Zone
}

// placeOf is the customer's own time zone as known at an instant, else the tenant's.
func (c *Core) placeOf(v history.View, at schemas.EventTime) place {
	home := place{c.pb.Zone, c.zone}
	if c.zoneFact == nil {
		return home
	}
	name := c.zoneFact.Eval(v, at).Text
	if name == "" || name == "Local" {
		return home
	}
	p, known := c.places[name]
	if !known {
		p = home
		if loc, ok := playbook.Location(name); ok {
			p = place{loc, history.NewZone(loc)}
		}
		if len(c.places) < 1000 { // names come from events; there are some 600 zones
			c.places[name] = p
		}
	}
	return p
}

func (c *Core) bindZone() {
	c.zoneFact, c.places = nil, map[string]place{}
	if def, ok := c.pb.FactNamed(playbook.TimeZoneFact); ok {
		f := facts.Bind(def, func(i int) history.Stream { return c.streams.ids[i] })
		c.zoneFact = &f
	}
}

// sending is one touch that wants to be sent.
type sending struct {
	rule    uint32
	episode uint32
	pb      *playbook.Touching
	channel string            // the only one, of an arm; "": the rule's
	expires schemas.EventTime // 0: never
}

// verdict is what the policy says of a touch.
type verdict struct {
	hold     schemas.EventTime // look again then; 0: it is decided
	why      uint8             // sent, or why not
	channel  int               // -1: none
	detail   string
	winner   string
	evidence []schemas.Evidence
}

// sendingAt is when a touch that was due at an instant is really sent: not before
// what time and the customer's own events have reached, nor before the last one.
func (c *Core) sendingAt(e *entry, due schemas.EventTime) schemas.EventTime {
	at := max(due, e.Latest, c.pos.Fired)
	if st := e.Rule(c.touching.id); st != nil && len(st.Log) > 0 {
		at = max(at, st.Log[len(st.Log)-1].At)
	}
	return at
}

// judge holds a touch against the policy at an instant.
func (c *Core) judge(e *entry, v history.View, s *sending, at schemas.EventTime) verdict {
	t := c.touching
	here := c.placeOf(v, at)
	out := verdict{channel: -1}
	var log []state.Firing // what was sent
	var was []touch.Sent
	if st := e.Rule(t.id); st != nil {
		for _, f := range st.Log {
			if k, known := t.rules[uint32(f.To)]; known && f.Withheld == sent && !k.Service {
				log, was = append(log, f), append(was, touch.Sent{At: f.At, Channel: t.channelOf(f.From), Purpose: k.Purpose})
			}
		}
	}
	if !s.pb.Service {
		if q := t.pol.Quiet; q.From != q.To {
			if end := touch.QuietEnd(q, here.loc, at); end > at {
				local := time.UnixMilli(int64(at)).In(here.loc)
				line := compared("touch.local_minute", int64(local.Hour()*60+local.Minute()), ">=", int64(q.From))
				if line.Comparison == "<" {
					line.Limit = strconv.Itoa(q.To)
				}
				out.evidence = append(out.evidence, line)
				out.why, out.detail = withheldQuiet, "quiet until "+clock(q.To)
				switch {
				case q.Suppress:
				case s.expires != 0 && end >= s.expires:
					out.detail = "it expires before the quiet hours end"
				default:
					return verdict{hold: end}
				}
				return out
			}
		}
		for i := range t.pol.Exclude {
			x := &t.pol.Exclude[i]
			f := c.facts(e, v, at)
			if x.When == nil {
				continue
			}
			if ok, err := x.When.Eval(f); ok && err == nil {
				out.why, out.detail, out.evidence = withheldExcluded, x.Name, playbook.Compared(x.When, f)
				return out
			}
		}
		if k := len(log) - 1; k >= 0 && at < log[k].At+t.pol.MinDistance {
			c.contest(e, s, &out, withheldDistance, &log[k], at)
			out.evidence = append(out.evidence, compared("touch.since_last_ms", int64(at-log[k].At), ">=", int64(t.pol.MinDistance)))
			return out
		}
		for i := range t.pol.Caps {
			if k := &t.pol.Caps[i]; k.Channel < 0 && (k.Purpose == "" || k.Purpose == s.pb.Purpose) && c.capped(e, s, k, here, was, log, at, &out) {
				return out
			}
		}
	}
	return c.choose(e, v, s, here, was, log, at)
}

// choose takes the first channel in which nothing stands against the touch.
func (c *Core) choose(e *entry, v history.View, s *sending, here place, was []touch.Sent, log []state.Firing, at schemas.EventTime) verdict {
	t := c.touching
	var all verdict
	var told []string
	try := func(i int) bool {
		ch := &t.pol.Channels[i]
		var x verdict
		if c.pausedChannel(ch.Name) {
			all.hold = untilResume
			x.why = withheldPaused
		} else if b := t.bound[i].Eval(v, at).Int; b < 0 || b == 0 && !ch.AssumeBound {
			x.why = withheldUnreachable
			x.evidence = []schemas.Evidence{compared(playbook.BoundFact(ch.Name), b, ">=", 1)}
		} else if !s.pb.Service {
			need := int64(0)
			if t.pol.Consent {
				need = 1
			}
			if given := t.consent[s.pb.Purpose][i].Eval(v, at).Int; given < need {
				x.why = withheldConsent
				x.evidence = []schemas.Evidence{compared(playbook.ConsentFact(ch.Name, s.pb.Purpose), given, ">=", need)}
			}
			for k := 0; x.why == sent && k < len(t.pol.Caps); k++ {
				if p := &t.pol.Caps[k]; p.Channel == i && (p.Purpose == "" || p.Purpose == s.pb.Purpose) {
					c.capped(e, s, p, here, was, log, at, &x)
				}
			}
		}
		if x.why == sent {
			all = verdict{channel: i} // and hold is 0
			return true
		}
		told = append(told, ch.Name+": "+withheld[x.why])
		if len(told) == 1 {
			all.why, all.winner = x.why, x.winner
		} else if all.why != x.why {
			all.why, all.winner = withheldUnreachable, ""
		}
		all.evidence = append(all.evidence, x.evidence...)
		return false
	}
	all.channel = -1
	switch {
	case s.channel != "":
		for i := range t.pol.Channels {
			if t.pol.Channels[i].Name == s.channel {
				try(i)
			}
		}
	case s.pb.Channels != nil:
		for _, i := range s.pb.Channels {
			if try(i) {
				return all
			}
		}
	default:
		for i := range t.pol.Channels {
			if try(i) {
				return all
			}
		}
	}
	if all.channel < 0 {
		all.detail = strings.Join(told, ", ")
	}
	return all
}

// capped says whether one more touch would be past a cap, and why.
func (c *Core) capped(e *entry, s *sending, k *playbook.Cap, here place, was []touch.Sent, log []state.Firing, at schemas.EventTime, out *verdict) bool {
	n, last := touch.Count(*k, here.zone, was, at)
	if n < k.AtMost {
		return false
	}
	why := withheldCap
	if k.Purpose != "" {
		why = withheldPurpose
	}
	c.contest(e, s, out, why, &log[last], at)
	window := k.Window.Cycle
	if window == "" {
		window = playbook.FormatDuration(k.Window.Rolling)
	}
	out.detail = "at most " + strconv.Itoa(k.AtMost) + " per " + window
	fact := "touch.sent/" + window
	if k.Channel >= 0 {
		fact += "/" + c.touching.pol.Channels[k.Channel].Name
	}
	if k.Purpose != "" {
		fact += "/" + k.Purpose
	}
	out.evidence = append(out.evidence, compared(fact, int64(n), ">=", int64(k.AtMost)))
	return true
}

// contest notes what came first. At one instant that was by priority.
func (c *Core) contest(e *entry, s *sending, out *verdict, why uint8, first *state.Firing, at schemas.EventTime) {
	out.why, out.winner = why, c.triggerID(e, c.RuleName(uint32(first.To)), first.Hash, 0)
	if k := c.touching.rules[uint32(first.To)]; first.At == at && k.Priority > s.pb.Priority {
		out.why = withheldPriority
	}
}

// note writes into the row what was decided of a touch.
func (c *Core) note(e *entry, s *sending, x *verdict, at schemas.EventTime) {
	t := c.touching
	st := e.EnsureRule(t.id)
	f := state.Firing{At: at, From: -1, To: int32(s.rule), Hash: s.episode, Withheld: x.why}
	if x.channel >= 0 {
		f.From = int32(t.channel[x.channel])
	}
	st.Log = append(st.Log, f)
	n := 0
	for n < len(st.Log) && st.Log[n].At < at-t.keep {
		n++
	}
	st.Log = append(st.Log[:0], st.Log[n:]...)
	for len(st.Log) > touchLog { // what was sent is worth more than what was not
		n = 0
		for i := range st.Log {
			if st.Log[i].Withheld != sent {
				n = i
				break
			}
		}
		st.Log = append(st.Log[:n], st.Log[n+1:]...)
	}
}

// noted is what was decided of a rule's episode, while the row remembers.
func (c *Core) noted(e *entry, rule, episode uint32) *state.Firing {
	if c.touching == nil {
		return nil
	}
	if st := e.Rule(c.touching.id); st != nil {
		for i := range st.Log {
			if f := &st.Log[i]; f.To == int32(rule) && f.Hash == episode {
				return f
			}
		}
	}
	return nil
}

func (t *touching) channelOf(id int32) int {
	for i, n := range t.channel {
		if int32(n) == id {
			return i
		}
	}
	return -1
}

// channelName is the channel of a touch; "": none, or of an older playbook.
func (t *touching) channelName(id int32) string {
	if i := t.channelOf(id); i >= 0 {
		return t.pol.Channels[i].Name
	}
	return ""
}

// clock is minutes of the day as people write them.
func clock(minute int) string {
	return string([]byte{'0' + byte(minute/600), '0' + byte(minute/60%10), ':', '0' + byte(minute%60/10), '0' + byte(minute%10)})
}

// touches publishes every held touch of a customer whose time has come: by due,
// then by priority, then in the playbook's order.
func (c *Core) touches(e *entry, v history.View, upTo schemas.EventTime, cause string) {
	for {
		var next *recallRule
		var due schemas.EventTime
		for _, k := range c.recalls {
			st := e.Rule(k.rd)
			if st == nil || st.Phase != recallPending || st.Due == 0 || st.Due > upTo {
				continue
			}
			at := c.sendingAt(e, st.Due)
			if next == nil || at < due || at == due && k.pb.Priority > next.pb.Priority {
				next, due = k, at
			}
		}
		if next == nil {
			return
		}
		c.send(e, v, next, e.Rule(next.rd), c.churn[next.pb.Churn], cause)
	}
}
