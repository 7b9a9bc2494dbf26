package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/schemas"
	"tidemark/testkit"
)

// An auditor is worth what it catches: a sound log is broken in each way that
// the processor could break it, and the audit must see it.
func TestTheAuditSeesWhatIsBroken(t *testing.T) {
	w := newWorld(t, 1)
	now := schemas.EventTime(fixedNow(w).Load())
	w.prepare(compile(t, fmt.Sprintf(badPlaybook, 1000)), nil)
	p := w.start(t.TempDir(), "one", nil)
	id := 0
	for range 4 { // some commits
		var events []*schemas.Event
		for range 3 {
			id++
			events = append(events, order(id, fmt.Sprint("c", id), schemas.Paid, fmt.Sprint("o", id), now, 6000))
		}
		id++
		events = append(events, order(id, fmt.Sprint("c", id), schemas.Paid, fmt.Sprint("o", id), now, -1),
			&schemas.Event{Kind: schemas.Behavior, EventID: fmt.Sprint("b", id), CustomerID: fmt.Sprint("c", id), OccurredAt: now, Type: "page.viewed"})
		w.publish(events)
		w.covered(testkit.Limit)
	}
	p.stop()
	whole := w.read()
	if r, err := whole.Audit(); err != nil || r.Left != 0 || r.Published != 16 {
		t.Fatalf("the sound log: %v, %+v", err, r)
	}

	without := func(rs []*kgo.Record, i int) []*kgo.Record {
		return append(append([]*kgo.Record{}, rs[:i]...), rs[i+1:]...)
	}
	journal := func(l *Log, i int, change func(*schemas.Journal)) {
		rs := append([]*kgo.Record{}, l.Journal[0]...)
		r := *rs[i]
		id, body, _ := schemas.ParseWire(r.Value)
		j, err := schemas.DecodeJournal(body)
		if err != nil {
			t.Fatal(err)
		}
		change(j)
		r.Value = schemas.AppendWire(nil, id, j.AppendAvro(nil))
		rs[i] = &r
		l.Journal[0] = rs
	}
	end := len(whole.Journal[0]) - 1
	tiers := func(l *Log) *[]*kgo.Record { return &l.Out[schemas.TierChanges][0] }
	run := func(j *schemas.Journal) *schemas.JournalItem {
		for i := range j.Items {
			if it := &j.Items[i]; it.Kind != schemas.TickItem && it.Input == schemas.OrderEvents && it.Count > 1 {
				return it
			}
		}
		return nil
	}
	taking := end // the last record with a run of orders
	for found := false; !found; taking-- {
		journal(&Log{Journal: [][]*kgo.Record{whole.Journal[0]}}, taking, func(j *schemas.Journal) { found = run(j) != nil })
	}
	taking++
	for _, c := range []struct {
		name, says string
		break1     func(l *Log)
	}{
		{"a trigger is missing", "missing", func(l *Log) { *tiers(l) = without(*tiers(l), 11) }},
		{"one in the middle is missing", "has key", func(l *Log) { *tiers(l) = without(*tiers(l), 5) }},
		{"a trigger stands twice", "belong to no journal record", func(l *Log) { *tiers(l) = append(*tiers(l), (*tiers(l))[11]) }},
		{"two triggers changed places", "has key", func(l *Log) {
			rs := *tiers(l)
			rs[3], rs[4] = rs[4], rs[3]
		}},
		{"a value differs", "another value", func(l *Log) {
			r := *(*tiers(l))[2]
			r.Value = bytes.Replace(r.Value, []byte("silver"), []byte("golden"), 1)
			(*tiers(l))[2] = &r
		}},
		{"a trigger of another transaction", "written by producer", func(l *Log) {
			r := *(*tiers(l))[2]
			r.ProducerEpoch++
			(*tiers(l))[2] = &r
		}},
		{"a dead letter is missing", "missing", func(l *Log) {
			d := &l.Out[schemas.DeadLetters][0]
			*d = (*d)[:len(*d)-1]
		}},
		{"a commit is missing", "stands where", func(l *Log) { l.Journal[0] = without(l.Journal[0], 1) }},
		{"a commit stands twice", "stands where", func(l *Log) { l.Journal[0] = append(l.Journal[0], l.Journal[0][end]) }},
		{"the last commits are missing", "belong to no journal record", func(l *Log) { l.Journal[0] = l.Journal[0][:end-2] }},
		{"the chain of hashes is cut", "hash of the one before", func(l *Log) { journal(l, 2, func(j *schemas.Journal) { j.PreviousHash++ }) }},
		{"a commit was rewritten", "hash of the one before", func(l *Log) { journal(l, 1, func(j *schemas.Journal) { j.Writer += "x" }) }},
		{"the clock goes back", "clock", func(l *Log) { journal(l, end, func(j *schemas.Journal) { j.Clock = 1 }) }},
		{"a run is a record short", "ends at offset", func(l *Log) { journal(l, taking, func(j *schemas.Journal) { run(j).Count-- }) }},
		{"a run is a record long", "only", func(l *Log) { journal(l, taking, func(j *schemas.Journal) { run(j).Count++ }) }},
		{"a run begins again", "begins at offset", func(l *Log) { journal(l, end, func(j *schemas.Journal) { j.Starts[0].Offset-- }) }},
		{"an event was never taken", "ends at offset", func(l *Log) {
			in := &l.Inputs[schemas.OrderEvents][0]
			*in = append([]*kgo.Record{(*in)[0]}, *in...)
		}},
		{"an event is gone", "ends at offset", func(l *Log) {
			in := &l.Inputs[schemas.OrderEvents][0]
			*in = without(*in, 3)
		}},
		{"another hash of what was published", "another hash", func(l *Log) { journal(l, end, func(j *schemas.Journal) { j.TriggerHash++ }) }},
		{"another count of what was published", "says that it published", func(l *Log) { journal(l, end, func(j *schemas.Journal) { j.Triggers++ }) }},
		{"an unknown item", "unknown kind", func(l *Log) { journal(l, taking, func(j *schemas.Journal) { run(j).Kind = 9 }) }},
		{"a mark on nothing", "did not take", func(l *Log) {
			journal(l, end, func(j *schemas.Journal) {
				j.Dead = append(j.Dead, schemas.DeadMark{Offset: 1 << 40, Step: "decode", Reason: "undecodable"})
			})
		}},
	} {
		l := *whole
		l.Journal = [][]*kgo.Record{whole.Journal[0]}
		l.Out = map[schemas.Topic][][]*kgo.Record{}
		for topic, parts := range whole.Out {
			l.Out[topic] = [][]*kgo.Record{append([]*kgo.Record{}, parts[0]...)}
		}
		for i := range l.Inputs {
			l.Inputs[i] = [][]*kgo.Record{whole.Inputs[i][0]}
		}
		c.break1(&l)
		if _, err := l.Audit(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the audit says %v, want something with %q", c.name, err, c.says)
		}
	}
}
