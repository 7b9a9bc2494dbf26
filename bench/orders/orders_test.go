package orders

import (
	"testing"
	"time"

	"tidemark/schemas"
)

func all(t *testing.T, cfg Config) (events []schemas.Event, bytes int) {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var e schemas.Event
	var buf []byte
	for g.Next(&e) {
		buf = schemas.AppendOrderAvro(buf[:0], &e)
		bytes += schemas.WireHeader + len(buf)
		e.Items = append([]schemas.Item(nil), e.Items...)
		events = append(events, e)
	}
	return events, bytes
}

func TestSameSeedSameEvents(t *testing.T) {
	cfg := Config{Seed: 7, Customers: 500, Events: 5000, Warm: true, Refunds: .05, Repeats: .02}
	a, _ := all(t, cfg)
	b, _ := all(t, cfg)
	if got, want := len(a), cfg.Total(); got != want {
		t.Fatalf("%d events, want %d", got, want)
	}
	for i := range a {
		x, y := string(schemas.AppendOrderAvro(nil, &a[i])), string(schemas.AppendOrderAvro(nil, &b[i]))
		if x != y {
			t.Fatalf("event %d differs between two runs of one seed", i)
		}
	}
	cfg.Seed = 8
	if c, _ := all(t, cfg); c[0].EventID == a[0].EventID {
		t.Error("another seed gives the same event")
	}
}

func TestShape(t *testing.T) {
	cfg := Config{Seed: 1, Customers: 2000, Events: 40_000, Warm: true, Refunds: .01, Repeats: .001}
	events, bytes := all(t, cfg)
	if got := bytes / len(events); got < 128 || got > 134 {
		t.Errorf("%d bytes an event, want about 131", got)
	}
	known := map[string]bool{}
	seen := map[string]bool{}
	var last schemas.EventTime
	refunds, repeats := 0, 0
	for i, e := range events {
		if i == cfg.Customers && len(known) != cfg.Customers {
			t.Errorf("%d customers after the warm-up, want %d", len(known), cfg.Customers)
		}
		known[e.CustomerID] = true
		if seen[e.EventID] {
			repeats++
			continue
		}
		seen[e.EventID] = true
		if e.OccurredAt < last {
			t.Fatalf("event %d goes back in time", i)
		}
		last = e.OccurredAt
		if e.Order == schemas.Refunded {
			refunds++
			continue
		}
		sum := int64(0)
		for _, it := range e.Items {
			sum += it.AmountMinor
		}
		if sum != e.AmountMinor {
			t.Fatalf("event %d: items sum to %d, the order is %d", i, sum, e.AmountMinor)
		}
	}
	if refunds < 300 || refunds > 500 {
		t.Errorf("%d refunds, want about 400", refunds)
	}
	if repeats < 20 || repeats > 70 {
		t.Errorf("%d repeats, want about 40", repeats)
	}
	// 2,000 customers, 42,000 orders: 21 gaps of 30 days.
	if got, want := (last-events[0].OccurredAt)/schemas.Day, schemas.EventTime(21*30); got < want-1 || got > want {
		t.Errorf("the events span %d days, want %d", got, want)
	}
}

func TestZipfIsSkewed(t *testing.T) {
	share := func(zipf float64) float64 {
		events, _ := all(t, Config{Seed: 1, Customers: 10_000, Events: 50_000, Zipf: zipf, Gap: time.Hour})
		by := map[string]int{}
		most := 0
		for _, e := range events {
			by[e.CustomerID]++
			most = max(most, by[e.CustomerID])
		}
		return float64(most) / float64(len(events))
	}
	if uniform, zipf := share(0), share(1.1); zipf < 100*uniform {
		t.Errorf("the first customer has a share of %.4f with Zipf and %.4f without", zipf, uniform)
	}
}
