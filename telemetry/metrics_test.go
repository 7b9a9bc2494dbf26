package telemetry

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"tidemark/schemas"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testMetrics(t testing.TB) (*Metrics, *Tasks, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithCardinalityLimit(0))
	t.Cleanup(func() { mp.Shutdown(context.Background()) })
	tasks := newTasks(func() time.Time { return testNow })
	m, err := newMetrics(mp, tasks, func() time.Time { return testNow })
	if err != nil {
		t.Fatal(err)
	}
	return m, tasks, reader
}

// collect gives every point by name and attributes; a histogram as count and sum.
func collect(t testing.TB, reader *sdkmetric.ManualReader) map[string]string {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	points := map[string]string{}
	put := func(name string, attrs attribute.Set, value string) {
		points[name+"{"+attrs.Encoded(attribute.DefaultEncoder())+"}"] = value
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, fmt.Sprint(p.Value))
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, fmt.Sprint(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, fmt.Sprint(p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, fmt.Sprintf("%d %.3f", p.Count, p.Sum))
				}
			default:
				t.Fatalf("%s: %T", m.Name, data)
			}
		}
	}
	return points
}

func TestMetricsSay(t *testing.T) {
	m, tasks, reader := testMetrics(t)
	m.Batch(3, schemas.OrderEvents, 100)
	m.Batch(3, schemas.OrderEvents, 20)
	m.Batch(4, schemas.BehaviorEvents, 7)
	m.Batch(3, schemas.Inputs, 1) // no such input
	m.Batch(3, -1, 1)
	m.Commit(3, CommitPhases{Step: 4 * time.Millisecond, Produce: 3 * time.Millisecond, EndTxn: 2 * time.Millisecond})
	m.CommitFailed(3, Fenced)
	m.CommitFailed(3, 200)
	m.Triggers(schemas.TierChanges, schemas.Fired, 5)
	m.Triggers(schemas.TierChanges, schemas.Retracted, 1)
	m.Suppressed("stale", 2)
	m.DeadLetters("too_late", 3)
	m.TimersFired(3, 9, 1500*time.Millisecond)
	m.TimersFired(3, 1, -time.Second)
	m.TimersFired(3, 0, time.Hour)
	m.InputLag(3, schemas.OrderEvents, 42)
	m.InputLag(3, schemas.BehaviorEvents, -1)
	m.InputLag(3, schemas.Inputs, 1)
	m.Clock(3, schemas.EventTime(testNow.Add(-2500*time.Millisecond).UnixMilli()))
	m.StoreBytes(3, 1<<20)
	m.Units(3, "points", "available", 70)
	m.Liability(3, "points", 65)
	tasks.Set(3, TaskStatus{State: Restoring})

	want := map[string]string{
		"tidemark.ledger.units{ledger=points,task=3,what=available}":       "70",
		"tidemark.ledger.liability{ledger=points,task=3}":                  "65",
		"tidemark.events.taken{input=order-events,task=3}":                 "120",
		"tidemark.events.taken{input=behavior-events,task=4}":              "7",
		"tidemark.commits{outcome=committed,task=3}":                       "1",
		"tidemark.commits{outcome=fenced,task=3}":                          "1",
		"tidemark.commits{outcome=failed,task=3}":                          "1",
		"tidemark.commit.duration{task=3}":                                 "1 0.009",
		"tidemark.commit.phase.duration{phase=step}":                       "1 0.004",
		"tidemark.commit.phase.duration{phase=produce}":                    "1 0.003",
		"tidemark.commit.phase.duration{phase=end_txn}":                    "1 0.002",
		"tidemark.triggers.published{status=FIRED,topic=tier-changes}":     "5",
		"tidemark.triggers.published{status=RETRACTED,topic=tier-changes}": "1",
		"tidemark.triggers.suppressed{reason=stale}":                       "2",
		"tidemark.dead_letters{reason=too_late}":                           "3",
		"tidemark.timers.fired{task=3}":                                    "10",
		"tidemark.timer.lag{task=3}":                                       "2 1.500",
		"tidemark.input.lag{input=order-events,task=3}":                    "42",
		"tidemark.input.lag{input=behavior-events,task=3}":                 "0",
		"tidemark.clock.lag{task=3}":                                       "2.5",
		"tidemark.store.bytes{task=3}":                                     "1048576",
		"tidemark.task.state{state=restoring,task=3}":                      "1",
		"tidemark.task.state{state=running,task=3}":                        "0",
		"tidemark.task.state{state=waiting,task=3}":                        "0",
		"tidemark.task.state{state=standby,task=3}":                        "0",
		"tidemark.task.state{state=paused,task=3}":                         "0",
	}
	got := collect(t, reader)
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s = %q, want %q", name, got[name], v)
		}
	}
	for name, v := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s = %s was not expected", name, v)
		}
	}
}

