package micro

import (
	"fmt"
	"strings"
	"testing"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/schemas"
)

// segmented is a playbook with n segments whose conditions differ in their
// constants and in what they read.
func segmented(b testing.TB, n int) *playbook.Playbook {
	var s strings.Builder
	s.WriteString(`playbook: bench
clock: live
time_zone: UTC
currency: USD
facts:
  values:
    - {name: spend_30d, sum: purchase, window: {rolling: 30d}}
    - {name: month, count: purchase, window: month}
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}}
tiers:
  - {name: club, on: spend, window: {rolling: 365d}, levels: [{name: A, reach: 0}, {name: B, reach: 500}, {name: C, reach: 2000}]}
`)
	if n > 0 {
		s.WriteString("segments:\n")
	}
	for i := range n {
		when := ""
		switch i % 5 {
		case 0:
			when = fmt.Sprintf("orders_365d >= %d && spend_minor >= %d", 3+i%17, 40_000+i*3_000)
		case 1:
			when = fmt.Sprintf("spend_30d >= %d || month >= %d", 50_000+i*997, 6+i%11)
		case 2:
			when = fmt.Sprintf("days_since_last >= %d && orders >= %d", 30+i, 2+i%7)
		case 3:
			when = fmt.Sprintf(`tier["club"] == "C" && aov_minor >= %d`, 10_000+i*211)
		case 4:
			when = fmt.Sprintf("spend_365d_minor >= %d && refunds < %d", 100_000+i*1_009, 1+i%5)
		}
		fmt.Fprintf(&s, "  - {name: s%d, when: '%s'}\n", i, when)
	}
	pb, err := playbook.Compile([]byte(s.String()), "segments")
	if err != nil {
		b.Fatal(err)
	}
	return pb
}

// BenchmarkSegments is one event under a playbook of so many segments, 20 k
// customers in memory, nothing written. The bound: 500 cost at most
// twice what 50 cost, triggers apart, which are reported beside.
func BenchmarkSegments(b *testing.B) {
	for _, n := range []int{0, 5, 50, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const customers = 20_000
			es := events(b, customers, b.N)
			c, err := core.New(core.Config{App: "bench", Tasks: 1, CacheBytes: -1}, core.Empty{}, core.Zero())
			if err != nil {
				b.Fatal(err)
			}
			triggers := 0
			each := func(c *core.Core) {
				r := c.Ready()
				triggers += len(r.Out)
				c.Applied(r.Sequence)
			}
			control := []core.Record{
				{Input: schemas.ControlInput, Control: core.NewGenesis(core.Genesis{Partitions: 1}, "bench", 0)},
				{Input: schemas.ControlInput, Offset: 1, Control: core.NewPlaybook(segmented(b, n), "bench", 0)},
			}
			if _, err := c.Take(control, wall); err != nil {
				b.Fatal(err)
			}
			take(b, c, records(0, es[:customers]), each)
			recs := records(customers, es[customers:])
			triggers = 0
			b.ReportAllocs()
			b.ResetTimer()
			defer cpu(b)()
			take(b, c, recs, each)
			b.ReportMetric(float64(triggers)/float64(b.N), "triggers/op")
		})
	}
}
