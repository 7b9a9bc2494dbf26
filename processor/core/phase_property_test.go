package core

import (
	"fmt"
	"sort"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
)

// TestPhasesAreProved: a change of a stage, tag or segment carries the numbers
// that imply it, and what stands of a rule is one chain: a customer is always in
// exactly one phase, and each change begins where the one before ended.
func TestPhasesAreProved(t *testing.T) {
	pb := rules(t, "live", "")
	rapid.Check(t, func(rt *rapid.T) {
		events := made(rt, 1, 14, true)
		w := bed(t, pb, Config{CacheBytes: 1 << 20})
		defer w.close()
		lateness(rt, w, disordered(rt, events, 15*schemas.Day), schemas.EventTime(rapid.IntRange(0, 15).Draw(rt, "lag"))*schemas.Day)
		if err := w.tick(events[len(events)-1].OccurredAt+100*schemas.Day, nil); err != nil {
			rt.Fatal(err)
		}
		if err := w.commitAll(); err != nil {
			rt.Fatal(err)
		}
		type step struct {
			at       schemas.EventTime
			episode  int64
			from, to string
		}
		standing := map[string]map[int64]step{}
		for i := range w.out {
			c, ok := w.out[i].Record.(*schemas.LifecycleChange)
			if !ok {
				continue
			}
			var rule *phaseRule
			for _, r := range w.core.group.rules {
				if r.pb.Name == c.Rule {
					rule = r
				}
			}
			if rule == nil {
				continue
			}
			if standing[c.Rule] == nil {
				standing[c.Rule] = map[int64]step{}
			}
			if c.Status == schemas.Retracted {
				delete(standing[c.Rule], c.Episode)
				continue
			}
			standing[c.Rule][c.Episode] = step{c.EffectiveAt, c.Episode, c.From, c.To}
			if why := unproved(w.core, rule, c); why != "" {
				rt.Fatalf("%s: %s", w.record(&w.out[i]), why)
			}
		}
		for name, steps := range standing {
			var chain []step
			for _, s := range steps {
				chain = append(chain, s)
			}
			sort.Slice(chain, func(i, j int) bool {
				if chain[i].at != chain[j].at {
					return chain[i].at < chain[j].at
				}
				return chain[i].episode < chain[j].episode
			})
			for i := 1; i < len(chain); i++ {
				if chain[i].from != chain[i-1].to {
					rt.Fatalf("%s: %+v follows %+v\n%s", name, chain[i], chain[i-1], said(w))
				}
			}
		}
		// The sizes are what the rows say.
		counts := map[PhaseSize]int64{}
		e, err := w.core.customer("c0")
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range w.core.group.rules {
			if st := e.Rule(r.rid); st != nil && st.Phase != 0 {
				counts[PhaseSize{Block: r.pb.Block, Rule: r.pb.Name, Phase: r.pb.Names[st.Phase]}]++
			}
		}
		for _, s := range w.core.Sizes() {
			n := s.Customers
			s.Customers = 0
			if n != counts[s] {
				rt.Fatalf("%+v has %d customers, the size says %d", s, counts[s], n)
			}
		}
	})
}

// unproved says what the evidence does not show; "" if it proves the change.
func unproved(c *Core, r *phaseRule, t *schemas.LifecycleChange) string {
	values := map[string]string{}
	for _, e := range t.Evidence {
		values[e.Fact] = e.Value
	}
	phase := func(name string) int {
		for i, n := range r.pb.Names {
			if n == name {
				return i
			}
		}
		return -1
	}
	holds := func(k playbook.Condition) string {
		x, native := playbook.Native(k)
		if k == nil || !native {
			return "yes"
		}
		return shown(&x, values)
	}
	want := func(k playbook.Condition, answer string) string {
		if got := holds(k); got != "yes" && got != "no" {
			return got
		} else if k != nil && got != answer {
			if _, native := playbook.Native(k); native {
				return fmt.Sprintf("the evidence says %s where it should say %s", got, answer)
			}
		}
		return ""
	}
	from, to := phase(t.From), phase(t.To)
	if from < 0 || to < 0 || from == to {
		return "no change between phases"
	}
	switch r.pb.Mode {
	case playbook.FirstOf:
		for i := 1; i < len(r.pb.When) && (to == 0 || i < to); i++ {
			if why := want(r.pb.When[i], "no"); why != "" {
				return why
			}
		}
		if to > 0 {
			return want(r.pb.When[to], "yes")
		}
	case playbook.Member:
		switch {
		case to == 1:
			return want(r.pb.When[1], "yes")
		case r.pb.Until != nil:
			return want(r.pb.Until, "yes")
		}
		return want(r.pb.When[1], "no")
	default:
		if to < from {
			if why := want(r.pb.When[from], "no"); why != "" {
				return why
			}
		}
		if r.pb.When[to] != nil {
			return want(r.pb.When[to], "yes")
		}
	}
	return ""
}

// shown evaluates a condition from what the evidence says alone.
func shown(x *playbook.Expr, values map[string]string) string {
	switch x.Op {
	case playbook.OpAlways:
		return "yes"
	case playbook.OpAll, playbook.OpAny:
		stop, other := "no", "yes"
		if x.Op == playbook.OpAny {
			stop, other = "yes", "no"
		}
		for i := range x.Of {
			if got := shown(&x.Of[i], values); got != other {
				if got == stop {
					return stop
				}
				return got
			}
		}
		return other
	case playbook.OpNot:
		return map[string]string{"yes": "no", "no": "yes"}[shown(&x.Of[0], values)]
	case playbook.OpCompare:
		v, ok := values[x.Ref.String()]
		if !ok {
			return x.Ref.String() + " is not in the evidence"
		}
		yes := false
		switch {
		case x.IsText:
			yes = (v == x.Limit.Text) == (x.Cmp == playbook.Equal)
		case x.Ref.Table == "tag" || x.Ref.Table == "segment":
			yes = (v == "true") == (x.Limit.Int != 0) == (x.Cmp == playbook.Equal)
		default:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return err.Error()
			}
			yes = x.Cmp.Holds(n, x.Limit.Int)
		}
		if yes {
			return "yes"
		}
	}
	return "no"
}
