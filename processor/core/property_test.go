package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// A step of a plan that is carried out twice: undisturbed, and disturbed.
type step struct {
	events []*schemas.Event
	tick   schemas.EventTime
	sweep  bool
	pb     *playbook.Playbook
}

// TestDisturbed: wherever Readys are cut, however small the budget and the
// cache, and whatever crashes and gets lost, each customer's output and the
// final store are those of a run that was never disturbed.
func TestDisturbed(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	fewer(t, "30")
	for _, clock := range []string{"live", "input"} {
		t.Run(clock, func(t *testing.T) {
			pb := rules(t, clock, cutsByMean)
			other := rules(t, clock, strings.Replace(cutsByMean, "60d", "50d", 1))
			touching := touched(t, clock)
			rapid.Check(t, func(rt *rapid.T) {
				pb, other, events := pb, other, []*schemas.Event(nil)
				if rapid.IntRange(0, 3).Draw(rt, "touching") == 0 {
					pb, other, events = touching, touching, chatter(rt, made(rt, 2, 5, false))
				} else {
					events = erasures(rt, made(rt, 7, 12, false), 2)
				}
				for range rapid.IntRange(0, 3).Draw(rt, "repeats") {
					i := rapid.IntRange(0, len(events)-1).Draw(rt, "repeat")
					j := rapid.IntRange(i, len(events)-1).Draw(rt, "where")
					if clock == "input" {
						j = i
					}
					events = slices.Insert(events, j+1, events[i])
				}
				plan := plan(rt, clock, events, other)
				calm := bed(t, pb, Config{CacheBytes: 1 << 20})
				defer calm.close()
				carry(rt, calm, plan, nil)
				sound(rt, calm)

				wild := bed(t, pb, Config{
					CacheBytes: rapid.SampledFrom([]int64{0, 2000, 1 << 20}).Draw(rt, "cache"),
					Budget: Budget{
						Triggers: rapid.IntRange(0, 3).Draw(rt, "triggers"), Bytes: rapid.SampledFrom([]int{0, 300, 3000}).Draw(rt, "bytes"),
						Units: rapid.IntRange(0, 3).Draw(rt, "units"), Records: rapid.IntRange(0, 4).Draw(rt, "records"),
					}})
				defer wild.close()
				wild.small = rapid.Bool().Draw(rt, "small")
				carry(rt, wild, plan, rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)))
				sameOutput(rt, wild, "disturbed", wild.out, calm.out)
				a, err := wild.dump()
				if err != nil {
					rt.Fatal(err)
				}
				b, err := calm.dump()
				if err != nil {
					rt.Fatal(err)
				}
				delete(a, "mposition")
				delete(b, "mposition")
				if d := difference(b, a); d != "" {
					rt.Fatalf("the store is another: %s", d)
				}
			})
		})
	}
}

// plan makes steps of a history: in input mode sorted, live somewhat late, with
// ticks, sweeps and a new playbook between.
func plan(t *rapid.T, clock string, events []*schemas.Event, other *playbook.Playbook) []step {
	var steps []step
	if clock == "live" {
		events = disordered(t, events, 2*schemas.Day)
	}
	top := begin
	changed := false
	for len(events) > 0 {
		n := rapid.IntRange(1, min(6, len(events))).Draw(t, "batch")
		steps = append(steps, step{events: events[:n]})
		for _, e := range events[:n] {
			top = max(top, e.OccurredAt)
		}
		events = events[n:]
		if clock == "live" {
			if rapid.Bool().Draw(t, "tick") {
				steps = append(steps, step{tick: top - 2*schemas.Day})
			}
			if rapid.Bool().Draw(t, "sweep") {
				steps = append(steps, step{sweep: true})
			}
		}
		if !changed && rapid.IntRange(0, 9).Draw(t, "playbook") == 0 {
			steps = append(steps, step{pb: other})
			changed = true
		}
	}
	return append(steps, step{sweep: true}, step{tick: top + 40*schemas.Day}, step{sweep: true}, step{tick: top + 80*schemas.Day}, step{sweep: true})
}

