package core

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
)

// TestOrdersOrBehaviors: the same history once as orders and once as behaviors
// at the same times gives the same stages, due times, classes and warnings, the
// names of the streams aside.
func TestOrdersOrBehaviors(t *testing.T) {
	const text = `
playbook: core behavior
clock: live
time_zone: Europe/London
currency: GBP
horizon: 800d
facts:
  core_behavior:
    - {name: post, behavior: post.published, value: worth, decimals: 2}
  values:
    - {name: n_30d, count: STREAM, window: {rolling: 30d}}
    - {name: worth_month, sum: STREAM, window: month}
    - {name: silent_days, days_since: STREAM}
lifecycle:
  - track: way
    stages: [{name: come}, {name: once, when: n_30d >= 1}, {name: often, when: n_30d >= 3 || worth_month > 10000}, {name: asleep, when: silent_days >= 30, back: [once, often]}]
inflection:
  - {name: map, on: STREAM, stable_at: 3, declining_after: 20d, lost_after: 50d}
rfm:
  - {name: class, core_behavior: STREAM, window: {rolling: 60d}, cuts: {by: fixed, recency_days: [10], frequency: [3], monetary: ["90.00"]}, classes: eight}
churn:
  - {name: silent, core_behavior: STREAM, model: hiatus, after: 20d}
  - name: gone
    core_behavior: STREAM
    model: bgnbd
    parameters: {r: 0.243, alpha: 4.414, a: 0.793, b: 2.426, unit: 1w}
    horizon: 13w
    threshold: 0.7
    min_silence: 3d
    fallback: 25d
segments:
  - {name: both, when: 'churn["silent"] != "" && stage["map"] == "declining"'}
`
	book := func(stream string) *playbook.Playbook {
		pb, err := playbook.Compile([]byte(strings.ReplaceAll(text, "STREAM", stream)), stream)
		if err != nil {
			t.Fatal(err)
		}
		return pb
	}
	orders, posts := book("purchase"), book("post")
	rapid.Check(t, func(rt *rapid.T) {
		a, b := bed(t, orders, Config{CacheBytes: 1 << 20}), bed(t, posts, Config{CacheBytes: 1 << 20})
		defer a.close()
		defer b.close()
		at := begin
		for i := range rapid.IntRange(1, 12).Draw(rt, "events") {
			at += schemas.EventTime(rapid.IntRange(1, 60*24).Draw(rt, "minutes"))*schemas.Minute +
				schemas.EventTime(rapid.SampledFrom([]int{0, 0, 1, 5, 12, 31}).Draw(rt, "days"))*schemas.Day
			amount := int64(rapid.IntRange(1, 90).Draw(rt, "amount")) * 100
			when := at
			if rapid.IntRange(0, 4).Draw(rt, "late") == 0 {
				when -= 3 * schemas.Day
			}
			a.give(&schemas.Event{EventID: fmt.Sprint("e", i), CustomerID: "c0", OccurredAt: when, Order: schemas.Paid, OrderID: fmt.Sprint("o", i), AmountMinor: amount, Currency: "GBP"})
			b.give(&schemas.Event{EventID: fmt.Sprint("e", i), CustomerID: "c0", OccurredAt: when, Kind: schemas.Behavior, Type: "post.published",
				Attributes: []schemas.Attribute{{Key: "worth", Value: fmt.Sprintf("%d.00", amount/100)}}})
			for _, w := range []*world{a, b} {
				if err := w.take(nil); err != nil {
					rt.Fatal(err)
				}
			}
		}
		names := strings.NewReplacer("purchase.", "post.", "stream:orders", "stream:post")
		for _, end := range []schemas.EventTime{at, at + 200*schemas.Day} {
			var said, stand [2]string
			for i, w := range []*world{a, b} {
				if err := w.tick(end, nil); err != nil {
					rt.Fatal(err)
				}
				e, err := w.core.customer("c0")
				if err != nil {
					rt.Fatal(err)
				}
				for _, r := range e.Rules {
					if r.ID == w.core.group.id {
						r.Since = 0 // when the facts were last looked at
					}
					stand[i] += fmt.Sprintf("%s phase %d due %d since %d aux %d episodes %d\n", w.core.RuleName(r.ID), r.Phase, r.Due, r.Since, r.Aux, r.Episode)
				}
				for k := range w.core.out {
					line := w.record(&w.core.out[k])
					if c, ok := w.core.out[k].Record.(*schemas.ChurnWarning); ok {
						line += fmt.Sprintf(" stream:%s orders %d stake %d", c.Stream, c.Orders, c.ValueAtStake)
					}
					said[i] += line + "\n"
				}
				said[i], stand[i] = names.Replace(said[i]), names.Replace(stand[i])
			}
			if said[0] != said[1] {
				rt.Fatalf("orders say:\n%s\nbehaviors say:\n%s", said[0], said[1])
			}
			if got, want := sortedLines(stand[0]), sortedLines(stand[1]); got != want {
				rt.Fatalf("orders stand:\n%s\nbehaviors stand:\n%s", got, want)
			}
		}
	})
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		for j := i + 1; j < len(lines); j++ {
			if lines[j] < lines[i] {
				lines[i], lines[j] = lines[j], lines[i]
			}
		}
	}
	return strings.Join(lines, "\n")
}
