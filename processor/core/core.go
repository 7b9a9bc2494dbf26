package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
	"tidemark/processor/facts"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// Errors that end a task until an operator acts.
var (
	ErrNoPlaybook = errors.New("core: an event came before any playbook; the control topic must hold a playbook first")
	ErrNoGenesis  = errors.New("core: an event came before the genesis record of the control topic")
	ErrPartitions = errors.New("core: the partition count differs from the one in the control topic")
	// ErrControl: a record of the control or transfers topic can't be taken, and no
	// later one may be taken before it.
	ErrControl = errors.New("core: a record of an internal topic can't be taken; it may need a newer binary")
	// ErrInvariant: the state contradicts itself.
	ErrInvariant = errors.New("core: an invariant is broken; keep the store and the topics, and report this")
	ErrEngine    = errors.New("core: the store or journal was written by another engine version")
	errBadTimer  = errors.New("core: a timer key of the store is damaged")
)

// Core is one task. It is not safe for concurrent use.
type Core struct {
	cfg         Config
	rd          Reader
	pb          *playbook.Playbook
	zone        history.Zone
	pos         state.Position
	ts          taskState
	rule        []rule // in the order in which they are evaluated
	churn       []*churnRule
	recalls     []*recallRule
	group       *group // rules of phases; nil: none
	moments     []*momentRule
	sops        []*sopRule
	sopsOn      map[uint32][]*sopRule // by the rule that begins them
	reports     history.Stream        // what the staff said of steps
	experiments []*experimentRule
	books       map[uint32]*experimentRule // by the rule that has the experiment
	sums        []armSums                  // of experiments, in order of rule and arm
	sumsDirty   bool
	ledgers     []*bookRule
	given       bool             // a rule gave units since the books settled
	denied      []uint64         // events that asked for more than there was
	rebooked    bool             // totals of the books changed since the last Ready
	tasks       []*taskRule      // each after those that it waits for
	keptStreams map[uint32]bool  // whose latest mark by key never leaves the row
	touching    *touching        // nil: the playbook has no touch policy
	identity    uint32           // of identityRule in the dictionary; 0: nobody was ever erased
	zoneFact    *facts.Fact      // nil: customers have no time zone of their own
	places      map[string]place // by name
	streams     streams          // what marks are kept of
	resized     map[int]bool     // rules of the group whose sizes changed since the last Ready
	omit        map[string]bool  // item categories that earn no growth value
	tsDirty     bool
	spilled     map[string]spilledValue
	wall        schemas.EventTime

	cache  cache
	timers timers
	hist   map[histKey]*histogram
	dirty  []*entry // touched since the last Ready

	// Since the last Ready.
	items    []schemas.JournalItem
	dead     []schemas.DeadMark
	out      []Out
	outBytes int
	moves    []*schemas.Transfer
	controls []*schemas.Control
	starts   [schemas.Inputs]schemas.Offset
	ops      []state.Op
	erasures []Erasure
	taken    int
	units    int
	stats    Stats

	forcedUnits int                  // replay: stop after exactly so many; < 0: the budget decides
	idle        bool                 // the last tick journaled did nothing
	accepted    [2]schemas.EventTime // the largest occurred_at of the events accepted since New, by input
	waking      schemas.EventTime    // the timer that fires now, 0 outside: see reached
	did         int                  // units of the advance under way that no journal item tells of yet
	blocked     string
	deadRun     int      // dead letters in a row
	lastDead    string   // what was wrong with the last of them
	sweepIDs    []string // read ahead for the sweep under way
	sweepAhead  int      // sweepChunk, smaller in tests
	quiet       bool     // rules move and nothing is published
	fault       error    // an invariant that broke; final
	trace       []byte   // of the record at hand
	work        scratch
}

// scratch holds buffers that are used again and again.
type scratch struct {
	key, row []byte
	ids      []string
	id       []byte
	body     []byte
	page     []byte   // what is left of it is for the bytes of the next triggers
	found    []*entry // the customer of each record of the batch under way
	here     *entry   // that of the record at hand; nil: not known
	sorter   sorter
	warmth   uint64
	timers   state.Batch       // the timers of the Ready that is made
	upTo     schemas.EventTime // to where the batch under way moves the clock; 0: nowhere
	batch    int               // bytes of the last Ready's rows and timers
	outs     int               // what the last Ready published
}

