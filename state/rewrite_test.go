package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// found lists the files of a folder that hold what is looked for.
func found(t *testing.T, fs vfs.FS, dir string, what []byte) (files []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		f, err := fs.Open(fs.PathJoin(dir, n))
		if errors.Is(err, os.ErrNotExist) {
			continue // an open store removes old logs when it likes
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, what) {
			files = append(files, n)
		}
	}
	return files
}

// TestRewriteLeavesNothing: Pebble keeps the key of what was deleted in tables,
// logs and its manifest; in the files of a rewritten store there is no byte of it,
// and all else is there.
func TestRewriteLeavesNothing(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open("a", Options{FS: fs, MemTable: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(n int64, b *Batch) {
		t.Helper()
		if err := s.Apply(b, &Position{Generation: 1, Task: 3, Engine: 1, Sequence: n}); err != nil {
			t.Fatal(err)
		}
	}
	const gone = "anna.karenina@example.com"
	var b Batch
	b.Set(CustomerKey(nil, gone), []byte("row"))
	b.Set(TimerKey(nil, 7, gone), nil)
	b.Set(SpillKey(nil, gone, SpillOrder, 3, 4), []byte("order"))
	apply(1, &b)
	for i := range 200 { // several tables, and logs used again
		var b Batch
		for k := range 50 {
			b.Set(CustomerKey(nil, fmt.Sprintf("c%d-%d", i, k)), bytes.Repeat([]byte{byte(i)}, 100))
		}
		apply(int64(i)+2, &b)
	}
	b = Batch{}
	from, to := SpillRange(gone)
	b.Delete(CustomerKey(nil, gone))
	b.Delete(TimerKey(nil, 7, gone))
	b.DeleteRange(from, to)
	b.Set(TombstoneKey(nil, []byte("0123456789abcdef")), []byte("stone"))
	apply(300, &b)
	if len(found(t, fs, "a", []byte(gone))) == 0 {
		t.Fatal("the old store has no trace of her, so this test shows nothing")
	}
	if err := s.RewriteTo(t.Context(), "b", Options{FS: fs}, Op{Kind: Set, Key: MetaKey(nil, "more"), Value: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	if files := found(t, fs, "b", []byte(gone)); len(files) > 0 {
		t.Errorf("she stands in %v", files)
	}
	want := map[string]string{"mmore": "\x01"}
	if err := s.EachKey(func(k, v []byte) error { want[string(k)] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	r, err := Open("b", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if files := found(t, fs, "b", []byte(gone)); len(files) > 0 {
		t.Errorf("opened again, she stands in %v", files)
	}
	got := 0
	if err := r.EachKey(func(k, v []byte) error {
		got++
		if w, ok := want[string(k)]; !ok || w != string(v) {
			t.Errorf("%q = %q, want %q", k, v, w)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got != len(want) {
		t.Errorf("%d keys, want %d", got, len(want))
	}
	stones := 0
	if err := r.EachTombstone(func(v []byte) error { stones++; return nil }); err != nil || stones != 1 {
		t.Errorf("%d tombstones, %v", stones, err)
	}
}
