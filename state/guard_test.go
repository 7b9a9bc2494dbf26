package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is one that can fail: writes to files whose name holds a word, with an error.
type disk struct {
	*vfs.MemFS
	fs   vfs.FS
	err  atomic.Pointer[error]
	word atomic.Pointer[string]
	hits atomic.Int64
}

func newDisk() *disk {
	d := &disk{MemFS: vfs.NewMem()}
	d.fs = errorfs.Wrap(d.MemFS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		err := d.err.Load()
		if err == nil || !strings.Contains(op.Path, *d.word.Load()) {
			return nil
		}
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpReuseForWrite, errorfs.OpLink:
			d.hits.Add(1)
			return *err
		}
		return nil
	}))
	return d
}

func (d *disk) fail(word string, err error) { d.word.Store(&word); d.err.Store(&err) }
func (d *disk) mend()                       { d.err.Store(nil) }

func commit(s *Store, seq int64) error {
	var b Batch
	for i := range 50 {
		b.Set(CustomerKey(nil, fmt.Sprintf("c%02d", i)), fmt.Appendf(nil, "%-200d", seq))
	}
	return s.Apply(&b, &Position{Sequence: seq})
}

// whole checks that a store holds one commit and nothing of another, and says which.
func whole(t *testing.T, s *Store) int64 {
	t.Helper()
	p, err := s.Position()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.EachRow(func(id, row []byte) error {
		if n++; string(row) != fmt.Sprintf("%-200d", p.Sequence) {
			return fmt.Errorf("%s holds %s of another commit than %d", id, strings.TrimSpace(string(row)), p.Sequence)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if p.Sequence > 0 && n != 50 {
		t.Fatalf("%d rows", n)
	}
	return p.Sequence
}

// A full disk stops the store, which says so; when there is room it goes on and
// lacks nothing.
func TestFullDiskIsWaitedOut(t *testing.T) {
	d := newDisk()
	stalls := make(chan string, 100)
	s, err := Open("store", Options{FS: d.fs, MemTable: 256 << 10, OnStall: func(why string) { stalls <- why }})
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(s, 1); err != nil {
		t.Fatal(err)
	}
	d.fail("", syscall.ENOSPC)
	const last = 400 // 4 MB: memtables fill, so it has to wait
	applied := make(chan error, 1)
	var reached atomic.Int64
	go func() {
		for seq := int64(2); seq <= last; seq++ {
			if err := commit(s, seq); err != nil {
				applied <- err
				return
			}
			reached.Store(seq)
		}
		applied <- nil
	}()
	if why := <-stalls; !strings.Contains(why, "full") {
		t.Fatal(why)
	}
	select {
	case err := <-applied:
		t.Fatalf("4 MB went to a full disk: %v", err)
	default:
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	d.mend()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if why := <-stalls; why != "" {
		t.Fatal(why)
	}
	if got := whole(t, s); got != last {
		t.Fatalf("it stands at %d", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open("store", Options{FS: d.fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := whole(t, s); got != last {
		t.Fatalf("opened again it stands at %d", got)
	}
}

// Whatever file fails to be written, however: the store breaks and says why, the
// process lives, and the folder opens again at a whole commit.
func TestFailedWriteBreaksTheStore(t *testing.T) {
	for _, c := range []struct {
		word string
		err  error
	}{{".log", syscall.EIO}, {"MANIFEST", syscall.EIO}, {".sst", syscall.EIO}, {"", syscall.EIO}, {"", syscall.EROFS}} {
		t.Run(fmt.Sprint(c.word, " ", c.err), func(t *testing.T) {
			d := newDisk()
			s, err := Open("store", Options{FS: d.fs, MemTable: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			for seq := int64(1); seq <= 10; seq++ {
				if err := commit(s, seq); err != nil {
					t.Fatal(err)
				}
			}
			d.fail(c.word, c.err)
			seq := int64(11)
			for ; ; seq++ {
				if seq > 100_000 {
					t.Fatal("it never broke")
				}
				if err = commit(s, seq); err != nil {
					break
				}
			}
			if !errors.Is(err, ErrBroken) || !errors.Is(s.Err(), ErrBroken) || d.hits.Load() == 0 {
				t.Fatalf("got %v after %d injections", err, d.hits.Load())
			}
			<-s.Failed()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			d.mend()
			s, err = Open("store", Options{FS: d.fs})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got := whole(t, s)
			if got > seq {
				t.Errorf("it stands at %d, only %d was tried", got, seq)
			}
			if err := commit(s, got+1); err != nil || whole(t, s) != got+1 {
				t.Error("it does not go on", err)
			}
		})
	}
}

// A store that was given up touches its folder no more.
func TestAbandonedStoreWritesNothing(t *testing.T) {
	d := newDisk()
	s, err := Open("store", Options{FS: d.fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(s, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	s.Abandon()
	if err := commit(s, 2); !errors.Is(err, ErrBroken) {
		t.Fatal(err)
	}
	two, err := Open("store", Options{FS: d.fs})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if got := whole(t, two); got != 1 {
		t.Errorf("it stands at %d", got)
	}
	if err := s.CheckpointTo("copy"); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
}

// Damage in a file is seen when it is read, by name, and nobody is taken down.
func TestDamagedFile(t *testing.T) {
	d := newDisk()
	s, err := Open("store", Options{FS: d.fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(s, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckpointTo("copy"); err != nil { // flushes
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := d.List("store")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".sst") {
			f, err := d.OpenReadWrite("store/"+n, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("damage"), 100); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	s, err = Open("store", Options{FS: d.fs})
	if err == nil {
		err = s.EachRow(func(_, _ []byte) error { return nil })
		if !errors.Is(s.Err(), ErrCorrupt) {
			t.Errorf("the store says %v", s.Err())
		}
		s.Close()
	}
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "store") {
		t.Fatal(err)
	}
}

// One store's failure is one store's: a second on the same disk goes on.
func TestOthersGoOn(t *testing.T) {
	d := newDisk()
	var stores [2]*Store
	for i := range stores {
		s, err := Open(fmt.Sprint("store", i), Options{FS: d.fs, MemTable: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		stores[i] = s
	}
	d.fail("store0", syscall.EIO)
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for seq := int64(1); seq <= 300; seq++ {
				if err := commit(s, seq); err != nil && i == 1 {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if !errors.Is(stores[0].Err(), ErrBroken) || stores[1].Err() != nil {
		t.Error(stores[0].Err(), stores[1].Err())
	}
	d.mend()
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whenever the power goes while a store is made and first used, what is left
// opens, or says that it is damaged: never an error that stays for ever.
func TestPowerLossWhileMade(t *testing.T) {
	damaged := 0
	for at := int64(1); ; at++ {
		mem := vfs.NewCrashableMem()
		var left []*vfs.MemFS
		var n int64
		var mu sync.Mutex
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				if n++; n == at {
					for seed, percent := range []int{0, 30, 60, 90, 60, 30} {
						left = append(left, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(at), uint64(seed)))}))
					}
				}
			}
			return nil
		}))
		s, err := Open("store", Options{FS: fs, MemTable: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for seq := int64(1); seq <= 3; seq++ {
			if err := commit(s, seq); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left == nil {
			break
		}
		for i, fs := range left {
			s, err := Open("store", Options{FS: fs})
			if errors.Is(err, ErrCorrupt) {
				damaged++
				continue
			}
			if err != nil {
				t.Fatalf("power lost at write %d, way %d: %v", at, i, err)
			}
			whole(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// How many depends on what Pebble's goroutines had written by then; the next
	// test makes such a store on purpose.
	t.Logf("%d left a damaged store", damaged)
}

// What a loss of power can leave of a store that is being made: a file that
// another names is not there.
func TestHalfMadeStoreIsDamaged(t *testing.T) {
	for _, gone := range []string{"MANIFEST-"} {
		mem := vfs.NewMem()
		s, err := Open("store", Options{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		if err := commit(s, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		names, err := mem.List("store")
		if err != nil {
			t.Fatal(err)
		}
		removed := 0
		for _, name := range names {
			if strings.HasPrefix(name, gone) {
				removed++
				if err := mem.Remove("store/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if removed == 0 {
			t.Fatalf("there is no file %s… among %v", gone, names)
		}
		if s, err := Open("store", Options{FS: mem}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s…: %v, want %v", gone, err, ErrCorrupt)
			if err == nil {
				_ = s.Close()
			}
		}
	}
}

// Pebble ends behind a store that broke, whatever it was about to write: no
// goroutine of it stays, and a bubble can end.
func TestBrokenStoreEnds(t *testing.T) {
	for _, c := range []struct {
		word string
		err  error
	}{{".log", syscall.EIO}, {"MANIFEST", syscall.EIO}, {".sst", syscall.EIO}, {"", syscall.EIO}, {"", syscall.ENOSPC}, {"none", nil}} {
		t.Run(fmt.Sprint(c.word, " ", c.err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // fails if a goroutine stays
				d := newDisk()
				quit := make(chan struct{})
				s, err := Open("store", Options{FS: d.fs, MemTable: 64 << 10, Quit: quit})
				if err != nil {
					t.Fatal(err)
				}
				if c.err != nil {
					d.fail(c.word, c.err)
				}
				time.AfterFunc(5*time.Second, func() { close(quit) })
				for seq := int64(1); seq <= 2000 && err == nil; seq++ {
					err = commit(s, seq)
				}
				if got, want := errors.Is(err, ErrBroken), c.err != nil; got != want {
					t.Fatalf("got %v", err)
				}
				s.Abandon()
				if _, err := s.Position(); !errors.Is(err, ErrBroken) {
					t.Errorf("a read after it was abandoned gives %v", err)
				}
				if err := commit(s, 1); !errors.Is(err, ErrBroken) {
					t.Error(err)
				}
			})
		})
	}
}