// Stats counts what one Ready did, for metrics.
type Stats struct {
	Events, Repeats, Timers, Swept int64
	Forgotten                      int64 // events that occurred before their customer was erased
	Forwarded                      int64 // events of aliases
	Dead                           []DeadCount
	Sizes                          []PhaseSize       // of the rules of phases that changed
	Books                          []BookSum         // if they changed
	TimerLate                      schemas.EventTime // how long after its due the latest timer fired, by the wall of the tick
}

// DeadCount counts dead letters by reason.
type DeadCount struct {
	Reason string
	N      int64
}

// New makes the task from the state that rd holds at pos.
func New(cfg Config, rd Reader, pos state.Position) (*Core, error) {
	if cfg.Generation == 0 {
		cfg.Generation = 1
	}
	c := &Core{cfg: cfg, rd: rd, pos: pos, cache: newCache(cfg.CacheBytes), hist: map[histKey]*histogram{}, forcedUnits: -1}
	c.timers.all, c.timers.chunk, c.timers.limit = cfg.CacheBytes < 0, timerChunk, timerLimit
	c.sweepAhead = sweepChunk
	c.pos.Generation, c.pos.Task, c.pos.Engine = cfg.Generation, cfg.Task, Engine
	c.starts = c.pos.Inputs
	if err := c.loadTask(); err != nil {
		return nil, err
	}
	return c, nil
}

// Position is where the task stands, what is not yet in a Ready included.
func (c *Core) Position() state.Position { return c.pos }

// Clock is the task's time.
func (c *Core) Clock() schemas.EventTime { return c.pos.Clock }

// Playbook is the version in force; nil before the first.
func (c *Core) Playbook() *playbook.Playbook { return c.pb }

// Blocked says what the task waits for before it can take more; "" if nothing.
func (c *Core) Blocked() string { return c.blocked }

// Refused says how many records in a row were dead letters, and what was wrong
// with the last.
func (c *Core) Refused() (inARow int, last string) { return c.deadRun, c.lastDead }

// Pausing says whether so many records in a row were dead letters that the
// playbook wants the task to pause. Take stops there, and takes no more, if
// Config.PauseOnDead asks for it; where it stops changes nothing of what is said.
func (c *Core) Pausing() bool {
	return c.cfg.PauseOnDead && c.forcedUnits < 0 && c.pb != nil && c.pb.PauseAfterDead > 0 && c.deadRun >= c.pb.PauseAfterDead
}

func (c *Core) refused(d *Dead) {
	c.deadRun++
	c.lastDead = d.Step + ": " + d.Reason + ": " + d.Detail
}

// Accepted is the largest occurred_at of the events of an input that were not
// refused, since New; 0: none. What was refused for its date must move nothing.
func (c *Core) Accepted(k schemas.Kind) schemas.EventTime { return c.accepted[k] }

// Pending says how much waits for a Ready: records taken, records to publish.
func (c *Core) Pending() (taken, publish int) {
	return c.taken, len(c.out) + len(c.moves) + len(c.controls)
}

// Touched is how many customers the next Ready changes.
func (c *Core) Touched() int { return len(c.dirty) }

// Sweeping says whether a sweep is under way.
func (c *Core) Sweeping() bool { return len(c.ts.Sweeps) > 0 }

// FireFrom is the instant from which triggers are published; false before genesis.
func (c *Core) FireFrom() (schemas.EventTime, bool) { return c.ts.FireFrom, c.ts.Genesis }

func (c *Core) over() bool {
	if c.forcedUnits >= 0 {
		return false
	}
	b := &c.cfg.Budget
	return b.Triggers > 0 && len(c.out)+len(c.moves) >= b.Triggers ||
		b.Bytes > 0 && c.outBytes >= b.Bytes ||
		b.Units > 0 && c.units >= b.Units ||
		b.Records > 0 && c.taken >= b.Records
}

