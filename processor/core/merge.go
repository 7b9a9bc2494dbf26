package core

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// MergedType is the behavior by which one customer_id is said to be of the same
// person as another: its customer becomes an alias of the one named by `into`.
const MergedType = "customer.merged"

// What the identity rule of a row says in its Phase, as bits.
const (
	identityReborn int32 = 1 << iota // she came after an erasure
	identityAlias                    // all of her went to another customer, and what comes goes there
	identityRoot                     // others went to her
)

// Kinds of transfers between customers. They are taken in the order in which a task
// sent them, so what a customer did arrives behind the customer.
const (
	transferMerge = "merge" // a whole customer
	transferEvent = "event" // one event of an alias
	transferAlias = "alias" // an alias gets a nearer target
	transferErase = "erase" // an alias is forgotten with her whom she went to
)

// parcel is a customer on her way. Path lists the ids that she came by, her own first.
type parcel struct {
	Version int               `json:"version"`
	Path    []string          `json:"path"`
	Row     []byte            `json:"row"`
	Names   map[uint32]string `json:"names"`   // of the ids in the row
	Sources []string          `json:"sources"` // who went to her before
	Cause   string            `json:"cause"`   // event_id
}

// passed is an event on its way, with the order that it is about where the
// alias's task had it in a sub-key.
type passed struct {
	Version int           `json:"version"`
	Event   schemas.Event `json:"event"`
	Order   []byte        `json:"order,omitempty"`
}

const parcelVersion = 1

func aliasKey(id string) []byte   { return state.SpillKey(nil, id, state.SpillIdentity, 0, 0) }
func sourcesKey(id string) []byte { return state.SpillKey(nil, id, state.SpillIdentity, 0, 1) }

func (c *Core) sendTo(customer, kind string, at schemas.EventTime, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic("core: transfer: " + err.Error()) // plain fields always encode
	}
	n := len(c.moves)
	c.transferTo(c.taskOf(customer), kind, kind, at, b)
	for _, m := range c.moves[n:] {
		m.CustomerID = customer
	}
}

// merge makes a customer an alias of the one that an event names.
func (c *Core) merge(r *Record, e *entry, ev *schemas.Event) error {
	into, _ := ev.Attribute("into")
	sources, err := c.sourcesOf(e)
	if err != nil {
		return err
	}
	if into == e.ID || slices.Contains(sources, into) {
		if into != e.ID || len(sources) == 0 { // of an alias that names her: that is so already
			c.deadLetter(r, &Dead{StepApply, ReasonMergeLoop, fmt.Sprintf("%q can't go into %q, which is she herself", clip(e.ID), clip(into))})
		}
		return nil
	}
	if c.cfg.Tasks > 1 && c.cfg.Partition == nil {
		c.deadLetter(r, &Dead{StepApply, ReasonNoTransfer, fmt.Sprintf("this program does not know the partitioner, and so not the task of %q", clip(into))})
		return nil
	}
	c.touch(e)
	if len(c.ts.Sweeps) > 0 {
		c.ahead(e)
	}
	for e.Wake != 0 && e.Wake < ev.OccurredAt {
		if err := c.wake(e, e.Wake); err != nil {
			return err
		}
	}
	e.AddSeen(c.hash('e', ev.EventID), state.UTCDay(ev.OccurredAt))
	e.Latest = max(e.Latest, ev.OccurredAt)
	c.departs(e, ev)
	m := parcel{Version: parcelVersion, Path: []string{e.ID}, Sources: sources, Cause: ev.EventID, Names: map[uint32]string{}}
	out := e.Customer
	out.Rules = nil
	for _, st := range e.Rules {
		if c.movesAlong(st.ID) {
			st.Due, st.Armed = 0, 0
			out.Rules = append(out.Rules, st)
		}
	}
	out.Wake, out.Spilled = 0, 0
	eachName(&out, func(id uint32) uint32 { m.Names[id] = c.RuleName(id); return id }, c.RuleName)
	m.Row = state.AppendRow(nil, &out)
	c.sendTo(into, transferMerge, ev.OccurredAt, &m)
	c.becomeAlias(e, strings.Clone(into))
	return nil
}

// departs ends at a customer's own task what was said of her and no longer is.
func (c *Core) departs(e *entry, ev *schemas.Event) {
	v := history.View{C: &e.Customer, Zone: c.zone}
	c.ensure(e)
	for _, r := range c.rule {
		st := e.Rule(r.id())
		if k := openFiring(st); k >= 0 && endsEpisodes(r) {
			c.end(e, v, r, st, k, max(ev.OccurredAt, lastMove(st)), ev.EventID)
		}
	}
	c.closeAccounts(e, c.reached(e))
	c.uncount(e)
}

