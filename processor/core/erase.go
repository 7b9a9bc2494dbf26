package core

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"tidemark/schemas"
	"tidemark/state"
)

// ErasedType is the behavior by which a customer asks to be forgotten.
const ErasedType = "customer.erased"

// CompactNow is the attribute of an erasure, with the value "now", that asks for
// the store to be rewritten at once instead of within a day.
const CompactNow = "compact"

// identityRule is the name under which a row remembers that its customer is not the
// first of that id, or that there is more to know of it (merge.go): Phase says what,
// Aux is the instant of the erasure, Episode how many episodes the one before may
// have had.
const identityRule = "identity/"

// tombstone is what is left of an erased customer, under a keyed hash of the id:
// from when on she may begin anew, and from where her episodes go on, so that no
// trigger_id is ever given twice.
type tombstone struct {
	at       schemas.EventTime // what occurred up to here is dropped
	episodes uint32
	taken    schemas.EventTime // wall time of the erasure's fetch; 0: rewrite the store at once
	number   int64             // of the task's erasures, from 1
}

const tombstoneVersion = 1

func (t *tombstone) encode() []byte {
	b := []byte{tombstoneVersion}
	b = binary.AppendVarint(b, int64(t.at))
	b = binary.AppendUvarint(b, uint64(t.episodes))
	b = binary.AppendVarint(b, int64(t.taken))
	return binary.AppendVarint(b, t.number)
}

func decodeTombstone(b []byte) (t tombstone, err error) {
	if len(b) == 0 || b[0] != tombstoneVersion {
		return t, fmt.Errorf("%w: a tombstone of an unknown version", state.ErrRow)
	}
	b = b[1:]
	next := func(signed bool) (v int64) {
		n := 0
		if signed {
			v, n = binary.Varint(b)
		} else {
			u, k := binary.Uvarint(b)
			v, n = int64(u), k
		}
		if n <= 0 {
			err = fmt.Errorf("%w: a tombstone that ends early", state.ErrRow)
			return 0
		}
		b = b[n:]
		return v
	}
	t.at = schemas.EventTime(next(true))
	t.episodes = uint32(next(false))
	t.taken = schemas.EventTime(next(true))
	t.number = next(true)
	if err == nil && len(b) > 0 {
		err = fmt.Errorf("%w: a tombstone with %d bytes too many", state.ErrRow, len(b))
	}
	return t, err
}

// tombstoneKey is where the tombstone of a customer stands. It is 16 bytes of
// HMAC-SHA-256 with the playbook's salt, so it gives no id away to whoever does not
// know both.
func (c *Core) tombstoneKey(id string) []byte {
	m := hmac.New(sha256.New, []byte(c.pb.Salt))
	m.Write([]byte(id))
	return state.TombstoneKey(nil, m.Sum(nil)[:16])
}

// Erasure tells the caller that a customer was erased, so that files which still
// hold her can be rewritten.
type Erasure struct {
	Customer string
	At       schemas.EventTime // what occurred up to here goes
	Now      bool              // her rows are to leave the disk at once
}

// remember gives a customer who has no row what an erasure left of her id.
func (c *Core) remember(e *entry) error {
	if c.identity == 0 || c.pb == nil {
		return nil
	}
	v, err := c.spilledGet(c.tombstoneKey(e.ID))
	if err != nil || v == nil {
		return err
	}
	t, err := decodeTombstone(v)
	if err != nil {
		return err
	}
	c.begins(e, &t)
	return nil
}

// begins makes a row that knows what was before it.
func (c *Core) begins(e *entry, t *tombstone) {
	r := e.EnsureRule(c.identity)
	r.Phase, r.Aux, r.Episode = identityReborn, int64(t.at), t.episodes
	e.erased, e.episodes = t.at, t.episodes
}

// recollect takes from a row what it knows of the identity of its customer.
func (c *Core) recollect(e *entry) error {
	if c.identity == 0 {
		return nil
	}
	r := e.Rule(c.identity)
	if r == nil {
		return nil
	}
	e.erased, e.episodes, e.root = schemas.EventTime(r.Aux), r.Episode, r.Phase&identityRoot != 0
	if r.Phase&identityAlias == 0 {
		return nil
	}
	v, err := c.spilledGet(aliasKey(e.ID))
	if err == nil && len(v) == 0 {
		err = fmt.Errorf("%w: an alias without a target", state.ErrRow)
	}
	e.alias = string(v)
	return err
}

// erase forgets a customer up to an instant. Nothing is published: what was said
// stays in its topics for their retention, and a retraction would only name her once
// more. What occurred later and came before the erasure makes the new customer.
func (c *Core) erase(e *entry, ev *schemas.Event) error {
	how, _ := ev.Attribute(CompactNow)
	sources, err := c.sourcesOf(e)
	if err != nil {
		return err
	}
	for _, id := range sources {
		c.sendErase(id, ev.OccurredAt, how == "now")
	}
	return c.eraseAt(e, ev.OccurredAt, how == "now", ev.EventID)
}

