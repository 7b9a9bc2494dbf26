package runtime

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tidemark/processor/source"
	"tidemark/schemas"
)

// ordersOf are fetched order events from an offset on, in Avro, and a reader of them.
func ordersOf(t *testing.T, from, n int) *source.Fetched {
	f := &source.Fetched{Topic: "order-events", Next: int64(from + n)}
	for i := from; i < from+n; i++ {
		e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: fmt.Sprint("e", i), CustomerID: "c", OrderID: fmt.Sprint("o", i), OccurredAt: schemas.EventTime(i), Currency: "USD", AmountMinor: int64(i)}
		for k := range i % 11 { // some with more lines than a slab has room for
			e.Items = append(e.Items, schemas.Item{SKU: fmt.Sprint("s", i, "-", k)})
		}
		f.Records = append(f.Records, source.Record{Offset: int64(i), Key: []byte("c"), Value: schemas.AppendWire(nil, 7, schemas.AppendOrderAvro(nil, &e))})
	}
	return f
}

// A slab goes back to the reader when the last of its records was taken, and not
// before: what still waits is what was fetched, whatever was decoded meanwhile.
func TestSlabsGoRound(t *testing.T) {
	r, err := schemas.CompileReader(schemas.Text(schemas.Order.Record()), schemas.Order)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Tasks: 1, Now: func() time.Time { return time.Unix(1, 0) }}
	l := &life{cfg: cfg, spare: make(chan *slab, spareSlabs)}
	d := &decoder{cfg: cfg, last: r, lastID: 7, lastK: schemas.Order, spare: l.spare}
	next, at, made := 0, 0, map[*slab]bool{}
	fetch := func(n int) {
		c, err := d.decode(context.Background(), schemas.OrderEvents, ordersOf(t, next, n))
		if err != nil {
			t.Fatal(err)
		}
		made[c.slab] = true
		next += n
		l.q[schemas.OrderEvents].add(&c)
	}
	take := func(n int) {
		l.batch = l.q.merge(l.batch[:0], n, true)
		if len(l.batch) != min(n, next-at) {
			t.Fatalf("%d records at %d of %d, want %d", len(l.batch), at, next, n)
		}
		for i := range l.batch {
			rec := &l.batch[i]
			e := rec.Event
			if e == nil || e.EventID != fmt.Sprint("e", at) || e.OrderID != fmt.Sprint("o", at) || e.AmountMinor != int64(at) ||
				len(e.Items) != at%11 || len(e.Items) > 0 && e.Items[len(e.Items)-1].SKU != fmt.Sprint("s", at, "-", len(e.Items)-1) || rec.Offset != schemas.Offset(at) {
				t.Fatalf("record %d is %+v, event %+v, dead %+v", at, rec, e, rec.Dead)
			}
			at++
		}
		l.q.took(l.batch)
		l.spent()
	}
	for i := range 200 {
		fetch(3 + i*7%20)
		if i%3 > 0 {
			take(1 + i*5%40)
		}
		if got := len(l.q[schemas.OrderEvents].slabs); got > 0 && l.q[schemas.OrderEvents].slabs[0].left == 0 {
			t.Fatal("a slab that is spent was kept")
		}
	}
	take(next - at)
	if got, want := len(l.q[schemas.OrderEvents].slabs), 0; got != want {
		t.Errorf("%d slabs are held at the end, want %d", got, want)
	}
	if got, want := len(made), 100; got > want {
		t.Errorf("200 chunks took %d slabs, want fewer than %d: none went round", got, want)
	}
}
