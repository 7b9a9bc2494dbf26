package state

import (
	"sort"

	"tidemark/schemas"
)

// Customer is one row: the facts of one customer and where each rule stands
// with them. All slices are kept in the order that their comments name.
type Customer struct {
	ID     string
	Latest schemas.EventTime // largest occurred_at applied so far
	Wake   schemas.EventTime // the armed timer; 0: none
	Base   Base              // orders older than the horizon, folded
	Days   []DaySum          // orders of a customer with very many, folded by local day; ascending
	Orders []Order           // by (At, ID)
	Seen   []Seen            // by (Day, Hash); hashes of events that stand in no Order
	Wait   []Waiting         // refunds and cancellations whose order has not come; by (At, Order, Event)
	Rules  []Rule            // by ID
	// Of the streams that facts of the playbook read.
	Marks     []Mark     // by (At, Stream, Event)
	MarkDays  []MarkDay  // by (Last, Stream); of a customer with very many
	MarkBases []MarkBase // by Stream; marks older than the horizon
	Accounts  []Account  // by ID: of ledgers and benefits
	// Spilled says from which bucket on sub-keys may exist; 0: none.
	Spilled int32
}

// Base is the sum of orders that left the horizon.
type Base struct {
	Count    int64             // orders with something left of them
	Sum      int64             // net, minor units of the playbook's currency
	Days     int64             // distinct local days among them
	First    schemas.EventTime // occurred_at of the first
	Last     schemas.EventTime // and of the last
	Refunded int64             // orders refunded in full or in part
	Omitted  int64             // the part of Sum that earns no growth
}

// DaySum is all orders of one local day of a customer with too many to keep singly.
type DaySum struct {
	Last  schemas.EventTime // occurred_at of the day's last order: when the window lets go of the day
	Count int64
	// Sum is net, in minor units of the playbook's currency; below 0 where
	// refunds that met no order are more than the day's orders.
	Sum      int64
	Omitted  int64 // the part of Sum that earns no growth
	Refunded int64 // orders refunded in full or in part
}

// Order is one order as far as it counts. Paid, Refunded and Voided are minor
// units of the order's own currency.
//
// A refund that waited for its order in vain stands in for it: Paid is 0 and
// Refunded is not. It lowers sums and counts nowhere.
type Order struct {
	ID       uint64            // keyed hash of order_id
	Event    uint64            // keyed hash of the event that happened at At
	At       schemas.EventTime // occurred_at of the first payment
	Paid     int64
	Refunded int64
	Voided   int64 // what a cancellation took back
	Omitted  int64 // part of Paid in categories that earn no growth
	// Base is Paid in the playbook's currency, of a stand-in Refunded; 0 when the
	// order is in that currency.
	Base int64
	// Cancelled is when it was cancelled; 0: not.
	Cancelled schemas.EventTime
}

// Net is what remains of the order, in minor units of the playbook's currency.
func (o *Order) Net() int64 {
	gone := max(o.Refunded, o.Voided)
	left := max(o.Paid-gone, 0)
	if o.Base == 0 || o.Paid == 0 {
		return left
	}
	return mulDivHalfEven(o.Base, left, o.Paid)
}

// StandIn says whether this is a refund that met no order.
func (o *Order) StandIn() bool { return o.Paid == 0 && o.Refunded > 0 }

// Lowers is what a stand-in takes off sums, in minor units of the playbook's currency.
func (o *Order) Lowers() int64 {
	if o.Base != 0 {
		return o.Base
	}
	return o.Refunded
}

// Counts says whether something of the order is left, so that it is one of the
// customer's orders. One that cost nothing counts until it is cancelled.
func (o *Order) Counts() bool {
	if o.Paid == 0 {
		return o.Refunded == 0 && o.Cancelled == 0
	}
	return o.Paid > max(o.Refunded, o.Voided)
}

// Seen is the trace of one event, kept for the horizon so that a repeat changes nothing.
type Seen struct {
	Hash uint64
	Day  int32 // UTC day of occurred_at
}

// Waiting is a refund or a cancellation that came before its order.
type Waiting struct {
	Order  uint64
	Event  uint64
	At     schemas.EventTime // its occurred_at
	Until  schemas.EventTime // then it is unlinked
	Amount int64             // minor units, of the currency Currency; -1: a cancellation
	Code   [3]byte           // ISO 4217
}

// Rule is where one rule stands with one customer.
type Rule struct {
	ID      uint32 // in the store's dictionary of rule names
	Phase   int32  // the rule's own: a level, a class, warned or not
	Episode uint32 // episodes begun so far
	Since   schemas.EventTime
	Due     schemas.EventTime // when time alone may change it; 0: never
	Sent    schemas.EventTime // effective_at of the latest episode that was sent; 0: none, or nothing asks for it
	Armed   schemas.EventTime // when a playbook put it where it stands without telling; 0: never
	Aux     int64             // the rule's own
	Vals    [3]int64          // the rule's own: what it has put into histograms
	Counted bool              // Vals stand in the histograms
	Log     []Firing          // by (At, Episode): those that may still be corrected, and the last before them
}

