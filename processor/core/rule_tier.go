package core

import (
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/tier"
	"tidemark/schemas"
)

// tierRule: the phase is the level.
type tierRule struct {
	pb     *playbook.Tier
	growth *playbook.Growth
	rid    uint32
}

func (r *tierRule) common() *playbook.Common                     { return &r.pb.Common }
func (r *tierRule) id() uint32                                   { return r.rid }
func (r *tierRule) resume(history.View, schemas.EventTime) int64 { return 0 }

func (r *tierRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	s := tier.At(r.pb, r.growth, v, at)
	return standing{phase: s.Level, due: s.Until, fire: s.Level != before.phase}
}

func (r *tierRule) trigger(v history.View, m *move) schemas.Trigger {
	s := tier.At(r.pb, r.growth, v, m.facts)
	value := s.Value
	s.Level = m.to
	t := tier.Change(r.pb, m.from, s)
	t.MissingToKeep = tier.Missing(r.pb, r.growth, v, m.facts, s)
	if t.MissingToNext < 0 { // of what is taken back
		t.MissingToNext = 0
	}
	fact := "growth_value"
	if r.pb.Window != 0 {
		fact += "_" + strconv.FormatInt(int64(r.pb.Window/schemas.Day), 10) + "d"
	}
	// What decided on the way up is the level reached, on the way down the one
	// above, which is no longer.
	if m.to > m.from {
		t.Evidence = []schemas.Evidence{compared(fact, value, ">=", r.pb.Levels[m.to].Reach)}
	} else {
		t.Evidence = []schemas.Evidence{compared(fact, value, "<", r.pb.Levels[min(int(m.to)+1, len(r.pb.Levels)-1)].Reach)}
	}
	return t
}