// Take takes records in their order, all of one merge: control and transfers
// as they come, events by (occurred_at, orders before behaviors). wall is when
// the latest of them was fetched. It returns how many were taken; fewer than
// all when the budget is spent (then a Ready is due) or when Blocked.
// An error is final: the Core must be thrown away. Of records and their events it
// keeps strings and bytes, and no pointer into recs, an Event or a Raw: a caller may
// use these again.
func (c *Core) Take(recs []Record, wall schemas.EventTime) (int, error) {
	if err := c.prefetch(recs); err != nil {
		return 0, err
	}
	c.blocked = ""
	c.wall = wall
	var counts [schemas.Inputs]int64
	n := 0
	var err error
	found := c.work.found
	c.work.upTo = 0
	if len(recs) > 0 && c.pb != nil && c.pb.Clock == playbook.Input {
		c.work.upTo = recs[len(recs)-1].occurredAt() // events of a history move the clock
	}
	for ; n < len(recs); n++ {
		if n%warmed == 0 {
			c.work.warmth += warm(found[n:min(n+warmed, len(recs))])
		}
		if c.over() || c.Pausing() {
			break
		}
		r := &recs[n]
		c.work.here = found[n]
		var ok bool
		if ok, err = c.one(r); err != nil || !ok {
			break
		}
		counts[r.Input]++
		c.taken++
		c.pos.Inputs[r.Input] = r.Offset + 1
	}
	c.work.here, c.work.upTo = nil, 0
	clear(found) // what is let go from memory must not be held here
	c.closeRun(counts, wall)
	if err == nil && n < len(recs) {
		err = c.partial(recs[n].occurredAt(), wall)
	}
	return n, err
}

// closeRun journals what was taken as one merge.
func (c *Core) closeRun(counts [schemas.Inputs]int64, wall schemas.EventTime) {
	last := -1
	for i := range counts {
		if counts[i] > 0 {
			last = i
		}
	}
	for i := range counts {
		if counts[i] == 0 {
			continue
		}
		kind := schemas.MergeItem
		if i == last {
			kind = schemas.RunItem
		}
		item := schemas.JournalItem{Kind: kind, Input: schemas.Input(i), End: c.pos.Inputs[i], Count: counts[i], Wall: wall}
		// A run that goes on where the last left off, under one wall time, is one run.
		if k := len(c.items) - 1; kind == schemas.RunItem && counts[i] > 0 && k >= 0 && onlyOne(counts) &&
			c.items[k].Kind == schemas.RunItem && c.items[k].Input == item.Input && c.items[k].Wall == wall && (k == 0 || c.items[k-1].Kind != schemas.MergeItem) {
			c.items[k].End = item.End
			c.items[k].Count += item.Count
			return
		}
		c.items = append(c.items, item)
	}
}

func onlyOne(counts [schemas.Inputs]int64) bool {
	n := 0
	for _, c := range counts {
		if c > 0 {
			n++
		}
	}
	return n == 1
}

func (r *Record) occurredAt() schemas.EventTime {
	if r.Event == nil {
		return 0
	}
	return r.Event.OccurredAt
}

// one takes one record; false: it must wait.
func (c *Core) one(r *Record) (bool, error) {
	c.trace = r.Trace
	defer func() { c.trace = nil }()
	switch {
	case r.Dead != nil:
		c.dead = append(c.dead, schemas.DeadMark{Input: r.Input, Offset: r.Offset, Step: r.Dead.Step, Reason: r.Dead.Reason})
		c.deadLetter(r, r.Dead)
		c.refused(r.Dead)
		return true, nil
	case r.Control != nil:
		if err := c.control(r.Control); err != nil {
			return true, fmt.Errorf("%w: %s %q at offset %d: %w", ErrControl, r.Control.Kind, r.Control.Name, r.Offset, err)
		}
		return true, nil
	case r.Transfer != nil:
		if err := c.transfer(r.Transfer); err != nil {
			return true, fmt.Errorf("%w: transfer of task %d at offset %d: %w", ErrControl, r.Transfer.FromTask, r.Offset, err)
		}
		return true, nil
	}
	if !c.ts.Genesis {
		return false, ErrNoGenesis
	}
	if c.pb == nil {
		return false, ErrNoPlaybook
	}
	e := r.Event
	if d := c.validate(e); d != nil {
		c.deadLetter(r, d)
		c.refused(d)
		return true, nil
	}
	c.deadRun = 0
	c.accepted[e.Kind] = max(c.accepted[e.Kind], e.OccurredAt)
	if c.pb.Clock == playbook.Input {
		done, err := c.advance(e.OccurredAt, false)
		if err != nil || !done {
			return false, err
		}
	}
	if err := c.event(r, e); err != nil {
		return false, err
	}
	return true, c.fault
}

