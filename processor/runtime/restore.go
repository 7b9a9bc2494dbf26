package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/state"
	"tidemark/telemetry"
)

// Errors that stop a task until an operator acts. They are never answered with a reset.
var (
	// ErrJournal: the journal does not fit the store, or itself.
	ErrJournal = errors.New("runtime: the journal does not fit")
	// ErrJournalLost: there is state or there are outputs, and no journal.
	ErrJournalLost = errors.New("runtime: the journal is lost")
	// ErrReplay: replaying the journal gave other triggers than it says were published.
	ErrReplay = errors.New("runtime: a replay of the journal gives other triggers")
	// ErrInputLost: the input no longer holds what the task has to take next.
	ErrInputLost = errors.New("runtime: the input no longer holds the next records")
	// ErrDeadLetters: so many records in a row were refused that going on would
	// only move a backlog to the dead letters. A restart goes on and counts anew.
	ErrDeadLetters = errors.New("runtime: too many dead letters in a row")
)

// restore brings the store to the end of the journal and leaves the fetcher
// where live reading goes on. The journal's end is asked for after both
// transactional ids were initialised, so nobody can add to it any more.
//
// A standby is not at an end there: it follows what the owner adds, until ctx
// ends. It initialises nothing, so the owner does not notice it.
func (l *life) restore(ctx context.Context, following bool) error {
	pos, err := l.store.Position()
	if err != nil {
		return err
	}
	if pos.Sequence > 0 && pos.Task != l.task {
		return fmt.Errorf("%w: the store is of task %d", ErrJournal, pos.Task)
	}
	l.client = source.NewClient(l.sourceConfig(nil))
	jp := l.journalPartition()
	ends, err := l.client.EndOffsets(ctx, []source.TopicPartition{jp}, true)
	if err != nil {
		return fmt.Errorf("the journal's end: %w", err)
	}
	l.reach.answered()
	end := ends[jp]
	restored := false
	if l.cfg.Checkpoints != nil && (pos.Sequence == 0 || l.seek) {
		if restored, err = l.fromCheckpoint(ctx, end, pos.Sequence, core.Engine, following); err != nil {
			return err
		}
		l.looked = true
		if pos, err = l.store.Position(); err != nil {
			return err
		}
	}
	if !l.seek || restored {
		l.shelf.tidy()
	}
	l.shelf.at.Store(pos.Sequence)
	if err := l.erasures(); err != nil {
		return err
	}
	journal := l.openJournal(jp, int64(pos.JournalNext), end)
	if following {
		journal.close()
		journal = l.openJournal(jp, int64(pos.JournalNext), math.MaxInt64)
		journal.came = func() {
			l.reach.answered()
			if l.told {
				l.set(telemetry.Standby, "")
			}
		}
		journal.waits = func(at int64) {
			if at >= end && !l.told {
				l.told = true
				l.set(telemetry.Standby, "")
				l.cfg.Log.Info("a standby follows", "task", l.task, "position", l.shelf.at.Load())
			}
		}
	}
	defer journal.close()
	rec, more, err := journal.next(ctx)
	if err != nil {
		return err
	}
	switch {
	case !more && pos.Sequence > 0:
		return fmt.Errorf("%w: the store of task %d stands at record %d and the topic %s ends at offset %d without it; restore the topic, or remove the store and the out topics to begin anew", ErrJournalLost, l.task, pos.Sequence, jp.Topic, end)
	case !more:
		if err := l.checkFresh(ctx); err != nil {
			return err
		}
	case pos.Sequence == 0 && rec.j.Sequence != 1, pos.Sequence > 0 && rec.j.Sequence > pos.Sequence:
		return fmt.Errorf("%w: the store stands at record %d and the journal begins with %d", ErrJournal, pos.Sequence, rec.j.Sequence)
	}
	if pos.Sequence == 0 {
		// A task begins where its inputs begin: at the log's start, or where the
		// first record of its journal says.
		if err := l.begin(ctx, &pos, rec.j); err != nil {
			return err
		}
	}
	if l.core, err = core.New(core.Config{App: l.cfg.App, Task: l.task, Tasks: l.cfg.Tasks, CacheBytes: l.cfg.CacheBytes, Partition: source.Partition,
		Writer: l.cfg.Instance, Epoch: int32(l.prod.Epoch()), PauseOnDead: true, BytesOnly: true,
		Budget: core.Budget{Triggers: l.cfg.MaxTriggers, Bytes: l.cfg.MaxBytes, Units: 50_000, Records: l.cfg.MaxEvents}}, l.store, pos); err != nil {
		return err
	}
	l.journal = schemas.Offset(end)

	l.fetch = source.NewFetcher(l.sourceConfig(l.inputs()))
	// What is there now must be read before anything is taken, so that the merge
	// by event time sees all inputs, and the playbook stands before the first event.
	if ends, err = l.client.EndOffsets(ctx, l.inputs(), true); err != nil {
		return fmt.Errorf("the ends of the inputs: %w", err)
	}
	l.reach.answered()
	for i, tp := range l.inputs() {
		l.q[i].next, l.q[i].end = pos.Inputs[i], schemas.Offset(ends[tp])
	}
	for i := range schemas.Inputs {
		l.fetch.Seek(l.cfg.Topics.input(i), l.partitionOf(i), int64(pos.Inputs[i]))
	}
	rctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() { defer close(stopped); l.reader(rctx) }()
	l.stop = func() { cancel(); <-stopped }

	hash, met := pos.Hash, pos.Sequence == 0
	for n := 0; more; n++ {
		switch q := rec.j.Sequence; {
		case q < pos.Sequence:
		case q == pos.Sequence:
			if rec.hash != pos.Hash {
				return fmt.Errorf("%w: record %d of the journal is not the one that the store was made from; remove the store of task %d to rebuild it", ErrJournal, q, l.task)
			}
			met = true
		case !met:
			return fmt.Errorf("%w: record %d, from which the store was made, is missing", ErrJournalLost, pos.Sequence)
		case uint64(rec.j.PreviousHash) != hash:
			return fmt.Errorf("%w: record %d does not follow the one before it (its hash is another)", ErrJournal, q)
		case rec.j.Engine != core.Engine:
			return fmt.Errorf("%w: record %d was written by engine %d, this binary is %d; run the old one with run --drain first, which brings the store to the journal's end", core.ErrEngine, q, rec.j.Engine, core.Engine)
		default:
			if n%100 == 0 && rec.next < end {
				l.set(telemetry.Restoring, fmt.Sprintf("replaying the journal, %d offsets to go", end-rec.next))
			}
			if err := l.replay(ctx, rec); err != nil {
				return err
			}
			hash = rec.hash
		}
		if following && l.rewriteIsDue() {
			return errRewrite
		}
		last := rec.j.Sequence
		if rec, more, err = journal.next(ctx); err != nil {
			return err
		}
		if more && rec.j.Sequence != last+1 {
			return fmt.Errorf("%w: record %d stands where %d should", ErrJournal, rec.j.Sequence, last+1)
		}
	}
	if !met {
		return fmt.Errorf("%w: the store of task %d stands at record %d and the journal ends before", ErrJournalLost, l.task, pos.Sequence)
	}
	l.core.SetJournalNext(l.journal)
	l.sizes(l.core.Sizes())
	l.accounts(l.core.Books())
	return nil
}

