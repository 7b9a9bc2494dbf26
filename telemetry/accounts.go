package telemetry

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// accountMetrics is what a task's customers hold in ledgers and of benefits, and
// where units went. A playbook names the ledgers and the named accounts, so their
// number is bounded by it.
//
//	tidemark.ledger.units      {unit} task, ledger, what  gauge
//	tidemark.ledger.liability  {minor} task, ledger       gauge
type accountMetrics struct {
	mu    sync.Mutex
	units map[int32]map[unitKey]int64
	owed  map[int32]map[string]int64
}

type unitKey struct{ ledger, what string }

func (m *Metrics) registerAccounts(b *builder) error {
	s := &m.accounts
	s.units, s.owed = map[int32]map[unitKey]int64{}, map[int32]map[string]int64{}
	units := b.gauge("tidemark.ledger.units", "{unit}", "Units of a ledger or benefit, by where they are or went.")
	owed := b.gauge("tidemark.ledger.liability", "{minor}", "What open units are worth, in minor units of the playbook's currency.")
	if b.err != nil {
		return fmt.Errorf("telemetry: instruments: %w", b.err)
	}
	_, err := b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for task, all := range s.units {
			for k, n := range all {
				o.ObserveInt64(units, n, set(attribute.Int("task", int(task)), attribute.String("ledger", k.ledger), attribute.String("what", k.what)))
			}
		}
		for task, all := range s.owed {
			for k, n := range all {
				o.ObserveInt64(owed, n, set(attribute.Int("task", int(task)), attribute.String("ledger", k)))
			}
		}
		return nil
	}, units, owed)
	if err != nil {
		return fmt.Errorf("telemetry: instruments: %w", err)
	}
	return nil
}

// Units puts down how many units of a ledger are, or went, where what says.
func (m *Metrics) Units(task int32, ledger, what string, units int64) {
	s := &m.accounts
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units[task] == nil {
		s.units[task] = map[unitKey]int64{}
	}
	s.units[task][unitKey{ledger, what}] = units
}

// Liability puts down what a ledger's open units are worth.
func (m *Metrics) Liability(task int32, ledger string, minor int64) {
	s := &m.accounts
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owed[task] == nil {
		s.owed[task] = map[string]int64{}
	}
	s.owed[task][ledger] = minor
}
