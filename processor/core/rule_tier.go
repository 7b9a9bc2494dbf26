package core

import (
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/award"
	"tidemark/processor/facts"
	"tidemark/processor/history"
	"tidemark/processor/tier"
	"tidemark/schemas"
	"tidemark/state"
)

// tierRule: the phase is the level. A program over a plain window asks processor/
// tier what the level is at an instant; an extended one hangs on the level before.
type tierRule struct {
	pb       *playbook.Tier
	growth   *playbook.Growth // nil where a fact decides
	rid      uint32
	prog     tier.Program
	extended bool
	levels   history.Stream // its own, where a multiplier reads them
	told     []state.Firing // of the rewind under way, where refunds take nothing back
}

func (c *Core) newTier(t *playbook.Tier) *tierRule {
	pb := c.pb
	ids := func(i int) history.Stream { return c.streams.ids[i] }
	r := &tierRule{pb: t, rid: c.name(t.Name), extended: t.Extended(pb.Growth),
		prog: tier.Program{T: t, Grants: ids(t.Grants), Member: ids(t.Member)}}
	if t.Told != 0 {
		r.levels = ids(t.Told)
	}
	for _, b := range t.Bought {
		r.prog.Bought = append(r.prog.Bought, ids(b.Stream))
	}
	if t.Fact != "" {
		def, _ := pb.FactNamed(t.Fact)
		f := facts.Bind(def, ids)
		r.prog.Fact = &f
		return r
	}
	r.growth = &pb.Growth[t.Growth]
	g := r.growth
	if g.Factors == nil {
		plain := *g
		plain.Factors = []playbook.Factor{{Numerator: g.Numerator, Denominator: g.Denominator}}
		g = &plain
	}
	r.prog.Growth = award.Bind(g, ids)
	return r
}

func (r *tierRule) common() *playbook.Common                     { return &r.pb.Common }
func (r *tierRule) id() uint32                                   { return r.rid }
func (r *tierRule) resume(history.View, schemas.EventTime) int64 { return 0 }

func (r *tierRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	if r.extended {
		told := int32(0)
		for i := range r.told {
			if f := &r.told[i]; f.At == at && f.To > f.From {
				told = f.To
			}
		}
		s := r.prog.Eval(v, at, before.phase, told, before.since)
		return standing{phase: s.Level, due: s.Due, fire: s.Level != before.phase || s.Renewed}
	}
	s := tier.At(r.pb, r.growth, v, at)
	if r.prog.HasGrants(v) {
		level, until := r.prog.Grant(v, at)
		if s.Level = max(s.Level, level); until > at && (s.Until == 0 || until < s.Until) {
			s.Until = until
		}
	}
	return standing{phase: s.Level, due: s.Until, fire: s.Level != before.phase}
}

func (r *tierRule) trigger(v history.View, m *move) schemas.Trigger {
	if r.extended || r.prog.HasGrants(v) {
		return r.extendedTrigger(v, m)
	}
	s := tier.At(r.pb, r.growth, v, m.facts)
	value := s.Value
	s.Level = m.to
	t := tier.Change(r.pb, m.from, s)
	t.MissingToKeep = tier.Missing(r.pb, r.growth, v, m.facts, s)
	if t.MissingToNext < 0 { // of what is taken back
		t.MissingToNext = 0
	}
	fact := r.fact()
	// What decided on the way up is the level reached, on the way down the one
	// above, which is no longer.
	if m.to > m.from {
		t.Evidence = []schemas.Evidence{compared(fact, value, ">=", r.pb.Levels[m.to].Reach)}
	} else {
		t.Evidence = []schemas.Evidence{compared(fact, value, "<", r.pb.Levels[min(int(m.to)+1, len(r.pb.Levels)-1)].Reach)}
	}
	return t
}

// fact is what the evidence calls the value that decides.
func (r *tierRule) fact() string {
	switch {
	case r.pb.Fact != "":
		return r.pb.Fact
	case r.pb.Window != 0:
		return "growth_value_" + strconv.FormatInt(int64(r.pb.Window/schemas.Day), 10) + "d"
	case r.pb.Cycle != "":
		return "growth_value_" + r.pb.Cycle
	}
	return "growth_value"
}