// disordered delays each event by up to by.
func disordered(t *rapid.T, events []*schemas.Event, by schemas.EventTime) []*schemas.Event {
	type arrival struct {
		at schemas.EventTime
		e  *schemas.Event
	}
	var all []arrival
	for _, e := range events {
		late := schemas.EventTime(0)
		if rapid.IntRange(0, 2).Draw(t, "late") == 0 {
			late = schemas.EventTime(rapid.Int64Range(0, int64(by)-1).Draw(t, "by"))
		}
		all = append(all, arrival{e.OccurredAt + late, e})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].at < all[j].at })
	out := make([]*schemas.Event, len(all))
	for i := range all {
		out[i] = all[i].e
	}
	return out
}

// carry carries out a plan; with a source of trouble, disturbed. Live, what a
// task sends to itself arrives between two steps, in both.
func carry(t *rapid.T, w *world, steps []step, trouble *rand.Rand) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	live := w.core.pb.Clock == playbook.Live
	var mail []func()
	deliver := func(m []*schemas.Transfer, c []*schemas.Control) {
		if live {
			mail = append(mail, func() { w.own(m, c) })
		} else {
			w.own(m, c)
		}
	}
	// cut makes a Ready and sees to one of its fates.
	cut := func() error {
		r := w.core.Ready()
		if r == nil {
			return nil
		}
		fate := 0
		if trouble != nil {
			fate = trouble.IntN(20)
		}
		switch fate {
		case 1, 5: // landed, and nobody heard of it
			w.land(r, deliver)
			_, err := w.restore()
			return err
		case 2, 6: // lost
			_, err := w.restore()
			return err
		case 3: // crash before it landed, with some of the store
			if err := w.crash(trouble.IntN(101), trouble); err != nil {
				return err
			}
			_, err := w.restore()
			return err
		case 4: // crash between the transaction and the store
			w.land(r, deliver)
			if err := w.crash(trouble.IntN(101), trouble); err != nil {
				return err
			}
			_, err := w.restore()
			return err
		}
		w.land(r, deliver)
		return w.apply(r)
	}
	// drive goes on until the step is done and committed.
	drive := func(s step) {
		t.Helper()
		for {
			if recs := w.waiting(0); len(recs) > 0 {
				_, err := w.lend(recs, w.wall)
				must(err)
			}
			reached := func() bool { return s.tick <= w.core.Clock() && s.tick <= w.core.Position().Fired }
			if s.tick != 0 && !reached() {
				w.wall = max(w.wall, s.tick)
				_, err := w.core.Tick(s.tick, w.wall)
				must(err)
			}
			if s.sweep && w.core.Sweeping() {
				n := 0
				if trouble != nil {
					n = trouble.IntN(4)
				}
				_, err := w.core.Sweep(n, w.wall)
				must(err)
			}
			done := len(w.waiting(0)) == 0 && (s.tick == 0 || reached()) && !(s.sweep && w.core.Sweeping())
			if done && len(w.core.items) == 0 {
				return
			}
			if trouble == nil || done || trouble.IntN(3) > 0 {
				must(cut())
			}
		}
	}
	for _, s := range steps {
		if s.pb != nil {
			w.topics.add(Record{Input: schemas.ControlInput, Control: NewPlaybook(s.pb, "test", 0)})
		}
		if !live {
			s.sweep = false // the world stands still
		}
		w.give(s.events...)
		drive(s)
		for len(mail) > 0 {
			for _, m := range mail {
				m()
			}
			mail = nil
			drive(step{})
		}
	}
}

