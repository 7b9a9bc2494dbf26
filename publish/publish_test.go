package publish_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"tidemark/publish"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/testkit"
)

func target(t *testing.T) publish.Config {
	t.Helper()
	c, err := registry.NewClient(registry.Config{URLs: []string{testkit.Registry(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return publish.Config{Brokers: []string{testkit.Broker(t)}, Orders: testkit.Topic(t, "orders", 3, nil), Behaviors: testkit.Topic(t, "behaviors", 3, nil),
		Partitions: 3, Registry: c, Batch: 7}
}

// event is the n-th of a stream of both kinds.
func event(n int) *schemas.Event {
	e := &schemas.Event{EventID: fmt.Sprintf("e%04d", n), CustomerID: fmt.Sprintf("c%d", n%50), OccurredAt: schemas.EventTime(n)}
	if n%3 == 0 {
		e.Kind, e.Type = schemas.Behavior, "app.opened"
	} else {
		e.Order, e.OrderID, e.Currency = schemas.Paid, e.EventID, "USD"
	}
	return e
}

// Stopped anywhere and resumed from the state file, a stream arrives whole and
// in order within each partition, apart from repeats of what was under way.
func TestStoppedAndResumed(t *testing.T) {
	const events = 600
	cfg := target(t)
	path := filepath.Join(t.TempDir(), "state.json")
	for _, stop := range []int{1, 100, 350, events} {
		ctx, cancel := context.WithCancel(testkit.Context(t))
		state, err := publish.ReadState(path)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Resume = state
		p, err := publish.New(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for n := range events {
			if n == stop {
				p.Push(ctx)
				cancel()
			}
			if err := p.Event(ctx, event(n)); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				break
			}
		}
		err = p.Finish(ctx)
		if stop == events && (err != nil || p.Acked()+p.Passed() != events) {
			t.Fatalf("the last run: %v, %d acknowledged, %d passed over", err, p.Acked(), p.Passed())
		}
		if err := p.State("x").Write(path); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	total := 0
	for _, topic := range []string{cfg.Orders, cfg.Behaviors} {
		kind := schemas.Order
		if topic == cfg.Behaviors {
			kind = schemas.Behavior
		}
		rd, err := schemas.CompileReader(schemas.Text(kind.Record()), kind)
		if err != nil {
			t.Fatal(err)
		}
		last, seen := map[int32]string{}, map[string]bool{}
		for _, r := range testkit.ReadCommitted(t, topic) {
			_, body, err := schemas.ParseWire(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			var e schemas.Event
			if err := rd.Decode(body, &e); err != nil {
				t.Fatal(err)
			}
			if seen[e.EventID] {
				continue
			}
			if e.EventID <= last[r.Partition] {
				t.Errorf("%s/%d: %s after %s", topic, r.Partition, e.EventID, last[r.Partition])
			}
			seen[e.EventID], last[r.Partition] = true, e.EventID
		}
		total += len(seen)
	}
	if total != events {
		t.Errorf("%d different events arrived of %d", total, events)
	}
	state, err := publish.ReadState(path)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, a := range state.Acknowledged {
		sum += a.Events
	}
	if sum != events {
		t.Errorf("the state has %d events of %d", sum, events)
	}
}

func TestInspect(t *testing.T) {
	orders := testkit.Topic(t, "orders", 2, nil)
	for _, other := range []string{testkit.Topic(t, "three", 3, nil), "none"} {
		if _, err := publish.Inspect(testkit.Context(t), []string{testkit.Broker(t)}, nil, orders, other); !errors.Is(err, publish.ErrTopics) {
			t.Errorf("%s: %v", other, err)
		}
	}
	got, err := publish.Inspect(testkit.Context(t), []string{testkit.Broker(t)}, nil, orders, testkit.Topic(t, "two", 2, nil))
	if err != nil || got.Partitions != 2 || got.Cluster == "" {
		t.Errorf("%+v, %v", got, err)
	}
}
