package core

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"tidemark/schemas"
	"tidemark/state"
)

// join takes a merged customer in. Her past is not told again under another id: what
// the two come to together holds from the merging on, as an ordinary change that it
// caused.
func (c *Core) join(into *entry, m *parcel, at schemas.EventTime) error {
	origin := m.Path[0]
	from := &entry{}
	from.ID = origin
	if err := state.DecodeRow(&from.Customer, m.Row); err != nil {
		return fmt.Errorf("core: a merged customer: %w", err)
	}
	if into.erased != 0 && at <= into.erased {
		// She was erased before the other came, who is the same person.
		for _, id := range append([]string{origin}, m.Sources...) {
			c.sendErase(id, into.erased, false)
		}
		return nil
	}
	names := func(id uint32) string { return m.Names[id] }
	eachName(&from.Customer, func(id uint32) uint32 { return c.name(m.Names[id]) }, names)
	sort.Slice(from.Rules, func(i, j int) bool { return from.Rules[i].ID < from.Rules[j].ID })

	c.touch(into)
	if len(c.ts.Sweeps) > 0 {
		c.ahead(into)
	}
	for into.Wake != 0 && into.Wake < at {
		if err := c.wake(into, into.Wake); err != nil {
			return err
		}
	}
	if err := c.addSources(into, m, at); err != nil {
		return err
	}
	c.ensure(into)
	now := max(c.reached(into), at, from.Latest)
	for i := range from.Accounts {
		into.EnsureAccount(from.Accounts[i].ID)
	}
	c.closeAccounts(into, now)
	if c.experiments != nil {
		c.joinExperiments(into, from)
	}
	if c.touching != nil {
		if st := from.Rule(c.touching.id); st != nil {
			mine := into.EnsureRule(c.touching.id)
			mine.Log = append(mine.Log, st.Log...)
			sort.SliceStable(mine.Log, func(i, j int) bool { return mine.Log[i].At < mine.Log[j].At })
		}
	}
	c.joinHistory(into, &from.Customer)
	joinAccounts(&into.Customer, &from.Customer)
	into.Latest = max(into.Latest, from.Latest, at)
	into.facts = nil
	// What either was told before stands; from here on it is one history.
	armed := into.Latest
	for i := range into.Accounts { // what is written into a closed account stands behind it
		into.Latest = max(into.Latest, into.Accounts[i].AsOf+1)
	}
	for i := range into.Rules {
		if st := &into.Rules[i]; st.ID != c.identity && c.inForce(st.ID) && (st.Armed != 0 || c.momentOf(st.ID) == nil) {
			st.Armed = armed
		}
	}
	if c.group != nil {
		st := into.EnsureRule(c.group.id)
		st.Armed, st.Aux = armed, int64(armed) // every rule is asked there
	}
	c.settle(into, &change{tc: armed, at: at, prior: into.Latest, cause: m.Cause, orders: true, marks: true, granted: true})
	return c.fold(into)
}

func (c *Core) momentOf(id uint32) *momentRule {
	for _, k := range c.moments {
		if k.rd == id {
			return k
		}
	}
	return nil
}

// addSources notes who came, and brings those who came by others nearer.
func (c *Core) addSources(into *entry, m *parcel, at schemas.EventTime) error {
	list, err := c.sourcesOf(into)
	if err != nil {
		return err
	}
	for i, id := range append([]string{m.Path[0]}, m.Sources...) {
		if id == into.ID {
			continue
		}
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
		if i > 0 || len(m.Path) > 1 {
			c.transferTo(c.taskOf(id), transferAlias, transferAlias, at, []byte(into.ID))
			c.moves[len(c.moves)-1].CustomerID = id
		}
	}
	sort.Strings(list)
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	c.spill(sourcesKey(into.ID), b)
	into.root = true
	r := into.EnsureRule(c.identity)
	r.Phase |= identityRoot
	r.Aux, r.Episode = int64(into.erased), into.episodes
	return nil
}