func (r *tierRule) extendedTrigger(v history.View, m *move) schemas.Trigger {
	p := &r.prog
	decided := p.Eval(v, m.facts, m.from, 0, m.since)
	since := m.since
	if m.to != m.from {
		since = m.at
	}
	t := tier.Change(r.pb, m.from, tier.Standing{Level: m.to, Value: decided.Value})
	if m.to == m.from {
		t.Kind = "renewal"
	}
	if t.NextTier != "" {
		t.MissingToNext = max(r.pb.Levels[m.to+1].Reach-p.Value(v, m.facts, since), 0)
	}
	until, missing, _ := p.Fall(v, m.facts, m.to, since)
	if until != 0 {
		t.ValidUntil, t.MissingToKeep = &until, missing
	}
	fact := r.fact()
	level, _ := p.Grant(v, m.facts)
	switch {
	case level == m.to && m.to > m.from && decided.Value < r.pb.Levels[m.to].Reach:
		t.Evidence = []schemas.Evidence{{Fact: "tier_granted", Value: r.pb.Levels[m.to].Name, Comparison: "==", Limit: r.pb.Levels[m.to].Name}}
	case m.to >= m.from:
		limit := r.pb.Levels[m.to].Reach
		if m.to == m.from {
			limit = r.pb.Levels[m.to].Keep
		}
		t.Evidence = []schemas.Evidence{compared(fact, decided.Value, ">=", limit)}
	default:
		t.Evidence = []schemas.Evidence{compared(fact, decided.Value, "<", r.pb.Levels[m.from].Keep)}
		if decided.Ended {
			t.Evidence = append(t.Evidence, schemas.Evidence{Fact: "tier_granted", Value: r.pb.Levels[level].Name, Comparison: "!=", Limit: r.pb.Levels[m.from].Name})
		}
	}
	return t
}

// readsMarks says whether more than orders moves the program.
func (r *tierRule) readsMarks(v history.View) bool { return r.extended || r.prog.HasGrants(v) }

// noticeRule tells so long before a level is lost what is missing to keep it. In
// phase 1 it was told; the episode ends when the level is safe again, or lost.
type noticeRule struct {
	of  *tierRule
	pb  playbook.Common
	rid uint32
}

// noticeName is the name of a program's notices, which no author can give a rule.
func noticeName(program string) string { return program + "/notice" }

func (c *Core) newNotice(of *tierRule) *noticeRule {
	r := &noticeRule{of: of, pb: of.pb.Common, rid: c.name(noticeName(of.pb.Name))}
	r.pb.Name = noticeName(of.pb.Name)
	return r
}

func (r *noticeRule) common() *playbook.Common                     { return &r.pb }
func (r *noticeRule) id() uint32                                   { return r.rid }
func (r *noticeRule) resume(history.View, schemas.EventTime) int64 { return 0 }

// standing is where the program stood at an instant, and since when.
func (r *noticeRule) standing(v history.View, at schemas.EventTime) (level int32, since schemas.EventTime) {
	level = phaseAt(v.C, r.of, at)
	st := v.C.Rule(r.of.rid)
	if st == nil {
		return level, 0
	}
	if since = st.Since; since > at {
		since = 0
		for i := range st.Log {
			if f := &st.Log[i]; f.At <= at && f.From != f.To {
				since = f.At
			}
		}
	}
	return level, since
}

func (r *noticeRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	level, since := r.standing(v, at)
	until, _, to := r.of.prog.Fall(v, at, level, since)
	s := standing{due: r.of.prog.Settles(v, at)}
	threatens := until > at && to < level
	begins := until - r.of.pb.Notice
	switch {
	case threatens && at >= begins:
		s.phase, s.due = 1, sooner(s.due, until)
		s.fire = before.phase == 0
	case threatens:
		s.due = sooner(s.due, begins)
	}
	s.end = before.phase == 1 && s.phase == 0
	return s
}

func sooner(a, b schemas.EventTime) schemas.EventTime {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (r *noticeRule) trigger(v history.View, m *move) schemas.Trigger {
	level, since := r.standing(v, m.facts)
	until, missing, to := r.of.prog.Fall(v, m.facts, level, since)
	value := r.of.prog.Value(v, m.facts, since)
	t := tier.Change(r.of.pb, level, tier.Standing{Level: to, Value: value})
	t.Kind = "notice"
	t.NextTier, t.MissingToNext = t.FromTier, missing
	t.MissingToKeep = missing
	if until != 0 {
		t.ValidUntil = &until
	}
	days := int64(0)
	if until > m.facts {
		days = int64((until - m.facts + schemas.Day - 1) / schemas.Day)
	}
	keep := r.of.pb.Levels[level].Keep
	t.Evidence = []schemas.Evidence{compared(r.of.fact()+"_by_then", keep-missing, "<", keep), compared("days_left", days, ">=", 0)}
	return t
}
