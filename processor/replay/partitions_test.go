package replay_test

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
)

// TestPartitions: what is said of a customer does not hang on how many
// partitions there are, on which one is hers, or on how the file is read in
// chunks, although the cuts are made over all customers.
func TestPartitions(t *testing.T) {
	pb := compile(t, []byte(`
playbook: partitions
clock: input
time_zone: Asia/Shanghai
currency: CNY
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}}
tiers:
  - {name: club, on: spend, window: {rolling: 30d}, levels: [{name: A, reach: 0}, {name: B, reach: 100}]}
rfm:
  - name: quantile
    window: {rolling: 60d}
    cuts: {by: quantile, at: [.2, .4, .6, .8], refresh: week, delay: 2h}
    classes: putler
  - name: mean
    window: lifetime
    cuts: {by: mean, refresh: month, delay: 0s}
    classes: eight
churn:
  - {name: silent, model: hiatus, after: 20d}
recall:
  - {name: back, on: silent, audience: 'rfm["mean"] != "general_retain"', send_after: 36h, holdout: 20%, arms: [{name: mail, weight: 1}]}
`))
	rapid.Check(t, func(rt *rapid.T) {
		var events []*schemas.Event
		for c := range rapid.IntRange(1, 12).Draw(rt, "customers") {
			at := date("2024-01-01")
			for i := range rapid.IntRange(1, 8).Draw(rt, "orders") {
				at += schemas.EventTime(rapid.IntRange(0, 30*24).Draw(rt, "hours")) * schemas.Hour
				id := fmt.Sprintf("c%d-%d", c, i)
				e := &schemas.Event{Order: schemas.Paid, EventID: id, OrderID: id, CustomerID: fmt.Sprintf("c%d", c), OccurredAt: at,
					AmountMinor: rapid.Int64Range(0, 20000).Draw(rt, "amount"), Currency: "CNY"}
				if i > 0 && rapid.IntRange(0, 4).Draw(rt, "refund") == 0 {
					e.Order, e.OrderID = schemas.Refunded, fmt.Sprintf("c%d-%d", c, i-1)
				}
				events = append(events, e)
			}
		}
		sort.SliceStable(events, func(i, j int) bool { return events[i].OccurredAt < events[j].OccurredAt })
		said := func(partitions int32, chunk int) map[string][]string {
			all := map[string][]string{}
			run(t, replay.Options{Playbook: pb, Partitions: partitions, Partition: spread, Chunk: chunk,
				Until: events[len(events)-1].OccurredAt + 90*schemas.Day,
				Emit: func(_ int32, o *core.Out) error {
					if o.Topic != schemas.DeadLetters {
						all[o.Key] = append(all[o.Key], string(o.Topic)+string(o.Body))
					}
					return nil
				}}, slice(events))
			return all
		}
		inOrder := func(together func(int, func(int)), partitions int32, chunk int) (all []string) {
			run(t, replay.Options{Playbook: pb, Partitions: partitions, Partition: spread, Chunk: chunk, Together: together,
				Until: events[len(events)-1].OccurredAt + 90*schemas.Day,
				Emit: func(task int32, o *core.Out) error {
					all = append(all, fmt.Sprint(task)+string(o.Topic)+o.Key+string(o.Body))
					return nil
				}}, slice(events))
			return all
		}
		n, chunk := rapid.Int32Range(1, 5).Draw(rt, "tasks"), rapid.IntRange(1, 20).Draw(rt, "piece")
		if one, many := inOrder(nil, n, chunk), inOrder(atOnce, n, chunk); !slices.Equal(one, many) {
			rt.Fatalf("%d records by one task after the other, %d at once, or others, or in another order", len(one), len(many))
		}
		want := said(1, 0)
		got := said(rapid.Int32Range(2, 5).Draw(rt, "partitions"), rapid.IntRange(1, 20).Draw(rt, "chunk"))
		if len(got) != len(want) {
			rt.Fatalf("of %d customers, not %d", len(got), len(want))
		}
		for key := range want {
			if !slices.Equal(got[key], want[key]) {
				rt.Fatalf("%s: %d records with one partition, %d with several, or others", key, len(want[key]), len(got[key]))
			}
		}
	})
}

// atOnce runs all tasks at the same time.
func atOnce(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
