package runtime

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/sinks"
	"tidemark/state"
	"tidemark/telemetry"
)

// life is one life of a task: from the initialisation of its transactional ids
// to the first outcome that is not a definite success.
type life struct {
	cfg     *Config
	task    int32
	ids     *schemaIDs
	readers *readers
	shelf   *shelf
	store   *state.Store // the shelf's
	prod    *sinks.Producer
	fetch   *source.Fetcher
	client  *source.Client
	core    *core.Core
	q       queues
	batch   []core.Record

	chunks  chan chunk
	failed  chan error
	commits chan job
	results chan result
	probes  chan probe
	spare   chan *slab             // spent slabs, for the reader
	nudge   chan struct{}          // what the reader waits for has changed
	waits   atomic.Pointer[string] // what that is; nil or "": nothing

	inflight  bool
	targets   map[schemas.Topic]target // the committer's
	linger    *time.Timer
	lingerAt  time.Time // since when triggers wait for company
	gatherAt  time.Time // since when a batch is gathered
	phases    *phases
	ending    <-chan struct{}
	lastFlush time.Time
	probe     probe // the last one; its zero value: none yet
	ticked    schemas.EventTime
	finished  bool
	told      bool // a commit has said so
	caughtUp  bool
	counts    [schemas.Inputs]int
	traces    [][]byte
	sent      [schemas.Inputs]int
	stop      func() // ends the reader
	watch     func() // ends the life before its loop when the store breaks
	ranBefore func(ctx context.Context, task int32) (string, error)
	skew      *skew          // of the clocks; nil: not looked at
	journal   schemas.Offset // a lower bound of where the journal goes on
	landings  int            // commits of this life
	status    string
	reach     reach
	epoch     int32 // of the producer, in this life
	committed func(task int32, in [schemas.Inputs]schemas.Offset)

	seek       bool          // the input is gone: restore only from a checkpoint beyond the store
	looked     bool          // and that was looked for
	saving     chan struct{} // one checkpoint of the process at a time
	uploads    *rate.Limiter
	rewriteDue time.Time // when the store is to be rewritten without erased customers; zero: never
	rewritten  core.Rewritten
	lastCommit atomic.Int64 // when the last commit of this life landed, epoch milliseconds; 0: none yet
}

// probe is what the ends of the inputs were, asked for after wall was read.
type probe struct {
	wall schemas.EventTime
	ends [2]schemas.Offset // of orders and behaviors
	ok   bool
}

// job is a Ready on its way, with the traces of some of the records in it.
type job struct {
	ready  *core.Ready
	traces [][]byte
}

// linked bounds the traces that a batch's span links to.
const linked = 32

type result struct {
	ready *core.Ready
	err   error
	took  time.Duration
}

// run is one life. It returns nil only when ctx ended.
func (l *life) run(ctx context.Context) (err error) {
	l.set(telemetry.Restoring, "taking the transactional ids over")
	whole, cancel := l.heed(ctx)
	defer cancel()
	if err := l.prod.Init(whole); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	defer l.hangUp()
	l.set(telemetry.Restoring, "reading the journal")
	if err := l.restore(whole, false); err != nil {
		return err
	}
	if l.cfg.Drain {
		l.set(telemetry.Running, "")
		<-whole.Done()
		return nil
	}
	l.epoch = int32(l.prod.Epoch())
	l.core.SetEpoch(l.epoch)

	inner, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go l.commit(inner, done)
	probed := make(chan struct{})
	go l.prober(inner, probed)
	saved := make(chan struct{})
	go l.checkpoints(inner, saved)
	defer func() {
		end()
		close(l.commits)
		<-done
		<-probed
		<-saved
	}()
	l.set(telemetry.Running, "")
	l.ending = ctx.Done()
	return l.loop(ctx)
}

// hangUp ends reading and its connections.
func (l *life) hangUp() {
	if l.stop != nil {
		l.stop()
	}
	if l.fetch != nil {
		l.fetch.Close()
	}
	if l.client != nil {
		l.client.Close()
	}
}

