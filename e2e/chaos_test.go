package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidemark/deploy/kafka"
	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/testkit"
)

// chaosEnv asks for chaos against a real Kafka of the test's own: "kills=200
// seed=7", each of which may be left out. Without it the test is skipped.
const chaosEnv = "TIDEMARK_TEST_CHAOS"

const (
	chaosProcesses = 3
	chaosTasks     = 12
)

// chaosPlan says how much chaos there is to be. It is a pure function of the
// seed which fault comes next and how long it lasts, of the machine what it meets.
type chaosPlan struct {
	kills int
	seed  uint64
}

func parseChaos(s string) (chaosPlan, error) {
	p := chaosPlan{kills: 20, seed: uint64(time.Now().UnixNano() % 1e9)}
	for _, word := range strings.Fields(s) {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err != nil:
			return p, fmt.Errorf("%s: %q: want NAME=NUMBER: %w", chaosEnv, word, err)
		case name == "kills" && n > 0 && n < 1e6:
			p.kills = int(n)
		case name == "seed":
			p.seed = n
		default:
			return p, fmt.Errorf("%s: %q: want kills=1 or more, or seed=NUMBER", chaosEnv, word)
		}
	}
	return p, nil
}

func TestParseChaos(t *testing.T) {
	for _, c := range []struct {
		text string
		want chaosPlan
		bad  bool
	}{
		{"kills=7 seed=3", chaosPlan{7, 3}, false},
		{" seed=12 ", chaosPlan{20, 12}, false},
		{"kills=0 seed=1", chaosPlan{}, true},
		{"kills=ten", chaosPlan{}, true},
		{"yes", chaosPlan{}, true},
		{"speed=3", chaosPlan{}, true},
	} {
		got, err := parseChaos(c.text)
		if (err != nil) != c.bad || err == nil && got != c.want {
			t.Errorf("%q: got %v, %v; want %v, an error: %v", c.text, got, err, c.want, c.bad)
		}
	}
}

// tally counts the faults of a run by their names.
type tally struct {
	mu sync.Mutex
	of map[string]int
}

func (c *tally) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[name]++
}

func (c *tally) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[name]
}

// freeAddresses are n addresses on the loopback interface that were free just now.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// chaosBroker starts a Kafka that tells each process to reach it through the
// process's own link. The publisher and the auditor come in by another door.
func chaosBroker(t *testing.T, links *[chaosProcesses]*link) *kafka.Node {
	t.Helper()
	for try := 1; ; try++ {
		at := freeAddresses(t, 2+chaosProcesses)
		_, port, _ := net.SplitHostPort(at[0])
		number, _ := strconv.Atoi(port)
		listen, tell, security := "PLAINTEXT://"+at[0]+",CONTROLLER://"+at[1], "PLAINTEXT://"+at[0], "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
		for i := range links {
			links[i] = newLink(t, fmt.Sprintf("link%d", i), at[2+i])
			listen += fmt.Sprintf(",LINK%d://%s", i, at[2+i])
			tell += fmt.Sprintf(",LINK%d://%s", i, links[i].addr)
			security += fmt.Sprintf(",LINK%d:PLAINTEXT", i)
		}
		n, err := kafka.Start(t.Context(), kafka.Options{Port: number, StartLimit: 3 * time.Minute, Properties: map[string]string{
			"listeners": listen, "advertised.listeners": tell, "listener.security.protocol.map": security,
			"controller.quorum.voters": "1@" + at[1], "inter.broker.listener.name": "PLAINTEXT",
			// A broker that was killed is let in again soon, and what a dead process
			// left open is given up soon: more happens in the same time.
			"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500",
			"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
		}})
		if errors.Is(err, kafka.ErrPortInUse) && try < 4 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		return n
	}
}

