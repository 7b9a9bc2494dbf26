package telemetry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// StoreFailure is what went wrong with a task's store.
type StoreFailure string

const (
	DiskFull        StoreFailure = "disk_full"        // writing waits for room
	DiskFailed      StoreFailure = "disk_failed"      // a write failed; the store is opened again
	StoreDamaged    StoreFailure = "damaged"          // moved aside, made anew
	CheckpointUnfit StoreFailure = "checkpoint_unfit" // damaged, or not of this journal; an older one is taken
)

// storeMetrics are the instruments of stores and their checkpoints. None is on
// a hot path.
//
//	tidemark.checkpoints          {checkpoint} task, outcome  saved or failed
//	tidemark.checkpoint.bytes     By           task           uploaded
//	tidemark.checkpoint.age       s            task           gauge, since the last that is up to date
//	tidemark.restore.bytes        By           task           gauge, still to be downloaded
//	tidemark.restore.left         s            task           gauge, at the pace so far
//	tidemark.store.failures       {failure}    task, kind
type storeMetrics struct {
	saved, uploaded, failures metric.Int64Counter

	mu    sync.Mutex
	tasks map[int32]*storeGauges
}

type storeGauges struct {
	saved time.Time // zero: none yet
	bytes int64     // still to be downloaded
	left  time.Duration
}

func (m *Metrics) registerStores(b *builder) error {
	s := &m.stores
	s.tasks = map[int32]*storeGauges{}
	s.saved = b.counter("tidemark.checkpoints", "{checkpoint}", "Checkpoints of a task's store, by outcome.")
	s.uploaded = b.counter("tidemark.checkpoint.bytes", "By", "Bytes uploaded for checkpoints.")
	s.failures = b.counter("tidemark.store.failures", "{failure}", "What went wrong with stores, by kind.")
	bytes := b.gauge("tidemark.restore.bytes", "By", "Bytes of a checkpoint still to be downloaded.")
	age, err := b.meter.Float64ObservableGauge("tidemark.checkpoint.age", metric.WithUnit("s"), metric.WithDescription("Time since the store was last saved, or found unchanged."))
	b.keep(err)
	left, err := b.meter.Float64ObservableGauge("tidemark.restore.left", metric.WithUnit("s"), metric.WithDescription("Time that a restore still takes, at the pace so far."))
	b.keep(err)
	if b.err != nil {
		return fmt.Errorf("telemetry: instruments: %w", b.err)
	}
	_, err = b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for task, g := range s.tasks {
			number := set(attribute.Int("task", int(task)))
			if !g.saved.IsZero() {
				o.ObserveFloat64(age, m.now().Sub(g.saved).Seconds(), number)
			}
			o.ObserveInt64(bytes, g.bytes, number)
			o.ObserveFloat64(left, g.left.Seconds(), number)
		}
		return nil
	}, bytes, age, left)
	if err != nil {
		return fmt.Errorf("telemetry: instruments: %w", err)
	}
	return nil
}

func (s *storeMetrics) change(task int32, fn func(*storeGauges)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[task] == nil {
		s.tasks[task] = &storeGauges{}
	}
	fn(s.tasks[task])
}

// CheckpointSaved counts a checkpoint and the bytes that it uploaded; 0 bytes:
// there was nothing new to save.
func (m *Metrics) CheckpointSaved(task int32, bytes int64, at time.Time) {
	m.stores.change(task, func(g *storeGauges) { g.saved = at })
	if bytes == 0 {
		return
	}
	number := attribute.Int("task", int(task))
	m.stores.saved.Add(context.Background(), 1, set(number, attribute.String("outcome", "saved")))
	m.stores.uploaded.Add(context.Background(), bytes, set(number))
}

// CheckpointFailed counts a checkpoint that could not be saved.
func (m *Metrics) CheckpointFailed(task int32) {
	m.stores.saved.Add(context.Background(), 1, set(attribute.Int("task", int(task)), attribute.String("outcome", "failed")))
}

// Restore puts down how much of a restore is left.
func (m *Metrics) Restore(task int32, bytes int64, left time.Duration) {
	m.stores.change(task, func(g *storeGauges) { g.bytes, g.left = bytes, left })
}

// StoreFailed counts what went wrong with a task's store.
func (m *Metrics) StoreFailed(task int32, kind StoreFailure) {
	m.stores.failures.Add(context.Background(), 1, set(attribute.Int("task", int(task)), attribute.String("kind", string(kind))))
}