// follow is a life as a standby: the store follows the journal of another
// process's task, so that a take-over finds it nearly there. It publishes nothing.
func (l *life) follow(ctx context.Context) error {
	defer l.hangUp()
	l.set(telemetry.Restoring, "a standby, reading the journal")
	whole, cancel := l.heed(ctx)
	defer cancel()
	return l.restore(whole, true)
}

func (l *life) set(state telemetry.State, detail string) {
	if why := l.shelf.stalled(); why != "" {
		state, detail = telemetry.Paused, why
	}
	key := fmt.Sprint(state, detail, l.shelf.told.Load())
	if key == l.status {
		return
	}
	l.status = key
	l.cfg.Telemetry.Tasks.Set(l.task, telemetry.TaskStatus{State: state, Detail: detail, Since: l.cfg.Now()})
	if l.cfg.OnState != nil {
		l.cfg.OnState(l.task, fmt.Sprint(state), detail)
	}
}

// reader fetches and decodes until ctx ends.
func (l *life) reader(ctx context.Context) {
	d := &decoder{cfg: l.cfg, readers: l.readers, task: l.task, spare: l.spare, waits: func(why string) {
		if why != "" {
			l.cfg.Log.Warn("waiting", "task", l.task, "for", why)
		}
		l.waits.Store(&why)
		select {
		case l.nudge <- struct{}{}:
		default:
		}
	}}
	names := map[string]schemas.Input{}
	for i := range schemas.Inputs {
		names[l.cfg.Topics.input(i)] = i
	}
	for {
		got, err := l.fetch.Poll(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			select {
			case l.failed <- err:
			case <-ctx.Done():
			}
			return
		}
		for i := range got {
			c, err := d.decode(ctx, names[got[i].Topic], &got[i])
			if err != nil {
				return // ctx ended
			}
			l.fetch.Reuse(got[i].Records)
			select {
			case l.chunks <- c:
			case <-ctx.Done():
				return
			}
		}
	}
}

