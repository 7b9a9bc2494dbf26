package core

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/processor/experiment"
	"tidemark/schemas"
)

// touched is a playbook whose rules touch customers often enough to run into all
// that holds a touch back.
func touched(t testing.TB, clock string) *playbook.Playbook {
	t.Helper()
	pb, err := playbook.Compile([]byte(`
playbook: touched
clock: `+clock+`
time_zone: Europe/London
currency: GBP
horizon: 800d
refund_wait: 20d
disorder: 2d
future: 7d
rates: {USD: "0.8"}
facts: {core_behavior: [{name: looked, behavior: app.opened}]}
churn:
  - {name: silent, model: hiatus, after: 12d}
recall:
  - name: back
    on: silent
    audience: orders >= 1
    send_after: 1d
    expire_after: 5d
    purpose: win-back
    experiment: {holdout: 30%, arms: [{name: mail, channel: email}, {name: any}], effect: [5d, 20d], revenue_cap: 50, report: week}
  - {name: call, on: silent, audience: "true", priority: 5, holdout: 20%, arms: [{name: a}]}
  - {name: parcel, on: silent, audience: "true", holdout: 0%, message_class: service, arms: [{name: a}]}
calendar:
  moments:
    - {name: tuesday, weekly: [tuesday, thursday], at: "07:30", priority: 1, experiment: {holdout: 20%, effect: [5d], report: week}}
    - {name: often, monthly: [1, 3, 7, 9, 11, 14, 19, 22, 25, 28], at: "20:59", audience: orders >= 1, purpose: win-back}
sop:
  - name: care
    on: {churn: silent}
    purpose: win-back
    cool_down: 20d
    experiment: {holdout: 20%, arms: [{name: x}], effect: [5d]}
    steps:
      - {name: hello, wait: 1d, at: "10:00", expire_after: 3d}
      - {name: call, wait: 1d, if: orders >= 2, staff: adviser, deadline: 1d, accept_within: 12h, escalate: [lead], else: coupon}
      - {name: wait on, wait: 6h, then: exit, channel: email}
      - {name: coupon, wait: 2d}
  - {name: more, on: {event: looked}, exit: refunds >= 2, steps: [{name: a}, {name: b, wait: 20h}]}
global_control: {share: 30%, rotate: month}
touch_policy:
  channels: [{name: sms}, {name: email, assume_bound: true}]
  quiet_hours: {from: "21:00", to: "09:00"}
  min_distance: 3h
  caps:
    - {at_most: 1, per: day}
    - {at_most: 3, per: {rolling: 7d}}
    - {at_most: 2, per: {rolling: 10d}, purpose: win-back}
    - {at_most: 2, per: month, channel: sms}
  exclude: [{name: complains, when: refunds >= 3}]
`), "test")
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

// chatter puts consents and bindings among a history's events.
func chatter(t *rapid.T, events []*schemas.Event) []*schemas.Event {
	ids := map[string]bool{}
	var order []string
	for _, e := range events {
		if !ids[e.CustomerID] {
			ids[e.CustomerID] = true
			order = append(order, e.CustomerID)
		}
	}
	n := 0
	say := func(id, kind string, at schemas.EventTime, of ...string) {
		n++
		e := &schemas.Event{Kind: schemas.Behavior, EventID: fmt.Sprintf("s%d", n), CustomerID: id, Type: kind, OccurredAt: at}
		for i := 0; i+1 < len(of); i += 2 {
			if of[i+1] != "" {
				e.Attributes = append(e.Attributes, schemas.Attribute{Key: of[i], Value: of[i+1]})
			}
		}
		events = append(events, e)
	}
	for _, id := range order {
		if rapid.IntRange(0, 4).Draw(t, "yes") > 0 {
			say(id, "consent.granted", begin+1)
		}
		if rapid.Bool().Draw(t, "sms") {
			say(id, "channel.bound", begin+2, "channel", "sms")
		}
		for range rapid.IntRange(0, 4).Draw(t, "said") {
			at := begin + schemas.EventTime(rapid.Int64Range(3, 100*int64(schemas.Day)).Draw(t, "at"))
			switch kind := rapid.SampledFrom([]string{"consent.granted", "consent.revoked", "consent.revoked", "channel.bound", "channel.unbound"}).Draw(t, "kind"); kind {
			case "channel.bound", "channel.unbound":
				say(id, kind, at, "channel", rapid.SampledFrom([]string{"sms", "email"}).Draw(t, "channel"))
			default:
				say(id, kind, at, "channel", rapid.SampledFrom([]string{"", "sms", "email"}).Draw(t, "channel"),
					"purpose", rapid.SampledFrom([]string{"", "win-back", "marketing"}).Draw(t, "purpose"))
			}
		}
	}
	sort.SliceStable(events, func(i, j int) bool { return events[i].OccurredAt < events[j].OccurredAt })
	return events
}

// TestNothingPastThePolicy: whatever the order in which events come, nothing is sent
// in quiet hours, past a cap, sooner than the least distance, without the consent
// and the binding that were known, to who is excluded, held out or in global
// control; and every episode is told exactly once, sent or withheld.
func TestNothingPastThePolicy(t *testing.T) {
	pb := touched(t, "live")
	rapid.Check(t, func(rt *rapid.T) {
		events := disordered(rt, chatter(rt, made(rt, 3, 12, false)), 2*schemas.Day)
		w := bed(t, pb, Config{CacheBytes: 1 << 20})
		defer w.close()
		b := &touchBook{t: rt, pb: pb, w: w, sent: map[string][]touchSent{}, told: map[string]int{}, arm: map[string]string{}}
		top := begin
		for _, e := range events {
			w.give(e)
			if err := w.take(nil); err != nil {
				rt.Fatal(err)
			}
			b.known = append(b.known, e)
			b.look()
			top = max(top, e.OccurredAt)
			if pause := rapid.SampledFrom([]string{"", "", "", "", ControlPause, ControlResume}).Draw(rt, "brake"); pause != "" {
				r, err := NewBrake(pause, rapid.SampledFrom([]Brake{{Scope: PauseAll}, {Scope: PauseRule, Name: "back"}, {Scope: PauseChannel, Name: "email"},
					{Scope: PauseRule, Name: "tuesday", Send: true}, {Scope: PauseAll, Send: true}, {Scope: PauseChannel, Name: "email", Send: true}}).Draw(rt, "of"), "test", top)
				if err != nil {
					rt.Fatal(err)
				}
				w.topics.add(Record{Input: schemas.ControlInput, Control: r})
				if err := w.take(nil); err != nil {
					rt.Fatal(err)
				}
				if _, err := w.core.Sweep(0, w.wall); err != nil {
					rt.Fatal(err)
				}
				b.look()
			}
			if rapid.Bool().Draw(rt, "tick") {
				if err := w.tick(top-2*schemas.Day, nil); err != nil {
					rt.Fatal(err)
				}
				b.look()
			}
		}
		if err := w.tick(top+60*schemas.Day, nil); err != nil {
			rt.Fatal(err)
		}
		b.look()
		b.whole()
	})
}

type touchSent struct {
	at               schemas.EventTime
	channel, purpose string
}

// touchBook holds what was published against the policy, with a mind of its own.
type touchBook struct {
	t     *rapid.T
	pb    *playbook.Playbook
	w     *world
	read  int
	known []*schemas.Event // taken so far
	sent  map[string][]touchSent
	told  map[string]int    // FIRED by customer, rule and episode
	arm   map[string]string // first assignment by customer and rule
}

// look reads what is new.
func (b *touchBook) look() {
	for ; b.read < len(b.w.core.out); b.read++ {
		o := &b.w.core.out[b.read]
		tr, ok := o.Record.(schemas.Trigger)
		if !ok {
			continue
		}
		h := tr.TriggerHead()
		fail := func(format string, args ...any) {
			b.t.Fatalf("%s\n%s\nall of it:\n%s", fmt.Sprintf(format, args...), b.w.record(o), b.all())
		}
		if l, ok := tr.(*schemas.LifecycleChange); ok && l.Kind == "experiment_assigned" {
			key := h.CustomerID + "/" + l.Track
			if b.arm[key] != "" {
				fail("assigned twice")
			}
			b.arm[key] = l.To
		}
		rule := strings.TrimSuffix(h.Rule, "/experiment")
		if o.Topic != schemas.SuppressedTriggers && h.Status == schemas.Fired && rule == h.Rule && b.w.core.paused(h.Rule) {
			fail("sent, though its rule is paused")
		}
		if h.Status == schemas.Fired && rule == h.Rule && h.Corrects == nil {
			b.told[fmt.Sprintf("%s/%s/%d", h.CustomerID, h.Rule, h.Episode)]++
		}
		if h.Status != schemas.Fired {
			continue
		}
		var t touchSent
		var arm string
		due := h.EffectiveAt
		switch tr := tr.(type) {
		case *schemas.RecallTrigger:
			t, arm, due = touchSent{at: tr.SendAt, channel: tr.Channel}, tr.Arm, due+schemas.EventTime(map[string]int64{"back": int64(schemas.Day)}[h.Rule])
		case *schemas.EngagementTrigger:
			if tr.Operator != "" {
				continue // work of the staff
			}
			t, arm = touchSent{at: *tr.SendAt, channel: tr.Channel}, tr.Arm
		default:
			continue
		}
		t.purpose = map[string]string{"back": "win-back", "often": "win-back", "care": "win-back", "parcel": "service"}[h.Rule]
		if t.purpose == "" {
			t.purpose = "marketing"
		}
		if bound := b.latest(h.CustomerID, t.at, "channel.bound", "channel.unbound", t.channel, ""); bound < 0 || bound == 0 && t.channel == "sms" {
			fail("%s is not bound", t.channel)
		}
		if t.purpose == "service" {
			continue
		}
		local := time.UnixMilli(int64(t.at)).In(b.pb.Zone)
		if m := local.Hour()*60 + local.Minute(); m >= 21*60 || m < 9*60 {
			fail("sent at %s, which is quiet", local)
		}
		if b.latest(h.CustomerID, t.at, "consent.granted", "consent.revoked", t.channel, t.purpose) <= 0 {
			fail("no consent for %s by %s", t.purpose, t.channel)
		}
		cycle, _ := b.w.core.zone.CycleStart("month", due)
		if experiment.InGlobal(b.pb.GlobalControl, cycle, h.CustomerID) {
			fail("treated, though in global control from %s", instant(cycle))
		}
		if want, ok := b.arm[h.CustomerID+"/"+h.Rule]; (h.Rule == "back" || h.Rule == "tuesday" || h.Rule == "care") && (!ok || want != arm) {
			fail("treated with %q, assigned to %q", arm, want)
		}
		day, week, tenDays, month := 0, 0, 0, 0
		for _, s := range b.sent[h.CustomerID] {
			if s.at > t.at {
				fail("sent before %s, which was told first", instant(s.at))
			}
			if t.at-s.at < 3*schemas.Hour {
				fail("%s after the last", span(t.at-s.at))
			}
			then := time.UnixMilli(int64(s.at)).In(b.pb.Zone)
			if then.YearDay() == local.YearDay() && then.Year() == local.Year() {
				day++
			}
			if t.at-s.at < 7*schemas.Day {
				week++
			}
			if t.at-s.at < 10*schemas.Day && s.purpose == "win-back" {
				tenDays++
			}
			if s.channel == "sms" && then.Month() == local.Month() && then.Year() == local.Year() {
				month++
			}
		}
		switch {
		case day >= 1:
			fail("two on one day")
		case week >= 3:
			fail("four in seven days")
		case t.purpose == "win-back" && tenDays >= 2:
			fail("three win-backs in ten days")
		case t.channel == "sms" && month >= 2:
			fail("three sms in a month")
		}
		b.sent[h.CustomerID] = append(b.sent[h.CustomerID], t)
	}
}

// latest is 1 if the latest of two opposite events up to an instant says yes, -1 if
// it says no, 0 without one.
func (b *touchBook) latest(customer string, at schemas.EventTime, yes, no, channel, purpose string) int {
	answer, when := 0, schemas.EventTime(-1)
	for _, e := range b.known {
		if e.CustomerID != customer || e.OccurredAt > at || e.Type != yes && e.Type != no || e.OccurredAt < when {
			continue
		}
		c, _ := e.Attribute("channel")
		p, _ := e.Attribute("purpose")
		if c != channel && (c != "" || yes == "channel.bound") || p != "" && p != purpose {
			continue
		}
		when, answer = e.OccurredAt, -1
		if e.Type == yes {
			answer = 1
		}
	}
	return answer
}

// whole holds that each episode of each rule was told exactly once.
func (b *touchBook) whole() {
	c := b.w.core
	seen := map[string]bool{}
	for _, ev := range b.known {
		if seen[ev.CustomerID] {
			continue
		}
		seen[ev.CustomerID] = true
		e, err := c.customer(ev.CustomerID)
		if err != nil {
			b.t.Fatal(err)
		}
		for i := range e.Rules {
			st := &e.Rules[i]
			name := c.RuleName(st.ID)
			held := map[uint32]bool{}
			for _, f := range st.Log {
				held[f.Episode] = f.Withheld == momentHeld
			}
			if strings.HasSuffix(name, "/experiment") {
				continue
			}
			for n := uint32(1); n <= st.Episode; n++ {
				want := 1
				if held[n] {
					want = 0
				}
				if got := b.told[fmt.Sprintf("%s/%s/%d", e.ID, name, n)]; got != want {
					b.t.Fatalf("episode %d of %s for %s was told %d times, want %d\n%s", n, name, e.ID, got, want, b.all())
				}
			}
		}
	}
}

func (b *touchBook) all() string {
	var s strings.Builder
	for i := range b.w.core.out {
		s.WriteString(b.w.record(&b.w.core.out[i]) + "\n")
	}
	return s.String()
}