// brokerFaults stops or kills the broker and starts it again, until ctx ends and
// each has happened once.
func brokerFaults(ctx context.Context, n *kafka.Node, rng *rand.Rand, faults *tally, down *atomic.Bool, done chan<- error) {
	kill := rng.IntN(2) == 0
	for round := 0; ctx.Err() == nil || round < 2; round++ {
		calm := 6*time.Second + time.Duration(rng.Int64N(int64(8*time.Second)))
		if round >= 2 {
			calm *= 2
		}
		if !nap(ctx, calm) && round >= 2 {
			break
		}
		var err error
		down.Store(true)
		if kill {
			err = n.Kill()
			faults.add("broker killed")
		} else {
			err = n.Stop(context.WithoutCancel(ctx))
			faults.add("broker stopped")
		}
		if err != nil && kill {
			done <- err
			return
		}
		time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second)))) // how long it is away
		if err := n.Restart(context.WithoutCancel(ctx)); err != nil {
			done <- err
			return
		}
		down.Store(false)
		kill = rng.IntN(2) == 0
		if round == 0 {
			kill = faults.get("broker killed") == 0
		}
	}
	done <- nil
}

// nap is part of the chaos, not a wait for something. False: ctx ended.
func nap(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// member is a place in the group: a folder, a link, and at most times a process.
type member struct {
	dir    string
	link   *link
	proc   *child
	resume time.Time // it is stopped until then; zero: it runs
}

// Three processes of a group, twelve partitions and a publisher that never
// pauses, while processes are killed, stopped until they are fenced and woken
// again, folders vanish, the broker goes and comes, and connections break in
// every way. Then they are left alone and catch up by themselves, and what a
// client of another maker reads is what the journal says: none missing, none
// twice, none out of order, each offset taken once.
func TestChaos(t *testing.T) {
	text := os.Getenv(chaosEnv)
	if text == "" {
		t.Skipf("make chaos runs it; %s=\"kills=… seed=…\"", chaosEnv)
	}
	plan, err := parseChaos(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("make chaos CHAOS=\"kills=%d seed=%d\" does the same again", plan.kills, plan.seed)
	source := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(plan.seed, n)) }
	var links [chaosProcesses]*link
	node := chaosBroker(t, &links)
	t.Setenv(testkit.Env, node.Addr())
	w := newWorld(t, chaosTasks)
	tidemark(t)
	began := time.Now()
	pb := filepath.Join(t.TempDir(), "chaos.yaml")
	if err := os.WriteFile(pb, []byte(crashPlaybook(began, time.Duration(plan.kills)*4*time.Second+3*time.Minute)), 0o600); err != nil {
		t.Fatal(err)
	}
	compiled, err := playbook.Load(pb)
	if err != nil {
		t.Fatal(err)
	}
	early := schemas.EventTime(began.UnixMilli()) - 2*schemas.Hour
	w.prepare(compiled, &early)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	loading, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	l := newLoad(t, w, source(2))
	loaded := make(chan error, 1)
	go l.run(loading, loaded)

	faults := &tally{}
	var down atomic.Bool
	brokerDone, linksDone := make(chan error, 1), make(chan error, 1)
	var broker sync.WaitGroup // a test that fails may not take the broker away from under its own restart
	t.Cleanup(func() { stop(); broker.Wait() })
	broker.Go(func() { brokerFaults(ctx, node, source(3), faults, &down, brokerDone) })
	go linkFaults(ctx, links[:], source(4), faults, linksDone)

	rng := source(1)
	blobs := t.TempDir()
	members := make([]*member, chaosProcesses)
	for i := range members {
		members[i] = &member{dir: filepath.Join(t.TempDir(), "state"), link: links[i]}
	}
	starts, again := 0, 0
	start := func(i int) {
		m := members[i]
		starts++
		name := fmt.Sprintf("%c%d", 'a'+i, starts)
		w.broker = m.link.addr
		m.proc = w.spawn(name, w.runConfig(name, m.dir, pb, fmt.Sprintf(`checkpoint: {url: "file://%s", interval: 5s}
standby: {copies: 1}
restart: {backoff_min: 50ms, backoff_max: 1s}
`, blobs)))
		w.broker = node.Addr()
	}
	// over looks at a process that has ended, and at times takes its folder away.
	over := func(m *member) {
		if s := m.proc.loud(); s != "" {
			t.Fatalf("%s gave up:\n%s", m.proc.name, s)
		}
		again += m.proc.count("beginning again from the journal")
		m.proc, m.resume = nil, time.Time{}
		if rng.IntN(8) == 0 {
			faults.add("folder wiped")
			if err := os.RemoveAll(m.dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	kill := func(m *member) {
		m.proc.died(t)
		m.proc.kill()
		faults.add("kill -9")
		if !m.resume.IsZero() {
			faults.add("kill -9 while stopped")
		}
		if down.Load() {
			faults.add("kill -9 while the broker was away")
		}
		over(m)
	}
	for faults.get("kill -9") < plan.kills {
		for i, m := range members {
			if m.proc == nil && rng.IntN(6) != 0 {
				start(i)
			}
			if !m.resume.IsZero() && time.Now().After(m.resume) {
				m.proc.signal(t, syscall.SIGCONT)
				m.resume = time.Time{}
			}
		}
		gap := time.Duration(rng.Int64N(int64(2200 * time.Millisecond)))
		switch rng.IntN(8) {
		case 0, 1:
			gap /= 5 // some die while they start
		case 2:
			gap = 3*time.Second + gap // and some in the middle of settled work
		}
		time.Sleep(gap) // the moment of the blow is what is random
		m, what := members[rng.IntN(len(members))], rng.IntN(16)
		if m.proc == nil || down.Load() && rng.IntN(6) != 0 {
			continue // without a broker there is little to lose
		}
		switch {
		case what < 10:
			kill(m)
		case what < 11:
			for _, m := range members {
				if m.proc != nil {
					kill(m)
				}
			}
		case what < 14 && m.resume.IsZero():
			m.proc.died(t)
			m.proc.signal(t, syscall.SIGSTOP)
			faults.add("SIGSTOP")
			m.resume = time.Now().Add(4*time.Second + time.Duration(rng.Int64N(int64(4*time.Second)))) // session 1.5 s, transactions 3 s
		case what >= 14 && m.resume.IsZero():
			m.proc.died(t)
			faults.add("SIGTERM")
			if !m.proc.leave() {
				faults.add("kill -9 after a SIGTERM that took 20 s")
			}
			over(m)
		}
	}
	stop()
	if err := errors.Join(<-linksDone, <-brokerDone); err != nil {
		t.Fatalf("the faults: %v", err)
	}
	for i, m := range members {
		if m.proc == nil {
			start(i)
		} else if !m.resume.IsZero() {
			m.proc.signal(t, syscall.SIGCONT)
		}
		w.log = m.proc.log
	}
	stopLoad()
	if err := <-loaded; err != nil {
		t.Fatalf("the load: %v", err)
	}
	settling := time.Now()
	w.covered(3 * time.Minute)
	settled := time.Since(settling)
	for _, m := range members {
		m.proc.died(t)
		m.proc.end(t)
		over(m)
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
	for _, name := range []string{"broker stopped", "broker killed", "links"} {
		if faults.get(name) == 0 {
			t.Errorf("%s: never; the chaos is too tame", name)
		}
	}
	t.Logf("faults: %v", faults.of)
	t.Logf("%d starts, %d lives of tasks begun again, caught up in %.1f s, by topic %v, by status %v, %d ticks, %d sweeps, %d writers",
		starts, again, settled.Seconds(), r.ByTopic, r.ByStatus, r.Ticks, r.Sweeps, r.Writers)
	f := faults.get
	t.Logf("| %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %.0f s |", plan.seed, f("kill -9"), f("SIGSTOP"), f("SIGTERM"), f("folder wiped"),
		f("broker stopped"), f("broker killed"), f("links"), l.sent.Load(), r.Records, r.Commits, r.Published, r.Epochs, time.Since(began).Seconds())
}
