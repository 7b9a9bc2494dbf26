package fit

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"tidemark/schemas"
)

// ErrHistory is wrapped where a history is too small or too short for a fit.
var ErrHistory = errors.New("fit: not enough history")

// Day is a customer-day: the day's number since 1970-01-01 and what was paid
// on it less refunds, in minor units of the history's currency.
type Day struct {
	Number int
	Net    int64
}

// Customer is one customer's days, ascending; at least one.
type Customer struct {
	ID       string
	Days     []Day
	Orders   int
	Channel  string // of the first order; "" unknown
	Category string // of the first item of the first order; "" unknown
}

// History is what fits are made on.
type History struct {
	Customers   []Customer // by ID
	Events      int64
	Orders      int64 // with something left
	First, Last int   // day numbers of the first and the last event of any kind
	Currency    string
	Foreign     int64 // orders in other currencies: days without money
	Zone        *time.Location
}

// Date is the day's date.
func Date(day int) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }

// Builder takes events and makes a History. Not safe for concurrent use.
type Builder struct {
	zone       *time.Location
	events     int64
	first      schemas.EventTime
	last       schemas.EventTime
	customers  map[string]map[string]*order
	currencies map[string]int64
}

type order struct {
	at                schemas.EventTime
	paid, gone        int64
	counts, cancelled bool
	currency          string
	channel, category string
}

// NewBuilder counts days in zone; nil is UTC.
func NewBuilder(zone *time.Location) *Builder {
	if zone == nil {
		zone = time.UTC
	}
	return &Builder{zone: zone, customers: map[string]map[string]*order{}, currencies: map[string]int64{}}
}

// Add takes one event. What is no order only moves the ends of the history.
func (b *Builder) Add(e *schemas.Event) {
	if b.events == 0 || e.OccurredAt < b.first {
		b.first = e.OccurredAt
	}
	if b.events == 0 || e.OccurredAt > b.last {
		b.last = e.OccurredAt
	}
	b.events++
	if e.Kind != schemas.Order {
		return
	}
	orders := b.customers[e.CustomerID]
	if orders == nil {
		orders = map[string]*order{}
		b.customers[e.CustomerID] = orders
	}
	o := orders[e.OrderID]
	if o == nil {
		o = &order{}
		orders[e.OrderID] = o
	}
	switch e.Order {
	case schemas.Paid:
		if !o.counts || e.OccurredAt < o.at {
			o.at, o.channel = e.OccurredAt, e.Channel
			if len(e.Items) > 0 {
				o.category = e.Items[0].Category
			}
		}
		if !o.counts {
			o.currency = e.Currency
			b.currencies[e.Currency]++
		}
		o.counts = true
		o.paid += e.AmountMinor
	case schemas.Refunded:
		o.gone += e.AmountMinor
	case schemas.Cancelled:
		o.cancelled = true
	}
}

// History is what was added so far.
func (b *Builder) History() (*History, error) {
	h := &History{Events: b.events, Zone: b.zone}
	for code, n := range b.currencies {
		if m := b.currencies[h.Currency]; h.Currency == "" || n > m || n == m && code < h.Currency {
			h.Currency = code
		}
	}
	for id, orders := range b.customers {
		c := Customer{ID: id}
		byDay := map[int]int64{}
		var first *order
		for _, o := range orders {
			if !o.counts || o.cancelled || o.paid > 0 && o.gone >= o.paid || o.paid == 0 && o.gone > 0 {
				continue
			}
			c.Orders++
			net := o.paid - o.gone
			if o.currency != h.Currency {
				net = 0
				h.Foreign++
			}
			byDay[b.day(o.at)] += net
			if first == nil || o.at < first.at || o.at == first.at && o.channel+o.category < first.channel+first.category {
				first = o
			}
		}
		if first == nil {
			continue
		}
		c.Channel, c.Category = first.channel, first.category
		for d, net := range byDay {
			c.Days = append(c.Days, Day{d, net})
		}
		slices.SortFunc(c.Days, func(x, y Day) int { return x.Number - y.Number })
		h.Orders += int64(c.Orders)
		h.Customers = append(h.Customers, c)
	}
	if len(h.Customers) == 0 {
		return nil, fmt.Errorf("%w: it holds no paid order", ErrHistory)
	}
	sort.Slice(h.Customers, func(i, j int) bool { return h.Customers[i].ID < h.Customers[j].ID })
	h.First, h.Last = b.day(b.first), b.day(b.last)
	return h, nil
}

func (b *Builder) day(t schemas.EventTime) int {
	_, offset := time.UnixMilli(int64(t)).In(b.zone).Zone()
	s := int64(t)/1000 + int64(offset)
	if s < 0 {
		s -= 86399
	}
	return int(s / 86400)
}

// upto is how many of the customer's days are not after cut.
func (c *Customer) upto(cut int) int {
	n := len(c.Days)
	for n > 0 && c.Days[n-1].Number > cut {
		n--
	}
	return n
}
