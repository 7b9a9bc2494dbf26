package core

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
)

// begin is where all made histories begin.
const begin = schemas.EventTime(1_704_067_200_000) // 2024-01-01

// rules is a playbook with one rule of each kind, windows short enough that a
// history of some months passes them several times.
func rules(t testing.TB, clock, extra string) *playbook.Playbook {
	t.Helper()
	pb, err := playbook.Compile([]byte(`
playbook: property
clock: `+clock+`
time_zone: Europe/London
currency: GBP
horizon: 800d
refund_wait: 20d
disorder: 2d
future: 7d
rates: {USD: [{from: 2023-01-01, rate: "0.8"}, {from: 2024-03-01, rate: "0.75"}]}
defaults: {correct_within: 400d}
facts:
  core_behavior:
    - {name: open, behavior: app.opened, value: n}
    - {name: freight, order: PAID, category: freight}
  gauges:
    - {name: held, behavior: app.opened, attribute: n}
  values:
    - {name: opens, count: open, window: {rolling: 40d}}
    - {name: paths, count: path}
    - {name: opened, sum: open, window: month}
    - {name: mean, average: held, window: {rolling: 50d}}
    - {name: most, max: held, window: {rolling: 30d}}
    - {name: row, streak: open}
    - {name: freight_share, share: freight, of: purchase, window: {rolling: 90d}}
    - {name: unpaid, after: open, without: purchase, same: order_id, within: 1d, for: 20d}
lifecycle:
  - track: way
    stages:
      - {name: come}
      - {name: tried, when: opens >= 1}
      - {name: bought, when: orders >= 1}
      - {name: again, when: orders >= 2}
      - {name: asleep, when: days_since_last >= 40 && opens < 2, back: [tried, bought, again]}
  - {track: slow, dwell: 5d, stages: [{name: low}, {name: high, when: mean >= 4, back: [low]}]}
inflection:
  - {name: map, stable_at: 2, declining_after: 25d, lost_after: 60d}
  - {name: posts, on: open, stable_at: 2, declining_after: 25d, lost_after: 60d}
tags:
  - {name: keen, when: opens >= 2 && opened > 5, until: opens == 0}
  - {name: hoarder, when: most >= 8, expires: 7d}
  - {name: mood, exclusive: [{name: sad, when: refunds * 2 > orders}, {name: glad, when: orders >= 1}]}
segments:
  - {name: worth, when: 'segment["core"] && tier["ever"] != "A" || tag["keen"] && stage["map"] == "stable"'}
  - {name: core, when: 'stage["way"] in ["bought", "again"] && tag_of["mood"] == "glad" && freight_share < 30'}
  - {name: left, when: 'churn["silent"] != "" && rfm["fixed"] != "" && !segment["worth"]', dwell: 3d}
  - {name: never, when: orders == 0}
  - {name: walked, when: 'paths >= 1 && tier["player"] != "C"'}
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}, omit_categories: [freight]}
  - {name: played, per: {amount: "10.00", gives: 1}, multiply: [{tier: player, from: B, by: "1.5"}], caps: [{at_most: 25, per: week}]}
  - {name: fading, per: {amount: "1.00", gives: 1}, factors: [{on: held, per: {amount: 1, gives: 2}, each: week}], decay: {every: month, by: 30%}}
tasks:
  - {name: two opens, at_most: unlimited, steps: [{on: open, times: 2, within: 20d}], rewards: [{growth: played, gives: 3}]}
  - name: path
    when: tier_level["player"] == 0
    at_most: 3
    steps: [{on: two opens, times: 1}, {name: pay, on: purchase, sum: "30.00", within: 30d}, {name: again, on: open, times: 1}]
    rewards: [{growth: played, gives: 10, locked_until: purchase, within: 40d}]
  - {name: after an order, opens: purchase, deadline: 10d, order: parallel, steps: [{name: o, on: open, times: 1}, {name: p, on: purchase, times: 1}]}
  - {name: month, window: month, at_most: 2, steps: [{on: open, streak: 2}], rewards: [{growth: played, gives: 1}]}
  - {name: days, when: 'tag_of["mood"] == "glad"', steps: [{name: third, on: purchase, times: 3}, {name: fifty, on: purchase, days: 50}]}
  - {name: spring, season: {from: 02-15, until: 04-01}, counts: ever, steps: [{on: purchase, times: 2}]}
tiers:
  - {name: fading tier, on: fading, window: {rolling: 100d}, levels: [{name: A, reach: 0}, {name: B, reach: 40}, {name: C, reach: 100}], upgrade: {at: end_of_cycle, cycle: week}, bought: [{on: freight, level: B, for: 30d}], roles: {track: role, member: B, vip: C}}
  - {name: player, on: played, window: {rolling: 90d}, levels: [{name: A, reach: 0}, {name: B, reach: 12}, {name: C, reach: 40}]}
  - {name: club, on: spend, window: {rolling: 30d}, levels: [{name: A, reach: 0}, {name: B, reach: 60}, {name: C, reach: 120}]}
  - {name: ever, on: spend, window: lifetime, levels: [{name: A, reach: 0}, {name: B, reach: 100}, {name: C, reach: 250}]}
rfm:
  - name: fixed
    window: {rolling: 60d}
    cuts: {by: fixed, recency_days: [10], frequency: [3], monetary: ["90.00"]}
    classes: eight
`+extra+`
churn:
  - {name: silent, model: hiatus, after: 20d}
  - name: gone
    model: bgnbd
    parameters: {r: 0.243, alpha: 4.414, a: 0.793, b: 2.426, unit: 1w}
    horizon: 13w
    threshold: 0.7
    min_silence: 3d
    fallback: 25d
  - name: gone in steps
    model: mbgnbd
    parameters: {r: 0.525, alpha: 6.183, a: 0.891, b: 1.614, unit: 1w}
    horizon: 4w
    levels: {early: 0.6, late: 0.7, lost: 0.8}
    min_silence: 3d
    fallback: {early: 12d, late: 20d, lost: 30d}
  - name: by the curve
    model: return-curve
    parameters: {curve: [{orders: 1, days: [5, 20, 60], away: [.7, .4, .3]}, {orders: 4, days: [5, 20, 60], away: [.4, .1, .08]}]}
    horizon: 10d
    levels: {early: 0.5, lost: 0.8}
    min_silence: 3d
    fallback: 15d
  - name: steps
    model: cycle
    parameters: {gap: 9d, weight: 2}
    levels: {early: 1, late: 1.7, lost: 3}
    min_silence: 3d
  - {name: banded, model: hiatus, bands: [{orders: 1, early: 15d, late: 22d}, {orders: 3, early: 8d, late: 12d}]}
recall:
  - name: back
    on: silent
    audience: orders >= 2
    send_after: 2d
    holdout: 30%
    arms: [{name: mail, weight: 1}, {name: call, weight: 1}]
`), "property")
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

const cutsByMean = `
  - name: mean
    window: {rolling: 60d}
    cuts: {by: mean, refresh: week, delay: 3h}
    classes: eight
`

// made is one history, sorted by occurred_at; no two events of one customer
// share an instant.
func made(t *rapid.T, customers, perCustomer int, clean bool) []*schemas.Event {
	var all []*schemas.Event
	n := 0
	for c := range rapid.IntRange(1, customers).Draw(t, "customers") {
		id := fmt.Sprintf("c%d", c)
		at := begin
		type order struct {
			id        string
			room      int64
			currency  string
			cancelled bool
		}
		var orders []order
		event := func(e schemas.Event) *schemas.Event {
			n++
			e.EventID, e.CustomerID, e.OccurredAt = fmt.Sprintf("e%d", n), id, at
			all = append(all, &e)
			return &e
		}
		for range rapid.IntRange(1, perCustomer).Draw(t, "events") {
			// Gaps from a minute to a month, mostly days.
			at += schemas.EventTime(rapid.IntRange(1, 60*24).Draw(t, "minutes"))*schemas.Minute +
				schemas.EventTime(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 5, 12, 21, 31}).Draw(t, "days"))*schemas.Day
			kind := rapid.SampledFrom([]string{"paid", "paid", "paid", "paid", "refund", "cancel", "again", "behavior", "early"}).Draw(t, "kind")
			if kind != "paid" && kind != "behavior" && kind != "early" && len(orders) == 0 {
				kind = "paid"
			}
			switch kind {
			case "paid":
				o := order{id: fmt.Sprintf("%s-o%d", id, n), currency: rapid.SampledFrom([]string{"GBP", "GBP", "GBP", "USD"}).Draw(t, "currency")}
				o.room = int64(rapid.SampledFrom([]int{0, 500, 2000, 6000, 15000}).Draw(t, "amount"))
				e := event(schemas.Event{Order: schemas.Paid, OrderID: o.id, AmountMinor: o.room, Currency: o.currency})
				if o.room > 2000 && rapid.Bool().Draw(t, "freight") {
					e.Items = []schemas.Item{{Category: "freight", AmountMinor: 1000}}
				}
				orders = append(orders, o)
			case "refund":
				o := &orders[rapid.IntRange(0, len(orders)-1).Draw(t, "which")]
				amount := o.room
				if rapid.Bool().Draw(t, "part") {
					amount /= 2
				}
				o.room -= amount
				event(schemas.Event{Order: schemas.Refunded, OrderID: o.id, AmountMinor: amount, Currency: o.currency})
			case "cancel":
				o := &orders[rapid.IntRange(0, len(orders)-1).Draw(t, "which")]
				o.cancelled = true
				event(schemas.Event{Order: schemas.Cancelled, OrderID: o.id, Currency: o.currency})
			case "again": // an instalment
				o := &orders[rapid.IntRange(0, len(orders)-1).Draw(t, "which")]
				if clean && o.cancelled {
					continue // what a payment after a cancellation means hangs on what came first
				}
				event(schemas.Event{Order: schemas.Paid, OrderID: o.id, AmountMinor: max(o.room, 3000), Currency: o.currency})
			case "behavior":
				event(schemas.Event{Kind: schemas.Behavior, Type: "app.opened", Attributes: []schemas.Attribute{
					{Key: "n", Value: rapid.SampledFrom([]string{"0", "1", "5", "9", "x"}).Draw(t, "n")}, {Key: "order_id", Value: fmt.Sprintf("%s-o%d", id, n+2)}}})
			case "early": // a refund whose order does not come
				event(schemas.Event{Order: schemas.Refunded, OrderID: fmt.Sprintf("%s-x%d", id, n), AmountMinor: 700, Currency: "GBP"})
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].OccurredAt < all[j].OccurredAt })
	return all
}