// begin finds the first position of a task without a store.
func (l *life) begin(ctx context.Context, pos *state.Position, first *schemas.Journal) error {
	if first != nil {
		for _, s := range first.Starts {
			if s.Input >= 0 && s.Input < schemas.Inputs {
				pos.Inputs[s.Input] = s.Offset
			}
		}
		return nil
	}
	starts, err := l.client.StartOffsets(ctx, l.inputs())
	if err != nil {
		return fmt.Errorf("the starts of the inputs: %w", err)
	}
	for i, tp := range l.inputs() {
		pos.Inputs[i] = schemas.Offset(starts[tp])
	}
	return nil
}

func (l *life) journalPartition() source.TopicPartition {
	return source.TopicPartition{Topic: l.cfg.Topics.Journal, Partition: l.task}
}

type journalRecord struct {
	j     *schemas.Journal
	bytes []byte
	hash  uint64
	at    int64 // its offset
	next  int64
}

func (l *life) sourceConfig(parts []source.TopicPartition) source.Config {
	return source.Config{Brokers: l.cfg.Brokers, Transport: l.cfg.Transport, Partitions: parts,
		MaxWait: l.cfg.FetchMaxWait, PartitionMaxBytes: l.cfg.PartitionMaxBytes,
		OnRetry: l.retrying}
}

func (l *life) inputs() []source.TopicPartition {
	var out []source.TopicPartition
	for i := range schemas.Inputs {
		out = append(out, source.TopicPartition{Topic: l.cfg.Topics.input(i), Partition: l.partitionOf(i)})
	}
	return out
}

// journal reads a task's journal record by record, up to an end.
type journal struct {
	waits   func(at int64) // told before each wait for more; may be nil
	came    func()         // told after it; may be nil
	f       *source.Fetcher
	tp      source.TopicPartition
	at, end int64
	got     []source.Record
}

