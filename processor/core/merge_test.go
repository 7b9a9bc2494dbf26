package core

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/state"
)

// family is a few tasks that carry each other's transfers.
type family struct {
	t     *rapid.T
	tasks []*world
	wild  *rand.Rand // nil: nothing goes wrong
}

func newFamily(t *testing.T, rt *rapid.T, pb *playbook.Playbook, n int, wild *rand.Rand) *family {
	var control []Record
	(&topics{control: &control}).add(Record{Input: schemas.ControlInput, Control: NewGenesis(Genesis{Partitions: int32(n), Start: begin}, "test", 0)})
	(&topics{control: &control}).add(Record{Input: schemas.ControlInput, Control: NewPlaybook(pb, "test", 0)})
	f := &family{t: rt, wild: wild}
	cache := int64(1 << 20)
	if wild != nil {
		cache = 2000
	}
	for i := range n {
		w, err := newWorld(Config{Task: int32(i), Tasks: int32(n), CacheBytes: cache}, &control)
		if err != nil {
			rt.Fatal(err)
		}
		t.Cleanup(func() { w.close() })
		w.wall = begin
		f.tasks = append(f.tasks, w)
	}
	f.settle()
	return f
}

// settle commits and delivers until nothing moves; with trouble, commits are lost,
// land unheard, and tasks crash between.
func (f *family) settle() {
	deliver := func(m []*schemas.Transfer, _ []*schemas.Control) {
		for _, x := range m {
			f.tasks[x.ToTask].topics.add(Record{Input: schemas.TransferInput, Transfer: x})
		}
	}
	for again := true; again; {
		again = false
		for _, w := range f.tasks {
			if recs := w.waiting(0); len(recs) > 0 {
				again = true
				if _, err := w.core.Take(recs, w.wall); err != nil {
					f.t.Fatal(err)
				}
			}
			r := w.core.Ready()
			if r == nil {
				continue
			}
			again = true
			fate := 9
			if f.wild != nil {
				fate = f.wild.IntN(10)
			}
			var err error
			switch fate {
			case 0: // lost
				_, err = w.restore()
			case 1: // landed, and nobody heard of it
				w.land(r, deliver)
				_, err = w.restore()
			case 2: // a crash between the transaction and the store
				w.land(r, deliver)
				if err = w.crash(f.wild.IntN(101), f.wild); err == nil {
					_, err = w.restore()
				}
			default:
				w.land(r, deliver)
				err = w.apply(r)
			}
			if err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// give hands each event to the task of its customer, in order of time.
func (f *family) give(e *schemas.Event) {
	for _, w := range f.tasks {
		w.wall = max(w.wall, e.OccurredAt)
	}
	t := f.tasks[0].core.cfg.Partition([]byte(e.CustomerID), int32(len(f.tasks)))
	f.tasks[t].give(e)
}

func (f *family) tick(to schemas.EventTime) {
	for _, w := range f.tasks {
		if err := w.tick(to, func() error { return fmt.Errorf("stopped") }); err != nil {
			f.t.Fatal(err)
		}
	}
	f.settle()
}

// holding sums what all customers of all tasks hold, and counts those who stand alone.
func (f *family) holding() (orders, spend, points int64, alone []string) {
	for i, w := range f.tasks {
		ids, err := w.store.Customers(nil, "", true, 1000)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, id := range ids {
			e, err := w.core.customer(id)
			if err != nil {
				f.t.Fatal(err)
			}
			if e.alias != "" {
				if len(e.Orders)+len(e.Marks)+len(e.Accounts)+len(e.Days) > 0 || e.Base != (state.Base{}) || e.Wake != 0 {
					f.t.Fatalf("the alias %s still has %+v", id, e.Customer)
				}
				continue
			}
			alone = append(alone, fmt.Sprintf("%d/%s", i, id))
			for k := range e.Orders {
				if o := &e.Orders[k]; o.Counts() {
					orders++
					spend += o.Net()
				}
			}
			for _, d := range e.Days {
				orders, spend = orders+d.Count, spend+d.Sum
			}
			orders, spend = orders+e.Base.Count, spend+e.Base.Sum
		}
		for _, b := range w.core.Books() {
			points += b.Totals[state.SumPending] + b.Totals[state.SumOpen] - b.Totals[state.SumOwed]
		}
	}
	sort.Strings(alone)
	return orders, spend, points, alone
}

// TestMergingConserves: whoever is merged into whom, across tasks and crashes, also
// in circles, orders, spend and points are those of a world in which everybody
// stayed alone; no crash changes anything; and one person is one customer at last.
func TestMergingConserves(t *testing.T) {
	pb := rules(t, "live", `ledgers:
  - {name: points, per: {amount: "1.00", gives: 1}, settle: {after: 3d}}
`)

	fewer(t, "40")
	rapid.Check(t, func(rt *rapid.T) {
		tasks := rapid.IntRange(1, 3).Draw(rt, "tasks")
		var events []*schemas.Event
		for _, e := range made(rt, 6, 6, true) {
			if e.Order != schemas.Cancelled && !strings.Contains(e.OrderID, "-x") { // a refund in vain takes from whoever has something
				events = append(events, e)
			}
		}
		var merges []*schemas.Event
		for i := range rapid.IntRange(1, 5).Draw(rt, "merges") {
			at := events[rapid.IntRange(0, len(events)-1).Draw(rt, "merged after")].OccurredAt + schemas.Second
			from, into := rapid.IntRange(0, 5).Draw(rt, "from"), rapid.IntRange(0, 5).Draw(rt, "into")
			merges = append(merges, &schemas.Event{Kind: schemas.Behavior, Type: MergedType, EventID: fmt.Sprintf("m%d", i), CustomerID: fmt.Sprintf("c%d", from), OccurredAt: at,
				Attributes: []schemas.Attribute{{Key: "into", Value: fmt.Sprintf("c%d", into)}}})
		}
		together := append(append([]*schemas.Event(nil), events...), merges...)
		sort.SliceStable(together, func(i, j int) bool { return together[i].OccurredAt < together[j].OccurredAt })
		for range rapid.IntRange(0, 3).Draw(rt, "repeats") { // what comes again changes nothing, wherever it goes
			together = append(together, together[rapid.IntRange(0, len(together)-1).Draw(rt, "repeat")])
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		often := rapid.IntRange(1, 6).Draw(rt, "settled after")
		live := func(list []*schemas.Event, wild *rand.Rand) *family {
			f := newFamily(t, rt, pb, tasks, wild)
			for i, e := range list {
				f.give(e)
				if i%often == 0 {
					f.settle()
				}
			}
			f.settle()
			f.tick(events[len(events)-1].OccurredAt + 10*schemas.Day)
			return f
		}
		apart, calm, wild := live(events, nil), live(together, nil), live(together, rand.New(rand.NewPCG(seed, 1)))
		o1, s1, p1, _ := apart.holding()
		o2, s2, p2, alone := calm.holding()
		o3, s3, p3, alone3 := wild.holding()
		if o1 != o2 || s1 != s2 || p1 != p2 {
			rt.Fatalf("apart %d orders, %d spent, %d points; merged %d, %d, %d", o1, s1, p1, o2, s2, p2)
		}
		if o2 != o3 || s2 != s3 || p2 != p3 {
			rt.Fatalf("calm %d orders, %d spent, %d points, %v; disturbed %d, %d, %d, %v", o2, s2, p2, alone, o3, s3, p3, alone3)
		}
		// One person is one customer.
		person := map[string]string{}
		var find func(string) string
		find = func(id string) string {
			if p := person[id]; p != "" && p != id {
				return find(p)
			}
			return id
		}
		for _, m := range merges {
			person[find(m.CustomerID)] = find(m.Attributes[0].Value)
		}
		for _, alone := range [][]string{alone, alone3} { // who of a circle it is hangs on what came first
			seen := map[string]string{}
			for _, a := range alone {
				id := a[2:]
				if other := seen[find(id)]; other != "" {
					rt.Fatalf("%s and %s are one person and stand alone", other, id)
				}
				seen[find(id)] = id
			}
		}
	})
}
