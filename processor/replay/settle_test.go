package replay_test

import (
	"fmt"
	"testing"

	"tidemark/examples"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
)

const settled = `playbook: settled
clock: input
time_zone: Europe/London
currency: GBP
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}, settle: {on: paid, after: %s}}
tiers:
  - {name: club, on: spend, window: {rolling: 365d}, levels: [{name: Lv1, reach: 0}, {name: Lv2, reach: 500}]}
`

// Online Retail's customer 12346 bought 74,215 pieces and cancelled them 16
// minutes later. Where an award settles after an hour nobody ever hears of him;
// without that he rises and is taken back.
func TestWhoCancelsBeforeItSettlesNeverRises(t *testing.T) {
	const who = "12346"
	for _, k := range []struct {
		after string
		want  string
	}{{"1h", ""}, {"0s", "FIRED upgrade, RETRACTED upgrade, "}} {
		all := dataset(t, examples.OnlineRetail, examples.OnlineRetailMapping)
		mine := func() (*schemas.Event, error) {
			for {
				ev, err := all()
				if err != nil || ev.CustomerID == who {
					return ev, err
				}
			}
		}
		got := ""
		res := run(t, replay.Options{Playbook: compile(t, []byte(fmt.Sprintf(settled, k.after))), Partitions: 1, Until: date("2012-12-31"),
			Emit: func(_ int32, o *core.Out) error {
				if c, ok := o.Record.(*schemas.TierChange); ok {
					got += c.Status + " " + c.Kind + ", "
				}
				return nil
			}}, mine)
		if res.Events == 0 {
			t.Fatal("the data has no such customer")
		}
		if got != k.want {
			t.Errorf("settled after %s: tier-changes say %q, want %q", k.after, got, k.want)
		}
	}
}