// closeAccounts folds all of the accounts up to now.
func (c *Core) closeAccounts(e *entry, now schemas.EventTime) {
	v := history.View{C: &e.Customer, Zone: c.zone}
	for _, k := range c.ledgers {
		if a := e.Account(k.rid); a != nil && a.AsOf < now {
			given, _ := c.givenTo(v, k, a, now)
			k.book.Close(v, a, given, now, now)
			e.EnsureRule(k.rid).Log = nil
		}
	}
}

// movesAlong says whether a rule's state goes with the customer: what was sent to
// her, and the arms that she was assigned to. All else follows from her history.
func (c *Core) movesAlong(id uint32) bool {
	if c.touching != nil && c.touching.id == id {
		return true
	}
	for _, k := range c.experiments {
		if k.rd == id {
			return true
		}
	}
	return false
}

// eachName calls fn with every id of the dictionary in a row that moves, and puts
// what it returns in its place.
func eachName(c *state.Customer, fn func(uint32) uint32, name func(uint32) string) {
	for i := range c.Marks {
		c.Marks[i].Stream = fn(c.Marks[i].Stream)
	}
	for i := range c.MarkDays {
		c.MarkDays[i].Stream = fn(c.MarkDays[i].Stream)
	}
	for i := range c.MarkBases {
		c.MarkBases[i].Stream = fn(c.MarkBases[i].Stream)
	}
	for i := range c.Accounts {
		c.Accounts[i].ID = fn(c.Accounts[i].ID)
	}
	for i := range c.Rules {
		st := &c.Rules[i]
		touch := name(st.ID) == touchRule
		st.ID = fn(st.ID)
		if !touch {
			if st.Aux != 0 {
				st.Aux = int64(fn(uint32(st.Aux))) // the arm
			}
			continue
		}
		st.Log = slices.Clone(st.Log)
		for k := range st.Log {
			f := &st.Log[k]
			f.To = int32(fn(uint32(f.To)))
			if f.From >= 0 {
				f.From = int32(fn(uint32(f.From)))
			}
		}
	}
}

// becomeAlias leaves of a row what an alias needs: where to, what was before it, and
// the sub-keys by which it knows repeats of its own old events.
func (c *Core) becomeAlias(e *entry, into string) {
	c.beginIdentity()
	was := e.Customer
	e.Customer = state.Customer{ID: e.ID, Latest: was.Latest, Spilled: was.Spilled}
	e.ensured, e.facts, e.factsOf = nil, nil, nil
	r := e.EnsureRule(c.identity)
	r.Aux, r.Episode = int64(e.erased), e.episodes
	for i := range was.Rules { // what comes after her, if she ever stands alone again
		if st := &was.Rules[i]; st.ID != c.identity {
			r.Episode = max(r.Episode, e.episodes+st.Episode)
		}
	}
	e.episodes = r.Episode
	if e.erased != 0 {
		r.Phase = identityReborn
	}
	r.Phase |= identityAlias
	if e.root {
		c.spill(sourcesKey(e.ID), nil)
		c.ops[len(c.ops)-1].Kind = state.Delete
	}
	e.alias, e.root = into, false
	c.spill(aliasKey(e.ID), []byte(into))
}

func (c *Core) beginIdentity() {
	if c.identity == 0 {
		c.identity = c.name(identityRule)
	}
}

// sourcesOf lists who went to a customer.
func (c *Core) sourcesOf(e *entry) ([]string, error) {
	if !e.root {
		return nil, nil
	}
	v, err := c.spilledGet(sourcesKey(e.ID))
	if err != nil || len(v) == 0 {
		return nil, err
	}
	var list []string
	if err := json.Unmarshal(v, &list); err != nil {
		return nil, fmt.Errorf("%w: the sources of a customer: %w", state.ErrRow, err)
	}
	return list, nil
}

// forward sends an event of an alias to where she went. What the alias's own
// sub-keys know as a repeat goes nowhere.
func (c *Core) forward(e *entry, ev *schemas.Event) error {
	if seen, err := c.seen(e, c.hash('e', ev.EventID), state.UTCDay(ev.OccurredAt)); err != nil {
		return err
	} else if seen {
		c.stats.Repeats++
		return nil
	}
	p := passed{Version: parcelVersion, Event: *ev}
	if ev.Kind == schemas.Order {
		id := c.hash('o', ev.OrderID)
		o, err := c.findOrder(e, id)
		if err != nil {
			return err
		}
		if o != nil {
			p.Order = state.AppendSpilledOrder(nil, o)
			e.RemoveOrder(id)
			e.Base = state.Base{}
		}
	}
	c.stats.Forwarded++
	c.sendTo(e.alias, transferEvent, ev.OccurredAt, &p)
	return nil
}

