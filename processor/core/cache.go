package core

import (
	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/state"
)

// entry is a decoded customer in memory.
type entry struct {
	state.Customer
	seq        int64 // of the Ready that wrote it last; it must stay until that is applied
	storedWake int64 // the timer in the store as of that Ready; 0: none
	dirty      bool
	known      bool // something was applied to it, ever: it is a customer
	young      bool
	size       int64
	ensured    *playbook.Playbook // the version whose rules all have their place
	erased     schemas.EventTime  // what occurred up to here is dropped; 0: she was never erased
	episodes   uint32             // of those of her id who were erased; hers go on from there
	alias      string             // where what comes for her goes; "": she stands for herself
	root       bool               // others went to her
	facts      []playbook.Value   // of the group at its last look; nil: not in memory
	factsOf    *group             // whose they are
}

// cache keeps decoded customers between batches in two generations: what was
// touched lately, and what was touched before. When the young fill half the
// budget they become the old, and what is left of the old and is safely in the
// store goes. So it costs a map lookup and no list.
type cache struct {
	young, old map[string]*entry
	bytes      int64 // of young
	limit      int64 // of both; negative: none
	applied    int64 // sequence of the last Ready in the store
	spare      []*entry
}

// spareEntries bounds the entries that wait to be used again: half of what a batch
// of cold customers brings in.
const spareEntries = 16 << 10

// spareOrders keeps the memory of customers with many orders from those with few.
const spareOrders = 32

// fresh returns an empty entry, in the memory of one that went if there is one:
// what it keeps is room for orders and rules, which hold no pointer to others.
func (c *cache) fresh() *entry {
	k := len(c.spare) - 1
	if k < 0 {
		return &entry{}
	}
	e := c.spare[k]
	c.spare[k] = nil
	c.spare = c.spare[:k]
	orders, rules := e.Orders[:0], e.Rules[:0]
	*e = entry{}
	e.Orders, e.Rules = orders, rules
	return e
}

func newCache(limit int64) cache {
	return cache{young: map[string]*entry{}, old: map[string]*entry{}, limit: limit}
}

// get returns the entry of id, nil if it is not in memory.
func (c *cache) get(id string) *entry {
	if e := c.young[id]; e != nil {
		return e
	}
	if e := c.old[id]; e != nil {
		delete(c.old, id)
		c.put(e)
		return e
	}
	return nil
}

// peek is get without bringing the entry among the young.
func (c *cache) peek(id string) *entry {
	if e := c.young[id]; e != nil {
		return e
	}
	return c.old[id]
}

func (c *cache) put(e *entry) {
	e.young = true
	c.young[e.ID] = e
	e.size = entrySize(e)
	c.bytes += e.size
}

// turn makes room. It must not run while a batch holds entries.
func (c *cache) turn() {
	if c.limit < 0 || c.bytes < c.limit/2 {
		return
	}
	keep := make(map[string]*entry, len(c.young)/2)
	bytes := int64(0)
	// The order of the map decides nothing: only what is dropped from memory.
	for id, e := range c.old {
		if e.dirty || e.seq > c.applied {
			keep[id] = e
			e.size = entrySize(e)
			bytes += e.size
		} else if len(c.spare) < spareEntries && cap(e.Orders) <= spareOrders {
			c.spare = append(c.spare, e)
		}
	}
	c.old, c.young, c.bytes = c.young, keep, bytes
}

// unapplied calls fn with every customer whose row may not be in the store yet, by id.
func (c *cache) unapplied(fn func(e *entry)) {
	var list []*entry
	c.unappliedAny(func(e *entry) { list = append(list, e) })
	var s sorter
	s.entries(list)
	for _, e := range list {
		fn(e)
	}
}

// unappliedAny is unapplied in no order, for what makes an order of its own.
func (c *cache) unappliedAny(fn func(e *entry)) {
	for _, m := range [2]map[string]*entry{c.young, c.old} {
		for _, e := range m {
			if e.known && (e.dirty || e.seq > c.applied || c.limit < 0) {
				fn(e)
			}
		}
	}
}

func entrySize(e *entry) int64 {
	n := int64(320 + len(e.ID) + 24*len(e.Days) + 72*cap(e.Orders) + 16*cap(e.Seen) + 56*len(e.Wait))
	for i := range e.Rules {
		n += 104 + int64(48*cap(e.Rules[i].Log))
	}
	return n
}
