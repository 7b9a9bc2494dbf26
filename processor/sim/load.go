package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/sinks"
)

// text is the playbook: rules whose time comes within seconds of an event that
// is an hour old, and cuts over all customers, which take all tasks.
func text(start time.Time, lasts time.Duration) string {
	var at []string
	for d := 3 * time.Second; d < lasts; d += 3 * time.Second {
		at = append(at, `"`+start.Add(d).UTC().Format("2006-01-02T15:04:05Z")+`"`)
	}
	return fmt.Sprintf(`
playbook: sim
version: 1
clock: live
time_zone: Europe/London
currency: USD
disorder: 1s
publish_delay: 200ms
max_event_bytes: 2048
dead_letters: {pause_after: 100000}
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}}
tiers:
  - name: member
    on: spend
    window: {rolling: 1h}
    levels: [{name: base, reach: 0}, {name: silver, reach: 50}, {name: gold, reach: 120}]
rfm:
  - name: classes
    window: {rolling: 1d}
    cuts: {by: quantile, at: [.2, .4, .6, .8], delay: 1s, refresh: {at: [%s]}}
    classes: putler
churn:
  - {name: silent, model: hiatus, after: 1h, level: early}
recall:
  - name: back
    on: silent
    audience: orders >= 1
    send_after: 1s
    expire_after: 2d
    holdout: 20%%
    arms: [{name: mail, weight: 1, time: now, content: news, channel: email, landing: shop}]
`, strings.Join(at, ", "))
}

// load is the upstream: plain and transactional producers, sound and broken records.
type load struct {
	w       *world
	rng     *rand.Rand
	ids     [2]int32
	n       int
	old     []*schemas.Event
	expired map[int32]bool // tasks whose inputs were cut
	pid     int64
	upends  int // upstream transactions not settled
}

func newLoad(w *world) *load {
	return &load{w: w, rng: rand.New(rand.NewPCG(w.script.Seed, 11)), expired: map[int32]bool{}, pid: 1 << 40}
}

// plan makes the topics, writes genesis and playbook, and plans all events.
func (l *load) plan() {
	w := l.w
	c := w.cluster
	n := w.script.Tasks
	c.create(topics.Orders, n, false)
	c.create(topics.Behaviors, n, false)
	c.create(topics.Control, 1, false)
	c.create(topics.Transfers, n, false)
	c.create(topics.Journal, n, true)
	for _, t := range schemas.OutTopics {
		c.create(topics.Out(t), n, false)
	}
	l.ids = [2]int32{w.registry.register(schemas.Text("OrderEvent")), w.registry.register(schemas.Text("BehaviorEvent"))}
	pb, err := playbook.Compile([]byte(text(w.began, 60*time.Second)), "sim.yaml")
	must(err)
	now := schemas.EventTime(w.began.UnixMilli())
	control := w.registry.register(schemas.Text("Control"))
	for _, r := range []*schemas.Control{
		core.NewGenesis(core.Genesis{FireFrom: now - schemas.Hour, Start: now, Partitions: n}, "sim", now),
		core.NewPlaybook(pb, "sim", now),
	} {
		l.put(c.partition(topics.Control, 0), sinks.BatchHeader{ProducerID: -1, Epoch: -1, BaseSequence: -1},
			[]sinks.Record{{Key: []byte(r.Kind + "/" + r.Name), Value: schemas.AppendWire(nil, control, r.AppendAvro(nil))}})
	}
	left := w.script.Events
	for left > 0 {
		k := min(left, 1+l.rng.IntN(6))
		left -= k
		at := time.Duration(l.rng.Int64N(int64(w.script.Until)))
		if l.rng.IntN(3) == 0 {
			at = 0 // a backlog
		}
		inTxn := l.rng.IntN(4) == 0
		seed := l.rng.Uint64()
		w.after(at, fmt.Sprint("load ", left), func() { l.publish(rand.New(rand.NewPCG(seed, 3)), k, inTxn) })
	}
}

func (l *load) put(p *partition, h sinks.BatchHeader, records []sinks.Record) {
	now := time.Now()
	h.Timestamp = now.UnixMilli()
	p.append(sinks.AppendBatch(nil, h, records), now)
}

