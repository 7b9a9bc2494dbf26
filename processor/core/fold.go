package core

import (
	"tidemark/schemas"
	"tidemark/state"
)

// A row keeps at most so many orders and event traces singly; what is more
// moves to sub-keys, and the orders' amounts to sums by local day.
const (
	rowOrders = 128
	rowSeen   = 192
	rowDays   = 800
)

// fold drops what left the horizon and moves what is too much for the row.
func (c *Core) fold(e *entry) error {
	edge := c.pos.Clock - c.pb.Horizon
	if edge > 0 {
		c.foldBase(e, edge)
	}
	for len(e.Orders) > rowOrders {
		c.spillOrder(e)
	}
	if len(e.Seen) > rowSeen {
		c.spillSeen(e, len(e.Seen)-rowSeen/2)
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
		d := &e.Days[n]
		c.addBase(&e.Base, d.Last, d.Count, d.Sum)
	}
	if n > 0 {
		e.Days = append(e.Days[:0], e.Days[n:]...)
	}
	for n = 0; n < len(e.Orders) && e.Orders[n].At < edge; n++ {
		o := &e.Orders[n]
		if o.Refunded > 0 || o.Voided > 0 {
			e.Base.Refunded++
		}
		if o.Paid == 0 {
			e.Base.Sum = max(e.Base.Sum-o.Refunded, 0)
			continue
		}
		if net := o.Net(); net > 0 {
			c.addBase(&e.Base, o.At, 1, net)
		}
	}
	if n > 0 {
		e.Orders = append(e.Orders[:0], e.Orders[n:]...)
	}
	if e.Spilled != 0 {
		if b := state.SpillBucket(day); b > e.Spilled {
			for _, kind := range [...]byte{state.SpillEvent, state.SpillOrder} {
				c.ops = append(c.ops, state.Op{Kind: state.DeleteRange,
					Key: state.SpillPrefix(nil, e.ID, kind, e.Spilled-1), Value: state.SpillPrefix(nil, e.ID, kind, b)})
			}
			e.Spilled = b
		}
	}
}

func (c *Core) addBase(b *state.Base, at schemas.EventTime, count, sum int64) {
	if b.Count == 0 {
		b.First, b.Days = at, 1
	} else if c.zone.Day(b.Last) != c.zone.Day(at) {
		b.Days++
	}
	b.Last = at
	b.Count += count
	b.Sum += sum
}

// spillOrder moves the oldest order to a sub-key and its amount to its day's sum.
func (c *Core) spillOrder(e *entry) {
	o := e.Orders[0]
	e.Orders = append(e.Orders[:0], e.Orders[1:]...)
	if net := o.Net(); net > 0 {
		if k := len(e.Days) - 1; k >= 0 && c.zone.Day(e.Days[k].Last) == c.zone.Day(o.At) {
			e.Days[k].Last = max(e.Days[k].Last, o.At)
			e.Days[k].Count++
			e.Days[k].Sum += net
		} else {
			e.Days = append(e.Days, state.DaySum{Last: o.At, Count: 1, Sum: net})
		}
	}
	b := c.spillBucket(e, state.UTCDay(o.At))
	c.spill(state.SpillKey(nil, e.ID, state.SpillOrder, b, o.ID), state.AppendSpilledOrder(nil, &o))
	c.spill(state.SpillKey(nil, e.ID, state.SpillEvent, b, o.Event), []byte{})
	for len(e.Days) > rowDays {
		d := e.Days[0]
		c.addBase(&e.Base, d.Last, d.Count, d.Sum)
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
		// It comes back into the row, and its amount out of its day's sum.
		day, net := c.zone.Day(o.At), o.Net()
		for i := range e.Days {
			if d := &e.Days[i]; c.zone.Day(d.Last) == day {
				d.Count--
				d.Sum -= net
				if d.Count == 0 {
					e.Days = append(e.Days[:i], e.Days[i+1:]...)
				}
				break
			}
		}
		c.ops = append(c.ops, state.Op{Kind: state.Set, Key: key, Value: []byte{}})
		c.spilled[string(key)] = spilledValue{value: []byte{}}
		return e.InsertOrder(o), nil
	}
	return nil, nil
}
