package runtime

import (
	"fmt"
	"strings"
	"testing"

	"tidemark/processor/core"
	"tidemark/schemas"
)

// told gives a queue records by their event times, 0 for one without any.
func told(q *queue, in schemas.Input, times ...schemas.EventTime) {
	c := chunk{input: in, next: q.next, end: q.end, recs: nil}
	for _, t := range times {
		r := core.Record{Input: in, Offset: c.next, Raw: &core.Raw{Value: make([]byte, t)}}
		if t != 0 {
			r.Event = &schemas.Event{OccurredAt: t}
		}
		c.recs = append(c.recs, r)
		c.next++
	}
	q.add(&c)
}

func names(recs []core.Record) string {
	var out []string
	for i := range recs {
		out = append(out, fmt.Sprintf("%c%d", "obct"[recs[i].Input], recs[i].Offset))
	}
	return strings.Join(out, " ")
}

// Before a playbook is in force no event is taken, however many wait; and no
// event is taken while the control topic is not read to the end that is known.
func TestEventsWaitForTheControlTopic(t *testing.T) {
	var none queues
	told(&none[schemas.OrderEvents], schemas.OrderEvents, 10)
	if got := names(none.merge(nil, 100, false)); got != "" {
		t.Errorf("with an empty control topic: %q", got)
	}
	var q queues
	q[schemas.ControlInput].end = 2
	told(&q[schemas.OrderEvents], schemas.OrderEvents, 10, 20)
	if got := names(q.merge(nil, 100, false)); got != "" {
		t.Errorf("without control: %q", got)
	}
	told(&q[schemas.ControlInput], schemas.ControlInput, 0)
	if got, want := names(q.merge(nil, 100, false)), "c0"; got != want {
		t.Errorf("without a playbook: %q, want %q", got, want)
	}
	q.took(q.merge(nil, 100, false))
	if got := names(q.merge(nil, 100, true)); got != "" {
		t.Errorf("half of the control topic: %q", got)
	}
	told(&q[schemas.ControlInput], schemas.ControlInput, 0)
	if got, want := names(q.merge(nil, 100, true)), "c1 o0 o1"; got != want {
		t.Errorf("all of it: %q, want %q", got, want)
	}
}

// Inputs merge by event time, orders first where it is equal; one that ran dry
// before its end holds the others back, transfers never do.
func TestMerge(t *testing.T) {
	var q queues
	q[schemas.BehaviorEvents].end, q[schemas.TransferInput].end = 3, 5
	told(&q[schemas.OrderEvents], schemas.OrderEvents, 10, 30, 40)
	told(&q[schemas.BehaviorEvents], schemas.BehaviorEvents, 5, 30)
	told(&q[schemas.TransferInput], schemas.TransferInput, 0)
	if got, want := names(q.merge(nil, 100, true)), "t0 b0 o0 o1 b1"; got != want {
		t.Errorf("behaviors not at their end: %q, want %q", got, want)
	}
	if got, want := names(q.merge(nil, 3, true)), "t0 b0 o0"; got != want {
		t.Errorf("three at most: %q, want %q", got, want)
	}
	told(&q[schemas.BehaviorEvents], schemas.BehaviorEvents, 50)
	if got, want := names(q.merge(nil, 100, true)), "t0 b0 o0 o1 b1 o2 b2"; got != want {
		t.Errorf("all there: %q, want %q", got, want)
	}
	// Whatever is taken as one merge, a replay by its counts gives the same order.
	if got, want := names(q.mergeGroup(nil, [schemas.Inputs]int64{2, 2, 0, 1})), "t0 b0 o0 o1 b1"; got != want {
		t.Errorf("by counts: %q, want %q", got, want)
	}
}

// Each record's size is looked at once, also where some were taken in between,
// and one that is too large has no event any more, which is how a replay merges it.
func TestScreen(t *testing.T) {
	var q queues
	o := &q[schemas.OrderEvents]
	told(o, schemas.OrderEvents, 100, 300)
	o.screen(200)
	q.took(q.merge(nil, 1, true))
	told(o, schemas.OrderEvents, 150, 400)
	o.screen(120)
	var got []string
	for i := range o.recs[o.at:] {
		r := &o.recs[o.at+i]
		got = append(got, fmt.Sprint(r.Offset, r.Dead != nil, r.Event == nil))
	}
	if got, want := strings.Join(got, "; "), "1 true true; 2 true true; 3 true true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if d := o.recs[o.at].Dead; d.Step != core.StepFrame || d.Reason != core.ReasonTooLarge || !strings.Contains(d.Detail, "300 bytes, 200") {
		t.Errorf("refused for %+v; it was screened while 200 bytes were allowed", d)
	}
}