func (c *Core) eraseAt(e *entry, at schemas.EventTime, now bool, cause string) error {
	c.beginIdentity()
	t := tombstone{at: max(at, 1), episodes: e.episodes, taken: c.wall}
	if now {
		t.taken = 0
	}
	for i := range e.Rules {
		if r := &e.Rules[i]; r.ID != c.identity {
			t.episodes = max(t.episodes, e.episodes+r.Episode)
		}
	}
	c.ts.Erasures++
	c.tsDirty = true
	t.number = c.ts.Erasures
	c.spill(c.tombstoneKey(e.ID), t.encode())
	c.erasures = append(c.erasures, Erasure{Customer: strings.Clone(e.ID), At: t.at, Now: now})
	was, known := e.Customer, e.known
	if known {
		c.uncount(e)
		c.dropSubKeys(e)
		c.sweepIDs = nil // read ahead with this customer
		if !e.dirty {
			e.dirty = true
			c.dirty = append(c.dirty, e)
		}
	}
	e.Customer = state.Customer{ID: e.ID}
	e.ensured, e.facts, e.factsOf = nil, nil, nil
	alias := e.alias != ""
	e.alias, e.root = "", false
	c.begins(e, &t)
	if e.known = known && !alias && was.Latest > t.at; !e.known {
		return nil
	}
	c.survive(e, &was, t.at)
	ch := change{tc: was.Latest, at: at, cause: cause, orders: true, marks: true, granted: true}
	for i := range e.Orders {
		ch.tc = min(ch.tc, e.Orders[i].At)
	}
	for i := range e.Marks {
		ch.tc = min(ch.tc, e.Marks[i].At)
	}
	c.settle(e, &ch)
	return c.fold(e)
}

// survive gives the new customer what occurred after the erasure and came before
// it. Of a day on which the erasure fell, and of sub-keys, only what stands singly in
// the row is told apart; the rest goes.
func (c *Core) survive(e *entry, was *state.Customer, at schemas.EventTime) {
	e.Latest = was.Latest
	for i := range was.Orders {
		if was.Orders[i].At > at {
			e.Orders = append(e.Orders, was.Orders[i])
		}
	}
	for i := range was.Days {
		if c.zone.Day(was.Days[i].Last) > c.zone.Day(at) {
			e.Days = append(e.Days, was.Days[i])
		}
	}
	for i := range was.Seen {
		if was.Seen[i].Day >= state.UTCDay(at) {
			e.Seen = append(e.Seen, was.Seen[i])
		}
	}
	for i := range was.Wait {
		if was.Wait[i].At > at {
			e.Wait = append(e.Wait, was.Wait[i])
		}
	}
	for i := range was.Marks {
		if was.Marks[i].At > at {
			e.Marks = append(e.Marks, was.Marks[i])
		}
	}
	for i := range was.MarkDays {
		if c.zone.Day(was.MarkDays[i].Last) > c.zone.Day(at) {
			e.MarkDays = append(e.MarkDays, was.MarkDays[i])
		}
	}
}

// dropSubKeys removes all that of a customer does not stand in her row.
func (c *Core) dropSubKeys(e *entry) {
	from, to := state.SpillRange(e.ID)
	c.ops = append(c.ops, state.Op{Kind: state.DeleteRange, Key: from, Value: to})
	for k := range c.spilled { // the order decides nothing
		if k >= string(from) && k < string(to) {
			c.spilled[k] = spilledValue{}
		}
	}
}

// uncount takes a customer out of the histograms and the sizes of phases, those of
// rules that are no longer in force among them.
func (c *Core) uncount(e *entry) {
	c.uncountAccounts(e)
	remove := func(rule uint32, fact byte, value int64) {
		if h := c.hist[histKey{rule, fact}]; h != nil {
			if err := h.Remove(value); err != nil && c.fault == nil {
				c.fault = fmt.Errorf("%w: histogram of %s: %w", ErrInvariant, c.RuleName(rule), err)
			}
		}
	}
	for i := range e.Rules {
		st := &e.Rules[i]
		if st.Counted {
			for fact := range byte(3) {
				remove(st.ID, fact, st.Vals[fact])
			}
			continue
		}
		if c.group != nil && c.group.byID[st.ID] != nil {
			c.sized(c.group.byID[st.ID], st.Phase, 0)
		} else if st.Phase != 0 && c.hist[histKey{st.ID, 1}] == nil { // the sizes of an older playbook's rule
			remove(st.ID, 0, int64(st.Phase))
		}
	}
}

// Rewritten is what a store remembers of its last rewriting.
type Rewritten struct {
	Erasures int64             // as many of the task's erasures are nowhere in its files
	At       schemas.EventTime // wall time; 0: never
}

var rewrittenKey = state.MetaKey(nil, "rewritten")

// Op is the write by which the store remembers it.
func (r Rewritten) Op() state.Op {
	return state.Op{Kind: state.Set, Key: rewrittenKey, Value: binary.AppendVarint(binary.AppendVarint(nil, r.Erasures), int64(r.At))}
}

// Erasures is what a store's files may still hold of erased customers.
type Erasures struct {
	All     int64             // of the task, ever
	Pending int64             // since the store was rewritten
	Since   schemas.EventTime // wall time of the first pending one; 0: rewrite at once
	Last    Rewritten
}

// ReadErasures reads it from a store that nobody changes meanwhile.
func ReadErasures(rd interface {
	Get(key []byte) ([]byte, error)
	EachTombstone(fn func(value []byte) error) error
}) (e Erasures, err error) {
	v, err := rd.Get(state.MetaKey(nil, "task"))
	if err != nil || v == nil {
		return e, err
	}
	var ts taskState
	if err := json.Unmarshal(v, &ts); err != nil {
		return e, fmt.Errorf("core: task state: %w", err)
	}
	e.All = ts.Erasures
	if v, err = rd.Get(rewrittenKey); err != nil {
		return e, err
	}
	if n, k := binary.Varint(v); k > 0 {
		at, _ := binary.Varint(v[k:])
		e.Last = Rewritten{n, schemas.EventTime(at)}
	}
	if e.Pending = e.All - e.Last.Erasures; e.Pending <= 0 {
		return e, nil
	}
	first := true
	err = rd.EachTombstone(func(v []byte) error {
		t, err := decodeTombstone(v)
		if err == nil && t.number > e.Last.Erasures && (first || t.taken < e.Since) {
			e.Since, first = t.taken, false
		}
		return err
	})
	return e, err
}