// bed is a world with a playbook, ready for events.
func bed(t testing.TB, pb *playbook.Playbook, cfg Config) *world {
	t.Helper()
	var control []Record
	topics := &topics{control: &control}
	topics.add(Record{Input: schemas.ControlInput, Control: NewGenesis(Genesis{Partitions: 1, Start: begin}, "test", 0)})
	topics.add(Record{Input: schemas.ControlInput, Control: NewPlaybook(pb, "test", 0)})
	w, err := newWorld(cfg, &control)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close() })
	w.wall = begin
	if err := w.take(w.commitAll); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) give(events ...*schemas.Event) {
	for _, e := range events {
		in := schemas.OrderEvents
		if e.Kind == schemas.Behavior {
			in = schemas.BehaviorEvents
		}
		w.wall = max(w.wall, e.OccurredAt)
		w.topics.add(Record{Input: in, Event: e})
	}
}

// take takes all that waits; cut is called wherever a Ready is due.
func (w *world) take(cut func() error) error {
	for {
		recs := w.waiting(0)
		if len(recs) == 0 {
			return nil
		}
		n, err := w.lend(recs, w.wall)
		if err != nil {
			return err
		}
		if n < len(recs) {
			if cut == nil {
				return fmt.Errorf("took %d of %d: %s", n, len(recs), w.core.Blocked())
			}
			if err := cut(); err != nil {
				return err
			}
		}
	}
}

