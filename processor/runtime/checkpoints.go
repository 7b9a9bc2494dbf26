package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidemark/processor/core"
	"tidemark/state"
	"tidemark/state/checkpoint"
	"tidemark/telemetry"
)

func (l *life) home() checkpoint.Home {
	return checkpoint.Home{Bucket: l.cfg.Checkpoints, App: l.cfg.App, Generation: 1, Task: l.task}
}

// checkpoints saves the store every so often, beside the task, until ctx ends.
// One task of a process does it at a time, and all share the bandwidth.
func (l *life) checkpoints(ctx context.Context, done chan struct{}) {
	defer close(done)
	if l.cfg.Checkpoints == nil {
		return
	}
	s := &checkpoint.Saver{Home: l.home(), FS: l.cfg.FS, Limit: l.uploads, Keep: l.cfg.CheckpointKeep}
	for _, key := range l.shelf.distrust {
		s.Distrust(key)
	}
	l.shelf.distrust = nil
	var last int64
	var collected time.Time
	// Tasks that began together do not save together.
	wait := l.cfg.CheckpointEvery * time.Duration(l.task%8+1) / 8
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = l.cfg.CheckpointEvery
		select {
		case l.saving <- struct{}{}:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		done, err := l.save(ctx, s, last)
		<-l.saving
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.cfg.Log.Error("no checkpoint was saved", "task", l.task, "err", err, "again_after", wait)
			l.cfg.Telemetry.Metrics.CheckpointFailed(l.task)
			s = &checkpoint.Saver{Home: s.Home, FS: s.FS, Limit: s.Limit, Keep: s.Keep} // looks anew at what is there
			continue
		case done.Manifest == nil:
			l.cfg.Telemetry.Metrics.CheckpointSaved(l.task, 0, l.cfg.Now()) // nothing is newer
			continue
		}
		last = done.Manifest.Sequence
		l.cfg.Telemetry.Metrics.CheckpointSaved(l.task, done.Bytes, l.cfg.Now())
		l.cfg.Log.Info("checkpoint", "task", l.task, "position", last, "bytes", done.Manifest.Bytes(), "uploaded", done.Bytes, "took", time.Since(began).Round(time.Millisecond))
		if now := l.cfg.Now(); now.Sub(collected) >= l.cfg.CollectEvery {
			collected = now
			l.collect(ctx)
		}
	}
}

// save makes a copy of the store and uploads it; no manifest if the store stands
// where the last checkpoint does.
func (l *life) save(ctx context.Context, s *checkpoint.Saver, last int64) (checkpoint.Saved, error) {
	copyDir := l.shelf.copyDir()
	if err := l.cfg.FS.RemoveAll(copyDir); err != nil {
		return checkpoint.Saved{}, err
	}
	if p, err := l.store.Position(); err != nil || p.Sequence == last || p.Sequence == 0 {
		return checkpoint.Saved{}, err
	}
	if why := l.shelf.stalled(); why != "" {
		return checkpoint.Saved{}, errors.New(why)
	}
	if err := l.store.CheckpointTo(copyDir); err != nil {
		return checkpoint.Saved{}, err
	}
	defer func() {
		if err := l.cfg.FS.RemoveAll(copyDir); err != nil {
			l.cfg.Log.Warn("the copy for a checkpoint stays on the disk", "err", err)
		}
	}()
	p, err := state.PositionOf(copyDir, state.Options{FS: l.cfg.FS, Cache: l.cfg.BlockCache})
	if err != nil {
		return checkpoint.Saved{}, err
	}
	return s.Save(ctx, copyDir, &p, checkpoint.Head{Epoch: l.epoch, Writer: l.cfg.Instance, Now: l.cfg.Now()})
}

// collectWithin is how old the last commit of this life may be for a deletion.
const collectWithin = time.Minute

var errNoCommit = errors.New("no commit of this owner in the last minute shows that the task is still its own")

// collect removes checkpoints that nobody needs. Only an owner may that has
// committed to the journal, in this life and just now.
func (l *life) collect(ctx context.Context) {
	home := l.home()
	c, err := home.Collect(ctx, checkpoint.CollectOptions{Keep: l.cfg.CheckpointKeep, Now: l.cfg.Now(), Rewritten: time.UnixMilli(int64(l.rewritten.At)), May: func() error {
		if at := l.lastCommit.Load(); at == 0 || l.cfg.Now().Sub(time.UnixMilli(at)) > collectWithin {
			return errNoCommit
		}
		return ctx.Err()
	}})
	if err != nil && ctx.Err() == nil {
		l.cfg.Log.Warn("old checkpoints stay until the next collection", "task", l.task, "err", err)
	}
	if c.Manifests+c.Objects > 0 {
		l.cfg.Log.Info("collected old checkpoints", "task", l.task, "checkpoints", c.Manifests, "objects", c.Objects, "bytes", c.Bytes, "kept", c.Kept)
	}
}

