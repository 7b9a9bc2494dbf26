package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/state"
	"tidemark/state/checkpoint"
	"tidemark/telemetry"
)

var errGone = errors.New("runtime: the store is closed")

// shelf holds the store of one task through its lives: it opens it, puts another
// in its place, and sees to a disk that fails. All but with, stalled and the
// store's own callback belong to the task's runner.
type shelf struct {
	cfg  *Config
	task int32
	dir  string
	log  *slog.Logger
	show func(telemetry.State, string)
	quit <-chan struct{}

	mu       sync.RWMutex // held for writing while store changes
	store    *state.Store // nil: closed
	broke    bool         // the last store broke: try the disk before the next
	stall    atomic.Pointer[string]
	told     atomic.Int64 // counts what the callback showed, so that a life shows its state again
	at       atomic.Int64 // journal sequence that the store stands at
	distrust []string     // blobs that were read back damaged
}

// with lends the store to somebody beside the task.
func (s *shelf) with(fn func(*state.Store) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.store == nil {
		return errGone
	}
	return fn(s.store)
}

// stalled says why writing to the disk waits; "" if it does not.
func (s *shelf) stalled() string {
	if why := s.stall.Load(); why != nil {
		return *why
	}
	return ""
}

func (s *shelf) onStall(why string) {
	s.stall.Store(&why)
	s.told.Add(1)
	if why != "" {
		s.log.Error("the task pauses", "why", why)
		s.show(telemetry.Paused, why)
		s.cfg.Telemetry.Metrics.StoreFailed(s.task, telemetry.DiskFull)
		return
	}
	s.log.Warn("there is room on the disk again")
	s.show(telemetry.Restoring, "there is room on the disk again")
}

func (s *shelf) options() state.Options {
	return state.Options{FS: s.cfg.FS, Cache: s.cfg.BlockCache, MemTable: s.cfg.MemTable, OnStall: s.onStall, Quit: s.quit}
}

// open opens the store unless it is open; false: ctx ended first. A damaged one
// is moved aside, so that a checkpoint or the journal takes its place.
func (s *shelf) open(ctx context.Context) bool {
	fs := s.cfg.FS
	for wait := time.Second; s.store == nil; wait = min(2*wait, time.Minute) {
		if ctx.Err() != nil {
			return false
		}
		err := s.settle()
		if err == nil {
			err = makeDir(fs, s.dir)
		}
		if err == nil && s.broke && !state.Writable(fs, s.dir) {
			err = fmt.Errorf("the disk takes nothing in %s", s.dir)
		}
		if err == nil {
			err = errors.Join(fs.RemoveAll(s.copyDir()), fs.RemoveAll(s.newDir()), fs.RemoveAll(s.oldDir()))
		}
		var store *state.Store
		if err == nil {
			store, err = state.Open(s.dir, s.options())
		}
		if err == nil {
			s.mu.Lock()
			s.store, s.broke = store, false
			s.mu.Unlock()
			if p, err := store.Position(); err == nil {
				s.at.Store(p.Sequence)
			}
			return true
		}
		if errors.Is(err, state.ErrCorrupt) {
			if s.setAside(err) {
				continue
			}
		}
		s.broke = s.broke || errors.Is(err, state.ErrBroken)
		s.log.Error("the store can't be opened", "dir", s.dir, "err", err, "again_after", wait)
		s.show(telemetry.Paused, err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return true
}

// makeDir makes a folder whose name survives a loss of power, and those above it.
// Pebble does so too, but not where the folder is there already.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	up := fs.PathDir(dir)
	if up != dir {
		if err := makeDir(fs, up); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, up)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *shelf) copyDir() string { return s.dir + ".copy" }
func (s *shelf) newDir() string  { return s.dir + ".new" }
func (s *shelf) oldDir() string  { return s.dir + ".old" }

// setAside renames a damaged store, in place of an earlier one.
func (s *shelf) setAside(why error) bool {
	s.cfg.Telemetry.Metrics.StoreFailed(s.task, telemetry.StoreDamaged)
	to := s.dir + ".damaged"
	err := s.cfg.FS.RemoveAll(to)
	if err == nil {
		err = s.cfg.FS.Rename(s.dir, to)
	}
	if err != nil {
		s.log.Error("a damaged store can't be moved aside", "dir", s.dir, "err", err)
		return false
	}
	s.log.Error("the store is damaged; it is moved aside and made anew from a checkpoint or the journal", "dir", s.dir, "moved_to", to, "err", why)
	return true
}

// err says why the store is of no more use; nil: it is.
func (s *shelf) err() error {
	if s.store == nil {
		return errGone // a replacement went wrong
	}
	return s.store.Err()
}

// failed is closed when the store breaks; nil: none is open.
func (s *shelf) failed() <-chan struct{} {
	if s.store == nil {
		return nil
	}
	return s.store.Failed()
}

// lost gives up a store that broke.
func (s *shelf) lost(why error) {
	s.mu.Lock()
	if s.store != nil {
		s.store.Abandon()
	}
	s.store, s.broke = nil, true
	s.mu.Unlock()
	none := ""
	s.stall.Store(&none)
	if errors.Is(why, state.ErrCorrupt) {
		s.setAside(why)
	} else {
		s.cfg.Telemetry.Metrics.StoreFailed(s.task, telemetry.DiskFailed)
		s.log.Error("the disk failed the store; it is opened again", "err", why)
	}
	s.show(telemetry.Paused, why.Error())
}

// replace puts the store that make makes in a new folder in the place of this one.
func (s *shelf) replace(make func(dir string) error) (*state.Store, error) {
	fs, to := s.cfg.FS, s.newDir()
	if err := fs.RemoveAll(to); err != nil {
		return nil, err
	}
	if err := make(to); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		s.store.Close()
		s.store = nil
	}
	if err := s.swap(fs, to); err != nil {
		return nil, err
	}
	if err := syncDir(fs, fs.PathDir(s.dir)); err != nil {
		return nil, err
	}
	store, err := state.Open(s.dir, s.options())
	if err != nil {
		return nil, err
	}
	s.store = store
	return store, nil
}

// swap puts the folder to in the store's place. A process that ends in the midst
// of it leaves the old store, none, or the new one, and never a part of one: that
// would be found damaged.
func (s *shelf) swap(fs vfs.FS, to string) error {
	old := s.oldDir()
	if err := fs.RemoveAll(old); err != nil {
		return err
	}
	if err := fs.Rename(s.dir, old); err != nil && !errors.Is(err, oserror.ErrNotExist) {
		return err
	}
	if err := fs.Rename(to, s.dir); err != nil {
		return err
	}
	return fs.RemoveAll(old)
}

// tidy removes what a restore that is no longer needed had downloaded.
func (s *shelf) tidy() {
	if err := s.cfg.FS.RemoveAll(checkpoint.Partial(s.newDir())); err != nil {
		s.log.Warn("a half restored folder stays", "err", err)
	}
}

func (s *shelf) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return
	}
	if err := s.store.Close(); err != nil {
		s.log.Error("the store did not close well; what it lacks will be replayed", "err", err)
	}
	s.store = nil
}
