package telemetry

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"tidemark/schemas"
)

// maxValues bounds the values of an attribute that comes from outside this
// package; what is beyond is counted under "other".
const maxValues = 200

// CommitPhases says where the time of one commit went. A phase that did not
// happen is 0 and is not recorded.
type CommitPhases struct {
	Step    time.Duration // decode and core
	Produce time.Duration // triggers and journal record, to the brokers' answers
	EndTxn  time.Duration
	Apply   time.Duration // the store's batch
}

// Total is the sum of the phases.
func (p CommitPhases) Total() time.Duration { return p.Step + p.Produce + p.EndTxn + p.Apply }

// Outcome is how a batch ended. Only Committed means that its triggers are out.
type Outcome uint8

const (
	Committed Outcome = iota
	Aborted           // thrown away, to be done again by this owner
	Fenced            // another owner, or an own late take-over, came between
	Failed            // the task stops
	outcomes
)

func (o Outcome) String() string {
	switch o {
	case Committed:
		return "committed"
	case Aborted:
		return "aborted"
	case Fenced:
		return "fenced"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Metrics are the instruments of a process, made once. Every method is safe for
// concurrent use and, once the series of a task exist, allocates nothing. What a
// method counts is a whole batch.
//
// OTel names; Prometheus writes _ for . and adds the unit and _total:
//
//	tidemark.events.taken        {event}    input, task
//	tidemark.triggers.published  {trigger}  topic, status
//	tidemark.triggers.suppressed {trigger}  reason
//	tidemark.dead_letters        {record}   reason
//	tidemark.commits             {commit}   task, outcome
//	tidemark.commit.duration     s          task           histogram
//	tidemark.commit.phase.duration s       phase          histogram
//	tidemark.timers.fired        {timer}    task
//	tidemark.customers.erased    {customer} task
//	tidemark.events.forgotten    {event}    task           they occurred before their customer was erased
//	tidemark.timer.lag           s          task           histogram, the latest timer of each batch
//	tidemark.input.lag           {record}   input, task    gauge
//	tidemark.clock.lag           s          task           gauge, wall less the task's clock
//	tidemark.store.bytes         By         task           gauge
//	tidemark.disk.free           By                        gauge, where the stores lie
//	tidemark.task.state          {task}     task, state    gauge, 1 for the state it is in
type Metrics struct {
	now func() time.Time

	events, commits, timers           metric.Int64Counter
	erased, forgotten                 metric.Int64Counter
	published, suppressed, dead       metric.Int64Counter
	commitTime, phaseTime, timerDelay metric.Float64Histogram

	publishedBy, suppressedBy, deadBy *family
	phases                            [4][]metric.RecordOption

	stores   storeMetrics
	dataDir  atomic.Pointer[string]
	phasesIn phaseMetrics
	accounts accountMetrics

	// tasks is copied on write, so that the hot path takes no lock.
	mu    sync.Mutex
	tasks atomic.Pointer[map[int32]*taskSeries]
}

// taskSeries holds the attribute sets of one task and its gauges. The gauges are
// read when somebody collects, so that a task which is gone leaves no last value
// behind, and a task which is stuck shows a clock that falls behind.
type taskSeries struct {
	perInput [schemas.Inputs][]metric.AddOption
	perEnd   [outcomes][]metric.AddOption
	add      []metric.AddOption
	record   []metric.RecordOption

	inputLag   [schemas.Inputs]gauge
	clock      gauge // schemas.EventTime
	storeBytes gauge

	observeInput [schemas.Inputs][]metric.ObserveOption
	observe      []metric.ObserveOption
}

// gauge is a value that may not have been set yet.
type gauge struct{ v atomic.Int64 }

const unset = math.MinInt64

func (g *gauge) get() (int64, bool) {
	v := g.v.Load()
	return v, v != unset
}

var (
	// A commit is some 7 ms on one broker; a fenced or throttled one takes seconds.
	commitBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// A timer is promised within a second of due + delay; after an outage it is late by days.
	timerBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400, 604800}
)

func newMetrics(mp metric.MeterProvider, tasks *Tasks, now func() time.Time) (*Metrics, error) {
	m := &Metrics{now: now}
	m.tasks.Store(&map[int32]*taskSeries{})
	m.publishedBy = newFamily("topic", "status")
	m.suppressedBy = newFamily("reason", "")
	m.deadBy = newFamily("reason", "")
	for i, name := range [...]string{"step", "produce", "end_txn", "apply"} {
		m.phases[i] = []metric.RecordOption{set(attribute.String("phase", name))}
	}

	b := builder{meter: mp.Meter(scope)}
	m.events = b.counter("tidemark.events.taken", "{event}", "Records taken from the inputs, dead letters included.")
	m.published = b.counter("tidemark.triggers.published", "{trigger}", "Triggers published in committed transactions.")
	m.suppressed = b.counter("tidemark.triggers.suppressed", "{trigger}", "Triggers withheld, by reason.")
	m.dead = b.counter("tidemark.dead_letters", "{record}", "Records refused, by reason.")
	m.commits = b.counter("tidemark.commits", "{commit}", "Batches that ended, by outcome.")
	m.timers = b.counter("tidemark.timers.fired", "{timer}", "Timers fired.")
	m.erased = b.counter("tidemark.customers.erased", "{customer}", "Customers erased.")
	m.forgotten = b.counter("tidemark.events.forgotten", "{event}", "Events dropped because they occurred before their customer was erased.")
	m.commitTime = b.histogram("tidemark.commit.duration", "Time of a commit, from decoding to the store.", commitBuckets)
	m.phaseTime = b.histogram("tidemark.commit.phase.duration", "Time of a commit by phase.", commitBuckets)
	m.timerDelay = b.histogram("tidemark.timer.lag", "How late the latest timer of a batch fired.", timerBuckets)
	inputLag := b.gauge("tidemark.input.lag", "{record}", "Records of an input that the task has not taken yet.")
	storeBytes := b.gauge("tidemark.store.bytes", "By", "Size of the task's store on disk.")
	diskFree := b.gauge("tidemark.disk.free", "By", "Bytes that are free where the stores lie.")
	state := b.gauge("tidemark.task.state", "{task}", "1 for the state that the task is in, 0 for the others.")
	clockLag, err := b.meter.Float64ObservableGauge("tidemark.clock.lag", metric.WithUnit("s"),
		metric.WithDescription("Wall time less the task's clock."))
	b.keep(err)
	if err := m.registerStores(&b); err != nil {
		return nil, err
	}
	if err := m.registerPhases(&b); err != nil {
		return nil, err
	}
	if err := m.registerAccounts(&b); err != nil {
		return nil, err
	}

	_, err = b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		wall := m.now()
		for _, s := range *m.tasks.Load() {
			for i := range s.inputLag {
				if v, ok := s.inputLag[i].get(); ok {
					o.ObserveInt64(inputLag, v, s.observeInput[i]...)
				}
			}
			if v, ok := s.storeBytes.get(); ok {
				o.ObserveInt64(storeBytes, v, s.observe...)
			}
			if v, ok := s.clock.get(); ok {
				o.ObserveFloat64(clockLag, float64(wall.UnixMilli()-v)/1000, s.observe...)
			}
		}
		if dir := m.dataDir.Load(); dir != nil {
			if free, err := freeBytes(*dir); err == nil {
				o.ObserveInt64(diskFree, free)
			}
		}
		for _, t := range tasks.Readiness().Tasks {
			for _, name := range states {
				var v int64
				if t.State == name {
					v = 1
				}
				o.ObserveInt64(state, v, set(attribute.Int("task", int(t.Task)), attribute.String("state", string(name))))
			}
		}
		return nil
	}, inputLag, storeBytes, diskFree, clockLag, state)
	if err != nil {
		return nil, fmt.Errorf("telemetry: instruments: %w", err)
	}
	return m, nil
}

