package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/processor/core"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/testkit"
)

// grow gives a topic more partitions, as an operator may.
func (w *world) grow(topic string, partitions int32) {
	w.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 10_000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, partitions
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(testkit.Context(w.t), testkit.Client(w.t))
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		w.t.Fatalf("growing %s: %v", topic, err)
	}
}

func starter(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../cmd/tidemark/starter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An input that gets another partition while tasks run stops them all, and no
// task is made of the new one.
func TestGrownInputStopsAllTasks(t *testing.T) {
	w := newWorld(t, 2)
	w.prepare(compile(t, starter(t)), nil)
	p := w.start(t.TempDir(), "one", nil)
	w.ready(p)
	go p.m.WatchPartitions(t.Context(), 20*time.Millisecond)
	w.publish([]*schemas.Event{order(1, "c1", schemas.Paid, "o1", schemas.EventTime(time.Now().UnixMilli()), 100)})
	w.covered(testkit.Limit)
	w.grow(w.topics.Behaviors, 3)
	w.await(testkit.Limit, "all tasks to stop", func() bool {
		paused := 0
		for _, s := range p.tel.Tasks.Readiness().Tasks {
			if s.State == "paused" && strings.Contains(s.Detail, core.ErrPartitions.Error()) && strings.Contains(s.Detail, w.topics.Behaviors+" has 3 partitions now") {
				paused++
			}
		}
		return paused == 2
	})
	if got, want := len(p.m.Owned()), 2; got != want {
		t.Errorf("%d tasks, want %d", got, want)
	}
}

// A host whose clock is not the broker's stops before it tells silences at the
// wrong time for long; one whose clock is right does not.
func TestWrongClockStopsATask(t *testing.T) {
	if !testkit.Real() {
		t.Skip("the embedded broker tells no append time; package runtime has the arithmetic")
	}
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			w.now = func() time.Time { return time.Now().Add(ahead) }
			w.prepare(compile(t, starter(t)), nil)
			p := w.start(t.TempDir(), "one", func(c *runtime.Config) { c.ClockLimit = 5 * time.Second })
			if ahead == 0 { // a wrong clock may stop the task before it was ever ready
				w.ready(p)
			}
			w.publish([]*schemas.Event{order(1, "c1", schemas.Paid, "o1", schemas.EventTime(w.now().Add(-time.Minute).UnixMilli()), 100)})
			if ahead == 0 {
				w.covered(testkit.Limit)
				w.clock(schemas.EventTime(time.Now().UnixMilli())) // several commits
				if r := p.tel.Tasks.Readiness(); !r.Ready {
					t.Errorf("%+v", r)
				}
				return
			}
			which := map[bool]string{true: "ahead of", false: "behind"}[ahead > 0]
			w.await(testkit.Limit, "the task to stop", func() bool {
				r := p.tel.Tasks.Readiness()
				return len(r.Tasks) == 1 && r.Tasks[0].State == "paused" && strings.Contains(r.Tasks[0].Detail, runtime.ErrClock.Error()) && strings.Contains(r.Tasks[0].Detail, which)
			})
		})
	}
}

// fire_from is chosen once. The first start says what it found.
func TestFireFromIsChosenOnce(t *testing.T) {
	w := newWorld(t, 2)
	first := schemas.EventTime(1_700_000_000_000)
	var events []*schemas.Event
	for i := range 7 {
		events = append(events, order(i, "c"+string(rune('a'+i)), schemas.Paid, "o"+string(rune('a'+i)), first+schemas.EventTime(i)*schemas.Day, 100))
	}
	w.publish(events)
	pb := compile(t, starter(t))
	prepare := func(from schemas.EventTime, choose bool) (*runtime.Prepared, error) {
		return runtime.Prepare(testkit.Context(t), w.config("", "p"), runtime.PrepareOptions{Create: true, Playbook: pb, FireFrom: &from, Choose: choose, By: "e2e"})
	}
	p, err := prepare(first, true)
	if err != nil {
		t.Fatal(err)
	}
	if !p.First || p.History.Orders != 7 || p.History.Behaviors != 0 || p.History.From != first || p.History.Strange() != "" {
		t.Errorf("the first start: %+v", p)
	}
	if _, err = prepare(first, true); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err = prepare(0, false); err != nil {
		t.Errorf("a configuration that says otherwise: %v", err)
	}
	_, err = prepare(0, true)
	if !errors.Is(err, runtime.ErrFireFrom) || !strings.Contains(err.Error(), "--fire-from says the beginning") || !strings.Contains(err.Error(), "2023-11-14T22:13:20Z") {
		t.Errorf("another one: %v", err)
	}
}

// What is wrong about topics ends `run` at once, and the message says what to do.
func TestRunChecksItsTopics(t *testing.T) {
	w := newWorld(t, 2)
	testkit.CreateTopic(t, w.topics.Journal, 2, map[string]string{"cleanup.policy": "delete", "retention.ms": "86400000", "message.timestamp.type": "CreateTime"})
	testkit.CreateTopic(t, w.topics.Transfers, 2, map[string]string{"cleanup.policy": "compact"})
	book := filepath.Join(t.TempDir(), "book.yaml")
	if err := os.WriteFile(book, []byte(starter(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := w.spawn("one", w.runConfig("one", t.TempDir(), book, "history: {fire_from: beginning}\n"))
	select {
	case <-c.gone:
	case <-time.After(testkit.Limit):
		t.Fatalf("it goes on:\n%s", c.log.last(20))
	}
	said := c.log.last(50)
	for _, want := range []string{w.topics.Journal + " has retention.ms=86400000", w.topics.Journal + " has message.timestamp.type=CreateTime",
		w.topics.Transfers + " has cleanup.policy=compact", "--add-config message.timestamp.type=LogAppendTime", "the cluster has one broker"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}
