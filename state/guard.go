package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrBroken: the disk failed the store, which takes nothing more. Abandon it and
	// open it again; what it lacks is replayed.
	ErrBroken = errors.New("state: the disk failed the store")
	// ErrCorrupt: what the disk gave back is not what was written. The folder is of
	// no more use; restore a checkpoint or rebuild it from the journal.
	ErrCorrupt = errors.New("state: the store is damaged")
)

// guard stands between a store and what Pebble would end the process for: it
// panics, with locks held, when a log or its manifest can't be written. So no
// failed write is ever told to Pebble. A full disk is waited out below it: Pebble
// notices a slow write and nothing else. Any other failed write, and damage, break
// the store: the reason is kept, the goroutine stays inside the write, nothing more
// reaches the folder, and the process goes on.
//
// Once the store is abandoned every write is swallowed and reported as done: what
// waited goes on, Pebble closes as if all were well, and its goroutines, memory and
// open files go. Only a goroutine of Pebble's own that called Fatalf stays, since
// nobody may return from there, and with it whatever waits for its locks.
type guard struct {
	base    vfs.FS
	dir     string
	onStall func(why string)
	quit    <-chan struct{}

	mu     sync.Mutex
	err    error
	failed chan struct{} // closed with err

	stall   chan struct{}                 // taken by whoever waits for room
	waits   atomic.Pointer[chan struct{}] // closed when there is room again; nil: nobody waits
	severed chan struct{}                 // closed: no more writes
	cut     sync.RWMutex                  // read-locked by each write under way
	gone    bool                          // under cut
	lock    io.Closer                     // of the folder; under cut
	busy    sync.WaitGroup                // calls of Pebble that guarded left behind
}

func newGuard(base vfs.FS, dir string, onStall func(string), quit <-chan struct{}) *guard {
	if onStall == nil {
		onStall = func(string) {}
	}
	return &guard{base: base, dir: dir, onStall: onStall, quit: quit, failed: make(chan struct{}), stall: make(chan struct{}, 1), severed: make(chan struct{})}
}

// fs is the file system to give to Pebble.
func (g *guard) fs() vfs.FS { return &severable{g.base, g} }

// roomBytes is how much a full disk must take before work goes on.
const roomBytes = 4 << 20

// awaitRoom returns when the disk takes data again, or when the store is abandoned.
func (g *guard) awaitRoom() {
	// A channel and no lock: under testing/synctest time goes on while others wait.
	g.stall <- struct{}{}
	defer func() { <-g.stall }()
	if g.room() { // somebody has waited already
		return
	}
	over := make(chan struct{})
	g.waits.Store(&over)
	defer func() { g.waits.Store(nil); close(over) }()
	g.onStall(fmt.Sprintf("the disk of %s is full; make room, it goes on by itself", g.dir))
	defer g.onStall("")
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		select {
		case <-g.severed:
			return
		case <-g.quit:
			g.fail(errors.New("it was let go while the disk was full"))
			return
		case <-time.After(wait):
		}
		if g.room() {
			return
		}
	}
}

// Writable says whether the disk takes a few megabytes in dir.
func Writable(fs vfs.FS, dir string) bool { return (&guard{base: fs, dir: dir}).room() }

// room tries to write: free space that is asked for says nothing of quotas.
func (g *guard) room() bool {
	name := g.base.PathJoin(g.dir, "ROOM")
	f, err := g.base.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false
	}
	block := make([]byte, 1<<20)
	for n := 0; n < roomBytes && err == nil; n += len(block) {
		_, err = f.Write(block)
	}
	err = errors.Join(err, f.Sync(), f.Close())
	return errors.Join(err, g.base.Remove(name)) == nil
}

// fail breaks the store; the first reason stays.
func (g *guard) fail(err error) {
	kind := ErrBroken
	if d := (pebbleDamage{}); errors.As(err, &d) || pebble.IsCorruptionError(err) {
		kind = ErrCorrupt
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = fmt.Errorf("%w: %s: %w", kind, g.dir, err)
		close(g.failed)
	}
}

// Err is why the store is broken; nil: it is not.
func (g *guard) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// seen breaks the store with an error of Pebble's, nil excepted.
func (g *guard) seen(err error) error {
	if err == nil {
		return nil
	}
	g.fail(err)
	return g.Err()
}

// Infof, Errorf and Fatalf make a guard Pebble's logger. Pebble calls Fatalf when
// it can't go on, and nobody must return from it: a read that came through this
// package unwinds to it as a panic that catch takes, a write or a goroutine of
// Pebble's own stays where it is.
func (g *guard) Infof(string, ...any)  {}
func (g *guard) Errorf(string, ...any) {}
func (g *guard) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = fmt.Errorf("%s: %w", strings.TrimSuffix(err.Error(), ": "+cause.Error()), cause)
		}
	}
	g.fail(err)
	if reading() {
		panic(broken{})
	}
	forever()
}

func forever() { select {} }

type broken struct{}

// catch ends the unwinding that Fatalf began.
func (g *guard) catch(err *error) {
	switch r := recover(); r {
	case nil:
	case any(broken{}):
		*err = g.Err()
	default:
		if e, ok := r.(error); ok && errors.Is(e, pebble.ErrClosed) && g.Err() != nil {
			*err = g.Err() // it was abandoned
			return
		}
		panic(r)
	}
}

// reading says whether this goroutine is a caller of the Store's that reads.
func reading() bool {
	var pcs [256]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "tidemark/state.(*Store).") {
			return !strings.HasPrefix(f.Function, "tidemark/state.(*Store).caught")
		}
		if !more {
			return false
		}
	}
}

