package micro

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/bench/orders"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/schemas"
	"tidemark/state"
)

const customers = 100_000

func book(b testing.TB) *playbook.Playbook {
	text, err := os.ReadFile("../playbook.yaml")
	if err != nil {
		b.Fatal(err)
	}
	pb, err := playbook.Compile(text, "bench/playbook.yaml")
	if err != nil {
		b.Fatal(err)
	}
	return pb
}

// events gives n warm-up orders, one of each customer, and then more.
func events(b testing.TB, customers, more int) []schemas.Event {
	g, err := orders.New(orders.Config{Seed: 1, Customers: customers, Events: more, Warm: true, Refunds: .01, Repeats: .001})
	if err != nil {
		b.Fatal(err)
	}
	out := make([]schemas.Event, customers+more)
	for i := range out {
		if !g.Next(&out[i]) {
			b.Fatalf("only %d events", i)
		}
		out[i].Items = append([]schemas.Item(nil), out[i].Items...)
	}
	return out
}

func records(from schemas.Offset, es []schemas.Event) []core.Record {
	raw := &core.Raw{Topic: "order-events"}
	out := make([]core.Record, len(es))
	for i := range es {
		out[i] = core.Record{Input: schemas.OrderEvents, Offset: from + schemas.Offset(i), Event: &es[i], Raw: raw}
	}
	return out
}

const (
	batch  = 8192   // records that the runtime hands over at once
	commit = 50_000 // records of one commit under load
)

// newCore makes a task that has taken every customer's first order.
func newCore(b testing.TB, rd core.Reader, cache int64, es []schemas.Event, each func(*core.Core)) *core.Core {
	c, err := core.New(core.Config{App: "bench", Tasks: 1, CacheBytes: cache}, rd, core.Zero())
	if err != nil {
		b.Fatal(err)
	}
	start(b, c)
	take(b, c, records(0, es), each)
	return c
}

// start gives a new task its playbook.
func start(b testing.TB, c *core.Core) {
	pb := book(b)
	control := []core.Record{
		{Input: schemas.ControlInput, Control: core.NewGenesis(core.Genesis{Partitions: 1}, "bench", 0)},
		{Input: schemas.ControlInput, Offset: 1, Control: core.NewPlaybook(pb, "bench", 0)},
	}
	if _, err := c.Take(control, wall); err != nil {
		b.Fatal(err)
	}
}

const wall = schemas.EventTime(4_000_000_000_000)

func take(b testing.TB, c *core.Core, recs []core.Record, each func(*core.Core)) {
	for len(recs) > 0 {
		n := min(batch, len(recs))
		took, err := c.Take(recs[:n], wall)
		if err != nil {
			b.Fatal(err)
		}
		if took != n {
			b.Fatalf("took %d of %d: %s", took, n, c.Blocked())
		}
		each(c)
		recs = recs[n:]
	}
}

// cpu reports the processor time of an op beside its time on the clock: all of
// the process, the collector and Pebble's compactions included. On a machine
// that others use it is the figure to compare.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkTake is one event, 100 k customers in memory, and nothing written: the
// rules alone. An op is an event.
func BenchmarkTake(b *testing.B) {
	es := events(b, customers, b.N)
	drop := func(c *core.Core) { c.Applied(c.Ready().Sequence) }
	c := newCore(b, core.Empty{}, -1, es[:customers], drop)
	recs := records(customers, es[customers:])
	triggers := 0
	b.ReportAllocs()
	runtime.GC()
	b.ResetTimer()
	defer cpu(b)()
	take(b, c, recs, func(c *core.Core) {
		rd := c.Ready()
		triggers += len(rd.Out)
		c.Applied(rd.Sequence)
	})
	b.ReportMetric(float64(triggers)/float64(b.N), "triggers/op")
}

// BenchmarkCycle is the same with rows, timers and position written to a Pebble
// store (in memory, so that the disk is left out); 100 k customers stay decoded.
func BenchmarkCycle(b *testing.B) { cycle(b, 1<<40) }

// BenchmarkCycleCold has room for a few customers: nearly every event reads and
// decodes a row. Pebble's blocks are in memory.
func BenchmarkCycleCold(b *testing.B) { cycle(b, 1<<20) }