// Batch counts the records that a task took from one input.
func (m *Metrics) Batch(task int32, input schemas.Input, events int) {
	if input < 0 || input >= schemas.Inputs {
		return
	}
	m.events.Add(context.Background(), int64(events), m.of(task).perInput[input]...)
}

// Commit counts one committed batch and its times.
func (m *Metrics) Commit(task int32, p CommitPhases) {
	s := m.of(task)
	ctx := context.Background()
	m.commits.Add(ctx, 1, s.perEnd[Committed]...)
	m.commitTime.Record(ctx, p.Total().Seconds(), s.record...)
	for i, d := range [...]time.Duration{p.Step, p.Produce, p.EndTxn, p.Apply} {
		if d > 0 {
			m.phaseTime.Record(ctx, d.Seconds(), m.phases[i]...)
		}
	}
}

// CommitFailed counts a batch that was not committed.
func (m *Metrics) CommitFailed(task int32, o Outcome) {
	if o >= outcomes {
		o = Failed
	}
	m.commits.Add(context.Background(), 1, m.of(task).perEnd[o]...)
}

// Triggers counts n triggers that a committed transaction put into topic.
func (m *Metrics) Triggers(topic schemas.Topic, status string, n int) {
	m.published.Add(context.Background(), int64(n), m.publishedBy.of(string(topic), status)...)
}

// Suppressed counts n triggers that were withheld for a reason of the contract.
func (m *Metrics) Suppressed(reason string, n int) {
	m.suppressed.Add(context.Background(), int64(n), m.suppressedBy.of(reason, "")...)
}

// DeadLetters counts n records that were refused; reason is the stable code.
func (m *Metrics) DeadLetters(reason string, n int) {
	m.dead.Add(context.Background(), int64(n), m.deadBy.of(reason, "")...)
}

// TimersFired counts the n timers of one batch; latest is the largest time that
// one of them fired after it was due, by the wall clock.
func (m *Metrics) TimersFired(task int32, n int, latest time.Duration) {
	if n <= 0 {
		return
	}
	s := m.of(task)
	m.timers.Add(context.Background(), int64(n), s.add...)
	m.timerDelay.Record(context.Background(), max(0, latest.Seconds()), s.record...)
}