// identityTransfer takes a message from the task of another customer.
func (c *Core) identityTransfer(t *schemas.Transfer) error {
	c.beginIdentity()
	e, err := c.customer(t.CustomerID)
	if err != nil {
		return err
	}
	switch t.Kind {
	case transferAlias:
		if into := string(t.Body); e.alias != "" && e.alias != into && e.ID != into {
			c.touch(e)
			e.alias = into
			c.spill(aliasKey(e.ID), t.Body)
		}
		return nil
	case transferErase:
		if e.alias == "" {
			return nil
		}
		return c.eraseAt(e, t.At, string(t.Body) == "now", "")
	case transferEvent:
		if e.alias != "" {
			c.passOn(e, t)
			return nil
		}
		var p passed
		if err := json.Unmarshal(t.Body, &p); err != nil || p.Version != parcelVersion {
			return fmt.Errorf("core: a forwarded event of version %d: %w", p.Version, err)
		}
		ev := &p.Event
		ev.CustomerID = e.ID
		r := &Record{Input: schemas.TransferInput, Offset: schemas.Offset(t.Sequence), Event: ev,
			Raw: &Raw{Topic: schemas.TransferInput.String(), Partition: t.FromTask, Timestamp: t.At, Key: []byte(e.ID)}}
		if ev.Kind > schemas.Behavior || ev.Order > schemas.Refunded {
			return fmt.Errorf("core: a forwarded event is of kind %d and type %d", ev.Kind, ev.Order)
		}
		if d := c.validate(ev); d != nil && d.Reason != ReasonFuture { // this clock may be further on; the future was judged at its fetch
			c.deadLetter(r, d)
			return nil
		}
		if len(p.Order) > 0 {
			if err := c.takeOrder(e, p.Order); err != nil {
				return err
			}
		}
		c.work.here = e
		err := c.event(r, ev)
		c.work.here = nil
		return err
	}
	var m parcel
	if err := json.Unmarshal(t.Body, &m); err != nil || m.Version != parcelVersion || len(m.Path) == 0 {
		return fmt.Errorf("core: a merged customer of version %d: %w", m.Version, err)
	}
	if e.alias == "" {
		return c.join(e, &m, t.At)
	}
	// Where two were merged into each other at once she would go round for ever: she
	// stays with the least of those ids, which stands alone again.
	m.Path = append(m.Path, e.ID)
	if k := slices.Index(m.Path, e.alias); k >= 0 && slices.Min(m.Path[k:]) == e.ID {
		c.deadLetter(&Record{Offset: schemas.Offset(t.Sequence), Event: &schemas.Event{CustomerID: e.ID, EventID: m.Cause},
			Raw: &Raw{Topic: schemas.TransferInput.String(), Partition: t.FromTask, Timestamp: t.At, Key: []byte(e.ID)}}, &Dead{StepApply, ReasonMergeLoop, fmt.Sprintf("%q and %q went into each other; all of it stays with %q", clip(e.ID), clip(e.alias), clip(e.ID))})
		c.touch(e)
		c.spill(aliasKey(e.ID), nil)
		c.ops[len(c.ops)-1].Kind = state.Delete
		e.alias = ""
		e.EnsureRule(c.identity).Phase &^= identityAlias
		m.Path = m.Path[:len(m.Path)-1]
		return c.join(e, &m, t.At)
	}
	c.sendTo(e.alias, transferMerge, t.At, &m)
	return nil
}

// passOn sends a message on as it is.
func (c *Core) passOn(e *entry, t *schemas.Transfer) {
	c.transferTo(c.taskOf(e.alias), t.Kind, t.Name, t.At, t.Body)
	c.moves[len(c.moves)-1].CustomerID = e.alias
}

// takeOrder puts an order that an alias's task had kept apart among the customer's,
// and takes it out of the sum of its day.
func (c *Core) takeOrder(e *entry, b []byte) error {
	o, err := state.DecodeSpilledOrder(b)
	if err != nil {
		return err
	}
	if e.FindOrder(o.ID) == nil {
		c.touch(e)
		e.facts = nil
		c.takeDay(e, &o)
		e.InsertOrder(o)
	}
	return nil
}
