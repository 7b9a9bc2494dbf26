// Package around makes up what a business would also have seen around real
// orders: visits before them, deliveries after them, consents, complaints, or
// the messages of a bank, a carmaker and a community whose customers do
// something whenever the real ones bought something.
//
// It is for demonstration. Everything that it makes is labelled: the attribute
// "generated" is "true". What it makes follows from the orders alone, by hashes of
// their ids, so it is the same on every machine and in every run; nothing about
// it was measured on anybody.
//
// The package may import schemas.
package around

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"tidemark/schemas"
)

// ErrBusiness says that nothing is known of a business of that name.
var ErrBusiness = errors.New("around: want retailer, bank, carmaker or community")

// Businesses that Events knows.
var Businesses = []string{"retailer", "bank", "carmaker", "community"}

// Events gives the events of a business around the orders, sorted by their time,
// orders first. A retailer keeps the orders themselves; the others get behaviors
// in their place. The orders must be sorted, and are not changed.
func Events(business string, orders []schemas.Event) ([]schemas.Event, error) {
	m := &maker{customers: map[string]*customer{}}
	var each func(*schemas.Event, *customer)
	switch business {
	case "retailer":
		each = m.retailer
	case "bank":
		each = m.bank
	case "carmaker":
		each = m.carmaker
	case "community":
		each = m.community
	default:
		return nil, fmt.Errorf("%w, not %q", ErrBusiness, business)
	}
	for i := range orders {
		e := &orders[i]
		if e.Kind != schemas.Order {
			continue
		}
		c := m.customers[e.CustomerID]
		if c == nil {
			c = &customer{id: e.CustomerID, chance: chance(e.CustomerID)}
			m.customers[e.CustomerID] = c
		}
		each(e, c)
		c.orders++
	}
	slices.SortStableFunc(m.out, func(a, b schemas.Event) int {
		if a.OccurredAt != b.OccurredAt {
			return int(min(max(a.OccurredAt-b.OccurredAt, -1), 1))
		}
		return int(a.Kind) - int(b.Kind)
	})
	return m.out, nil
}

type customer struct {
	id      string
	chance  draw // hers, for ever
	orders  int  // so far, refunds too
	balance int64
	last    string // her lead under way
}

type maker struct {
	customers map[string]*customer
	out       []schemas.Event
	n         int
}

// draw is 64 bits off a hash; each bet takes its own.
type draw uint64

func chance(texts ...string) draw {
	h := fnv.New64a()
	for _, t := range texts {
		h.Write([]byte(t))
		h.Write([]byte{0})
	}
	// FNV leaves neighbours alike in its upper bits.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return draw(x)
}

func (d draw) bet(name string) draw {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(d))
	return chance(string(b[:]), name)
}

// in is true in so many cases of a hundred; below a number from 0 to n-1.
func (d draw) in(percent int, name string) bool { return int(d.bet(name)%100) < percent }
func (d draw) below(n int, name string) int     { return int(d.bet(name) % draw(n)) }

// say makes one behavior.
func (m *maker) say(c *customer, at schemas.EventTime, kind string, attributes ...string) {
	m.n++
	e := schemas.Event{Kind: schemas.Behavior, Type: kind, CustomerID: c.id, OccurredAt: at,
		EventID: fmt.Sprintf("around-%016x", uint64(chance(c.id, kind, strconv.Itoa(m.n))))}
	e.Attributes = append(e.Attributes, schemas.Attribute{Key: "generated", Value: "true"})
	for i := 0; i+1 < len(attributes); i += 2 {
		e.Attributes = append(e.Attributes, schemas.Attribute{Key: attributes[i], Value: attributes[i+1]})
	}
	m.out = append(m.out, e)
}

const (
	minute = schemas.Minute
	hour   = schemas.Hour
	day    = schemas.Day
)

func date(t schemas.EventTime) string { return time.UnixMilli(int64(t)).UTC().Format(time.DateOnly) }

// birthday is made up of her hash, and hers for ever.
func (c *customer) birthday() string {
	return fmt.Sprintf("%d-%02d-%02d", 1950+c.chance.below(50, "year"), 1+c.chance.below(12, "month"), 1+c.chance.below(28, "day"))
}

func one(of []string, n int) string { return of[n%len(of)] }

// met is said once, before the customer's first order.
func (m *maker) met(c *customer, at schemas.EventTime) {
	d := c.chance
	m.say(c, at, "customer.registered", "source", one([]string{"search", "friend", "shop", "fair"}, d.below(4, "source")),
		"birthday", c.birthday(), "city", one([]string{"London", "Leeds", "Bristol", "York", "Lyon"}, d.below(5, "city")),
		"owner", one([]string{"adviser-1", "adviser-2", "adviser-3"}, d.below(3, "owner")))
	if d.in(80, "consents") {
		m.say(c, at+minute, "consent.granted", "purpose", "marketing")
	}
	m.say(c, at+2*minute, "channel.bound", "channel", "email")
	if d.in(60, "sms") {
		m.say(c, at+2*minute, "channel.bound", "channel", "sms")
	}
}