// TestShuffled: live, events that come late by no more than the allowed
// disorder lead to the state of a run in order.
func TestShuffled(t *testing.T) {
	pb := rules(t, "live", "")
	rapid.Check(t, func(rt *rapid.T) {
		events := made(rt, 3, 14, true)
		sorted, late := bed(t, pb, Config{CacheBytes: 1 << 20}), bed(t, pb, Config{CacheBytes: 1 << 20})
		defer sorted.close()
		defer late.close()
		inOrder(rt, sorted, events)
		lateness(rt, late, disordered(rt, events, pb.Disorder), pb.Disorder)
		end := events[len(events)-1].OccurredAt + 300*schemas.Day
		for _, w := range []*world{sorted, late} {
			if err := w.tick(end, nil); err != nil {
				rt.Fatal(err)
			}
			if err := w.commitAll(); err != nil {
				rt.Fatal(err)
			}
			sound(rt, w)
		}
		for i := range 3 {
			id := fmt.Sprintf("c%d", i)
			if got, want := known(rt, late, id), known(rt, sorted, id); got != want {
				rt.Fatalf("%s, late:\n%s\nin order:\n%s", id, got, want)
			}
		}
	})
}

func inOrder(t *rapid.T, w *world, events []*schemas.Event) {
	for _, e := range events {
		w.give(e)
		if err := w.take(nil); err != nil {
			t.Fatal(err)
		}
	}
}

