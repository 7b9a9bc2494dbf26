package replay_test

import (
	"fmt"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
	"tidemark/state"
)

// TestPointsAcrossPartitions: what customers earn, use and give each other comes to
// the same over any number of partitions, each gift once, and nothing is lost on its
// way. Who gives does not receive here: what one may give hangs on what has come.
func TestPointsAcrossPartitions(t *testing.T) {
	pb := compile(t, []byte(`
playbook: gifts
clock: input
time_zone: Asia/Shanghai
currency: CNY
ledgers:
  - name: credits
    per: {amount: "1.00", gives: 1}
    settle: {after: 1d}
    expires: {after: 40d}
    transfer: {fees: [{to: platform, share: 3%}]}
growth: [{name: spend, per: {amount: "1.00", gives: 1}}]
tiers: [{name: club, on: spend, window: {rolling: 30d}, levels: [{name: A, reach: 0}, {name: B, reach: 100}]}]
benefits: [{name: visit, grants: [{tier: club, levels: [B], every: week}], valid: {end_of: month}, on_downgrade: revoke}]
`))
	moved := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		var events []*schemas.Event
		for c := range rapid.IntRange(2, 9).Draw(rt, "customers") {
			at := date("2024-01-01")
			for i := range rapid.IntRange(1, 10).Draw(rt, "events") {
				at += schemas.EventTime(rapid.IntRange(1, 8*24).Draw(rt, "hours")) * schemas.Hour
				e := &schemas.Event{EventID: fmt.Sprintf("e%d-%d", c, i), CustomerID: fmt.Sprintf("c%d", c), OccurredAt: at}
				attributes := []schemas.Attribute{{Key: "ledger", Value: "credits"}, {Key: "points", Value: fmt.Sprint(rapid.IntRange(1, 90).Draw(rt, "points"))}}
				switch rapid.SampledFrom([]string{"paid", "paid", "refund", "redeem", "give", "give"}).Draw(rt, "what") {
				case "refund":
					if i > 0 {
						e.Order, e.OrderID, e.AmountMinor, e.Currency = schemas.Refunded, fmt.Sprintf("c%d-%d", c, i-1), 500, "CNY"
						break
					}
					fallthrough
				case "paid":
					e.Order, e.OrderID, e.AmountMinor, e.Currency = schemas.Paid, fmt.Sprintf("c%d-%d", c, i), rapid.Int64Range(0, 20000).Draw(rt, "amount"), "CNY"
				case "redeem":
					e.Kind, e.Type, e.Attributes = schemas.Behavior, "points.redeemed", attributes
				case "give":
					e.Kind, e.Type = schemas.Behavior, "points.transferred"
					if c%2 == 1 {
						e.Type = "points.redeemed"
					}
					e.Attributes = append(attributes, schemas.Attribute{Key: "to", Value: fmt.Sprintf("c%d", 2*rapid.IntRange(0, 4).Draw(rt, "to")+1)})
				}
				events = append(events, e)
			}
		}
		sort.SliceStable(events, func(i, j int) bool { return events[i].OccurredAt < events[j].OccurredAt })
		end := func(partitions int32) (totals [2]state.Totals, named int64, dead int64) {
			res, err := replay.Run(t.Context(), replay.Options{App: "shop", Playbook: pb, Wall: never, Partitions: partitions, Partition: spread, Chunk: 5,
				Until: events[len(events)-1].OccurredAt + 3*schemas.Day, Emit: func(int32, *core.Out) error { return nil }}, slice(slices.Clone(events)))
			if err != nil {
				rt.Fatal(err)
			}
			for _, c := range res.Tasks {
				for i, b := range c.Books() {
					for k := range b.Totals {
						totals[i][k] += b.Totals[k]
					}
				}
				for _, n := range c.Named() {
					named += n.Units
				}
			}
			if x := totals[0]; x[state.SumSent] != x[state.SumReceived]+named {
				rt.Fatalf("%d sent, %d received, %d on the platform's account", x[state.SumSent], x[state.SumReceived], named)
			}
			return totals, named, res.Dead
		}
		want, fees, dead := end(1)
		got, also, too := end(rapid.Int32Range(2, 5).Draw(rt, "partitions"))
		moved += got[0][state.SumReceived]
		if got != want || fees != also || dead != too {
			rt.Fatalf("several partitions: %v, %d on the platform's account, %d refused; one: %v, %d, %d", got, also, too, want, fees, dead)
		}
	})
	if moved == 0 {
		t.Error("no points went from customer to customer")
	}
}
