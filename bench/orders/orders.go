// Package orders makes the events that the bench measures with: orders of the
// contract, about 131 bytes of Avro each, the same ones for the same Config on
// every machine.
//
// The shop is steady. Each customer orders once per Gap on average, so more
// customers mean more orders a day and not rarer ones, and what a customer's
// state costs is comparable from 10 thousand customers to 10 million. With Warm
// every customer first orders once, over one Gap; the Events that follow then
// meet customers who are known.
package orders

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"tidemark/schemas"
)

// Config of a Generator. Customers and Events are required.
type Config struct {
	Seed      uint64
	Customers int
	Events    int           // after the warm-up
	Warm      bool          // one order of every customer first
	Zipf      float64       // exponent, above 1: few customers order most; 0: all alike
	Gap       time.Duration // mean between two orders of a customer; default 30 days
	Start     time.Time     // of the first event; default 2022-01-01 UTC
	Refunds   float64       // share of events that refund the customer's last order
	Repeats   float64       // share of events that come once more, unchanged
}

// Total is how many events the generator gives.
func (c Config) Total() int {
	if c.Warm {
		return c.Customers + c.Events
	}
	return c.Events
}

// Generator gives events in the order of their occurred_at, repeats apart. It
// is not safe for concurrent use.
type Generator struct {
	cfg   Config
	rng   *rand.Rand
	zipf  *rand.Zipf
	n     int
	start int64   // ms
	step  float64 // ms between two events
	last  []int64 // by customer: the amount of the last order; its number is in order
	order []int32
	ring  [512]schemas.Event // lately given, for repeats
	items [4]schemas.Item
}

// New returns a Generator at its first event.
func New(cfg Config) (*Generator, error) {
	if cfg.Customers < 1 || cfg.Events < 1 || cfg.Zipf != 0 && cfg.Zipf <= 1 {
		return nil, fmt.Errorf("orders: want customers and events from 1 and a Zipf exponent above 1, have %d, %d, %v", cfg.Customers, cfg.Events, cfg.Zipf)
	}
	if cfg.Gap == 0 {
		cfg.Gap = 30 * 24 * time.Hour
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	g := &Generator{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x7469_6465)), start: cfg.Start.UnixMilli(),
		step: float64(cfg.Gap.Milliseconds()) / float64(cfg.Customers)}
	if cfg.Zipf != 0 {
		g.zipf = rand.NewZipf(g.rng, cfg.Zipf, 1, uint64(cfg.Customers-1))
	}
	if cfg.Refunds > 0 {
		g.last, g.order = make([]int64, cfg.Customers), make([]int32, cfg.Customers)
	}
	return g, nil
}

// Start and End are the instants of the first event and of the one after the last.
func (g *Generator) Start() schemas.EventTime { return schemas.EventTime(g.start) }
func (g *Generator) End() schemas.EventTime   { return g.at(g.cfg.Total()) }

func (g *Generator) at(n int) schemas.EventTime {
	return schemas.EventTime(g.start + int64(float64(n)*g.step))
}

// scatter spreads the numbers below n over themselves, so that neighbours in
// time or in rank are no neighbours in the key order.
func scatter(k, n int) int { return int(uint64(k) * 2654435761 % uint64(n)) }

// Customer is the id of the k-th customer.
func Customer(k int) string { return fmt.Sprintf("c%09d", k) }

var (
	channels   = [...]string{"app", "web", "shop", "mini"}
	categories = [...]string{"shoes", "books", "toys", "garden", "food", "music"}
)

// Next fills e with the next event, or returns false. e's Items are valid until
// the next call; its strings stay.
func (g *Generator) Next(e *schemas.Event) bool {
	if g.n == g.cfg.Total() {
		return false
	}
	n := g.n
	g.n++
	warm := g.cfg.Warm && n < g.cfg.Customers
	if !warm && n > len(g.ring) && g.rng.Float64() < g.cfg.Repeats {
		*e = g.ring[g.rng.IntN(len(g.ring))]
		e.Items = append(g.items[:0], e.Items...)
		return true
	}
	var c int
	switch {
	case warm:
		c = scatter(n, g.cfg.Customers)
	case g.zipf != nil:
		c = scatter(int(g.zipf.Uint64()), g.cfg.Customers)
	default:
		c = g.rng.IntN(g.cfg.Customers)
	}
	*e = schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: g.uuid(), CustomerID: Customer(c), OccurredAt: g.at(n),
		Channel: channels[g.rng.IntN(len(channels))], Currency: "USD"}
	number := n
	if g.last != nil && g.last[c] > 0 && !warm && g.rng.Float64() < g.cfg.Refunds {
		e.Order, number, e.AmountMinor = schemas.Refunded, int(g.order[c]), g.last[c]
		if g.rng.IntN(2) == 0 {
			e.AmountMinor = (e.AmountMinor + 1) / 2
		}
		g.last[c] = 0
	} else {
		// 5 to some 300, 55 on average.
		e.AmountMinor = 500 + int64(g.rng.ExpFloat64()*5000)
		if g.last != nil {
			g.last[c], g.order[c] = e.AmountMinor, int32(n)
		}
		g.fill(e)
	}
	e.OrderID = "o" + pad(number, 11)
	keep := *e
	keep.Items = append([]schemas.Item(nil), e.Items...)
	g.ring[n%len(g.ring)] = keep
	return true
}

// fill splits an order into one to three items.
func (g *Generator) fill(e *schemas.Event) {
	k := 1 + g.rng.IntN(3)
	e.Items = g.items[:k]
	left := e.AmountMinor
	for i := range e.Items {
		part := left
		if i < k-1 {
			part = left / int64(k-i)
		}
		left -= part
		e.Items[i] = schemas.Item{SKU: "sku-" + pad(g.rng.IntN(50_000), 9), Category: categories[g.rng.IntN(len(categories))],
			Quantity: int32(1 + g.rng.IntN(3)), AmountMinor: part}
	}
}

func pad(n, width int) string {
	s := strconv.Itoa(n)
	for len(s) < width {
		s = "0000000000000"[:width-len(s)] + s
	}
	return s
}

// uuid gives a random id of 36 characters, as most shops' systems do.
func (g *Generator) uuid() string {
	const hex = "0123456789abcdef"
	var b [36]byte
	a, z := g.rng.Uint64(), g.rng.Uint64()
	for i := range b {
		switch i {
		case 8, 13, 18, 23:
			b[i] = '-'
			continue
		}
		if i < 18 {
			b[i], a = hex[a&15], a>>4
		} else {
			b[i], z = hex[z&15], z>>4
		}
	}
	return string(b[:])
}
