package runtime

import "tidemark/processor/core"

// accounts tells what the customers hold in ledgers and of benefits.
func (l *life) accounts(all []core.BookSum) {
	m := l.cfg.Telemetry.Metrics
	for _, s := range all {
		for i, what := range core.TotalNames {
			m.Units(l.task, s.Name, what, s.Totals[i])
		}
		for _, n := range s.Named {
			m.Units(l.task, s.Name, "named:"+n.Name, n.Units)
		}
		m.Liability(l.task, s.Name, s.Minor)
	}
}
