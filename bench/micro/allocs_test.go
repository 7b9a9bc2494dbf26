package micro

import (
	"runtime"
	"testing"

	"tidemark/processor/core"
)

// An event that triggers nothing allocates nothing, but for the growth of a
// customer's slices now and then; a trigger takes about a dozen pieces.
func TestEventAllocatesNothing(t *testing.T) {
	const n = 2000
	es := events(t, n, 40*n)
	drop := func(c *core.Core) { c.Applied(c.Ready().Sequence) }
	c := newCore(t, core.Empty{}, -1, es[:20*n], drop)
	recs := records(20*n, es[20*n:])
	runtime.GC()
	var before, after runtime.MemStats
	triggers := 0
	runtime.ReadMemStats(&before)
	take(t, c, recs, func(c *core.Core) {
		rd := c.Ready()
		triggers += len(rd.Out)
		c.Applied(rd.Sequence)
	})
	runtime.ReadMemStats(&after)
	allocs := int(after.Mallocs - before.Mallocs)
	if got, want := allocs, len(recs)/20+14*triggers; got > want {
		t.Errorf("%d allocations for %d events and %d triggers, want at most %d", got, len(recs), triggers, want)
	}
	t.Logf("%d events, %d triggers, %d allocations", len(recs), triggers, allocs)
}
