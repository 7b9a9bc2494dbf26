package core

import (
	"slices"
	"strconv"
	"strings"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// phaseRule keeps a customer in one of several phases by conditions over facts:
// lifecycle tracks, inflection maps, tags, segments. It is one of a group, whose
// table it reads (group.go). A customer who is in phase 0 and was never elsewhere
// has no state of it.
type phaseRule struct {
	pb          *playbook.Phases
	rid         uint32
	g           *group
	n           int   // its place in the group
	when        []int // conditions by phase; -1: none
	until, hold int
}

func (r *phaseRule) common() *playbook.Common                     { return &r.pb.Common }
func (r *phaseRule) id() uint32                                   { return r.rid }
func (r *phaseRule) resume(history.View, schemas.EventTime) int64 { return 0 }

func (r *phaseRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	vals := r.g.values(v, at)
	s := standing{phase: before.phase, by: "time"}
	for range r.pb.Names { // to where no condition moves it any more
		next := r.next(vals, s.phase)
		if next == s.phase {
			break
		}
		s.phase = next
	}
	if s.phase != before.phase {
		if r.pb.Dwell > 0 && before.phase != 0 && at < before.since+r.pb.Dwell {
			return standing{phase: before.phase, due: before.since + r.pb.Dwell}
		}
		s.fire = true
	}
	if happened(v, at) {
		s.by = "customer"
	}
	return s
}

// next is the phase that follows p at once.
func (r *phaseRule) next(vals []playbook.Value, p int32) int32 {
	g := r.g
	p = min(p, int32(len(r.pb.Names)-1)) // a playbook with fewer phases may not have reached her yet
	switch r.pb.Mode {
	case playbook.FirstOf:
		for i := 1; i < len(r.when); i++ {
			if g.holds(r.when[i], vals) {
				return int32(i)
			}
		}
		return 0
	case playbook.Member:
		switch {
		case p == 0:
			if g.holds(r.when[1], vals) && (r.until < 0 || r.hold >= 0 && g.holds(r.hold, vals) || !g.holds(r.until, vals)) {
				return 1
			}
			return 0
		case r.until < 0:
			if g.holds(r.when[1], vals) {
				return 1
			}
			return 0
		case r.hold >= 0 && g.holds(r.hold, vals) || !g.holds(r.until, vals):
			return 1
		}
		return 0
	}
	for i := len(r.when) - 1; i > int(p); i-- {
		if g.holds(r.when[i], vals) {
			return int32(i)
		}
	}
	if r.when[p] >= 0 && !g.holds(r.when[p], vals) {
		for _, i := range r.pb.Back[p] {
			if r.when[i] < 0 || g.holds(r.when[i], vals) {
				return int32(i)
			}
		}
	}
	return p
}

// happened says whether an event of the history stands at an instant.
func happened(v history.View, at schemas.EventTime) bool {
	for i := len(v.C.Orders) - 1; i >= 0 && v.C.Orders[i].At >= at; i-- {
		if v.C.Orders[i].At == at {
			return true
		}
	}
	for i := len(v.C.Marks) - 1; i >= 0 && v.C.Marks[i].At >= at; i-- {
		if v.C.Marks[i].At == at {
			return true
		}
	}
	return false
}

func (r *phaseRule) name(phase int32) string {
	if phase < 0 || int(phase) >= len(r.pb.Names) {
		return ""
	}
	return r.pb.Names[phase]
}

func (r *phaseRule) trigger(v history.View, m *move) schemas.Trigger {
	if r.pb.Block == "tasks" {
		return r.opened(v, m)
	}
	t := &schemas.LifecycleChange{Track: r.pb.Name, From: r.name(m.from), To: r.name(m.to), MovedBy: m.by}
	switch r.pb.Block {
	case "tags":
		t.Kind = "tag_added"
		if m.to == 0 {
			t.Kind = "tag_removed"
		}
		if r.pb.Value {
			t.Value = t.To
		}
	case "segments":
		t.Kind = "segment_entered"
		if m.to == 0 {
			t.Kind = "segment_left"
		}
	default:
		t.Kind = "stage"
	}
	if m.since != 0 {
		d := int64(m.at - m.since)
		t.TimeInFromMS = &d
	}
	t.Evidence = r.evidence(v, m)
	return t
}

// opened tells that a task is open to the customer from now on, or no more.
func (r *phaseRule) opened(v history.View, m *move) schemas.Trigger {
	t := &schemas.EngagementTrigger{Kind: "task_opened", Name: r.pb.Names[1]}
	t.Evidence = r.evidence(v, m)
	if m.to == 0 {
		t.Kind = "task_closed"
	}
	return t
}

// evidence is what the conditions compared that decided the move: that of the
// phase reached, those before it where the first that holds decides, and that of
// the phase left.
func (r *phaseRule) evidence(v history.View, m *move) []schemas.Evidence {
	vals := r.g.values(v, m.facts)
	var out []schemas.Evidence
	seen := map[int]bool{}
	add := func(k int) {
		if k >= 0 && !seen[k] {
			seen[k] = true
			out = r.g.evidence(out, k, vals)
		}
	}
	switch {
	case r.pb.Mode == playbook.FirstOf:
		last := m.to
		if last == 0 {
			last = int32(len(r.when) - 1)
		}
		for i := int32(1); i <= last && int(i) < len(r.when); i++ {
			add(r.when[i])
		}
	case r.pb.Mode == playbook.Member:
		add(r.when[1])
		add(r.hold)
		add(r.until)
	default:
		if int(m.to) < len(r.when) {
			add(r.when[m.to])
		}
		if m.to < m.from && int(m.from) < len(r.when) {
			add(r.when[m.from])
		}
	}
	if len(out) == 0 {
		out = append(out, schemas.Evidence{Fact: "always", Value: "true", Comparison: "==", Limit: "true"})
	}
	return out
}

// plain is a value as evidence says it.
func (g *group) plain(place int, v playbook.Value) string {
	switch ref := g.table.Ref(place); {
	case ref.Table == "tag" || ref.Table == "segment":
		return strconv.FormatBool(v.Int != 0)
	case ref.Table != "" && ref.Table != "tier_level":
		return g.nameAt(place, v.Int)
	case ref.Table == "" && g.table.Facts[place].IsText():
		return v.Text
	}
	return strconv.FormatInt(v.Int, 10)
}

var cmpWords = [...]string{playbook.Less: "<", playbook.LessEqual: "<=", playbook.Greater: ">", playbook.GreaterEqual: ">=", playbook.Equal: "==", playbook.NotEqual: "!="}

// evidence appends the comparisons of one condition, each true of the values.
func (g *group) evidence(out []schemas.Evidence, k int, vals []playbook.Value) []schemas.Evidence {
	if !g.table.IsNative(k) {
		// What compares facts with each other is told by their values.
		from := len(out)
		out = append(out, playbook.Compared(g.conds[k], g.celFacts(vals))...)
		for _, place := range g.table.Reads(k) {
			fact := g.table.Ref(place).String()
			if slices.ContainsFunc(out[from:], func(l schemas.Evidence) bool { return l.Fact == fact && strings.Count(g.conds[k].Source(), fact) == 1 }) {
				continue
			}
			value := g.plain(place, vals[place])
			if line := (schemas.Evidence{Fact: fact, Value: value, Comparison: "==", Limit: value}); !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
		return out
	}
	g.table.Compared(k, vals, func(place int, cmp playbook.Cmp, text bool, limit playbook.Value) {
		ref := g.table.Ref(place)
		line := schemas.Evidence{Fact: ref.String(), Value: g.plain(place, vals[place]), Comparison: cmpWords[cmp], Limit: limit.Text}
		if !text && (ref.Table == "" || ref.Table == "tier_level" || ref.Table == "tag" || ref.Table == "segment") {
			line.Limit = g.plain(place, limit)
		}
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	})
	return out
}
