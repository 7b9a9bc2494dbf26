package e2e

import (
	"testing"
	"time"

	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
)

// A history all of whose customers are in one partition, without an end in the
// configuration: the empty task goes to the same end as the other, or the cuts
// over all customers would be awaited for ever.
func TestAnEmptyPartitionHoldsNoHistoryBack(t *testing.T) {
	pb, events := cdnow(t)
	w := newWorld(t, 2)
	var mine []*schemas.Event
	for _, e := range events {
		if source.Partition([]byte(e.CustomerID), 2) == 0 && len(mine) < 1500 {
			mine = append(mine, e)
		}
	}
	// The history has to pass the end of a month, at which cuts are made.
	late := *events[len(events)-1]
	late.CustomerID, late.EventID, late.OrderID = mine[0].CustomerID, "late", "late"
	mine = append(mine, &late)
	w.publish(mine)
	prep := w.prepare(pb, nil)
	p := w.start(t.TempDir(), "one", func(c *runtime.Config) { prep.Apply(c, pb.Clock) })
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatalf("not finished:\n%s", w.log.last(30))
	}
	p.stop()
	r := w.audit()
	if r.Left != 0 || r.Published == 0 {
		t.Errorf("%d published, %d records not covered", r.Published, r.Left)
	}
}