func (l *life) openJournal(tp source.TopicPartition, from, end int64) *journal {
	r := &journal{tp: tp, at: from, end: end}
	if from < end {
		r.f = source.NewFetcher(l.sourceConfig([]source.TopicPartition{tp}))
		r.f.Seek(tp.Topic, tp.Partition, from)
	}
	return r
}

func (r *journal) close() {
	if r.f != nil {
		r.f.Close()
	}
}

// next returns the next record, false at the end.
func (r *journal) next(ctx context.Context) (journalRecord, bool, error) {
	for len(r.got) == 0 {
		if r.at >= r.end {
			return journalRecord{}, false, nil
		}
		if r.waits != nil {
			r.waits(r.at)
		}
		got, err := r.f.Poll(ctx)
		if err != nil {
			var oor *source.OffsetOutOfRangeError
			if errors.As(err, &oor) {
				return journalRecord{}, false, fmt.Errorf("%w: record at offset %d is gone, the topic %s begins at %d; its retention must be unlimited", ErrJournalLost, oor.Offset, r.tp.Topic, oor.LogStart)
			}
			return journalRecord{}, false, fmt.Errorf("read the journal: %w", err)
		}
		if r.came != nil {
			r.came()
		}
		for i := range got {
			r.got = append(r.got, got[i].Records...)
			r.at = max(r.at, got[i].Next)
		}
	}
	rec := &r.got[0]
	r.got = r.got[1:]
	_, body, err := schemas.ParseWire(rec.Value)
	if err != nil {
		return journalRecord{}, false, fmt.Errorf("%w: offset %d: %w", ErrJournal, rec.Offset, err)
	}
	j, err := schemas.DecodeJournal(body)
	if err != nil {
		return journalRecord{}, false, fmt.Errorf("%w: offset %d: %w", ErrJournal, rec.Offset, err)
	}
	if j.Format != core.JournalFormat {
		return journalRecord{}, false, fmt.Errorf("%w: offset %d has format %d, this engine reads %d", ErrJournal, rec.Offset, j.Format, core.JournalFormat)
	}
	return journalRecord{j: j, bytes: body, hash: xxhash.Sum64(body), at: rec.Offset, next: rec.Offset + 1}, true, nil
}

// checkFresh refuses to begin a task anew when its group or its out topics say
// that it ran before.
func (l *life) checkFresh(ctx context.Context) error {
	if l.cfg.Checkpoints != nil {
		home := l.home()
		names, err := home.List(ctx)
		if err != nil {
			return fmt.Errorf("looking for checkpoints: %w", err)
		}
		if len(names) > 0 {
			return fmt.Errorf("%w: there are checkpoints of task %d up to record %d, and the topic %s is empty; restore the topic, or choose another app name to begin anew", ErrJournalLost, l.task, names[0].Sequence, l.cfg.Topics.Journal)
		}
	}
	if l.ranBefore == nil {
		return nil
	}
	why, err := l.ranBefore(ctx, l.task)
	if err != nil {
		return err
	}
	if why != "" {
		return fmt.Errorf("%w: %s, and neither store nor journal of task %d exists; restore the journal topic %s, or choose another app name to begin anew", ErrJournalLost, why, l.task, l.cfg.Topics.Journal)
	}
	return nil
}