func cycle(b *testing.B, cache int64) {
	es := events(b, customers, b.N)
	blocks := pebble.NewCache(256 << 20)
	defer blocks.Unref()
	store, err := state.Open("task", state.Options{FS: vfs.NewMem(), Cache: blocks})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	triggers := 0
	flush := func(c *core.Core) {
		rd := c.Ready()
		if rd == nil {
			return
		}
		triggers += len(rd.Out)
		if err := store.Apply(rd.Batch, &rd.Position); err != nil {
			b.Fatal(err)
		}
		c.Applied(rd.Sequence)
	}
	apply := func(c *core.Core) {
		if taken, _ := c.Pending(); taken >= commit {
			flush(c)
		}
	}
	c := newCore(b, store, cache, es[:customers], apply)
	flush(c)
	recs := records(customers, es[customers:])
	triggers = 0
	b.ReportAllocs()
	runtime.GC()
	b.ResetTimer()
	report := cpu(b)
	take(b, c, recs, apply)
	flush(c)
	b.StopTimer()
	report()
	b.ReportMetric(float64(triggers)/float64(b.N), "triggers/op")
}

// rows are what the stores hold after 12 orders a customer.
func rows(b testing.TB) (list []state.Customer, encoded [][]byte) {
	const n = 2000
	es := events(b, n, 12*n)
	store, err := state.Open("task", state.Options{FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	newCore(b, store, 1<<30, es, func(c *core.Core) {
		rd := c.Ready()
		if err := store.Apply(rd.Batch, &rd.Position); err != nil {
			b.Fatal(err)
		}
		c.Applied(rd.Sequence)
	})
	err = store.EachRow(func(id, row []byte) error {
		row = append([]byte(nil), row...)
		c := state.Customer{ID: string(id)}
		if err := state.DecodeRow(&c, row); err != nil {
			return err
		}
		list, encoded = append(list, c), append(encoded, row)
		return nil
	})
	if err != nil || len(list) != n {
		b.Fatal(len(list), err)
	}
	return list, encoded
}

func BenchmarkRowEncode(b *testing.B) {
	list, encoded := rows(b)
	size := 0
	for _, r := range encoded {
		size += len(r)
	}
	var buf []byte
	b.ReportAllocs()
	b.ReportMetric(float64(size)/float64(len(encoded)), "B/row")
	for i := 0; b.Loop(); i++ {
		buf = state.AppendRow(buf[:0], &list[i%len(list)])
	}
}

func BenchmarkRowDecode(b *testing.B) {
	_, encoded := rows(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var c state.Customer
		if err := state.DecodeRow(&c, encoded[i%len(encoded)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeOrder fills a fresh event each time, as the runtime does.
func BenchmarkDecodeOrder(b *testing.B) {
	es := events(b, 1000, 1000)
	var encoded [][]byte
	for i := range es {
		encoded = append(encoded, schemas.AppendOrderAvro(nil, &es[i]))
	}
	r, err := schemas.CompileReader(schemas.Text(schemas.Order.Record()), schemas.Order)
	if err != nil {
		b.Fatal(err)
	}
	for _, reuse := range []bool{false, true} {
		b.Run(fmt.Sprintf("reuse=%v", reuse), func(b *testing.B) {
			var e schemas.Event
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !reuse {
					e = schemas.Event{}
				}
				if err := r.Decode(encoded[i%len(encoded)], &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTriggerEncode is the Avro body alone of the bench's own triggers.
func BenchmarkTriggerEncode(b *testing.B) {
	es := events(b, 2000, 20_000)
	var all []schemas.Trigger
	newCore(b, core.Empty{}, -1, es, func(c *core.Core) {
		rd := c.Ready()
		for i := range rd.Out {
			if t, ok := rd.Out[i].Record.(schemas.Trigger); ok {
				all = append(all, t)
			}
		}
		c.Applied(rd.Sequence)
	})
	var buf []byte
	size := 0
	for _, t := range all {
		size += len(t.AppendAvro(buf[:0]))
	}
	b.ReportAllocs()
	b.ReportMetric(float64(size)/float64(len(all)), "B/trigger")
	for i := 0; b.Loop(); i++ {
		buf = all[i%len(all)].AppendAvro(buf[:0])
	}
}