// prober asks for the ends of the inputs again and again. The wall is read
// before the ends are asked for: what is committed later can't have been due.
func (l *life) prober(ctx context.Context, done chan struct{}) {
	defer close(done)
	parts := []source.TopicPartition{{Topic: l.cfg.Topics.Orders, Partition: l.task}, {Topic: l.cfg.Topics.Behaviors, Partition: l.task}}
	t := time.NewTicker(l.cfg.ProbeEvery)
	defer t.Stop()
	for {
		p := probe{wall: l.cfg.wall()}
		ends, err := l.client.EndOffsets(ctx, parts, true)
		if err == nil {
			l.reach.answered()
			p.ok = true
			for i := range p.ends {
				p.ends[i] = schemas.Offset(ends[parts[i]])
			}
			select {
			case l.probes <- p:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() == nil {
			l.cfg.Log.Warn("asking for the ends of the inputs failed", "task", l.task, "err", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// loop owns the core.
func (l *life) loop(ctx context.Context) error {
	l.linger = time.NewTimer(time.Hour)
	defer l.linger.Stop()
	beat := time.NewTicker(min(l.cfg.IdleDelay, time.Second) / 4)
	defer beat.Stop()
	l.cfg.Telemetry.Metrics.StoreBytes(l.task, int64(l.store.Size()))
	for beats := 0; ; {
		if err := l.work(ctx); err != nil {
			return err
		}
		select {
		case c := <-l.chunks:
			l.accept(&c)
		case p := <-l.probes:
			l.probe = p
			for i := range p.ends {
				l.q[i].end = max(l.q[i].end, p.ends[i])
			}
		case r := <-l.results:
			if err := l.landed(r); err != nil {
				return err
			}
		case err := <-l.failed:
			return lost(err)
		case <-l.store.Failed():
			return l.store.Err()
		case <-l.nudge:
		case <-l.linger.C:
		case <-beat.C:
			if l.rewriteIsDue() {
				return l.endToRewrite()
			}
			if beats++; beats%40 == 0 {
				l.cfg.Telemetry.Metrics.StoreBytes(l.task, int64(l.store.Size()))
			}
		case <-ctx.Done():
			return l.last()
		}
		for more := true; more; { // everything that came meanwhile
			select {
			case c := <-l.chunks:
				l.accept(&c)
			default:
				more = false
			}
		}
	}
}

func (l *life) accept(c *chunk) {
	q := &l.q[c.input]
	q.add(c)
	if !q.held && q.full(l.cfg.QueueRecords, l.cfg.QueueBytes) {
		q.held = true
		l.fetch.Pause(l.cfg.Topics.input(c.input), l.partitionOf(c.input))
	}
	l.cfg.Telemetry.Metrics.InputLag(l.task, c.input, int64(max(c.end-c.next, 0))+int64(q.waiting()))
}

func (l *life) partitionOf(in schemas.Input) int32 {
	if in == schemas.ControlInput {
		return 0
	}
	return l.task
}

// takeAtOnce is how many records are handed to the core at a time. The rows of
// their customers are read in one pass: the more, the less each costs.
const takeAtOnce = 32768

// work takes what is there, ticks, and commits what is due.
func (l *life) work(ctx context.Context) error {
	if why := l.shelf.stalled(); why != "" { // what can't be kept is not taken
		l.set(telemetry.Paused, why)
		return nil
	}
	for ctx.Err() == nil {
		pb := l.core.Playbook()
		if _, ok := l.core.FireFrom(); !ok {
			pb = nil // no genesis yet
		}
		if pb != nil {
			l.q[schemas.OrderEvents].screen(pb.MaxEventBytes)
			l.q[schemas.BehaviorEvents].screen(pb.MaxEventBytes)
		}
		if l.gathering(time.Now()) {
			break
		}
		l.batch = l.q.merge(l.batch[:0], takeAtOnce, pb != nil)
		if len(l.batch) == 0 {
			break
		}
		n, err := l.core.Take(l.batch, l.fetched())
		l.q.took(l.batch[:n])
		if err != nil {
			return err
		}
		for i := range l.batch[:n] {
			l.counts[l.batch[i].Input]++
			if t := l.batch[i].Trace; t != nil && len(l.traces) < linked {
				l.traces = append(l.traces, t)
			}
		}
		l.release()
		l.spent()
		if l.core.Pausing() {
			return l.pause()
		}
		if n < len(l.batch) {
			if why := l.core.Blocked(); why != "" {
				l.set(telemetry.Waiting, why)
				break
			}
			if err := l.flush(true); err != nil {
				return err
			}
			continue
		}
		if l.filled() {
			if err := l.flush(true); err != nil {
				return err
			}
		}
		if err := l.behind(); err != nil {
			return err
		}
		if err := l.poll(); err != nil {
			return err
		}
	}
	if why := l.awaits(); why != "" {
		l.set(telemetry.Waiting, why)
	} else if l.core.Blocked() == "" {
		l.set(telemetry.Running, "")
	}
	if err := l.tick(); err != nil {
		return err
	}
	return l.flush(false)
}

// pause commits what was decided, the dead letters with it, and ends this life
// for good: somebody must look at the producer before the task goes on.
func (l *life) pause() error {
	if err := l.flush(true); err != nil {
		return err
	}
	for l.inflight {
		if err := l.landed(<-l.results); err != nil {
			return err
		}
	}
	n, last := l.core.Refused()
	return fmt.Errorf("%w: %d records in a row were refused, the last for %s; see the topic %s, mend the producer, then restart this process to go on (the playbook's dead_letters.pause_after says how many)",
		ErrDeadLetters, n, last, l.cfg.Topics.Out(schemas.DeadLetters))
}

// poll sees to a commit that landed, without waiting.
func (l *life) poll() error {
	if _, publish := l.core.Pending(); publish > 0 && !l.inflight {
		return l.flush(false)
	}
	select {
	case r := <-l.results:
		return l.landed(r)
	default:
		return nil
	}
}

func (l *life) release() {
	for i := range l.q {
		if q := &l.q[i]; q.held && !q.full(l.cfg.QueueRecords/2, l.cfg.QueueBytes/2) {
			q.held = false
			l.fetch.Resume(l.cfg.Topics.input(schemas.Input(i)), l.partitionOf(schemas.Input(i)))
		}
	}
}

// fetched is the wall time of the latest fetch that a batch may hold records of.
func (l *life) fetched() schemas.EventTime {
	var t schemas.EventTime
	for i := range l.q {
		t = max(t, l.q[i].wall)
	}
	return t
}

// behind moves the clock while the task works through a backlog: to the
// smallest of the largest event times of the inputs not yet read to their end,
// less the allowed disorder. An input at its end puts no bound.
func (l *life) behind() error {
	pb := l.core.Playbook()
	if pb == nil || pb.Clock != playbook.Live || !l.probe.ok {
		return nil
	}
	bound, any := schemas.EventTime(0), false
	for i := range l.probe.ends {
		q := &l.q[i]
		if q.at < len(q.recs) || q.next < l.probe.ends[i] {
			if at := l.core.Accepted(schemas.Kind(i)); !any || at < bound {
				bound, any = at, true
			}
		}
	}
	if !any {
		return nil
	}
	// A date in the future, however wrong, moves no clock past the wall less the disorder.
	// What the probe has not seen may be older than what is here.
	to := min(bound, l.probe.wall) - pb.Disorder
	if to <= l.core.Clock() {
		return nil
	}
	return l.advance(to)
}

// tick moves the clock once everything that was there at a wall time is taken.
func (l *life) tick() error {
	pb := l.core.Playbook()
	if pb == nil || !l.probe.ok {
		return nil
	}
	for i := range l.probe.ends {
		q := &l.q[i]
		if got := q.next; got < l.probe.ends[i] || !q.empty() && q.recs[q.at].Offset < l.probe.ends[i] {
			return nil
		}
	}
	if l.core.Sweeping() && pb.Clock == playbook.Live {
		if _, err := l.core.Sweep(4096, l.cfg.wall()); err != nil {
			return err
		}
	}
	if pb.Clock == playbook.Live {
		to := l.probe.wall - pb.PublishDelay
		if to <= l.core.Clock() || l.probe.wall == l.ticked {
			return nil
		}
		if err := l.advance(to); err != nil {
			return err
		}
		if l.core.Clock() >= to {
			l.ticked = l.probe.wall
		}
		return nil
	}
	// A history: all of it is here. Its end is the closing tick.
	if l.cfg.HistoryEnds != nil {
		// What was there at the very first start is the history. Where nothing was,
		// nothing says that it is complete, and events alone move the clock.
		for i, end := range l.cfg.HistoryEnds[l.task] {
			if l.core.Position().Inputs[i] < end && l.q[i].next < end {
				return nil
			}
		}
	}
	if l.cfg.NoClosing {
		return nil
	}
	until := l.cfg.Until
	for i := range l.probe.ends {
		until = max(until, l.core.Accepted(schemas.Kind(i)))
	}
	if l.finished && until <= l.core.Clock() {
		return nil
	}
	if err := l.advance(max(until, l.core.Clock())); err != nil {
		return err
	}
	if l.core.Blocked() == "" && l.core.Clock() >= until {
		l.finished = true
	}
	return nil
}

// advance ticks, committing whenever the budget is spent.
func (l *life) advance(to schemas.EventTime) error {
	for {
		done, err := l.core.Tick(to, l.cfg.wall())
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		if why := l.core.Blocked(); why != "" {
			l.set(telemetry.Waiting, why)
			return nil
		}
		if err := l.flush(true); err != nil {
			return err
		}
		select {
		case <-l.ending: // the rest is the next owner's
			return nil
		default:
		}
	}
}

// flush hands the core's decisions to the committer. With must it waits for the
// one under way; without, it leaves what is not due.
func (l *life) flush(must bool) error {
	taken, publish := l.core.Pending()
	now := time.Now()
	if !must {
		due := publish > 0 && l.lingered(now) ||
			taken > 0 && now.Sub(l.lastFlush) >= l.cfg.IdleDelay ||
			now.Sub(l.lastFlush) >= l.cfg.BeatDelay ||
			l.finished && !l.told
		if !due || l.inflight || l.far() && now.Sub(l.lastFlush) < patience {
			return nil
		}
	}
	for l.inflight {
		if err := l.landed(<-l.results); err != nil {
			return err
		}
	}
	rd := l.ready()
	if rd == nil {
		if l.finished && !l.told && l.cfg.OnCommit != nil { // nothing was left to do
			l.cfg.OnCommit(l.task, Commit{Sequence: l.core.Position().Sequence, Clock: l.core.Clock(), CaughtUp: l.atEnd(), Finished: true})
		}
		l.told = l.finished
		return nil
	}
	l.told = l.finished
	rd.Position.JournalNext = l.journal // its own record stands there or later
	l.inflight, l.lastFlush, l.lingerAt = true, now, time.Time{}
	l.sent = l.counts
	l.counts = [schemas.Inputs]int{}
	l.caughtUp = l.atEnd()
	l.commits <- job{rd, l.traces}
	l.traces = nil
	return nil
}

// lingered says whether triggers waited long enough for company.
func (l *life) lingered(now time.Time) bool {
	if l.cfg.MaxDelay <= time.Millisecond {
		return true
	}
	if l.lingerAt.IsZero() {
		l.lingerAt = now
		l.linger.Reset(l.cfg.MaxDelay)
	}
	return now.Sub(l.lingerAt) >= l.cfg.MaxDelay
}

func (l *life) atEnd() bool {
	return l.probe.ok && l.q[0].atEnd() && l.q[1].atEnd()
}

// landed sees to the outcome of a commit.
func (l *life) landed(r result) error {
	l.inflight = false
	if r.err != nil {
		return r.err
	}
	rd := r.ready
	l.core.Applied(rd.Sequence)
	if l.skew != nil {
		if err := l.skew.err(); err != nil {
			return err
		}
	}
	// A record may stand before the marker of the commit before it, which has the
	// other transactional id, but never before the marker of the one before that.
	if l.landings++; l.landings == 1 {
		l.journal++
	} else {
		l.journal += 2
	}
	l.core.SetJournalNext(l.journal)
	l.shelf.at.Store(rd.Sequence)
	l.erased(rd)
	l.lastCommit.Store(l.cfg.Now().UnixMilli())
	m := l.cfg.Telemetry.Metrics
	byTopic, kinds := map[schemas.Topic]int{}, map[Kind]int{}
	for i := range rd.Out {
		o := &rd.Out[i]
		byTopic[o.Topic]++
		if l.cfg.OnCommit != nil {
			kinds[Kind{o.Topic, o.Kind, o.Status}]++
		}
		if o.Status != "" {
			m.Triggers(o.Topic, o.Status, 1)
		}
		if o.Topic == schemas.SuppressedTriggers {
			m.Suppressed(o.Kind, 1)
		}
	}
	for _, d := range rd.Stats.Dead {
		m.DeadLetters(d.Reason, int(d.N))
	}
	for i, n := range l.sent {
		if n > 0 {
			m.Batch(l.task, schemas.Input(i), n)
		}
	}
	if rd.Stats.Timers > 0 {
		m.TimersFired(l.task, int(rd.Stats.Timers), time.Duration(rd.Stats.TimerLate)*time.Millisecond)
	}
	l.sizes(rd.Stats.Sizes)
	l.accounts(rd.Stats.Books)
	m.Clock(l.task, rd.Position.Clock)
	if l.committed != nil {
		l.committed(l.task, rd.Position.Inputs)
	}
	if l.cfg.OnCommit != nil {
		l.cfg.OnCommit(l.task, Commit{Sequence: rd.Sequence, Events: rd.Stats.Events, Taken: rd.Taken, Triggers: byTopic, Kinds: kinds,
			Clock: rd.Position.Clock, CaughtUp: l.caughtUp, Finished: l.told, Took: r.took, Customers: rd.Customers})
	}
	return nil
}

// sizes tells how many customers stand where.
func (l *life) sizes(all []core.PhaseSize) {
	for _, s := range all {
		l.cfg.Telemetry.Metrics.InPhase(l.task, s.Block, s.Rule, s.Phase, s.Customers)
	}
}

// last ends a life calmly: what is under way is waited for, and what was
// decided is committed, so that the next owner need not do it again.
func (l *life) last() error {
	for l.inflight {
		if err := l.landed(<-l.results); err != nil {
			return nil // the next owner settles it
		}
	}
	if rd := l.ready(); rd != nil {
		rd.Position.JournalNext = l.journal
		l.inflight = true
		l.commits <- job{rd, l.traces}
		if r := <-l.results; r.err == nil {
			_ = l.landed(r)
		}
	}
	return nil
}
