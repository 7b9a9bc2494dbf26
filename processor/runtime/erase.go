package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidemark/processor/core"
	"tidemark/schemas"
)

// errRewrite ends a life so that its store is rewritten before the next.
var errRewrite = errors.New("runtime: the store is to be rewritten without erased customers")

// rewriteAfter is how long an erasure waits for others before the store is
// rewritten. With the time that a task may be between two owners it stays well
// within the 24 hours that are promised.
const rewriteAfter = 12 * time.Hour

// erasures notes what the store's files may still hold of erased customers.
func (l *life) erasures() error {
	e, err := core.ReadErasures(l.store)
	if err != nil {
		return err
	}
	l.rewritten = e.Last
	if e.Pending > 0 {
		l.erasedAt(e.Since)
	}
	return nil
}

// erasedAt notes an erasure whose fetch was at a wall time; 0: rewrite at once.
// Tasks that erased at the same time do not rewrite at the same time.
func (l *life) erasedAt(taken schemas.EventTime) {
	due := time.UnixMilli(1)
	if taken != 0 {
		due = time.UnixMilli(int64(taken)).Add(rewriteAfter + time.Duration(l.task%24)*5*time.Minute)
	}
	if l.rewriteDue.IsZero() || due.Before(l.rewriteDue) {
		l.rewriteDue = due
	}
}

// erased takes note of what a commit erased. It is in the store by now.
func (l *life) erased(rd *core.Ready) {
	m := l.cfg.Telemetry.Metrics
	if n := rd.Stats.Forgotten; n > 0 {
		m.Forgotten(l.task, int(n))
	}
	if len(rd.Erased) == 0 {
		return
	}
	m.Erased(l.task, len(rd.Erased))
	for _, e := range rd.Erased {
		if e.Now {
			l.erasedAt(0)
		} else {
			l.erasedAt(l.cfg.wall())
		}
	}
	l.cfg.Log.Info("customers were erased", "task", l.task, "customers", len(rd.Erased), "rewrite_by", l.rewriteDue)
}

// endToRewrite ends a life calmly, for the store to be rewritten.
func (l *life) endToRewrite() error { return errors.Join(l.last(), errRewrite) }

func (l *life) rewriteIsDue() bool {
	return !l.rewriteDue.IsZero() && !l.cfg.Now().Before(l.rewriteDue)
}

// rewrite puts a store of the same keys and new files in the place of this one,
// and removes a damaged one that was kept aside. After a crash at any instant open
// finds the old store or the new one.
func (s *shelf) rewrite(ctx context.Context) error {
	e, err := core.ReadErasures(s.store)
	if err != nil {
		return err
	}
	began := time.Now()
	fs, to := s.cfg.FS, s.newDir()
	if err := errors.Join(fs.RemoveAll(to), fs.RemoveAll(s.dir+".damaged")); err != nil {
		return err
	}
	done := core.Rewritten{Erasures: e.All, At: s.cfg.wall()}
	if err := s.store.RewriteTo(ctx, to, s.options(), done.Op()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.Close()
	s.store = nil // opened by the next life
	if err := errors.Join(s.swap(fs, to), syncDir(fs, fs.PathDir(s.dir))); err != nil {
		return fmt.Errorf("runtime: put the rewritten store in place: %w", err)
	}
	s.log.Info("the store was rewritten without erased customers", "erasures", e.Pending, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// settle finds the store where a rewriting was interrupted.
func (s *shelf) settle() error {
	fs := s.cfg.FS
	if _, err := fs.Stat(s.oldDir()); err != nil {
		return nil
	}
	if _, err := fs.Stat(s.dir); err == nil {
		return fs.RemoveAll(s.oldDir())
	}
	return errors.Join(fs.Rename(s.oldDir(), s.dir), syncDir(fs, fs.PathDir(s.dir)))
}