// Tick moves the clock to to, firing what is due by then. wall is the wall time
// at which the caller may do so. It returns false if it stopped before: the
// budget is spent (a Ready is due), or Blocked.
func (c *Core) Tick(to, wall schemas.EventTime) (bool, error) {
	if c.pb == nil || !c.ts.Genesis || to < c.pos.Clock || to == c.pos.Clock && c.pos.Fired >= to {
		return true, nil // at the clock itself what is due may still wait for the events of that instant
	}
	c.blocked = ""
	c.wall = wall
	before := c.units
	done, err := c.advance(to, true)
	if err != nil {
		return false, err
	}
	if !done {
		return false, c.partial(to, wall)
	}
	c.journalTick(to, wall, nil)
	c.idle = c.units == before
	return true, c.fault
}

// Publishes says whether anything but the position waits for the next Ready.
func (c *Core) Publishes() bool { return len(c.out)+len(c.moves)+len(c.controls) > 0 }

// prefetch brings the customers of a batch into memory, read in key order, and
// leaves in work.found the customer of each record; nil: a record of no event.
func (c *Core) prefetch(recs []Record) error {
	ids := c.work.ids[:0]
	found := slices.Grow(c.work.found[:0], len(recs))[:len(recs)]
	c.work.found = found
	for i := range recs {
		found[i] = nil
		if e := recs[i].Event; e != nil {
			if found[i] = c.cache.get(e.CustomerID); found[i] == nil {
				ids = append(ids, e.CustomerID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	c.work.sorter.strings(ids)
	ids = slices.Compact(ids)
	c.work.ids = ids
	if err := c.load(ids); err != nil {
		return err
	}
	for i := range recs {
		if e := recs[i].Event; e != nil && found[i] == nil {
			found[i] = c.cache.get(e.CustomerID)
		}
	}
	return nil
}

// load brings customers into memory; a new one is made where the store has none.
func (c *Core) load(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return c.rd.Rows(ids, func(i int, row []byte) error {
		e := c.cache.fresh()
		e.ID = strings.Clone(ids[i])
		if row != nil {
			if err := state.DecodeRow(&e.Customer, row); err != nil {
				return fmt.Errorf("core: customer row: %w", err)
			}
			e.storedWake, e.known = int64(e.Wake), true
			if err := c.recollect(e); err != nil {
				return err
			}
		} else if err := c.remember(e); err != nil {
			return err
		}
		c.cache.put(e)
		return nil
	})
}

func (c *Core) customer(id string) (*entry, error) {
	if e := c.cache.get(id); e != nil {
		return e, nil
	}
	if err := c.load([]string{id}); err != nil {
		return nil, err
	}
	return c.cache.get(id), nil
}

func (c *Core) touch(e *entry) {
	if !e.known {
		e.known = true
		c.sweepIDs = nil // read ahead without this customer
	}
	if !e.dirty {
		e.dirty = true
		c.dirty = append(c.dirty, e)
	}
}

// hash is the keyed 64-bit hash of an id.
func (c *Core) hash(kind byte, id string) uint64 {
	b := append(c.work.id[:0], kind)
	b = append(b, c.pb.Salt...)
	b = append(b, 0)
	b = append(b, id...)
	c.work.id = b
	return xxhash.Sum64(b)
}

// Zero is the position of a task that took nothing yet.
func Zero() state.Position { return state.Position{} }
