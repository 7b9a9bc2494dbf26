package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/schemas"
	"tidemark/state"
)

// A world is what surrounds a Core: the topics that it reads, the journal and
// the out topics that it writes, and its Pebble store, all in memory. The store
// is the real one on a file system that can lose power.
type world struct {
	cfg   Config
	fs    *vfs.MemFS
	cache *pebble.Cache
	store *state.Store
	core  *Core

	topics  *topics
	journal [][]byte
	out     []Out // committed
	wall    schemas.EventTime
	small   bool // timers and sweeps are read in very small chunks
}

// topics are the inputs of one task, and the control topic that all tasks share.
type topics struct {
	log     [schemas.Inputs][]Record
	control *[]Record
}

func (t *topics) of(in schemas.Input) []Record {
	if in == schemas.ControlInput {
		return *t.control
	}
	return t.log[in]
}

func (t *topics) add(r Record) {
	if r.Input == schemas.ControlInput {
		r.Offset = schemas.Offset(len(*t.control))
		*t.control = append(*t.control, r)
		return
	}
	r.Offset = schemas.Offset(len(t.log[r.Input]))
	if r.Raw == nil {
		r.Raw = &Raw{Topic: r.Input.String()}
		if r.Event != nil {
			r.Raw.Key = []byte(r.Event.CustomerID)
		}
	}
	t.log[r.Input] = append(t.log[r.Input], r)
}

func newWorld(cfg Config, control *[]Record) (*world, error) {
	if cfg.App == "" {
		cfg.App = "test"
	}
	if cfg.Partition == nil { // c1, c3 … are of task 0, c2, c4 … of task 1
		cfg.Partition = func(key []byte, n int32) int32 { return int32(key[len(key)-1]+1) % n }
	}
	if cfg.Tasks == 0 {
		cfg.Tasks = 1
	}
	w := &world{cfg: cfg, fs: vfs.NewCrashableMem(), topics: &topics{control: control}}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, w.fresh()
}

func (w *world) open() error {
	w.cache = pebble.NewCache(1 << 20)
	var err error
	w.store, err = state.Open("task", state.Options{FS: w.fs, Cache: w.cache, MemTable: 256 << 10})
	return err
}

func (w *world) close() error {
	w.core = nil
	if w.store == nil {
		return nil
	}
	err := w.store.Close()
	w.cache.Unref()
	w.store = nil
	return err
}

// fresh makes the core from the store alone.
func (w *world) fresh() error {
	pos, err := w.store.Position()
	if err != nil {
		return err
	}
	if w.core, err = New(w.cfg, w.store, pos); err != nil {
		return err
	}
	if w.small {
		w.core.timers.chunk, w.core.timers.limit, w.core.sweepAhead = 2, 3, 2
	}
	return nil
}

// waiting merges what the core has not taken yet, as the runtime does: events
// by (occurred_at, input), the rest as soon as it stands first.
func (w *world) waiting(limit int) []Record {
	pos := w.core.Position()
	var counts [schemas.Inputs]int64
	for i := range counts {
		counts[i] = int64(len(w.topics.of(schemas.Input(i)))) - int64(pos.Inputs[i])
	}
	recs := w.merge(counts)
	if limit > 0 && len(recs) > limit {
		recs = recs[:limit]
	}
	return recs
}

func (w *world) merge(counts [schemas.Inputs]int64) []Record {
	var out []Record
	at := w.core.Position().Inputs
	for {
		best, key := -1, schemas.EventTime(0)
		for i := range counts {
			if counts[i] == 0 {
				continue
			}
			r := &w.topics.of(schemas.Input(i))[at[i]]
			k := schemas.EventTime(-1 << 62)
			if r.Event != nil {
				k = r.Event.OccurredAt
			}
			if best < 0 || k < key {
				best, key = i, k
			}
		}
		if best < 0 {
			return out
		}
		out = append(out, w.topics.of(schemas.Input(best))[at[best]])
		at[best]++
		counts[best]--
	}
}

// lend hands records over in memory that is used for others right afterwards, as
// the runtime does: what the core keeps of a record must not lie in it.
func (w *world) lend(recs []Record, wall schemas.EventTime) (int, error) {
	lent := slices.Clone(recs)
	for i := range lent {
		if e := lent[i].Event; e != nil {
			k := *e
			k.Items, k.Attributes = slices.Clone(e.Items), slices.Clone(e.Attributes)
			lent[i].Event = &k
		}
		if r := lent[i].Raw; r != nil {
			k := *r
			lent[i].Raw = &k
		}
	}
	n, err := w.core.Take(lent, wall)
	for i := range lent {
		if e := lent[i].Event; e != nil {
			for k := range e.Items {
				e.Items[k] = schemas.Item{SKU: "another's", Category: "another's", Quantity: -1, AmountMinor: -1}
			}
			for k := range e.Attributes {
				e.Attributes[k] = schemas.Attribute{Key: "another's", Value: "another's"}
			}
			*e = schemas.Event{EventID: "another's", CustomerID: "another's", OrderID: "another's", OccurredAt: -1, AmountMinor: -1}
		}
		if r := lent[i].Raw; r != nil {
			*r = Raw{Topic: "another's", Key: []byte("another's"), Value: []byte("another's")}
		}
		lent[i] = Record{}
	}
	return n, err
}

