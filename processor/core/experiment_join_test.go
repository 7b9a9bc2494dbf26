package core

import (
	"testing"

	"tidemark/playbook"
	"tidemark/processor/experiment"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// TestJoinExperiments: two customers who are merged leave the books right, whatever
// they were assigned to: a lone assignment goes along, of two alike the earlier
// counts, and of two that differ none, and they are counted as contaminated.
func TestJoinExperiments(t *testing.T) {
	pb, err := playbook.Compile([]byte(`
playbook: join
time_zone: UTC
currency: CNY
calendar:
  moments: [{name: first, monthly: [1], experiment: {holdout: 50%, effect: [1d]}}]
`), "test")
	if err != nil {
		t.Fatal(err)
	}
	// By arm: customers assigned, contaminated, and whose horizon is over.
	type count struct{ customers, contaminated, over int64 }
	for _, x := range []struct {
		name          string
		a, b          int // arms; -9: not assigned
		since         schemas.EventTime
		treated, held count
	}{
		{"one alone", 0, -9, 5, count{1, 0, 1}, count{}},
		{"the other alone", -9, 0, 5, count{1, 0, 1}, count{}},
		{"two alike", 0, 0, 5, count{1, 0, 1}, count{}},
		{"treated and held out", 0, experiment.Holdout, 5, count{0, 1, 0}, count{0, 1, 0}},
		{"nobody", -9, -9, 5, count{}, count{}},
	} {
		w := bed(t, pb, Config{CacheBytes: 1 << 20})
		c := w.core
		var e [2]*entry
		for i, arm := range []int{x.a, x.b} {
			if e[i], err = c.customer(string(rune('a' + i))); err != nil {
				t.Fatal(err)
			}
			c.ensure(e[i])
			if arm != -9 {
				c.assign(e[i], c.moments[0].rd, arm, x.since+schemas.EventTime(i), "")
				c.wakeExperiments(e[i], history.View{C: &e[i].Customer, Zone: c.zone}, x.since+schemas.EventTime(i)+schemas.Day)
			}
		}
		c.joinExperiments(e[0], e[1])
		sums := func(arm string) count {
			s := c.sumsOf("first", arm)
			return count{s.Customers, s.Contaminated, s.at(schemas.Day).Customers}
		}
		if got := sums("treated"); got != x.treated {
			t.Errorf("%s: treated %+v, want %+v", x.name, got, x.treated)
		}
		if got := sums("holdout"); got != x.held {
			t.Errorf("%s: held out %+v, want %+v", x.name, got, x.held)
		}
		if st := e[1].Rule(c.experiments[0].rd); st.Phase != unassigned {
			t.Errorf("%s: the source is still in phase %d", x.name, st.Phase)
		}
	}
}