// pebbleDamage is what Pebble says of a damaged file.
type pebbleDamage struct{ i pebble.DataCorruptionInfo }

func (p pebbleDamage) Error() string { return fmt.Sprintf("%s: %v", p.i.Path, p.i.Details) }
func (p pebbleDamage) Unwrap() error { return p.i.Details }

// listener hears of what fails in the background.
func (g *guard) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { g.fail(err) },
		DataCorruption:  func(i pebble.DataCorruptionInfo) { g.fail(pebbleDamage{i}) },
	}
}

// sever lets no more write reach the folder and gives its lock back, so that it
// can be opened anew though Pebble still holds it.
func (g *guard) sever() {
	g.cut.Lock()
	defer g.cut.Unlock()
	if g.gone {
		return
	}
	g.gone = true
	close(g.severed)
	if g.lock != nil {
		g.lock.Close()
	}
}

// wrote takes the error of one write and returns when the write is to be tried
// again: there is room, or the store is abandoned.
func (g *guard) wrote(err error) {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if g.awaitRoom(); g.Err() == nil {
			return
		}
	}
	g.fail(err)
	<-g.severed
}

// begin is called before each write, end after it. False: the store is abandoned,
// the write is not to be done, and end is not to be called.
func (g *guard) begin() bool {
	g.cut.RLock()
	if g.gone {
		g.cut.RUnlock()
		return false
	}
	return true
}

func (g *guard) end() { g.cut.RUnlock() }

// open opens the store, unless the disk fails it meanwhile.
func (g *guard) open(po *pebble.Options) (*pebble.DB, error) {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() { done <- r }()
		defer g.dropped()
		r.db, r.err = pebble.Open(g.dir, po)
	}()
	drop := func(r result) {
		defer g.dropped()
		if r.db != nil {
			r.db.Close()
		}
	}
	select {
	case r := <-done:
		if err := g.Err(); err != nil {
			go drop(r)
			return nil, err
		}
		if g.damages(r.err) {
			g.fail(pebbleDamage{pebble.DataCorruptionInfo{Path: "opening it", Details: r.err}})
			return nil, g.Err()
		}
		if r.err != nil {
			return nil, fmt.Errorf("state: open %s: %w", g.dir, r.err)
		}
		return r.db, nil
	case <-g.failed:
		go func() { drop(<-done) }()
		return nil, g.Err()
	}
}

// damages says whether an error of opening means that the folder is of no use: a
// table is damaged, or a file is not there that another names. The latter is what
// a loss of power leaves of a store that is made for the first time, and Pebble
// refuses the folder from then on.
func (g *guard) damages(err error) bool {
	switch {
	case err == nil, errors.Is(err, pebble.ErrDBDoesNotExist):
		return false
	case pebble.IsCorruptionError(err), errors.Is(err, pebble.ErrDBNotPristine):
		return true
	case !errors.Is(err, os.ErrNotExist):
		return false
	}
	names, lerr := g.base.List(g.dir)
	return lerr == nil && len(names) > 0
}

// dropped ends a panic of Pebble's over a store that is lost already: it can't
// know that its writes were swallowed.
func (g *guard) dropped() {
	if g.Err() != nil {
		_ = recover()
	}
}

// guarded runs fn, which writes, until it ends or the store breaks: it may then
// wait for ever for a lock that a dead goroutine of Pebble's holds.
func (s *Store) guarded(fn func() error) error {
	if err := s.g.Err(); err != nil {
		return err
	}
	// Nothing begins while the disk is full: it would wait inside Pebble, with locks.
	if over := s.g.waits.Load(); over != nil {
		select {
		case <-*over:
		case <-s.g.failed:
			return s.g.Err()
		}
	}
	done := make(chan error, 1)
	s.g.busy.Add(1)
	go func() {
		defer s.g.busy.Done()
		done <- s.caught(fn)
	}()
	select {
	case err := <-done:
		return err
	case <-s.g.failed:
		return s.g.Err()
	}
}

func (s *Store) caught(fn func() error) (err error) {
	defer s.g.catch(&err)
	if err := s.g.Err(); err != nil {
		return err
	}
	return s.g.seen(fn())
}

// abandoned is the error of a read after Abandon, when Pebble is about to end.
func (s *Store) abandoned() error {
	if !s.closing.Load() {
		return nil
	}
	return s.g.Err()
}

// Err says why the store takes nothing more, wrapping ErrBroken or ErrCorrupt;
// nil: it does.
func (s *Store) Err() error { return s.g.Err() }

// Failed is closed when Err is no longer nil.
func (s *Store) Failed() <-chan struct{} { return s.g.failed }

// Close closes the store; a broken one is abandoned.
func (s *Store) Close() error {
	if s.g.Err() != nil {
		s.Abandon()
		return nil
	}
	s.closing.Store(true)
	err := s.guarded(s.db.Close)
	if s.g.Err() != nil {
		s.g.sever()
		return nil
	}
	return err
}

// Abandon gives the folder free without waiting for anything: what is not yet
// written never will be, which is a power loss to the folder and no more. Like
// Close it must not be called while another goroutine reads. Pebble then ends in
// the background.
func (s *Store) Abandon() {
	s.g.fail(errors.New("it was abandoned"))
	s.g.sever()
	if s.closing.Swap(true) {
		return
	}
	go func() {
		defer s.g.dropped()
		s.g.busy.Wait()
		s.db.Close()
	}()
}
