package core

import (
	"encoding/binary"
	"sort"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// sweepChunk is how many customers are read ahead at once.
const sweepChunk = 2048

func (c *Core) beginSweep(s sweepState) {
	c.ts.Sweeps = append(c.ts.Sweeps, s)
	c.tsDirty = true
	c.sweepIDs = nil
}

// Sweep moves the running sweep on by up to n customers and journals it. Live
// tasks call it between records; histories do it by themselves. It returns
// true when no sweep is left.
func (c *Core) Sweep(n int, wall schemas.EventTime) (bool, error) {
	c.wall = wall
	c.did = 0
	done, err := c.sweep(n)
	if err != nil {
		return false, err
	}
	if c.did > 0 {
		c.items = append(c.items, schemas.JournalItem{Kind: schemas.SweepItem, Wall: wall, Place: binary.AppendUvarint(nil, uint64(c.did))})
		c.did = 0
	}
	return done, nil
}

// sweep does up to n customers (0: as many as the budget has) and says whether
// no sweep is left.
func (c *Core) sweep(n int) (bool, error) {
	for len(c.ts.Sweeps) > 0 {
		s := &c.ts.Sweeps[0]
		if len(c.sweepIDs) == 0 {
			if err := c.readSweep(s); err != nil {
				return false, err
			}
		}
		if len(c.sweepIDs) == 0 {
			c.ts.Sweeps = append(c.ts.Sweeps[:0], c.ts.Sweeps[1:]...)
			c.tsDirty = true
			continue
		}
		for len(c.sweepIDs) > 0 {
			if c.spent() || n > 0 && c.did >= n {
				return false, nil
			}
			id := c.sweepIDs[0]
			c.sweepIDs = c.sweepIDs[1:]
			e, err := c.customer(id)
			if err != nil {
				return false, err
			}
			c.unit()
			c.stats.Swept++
			s.Cursor, s.Moved = id, true
			c.tsDirty = true
			c.sweepOne(e, s)
		}
	}
	return true, nil
}

// readSweep reads the next ids: from the store, and of customers not yet in it.
func (c *Core) readSweep(s *sweepState) error {
	n := sweepChunk
	if c.cfg.CacheBytes < 0 {
		n = 1 << 62 // all are in memory: once is enough
	}
	ids, err := c.rd.Customers(nil, s.Cursor, !s.Moved, min(n, 1<<30))
	if err != nil {
		return err
	}
	full := len(ids) >= n
	last := ""
	if full {
		last = ids[len(ids)-1]
	}
	k := len(ids)
	c.cache.unapplied(func(e *entry) {
		if s.Moved && e.ID <= s.Cursor || full && e.ID > last {
			return
		}
		ids = append(ids, e.ID)
	})
	if k > 0 && len(ids) > k {
		sort.Strings(ids)
		j := 0
		for i, id := range ids {
			if i == 0 || id != ids[j-1] {
				ids[j] = id
				j++
			}
		}
		ids = ids[:j]
	}
	c.sweepIDs = ids
	return c.prefetchIDs(ids[:min(len(ids), sweepChunk)])
}

func (c *Core) prefetchIDs(ids []string) error {
	missing := c.work.ids[:0]
	for _, id := range ids {
		if c.cache.get(id) == nil {
			missing = append(missing, id)
		}
	}
	c.work.ids = missing
	return c.load(missing)
}

// sweepOne brings one customer in line with what the sweep is about.
func (c *Core) sweepOne(e *entry, s *sweepState) {
	v := history.View{C: &e.Customer, Zone: c.zone}
	c.touch(e)
	switch s.Kind {
	case sweepCuts:
		r := c.rfmNamed(s.Name)
		if r == nil {
			return
		}
		c.ensure(e)
		st := e.Rule(r.rid)
		if cuts := r.in(s.From); cuts == nil || st.Aux >= cuts.Version {
			return
		}
		at := max(s.From, lastMove(st))
		c.step1(e, v, r, at)
	case sweepPlaybook:
		// Who already qualifies is armed and not told.
		c.quiet = true
		c.ensure(e)
		at := max(c.pos.Clock, e.Latest)
		for _, r := range c.rule {
			c.step1(e, v, r, at)
		}
		c.quiet = false
	}
	c.arm(e)
}

func (c *Core) step1(e *entry, v history.View, r rule, at schemas.EventTime) {
	c.step(e, v, r, at, at, "", nil)
	c.count(e, v, r, at)
}

// ahead moves a customer whom an event reaches before the sweep does.
func (c *Core) ahead(e *entry) {
	if c.pb.Clock == playbook.Input {
		return // the world stood still while the sweep ran
	}
	for i := range c.ts.Sweeps {
		if s := &c.ts.Sweeps[i]; !s.Moved || e.ID > s.Cursor {
			c.sweepOne(e, s)
		}
	}
}
