package state

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What a batch holds is what the store holds then, whichever way it was put together.
func TestBatchIsWhatTheStoreGets(t *testing.T) {
	s, err := Open("task", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var first Batch
	for i := range 10 {
		first.Set(fmt.Appendf(nil, "c%d", i), []byte("old"))
	}
	if err := s.Apply(&first, &Position{Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	var timers, b Batch
	b.Join(&timers) // nothing
	timers.Set([]byte("t1"), nil)
	timers.Delete([]byte("c3"))
	b.Grow(1000)
	b.Set([]byte("c1"), bytes.Repeat([]byte("long"), 100))
	b.Join(&timers)
	b.Add(Op{Kind: DeleteRange, Key: []byte("c5"), Value: []byte("c8")}, Op{Kind: Set, Key: []byte("c7"), Value: []byte{}}, Op{Kind: Delete, Key: []byte("c9")})
	timers.Reset()
	timers.Set([]byte("t2"), nil)
	if err := s.Apply(&b, &Position{Sequence: 2}); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	if err := s.EachKey(func(k, v []byte) error { got[string(k)] = len(v); return nil }); err != nil {
		t.Fatal(err)
	}
	delete(got, "mformat")
	delete(got, "mposition")
	if got, want := fmt.Sprint(got), "map[c0:3 c1:400 c2:3 c4:3 c7:0 c8:3 t1:0]"; got != want {
		t.Errorf("the store holds\n%s, want\n%s", got, want)
	}
	if p, err := s.Position(); err != nil || p.Sequence != 2 {
		t.Errorf("position %+v, %v", p, err)
	}
}
