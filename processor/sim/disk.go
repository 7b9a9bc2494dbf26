package sim

import (
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is what a process has its stores on, for one life. Faults that strike in
// the middle of a write are decided here, on the goroutine that writes.
type disk struct {
	mem  *vfs.MemFS
	fs   vfs.FS
	link *link

	full    atomic.Bool
	refused *atomic.Int64 // counts what a full disk did not take
	slow    atomic.Int64  // of each batch, nanoseconds
	after   atomic.Int64  // ends the process at the so manieth write from now; 0: never
	once    sync.Once
	left    *vfs.MemFS // what was there when the process ended in a write
	ended   func()     // tells the scheduler
}

func newDisk(mem *vfs.MemFS, l *link, ended func()) *disk {
	d := &disk{mem: mem, link: l, ended: ended}
	d.fs = errorfs.Wrap(mem, d)
	return d
}

// String is errorfs.Injector's.
func (d *disk) String() string { return "sim disk" }

// MaybeError is errorfs.Injector's: it comes before each operation.
func (d *disk) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || d.link.dead.Load() {
		return nil
	}
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFilePreallocate, errorfs.OpReuseForWrite, errorfs.OpMkdirAll:
		if d.full.Load() {
			d.refused.Add(1)
			return syscall.ENOSPC
		}
	}
	if d.after.Load() > 0 && d.after.Add(-1) == 0 {
		d.end()
	}
	return nil
}

// end ends the process at this very write.
func (d *disk) end() {
	d.once.Do(func() {
		d.left = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		d.link.dead.Store(true)
		d.ended()
	})
}

// newMem is an empty disk, with a data folder that no loss of power takes away:
// without that nothing in it would ever count as synced.
func newMem() *vfs.MemFS {
	m := vfs.NewCrashableMem()
	must(m.MkdirAll(dataDir, 0o700))
	root, err := m.OpenDir("/")
	must(err)
	must(root.Sync())
	must(root.Close())
	return m
}

// crash gives what a disk holds after a loss of power: all that was synced and
// each other block or name with the given chance in percent; 100 is what a
// killed process leaves. Unlike MemFS's own clone it goes through the files in
// order, so that the same seed leaves the same.
func crash(from *vfs.MemFS, percent int, rng *rand.Rand) *vfs.MemFS {
	all := from.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	if percent >= 100 {
		return all
	}
	safe := from.CrashClone(vfs.CrashCloneCfg{})
	out := vfs.NewCrashableMem()
	var walk func(dir string, sure bool)
	walk = func(dir string, sure bool) {
		names, _ := all.List(dir)
		slices.Sort(names)
		for _, name := range names {
			p := path.Join(dir, name)
			info, err := all.Stat(p)
			if err != nil {
				continue
			}
			_, err = safe.Stat(p)
			known := err == nil
			if !known && rng.IntN(100) >= percent {
				continue
			}
			if info.IsDir() {
				must(out.MkdirAll(p, 0o700))
				walk(p, known)
				continue
			}
			data := read(all, p)
			base := []byte{}
			if known {
				base = read(safe, p)
			}
			for at := 0; at < len(data); at += 4096 {
				end := min(at+4096, len(data))
				if rng.IntN(100) < percent {
					if grow := end - len(base); grow > 0 {
						base = append(base, make([]byte, grow)...)
					}
					copy(base[at:], data[at:end])
				}
			}
			write(out, p, base)
		}
		sync, err := out.OpenDir(dir)
		if err == nil {
			must(sync.Sync())
			must(sync.Close())
		}
	}
	walk("/", true)
	return out
}

func read(fs vfs.FS, p string) []byte {
	f, err := fs.Open(p)
	must(err)
	defer f.Close()
	info, err := f.Stat()
	must(err)
	b := make([]byte, info.Size())
	if len(b) > 0 {
		_, err = f.ReadAt(b, 0)
		must(err)
	}
	return b
}

func write(fs vfs.FS, p string, b []byte) {
	f, err := fs.Create(p, vfs.WriteCategoryUnspecified)
	must(err)
	_, err = f.Write(b)
	must(err)
	must(f.Sync())
	must(f.Close())
}

// corrupt turns bits over in one table file, if there is one.
func corrupt(fs vfs.FS, root string, rng *rand.Rand) bool {
	var tables []string
	var walk func(dir string)
	walk = func(dir string) {
		names, _ := fs.List(dir)
		slices.Sort(names)
		for _, name := range names {
			p := path.Join(dir, name)
			if info, err := fs.Stat(p); err == nil && info.IsDir() {
				walk(p)
			} else if strings.HasSuffix(name, ".sst") {
				tables = append(tables, p)
			}
		}
	}
	walk(root)
	if len(tables) == 0 {
		return false
	}
	p := tables[rng.IntN(len(tables))]
	b := read(fs, p)
	for range 1 + len(b)/512 {
		b[rng.IntN(len(b))] ^= 0x55
	}
	write(fs, p, b)
	return true
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
