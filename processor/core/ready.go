package core

import (
	"github.com/cespare/xxhash/v2"

	"tidemark/schemas"
	"tidemark/state"
)

// Ready is what the caller must do next, whole and in this order: publish Out,
// Transfers, Controls and Journal in one transaction; when that is committed,
// apply Batch and Position to the store; then call Applied.
type Ready struct {
	Sequence     int64
	Out          []Out
	Transfers    []*schemas.Transfer
	Controls     []*schemas.Control
	Journal      *schemas.Journal
	JournalBytes []byte
	Batch        *state.Batch
	Position     state.Position // JournalNext is the caller's to fill in
	Stats        Stats
	Taken        int
	Customers    int // rows written
	Erased       []Erasure
}

// Ready returns what was done since the last, or nil if that is nothing.
func (c *Core) Ready() *Ready {
	if len(c.items) == 0 {
		return nil
	}
	c.pos.Sequence++
	j := &schemas.Journal{
		Format: JournalFormat, Generation: c.cfg.Generation, Engine: Engine, Task: c.cfg.Task,
		Sequence: c.pos.Sequence, PreviousHash: int64(c.pos.Hash),
		Items: c.items, Dead: c.dead, Clock: c.pos.Clock,
		Triggers: int64(len(c.out) + len(c.moves) + len(c.controls)), TriggerHash: hashOut(c.out, c.moves, c.controls),
		Epoch: c.cfg.Epoch, Writer: c.cfg.Writer,
	}
	for i, o := range c.starts {
		j.Starts = append(j.Starts, schemas.InputOffset{Input: schemas.Input(i), Offset: o})
	}
	if c.pb != nil {
		j.PlaybookVersion = c.pb.Version
		c.pos.Playbook = c.pb.Version
	}
	bytes := j.AppendAvro(nil)
	c.pos.Hash = xxhash.Sum64(bytes)
	r := &Ready{
		Sequence: c.pos.Sequence, Out: c.out, Transfers: c.moves, Controls: c.controls,
		Journal: j, JournalBytes: bytes, Position: c.pos, Stats: c.stats, Taken: c.taken, Customers: len(c.dirty), Erased: c.erasures,
	}
	r.Batch = c.batch()
	c.work.outs = len(c.out)
	c.items, c.dead, c.out, c.moves, c.controls = nil, nil, nil, nil, nil
	r.Stats.Sizes = c.changedSizes()
	r.Stats.Books = c.changedBooks()
	c.outBytes, c.taken, c.units, c.stats, c.erasures = 0, 0, 0, Stats{}, nil
	c.starts = c.pos.Inputs
	c.cache.turn()
	if c.group != nil {
		c.group.serial++ // a customer's memory may be another's from here on
	}
	c.timers.shrinkFor(c)
	return r
}

// Adopt makes the pending Ready carry the sequence's journal record as it
// stands in the journal, so that the chain of hashes goes on from there.
// Replays use it: the record was written by an earlier owner.
func (c *Core) Adopt(r *Ready, journalBytes []byte) {
	h := xxhash.Sum64(journalBytes)
	r.Position.Hash = h
	c.pos.Hash = h
	r.JournalBytes = journalBytes
}

// SetJournalNext tells where the journal goes on; it is kept with the next position.
func (c *Core) SetJournalNext(o schemas.Offset) { c.pos.JournalNext = o }

// SetEpoch sets the producer epoch that journal records carry.
func (c *Core) SetEpoch(epoch int32) { c.cfg.Epoch = epoch }

// Applied says that the Ready of that sequence and all before are in the store.
func (c *Core) Applied(sequence int64) {
	c.cache.applied = max(c.cache.applied, sequence)
	for k, v := range c.spilled {
		if v.seq != 0 && v.seq <= sequence {
			delete(c.spilled, k)
		}
	}
}

// batch encodes what changed. Rows go in key order, which the store takes fastest.
func (c *Core) batch() *state.Batch {
	b := &state.Batch{}
	if c.cfg.CacheBytes < 0 {
		for _, e := range c.dirty {
			e.dirty = false
		}
		c.dirty, c.ops, c.tsDirty = c.dirty[:0], nil, false
		return b
	}
	c.work.sorter.entries(c.dirty)
	key, row := c.work.key, c.work.row
	// Rows first, in their order, then timers: the nearer to sorted, the less the
	// store has to do.
	timers := &c.work.timers
	timers.Reset()
	b.Grow(c.work.batch + c.work.batch/8)
	for i, e := range c.dirty {
		if i%warmed == 0 {
			c.work.warmth += warm(c.dirty[i:min(i+warmed, len(c.dirty))])
		}
		key = state.CustomerKey(key[:0], e.ID)
		if e.known {
			row = state.AppendRow(row[:0], &e.Customer)
			b.Set(key, row)
		} else { // erased
			b.Delete(key)
		}
		if e.storedWake != int64(e.Wake) {
			if e.storedWake != 0 {
				key = state.TimerKey(key[:0], schemas.EventTime(e.storedWake), e.ID)
				timers.Delete(key)
			}
			if e.Wake != 0 {
				key = state.TimerKey(key[:0], e.Wake, e.ID)
				timers.Set(key, nil)
			}
			e.storedWake = int64(e.Wake)
		}
		e.dirty, e.seq = false, c.pos.Sequence
	}
	c.work.key, c.work.row = key, row
	c.dirty = c.dirty[:0]
	b.Join(timers)
	b.Add(c.ops...)
	c.work.batch = b.Bytes()
	c.ops = nil
	for k, v := range c.spilled {
		if v.seq == 0 {
			v.seq = c.pos.Sequence
			c.spilled[k] = v
		}
	}
	c.saveHistograms(b)
	c.saveSums(b)
	c.saveTask(b)
	return b
}

// shrinkFor bounds the timers in memory; a task that keeps all has nowhere to read them again.
func (t *timers) shrinkFor(c *Core) {
	if c.cfg.CacheBytes >= 0 {
		t.shrink()
	}
}
