package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/state"
	"tidemark/testkit"
)

// pressureEnv multiplies the sizes of the tests of this file; bench/pressure.md has
// the runs at full size.
const pressureEnv = "TIDEMARK_TEST_PRESSURE"

func pressure(t *testing.T, small, full int) int {
	t.Helper()
	if os.Getenv(pressureEnv) == "" {
		return small
	}
	if n, err := strconv.Atoi(os.Getenv(pressureEnv)); err == nil && n > 1 {
		return n
	}
	return full
}

// gate is a way to the brokers that can be shut: connections end, new ones fail.
type gate struct {
	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

var errShut = errors.New("the cable is cut")

func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errShut
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		g.conns[c] = true
	}
	return c, err
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for c := range g.conns {
		if shut {
			c.Close()
			delete(g.conns, c)
		}
	}
}

// The brokers are away. Every task says so, none stops for good, the log is not
// flooded, and once they are back everything that came meanwhile is taken once.
func TestBrokersAway(t *testing.T) {
	s := newShop(t, 2)
	g := &gate{conns: map[net.Conn]bool{}}
	p := s.start(t.TempDir(), "a", func(c *runtime.Config) {
		c.Transport = &kafka.Transport{ClientID: "tidemark", Dial: g.dial}
		c.BackoffMax, c.TransactionTimeout = 300*time.Millisecond, 2*time.Second
	})
	s.ready(p)
	s.sell(60)
	s.covered(testkit.Limit)
	g.set(true)
	logged := s.log.count("")
	s.sell(60) // the shop has a way of its own
	s.await(testkit.Limit, "both tasks to say what they wait for", func() bool {
		r := p.tel.Tasks.Readiness()
		n := 0
		for _, task := range r.Tasks {
			if strings.Contains(task.Detail, errShut.Error()) || strings.Contains(task.Detail, "closed network connection") {
				n++
			}
		}
		return !r.Ready && n == int(s.tasks)
	})
	if n := s.log.count("") - logged; n > 100 {
		t.Errorf("%d lines of log:\n%s", n, s.log.last(20))
	}
	g.set(false)
	s.ready(p)
	s.covered(testkit.Limit)
	p.stop()
	if s.log.has("stops until an operator acts") {
		t.Error("a task stopped for good")
	}
	if r := s.audit(); r.Orders != int64(s.n) {
		t.Errorf("%d orders were taken, %d were sent", r.Orders, s.n)
	}
}

const hotPlaybook = `
playbook: hot
version: 1
clock: live
time_zone: UTC
currency: USD
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}}
tiers:
  - name: member
    on: spend
    window: {rolling: 365d}
    levels: [{name: base, reach: 0}, {name: silver, reach: 100}, {name: gold, reach: 1000}]
churn:
  - {name: silent, model: hiatus, after: 1h, level: early}
`

// One customer has very many orders, spread over a year: her row stays small, since
// they fold into sums by day, none is lost and a repeat changes nothing.
func TestHotCustomer(t *testing.T) {
	n := pressure(t, 6_000, 1_000_000)
	w := newWorld(t, 1)
	end := schemas.EventTime(time.Now().UnixMilli())
	w.prepare(compile(t, hotPlaybook), new(schemas.EventTime))
	dir := t.TempDir()
	p := w.start(dir, "a", nil)
	began := time.Now()
	step := 360 * schemas.Day / schemas.EventTime(n)
	var events []*schemas.Event
	for i := range n {
		events = append(events, order(i, "hot", schemas.Paid, fmt.Sprint("o", i), end-schemas.EventTime(n-i)*step, 100))
	}
	w.publish(append(events, events[n/2], events[n-1], events[0]))
	published := time.Since(began)
	w.covered(time.Duration(n)*time.Millisecond + testkit.Limit)
	took := time.Since(began)
	p.stop()
	store, err := state.Open(filepath.Join(dir, w.app, "task-00000"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	row, size := state.Customer{ID: "hot"}, 0
	if err := store.EachRow(func(_, b []byte) error {
		size = len(b)
		return state.DecodeRow(&row, b)
	}); err != nil {
		t.Fatal(err)
	}
	count := row.Base.Count
	for _, d := range row.Days {
		count += d.Count
	}
	if got, want := int(count)+len(row.Orders), n; got != want {
		t.Errorf("the row knows of %d orders, want %d", got, want)
	}
	if size > 8<<10 {
		t.Errorf("her row has %d bytes", size)
	}
	t.Logf("%d orders: published in %v, taken in %v; a row of %d bytes, %d days, %d orders", n, published.Round(time.Millisecond), took.Round(time.Millisecond), size, len(row.Days), len(row.Orders))
}

// An event of a megabyte is taken where the playbook allows it, and refused with
// its place and reason where it does not; what comes behind is taken either way,
// though responses are asked for in smaller pieces.
func TestAMegabyte(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprint("allowed ", allowed), func(t *testing.T) {
			w := newWorld(t, 1)
			text := hotPlaybook
			if !allowed {
				text = strings.Replace(text, "version: 1", "version: 1\nmax_event_bytes: 65536", 1)
			}
			now := schemas.EventTime(time.Now().UnixMilli())
			w.prepare(compile(t, text), new(schemas.EventTime))
			p := w.start(t.TempDir(), "a", func(c *runtime.Config) { c.PartitionMaxBytes = 64 << 10 })
			e := order(1, "large", schemas.Paid, "o1", now-2000, 50_000)
			e.Channel = strings.Repeat("x", 1_000_000)
			w.publish([]*schemas.Event{e, order(2, "small", schemas.Paid, "o2", now-1000, 50_000)})
			w.covered(testkit.Limit)
			p.stop()
			r := w.audit()
			if dead := int64(1); allowed && r.Dead != 0 || !allowed && r.Dead != dead || r.Orders != 2 {
				t.Errorf("%d orders taken, %d of them dead", r.Orders, r.Dead)
			}
		})
	}
}

