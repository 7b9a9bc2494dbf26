package replay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/schemas"
)

// Options of one replay.
type Options struct {
	App        string
	Playbook   *playbook.Playbook // its clock must be input
	Partitions int32
	// Partition gives a key its partition; the brokers' own partitioner.
	Partition func(key []byte, n int32) int32
	// Until is where the closing tick goes; 0: to the last event.
	Until schemas.EventTime
	// FireFrom and Start as in core.Genesis. Start 0: the first event.
	FireFrom, Start schemas.EventTime
	// Wall is the wall time that every fetch is said to have.
	Wall schemas.EventTime
	// Emit takes what a task publishes, in order. It must not keep out.
	Emit func(task int32, out *core.Out) error
	// Chunk is how many events are read between two deliveries; default 4096.
	// It changes the order between customers and nothing else.
	Chunk int
	// Together runs do(0) to do(n-1) and returns when all are done: on several
	// processors, if it likes. What is published and in which order is the same,
	// since tasks hand their messages over between two such calls. Nil: one after
	// the other.
	Together func(n int, do func(i int))
}

// ErrClock means that the playbook is for a live feed.
var ErrClock = errors.New("replay: the playbook says clock: live; a replay of files needs clock: input")

// Result is what a replay did.
type Result struct {
	Events, Repeats, Dead, Triggers int64
	First, Last, Until              schemas.EventTime
	Tasks                           []*core.Core
}

type task struct {
	core  *core.Core
	queue []core.Record
	at    int // of queue: what is not taken yet
	inbox []core.Record
	next  [schemas.Inputs]schemas.Offset

	// Of the round under way, which the task alone works on.
	decided []*core.Ready
	moved   bool
	waiting string
	err     error
}

type run struct {
	o     Options
	tasks []*task
	res   *Result
	ctrl  []*schemas.Control // all so far
	moves int64
}

// Run replays what next gives, until io.EOF.
func Run(ctx context.Context, o Options, next func() (*schemas.Event, error)) (*Result, error) {
	if o.Playbook.Clock != playbook.Input {
		return nil, ErrClock
	}
	if o.Partitions <= 0 {
		o.Partitions = 1
	}
	if o.Chunk <= 0 {
		o.Chunk = 4096
	}
	if o.Together == nil {
		o.Together = func(n int, do func(int)) {
			for i := range n {
				do(i)
			}
		}
	}
	r := &run{o: o, res: &Result{}}
	first, err := next()
	if err != nil && err != io.EOF {
		return nil, err
	}
	if first != nil && o.Start == 0 {
		o.Start = first.OccurredAt
	}
	for i := range o.Partitions {
		c, err := core.New(core.Config{App: o.App, Task: i, Tasks: o.Partitions, CacheBytes: -1, Writer: "replay", Partition: o.Partition,
			Budget: core.Budget{Triggers: 50_000}}, core.Empty{}, core.Zero())
		if err != nil {
			return nil, err
		}
		r.tasks = append(r.tasks, &task{core: c})
		r.res.Tasks = append(r.res.Tasks, c)
	}
	if err := r.broadcast(core.NewGenesis(core.Genesis{FireFrom: o.FireFrom, Start: o.Start, Partitions: o.Partitions}, "replay", 0)); err != nil {
		return nil, err
	}
	if err := r.broadcast(core.NewPlaybook(o.Playbook, "replay", 0)); err != nil {
		return nil, err
	}
	ev := first
	for ev != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := 0
		for ; n < o.Chunk && ev != nil; n++ {
			if r.res.First == 0 && r.res.Events == 0 {
				r.res.First = ev.OccurredAt
			}
			r.res.Last = max(r.res.Last, ev.OccurredAt)
			r.res.Events++
			p := int32(0)
			if o.Partition != nil && o.Partitions > 1 {
				p = o.Partition([]byte(ev.CustomerID), o.Partitions)
			}
			t := r.tasks[p]
			in := schemas.OrderEvents
			if ev.Kind == schemas.Behavior {
				in = schemas.BehaviorEvents
			}
			t.queue = append(t.queue, core.Record{Input: in, Offset: t.next[in], Event: ev,
				Raw: &core.Raw{Topic: in.String(), Partition: p, Key: []byte(ev.CustomerID)}})
			t.next[in]++
			if ev, err = next(); err == io.EOF {
				ev = nil
			} else if err != nil {
				return nil, err
			}
		}
		// All events before the next one's time are known: every task may go up to there.
		upTo := r.res.Last
		if ev != nil {
			upTo = ev.OccurredAt - 1
		}
		if err := r.pump(upTo, ev == nil); err != nil {
			return nil, err
		}
	}
	r.res.Until = max(o.Until, r.res.Last)
	if o.Until != 0 && o.Until < r.res.Last {
		return nil, fmt.Errorf("replay: until %d is before the last event at %d", o.Until, r.res.Last)
	}
	if err := r.pump(r.res.Until, true); err != nil {
		return nil, err
	}
	return r.res, nil
}