// fromCheckpoint puts the newest checkpoint that fits in the place of the store:
// beyond the position above, at a record that the journal, which ends at the offset
// end, holds, and of this engine, or of another one with nothing in the journal
// behind it that another engine wrote, as run --drain leaves it. It says whether
// there was one. Damaged ones are told of and passed over. While an owner is at
// work, which is so for a standby alone, a checkpoint may be newer than the end that
// was asked for before it was made: that is nothing to tell, and the next one serves.
func (l *life) fromCheckpoint(ctx context.Context, end, above int64, engine int32, following bool) (bool, error) {
	home := l.home()
	names, err := home.List(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for checkpoints: %w", err)
	}
	tell := func(n checkpoint.Name, why any) {
		l.cfg.Telemetry.Metrics.StoreFailed(l.task, telemetry.CheckpointUnfit)
		l.cfg.Log.Error("a checkpoint can't be used; looking for an older one", "task", l.task, "checkpoint", n.Name, "why", why)
	}
	var corrupt *checkpoint.CorruptError
	for _, n := range names {
		if n.Sequence <= above {
			break
		}
		m, err := home.Read(ctx, n.Name)
		if errors.As(err, &corrupt) || errors.Is(err, checkpoint.ErrFormat) {
			tell(n, err)
			continue
		}
		if err != nil {
			return false, err
		}
		if following && int64(m.JournalNext) >= end {
			l.cfg.Log.Debug("a checkpoint is newer than the journal's end was", "task", l.task, "checkpoint", n.Name, "end", end)
			continue
		}
		why, next, err := l.inJournal(ctx, m, end)
		if err != nil {
			return false, err
		}
		if why != "" {
			tell(n, why)
			continue
		}
		if n.Engine != engine && next != 0 && next != engine {
			l.cfg.Log.Warn("a checkpoint of another engine is passed over: what follows it in the journal is another engine's too", "task", l.task, "checkpoint", n.Name, "engine", n.Engine, "this", engine)
			continue
		}
		store, err := l.shelf.replace(func(dir string) error { return l.download(ctx, &home, m, dir) })
		if errors.As(err, &corrupt) {
			l.shelf.distrust = append(l.shelf.distrust, corrupt.Key)
			tell(n, err)
			continue
		}
		if l.shelf.store != nil && (errors.Is(err, state.ErrCorrupt) || errors.Is(err, state.ErrStoreVersion)) {
			tell(n, err)
			continue
		}
		if err != nil {
			return false, err
		}
		l.store = store
		l.watch()
		return true, nil
	}
	return false, nil
}

func (l *life) download(ctx context.Context, home *checkpoint.Home, m *checkpoint.Manifest, dir string) error {
	l.cfg.Log.Info("restoring a checkpoint", "task", l.task, "checkpoint", m.Name(), "bytes", m.Bytes(), "saved", m.Created)
	logged := time.Now()
	err := home.Restore(ctx, m, checkpoint.RestoreOptions{FS: l.cfg.FS, Dir: dir, Now: l.cfg.Now, Progress: func(p checkpoint.Progress) {
		l.cfg.Telemetry.Metrics.Restore(l.task, p.Total-p.Done, p.Left)
		text := fmt.Sprintf("restoring a checkpoint, %d of %d MB", p.Done>>20, p.Total>>20)
		if p.Left > 0 {
			text += fmt.Sprintf(", %s left", p.Left.Round(time.Second))
		}
		l.shelf.told.Add(1)
		l.shelf.show(telemetry.Restoring, text)
		if time.Since(logged) > 5*time.Second || p.Done == p.Total {
			logged = time.Now()
			l.cfg.Log.Info("restoring", "task", l.task, "done", p.Done, "of", p.Total, "took", p.Took.Round(time.Millisecond), "left", p.Left.Round(time.Second))
		}
	}})
	if err != nil {
		return err
	}
	p, err := state.PositionOf(dir, state.Options{FS: l.cfg.FS, Cache: l.cfg.BlockCache})
	if err != nil {
		return err
	}
	if p.Sequence != m.Sequence || fmt.Sprintf("%016x", p.Hash) != m.Hash || p.Task != m.Task {
		return &checkpoint.CorruptError{Key: m.Name(), Detail: fmt.Sprintf("its store stands at record %d with hash %016x", p.Sequence, p.Hash)}
	}
	return nil
}

// inJournal says why a checkpoint's position is not one of the journal's; "" if it
// is. If it is of another engine, next is the engine of the record after it; 0: none.
func (l *life) inJournal(ctx context.Context, m *checkpoint.Manifest, end int64) (why string, next int32, err error) {
	if int64(m.JournalNext) >= end {
		return fmt.Sprintf("its position is past the journal's end: offset %d of %d", m.JournalNext, end), 0, nil
	}
	j := l.openJournal(l.journalPartition(), int64(m.JournalNext), end)
	defer j.close()
	for {
		rec, more, err := j.next(ctx)
		if errors.Is(err, ErrJournalLost) {
			return err.Error(), 0, nil
		}
		switch {
		case err != nil:
			return "", 0, err
		case !more || rec.j.Sequence > m.Sequence:
			return fmt.Sprintf("the journal does not hold record %d, at which it stands", m.Sequence), 0, nil
		case rec.j.Sequence == m.Sequence && fmt.Sprintf("%016x", rec.hash) != m.Hash:
			return fmt.Sprintf("record %d of the journal is another one", m.Sequence), 0, nil
		case rec.j.Sequence == m.Sequence && m.Engine == core.Engine:
			return "", 0, nil
		case rec.j.Sequence == m.Sequence:
			if rec, more, err = j.next(ctx); err == nil && more {
				next = rec.j.Engine
			}
			return "", next, err
		}
	}
}
