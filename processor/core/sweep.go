package core

import (
	"encoding/binary"
	"reflect"
	"slices"
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
	before := len(c.ts.Sweeps)
	done, err := c.sweep(n)
	if err != nil {
		return false, err
	}
	// That nobody was left is a decision too: who comes later is not swept.
	if c.did > 0 || len(c.ts.Sweeps) != before {
		c.items = append(c.items, schemas.JournalItem{Kind: schemas.SweepItem, Wall: wall, Place: binary.AppendUvarint(nil, uint64(c.did))})
		c.did = 0
	}
	return done, c.fault
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
	n := c.sweepAhead
	if c.cfg.CacheBytes < 0 {
		n = 1 << 62 // all are in memory: once is enough
	}
	var ids []string
	full, last := true, s.Cursor
	for first := !s.Moved; full && len(ids) == 0; first = false {
		var err error
		if ids, err = c.rd.Customers(nil, last, first, min(n, 1<<30)); err != nil {
			return err
		}
		if full = len(ids) >= n; full {
			last = ids[len(ids)-1]
		}
		ids = slices.DeleteFunc(ids, func(id string) bool {
			e := c.cache.peek(id)
			return e != nil && !e.known // erased, and still in the store
		})
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
	return c.prefetchIDs(ids[:min(len(ids), c.sweepAhead)])
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

// sweepOne brings one customer in line with what the sweep is about. A second
// time changes nothing.
func (c *Core) sweepOne(e *entry, s *sweepState) {
	if e.alias != "" {
		return
	}
	v := history.View{C: &e.Customer, Zone: c.zone}
	now := max(c.pos.Clock, e.Latest)
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
		c.touch(e)
		c.settleRule(e, v, r, &change{tc: s.From, at: s.From, prior: e.Latest, fresh: true}, now)
		c.count(e, v, r, now)
		if c.group != nil {
			c.group.serial++
			c.settlePhases(e, v, &change{tc: s.From, at: s.From, prior: e.Latest, fresh: true}, now)
		}
		if c.ledgers != nil {
			c.settleBooks(e, v, &change{})
			c.denied = c.denied[:0]
		}
	case sweepResume:
		c.ensure(e)
		c.touch(e)
		c.resumeOne(e, v, len(s.Rules) > 0)
	case sweepPlaybook:
		c.ensure(e)
		c.touch(e)
		for _, r := range c.rule {
			st := e.Rule(r.id())
			if st.Armed >= s.From || !slices.Contains(s.Rules, r.common().Name) {
				continue
			}
			if len(e.Orders) == 0 && len(e.Days) == 0 && e.Base.Count == 0 {
				st.Armed = s.From // nothing to qualify by
				continue
			}
			// Who already qualifies is armed and not told.
			at := max(now, s.From)
			c.quiet = true
			c.step(e, v, r, at, at, "", nil)
			c.quiet = false
			c.count(e, v, r, at)
		}
		if c.group != nil {
			c.armPhases(e, v, s.Rules, max(now, s.From), s.From)
		}
		c.seedLevels(e, max(now, s.From))
		c.armTasks(e, v, s.Rules, max(now, s.From), s.From)
		c.armMoments(e, v, s.Rules, max(now, s.From))
		if c.ledgers != nil {
			c.armBooks(e, v, s.Rules, max(now, s.From))
		}
	}
	c.arm(e)
}

// ahead moves a customer whom an event or a timer reaches before the sweep does.
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

// sameGrowth says whether two growth rules mean the same: those with factors by
// their text, for the numbers of streams may differ.
func sameGrowth(a, b *playbook.Growth) bool {
	if a.Meaning != "" || b.Meaning != "" {
		return a.Meaning == b.Meaning
	}
	return reflect.DeepEqual(a, b)
}

// changed names the rules of now that are new or mean something else than in was.
func changed(was, now *playbook.Playbook) (names []string) {
	all := was.Zone.String() != now.Zone.String() || was.Currency != now.Currency || was.CountsAtPlaced != now.CountsAtPlaced
	same := func(old, rule any) bool { return !all && reflect.DeepEqual(old, rule) }
	note := func(name string, kept bool) {
		if !kept {
			names = append(names, name)
		}
	}
	for _, t := range now.Tiers {
		kept := false
		for _, o := range was.Tiers {
			if o.Name == t.Name {
				a, b := o, t
				a.Growth, b.Growth, a.MaxAge, b.MaxAge = 0, 0, 0, 0
				a.Grants, b.Grants, a.Member, b.Member, a.Told, b.Told = 0, 0, 0, 0, 0, 0
				a.Bought, b.Bought = nil, nil // Meaning has them; the numbers of streams may differ
				kept = same(a, b) && (t.Growth < 0 || o.Growth >= 0 && sameGrowth(&was.Growth[o.Growth], &now.Growth[t.Growth]))
			}
		}
		note(t.Name, kept)
		if t.Notice != 0 {
			note(noticeName(t.Name), kept)
		}
	}
	for _, r := range now.RFM {
		kept := false
		for _, o := range was.RFM {
			if o.Name == r.Name {
				a, b := o, r
				a.MaxAge, b.MaxAge = 0, 0
				kept = same(a, b)
			}
		}
		note(r.Name, kept)
	}
	for _, k := range now.Churn {
		kept := false
		for _, o := range was.Churn {
			if o.Name == k.Name {
				a, b := o, k
				a.MaxAge, b.MaxAge = 0, 0
				kept = same(a, b)
			}
		}
		note(k.Name, kept)
	}
	for i := range now.Ledgers {
		l, kept := &now.Ledgers[i], false
		for k := range was.Ledgers {
			o := &was.Ledgers[k]
			kept = kept || !all && o.Name == l.Name && o.Meaning == l.Meaning
		}
		note(l.Name, kept)
	}
	for _, m := range now.Moments {
		kept := false
		for _, o := range was.Moments {
			kept = kept || o.Name == m.Name // a moment that goes on needs no sweep: its next event arms it
		}
		note(m.Name, kept)
	}
	for i := range now.Phases {
		r, kept := &now.Phases[i], false
		for k := range was.Phases {
			o := &was.Phases[k]
			kept = kept || !all && o.Name == r.Name && o.Meaning == r.Meaning
		}
		for _, cond := range r.Conditions() {
			for _, ref := range playbook.References(cond) {
				kept = kept && (ref.Table == "" || !slices.Contains(names, ref.Key))
			}
		}
		note(r.Name, kept)
	}
	for i := range now.Tasks {
		t, kept := &now.Tasks[i], false
		for k := range was.Tasks {
			o := &was.Tasks[k]
			kept = kept || !all && o.Name == t.Name && o.Meaning == t.Meaning
		}
		note(t.Name, kept)
	}
	return names
}