// land keeps what a Ready publishes, as a committed transaction does.
func (w *world) land(r *Ready, deliver func([]*schemas.Transfer, []*schemas.Control)) {
	w.journal = append(w.journal, r.JournalBytes)
	w.out = append(w.out, r.Out...)
	if deliver != nil {
		deliver(r.Transfers, r.Controls)
	}
}

func (w *world) apply(r *Ready) error {
	r.Position.JournalNext = schemas.Offset(r.Sequence)
	if err := w.store.Apply(r.Batch, &r.Position); err != nil {
		return err
	}
	w.core.Applied(r.Sequence)
	return nil
}

// restore makes the core from the store and replays the journal's tail.
func (w *world) restore() (replayed int, err error) {
	if err := w.fresh(); err != nil {
		return 0, err
	}
	from := w.core.Position().Sequence
	if from > int64(len(w.journal)) {
		return 0, fmt.Errorf("the store is at %d, ahead of the journal's %d", from, len(w.journal))
	}
	if from > 0 && w.core.Position().Hash != xxhash.Sum64(w.journal[from-1]) {
		return 0, errors.New("the store belongs to another journal")
	}
	for _, b := range w.journal[from:] {
		if err := w.replay(b); err != nil {
			return replayed, err
		}
		replayed++
	}
	return replayed, nil
}

// replay does again what a journal record says and checks that the same comes out.
func (w *world) replay(b []byte) error {
	j, err := schemas.DecodeJournal(b)
	if err != nil {
		return err
	}
	if got := w.core.Position().Hash; uint64(j.PreviousHash) != got {
		return fmt.Errorf("journal %d: previous hash %x, the state has %x", j.Sequence, uint64(j.PreviousHash), got)
	}
	w.core.SetReplay(true)
	defer func() {
		if w.core != nil {
			w.core.SetReplay(false)
		}
	}()
	var counts [schemas.Inputs]int64
	for i := range j.Items {
		it := &j.Items[i]
		switch it.Kind {
		case schemas.MergeItem, schemas.RunItem:
			counts[it.Input] = it.Count
			if it.Kind == schemas.MergeItem {
				continue
			}
			recs := w.merge(counts)
			for k := range recs {
				if recs[k].Dead != nil {
					recs[k].Dead = &Dead{recs[k].Dead.Step, recs[k].Dead.Reason, "as the journal says"}
				}
			}
			n, err := w.lend(recs, it.Wall)
			if err != nil {
				return err
			}
			if n != len(recs) {
				return fmt.Errorf("journal %d: took %d of %d (%s)", j.Sequence, n, len(recs), w.core.Blocked())
			}
			counts = [schemas.Inputs]int64{}
		default:
			if err := w.core.Replay(it); err != nil {
				return fmt.Errorf("journal %d: %w", j.Sequence, err)
			}
		}
	}
	r := w.core.Ready()
	if r == nil {
		return fmt.Errorf("journal %d: nothing done", j.Sequence)
	}
	if r.Sequence != j.Sequence || r.Journal.Triggers != j.Triggers || r.Journal.TriggerHash != j.TriggerHash || r.Journal.Clock != j.Clock {
		return fmt.Errorf("journal %d: it published %d with hash %x at clock %d, the replay %d with %x at %d",
			j.Sequence, j.Triggers, uint64(j.TriggerHash), j.Clock, r.Journal.Triggers, uint64(r.Journal.TriggerHash), r.Journal.Clock)
	}
	if !slices.EqualFunc(r.Journal.Items, j.Items, sameItem) {
		return fmt.Errorf("journal %d: items %v, the replay has %v", j.Sequence, j.Items, r.Journal.Items)
	}
	w.core.Adopt(r, b)
	return w.apply(r)
}

func sameItem(a, b schemas.JournalItem) bool {
	return a.Kind == b.Kind && a.Input == b.Input && a.End == b.End && a.Count == b.Count && a.Wall == b.Wall && a.To == b.To && string(a.Place) == string(b.Place)
}

// crash loses the core, and of what was not synced all but about percent.
func (w *world) crash(percent int, rng *rand.Rand) error {
	after := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	if err := w.close(); err != nil {
		return err
	}
	w.fs = after
	return w.open()
}

// dump is the whole store, but for what only says which owner wrote it.
func (w *world) dump() (map[string]string, error) {
	all := map[string]string{}
	err := w.store.EachKey(func(k, v []byte) error {
		all[string(k)] = string(v)
		return nil
	})
	return all, err
}
