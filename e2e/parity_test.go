package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/examples"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/testkit"
)

// cdnow is all of CDNOW with a behavior event after every fifth order, some at
// the very instant of an order, and a repeat of every thousandth event.
func cdnow(t testing.TB) (*playbook.Playbook, []*schemas.Event) {
	t.Helper()
	text, err := examples.Data.ReadFile("playbooks/cdnow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pb := compile(t, string(text))
	mapping, err := ingest.ReadMapping(examples.Data, examples.CDNOWMapping)
	if err != nil {
		t.Fatal(err)
	}
	in, err := ingest.Open(context.Background(), []ingest.Source{{Path: examples.CDNOW, FS: examples.Data, Mapping: mapping}}, ingest.Options{Zone: pb.Zone})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var events []*schemas.Event
	for {
		e, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	for i, e := range slices.Clone(events) {
		if i%5 == 0 {
			events = append(events, &schemas.Event{Kind: schemas.Behavior, EventID: "b-" + e.EventID, CustomerID: e.CustomerID,
				OccurredAt: e.OccurredAt + schemas.EventTime(i%3)*schemas.Hour, Type: "page.viewed", Channel: "web"})
		}
		if i%1000 == 0 {
			events = append(events, e)
		}
	}
	slices.SortStableFunc(events, func(a, b *schemas.Event) int {
		if a.OccurredAt != b.OccurredAt {
			return int((a.OccurredAt - b.OccurredAt) / 1000)
		}
		return int(a.Kind) - int(b.Kind)
	})
	return pb, events
}

// values are bodies by topic and customer, in order.
type values map[string][][]byte

func (v values) add(topic schemas.Topic, key string, body []byte) {
	k := string(topic) + "/" + key
	v[k] = append(v[k], bytes.Clone(body))
}

func (v values) count() (n int) {
	for _, b := range v {
		n += len(b)
	}
	return n
}

func (v values) diff(t *testing.T, want values) {
	t.Helper()
	wrong := 0
	for k := range want {
		if !slices.EqualFunc(v[k], want[k], bytes.Equal) {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: the broker gives %d values, the files give %d, and they are not the same", k, len(v[k]), len(want[k]))
			}
		}
	}
	for k := range v {
		if want[k] == nil {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: the broker gives %d values, the files none", k, len(v[k]))
			}
		}
	}
	if wrong > 5 {
		t.Errorf("and %d more", wrong-5)
	}
}