// pump runs all tasks as far as they come, carrying messages between them: round
// by round, in each of which every task goes as far as it can by itself.
func (r *run) pump(upTo schemas.EventTime, end bool) error {
	for {
		r.o.Together(len(r.tasks), func(i int) { r.tasks[i].round(upTo, r.o.Wall) })
		progress, waiting := false, ""
		for i, t := range r.tasks {
			if err := r.deliver(int32(i), t); err != nil {
				return err
			}
			if t.err != nil {
				return fmt.Errorf("task %d: %w", i, t.err)
			}
			progress = progress || t.moved
			if t.waiting != "" {
				waiting = t.waiting
			}
		}
		if !progress {
			if waiting != "" && end {
				return fmt.Errorf("replay: no task can go on; it waits for %s", waiting)
			}
			return nil
		}
	}
}

// round runs a task until it is done or waits, and keeps what it decided.
func (t *task) round(upTo, wall schemas.EventTime) {
	t.moved, t.waiting = false, ""
	for {
		moved, done, err := t.one(upTo, wall)
		if err != nil {
			t.err = err
			return
		}
		rd := t.core.Ready()
		if rd != nil {
			t.core.Applied(rd.Sequence)
			t.decided = append(t.decided, rd)
		}
		t.moved = t.moved || moved || rd != nil
		if done {
			return
		}
		if !moved && rd == nil {
			t.waiting = t.core.Blocked()
			return
		}
	}
}

// one gives a task what it may take; done: it took all and ticked to upTo.
func (t *task) one(upTo, wall schemas.EventTime) (moved, done bool, err error) {
	if len(t.inbox) > 0 {
		n, err := t.core.Take(t.inbox, wall)
		t.inbox = t.inbox[n:]
		if err != nil || n > 0 {
			return n > 0, false, err
		}
	}
	if t.at < len(t.queue) {
		n, err := t.core.Take(t.queue[t.at:], wall)
		t.at += n
		if err != nil || t.at < len(t.queue) {
			return n > 0, false, err
		}
		t.queue, t.at = t.queue[:0], 0
		return true, false, nil
	}
	before := t.core.Clock()
	done, err = t.core.Tick(upTo, wall)
	return t.core.Clock() > before, done, err
}

// deliver carries out what a task decided in a round.
func (r *run) deliver(i int32, t *task) error {
	for _, rd := range t.decided {
		if err := r.flush(i, rd); err != nil {
			return err
		}
	}
	clear(t.decided)
	t.decided = t.decided[:0]
	return nil
}

// flush carries out what one Ready holds.
func (r *run) flush(i int32, rd *core.Ready) error {
	r.res.Repeats += rd.Stats.Repeats
	for _, d := range rd.Stats.Dead {
		r.res.Dead += d.N
	}
	for k := range rd.Out {
		r.res.Triggers++
		if r.o.Emit != nil {
			if err := r.o.Emit(i, &rd.Out[k]); err != nil {
				return err
			}
		}
	}
	for _, m := range rd.Transfers {
		to := r.tasks[m.ToTask]
		to.inbox = append(to.inbox, core.Record{Input: schemas.TransferInput, Offset: to.next[schemas.TransferInput], Transfer: m})
		to.next[schemas.TransferInput]++
	}
	for _, m := range rd.Controls {
		if err := r.broadcast(m); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) broadcast(m *schemas.Control) error {
	for _, t := range r.tasks {
		t.inbox = append(t.inbox, core.Record{Input: schemas.ControlInput, Offset: t.next[schemas.ControlInput], Control: m})
		t.next[schemas.ControlInput]++
	}
	return nil
}