// Firing is one published episode.
type Firing struct {
	Episode  uint32
	Revision uint32
	At       schemas.EventTime // effective_at
	Ended    schemas.EventTime // 0: still true
	From, To int32
	Hash     uint32 // of the values published
	Withheld uint8  // why it went to suppressed-triggers, a code of the engine's; 0: it was sent
}

// Rule returns the state of rule id, or nil.
func (c *Customer) Rule(id uint32) *Rule {
	for i := range c.Rules {
		if c.Rules[i].ID == id {
			return &c.Rules[i]
		}
	}
	return nil
}

// EnsureRule returns the state of rule id, made if missing. The pointer holds
// until the next EnsureRule.
func (c *Customer) EnsureRule(id uint32) *Rule {
	if r := c.Rule(id); r != nil {
		return r
	}
	i := sort.Search(len(c.Rules), func(i int) bool { return c.Rules[i].ID > id })
	c.Rules = append(c.Rules, Rule{})
	copy(c.Rules[i+1:], c.Rules[i:])
	c.Rules[i] = Rule{ID: id}
	return &c.Rules[i]
}

// DropRule forgets a rule that stands where everybody begins and was never elsewhere.
func (c *Customer) DropRule(id uint32) {
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.ID != id {
			continue
		}
		if r.Phase == 0 && r.Episode == 0 && r.Since == 0 && r.Due == 0 && r.Sent == 0 && r.Armed == 0 && r.Aux == 0 && !r.Counted && len(r.Log) == 0 {
			c.Rules = append(c.Rules[:i], c.Rules[i+1:]...)
		}
		return
	}
}

// FindOrder returns the order with that id hash, or nil. Newest first: refunds
// mostly follow soon.
func (c *Customer) FindOrder(id uint64) *Order {
	for i := len(c.Orders) - 1; i >= 0; i-- {
		if c.Orders[i].ID == id {
			return &c.Orders[i]
		}
	}
	return nil
}

// InsertOrder puts o in its place by (At, ID).
func (c *Customer) InsertOrder(o Order) *Order {
	i := len(c.Orders)
	for i > 0 && orderLess(&o, &c.Orders[i-1]) {
		i--
	}
	c.Orders = append(c.Orders, Order{})
	copy(c.Orders[i+1:], c.Orders[i:])
	c.Orders[i] = o
	return &c.Orders[i]
}

// RemoveOrder takes the order with that id hash out.
func (c *Customer) RemoveOrder(id uint64) {
	for i := range c.Orders {
		if c.Orders[i].ID == id {
			c.Orders = append(c.Orders[:i], c.Orders[i+1:]...)
			return
		}
	}
}

func orderLess(a, b *Order) bool {
	if a.At != b.At {
		return a.At < b.At
	}
	return a.ID < b.ID
}

// HasSeen says whether an event with that hash and UTC day was taken.
func (c *Customer) HasSeen(hash uint64, day int32) bool {
	for i := len(c.Seen) - 1; i >= 0; i-- {
		if c.Seen[i].Day < day {
			break
		}
		if c.Seen[i].Hash == hash {
			return true
		}
	}
	for i := len(c.Orders) - 1; i >= 0; i-- {
		if c.Orders[i].Event == hash {
			return true
		}
	}
	for i := len(c.Marks) - 1; i >= 0; i-- {
		if c.Marks[i].Event == hash {
			return true
		}
	}
	return false
}

// AddSeen keeps the trace of an event.
func (c *Customer) AddSeen(hash uint64, day int32) {
	s := Seen{Hash: hash, Day: day}
	i := len(c.Seen)
	for i > 0 && (c.Seen[i-1].Day > day || c.Seen[i-1].Day == day && c.Seen[i-1].Hash > hash) {
		i--
	}
	c.Seen = append(c.Seen, Seen{})
	copy(c.Seen[i+1:], c.Seen[i:])
	c.Seen[i] = s
}

// UTCDay is the UTC day number of t.
func UTCDay(t schemas.EventTime) int32 {
	d := int64(t) / int64(schemas.Day)
	if int64(t)%int64(schemas.Day) < 0 {
		d--
	}
	return int32(d)
}

// mulDivHalfEven is a*b/c rounded half to even; all are >= 0 and c > 0.
func mulDivHalfEven(a, b, c int64) int64 {
	hi, lo := mul64(uint64(a), uint64(b))
	q, r := div64(hi, lo, uint64(c))
	switch twice := r * 2; {
	case twice > uint64(c), twice == uint64(c) && q&1 == 1:
		q++
	}
	return int64(q)
}
