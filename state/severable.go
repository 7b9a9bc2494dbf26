package state

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// severable is the file system under a store: it waits where a disk is full,
// holds what fails back, and lets nothing through once the store is abandoned,
// which Pebble does not notice: its goroutines end while the folder is open anew.
type severable struct {
	vfs.FS
	g *guard
}

func (s *severable) Unwrap() vfs.FS { return s.FS }

// write does one write until it is done. That something is there already, or is
// not, is an answer and not a failure.
func (s *severable) write(fn func() error) error {
	for {
		if !s.g.begin() {
			return nil
		}
		err := fn()
		s.g.end()
		if err == nil || errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrNotExist) {
			return err
		}
		s.g.wrote(err)
	}
}

// sync is a write that is not tried again: after a sync that failed nobody knows
// what is on the disk.
func (s *severable) sync(fn func() error) error {
	if !s.g.begin() {
		return nil
	}
	err := fn()
	s.g.end()
	if err != nil {
		s.g.fail(err)
		<-s.g.severed
	}
	return nil
}

func (s *severable) open(fn func() (vfs.File, error)) (f vfs.File, err error) {
	err = s.write(func() error { f, err = fn(); return err })
	if err != nil {
		return nil, err
	}
	if f == nil { // abandoned: what is written to it goes nowhere
		if f, err = vfs.NewMem().Create("nowhere", vfs.WriteCategoryUnspecified); err != nil {
			return nil, err
		}
	}
	return &severableFile{f, s}, nil
}

func (s *severable) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.open(func() (vfs.File, error) { return s.FS.Create(name, c) })
}

func (s *severable) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return s.open(func() (vfs.File, error) { return s.FS.OpenReadWrite(name, c, o...) })
}

func (s *severable) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.open(func() (vfs.File, error) { return s.FS.ReuseForWrite(from, to, c) })
}

func (s *severable) OpenDir(name string) (vfs.File, error) {
	return s.open(func() (vfs.File, error) { return s.FS.OpenDir(name) })
}

// Link fails where a file system has none; the caller then copies.
func (s *severable) Link(from, to string) error {
	for {
		if !s.g.begin() {
			return nil
		}
		err := s.FS.Link(from, to)
		s.g.end()
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		s.g.wrote(err)
	}
}

func (s *severable) Rename(from, to string) error {
	return s.write(func() error { return s.FS.Rename(from, to) })
}

func (s *severable) Remove(name string) error {
	return s.write(func() error { return s.FS.Remove(name) })
}

func (s *severable) RemoveAll(name string) error {
	return s.write(func() error { return s.FS.RemoveAll(name) })
}

func (s *severable) MkdirAll(name string, mode os.FileMode) error {
	return s.write(func() error { return s.FS.MkdirAll(name, mode) })
}

func (s *severable) Lock(name string) (io.Closer, error) {
	l, err := s.FS.Lock(name)
	if err != nil {
		return nil, err // mostly: another process has it
	}
	once := &onceCloser{c: l}
	s.g.cut.Lock()
	s.g.lock = once
	s.g.cut.Unlock()
	return once, nil
}

// onceCloser is closed by whoever comes first: Pebble, or the guard.
type onceCloser struct {
	c    io.Closer
	once sync.Once
}

func (o *onceCloser) Close() (err error) {
	o.once.Do(func() { err = o.c.Close() })
	return err
}

type severableFile struct {
	vfs.File
	s *severable
}

func (f *severableFile) Write(p []byte) (int, error) {
	done := 0
	err := f.s.write(func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	if err == nil {
		done = len(p) // swallowed, when the store is abandoned
	}
	return done, err
}

func (f *severableFile) WriteAt(p []byte, at int64) (int, error) {
	done := 0
	err := f.s.write(func() error {
		n, err := f.File.WriteAt(p[done:], at+int64(done))
		done += n
		return err
	})
	if err == nil {
		done = len(p) // swallowed, when the store is abandoned
	}
	return done, err
}

func (f *severableFile) Preallocate(at, n int64) error {
	return f.s.write(func() error { return f.File.Preallocate(at, n) })
}

func (f *severableFile) Sync() error     { return f.s.sync(f.File.Sync) }
func (f *severableFile) SyncData() error { return f.s.sync(f.File.SyncData) }

func (f *severableFile) SyncTo(n int64) (full bool, err error) {
	err = f.s.sync(func() error { full, err = f.File.SyncTo(n); return err })
	return full, err
}