// joinHistory adds the orders, traces and marks of one customer to those of another.
func (c *Core) joinHistory(into *entry, from *state.Customer) {
	for i := range from.Orders {
		if o := &from.Orders[i]; into.FindOrder(o.ID) == nil {
			into.InsertOrder(*o)
		} else if !into.HasSeen(o.Event, state.UTCDay(o.At)) {
			into.AddSeen(o.Event, state.UTCDay(o.At))
		}
	}
	for _, d := range from.Days {
		c.addDay(into, d)
	}
	into.Base = joinBase(into.Base, from.Base)
	for _, s := range from.Seen {
		if !into.HasSeen(s.Hash, s.Day) {
			into.AddSeen(s.Hash, s.Day)
		}
	}
	for _, w := range from.Wait {
		i := len(into.Wait)
		for i > 0 && w.At < into.Wait[i-1].At {
			i--
		}
		into.Wait = slices.Insert(into.Wait, i, w)
	}
	for i := range into.Orders { // what waited at one for an order of the other
		c.claimWaiting(into, &into.Orders[i])
	}
	for i := range from.Marks {
		m := &from.Marks[i]
		if !slices.ContainsFunc(into.Marks, func(o state.Mark) bool { return o.Stream == m.Stream && o.Event == m.Event && o.At == m.At }) {
			into.InsertMark(*m)
		}
	}
	for _, d := range from.MarkDays {
		day := c.zone.Day(d.Last)
		i := slices.IndexFunc(into.MarkDays, func(x state.MarkDay) bool { return x.Stream == d.Stream && c.zone.Day(x.Last) == day })
		if i >= 0 {
			x := into.MarkDays[i]
			if x.Last > d.Last {
				d.Last, d.Value = x.Last, x.Value
			}
			d.Count += x.Count
			d.Sum += x.Sum
			into.MarkDays = slices.Delete(into.MarkDays, i, i+1)
		}
		insertDay(into, d)
	}
	for _, b := range from.MarkBases {
		x := into.EnsureMarkBase(b.Stream)
		if x.Count == 0 {
			*x = b
			continue
		}
		if b.First < x.First {
			x.First, x.FirstText = b.First, b.FirstText
		}
		if b.Last > x.Last {
			x.Last, x.Value, x.Text = b.Last, b.Value, b.Text
		}
		x.Count += b.Count
		x.Sum += b.Sum
		x.Days += b.Days
	}
}

// joinBase adds two sums. Days on which both ordered count twice: they are not known any more.
func joinBase(a, b state.Base) state.Base {
	switch {
	case a.Count == 0:
		b.Sum, b.Omitted, b.Refunded = b.Sum+a.Sum, b.Omitted+a.Omitted, b.Refunded+a.Refunded
		return b
	case b.Count == 0:
		a.Sum, a.Omitted, a.Refunded = b.Sum+a.Sum, b.Omitted+a.Omitted, b.Refunded+a.Refunded
		return a
	}
	return state.Base{Count: a.Count + b.Count, Sum: a.Sum + b.Sum, Days: a.Days + b.Days, First: min(a.First, b.First), Last: max(a.Last, b.Last),
		Refunded: a.Refunded + b.Refunded, Omitted: a.Omitted + b.Omitted}
}

// joinAccounts adds what is closed of the accounts. What each still has pending, open
// or owed stays as it is.
func joinAccounts(into, from *state.Customer) {
	for i := range from.Accounts {
		b := &from.Accounts[i]
		a := into.EnsureAccount(b.ID)
		a.AsOf = max(a.AsOf, b.AsOf)
		a.Debt += b.Debt
		a.Lots = append(a.Lots, b.Lots...)
		sort.SliceStable(a.Lots, func(i, j int) bool {
			x, y := &a.Lots[i], &a.Lots[j]
			switch {
			case x.Expires != y.Expires:
				return x.Expires != 0 && (y.Expires == 0 || x.Expires < y.Expires)
			case x.Available != y.Available:
				return x.Available < y.Available
			}
			return x.Key < y.Key
		})
		for _, p := range b.Posts {
			a.Post(p)
		}
		for k, u := range b.Caps {
			switch {
			case k >= len(a.Caps):
				a.Caps = append(a.Caps, u)
			case a.Caps[k].Start == u.Start:
				a.Caps[k].Used += u.Used
			case a.Caps[k].Start < u.Start:
				a.Caps[k] = u
			}
		}
		for k := range a.Base {
			a.Base[k] += b.Base[k]
		}
	}
}

// sendErase tells an alias's task that she is forgotten.
func (c *Core) sendErase(id string, at schemas.EventTime, now bool) {
	body := []byte{}
	if now {
		body = []byte("now")
	}
	c.transferTo(c.taskOf(id), transferErase, transferErase, at, body)
	c.moves[len(c.moves)-1].CustomerID = id
}
