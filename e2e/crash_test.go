package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/playbook"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/testkit"
)

// The environment of the crash tests: how often to kill, and the seed of a run to do again.
const (
	crashesEnv = "TIDEMARK_TEST_CRASHES"
	seedEnv    = "TIDEMARK_TEST_SEED"
)

func fromEnv(t testing.TB, name string, def uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// crashPlaybook has rules whose time comes within seconds of an event that is an
// hour old, and cuts over all customers every few seconds, from start on.
func crashPlaybook(start time.Time, lasts time.Duration) string {
	var at []string
	for d := 4 * time.Second; d < lasts; d += 4 * time.Second {
		at = append(at, `"`+start.Add(d).UTC().Format("2006-01-02T15:04:05Z")+`"`)
	}
	return fmt.Sprintf(`
playbook: crash
version: 1
clock: live
time_zone: Europe/London
currency: USD
disorder: 1s
publish_delay: 200ms
max_event_bytes: 4096
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

// load publishes events all the time, as several upstream apps would: sound
// ones, late ones, repeats, refunds, and broken ones.
type load struct {
	t      *testing.T
	client *kgo.Client
	w      *world
	ids    [2]int32
	rng    *rand.Rand
	n      int
	sent   atomic.Int64
	old    []*schemas.Event
}

func newLoad(t *testing.T, w *world, rng *rand.Rand) *load {
	l := &load{t: t, w: w, rng: rng, client: testkit.Client(t, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0))}
	l.ids = [2]int32{testkit.Register(t, w.topics.Orders, "OrderEvent"), testkit.Register(t, w.topics.Behaviors, "BehaviorEvent")}
	return l
}

func (l *load) event() *schemas.Event {
	l.n++
	now := schemas.EventTime(time.Now().UnixMilli())
	customer := fmt.Sprintf("c%04d", l.rng.IntN(800))
	if l.rng.IntN(20) == 0 {
		customer = fmt.Sprintf("new%06d", l.n)
	}
	at := now - schemas.EventTime(l.rng.IntN(300))
	switch l.rng.IntN(10) {
	case 0, 1, 2, 3: // its windows and silences end within seconds
		at = now - schemas.Hour + schemas.EventTime(l.rng.IntN(4000))
	case 4: // late: what was said may have to be taken back
		at = now - schemas.EventTime(l.rng.IntN(int(3*schemas.Hour)))
	}
	any := fmt.Sprintf("o%d", 1+l.rng.IntN(l.n))
	switch l.rng.IntN(24) {
	case 0:
		return order(l.n, customer, schemas.Refunded, any, at, 1+l.rng.Int64N(5000))
	case 1:
		return order(l.n, customer, schemas.Cancelled, any, at, 0)
	case 2:
		return order(l.n, customer, schemas.Paid, fmt.Sprint("o", l.n), at, -5)
	case 3:
		return order(l.n, customer, schemas.Paid, fmt.Sprint("o", l.n), now+schemas.Day, 500)
	case 4, 5, 6:
		return &schemas.Event{Kind: schemas.Behavior, EventID: fmt.Sprint("b", l.n), CustomerID: customer, OccurredAt: at, Type: "page.viewed", Channel: "app"}
	case 7:
		if len(l.old) > 0 {
			return l.old[l.rng.IntN(len(l.old))] // again
		}
	}
	e := order(l.n, customer, schemas.Paid, fmt.Sprint("o", l.n), at, 100+l.rng.Int64N(7000))
	if len(l.old) < 1000 {
		l.old = append(l.old, e)
	}
	return e
}

// run publishes some events every few milliseconds until ctx ends.
func (l *load) run(ctx context.Context, done chan<- error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var records []*kgo.Record
		for range l.rng.IntN(12) {
			e := l.event()
			r := testkit.EventRecord(l.ids[e.Kind], e)
			r.Topic = l.w.topics.Orders
			if e.Kind == schemas.Behavior {
				r.Topic = l.w.topics.Behaviors
			}
			switch l.rng.IntN(100) {
			case 0:
				r.Value = r.Value[:len(r.Value)-4]
			case 1:
				r.Value = nil
			case 2:
				r.Value = schemas.AppendWire(nil, 1<<20, r.Value[schemas.WireHeader:])
			}
			records = append(records, r)
		}
		if err := l.client.ProduceSync(context.WithoutCancel(ctx), records...).FirstErr(); err != nil {
			done <- err
			return
		}
		l.sent.Add(int64(len(records)))
		select {
		case <-ctx.Done():
			done <- nil
			return
		case <-tick.C:
		}
	}
}

// crashes says how one crash test goes about it.
type crashes struct {
	kills  int
	seed   uint64
	tasks  int32
	group  bool          // two members of the group; else standalone, at times two at once that fence each other
	lives  time.Duration // the longest time between two kills
	settle time.Duration // how long the last process may take to catch up
}

func (c crashes) run(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are not under the race detector")
	}
	rng := rand.New(rand.NewPCG(c.seed, 1))
	t.Logf("seed %d (%s=%d does the same again)", c.seed, seedEnv, c.seed)
	w := newWorld(t, c.tasks)
	tidemark(t)
	began := time.Now()
	pb := filepath.Join(t.TempDir(), "crash.yaml")
	text := crashPlaybook(began, time.Duration(c.kills)*c.lives+2*time.Minute)
	if err := os.WriteFile(pb, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	compiled, err := playbook.Load(pb)
	if err != nil {
		t.Fatal(err)
	}
	early := schemas.EventTime(began.UnixMilli()) - 2*schemas.Hour // some triggers come from before and are withheld
	w.prepare(compiled, &early)

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l := newLoad(t, w, rand.New(rand.NewPCG(c.seed, 2)))
	loaded := make(chan error, 1)
	go l.run(ctx, loaded)

	dirs := [2]string{t.TempDir(), t.TempDir()}
	// A wiped folder is restored from what both save here; two members of a group
	// follow each other's tasks too.
	more := fmt.Sprintf("checkpoint: {url: \"file://%s\", interval: 500ms}\n", t.TempDir())
	if c.group {
		more += "standby: {copies: 1}\n"
	}
	var procs [2]*child
	starts, wipes, calm, both := 0, 0, 0, 0
	var args []string
	if !c.group {
		args = []string{"--standalone"}
	}
	start := func(i int) {
		starts++
		name := fmt.Sprintf("%c%d", 'a'+i, starts)
		procs[i] = w.spawn(name, w.runConfig(name, dirs[i], pb, more), args...)
	}
	finish := func(i int, kill bool) {
		p := procs[i]
		p.died(t)
		if kill {
			p.kill()
		} else {
			p.end(t)
			calm++
		}
		if s := p.loud(); s != "" {
			t.Fatalf("%s gave up:\n%s", p.name, s)
		}
		procs[i] = nil
		if rng.IntN(8) == 0 {
			wipes++
			if err := os.RemoveAll(dirs[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for killed := 0; killed < c.kills; {
		for i := range procs {
			if procs[i] == nil && (c.group || i == 0 || rng.IntN(4) == 0) {
				start(i)
			}
		}
		// Some die while they start, some while they replay, most under load.
		life := time.Duration(rng.Int64N(int64(c.lives)))
		if rng.IntN(4) == 0 {
			life /= 5
		}
		time.Sleep(life) // not a wait for anything: the moment of the blow is what is random
		victim := 0
		if procs[1] != nil {
			both++
			victim = rng.IntN(2)
		}
		if kill := rng.IntN(12) != 0; kill {
			killed++
			finish(victim, true)
		} else {
			finish(victim, false)
		}
	}
	for i := range procs {
		if procs[i] != nil {
			finish(i, true)
			c.kills++
		}
	}
	stop()
	if err := <-loaded; err != nil {
		t.Fatalf("the load: %v", err)
	}
	start(0)
	w.log = procs[0].log
	w.covered(c.settle)
	procs[0].died(t)
	procs[0].end(t)
	if s := procs[0].loud(); s != "" {
		t.Fatalf("the last process gave up:\n%s", s)
	}
	r := w.audit()
	if got, want := r.Orders+r.Behaviors, l.sent.Load(); got != want {
		t.Errorf("%d events were taken, %d were sent", got, want)
	}
	for _, status := range []string{schemas.Fired, schemas.Corrected, schemas.Retracted} {
		if r.ByStatus[status] == 0 {
			t.Errorf("no trigger was %s: the load is too tame", status)
		}
	}
	t.Logf("| %d | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %.0f s |", c.seed, map[bool]string{true: "group", false: "standalone"}[c.group],
		c.kills, calm, wipes, both, l.sent.Load(), r.Records, r.Commits, r.Published, r.ByTopic[schemas.DeadLetters], r.Epochs, time.Since(began).Seconds())
	t.Logf("by topic %v, by status %v, %d ticks, %d sweeps, %d writers", r.ByTopic, r.ByStatus, r.Ticks, r.Sweeps, r.Writers)
}

// kill -9 at any moment, again and again, under load, with and without the
// state folder, one process or two that fence each other: what was published is
// what the journal says, once and in order, and every event was taken once.
func TestKilledProcesses(t *testing.T) {
	kills := fromEnv(t, crashesEnv, 15)
	seed := fromEnv(t, seedEnv, uint64(time.Now().UnixNano()%1e9))
	crashes{kills: int(kills), seed: seed, tasks: 3, lives: 1200 * time.Millisecond, settle: time.Minute}.run(t)
}

// The same with two members of a consumer group: the one that is left takes over.
func TestKilledMembers(t *testing.T) {
	kills := fromEnv(t, crashesEnv, 15)
	seed := fromEnv(t, seedEnv, uint64(time.Now().UnixNano()%1e9))
	crashes{kills: int(max(kills/4, 3)), seed: seed, tasks: 4, group: true, lives: 4 * time.Second, settle: time.Minute}.run(t)
}

// flaky is a connection that breaks at a random moment: before a request is
// sent, half way through one, or after it was sent and before its answer came.
type flaky struct {
	net.Conn
	broken func() bool
}

func (f flaky) Read(b []byte) (int, error) {
	if f.broken() {
		f.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := f.Conn.Read(b)
	if err == nil && f.broken() {
		f.Close()
		return 0, io.ErrUnexpectedEOF // the broker did it and nobody hears of it
	}
	return n, err
}

func (f flaky) Write(b []byte) (int, error) {
	if f.broken() {
		n, _ := f.Conn.Write(b[:len(b)/2])
		f.Close()
		return n, io.ErrClosedPipe
	}
	return f.Conn.Write(b)
}

// Connections that break at any moment leave transactions whose outcome nobody
// knows. Each ends a life of the task, and the journal tells the next one.
func TestBrokenConnections(t *testing.T) {
	seed := fromEnv(t, seedEnv, uint64(time.Now().UnixNano()%1e9))
	t.Logf("seed %d", seed)
	w := newWorld(t, 2)
	start := time.Now()
	early := schemas.EventTime(start.UnixMilli()) - 2*schemas.Hour
	w.prepare(compile(t, crashPlaybook(start, time.Minute)), &early)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 3))
	var calm atomic.Bool
	var cuts atomic.Int64
	transport := &kafka.Transport{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return flaky{c, func() bool {
			mu.Lock()
			defer mu.Unlock()
			if calm.Load() || rng.IntN(150) != 0 {
				return false
			}
			cuts.Add(1)
			return true
		}}, nil
	}}
	p := w.start(t.TempDir(), "one", func(c *runtime.Config) {
		c.Transport, c.TransactionTimeout, c.MaxEvents = transport, 2*time.Second, 200
		c.BackoffMin, c.BackoffMax = 10*time.Millisecond, 50*time.Millisecond
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l := newLoad(t, w, rand.New(rand.NewPCG(seed, 2)))
	loaded := make(chan error, 1)
	go l.run(ctx, loaded)
	journal := testkit.Follow(t, w.topics.Journal)
	epochs := map[string]bool{}
	w.await(time.Minute, "forty lives of tasks", func() bool {
		for _, j := range w.journals(journal) {
			epochs[fmt.Sprint(j.Task, j.Epoch)] = true
		}
		return len(epochs) >= 40
	})
	stop()
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	calm.Store(true)
	w.covered(testkit.Limit)
	p.stop()
	r := w.audit()
	if got, want := r.Orders+r.Behaviors, l.sent.Load(); got != want {
		t.Errorf("%d events were taken, %d were sent", got, want)
	}
	t.Logf("%d broken connections, %d lives, %d commits, %d published, %.0f s", cuts.Load(), r.Epochs, r.Commits, r.Published, time.Since(start).Seconds())
}