func TestDroppedTaskLeavesNoGauge(t *testing.T) {
	m, tasks, reader := testMetrics(t)
	tel := &Telemetry{Metrics: m, Tasks: tasks}
	tasks.Set(3, TaskStatus{State: Running})
	m.InputLag(3, schemas.OrderEvents, 42)
	m.Clock(3, 0)
	m.StoreBytes(3, 5)
	m.Batch(3, schemas.OrderEvents, 1)
	if got, want := len(collect(t, reader)), 3+len(states)+1; got != want {
		t.Fatalf("%d points, want %d", got, want)
	}
	tel.DropTask(3)
	got := collect(t, reader)
	if len(got) != 1 || got["tidemark.events.taken{input=order-events,task=3}"] != "1" {
		t.Errorf("left behind: %v, want only the counter", got)
	}
	m.Batch(3, schemas.OrderEvents, 1) // the task comes back
	if got, want := collect(t, reader)["tidemark.events.taken{input=order-events,task=3}"], "2"; got != want {
		t.Errorf("counter %s, want %s", got, want)
	}
}

func TestOutsideValuesAreBounded(t *testing.T) {
	m, _, reader := testMetrics(t)
	// A view of bytes that change, as the strings of a batch are.
	name := []byte("reason-0000")
	view := unsafe.String(&name[0], len(name))
	for i := range 3 * maxValues {
		copy(name[7:], fmt.Sprintf("%04d", i))
		m.DeadLetters(view, 1)
	}
	copy(name[7:], "0005")
	m.DeadLetters(view, 1)
	points := collect(t, reader)
	if got, want := len(points), maxValues+1; got != want {
		t.Errorf("%d series, want %d", got, want)
	}
	if got, want := points["tidemark.dead_letters{reason=other}"], fmt.Sprint(2*maxValues); got != want {
		t.Errorf("other = %s, want %s", got, want)
	}
	if got, want := points["tidemark.dead_letters{reason=reason-0005}"], "2"; got != want {
		t.Errorf("reason-0005 = %s, want %s", got, want)
	}
}

func TestMetricsAreSafeTogether(t *testing.T) {
	m, tasks, reader := testMetrics(t)
	tel := &Telemetry{Metrics: m, Tasks: tasks}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range int32(200) {
				m.Batch(i, schemas.OrderEvents, 1)
				m.Triggers(schemas.Topic(fmt.Sprint("t", i)), schemas.Fired, 1)
				m.Clock(i, 1)
				tasks.Set(i, TaskStatus{State: Running})
				if g == 0 {
					tel.DropTask(i)
				}
			}
		})
	}
	for range 5 {
		collect(t, reader)
	}
	wg.Wait()
	if got, want := collect(t, reader)["tidemark.events.taken{input=order-events,task=7}"], "4"; got != want {
		t.Errorf("task 7: %s events, want %s", got, want)
	}
}

func recordBatch(m *Metrics) {
	m.Batch(300, schemas.OrderEvents, 500)
	m.Batch(300, schemas.BehaviorEvents, 500)
	m.Triggers(schemas.TierChanges, schemas.Fired, 3)
	m.Suppressed("history", 3)
	m.DeadLetters("too_late", 1)
	m.TimersFired(300, 4, time.Second)
	m.InputLag(300, schemas.OrderEvents, 10)
	m.Clock(300, 1)
	m.StoreBytes(300, 1)
	m.CommitFailed(300, Aborted)
	m.Commit(300, CommitPhases{Step: time.Millisecond, Produce: time.Millisecond, EndTxn: time.Millisecond, Apply: time.Millisecond})
}

func TestRecordingDoesNotAllocate(t *testing.T) {
	m, _, _ := testMetrics(t)
	recordBatch(m)
	if got := testing.AllocsPerRun(100, func() { recordBatch(m) }); got != 0 {
		t.Errorf("%v allocations per batch, want 0", got)
	}
}

func BenchmarkRecordBatch(b *testing.B) {
	m, _, _ := testMetrics(b)
	recordBatch(m)
	b.ReportAllocs()
	for b.Loop() {
		recordBatch(m)
	}
}
