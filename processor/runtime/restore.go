package runtime

import (
	"context"
	"errors"
	"fmt"

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
func (l *life) restore(ctx context.Context) error {
	pos, err := l.store.Position()
	if err != nil {
		return err
	}
	if pos.Sequence > 0 && pos.Task != l.task {
		return fmt.Errorf("%w: the store is of task %d", ErrJournal, pos.Task)
	}
	l.client = source.NewClient(l.sourceConfig(nil))
	jp := source.TopicPartition{Topic: l.cfg.Topics.Journal, Partition: l.task}
	ends, err := l.client.EndOffsets(ctx, []source.TopicPartition{jp}, true)
	if err != nil {
		return fmt.Errorf("the journal's end: %w", err)
	}
	end := ends[jp]
	records, err := l.readJournal(ctx, jp, int64(pos.JournalNext), end, pos.Sequence)
	if err != nil {
		return err
	}
	if pos.Sequence == 0 {
		// A task begins where its inputs begin: at the log's start, or where the
		// first record of its journal says.
		if err := l.begin(ctx, &pos, records); err != nil {
			return err
		}
	}
	if l.core, err = core.New(core.Config{App: l.cfg.App, Task: l.task, Tasks: l.cfg.Tasks, CacheBytes: l.cfg.CacheBytes,
		Writer: l.cfg.Instance, Epoch: int32(l.prod.Epoch()),
		PauseOnDead: true,
		Budget:      core.Budget{Triggers: l.cfg.MaxTriggers, Bytes: l.cfg.MaxBytes, Units: 50_000, Records: l.cfg.MaxEvents}}, l.store, pos); err != nil {
		return err
	}
	l.journal = schemas.Offset(end)

	l.fetch = source.NewFetcher(l.sourceConfig(l.inputs()))
	// What is there now must be read before anything is taken, so that the merge
	// by event time sees all inputs, and the playbook stands before the first event.
	if ends, err = l.client.EndOffsets(ctx, l.inputs(), true); err != nil {
		return fmt.Errorf("the ends of the inputs: %w", err)
	}
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

	hash := pos.Hash
	for i, rec := range records {
		if rec.j.Sequence <= pos.Sequence {
			if rec.j.Sequence == pos.Sequence && rec.hash != pos.Hash {
				return fmt.Errorf("%w: record %d of the journal is not the one that the store was made from; remove the store of task %d to rebuild it", ErrJournal, pos.Sequence, l.task)
			}
			continue
		}
		if uint64(rec.j.PreviousHash) != hash {
			return fmt.Errorf("%w: record %d does not follow the one before it (its hash is another)", ErrJournal, rec.j.Sequence)
		}
		if i%100 == 0 {
			l.set(telemetry.Restoring, fmt.Sprintf("replaying the journal, %d records to go", len(records)-i))
		}
		if err := l.replay(ctx, rec); err != nil {
			return err
		}
		hash = rec.hash
	}
	l.core.SetJournalNext(l.journal)
	return nil
}

// begin finds the first position of a task without a store.
func (l *life) begin(ctx context.Context, pos *state.Position, records []journalRecord) error {
	if len(records) > 0 {
		for _, s := range records[0].j.Starts {
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

type journalRecord struct {
	j     *schemas.Journal
	bytes []byte
	hash  uint64
	next  int64 // offset after it
}

func (l *life) sourceConfig(parts []source.TopicPartition) source.Config {
	return source.Config{Brokers: l.cfg.Brokers, Transport: l.cfg.Transport, Partitions: parts,
		MaxWait: l.cfg.FetchMaxWait, PartitionMaxBytes: l.cfg.PartitionMaxBytes,
		OnRetry: func(err error) { l.cfg.Log.Warn("reading from Kafka, trying again", "task", l.task, "err", err) }}
}

func (l *life) inputs() []source.TopicPartition {
	var out []source.TopicPartition
	for i := range schemas.Inputs {
		out = append(out, source.TopicPartition{Topic: l.cfg.Topics.input(i), Partition: l.partitionOf(i)})
	}
	return out
}

// readJournal reads the task's journal from an offset to its end, and checks
// that it follows on the store.
func (l *life) readJournal(ctx context.Context, jp source.TopicPartition, from, end, sequence int64) ([]journalRecord, error) {
	if end == 0 {
		if sequence > 0 {
			return nil, fmt.Errorf("%w: the store of task %d stands at record %d and the topic %s is empty; restore the topic, or remove the store and the out topics to begin anew", ErrJournalLost, l.task, sequence, jp.Topic)
		}
		return nil, l.checkFresh(ctx)
	}
	cfg := l.sourceConfig([]source.TopicPartition{jp})
	f := source.NewFetcher(cfg)
	defer f.Close()
	f.Seek(jp.Topic, jp.Partition, from)
	var out []journalRecord
	for at := from; at < end; {
		got, err := f.Poll(ctx)
		if err != nil {
			var oor *source.OffsetOutOfRangeError
			if errors.As(err, &oor) {
				return nil, fmt.Errorf("%w: record at offset %d is gone, the topic %s begins at %d; its retention must be unlimited", ErrJournalLost, from, jp.Topic, oor.LogStart)
			}
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		for i := range got {
			for k := range got[i].Records {
				r := &got[i].Records[k]
				_, body, err := schemas.ParseWire(r.Value)
				if err != nil {
					return nil, fmt.Errorf("%w: offset %d: %w", ErrJournal, r.Offset, err)
				}
				j, err := schemas.DecodeJournal(body)
				if err != nil {
					return nil, fmt.Errorf("%w: offset %d: %w", ErrJournal, r.Offset, err)
				}
				if j.Format != core.JournalFormat {
					return nil, fmt.Errorf("%w: offset %d has format %d, this engine reads %d", ErrJournal, r.Offset, j.Format, core.JournalFormat)
				}
				if j.Sequence > sequence && j.Engine != core.Engine {
					return nil, fmt.Errorf("%w: record %d was written by engine %d, this binary is %d; run the old one with run --drain first, which brings the store to the journal's end", core.ErrEngine, j.Sequence, j.Engine, core.Engine)
				}
				out = append(out, journalRecord{j: j, bytes: body, hash: xxhash.Sum64(body), next: r.Offset + 1})
			}
			at = max(at, got[i].Next)
		}
	}
	want := int64(0)
	for _, r := range out {
		if want == 0 {
			want = r.j.Sequence
			if want > sequence+1 {
				return nil, fmt.Errorf("%w: the store stands at record %d and the journal goes on with %d", ErrJournal, sequence, want)
			}
		}
		if r.j.Sequence != want {
			return nil, fmt.Errorf("%w: record %d stands where %d should", ErrJournal, r.j.Sequence, want)
		}
		want++
	}
	if sequence > 0 && (len(out) == 0 && int64(from) > end || len(out) > 0 && out[len(out)-1].j.Sequence < sequence) {
		return nil, fmt.Errorf("%w: the store of task %d stands at record %d and the journal ends before", ErrJournalLost, l.task, sequence)
	}
	return out, nil
}

// checkFresh refuses to begin a task anew when its group or its out topics say
// that it ran before.
func (l *life) checkFresh(ctx context.Context) error {
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
	l.core.Adopt(rd, rec.bytes)
	rd.Position.JournalNext = schemas.Offset(rec.next)
	if err := l.store.Apply(rd.Batch, &rd.Position); err != nil {
		return err
	}
	l.core.Applied(rd.Sequence)
	return nil
}

func (l *life) replayRun(ctx context.Context, j *schemas.Journal, counts [schemas.Inputs]int64, ends [schemas.Inputs]schemas.Offset, dead map[schemas.InputOffset]schemas.DeadMark, wall schemas.EventTime) error {
	for i := range counts {
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
