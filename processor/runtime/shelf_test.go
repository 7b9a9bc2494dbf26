package runtime

import (
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tidemark/state"
)

// Wherever a process ends while one store takes another's place, what it leaves
// opens: the old store, none or the new one, never a part of one. Each removal
// of a folder is a removal of its files one by one.
func TestSwapIsWholeWhereverItEnds(t *testing.T) {
	errEnd := errors.New("the process ended")
	for ends := 0; ; ends++ {
		mem := vfs.NewMem()
		for _, dir := range []string{"data/task-00000", "data/task-00000.new"} {
			if err := mem.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			store, err := state.Open(dir, state.Options{FS: mem})
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		dying := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if n++; n > ends {
				return errEnd
			}
			return nil
		}))
		s := &shelf{cfg: &Config{FS: mem}, dir: "data/task-00000", log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		err := s.swap(oneByOne{dying}, s.newDir())
		if err != nil && !errors.Is(err, errEnd) {
			t.Fatalf("ended after %d: %v", ends, err)
		}
		store, openErr := state.Open(s.dir, state.Options{FS: mem})
		if openErr != nil {
			t.Fatalf("ended after %d writes: %v", ends, openErr)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			if ends < 5 {
				t.Errorf("%d writes and all is done: nothing was cut short", ends)
			}
			return
		}
	}
}

// oneByOne removes a folder as an operating system does.
type oneByOne struct{ vfs.FS }

func (o oneByOne) RemoveAll(dir string) error {
	names, err := o.List(dir)
	if err != nil {
		return o.FS.RemoveAll(dir) // it is not there, or no folder
	}
	for _, name := range names {
		if err := o.Remove(o.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return o.FS.RemoveAll(dir)
}