// publish writes k events, within one upstream transaction or without.
func (l *load) publish(rng *rand.Rand, k int, inTxn bool) {
	w := l.w
	h := sinks.BatchHeader{ProducerID: -1, Epoch: -1, BaseSequence: -1}
	if inTxn {
		l.pid++
		h = sinks.BatchHeader{ProducerID: l.pid, Transactional: true}
	}
	var touched []*partition
	for range k {
		e := l.event(rng)
		topic, value := topics.Orders, schemas.AppendWire(nil, l.ids[0], nil)
		if e.Kind == schemas.Behavior {
			topic, value = topics.Behaviors, schemas.AppendBehaviorAvro(schemas.AppendWire(nil, l.ids[1], nil), e)
		} else {
			value = schemas.AppendOrderAvro(value, e)
		}
		r := sinks.Record{Key: []byte(e.CustomerID), Value: value}
		n := source.Partition(r.Key, w.script.Tasks)
		switch rng.IntN(60) {
		case 0:
			r.Value = r.Value[:len(r.Value)-4]
			w.count("poison record")
		case 1:
			r.Value = nil
			w.count("poison record")
		case 2:
			r.Value = schemas.AppendWire(nil, 1<<20, r.Value[schemas.WireHeader:])
			w.count("poison record")
		case 3:
			r.Key = []byte("another")
			w.count("poison record")
		case 4:
			n = (n + 1) % w.script.Tasks
			w.count("poison record")
		}
		p := w.cluster.partition(topic, n)
		if inTxn && len(p.open) > 0 {
			if _, own := p.open[h.ProducerID]; !own {
				w.count("interleaved upstream transaction")
			}
		}
		l.put(p, h, []sinks.Record{r})
		if !slices.Contains(touched, p) {
			touched = append(touched, p)
		}
	}
	if inTxn {
		l.upends++
		commit := rng.IntN(3) > 0
		if !commit {
			w.count("aborted upstream transaction")
		}
		w.after(time.Duration(rng.IntN(1200))*time.Millisecond, fmt.Sprint("upstream ", h.ProducerID, " ends"), func() {
			l.upends--
			for _, p := range touched {
				p.mark(h.ProducerID, 0, commit, time.Now())
			}
			w.cluster.grown()
		})
	}
	w.cluster.grown()
}

func (l *load) event(rng *rand.Rand) *schemas.Event {
	l.n++
	now := schemas.EventTime(time.Now().UnixMilli())
	customer := fmt.Sprintf("c%02d", rng.IntN(25))
	at := now - schemas.EventTime(rng.IntN(300))
	switch rng.IntN(10) {
	case 0, 1, 2, 3: // its windows and silences end within seconds
		at = now - schemas.Hour + schemas.EventTime(rng.IntN(5000))
	case 4: // late: what was said may have to be taken back
		at = now - schemas.EventTime(rng.IntN(int(3*schemas.Hour)))
	}
	any := fmt.Sprintf("o%d", 1+rng.IntN(l.n))
	order := func(kind schemas.OrderType, id string, at schemas.EventTime, minor int64) *schemas.Event {
		return &schemas.Event{Kind: schemas.Order, Order: kind, EventID: fmt.Sprintf("e%d", l.n), CustomerID: customer, OrderID: id,
			OccurredAt: at, AmountMinor: minor, Currency: "USD", Channel: "web"}
	}
	switch rng.IntN(24) {
	case 0:
		return order(schemas.Refunded, any, at, 1+rng.Int64N(5000))
	case 1:
		return order(schemas.Cancelled, any, at, 0)
	case 2:
		return order(schemas.Paid, fmt.Sprint("o", l.n), at, -5)
	case 3:
		return order(schemas.Paid, fmt.Sprint("o", l.n), now+schemas.Day, 500)
	case 4, 5, 6:
		return &schemas.Event{Kind: schemas.Behavior, EventID: fmt.Sprint("b", l.n), CustomerID: customer, OccurredAt: at, Type: "page.viewed", Channel: "app"}
	case 7:
		if len(l.old) > 0 {
			return l.old[rng.IntN(len(l.old))] // again
		}
	}
	e := order(schemas.Paid, fmt.Sprint("o", l.n), at, 100+rng.Int64N(7000))
	l.old = append(l.old, e)
	return e
}

// expire cuts a task's inputs up to some place, as retention does. A task whose
// store needs what is gone must stop and say so. One that has no journal yet needs
// nothing: it begins where its inputs begin.
func (l *load) expire(task int32) bool {
	cut := false
	if j := l.w.cluster.partition(topics.Journal, task); !slices.ContainsFunc(j.log, j.committed) {
		return false
	}
	for _, name := range []string{topics.Orders, topics.Behaviors} {
		p := l.w.cluster.partition(name, task)
		if to := p.stable(); to > p.start {
			p.start += 1 + l.w.chance("expire").Int64N(to-p.start)
			cut = true
		}
	}
	l.expired[task] = l.expired[task] || cut
	return cut
}
