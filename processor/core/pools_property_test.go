package core

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/state"
)

// A cluster is several tasks that write to each other; what is under way can be
// looked at, and comes when the test lets it.
type cluster struct {
	tasks []*world
	mail  [][]*schemas.Transfer // by receiver, as the topic has it
}

func newCluster(t *rapid.T, pb *playbook.Playbook, n int, partition func([]byte, int32) int32) *cluster {
	cl := &cluster{mail: make([][]*schemas.Transfer, n)}
	control := []Record{}
	topics := &topics{control: &control}
	topics.add(Record{Input: schemas.ControlInput, Control: NewGenesis(Genesis{Partitions: int32(n), Start: begin}, "test", 0)})
	topics.add(Record{Input: schemas.ControlInput, Control: NewPlaybook(pb, "test", 0)})
	for i := range n {
		w, err := newWorld(Config{Task: int32(i), Tasks: int32(n), CacheBytes: 1 << 20, Partition: partition}, &control)
		if err != nil {
			t.Fatal(err)
		}
		w.wall = begin
		cl.tasks = append(cl.tasks, w)
		if err := w.take(nil); err != nil {
			t.Fatal(err)
		}
		cl.commit(t, i)
	}
	return cl
}

func (cl *cluster) close() {
	for _, w := range cl.tasks {
		w.close()
	}
}

// commit lands all that a task decided; what it sends is under way then.
func (cl *cluster) commit(t *rapid.T, i int) {
	w := cl.tasks[i]
	for r := w.core.Ready(); r != nil; r = w.core.Ready() {
		w.land(r, func(moves []*schemas.Transfer, _ []*schemas.Control) {
			for _, m := range moves {
				cl.mail[m.ToTask] = append(cl.mail[m.ToTask], m)
			}
		})
		if err := w.apply(r); err != nil {
			t.Fatal(err)
		}
	}
}

// deliver gives a task up to n messages.
func (cl *cluster) deliver(t *rapid.T, i, n int) {
	n = min(n, len(cl.mail[i]))
	for _, m := range cl.mail[i][:n] {
		cl.tasks[i].topics.add(Record{Input: schemas.TransferInput, Transfer: m})
	}
	cl.mail[i] = cl.mail[i][n:]
	if err := cl.tasks[i].take(nil); err != nil {
		t.Fatal(err)
	}
}

// lose throws away what a task did since its last commit and begins it anew.
func (cl *cluster) lose(t *rapid.T, i int) {
	if _, err := cl.tasks[i].restore(); err != nil {
		t.Fatal(err)
	}
	if err := cl.tasks[i].take(nil); err != nil {
		t.Fatal(err)
	}
}

// pooled holds the parts of a pool against its total, as they are committed.
func (cl *cluster) pooled(t *rapid.T, name string, total int64) (spent int64) {
	cycle := schemas.EventTime(-1)
	for _, w := range cl.tasks {
		cycle = max(cycle, w.core.poolNamed(name).Cycle)
	}
	if cycle < 0 {
		return 0
	}
	share, reserve := cl.tasks[0].core.share(total)
	sum := reserve
	for i, w := range cl.tasks {
		p := w.core.poolNamed(name)
		if p.Left < 0 || p.Spent < 0 {
			t.Fatalf("task %d: %+v", i, p)
		}
		if p.Cycle == cycle {
			sum += p.Left + p.Spent
			spent += p.Spent
		} else {
			sum += share
		}
		for _, r := range p.Reserve {
			if r.Cycle == cycle {
				sum += r.Left - reserve
			}
		}
		for _, m := range cl.mail[i] {
			var x poolMessage
			if m.Kind == transferPool && m.Name == name && json.Unmarshal(m.Body, &x) == nil && x.Cycle == cycle {
				sum += x.Give
			}
		}
	}
	if sum != total {
		t.Fatalf("%s: the parts of the pool are %d, not %d", name, sum, total)
	}
	return spent
}