// Very many timers come due in the same minute: they fire in order, in many small
// transactions, and events that come meanwhile are taken between them.
func TestTimersOfOneMinute(t *testing.T) {
	n := pressure(t, 3_000, 1_000_000)
	const most = 250
	w := newWorld(t, 1)
	var wall atomic.Int64
	start := time.Now().Add(-48 * time.Hour)
	wall.Store(start.UnixMilli())
	w.now = func() time.Time { return time.UnixMilli(wall.Load()) }
	w.prepare(compile(t, hotPlaybook), new(schemas.EventTime))
	limit := most
	if n > 100_000 {
		limit = 20_000 // the default
	}
	p := w.start(t.TempDir(), "a", func(c *runtime.Config) { c.MaxTriggers = limit })
	at := schemas.EventTime(start.UnixMilli()) - 70*schemas.Minute
	var events []*schemas.Event
	for i := range n {
		// Of 50 s, and an hour later all of them are due: fifty minutes ago for the clock that comes.
		events = append(events, order(i, fmt.Sprintf("c%07d", i), schemas.Paid, fmt.Sprint("o", i), at+schemas.EventTime(i%50)*1000+20*schemas.Minute, 100))
	}
	w.publish(events)
	w.covered(time.Duration(n)*time.Millisecond/2 + testkit.Limit)
	before := len(w.journals(testkit.Follow(t, w.topics.Journal)))
	began := time.Now()
	wall.Store(start.Add(3 * time.Hour).UnixMilli())
	sent := 0
	for range 5 { // meanwhile
		sent += 20
		var more []*schemas.Event
		for i := range 20 {
			more = append(more, order(n+sent+i, fmt.Sprintf("late%d", i), schemas.Paid, fmt.Sprint("m", sent+i), schemas.EventTime(wall.Load()), 100))
		}
		w.publish(more)
	}
	w.covered(time.Duration(n)*time.Millisecond + testkit.Limit)
	w.clock(schemas.EventTime(start.Add(3*time.Hour).UnixMilli()) - 3000)
	took := time.Since(began)
	p.stop()
	p.mu.Lock()
	largest := 0
	for _, c := range p.commits {
		total := 0
		for _, k := range c.Triggers {
			total += k
		}
		largest = max(largest, total)
	}
	p.mu.Unlock()
	after := w.journals(testkit.Follow(t, w.topics.Journal))[before:]
	if len(after) < n/limit {
		t.Errorf("%d transactions for %d timers, at most %d triggers each", len(after), n, limit)
	}
	if largest > limit+1 {
		t.Errorf("a transaction of %d triggers, at most %d are allowed", largest, limit)
	}
	warned, last := 0, ""
	for _, r := range testkit.ReadCommitted(t, w.topics.Out(schemas.ChurnWarnings)) {
		i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_time" })
		if at := string(r.Headers[i].Value); at < last {
			t.Fatalf("%s is warned of at %s, after one at %s", r.Key, at, last)
		} else {
			last = at
		}
		warned++
	}
	if warned != n {
		t.Errorf("%d warnings, want %d", warned, n)
	}
	t.Logf("%d timers of 50 s and %d events meanwhile: %d transactions in %v, the largest with %d triggers", n, sent, len(after), took.Round(time.Millisecond), largest)
	if n < 100_000 {
		w.audit()
	}
}
