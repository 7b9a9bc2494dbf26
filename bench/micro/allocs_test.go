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

// What a trigger that waits for its commit keeps from the collector: its bytes
// and what the runtime must know, and not the struct that it was made from.
func TestWaitingTrigger(t *testing.T) {
	const n = 20_000
	es := events(t, n, 1)
	size := func(bytesOnly bool) int {
		c, err := core.New(core.Config{App: "bench", Tasks: 1, CacheBytes: -1, BytesOnly: bytesOnly}, core.Empty{}, core.Zero())
		if err != nil {
			t.Fatal(err)
		}
		start(t, c)
		take(t, c, records(0, es), func(*core.Core) {})
		rd := c.Ready()
		if got, want := len(rd.Out), n; got < want {
			t.Fatalf("%d triggers, want at least %d", got, want)
		}
		out := len(rd.Out)
		var with, without runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&with)
		runtime.KeepAlive(rd)
		rd = nil
		runtime.GC()
		runtime.ReadMemStats(&without)
		runtime.KeepAlive(c)
		return int(with.HeapAlloc-without.HeapAlloc) / out
	}
	whole, lean := size(false), size(true)
	t.Logf("%d bytes a trigger with its struct, %d without", whole, lean)
	if got, want := lean, 700; got > want {
		t.Errorf("a waiting trigger takes %d bytes, want at most %d", got, want)
	}
}
