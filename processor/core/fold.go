package core

import (
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// A row keeps at most so many orders and event traces singly; what is more
// moves to sub-keys, and the orders' amounts to sums by local day. An order
// takes about 26 bytes, a trace 9, a day 9: with this the row of a customer who
// orders many times on every day of a year is about 6 KB, and of one who orders
// daily for half a year under 4.
const (
	rowOrders = 64
	rowSeen   = 96
	rowDays   = 800
)

// fold drops what left the horizon and moves what is too much for the row.
func (c *Core) fold(e *entry) error {
	if c.ledgers != nil {
		c.closeBooks(e, max(c.pos.Clock, e.Latest))
	}
	orders, days, marks, markDays := len(e.Orders), len(e.Days), len(e.Marks), len(e.MarkDays)
	edge := c.pos.Clock - c.pb.Horizon
	if edge > 0 {
		c.foldBase(e, edge)
	}
	if len(e.Marks) > 0 || len(e.MarkDays) > 0 {
		c.foldMarks(e, edge)
	}
	for len(e.Orders) > rowOrders {
		c.spillOrder(e)
	}
	if len(e.Seen) > rowSeen {
		c.spillSeen(e, len(e.Seen)-rowSeen/2)
	}
	if orders != len(e.Orders) || days != len(e.Days) || marks != len(e.Marks) || markDays != len(e.MarkDays) {
		e.facts = nil // what is folded may be worth another value
	}
	return nil
}

// foldBase sums what is older than edge into the base.
func (c *Core) foldBase(e *entry, edge schemas.EventTime) {
	day := state.UTCDay(edge)
	n := 0
	for n < len(e.Seen) && e.Seen[n].Day < day {
		n++
	}
	if n > 0 {
		e.Seen = append(e.Seen[:0], e.Seen[n:]...)
	}
	for n = 0; n < len(e.Days) && e.Days[n].Last < edge; n++ {
		c.addBase(&e.Base, e.Days[n])
	}
	if n > 0 {
		e.Days = append(e.Days[:0], e.Days[n:]...)
	}
	for n = 0; n < len(e.Orders) && e.Orders[n].At < edge; n++ {
		c.addBase(&e.Base, daySum(&e.Orders[n]))
	}
	if n > 0 {
		e.Orders = append(e.Orders[:0], e.Orders[n:]...)
	}
	if e.Spilled != 0 {
		if b := state.SpillBucket(day); b >= e.Spilled {
			for _, kind := range [...]byte{state.SpillEvent, state.SpillOrder} {
				c.ops = append(c.ops, state.Op{Kind: state.DeleteRange,
					Key: state.SpillPrefix(nil, e.ID, kind, e.Spilled-1), Value: state.SpillPrefix(nil, e.ID, kind, b)})
			}
			e.Spilled = b + 1 // nothing below may be looked for: the store may still have it
		}
	}
}

// daySum is what an order adds to the sum of its day.
func daySum(o *state.Order) state.DaySum {
	d := state.DaySum{Last: o.At}
	if o.Refunded > 0 || o.Voided > 0 {
		d.Refunded = 1
	}
	switch {
	case o.StandIn():
		d.Sum = -o.Lowers()
	case o.Counts():
		d.Count, d.Sum = 1, o.Net()
		d.Omitted = d.Sum - history.Growing(o)
	}
	return d
}

// addBase folds a day. One in the midst of those folded before, which only an
// order older than the horizon can bring, is taken for a day that is known.
func (c *Core) addBase(b *state.Base, d state.DaySum) {
	if d.Count > 0 {
		day := c.zone.Day(d.Last)
		if b.Count == 0 {
			b.First, b.Last, b.Days = d.Last, d.Last, 1
		} else if day > c.zone.Day(b.Last) || day < c.zone.Day(b.First) {
			b.Days++
		}
		b.First, b.Last = min(b.First, d.Last), max(b.Last, d.Last)
		b.Count += d.Count
	}
	b.Refunded += d.Refunded
	b.Sum = max(b.Sum+d.Sum, 0)
	b.Omitted = min(b.Omitted+d.Omitted, b.Sum)
}

// addDay adds to the sum of a local day, which keeps its place in order.
func (c *Core) addDay(e *entry, d state.DaySum) {
	day := c.zone.Day(d.Last)
	i := len(e.Days)
	for i > 0 && c.zone.Day(e.Days[i-1].Last) > day {
		i--
	}
	if i > 0 && c.zone.Day(e.Days[i-1].Last) == day {
		x := &e.Days[i-1]
		x.Last = max(x.Last, d.Last)
		x.Count += d.Count
		x.Sum += d.Sum
		x.Omitted += d.Omitted
		x.Refunded += d.Refunded
		return
	}
	if d.Count == 0 && d.Sum == 0 && d.Refunded == 0 {
		return
	}
	e.Days = append(e.Days, state.DaySum{})
	copy(e.Days[i+1:], e.Days[i:])
	e.Days[i] = d
}

// takeDay takes an order off the sum of its day, or off the base if the day went there.
func (c *Core) takeDay(e *entry, o *state.Order) {
	d, day := daySum(o), c.zone.Day(o.At)
	for i := range e.Days {
		x := &e.Days[i]
		if c.zone.Day(x.Last) != day {
			continue
		}
		x.Count -= d.Count
		x.Sum -= d.Sum
		x.Omitted -= d.Omitted
		x.Refunded -= d.Refunded
		if x.Count == 0 && x.Sum == 0 && x.Refunded == 0 {
			e.Days = append(e.Days[:i], e.Days[i+1:]...)
		}
		return
	}
	b := &e.Base
	b.Count = max(b.Count-d.Count, 0)
	b.Refunded = max(b.Refunded-d.Refunded, 0)
	b.Sum = max(b.Sum-d.Sum, 0)
	b.Omitted = min(max(b.Omitted-d.Omitted, 0), b.Sum)
}

// folded is the first instant from which all orders stand singly in the row;
// the past before it can't be told again.
func folded(e *entry) schemas.EventTime {
	t := schemas.EventTime(0)
	if k := len(e.Days) - 1; k >= 0 {
		t = e.Days[k].Last + 1
	}
	if e.Base.Count > 0 {
		t = max(t, e.Base.Last+1)
	}
	if k := len(e.MarkDays) - 1; k >= 0 {
		t = max(t, e.MarkDays[k].Last+1)
	}
	for i := range e.MarkBases {
		t = max(t, e.MarkBases[i].Last+1)
	}
	return t
}

// spillOrder moves the oldest order to a sub-key and its amount to its day's sum.
func (c *Core) spillOrder(e *entry) {
	o := e.Orders[0]
	e.Orders = append(e.Orders[:0], e.Orders[1:]...)
	c.addDay(e, daySum(&o))
	b := c.spillBucket(e, state.UTCDay(o.At))
	c.spill(state.SpillKey(nil, e.ID, state.SpillOrder, b, o.ID), state.AppendSpilledOrder(nil, &o))
	c.spill(state.SpillKey(nil, e.ID, state.SpillEvent, b, o.Event), []byte{})
	for len(e.Days) > rowDays {
		c.addBase(&e.Base, e.Days[0])
		e.Days = append(e.Days[:0], e.Days[1:]...)
	}
}

func (c *Core) spillSeen(e *entry, n int) {
	for _, s := range e.Seen[:n] {
		c.spill(state.SpillKey(nil, e.ID, state.SpillEvent, c.spillBucket(e, s.Day), s.Hash), []byte{})
	}
	e.Seen = append(e.Seen[:0], e.Seen[n:]...)
}

func (c *Core) spillBucket(e *entry, day int32) int32 {
	b := state.SpillBucket(day)
	if e.Spilled == 0 || b+1 < e.Spilled {
		e.Spilled = b + 1 // buckets are >= 0, so 0 says none
	}
	return b
}

// spill writes a sub-key; it is read from spilled until the store has it.
func (c *Core) spill(key, value []byte) {
	c.ops = append(c.ops, state.Op{Kind: state.Set, Key: key, Value: value})
	c.spilled[string(key)] = spilledValue{value: value}
}

// spilledValue is a sub-key that may not be in the store yet.
type spilledValue struct {
	value []byte
	seq   int64 // of the Ready that carries it; 0: of the next
}

func (c *Core) spilledGet(key []byte) ([]byte, error) {
	if v, ok := c.spilled[string(key)]; ok {
		return v.value, nil
	}
	return c.rd.Get(key)
}

// seen says whether the event was taken before.
func (c *Core) seen(e *entry, hash uint64, day int32) (bool, error) {
	if e.HasSeen(hash, day) {
		return true, nil
	}
	if e.Spilled == 0 || state.SpillBucket(day)+1 < e.Spilled {
		return false, nil
	}
	v, err := c.spilledGet(state.SpillKey(nil, e.ID, state.SpillEvent, state.SpillBucket(day), hash))
	return v != nil, err
}

// findOrder finds an order in the row, or brings it back from a sub-key.
func (c *Core) findOrder(e *entry, id uint64) (*state.Order, error) {
	if o := e.FindOrder(id); o != nil || e.Spilled == 0 {
		return o, nil
	}
	for b := state.SpillBucket(state.UTCDay(e.Latest)); b+1 >= e.Spilled; b-- {
		key := state.SpillKey(nil, e.ID, state.SpillOrder, b, id)
		v, err := c.spilledGet(key)
		if err != nil {
			return nil, err
		}
		if len(v) == 0 {
			continue
		}
		o, err := state.DecodeSpilledOrder(v)
		if err != nil {
			return nil, err
		}
		e.facts = nil
		// It comes back into the row, and its amount out of its day's sum.
		c.takeDay(e, &o)
		c.ops = append(c.ops, state.Op{Kind: state.Set, Key: key, Value: []byte{}})
		c.spilled[string(key)] = spilledValue{value: []byte{}}
		return e.InsertOrder(o), nil
	}
	return nil, nil
}