func (w *world) tick(to schemas.EventTime, cut func() error) error {
	w.wall = max(w.wall, to)
	for {
		done, err := w.core.Tick(to, w.wall)
		if err != nil || done {
			return err
		}
		if cut == nil {
			return fmt.Errorf("the tick stopped: %s", w.core.Blocked())
		}
		if err := cut(); err != nil {
			return err
		}
	}
}

// commitAll lands and applies what waits, and gives transfers and controls back to the task.
func (w *world) commitAll() error {
	for {
		r := w.core.Ready()
		if r == nil {
			return nil
		}
		w.land(r, w.own)
		if err := w.apply(r); err != nil {
			return err
		}
	}
}

func (w *world) own(moves []*schemas.Transfer, controls []*schemas.Control) {
	for _, m := range moves {
		w.topics.add(Record{Input: schemas.TransferInput, Transfer: m})
	}
	for _, m := range controls {
		w.topics.add(Record{Input: schemas.ControlInput, Control: m})
	}
}

// perCustomer is what was published, by key, in order.
func perCustomer(out []Out) map[string][]string {
	all := map[string][]string{}
	for i := range out {
		all[out[i].Key] = append(all[out[i].Key], string(out[i].Topic)+" "+string(out[i].Body))
	}
	return all
}

func sameOutput(t *rapid.T, w *world, what string, got, want []Out) {
	a, b := perCustomer(got), perCustomer(want)
	for key := range b {
		if !slices.Equal(a[key], b[key]) {
			show := func(out []Out) string {
				var s strings.Builder
				for i := range out {
					if out[i].Key == key {
						s.WriteString("  " + w.record(&out[i]) + "\n")
					}
				}
				return s.String()
			}
			t.Fatalf("%s: of %s came\n%snot\n%s", what, key, show(got), show(want))
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%s: output for %d keys, want %d", what, len(a), len(b))
	}
}

func sound(t *rapid.T, w *world) {
	for i := range w.out {
		if wrong := check(w.cfg.App, &w.out[i]); len(wrong) > 0 {
			t.Fatalf("%s", w.record(&w.out[i]))
		}
	}
}
