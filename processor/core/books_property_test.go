package core

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/state"
)

// ledgers is a playbook of accounts of every kind, closed after a few days.
func ledgers(t testing.TB, clock string) *playbook.Playbook {
	t.Helper()
	pb, err := playbook.Compile([]byte(`
playbook: accounts
clock: `+clock+`
time_zone: Europe/London
currency: GBP
disorder: 2d
future: 7d
refund_wait: 3d
defaults: {correct_within: 5d}
facts: {core_behavior: [{name: post, behavior: post}]}
ledgers:
  - {name: plain, per: {amount: "1.00", gives: 1}, expires: {after: 20d}, notice: 3d}
  - {name: settled, per: {amount: "3.00", gives: 2}, settle: {on: delivered, after: 2d}, expires: {end_of: month}, overdraft: allow}
  - name: claimed
    per: {amount: "2.00", gives: 1}
    factors: [{on: post, gives: 30, at_most_per_day: 40}]
    settle: {after: 1d}
    claim: {within: 4d}
    caps: [{at_most: 120, per: week}]
    overdraft: forgive
    budget: {points: 300, per: month}
growth: [{name: spend, per: {amount: "1.00", gives: 1}}]
tiers: [{name: club, on: spend, window: {rolling: 10d}, levels: [{name: A, reach: 0}, {name: B, reach: 150}]}]
segments: [{name: keen, when: orders >= 2}]
benefits:
  - {name: lounge, grants: [{tier: club, levels: [B], quantity: 2, every: week}], valid: {end_of: month}, notice: 2d, on_downgrade: revoke}
  - {name: box, grants: [{segment: keen}, {tier: club, levels: [A, B]}], claim: {within: 2d}, valid: {after: 3d}}
`), "test")
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

var ledgerNames = []string{"plain", "settled", "claimed"}

// moved makes a history of orders, refunds, posts, and events about points; kept
// leaves out what takes points for good.
func moved(t *rapid.T, customers, perCustomer int, kept bool) []*schemas.Event {
	var all []*schemas.Event
	n := 0
	for c := range rapid.IntRange(1, customers).Draw(t, "customers") {
		at := begin
		type order struct {
			id   string
			room int64
		}
		var orders []order
		add := func(e schemas.Event) {
			n++
			e.EventID, e.CustomerID, e.OccurredAt = fmt.Sprintf("e%d", n), fmt.Sprintf("c%d", c), at
			all = append(all, &e)
		}
		points := func(kind string, points int64) {
			add(schemas.Event{Kind: schemas.Behavior, Type: kind, Attributes: []schemas.Attribute{
				{Key: "ledger", Value: rapid.SampledFrom(ledgerNames).Draw(t, "ledger")}, {Key: "points", Value: strconv.FormatInt(points, 10)}}})
		}
		kinds := []string{"paid", "paid", "paid", "refund", "cancel", "post", "delivered", "claim"}
		if !kept {
			kinds = append(kinds, "redeem", "redeem", "give", "take", "use", "get", "refund nothing")
		}
		for range rapid.IntRange(1, perCustomer).Draw(t, "events") {
			at += schemas.EventTime(rapid.IntRange(1, 40*60).Draw(t, "minutes")) * schemas.Minute
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			var o *order
			if len(orders) > 0 {
				o = &orders[rapid.IntRange(0, len(orders)-1).Draw(t, "which")]
			} else if kind == "refund" || kind == "cancel" || kind == "delivered" {
				kind = "paid"
			}
			switch kind {
			case "paid":
				x := order{fmt.Sprintf("c%d-o%d", c, n), rapid.Int64Range(0, 20000).Draw(t, "amount")}
				orders = append(orders, x)
				add(schemas.Event{Order: schemas.Paid, OrderID: x.id, AmountMinor: x.room, Currency: "GBP"})
			case "refund":
				amount := rapid.Int64Range(0, o.room).Draw(t, "refund")
				o.room -= amount
				add(schemas.Event{Order: schemas.Refunded, OrderID: o.id, AmountMinor: amount, Currency: "GBP"})
			case "cancel":
				add(schemas.Event{Order: schemas.Cancelled, OrderID: o.id, Currency: "GBP"})
			case "refund nothing":
				add(schemas.Event{Order: schemas.Refunded, OrderID: fmt.Sprintf("x%d", n), AmountMinor: 1500, Currency: "GBP"})
			case "post":
				add(schemas.Event{Kind: schemas.Behavior, Type: "post"})
			case "delivered":
				add(schemas.Event{Kind: schemas.Behavior, Type: "order.delivered", Attributes: []schemas.Attribute{{Key: "order_id", Value: o.id}}})
			case "claim":
				points(playbook.PointsClaimed, rapid.Int64Range(1, 60).Draw(t, "points"))
			case "redeem":
				points(playbook.PointsRedeemed, rapid.Int64Range(1, 120).Draw(t, "points"))
			case "give":
				points(playbook.PointsAdjusted, rapid.Int64Range(1, 50).Draw(t, "points"))
			case "use", "get":
				kind := map[string]string{"use": playbook.BenefitUsed, "get": playbook.BenefitClaimed}[kind]
				add(schemas.Event{Kind: schemas.Behavior, Type: kind, Attributes: []schemas.Attribute{
					{Key: "benefit", Value: rapid.SampledFrom([]string{"lounge", "box"}).Draw(t, "benefit")}}})
			case "take":
				points(playbook.PointsAdjusted, -rapid.Int64Range(1, 50).Draw(t, "points"))
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].OccurredAt < all[j].OccurredAt })
	return all
}

// balanced holds the totals of the task against the accounts of its customers, and
// what came in against what is there and what went.
func balanced(t *rapid.T, w *world) {
	t.Helper()
	ids, err := w.store.Customers(nil, "", true, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := w.core.Books()
	for i, k := range w.core.ledgers {
		var sum state.Totals
		for _, id := range ids {
			e, err := w.core.customer(id)
			if err != nil {
				t.Fatal(err)
			}
			if a := e.Account(k.rid); a != nil {
				for i := range sum {
					sum[i] += a.Now[i]
				}
			}
		}
		if got := all[i].Totals; got != sum {
			t.Fatalf("%s: the task counts %v, its customers hold %v", k.pb.Name, got, sum)
		}
		in := sum[state.SumEarned] + sum[state.SumGranted] + sum[state.SumAdjusted] + sum[state.SumReceived] + sum[state.SumForgiven]
		there := sum[state.SumPending] + sum[state.SumClaimable] + sum[state.SumOpen] - sum[state.SumOwed]
		gone := sum[state.SumCancelled] + sum[state.SumLapsed] + sum[state.SumRedeemed] + sum[state.SumExpired] + sum[state.SumReversed] + sum[state.SumSent]
		if in != there+gone {
			t.Fatalf("%s: %d came in, %d are there and %d went", k.pb.Name, in, there, gone)
		}
	}
}

// held is what a customer holds, in words.
func held(t *rapid.T, w *world, id string, at schemas.EventTime) string {
	e, err := w.core.customer(id)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, k := range w.core.ledgers {
		a := e.Account(k.rid)
		if a == nil {
			continue
		}
		given, _ := w.core.givenTo(w.core.view(e), k, a, at)
		s := k.book.At(w.core.view(e), a, given, at)
		ends := map[schemas.EventTime]int64{}
		for _, l := range s.Lots {
			ends[l.Expires] += l.Units
		}
		fmt.Fprintf(&b, "%s: %v owes %d, ends %v, counted %v\n", k.pb.Name, s.Totals, s.Debt, ends, a.Now)
	}
	return b.String()
}

// TestBooksShuffled: what a customer holds does not hang on the order of arrival
// within the allowed disorder, and nothing is made or lost at any commit.
func TestBooksShuffled(t *testing.T) {
	pb := ledgers(t, "live")
	rapid.Check(t, func(rt *rapid.T) {
		events := moved(rt, 3, 25, false)
		sorted, late := bed(t, pb, Config{CacheBytes: 1 << 20}), bed(t, pb, Config{CacheBytes: 1 << 20})
		defer sorted.close()
		defer late.close()
		inOrder(rt, sorted, events)
		top := begin
		for _, e := range disordered(rt, events, pb.Disorder) {
			late.give(e)
			if err := late.take(nil); err != nil {
				rt.Fatal(err)
			}
			if top = max(top, e.OccurredAt); rapid.Bool().Draw(rt, "tick") {
				if err := late.tick(top-pb.Disorder, nil); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.IntRange(0, 4).Draw(rt, "commit") == 0 {
				if err := late.commitAll(); err != nil {
					rt.Fatal(err)
				}
				balanced(rt, late)
			}
		}
		end := events[len(events)-1].OccurredAt + schemas.EventTime(rapid.IntRange(1, 60).Draw(rt, "after"))*schemas.Day
		for _, w := range []*world{sorted, late} {
			if err := w.tick(end, nil); err != nil {
				rt.Fatal(err)
			}
			if err := w.commitAll(); err != nil {
				rt.Fatal(err)
			}
			balanced(rt, w)
			sound(rt, w)
		}
		for i := range 3 {
			id := fmt.Sprintf("c%d", i)
			if got, want := held(rt, late, id, end), held(rt, sorted, id, end); got != want {
				rt.Fatalf("%s, late:\n%s\nin order:\n%s\nlate said:\n%s\nin order it said:\n%s", id, got, want, said(late), said(sorted))
			}
		}
	})
}

// TestBooksReturned: who was given all her money back, and used nothing, holds what
// one holds who never bought.
func TestBooksReturned(t *testing.T) {
	pb := ledgers(t, "live")
	rapid.Check(t, func(rt *rapid.T) {
		w := bed(t, pb, Config{CacheBytes: 1 << 20})
		defer w.close()
		var events []*schemas.Event
		for _, e := range moved(rt, 2, 20, true) {
			if e.Kind == schemas.Order || e.Type != "post" {
				events = append(events, e)
			}
		}
		if len(events) == 0 {
			return
		}
		inOrder(rt, w, events)
		at := events[len(events)-1].OccurredAt
		for i, e := range append([]*schemas.Event(nil), events...) {
			if e.Order != schemas.Paid {
				continue
			}
			at += schemas.EventTime(rapid.IntRange(0, 48).Draw(rt, "hours")) * schemas.Hour
			back := *e
			back.EventID, back.Order, back.OccurredAt = fmt.Sprintf("back%d", i), schemas.Cancelled, at
			inOrder(rt, w, []*schemas.Event{&back})
		}
		if err := w.commitAll(); err != nil {
			rt.Fatal(err)
		}
		balanced(rt, w)
		sound(rt, w)
		for _, b := range w.core.Books() {
			if b.Name == "box" {
				continue // she has it for being a customer at all
			}
			if n := b.Totals[state.SumOpen] + b.Totals[state.SumPending] + b.Totals[state.SumClaimable] + b.Totals[state.SumOwed]; n != 0 {
				rt.Fatalf("%s: %v is left\n%s", b.Name, b.Totals, said(w))
			}
		}
	})
}

// TestBooksDisturbed: wherever Readys are cut and whatever crashes, the same is
// said, and the store is the same.
func TestBooksDisturbed(t *testing.T) {
	for _, clock := range []string{"live", "input"} {
		t.Run(clock, func(t *testing.T) {
			pb := ledgers(t, clock)
			other, err := playbook.Compile([]byte(strings.Replace(string(pb.Text), "after: 20d", "after: 15d", 1)), "other")
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(rt *rapid.T) {
				plan := plan(rt, clock, moved(rt, 2, 8, false), other)
				calm := bed(t, pb, Config{CacheBytes: 1 << 20})
				defer calm.close()
				carry(rt, calm, plan, nil)
				sound(rt, calm)
				balanced(rt, calm)
				wild := bed(t, pb, Config{CacheBytes: rapid.SampledFrom([]int64{0, 2000}).Draw(rt, "cache"),
					Budget: Budget{Triggers: rapid.IntRange(0, 3).Draw(rt, "triggers"), Units: rapid.IntRange(0, 3).Draw(rt, "units"), Records: rapid.IntRange(0, 4).Draw(rt, "records")}})
				defer wild.close()
				wild.small = rapid.Bool().Draw(rt, "small")
				carry(rt, wild, plan, rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)))
				balanced(rt, wild)
				sameOutput(rt, wild, "disturbed", wild.out, calm.out)
				a, err := wild.dump()
				if err != nil {
					rt.Fatal(err)
				}
				b, err := calm.dump()
				if err != nil {
					rt.Fatal(err)
				}
				delete(a, "mposition")
				delete(b, "mposition")
				if d := difference(b, a); d != "" {
					rt.Fatalf("the store is another: %s", d)
				}
			})
		})
	}
}