// TestGiven: at every commit what customers sent is what they received, the named
// accounts and what is under way, and nothing comes twice or is lost by a crash.
func TestGiven(t *testing.T) {
	pb, err := playbook.Compile([]byte(`
playbook: given
time_zone: UTC
currency: GBP
future: 7d
defaults: {correct_within: 3d}
ledgers:
  - name: credits
    per: {amount: "1.00", gives: 1}
    expires: {after: 9d}
    transfer: {at_most_per_day: 90, fees: [{to: platform, share: 2%}, {to: creators, share: 10%}]}
`), "test")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		cl := newCluster(rt, pb, rapid.IntRange(1, 3).Draw(rt, "tasks"), byDigit)
		defer cl.close()
		customers := []string{"a1", "b1", "c1", "a2", "d1"}
		at := begin
		check := func() {
			t.Helper()
			sent, received, named, under := int64(0), int64(0), int64(0), int64(0)
			for i, w := range cl.tasks {
				b := w.core.Books()[0].Totals
				sent += b[state.SumSent]
				received += b[state.SumReceived]
				for _, n := range w.core.Named() {
					named += n.Units
				}
				for _, m := range cl.mail[i] {
					var x pointsMessage
					if m.Kind == transferPoints && json.Unmarshal(m.Body, &x) == nil {
						for _, p := range x.Parts {
							under += p.Units
						}
					}
				}
				balanced(rt, w)
			}
			if sent != received+named+under {
				rt.Fatalf("%d sent, %d received, %d on named accounts, %d under way", sent, received, named, under)
			}
		}
		for n := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			at += schemas.EventTime(rapid.IntRange(1, 30).Draw(rt, "hours")) * schemas.Hour
			who := rapid.SampledFrom(customers).Draw(rt, "who")
			i := int(byDigit([]byte(who), int32(len(cl.tasks))))
			w := cl.tasks[i]
			e := &schemas.Event{EventID: fmt.Sprint(n), CustomerID: who, OccurredAt: at - schemas.EventTime(rapid.IntRange(0, 100).Draw(rt, "late"))*schemas.Hour}
			switch rapid.SampledFrom([]string{"paid", "paid", "send", "send", "send", "refund", "deliver", "deliver", "tick", "lose"}).Draw(rt, "what") {
			case "paid":
				e.Order, e.OrderID, e.AmountMinor, e.Currency = schemas.Paid, "o"+who, rapid.Int64Range(0, 20000).Draw(rt, "amount"), "GBP"
				w.give(e)
			case "refund":
				e.Order, e.OrderID, e.AmountMinor, e.Currency = schemas.Refunded, "o"+who, rapid.Int64Range(0, 5000).Draw(rt, "amount"), "GBP"
				w.give(e)
			case "send":
				e.Kind, e.Type = schemas.Behavior, playbook.PointsTransferred
				e.Attributes = []schemas.Attribute{{Key: "ledger", Value: "credits"}, {Key: "to", Value: rapid.SampledFrom(customers).Draw(rt, "to")},
					{Key: "points", Value: fmt.Sprint(rapid.IntRange(1, 99).Draw(rt, "points"))}}
				w.give(e)
			case "deliver":
				cl.deliver(rt, i, rapid.IntRange(1, 3).Draw(rt, "messages"))
			case "tick":
				if err := w.tick(max(at, w.core.Clock()), nil); err != nil {
					rt.Fatal(err)
				}
			case "lose":
				cl.lose(rt, i)
			}
			if err := w.take(nil); err != nil {
				rt.Fatal(err)
			}
			cl.commit(rt, i)
			check()
		}
		for i := range cl.tasks {
			cl.deliver(rt, i, 1000)
			cl.commit(rt, i)
		}
		check()
		for i := range cl.tasks {
			sound(rt, cl.tasks[i])
		}
	})
}

// TestPools: at every commit of every task the reserve, the shares, what was given
// out and what is under way are the pool's total, and never is more granted than it,
// whatever comes late and whatever a crash loses.
func TestPools(t *testing.T) {
	const stock, budget = 9, 100
	pb, err := playbook.Compile([]byte(fmt.Sprintf(`
playbook: pools
time_zone: UTC
currency: GBP
future: 7d
defaults: {correct_within: 40d}
facts: {core_behavior: [{name: post, behavior: post}]}
ledgers: [{name: points, factors: [{on: post, gives: 7}], claim: {within: 3d}, budget: {points: %d, per: month}}]
benefits: [{name: mug, grants: [{on: post, quantity: 1}], claim: {within: 2d}, stock: {quantity: %d}}]
`, budget, stock)), "test")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		cl := newCluster(rt, pb, rapid.IntRange(2, 4).Draw(rt, "tasks"), nil)
		defer cl.close()
		at, n := begin, 0
		for range rapid.IntRange(1, 50).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(cl.tasks)-1).Draw(rt, "task")
			w := cl.tasks[i]
			switch rapid.SampledFrom([]string{"post", "post", "post", "claim", "tick", "deliver", "deliver", "lose"}).Draw(rt, "what") {
			case "post", "claim":
				at += schemas.EventTime(rapid.IntRange(1, 40).Draw(rt, "hours")) * schemas.Hour
				n++
				e := &schemas.Event{Kind: schemas.Behavior, Type: "post", EventID: fmt.Sprint(n), CustomerID: fmt.Sprintf("t%d-%d", i, rapid.IntRange(0, 3).Draw(rt, "who")), OccurredAt: at}
				if n%4 == 0 {
					e.Type, e.Attributes = playbook.BenefitClaimed, []schemas.Attribute{{Key: "benefit", Value: "mug"}}
				}
				w.give(e)
				if err := w.take(nil); err != nil {
					rt.Fatal(err)
				}
			case "tick":
				if err := w.tick(at, nil); err != nil {
					rt.Fatal(err)
				}
			case "deliver":
				cl.deliver(rt, i, rapid.IntRange(1, 3).Draw(rt, "messages"))
			case "lose":
				cl.lose(rt, i)
			}
			cl.commit(rt, i)
			cl.pooled(rt, "points", budget)
			if spent := cl.pooled(rt, "mug", stock); spent > stock {
				rt.Fatalf("%d mugs of %d", spent, stock)
			}
		}
		for again := true; again; {
			again = false
			for i := range cl.tasks {
				again = again || len(cl.mail[i]) > 0
				cl.deliver(rt, i, 1000)
				cl.commit(rt, i)
			}
		}
		held := int64(0)
		for _, w := range cl.tasks {
			balanced(rt, w)
			b := w.core.Books()[1].Totals
			held += b[state.SumEarned] - b[state.SumCancelled] - b[state.SumLapsed]
			for _, p := range w.core.ts.Pools {
				if len(p.Waiting) > 0 {
					rt.Fatalf("%s: %v still wait", p.Name, p.Waiting)
				}
			}
		}
		if spent := cl.pooled(rt, "mug", stock); held != spent {
			rt.Fatalf("the pool paid for %d mugs, customers hold or used %d", spent, held)
		}
	})
}
