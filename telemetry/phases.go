package telemetry

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// phaseMetrics is how many customers stand where: the sizes of segments, tags
// and stages. A playbook names them, so their number is bounded by it.
//
//	tidemark.customers.in_phase {customer} task, block, rule, phase  gauge
type phaseMetrics struct {
	mu    sync.Mutex
	sizes map[int32]map[phaseKey]int64
}

type phaseKey struct{ block, rule, phase string }

func (m *Metrics) registerPhases(b *builder) error {
	s := &m.phasesIn
	s.sizes = map[int32]map[phaseKey]int64{}
	g := b.gauge("tidemark.customers.in_phase", "{customer}", "Customers in a segment, with a tag, or in a stage.")
	if b.err != nil {
		return fmt.Errorf("telemetry: instruments: %w", b.err)
	}
	_, err := b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for task, sizes := range s.sizes {
			for k, n := range sizes {
				o.ObserveInt64(g, n, set(attribute.Int("task", int(task)), attribute.String("block", k.block),
					attribute.String("rule", k.rule), attribute.String("phase", k.phase)))
			}
		}
		return nil
	}, g)
	if err != nil {
		return fmt.Errorf("telemetry: instruments: %w", err)
	}
	return nil
}

// InPhase puts down how many of a task's customers stand in a phase.
func (m *Metrics) InPhase(task int32, block, rule, phase string, customers int64) {
	s := &m.phasesIn
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sizes[task] == nil {
		s.sizes[task] = map[phaseKey]int64{}
	}
	s.sizes[task][phaseKey{block, rule, phase}] = customers
}
