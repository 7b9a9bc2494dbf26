package state

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tidemark/schemas"
)

var keep = flag.Bool("keep", false, "write testdata/store-v1 anew; only before a format changes, never after")

func keptRow(i int) *Customer {
	return &Customer{ID: fmt.Sprintf("c%03d", i), Latest: schemas.EventTime(1_700_000_000_000 + int64(i)),
		Orders: []Order{{ID: uint64(i) + 1, Event: uint64(i) + 2, At: schemas.EventTime(1_700_000_000_000 + int64(i)), Paid: int64(100 * i)}}}
}

// A store that an earlier binary wrote, byte for byte as it lay on its disk, opens,
// says the same, and goes on. A version that changes the format keeps this folder
// and adds one of its own.
func TestKeptStore(t *testing.T) {
	const kept = "testdata/store-v1"
	want := Position{Generation: 1, Task: 3, Engine: 2, Sequence: 41, Hash: 42, JournalNext: 80, Inputs: [schemas.Inputs]schemas.Offset{10, 20, 2, 0},
		Clock: 1_700_000_000_000, Playbook: "1-a"}
	if *keep {
		if err := os.RemoveAll(kept); err != nil {
			t.Fatal(err)
		}
		s, err := Open(filepath.Join(t.TempDir(), "s"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		for i := range 100 {
			c := keptRow(i)
			b.Set(CustomerKey(nil, c.ID), AppendRow(nil, c))
			b.Set(TimerKey(nil, c.Latest, c.ID), nil)
		}
		if err := s.Apply(&b, &want); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckpointTo(kept); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // the second time what this binary made of it
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := s.Position(); err != nil || p != want {
			t.Fatalf("round %d: it stands at %+v, %v", round, p, err)
		}
		n := 0
		if err := s.EachRow(func(id, row []byte) error {
			got := Customer{ID: string(id)}
			if err := DecodeRow(&got, row); err != nil {
				return err
			}
			if w := keptRow(n); got.ID != w.ID || got.Latest != w.Latest || len(got.Orders) != 1 || got.Orders[0] != w.Orders[0] {
				return fmt.Errorf("round %d: %+v", round, got)
			}
			n++
			return nil
		}); err != nil || n != 100 {
			t.Fatal(n, err)
		}
		timers, err := s.Timers(nil, nil, 1000)
		if err != nil || len(timers) != 100 {
			t.Fatal(len(timers), err)
		}
		want.Sequence++
		if err := s.Apply(&Batch{}, &want); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