func replayed(t *testing.T, app string, pb *playbook.Playbook, partitions int32, until schemas.EventTime, events []*schemas.Event) values {
	t.Helper()
	want := values{}
	i := 0
	_, err := replay.Run(context.Background(), replay.Options{App: app, Playbook: pb, Partitions: partitions, Partition: source.Partition, Until: until,
		Wall: schemas.EventTime(time.Now().UnixMilli()),
		Emit: func(_ int32, o *core.Out) error { want.add(o.Topic, o.Key, o.Body); return nil },
	}, func() (*schemas.Event, error) {
		if i == len(events) {
			return nil, io.EOF
		}
		i++
		return events[i-1], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func published(l *Log) values {
	got := values{}
	for topic, parts := range l.Out {
		for _, rs := range parts {
			for _, r := range rs {
				got.add(topic, string(r.Key), r.Value[schemas.WireHeader:])
			}
		}
	}
	return got
}

// The same events through files and through a broker give the same values, byte
// for byte, per customer and topic.
func TestFilesAndBrokerAgreeOnCDNOW(t *testing.T) {
	if testing.Short() {
		t.Skip("half a million triggers; the race detector has seen the same code on less")
	}
	pb, events := cdnow(t)
	w := newWorld(t, 4)
	w.publish(events)
	w.until = events[len(events)-1].OccurredAt
	w.prepare(pb, nil)
	p := w.start(t.TempDir(), "one", func(c *runtime.Config) { c.MaxEvents, c.MaxTriggers = 3000, 2000 })
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		t.Fatalf("not finished:\n%s", w.log.last(30))
	}
	p.stop()
	l := w.read()
	r, err := l.Audit()
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	got, want := published(l), replayed(t, w.app, pb, w.tasks, w.until, events)
	got.diff(t, want)
	if got.count() < 500_000 || r.Left != 0 || r.Behaviors < 13_000 {
		t.Errorf("%d records published, %d behavior events taken, %d records not covered", got.count(), r.Behaviors, r.Left)
	}
	t.Logf("%d events, %d published, %d commits; by topic %v", r.Orders+r.Behaviors, r.Published, r.Commits, r.ByTopic)
}

const livePlaybook = `
playbook: live
version: 1
clock: live
time_zone: Asia/Shanghai
currency: USD
disorder: 10m
publish_delay: 2s
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}}
tiers:
  - name: member
    on: spend
    window: {rolling: 7d}
    levels:
      - {name: base, reach: 0}
      - {name: silver, reach: 50}
      - {name: gold, reach: 150}
rfm:
  - name: classes
    window: {rolling: 7d}
    cuts: {by: quantile, at: [.2, .4, .6, .8], refresh: day, delay: 1h}
    classes: putler
churn:
  - {name: silent, model: hiatus, after: 3d, level: early}
recall:
  - name: back
    on: silent
    audience: orders >= 1
    send_after: 6h
    expire_after: 2d
    holdout: 20%
    arms:
      - {name: mail, weight: 1, time: morning, content: news, channel: email, landing: shop}
`

// A live feed whose wall clock the test moves: late events correct and retract,
// cuts of all customers go round between the tasks, and a process that begins
// anew, with or without its store, goes on where the journal ends.
func TestLiveFeedWithLateEventsFollowsItsJournal(t *testing.T) {
	w := newWorld(t, 4)
	rng := seeded(t, 7)
	day := 24 * time.Hour
	var wall atomic.Int64
	// Inside the past that brokers accept timestamps from, and keep.
	wall.Store(time.Now().Add(-20 * day).UnixMilli())
	w.now = func() time.Time { return time.UnixMilli(wall.Load()) }
	pb := compile(t, livePlaybook)
	w.prepare(pb, nil)
	dirs := [2]string{t.TempDir(), t.TempDir()}
	id := 0
	for round := range 15 {
		p := w.start(dirs[round%2], fmt.Sprintf("round-%d", round), func(c *runtime.Config) { c.MaxEvents, c.MaxTriggers, c.CacheBytes = 40, 25, 4096 })
		var events []*schemas.Event
		for range 120 {
			id++
			at := schemas.EventTime(wall.Load())
			switch {
			case rng.IntN(10) == 0: // days late
				at -= schemas.EventTime(rng.Int64N(int64(5 * schemas.Day)))
			default:
				at -= schemas.EventTime(rng.Int64N(int64(5 * schemas.Minute)))
			}
			customer := fmt.Sprintf("c%03d", rng.IntN(150))
			switch rng.IntN(12) {
			case 0:
				events = append(events, order(id, customer, schemas.Refunded, fmt.Sprintf("o%d", rng.IntN(id)+1), at, 1+rng.Int64N(3000)))
			case 1:
				events = append(events, order(id, customer, schemas.Cancelled, fmt.Sprintf("o%d", rng.IntN(id)+1), at, 0))
			case 2, 3:
				events = append(events, &schemas.Event{Kind: schemas.Behavior, EventID: fmt.Sprint("b", id), CustomerID: customer, OccurredAt: at, Type: "page.viewed"})
			default:
				events = append(events, order(id, customer, schemas.Paid, fmt.Sprintf("o%d", id), at, 100+rng.Int64N(9000)))
			}
		}
		w.publish(events)
		w.covered(testkit.Limit)
		// A day and a bit goes by.
		to := wall.Add(int64(26 * time.Hour / time.Millisecond))
		w.clock(schemas.EventTime(to) - pb.PublishDelay)
		p.stop()
	}
	r := w.audit()
	for _, status := range []string{schemas.Fired, schemas.Corrected, schemas.Retracted, schemas.Ended} {
		if r.ByStatus[status] == 0 {
			t.Errorf("no trigger was %s: the test shows nothing of it", status)
		}
	}
	if r.Sweeps == 0 || r.Ticks == 0 || r.Epochs < 8 {
		t.Errorf("%d sweeps, %d ticks, %d epochs", r.Sweeps, r.Ticks, r.Epochs)
	}
	t.Logf("%d commits, %d published, statuses %v, topics %v, %d ticks, %d sweeps", r.Commits, r.Published, r.ByStatus, r.ByTopic, r.Ticks, r.Sweeps)
}

// A live task that comes upon three weeks of backlog, in small pieces and with
// one input idle, tells the silences that lie inside it and no others: its clock
// follows the events until it has read what was there.
func TestABacklogMakesNoFalseSilence(t *testing.T) {
	w := newWorld(t, 1)
	now := schemas.EventTime(time.Now().UnixMilli())
	start := now - 20*schemas.Day
	w.prepare(compile(t, livePlaybook), &start)
	var events []*schemas.Event
	add := func(customer string, at schemas.EventTime) {
		n := len(events)
		events = append(events, order(n, customer, schemas.Paid, fmt.Sprint("o", n), at, 100))
	}
	for day := range schemas.EventTime(10) {
		for c := range schemas.EventTime(40) { // each every second day, the last time within two days
			add(fmt.Sprint("steady-", c), start+day*2*schemas.Day+c*schemas.Hour)
		}
	}
	add("gone", start)
	add("gone", start+12*schemas.Day)
	slices.SortStableFunc(events, func(a, b *schemas.Event) int { return int((a.OccurredAt - b.OccurredAt) / 1000) })
	for piece := range slices.Chunk(events, 10) {
		w.publish(piece)
	}
	p := w.start(t.TempDir(), "one", func(c *runtime.Config) { c.PartitionMaxBytes, c.QueueRecords, c.ProbeEvery = 512, 20, time.Millisecond })
	w.covered(testkit.Limit)
	w.clock(now - schemas.Minute)
	p.stop()
	on := 0
	for _, j := range w.audit().Journals {
		for _, it := range j.Items {
			if it.Kind == schemas.TickItem && it.To < now-schemas.Day {
				on++
			}
		}
	}
	if on < 3 {
		t.Errorf("the clock moved %d times within the backlog: the idle input held it", on)
	}
	var got []string
	for _, r := range testkit.ReadCommitted(t, w.topics.Out(schemas.ChurnWarnings)) {
		v, err := Native(schemas.Text("ChurnWarning"), r.Value[schemas.WireHeader:])
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprint(string(r.Key), " ", v["status"], " ", v["episode"])
		if v["status"] == schemas.Fired {
			line += fmt.Sprint(" ", v["effective_at"].(time.Time).Sub(time.UnixMilli(int64(start))))
		}
		got = append(got, line)
	}
	want := []string{"gone FIRED 1 72h0m0s", "gone ENDED 1", "gone FIRED 2 360h0m0s"}
	if !slices.Equal(got, want) {
		t.Errorf("warnings:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