// Erased counts n customers who were erased.
func (m *Metrics) Erased(task int32, n int) {
	m.erased.Add(context.Background(), int64(n), m.of(task).add...)
}

// Forgotten counts n events that were dropped because they occurred before their
// customer was erased.
func (m *Metrics) Forgotten(task int32, n int) {
	m.forgotten.Add(context.Background(), int64(n), m.of(task).add...)
}

// InputLag puts down how many records of an input wait for a task.
func (m *Metrics) InputLag(task int32, input schemas.Input, records int64) {
	if input < 0 || input >= schemas.Inputs {
		return
	}
	m.of(task).inputLag[input].v.Store(max(0, records))
}

// Clock puts down where a task's clock stands. The lag is taken when somebody
// collects, so a task that no longer calls falls behind visibly.
func (m *Metrics) Clock(task int32, clock schemas.EventTime) {
	m.of(task).clock.v.Store(int64(clock))
}

// DataDir names the folder of the stores, whose disk is looked at whenever
// somebody collects. A folder that is not there yet gives no value.
func (m *Metrics) DataDir(path string) { m.dataDir.Store(&path) }

// StoreBytes puts down the size of a task's store on disk.
func (m *Metrics) StoreBytes(task int32, bytes int64) {
	m.of(task).storeBytes.v.Store(bytes)
}

func (m *Metrics) of(task int32) *taskSeries {
	if s := (*m.tasks.Load())[task]; s != nil {
		return s
	}
	return m.create(task)
}

func (m *Metrics) create(task int32) *taskSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.tasks.Load()
	if s := old[task]; s != nil {
		return s
	}
	number := attribute.Int("task", int(task))
	s := &taskSeries{
		add:     []metric.AddOption{set(number)},
		record:  []metric.RecordOption{set(number)},
		observe: []metric.ObserveOption{set(number)},
	}
	for i := range s.perInput {
		o := set(number, attribute.String("input", schemas.Input(i).String()))
		s.perInput[i] = []metric.AddOption{o}
		s.observeInput[i] = []metric.ObserveOption{o}
		s.inputLag[i].v.Store(unset)
	}
	for i := range s.perEnd {
		s.perEnd[i] = []metric.AddOption{set(number, attribute.String("outcome", Outcome(i).String()))}
	}
	s.clock.v.Store(unset)
	s.storeBytes.v.Store(unset)
	tasks := maps.Clone(old)
	tasks[task] = s
	m.tasks.Store(&tasks)
	return s
}

func (m *Metrics) forget(task int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tasks := maps.Clone(*m.tasks.Load())
	delete(tasks, task)
	m.tasks.Store(&tasks)
	m.stores.mu.Lock()
	delete(m.stores.tasks, task)
	m.stores.mu.Unlock()
	m.phasesIn.mu.Lock()
	delete(m.phasesIn.sizes, task)
	m.phasesIn.mu.Unlock()
	m.accounts.mu.Lock()
	delete(m.accounts.units, task)
	delete(m.accounts.owed, task)
	m.accounts.mu.Unlock()
}

// family gives the attribute set of one or two values that come from outside,
// each combination built once.
type family struct {
	names [2]string
	other []metric.AddOption
	mu    sync.Mutex
	known atomic.Pointer[map[[2]string][]metric.AddOption]
}

// newFamily names the attributes; an empty second name means that there is one only.
func newFamily(first, second string) *family {
	f := &family{names: [2]string{first, second}}
	f.other = f.build([2]string{"other", "other"})
	f.known.Store(&map[[2]string][]metric.AddOption{})
	return f
}

func (f *family) build(values [2]string) []metric.AddOption {
	attrs := []attribute.KeyValue{attribute.String(f.names[0], values[0])}
	if f.names[1] != "" {
		attrs = append(attrs, attribute.String(f.names[1], values[1]))
	}
	return []metric.AddOption{set(attrs...)}
}

func (f *family) of(first, second string) []metric.AddOption {
	key := [2]string{first, second}
	if o, ok := (*f.known.Load())[key]; ok {
		return o
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := *f.known.Load()
	if o, ok := old[key]; ok {
		return o
	}
	if len(old) >= maxValues {
		return f.other
	}
	// The caller's strings may point into the bytes of a batch.
	key = [2]string{strings.Clone(first), strings.Clone(second)}
	o := f.build(key)
	known := maps.Clone(old)
	known[key] = o
	f.known.Store(&known)
	return o
}

func set(attrs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attrs...))
}

// builder makes instruments and keeps the first error.
type builder struct {
	meter metric.Meter
	err   error
}

func (b *builder) keep(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *builder) counter(name, unit, description string) metric.Int64Counter {
	c, err := b.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.keep(err)
	return c
}

func (b *builder) histogram(name, description string, buckets []float64) metric.Float64Histogram {
	h, err := b.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(buckets...))
	b.keep(err)
	return h
}

func (b *builder) gauge(name, unit, description string) metric.Int64ObservableGauge {
	g, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.keep(err)
	return g
}