// replay does again what one journal record says, with its outputs suppressed,
// and brings the store there.
func (l *life) replay(ctx context.Context, rec journalRecord) error {
	j := rec.j
	dead := map[schemas.InputOffset]schemas.DeadMark{}
	for _, d := range j.Dead {
		dead[schemas.InputOffset{Input: d.Input, Offset: d.Offset}] = d
	}
	for _, s := range j.Starts {
		if got := l.core.Position().Inputs[s.Input]; got != s.Offset {
			return fmt.Errorf("%w: record %d begins at offset %d of %s, the state stands at %d", ErrJournal, j.Sequence, s.Offset, s.Input, got)
		}
	}
	l.core.SetReplay(true)
	defer l.core.SetReplay(false)
	var counts [schemas.Inputs]int64
	var ends [schemas.Inputs]schemas.Offset
	for i := range j.Items {
		it := &j.Items[i]
		switch it.Kind {
		case schemas.MergeItem, schemas.RunItem:
			counts[it.Input], ends[it.Input] = it.Count, it.End
			if it.Kind == schemas.MergeItem {
				continue
			}
			if err := l.replayRun(ctx, j, counts, ends, dead, it.Wall); err != nil {
				return err
			}
			counts, ends = [schemas.Inputs]int64{}, [schemas.Inputs]schemas.Offset{}
		default:
			if err := l.core.Replay(it); err != nil {
				return fmt.Errorf("record %d: %w", j.Sequence, err)
			}
		}
	}
	rd := l.core.Ready()
	if rd == nil {
		return fmt.Errorf("%w: record %d holds nothing", ErrJournal, j.Sequence)
	}
	if rd.Journal.Triggers != j.Triggers || rd.Journal.TriggerHash != j.TriggerHash || rd.Sequence != j.Sequence {
		return fmt.Errorf("%w: record %d published %d with hash %x, a replay gives %d with hash %x; stop, keep the store and the topics, and report this",
			ErrReplay, j.Sequence, j.Triggers, uint64(j.TriggerHash), rd.Journal.Triggers, uint64(rd.Journal.TriggerHash))
	}
	if rd.Position.Clock != j.Clock {
		return fmt.Errorf("%w: record %d leaves the clock at %d, a replay at %d", ErrReplay, j.Sequence, j.Clock, rd.Position.Clock)
	}
	l.core.Adopt(rd, rec.bytes)
	rd.Position.JournalNext = schemas.Offset(rec.at)
	if err := l.store.Apply(rd.Batch, &rd.Position); err != nil {
		return err
	}
	l.core.Applied(rd.Sequence)
	l.shelf.at.Store(rd.Sequence)
	l.erased(rd)
	return nil
}

func (l *life) replayRun(ctx context.Context, j *schemas.Journal, counts [schemas.Inputs]int64, ends [schemas.Inputs]schemas.Offset, dead map[schemas.InputOffset]schemas.DeadMark, wall schemas.EventTime) error {
	for i := range counts {
		l.q[i].need = int(counts[i])
		l.release()
		for int64(l.q[i].waiting()) < counts[i] {
			if err := l.more(ctx); err != nil {
				return err
			}
		}
		for k := range l.q[i].recs[l.q[i].at : l.q[i].at+int(counts[i])] {
			r := &l.q[i].recs[l.q[i].at+k]
			d, ok := dead[schemas.InputOffset{Input: r.Input, Offset: r.Offset}]
			switch {
			case ok && (r.Dead == nil || r.Dead.Reason != d.Reason):
				r.Dead = &core.Dead{Step: d.Step, Reason: d.Reason, Detail: "as the journal says"}
				r.Event, r.Control, r.Transfer = nil, nil, nil
			case !ok && r.Dead != nil:
				return fmt.Errorf("%w: record %d took offset %d of %s, which can't be read now: %s", ErrReplay, j.Sequence, r.Offset, r.Input, r.Dead.Detail)
			}
		}
	}
	for i := range l.q {
		l.q[i].need = 0
	}
	l.batch = l.q.mergeGroup(l.batch[:0], counts)
	n, err := l.core.Take(l.batch, wall)
	if err != nil {
		return err
	}
	if n != len(l.batch) {
		return fmt.Errorf("%w: record %d: only %d of %d records could be taken (%s)", ErrReplay, j.Sequence, n, len(l.batch), l.core.Blocked())
	}
	l.q.took(l.batch)
	l.release()
	l.spent()
	for i := range counts {
		if counts[i] > 0 && l.core.Position().Inputs[i] != ends[i] {
			return fmt.Errorf("%w: record %d ends at offset %d of %s, the replay at %d", ErrReplay, j.Sequence, ends[i], schemas.Input(i), l.core.Position().Inputs[i])
		}
	}
	return nil
}

// more waits for the next chunk during a replay.
func (l *life) more(ctx context.Context) error {
	select {
	case c := <-l.chunks:
		l.accept(&c)
		return nil
	case <-l.nudge:
		if why := l.awaits(); why != "" {
			l.set(telemetry.Waiting, why)
		} else {
			l.set(telemetry.Restoring, "replaying the journal")
		}
		return nil
	case err := <-l.failed:
		return lost(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost says whether a fetch failed because the records are gone.
func lost(err error) error {
	var oor *source.OffsetOutOfRangeError
	if errors.As(err, &oor) {
		return fmt.Errorf("%w: %w; begin anew under another app name, and give inputs a retention longer than a task may stand still", ErrInputLost, err)
	}
	return fmt.Errorf("fetch: %w", err)
}

// storeDir is where a task's store lies.
func storeDir(cfg *Config, task int32) string {
	return fmt.Sprintf("%s/%s/task-%05d", cfg.DataDir, cfg.App, task)
}
