package ingest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"tidemark/examples"
	"tidemark/schemas"
)

// drain gives all events and checks their order on the way.
func drain(t testing.TB, sources []Source, options Options) ([]*schemas.Event, Report) {
	t.Helper()
	options.TempDir = t.TempDir()
	events, err := Open(context.Background(), sources, options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := events.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []*schemas.Event
	for {
		e, err := events.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(all); n > 0 {
			before := all[n-1]
			if e.OccurredAt < before.OccurredAt || e.OccurredAt == before.OccurredAt && e.Kind < before.Kind {
				t.Fatalf("event %d (%s) comes before its predecessor", n, e.EventID)
			}
		}
		all = append(all, e)
	}
	if got, want := int64(len(all)), events.Report().Events; got != want {
		t.Errorf("%d events, the report says %d", got, want)
	}
	return all, events.Report()
}

func example(t testing.TB, data, mapping string) []Source {
	t.Helper()
	m, err := ReadMapping(examples.Data, mapping)
	if err != nil {
		t.Fatal(err)
	}
	return []Source{{FS: examples.Data, Path: data, Mapping: m}}
}

func TestCDNOW(t *testing.T) {
	events, report := drain(t, example(t, examples.CDNOW, examples.CDNOWMapping), Options{})
	if got, want := len(events), 69659; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	if got, want := report.Customers, int64(23570); got != want {
		t.Errorf("%d customers, want %d", got, want)
	}
	if got, want := report.Lines, int64(69659); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	ids := map[string]bool{}
	total := int64(0)
	customers := map[string]bool{}
	for _, e := range events {
		if e.Order != schemas.Paid || e.Kind != schemas.Order || e.OrderID != e.EventID {
			t.Fatalf("unexpected event %+v", e)
		}
		ids[e.EventID] = true
		customers[e.CustomerID] = true
		total += e.AmountMinor
	}
	// 255 rows are exact repeats of others; their ids must differ all the same.
	if got, want := len(ids), 69659; got != want {
		t.Errorf("%d event ids, want %d", got, want)
	}
	if !customers["00001"] || len(customers) != 23570 {
		t.Errorf("customers lost their zeros, or some are missing: %d", len(customers))
	}
	if got, want := total, int64(250031563); got != want {
		t.Errorf("total %d cents, want %d", got, want)
	}
	if got, want := report.First, schemas.EventTime(852076800000); got != want { // 1997-01-01
		t.Errorf("first at %d, want %d", got, want)
	}
}

func TestOnlineRetail(t *testing.T) {
	sources := example(t, examples.OnlineRetail, examples.OnlineRetailMapping)
	events, report := drain(t, sources, Options{})
	if got, want := report.Lines, int64(541909); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	for i, want := range []Skipped{{"customer unknown", 135080}, {"quantity not positive", 0}, {"price not positive", 40}} {
		if got := report.Skipped[i]; got != want {
			t.Errorf("skipped %v, want %v", got, want)
		}
	}
	if got, want := report.RefundLinesUnlinked, int64(1306); got != want {
		t.Errorf("%d unlinked lines, want %d", got, want)
	}
	if got, want := report.RefundLinesLinked, int64(8905-1306); got != want {
		t.Errorf("%d linked lines, want %d", got, want)
	}
	if got, want := report.RefundEventsLinked, int64(3796); got != want {
		t.Errorf("%d linked refunds, want %d", got, want)
	}
	if got, want := report.RefundEventsUnlinked, int64(4519-3796); got != want {
		t.Errorf("%d unlinked refunds, want %d", got, want)
	}
	if got, want := report.Rounded, int64(4); got != want {
		t.Errorf("%d rounded, want %d", got, want)
	}

	orders := map[string]*schemas.Event{}
	buyers, invoices, ids := map[string]bool{}, map[string]bool{}, map[string]bool{}
	perInvoice := map[string]int{}
	var items, refundItems int
	var paid, refunded int64
	for _, e := range events {
		ids[e.EventID] = true
		sum := int64(0)
		for _, it := range e.Items {
			sum += it.AmountMinor
			if it.Quantity <= 0 {
				t.Fatalf("event %s: quantity %d", e.EventID, it.Quantity)
			}
		}
		if sum != e.AmountMinor {
			t.Fatalf("event %s: amount %d, its items %d", e.EventID, e.AmountMinor, sum)
		}
		switch e.Order {
		case schemas.Paid:
			orders[e.OrderID] = e
			buyers[e.CustomerID] = true
			items += len(e.Items)
			paid += sum
		case schemas.Refunded:
			invoice, _ := e.Attribute("invoice")
			if !strings.HasPrefix(invoice, "C") {
				t.Fatalf("refund of invoice %q", invoice)
			}
			invoices[invoice] = true
			refundItems += len(e.Items)
			refunded += sum
			// The order of a linked refund came before it and is the same customer's.
			if order, ok := orders[e.OrderID]; ok {
				perInvoice[invoice]++
				if order.CustomerID != e.CustomerID || order.OccurredAt > e.OccurredAt {
					t.Fatalf("refund %s is linked to %s", invoice, e.OrderID)
				}
			} else if e.OrderID != invoice {
				t.Fatalf("refund %s has order id %s", invoice, e.OrderID)
			}
		}
	}
	several := 0
	for _, n := range perInvoice {
		if n > 1 {
			several++
		}
	}
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"clean lines", int64(items), 397884}, {"orders", int64(len(orders)), 18532},
		{"customers with orders", int64(len(buyers)), 4338}, {"pence paid", paid, 891140790},
		{"C lines", int64(refundItems), 8905}, {"C invoices", int64(len(invoices)), 3654},
		{"C invoices over several orders", int64(several), 376}, {"pence refunded", refunded, 61134209},
		{"event ids", int64(len(ids)), int64(len(events))},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}

	// A second run, forced through the temporary file, repeats nothing.
	again, report2 := drain(t, sources, Options{MemoryBytes: 4 << 20})
	if report2.SpilledBytes == 0 {
		t.Error("the second run did not spill")
	}
	for i, e := range again {
		if e.EventID != events[i].EventID {
			t.Fatalf("event %d is %s in the second run, was %s", i, e.EventID, events[i].EventID)
		}
	}
}

func TestCloseEndsTheStream(t *testing.T) {
	events, err := Open(context.Background(), example(t, examples.CDNOW, examples.CDNOWMapping), Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.Next()
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Clone(e.EventID)
	if err := events.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := events.Next(); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	if e.EventID != id {
		t.Error("an event changed after Close")
	}
}