// lateness gives events as they arrive, and lets the clock follow by what is allowed.
func lateness(t *rapid.T, w *world, events []*schemas.Event, by schemas.EventTime) {
	top := begin
	for _, e := range events {
		w.give(e)
		if err := w.take(nil); err != nil {
			t.Fatal(err)
		}
		top = max(top, e.OccurredAt)
		if rapid.Bool().Draw(t, "tick") {
			if err := w.tick(top-by, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// known is what must not hang on the order of arrival: orders, and where each rule stands.
func known(t *rapid.T, w *world, id string) string {
	e, err := w.core.customer(id)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Customer
	var b strings.Builder
	fmt.Fprintf(&b, "latest %d base %v days %v\n", c.Latest, c.Base, c.Days)
	for _, o := range c.Orders {
		if o.StandIn() {
			o.Event = 0
		}
		fmt.Fprintf(&b, "%+v\n", o)
	}
	for _, x := range c.Wait {
		fmt.Fprintf(&b, "%+v\n", x)
	}
	for _, m := range c.Marks {
		fmt.Fprintf(&b, "%+v\n", m)
	}
	for _, r := range c.Rules {
		if w.core.RuleName(r.ID) == "back" {
			continue // what was sent is sent
		}
		if g := w.core.group; g != nil && g.byID[r.ID] != nil && r.Phase == 0 {
			continue // it may have been elsewhere, or not
		}
		for _, k := range w.core.tasks {
			if k.rid != r.ID {
				continue
			}
			// What an older round left is there until somebody looks.
			v := history.View{C: &e.Customer, Zone: w.core.zone}
			s := k.current(v, w.core.Clock(), standingOf(&r))
			r.Phase, r.Aux = s.phase, s.aux
		}
		if r.Phase == 0 && r.Due == 0 && isTask(w.core, r.ID) {
			continue // there is none of it before the first step
		}
		fmt.Fprintf(&b, "%s phase %d due %d aux %d vals %v %v\n", w.core.RuleName(r.ID), r.Phase, r.Due, r.Aux, r.Vals, r.Counted)
	}
	return b.String()
}

func isTask(c *Core, id uint32) bool {
	return slices.ContainsFunc(c.tasks, func(k *taskRule) bool { return k.rid == id })
}

// TestRewound: after any sequence of late events, what is published and not
// retracted is what a run in order publishes and does not retract.
func TestRewound(t *testing.T) {
	pb := rules(t, "live", "")
	rapid.Check(t, func(rt *rapid.T) {
		events := made(rt, 1, 12, true)
		var first []*schemas.Event // a refund without an order depends on when one stops waiting for it
		for _, e := range events {
			if !strings.Contains(e.OrderID, "-x") {
				first = append(first, e)
			}
		}
		events = first
		if len(events) == 0 {
			return
		}
		sorted, late := bed(t, pb, Config{CacheBytes: 1 << 20}), bed(t, pb, Config{CacheBytes: 1 << 20})
		defer sorted.close()
		defer late.close()
		inOrder(rt, sorted, events)
		// Up to 15 days late, which is less than a refund waits.
		lateness(rt, late, disordered(rt, events, 15*schemas.Day), schemas.EventTime(rapid.IntRange(0, 15).Draw(rt, "lag"))*schemas.Day)
		end := events[len(events)-1].OccurredAt + 100*schemas.Day
		for _, w := range []*world{sorted, late} {
			if err := w.tick(end, nil); err != nil {
				rt.Fatal(err)
			}
			if err := w.commitAll(); err != nil {
				rt.Fatal(err)
			}
			sound(rt, w)
		}
		if got, want := known(rt, late, "c0"), known(rt, sorted, "c0"); got != want {
			rt.Fatalf("late:\n%s\nin order:\n%s", got, want)
		}
		if got, want := standingNow(late), standingNow(sorted); got != want {
			rt.Fatalf("late leaves standing:\n%s\nin order:\n%s\nlate said:\n%s\nin order it said:\n%s", got, want, said(late), said(sorted))
		}
	})
}

func said(w *world) string {
	var b strings.Builder
	for i := range w.out {
		b.WriteString(w.record(&w.out[i]) + "\n")
	}
	return b.String()
}

// standingNow is the last word on each episode that was not retracted, without
// what tells how it was come by: ids, episodes, revisions, causes. The campaign
// is left out: what was sent is sent.
func standingNow(w *world) string {
	last := map[string]schemas.Trigger{}
	for i := range w.out {
		tr, ok := w.out[i].Record.(schemas.Trigger)
		if !ok || tr.TriggerHead().Rule == "back" {
			continue
		}
		h := tr.TriggerHead()
		key := fmt.Sprintf("%s/%d", h.Rule, h.Episode)
		if h.Status == schemas.Retracted {
			delete(last, key)
			continue
		}
		last[key] = tr
	}
	var lines []string
	for _, tr := range last {
		h := *tr.TriggerHead()
		if h.Status == schemas.Corrected {
			h.Status = schemas.Fired
		}
		text := fmt.Sprintf("%013d %s %s %v", h.EffectiveAt, h.Rule, h.Status, h.Evidence)
		switch tr := tr.(type) {
		case *schemas.TierChange:
			x := *tr
			x.Head = schemas.Head{}
			if x.ValidUntil != nil {
				text += fmt.Sprint(" until ", *x.ValidUntil)
				x.ValidUntil = nil
			}
			text += fmt.Sprintf(" %+v", x)
		case *schemas.ChurnWarning:
			text += fmt.Sprint(" ", tr.LastCoreAt, tr.SilenceMillis, tr.Orders, tr.ValueAtStake)
			if tr.EndedAt != nil {
				text += fmt.Sprint(" ended ", *tr.EndedAt)
			}
		case *schemas.LifecycleChange:
			text += fmt.Sprint(" ", tr.From, tr.To, tr.MovedBy)
			if tr.TimeInFromMS != nil {
				text += fmt.Sprint(" after ", *tr.TimeInFromMS)
			}
		}
		lines = append(lines, text)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestAllRefunded: a customer who was given all her money back stands where one
// stands who never bought.
func TestAllRefunded(t *testing.T) {
	pb := rules(t, "live", cutsByMean)
	rapid.Check(t, func(rt *rapid.T) {
		w := bed(t, pb, Config{CacheBytes: 1 << 20})
		defer w.close()
		at := begin
		var back []*schemas.Event
		for i := range rapid.IntRange(1, 10).Draw(rt, "orders") {
			at += schemas.EventTime(rapid.IntRange(1, 30*24).Draw(rt, "hours")) * schemas.Hour
			id := fmt.Sprintf("o%d", i)
			paid := &schemas.Event{Order: schemas.Paid, EventID: id, OrderID: id, CustomerID: "c0", OccurredAt: at,
				AmountMinor: rapid.Int64Range(1, 20000).Draw(rt, "amount"), Currency: rapid.SampledFrom([]string{"GBP", "USD"}).Draw(rt, "currency")}
			refund := *paid
			refund.EventID, refund.Order = "r"+id, schemas.Refunded
			if rapid.Bool().Draw(rt, "cancel") {
				refund.Order = schemas.Cancelled
			}
			inOrder(rt, w, []*schemas.Event{paid})
			if rapid.Bool().Draw(rt, "tick") {
				if err := w.tick(at, nil); err != nil {
					rt.Fatal(err)
				}
			}
			back = append(back, &refund)
		}
		for len(back) > 0 {
			i := rapid.IntRange(0, len(back)-1).Draw(rt, "refund")
			at += schemas.EventTime(rapid.IntRange(0, 3*24).Draw(rt, "hours")) * schemas.Hour
			back[i].OccurredAt = at
			inOrder(rt, w, back[i:i+1])
			back = slices.Delete(back, i, i+1)
		}
		e, err := w.core.customer("c0")
		if err != nil {
			rt.Fatal(err)
		}
		for i := range e.Rules {
			r := &e.Rules[i]
			// Refunds are history, and who never bought is in the segment that says so.
			want := map[string]int32{"facts/": 1, "mood": 1, "never": 1, "path/entry": 1}[w.core.RuleName(r.ID)]
			if r.Phase != want || r.Counted {
				rt.Errorf("%s: %s", w.core.RuleName(r.ID), w.row(&e.Customer))
			}
		}
		if err := w.commitAll(); err != nil {
			rt.Fatal(err)
		}
		sound(rt, w)
		got := slices.DeleteFunc(strings.Split(standingNow(w), "\n"), func(s string) bool {
			return s == "" || strings.Contains(s, " mood ") || strings.Contains(s, " never ") || strings.Contains(s, " path/entry ")
		})
		if len(got) > 0 && !ended(w) {
			rt.Errorf("still standing:\n%s", strings.Join(got, "\n"))
		}
	})
}

// ended says whether all that stands is over, or is a change there and back.
func ended(w *world) bool {
	last := map[string]schemas.Trigger{}
	for i := range w.out {
		if tr, ok := w.out[i].Record.(schemas.Trigger); ok {
			h := tr.TriggerHead()
			last[fmt.Sprintf("%s/%d", h.Rule, h.Episode)] = tr
		}
	}
	for _, tr := range last {
		if c, ok := tr.(*schemas.ChurnWarning); ok && c.Status != schemas.Ended && c.Status != schemas.Retracted {
			return false
		}
	}
	return true
}

// TestBeyond: whatever comes late by more than may be corrected, what is said
// is true, in the form that its status asks for, and a standby comes to the same.
func TestBeyond(t *testing.T) {
	text := strings.NewReplacer("correct_within: 400d", "correct_within: 3d", "future: 7d", "future: 7d\nunlinked: apply").Replace(string(rules(t, "live", "").Text))
	pb, err := playbook.Compile([]byte(text), "property")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		events := made(rt, 2, 12, false)
		w := bed(t, pb, Config{CacheBytes: 1 << 20})
		defer w.close()
		lateness(rt, w, disordered(rt, events, 40*schemas.Day), schemas.EventTime(rapid.IntRange(0, 40).Draw(rt, "lag"))*schemas.Day)
		if err := w.tick(w.core.Clock()+60*schemas.Day, nil); err != nil {
			rt.Fatal(err)
		}
		if err := w.commitAll(); err != nil {
			rt.Fatal(err)
		}
		sound(rt, w)
		// An episode is told in order: revisions one by one, and nothing after a retraction.
		over := map[string]bool{}
		for i := range w.out {
			tr, ok := w.out[i].Record.(schemas.Trigger)
			if !ok {
				continue
			}
			h := tr.TriggerHead()
			key := fmt.Sprintf("%s/%s/%d", h.CustomerID, h.Rule, h.Episode)
			if over[key] {
				rt.Fatalf("after its retraction: %s", w.record(&w.out[i]))
			}
			over[key] = h.Status == schemas.Retracted
		}
	})
}
