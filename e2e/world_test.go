package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/playbook"
	"tidemark/processor/group"
	"tidemark/processor/runtime"
	"tidemark/publish"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/telemetry"
	"tidemark/testkit"
)

// world is an app of its own on the test's broker and registry.
type world struct {
	t      testing.TB
	app    string
	broker string
	url    string // of the registry
	topics runtime.Topics
	tasks  int32
	reg    *registry.Client
	now    func() time.Time // nil: the machine's
	until  schemas.EventTime
	log    *lines
}

func newWorld(t testing.TB, tasks int32) *world {
	t.Helper()
	w := &world{t: t, app: testkit.Unique(t, "e2e"), broker: testkit.Broker(t), url: testkit.Registry(t), tasks: tasks, log: &lines{}}
	w.topics = runtime.TopicsOf(w.app, w.app+".")
	w.topics.Orders, w.topics.Behaviors = w.app+"-orders", w.app+"-behaviors"
	var made []string
	for _, topic := range schemas.OutTopics {
		made = append(made, w.topics.Out(topic))
	}
	testkit.DeleteAfter(t, append(made, w.topics.Journal, w.topics.Control, w.topics.Transfers)...)
	testkit.CreateTopic(t, w.topics.Orders, int(tasks), nil)
	testkit.CreateTopic(t, w.topics.Behaviors, int(tasks), nil)
	var err error
	if w.reg, err = registry.NewClient(registry.Config{URLs: []string{w.url}, Timeout: 2 * time.Second, Backoff: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.reg.Close)
	return w
}

func (w *world) config(dir, instance string) runtime.Config {
	return runtime.Config{App: w.app, Instance: instance, DataDir: dir, Brokers: []string{w.broker}, Topics: w.topics, Tasks: w.tasks,
		Registry: w.reg, Now: w.now, Until: w.until, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		FetchMaxWait: 50 * time.Millisecond, ProbeEvery: 20 * time.Millisecond, IdleDelay: 100 * time.Millisecond, BeatDelay: 200 * time.Millisecond}
}

// prepare makes the topics and puts the playbook in force.
func (w *world) prepare(pb *playbook.Playbook, fireFrom *schemas.EventTime) *runtime.Prepared {
	w.t.Helper()
	p, err := runtime.Prepare(testkit.Context(w.t), w.config("", "prepare"), runtime.PrepareOptions{Create: true, Playbook: pb, FireFrom: fireFrom, By: "e2e"})
	if err != nil {
		w.t.Fatalf("prepare: %v", err)
	}
	return p
}

func compile(t testing.TB, text string) *playbook.Playbook {
	t.Helper()
	pb, err := playbook.Compile([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

// process is a processor inside the test's process.
type process struct {
	m    *runtime.Manager
	tel  *telemetry.Telemetry
	stop func() // lets all tasks end calmly and waits

	mu       sync.Mutex
	finished map[int32]bool
	commits  []runtime.Commit
	done     chan struct{} // closed once every task has done its closing tick
}

// start runs all tasks; what is set in more goes over the defaults.
func (w *world) start(dir, instance string, more func(*runtime.Config)) *process {
	w.t.Helper()
	p := &process{finished: map[int32]bool{}, done: make(chan struct{}), tel: telemetry.Discard()}
	cfg := w.config(dir, instance)
	cfg.Telemetry = p.tel
	cfg.OnCommit = func(task int32, c runtime.Commit) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.commits = append(p.commits, c)
		if c.Finished && !p.finished[task] {
			if p.finished[task] = true; len(p.finished) == int(w.tasks) {
				close(p.done)
			}
		}
	}
	if more != nil {
		more(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m, err := runtime.NewManager(ctx, cfg)
	if err != nil {
		cancel()
		w.t.Fatalf("manager: %v", err)
	}
	p.m = m
	var all []int32
	for i := range w.tasks {
		all = append(all, i)
	}
	m.Assign(ctx, group.Assignment{Member: instance, Tasks: all})
	p.tel.Tasks.Process("")
	var once sync.Once
	p.stop = func() { once.Do(func() { cancel(); m.Wait() }) }
	w.t.Cleanup(p.stop)
	return p
}

// ready waits until every task of p runs.
func (w *world) ready(p *process) {
	w.t.Helper()
	w.await(testkit.Limit, "a ready process", func() bool {
		r := p.tel.Tasks.Readiness()
		return r.Ready && len(r.Tasks) == int(w.tasks)
	})
}

// publish sends events as an upstream app would, in the order given.
func (w *world) publish(events []*schemas.Event) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := publish.New(ctx, publish.Config{Brokers: []string{w.broker}, Orders: w.topics.Orders, Behaviors: w.topics.Behaviors, Partitions: w.tasks, Registry: w.reg})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		if err := p.Event(ctx, e); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// read reads everything of the app.
func (w *world) read() *Log {
	w.t.Helper()
	l := &Log{App: w.app, Tasks: w.tasks, Prefix: w.topics.OutPrefix, Out: map[schemas.Topic][][]*kgo.Record{}, Schema: w.schema, BrokerTime: testkit.Real()}
	parts := func(topic string, n int32) [][]*kgo.Record {
		by := make([][]*kgo.Record, n)
		for _, r := range testkit.ReadCommitted(w.t, topic) {
			by[r.Partition] = append(by[r.Partition], r)
		}
		return by
	}
	// The journal first: what comes later is then only more than it covers.
	l.Journal = parts(w.topics.Journal, w.tasks)
	l.Inputs[schemas.OrderEvents] = parts(w.topics.Orders, w.tasks)
	l.Inputs[schemas.BehaviorEvents] = parts(w.topics.Behaviors, w.tasks)
	l.Inputs[schemas.ControlInput] = parts(w.topics.Control, 1)
	l.Inputs[schemas.TransferInput] = parts(w.topics.Transfers, w.tasks)
	for _, topic := range schemas.OutTopics {
		l.Out[topic] = parts(w.topics.Out(topic), w.tasks)
	}
	return l
}

func (w *world) schema(id int32) (string, []string, error) {
	return w.reg.SchemaByID(context.Background(), id)
}

// audit reads everything while nothing runs, and fails the test for every fault.
func (w *world) audit() *Report {
	w.t.Helper()
	r, err := w.read().Audit()
	if err != nil {
		w.t.Fatalf("audit: %v", err)
	}
	if r.Left != 0 {
		w.t.Fatalf("audit: the journal does not cover %d committed records of the inputs", r.Left)
	}
	return r
}

// covered waits until the journals cover all that is committed in the inputs now.
func (w *world) covered(limit time.Duration) {
	w.t.Helper()
	ends := [2]map[int32]int64{testkit.Follow(w.t, w.topics.Orders).Ends(), testkit.Follow(w.t, w.topics.Behaviors).Ends()}
	journal := testkit.Follow(w.t, w.topics.Journal)
	at := [2]map[int32]int64{{}, {}}
	last := [2]map[int32]int64{} // the last record before the end: control batches are not covered
	for i, topic := range []string{w.topics.Orders, w.topics.Behaviors} {
		last[i] = map[int32]int64{}
		for _, r := range testkit.ReadCommitted(w.t, topic) {
			if r.Offset < ends[i][r.Partition] {
				last[i][r.Partition] = r.Offset + 1
			}
		}
	}
	w.await(limit, "the journals to cover the inputs", func() bool {
		for _, j := range w.journals(journal) {
			for _, it := range j.Items {
				if (it.Kind == schemas.RunItem || it.Kind == schemas.MergeItem) && it.Input <= schemas.BehaviorEvents {
					at[it.Input][j.Task] = int64(it.End)
				}
			}
		}
		for i := range last {
			for p, end := range last[i] {
				if at[i][p] < end {
					return false
				}
			}
		}
		return true
	})
}

// clock waits until every task's journaled clock has reached to.
func (w *world) clock(to schemas.EventTime) {
	w.t.Helper()
	journal := testkit.Follow(w.t, w.topics.Journal)
	clocks := map[int32]schemas.EventTime{}
	w.await(testkit.Limit, "the clocks to follow the wall", func() bool {
		for _, j := range w.journals(journal) {
			clocks[j.Task] = j.Clock
		}
		n := 0
		for _, c := range clocks {
			if c >= to {
				n++
			}
		}
		return n == int(w.tasks)
	})
}

// journals are the records that have come since the last call.
func (w *world) journals(f *testkit.Tail) (all []*schemas.Journal) {
	w.t.Helper()
	for _, r := range f.Next() {
		_, body, err := schemas.ParseWire(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		j, err := schemas.DecodeJournal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, j)
	}
	return all
}

// await asks again and again; there is no event to wait for across a broker.
func (w *world) await(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			w.t.Fatalf("waited %v for %s; the log ends:\n%s", limit, what, w.log.last(30))
		}
		<-tick.C
	}
}

// lines keeps what was logged, line by line, however a pipe cuts it.
type lines struct {
	mu   sync.Mutex
	all  []string
	rest string // the line under way
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := strings.Split(l.rest+string(b), "\n")
	l.rest = got[len(got)-1]
	l.all = append(l.all, got[:len(got)-1]...)
	return len(b), nil
}

func (l *lines) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all[max(len(l.all)-n, 0):], "\n")
}

func (l *lines) has(text string) bool { return l.count(text) > 0 }

func (l *lines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all {
		if strings.Contains(s, text) {
			n++
		}
	}
	return n
}

// seeded gives a random source and tells its seed.
func seeded(t testing.TB, seed uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func order(id int, customer string, kind schemas.OrderType, orderID string, at schemas.EventTime, minor int64) *schemas.Event {
	return &schemas.Event{Kind: schemas.Order, Order: kind, EventID: fmt.Sprintf("e%d", id), CustomerID: customer, OrderID: orderID,
		OccurredAt: at, AmountMinor: minor, Currency: "USD", Channel: "web"}
}
