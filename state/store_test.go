package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/schemas"
)

func open(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("store", Options{FS: fs, MemTable: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer s.Close()
	if p, err := s.Position(); err != nil || p != (Position{}) {
		t.Fatalf("a new store stands at %+v, %v", p, err)
	}
	var b Batch
	for i := range 5 {
		id := fmt.Sprintf("c%d", i)
		b.Set(CustomerKey(nil, id), []byte{byte(i)})
		b.Set(TimerKey(nil, schemas.EventTime(10-i), id), nil)
		b.Set(SpillKey(nil, "c1", SpillOrder, int32(i), 7), []byte{1})
	}
	if err := s.Apply(&b, &Position{Sequence: 1, Task: 4}); err != nil {
		t.Fatal(err)
	}
	var rows []int
	if err := s.Rows([]string{"c0", "c1", "x"}, func(i int, row []byte) error {
		rows = append(rows, len(row))
		return nil
	}); err != nil || !slices.Equal(rows, []int{1, 1, 0}) {
		t.Errorf("rows of %v bytes, %v", rows, err)
	}
	// Timers come in order of their due, and go on after the one given.
	var ids []string
	var from []byte
	for {
		keys, err := s.Timers(nil, from, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			_, id, _ := ParseTimerKey(k)
			ids = append(ids, string(id))
		}
		from = keys[len(keys)-1]
	}
	if want := []string{"c4", "c3", "c2", "c1", "c0"}; !slices.Equal(ids, want) {
		t.Errorf("timers of %v, want %v", ids, want)
	}
	got, err := s.Customers(nil, "c1", false, 2)
	if err != nil || !slices.Equal(got, []string{"c2", "c3"}) {
		t.Errorf("customers after c1: %v, %v", got, err)
	}
	var c Batch
	c.DeleteRange(SpillPrefix(nil, "c1", SpillOrder, 1), SpillPrefix(nil, "c1", SpillOrder, 3))
	if err := s.Apply(&c, &Position{Sequence: 2, Task: 4}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false, true, true} {
		v, err := s.Get(SpillKey(nil, "c1", SpillOrder, int32(i), 7))
		if err != nil || (v != nil) != want {
			t.Errorf("sub-key in bucket %d: %v, %v", i, v, err)
		}
	}
	if p, err := s.Position(); err != nil || p.Sequence != 2 || p.Task != 4 {
		t.Errorf("position %+v, %v", p, err)
	}
}

// A batch is in the store with its position, or not at all.
func TestPowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	apply := func(n int64) {
		var b Batch
		b.Set(CustomerKey(nil, "c"), fmt.Append(nil, n))
		if err := s.Apply(&b, &Position{Sequence: n}); err != nil {
			t.Fatal(err)
		}
	}
	apply(1)
	apply(2)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	apply(3)
	after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	defer after.Close()
	defer s.Close()
	p, err := after.Position()
	if err != nil || p.Sequence < 2 {
		t.Fatalf("position %+v, %v: what was synced is lost", p, err)
	}
	v, err := after.Get(CustomerKey(nil, "c"))
	if err != nil || string(v) != fmt.Sprint(p.Sequence) {
		t.Errorf("row %s at position %d, %v", v, p.Sequence, err)
	}
}

func TestOtherVersion(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	if err := s.db.Set(MetaKey(nil, "format"), []byte{StoreVersion + 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("store", Options{FS: fs}); !errors.Is(err, ErrStoreVersion) {
		t.Errorf("opened: %v", err)
	}
}

// Rows gives the same whatever way it reads: near and far, there and not, over
// several levels, in order and not.
func TestRowsReadsEveryWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	s, err := Open("task", Options{FS: vfs.NewMem(), MemTable: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := func(i int) string { return fmt.Sprintf("customer-%06d", i) }
	model := map[string]string{}
	const n = 20_000
	for round := range 12 {
		var b Batch
		for range 3000 {
			// Dense in the first half, sparse in the second.
			i := rng.IntN(n / 2)
			if rng.IntN(8) == 0 {
				i = n/2 + rng.IntN(n/2)
			}
			if rng.IntN(20) == 0 {
				delete(model, id(i))
				b.Delete(CustomerKey(nil, id(i)))
				continue
			}
			row := fmt.Sprintf("%d of round %d", i, round)
			model[id(i)] = row
			b.Set(CustomerKey(nil, id(i)), []byte(row))
		}
		if err := s.Apply(&b, &Position{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []struct{ from, to, step int }{{0, n, 1}, {0, n, 3}, {0, n, 11}, {0, n, 37}, {0, n, 400}, {n - 1, n, 1}, {0, n / 2, 1}} {
		var ids []string
		for i := part.from; i < part.to; i += 1 + rng.IntN(part.step) {
			ids = append(ids, id(i))
		}
		for _, order := range []string{"ascending", "any"} {
			if order == "any" {
				rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			}
			calls := 0
			err := s.Rows(ids, func(i int, row []byte) error {
				if i != calls {
					t.Fatalf("call %d is for %d", calls, i)
				}
				calls++
				want, there := model[ids[i]]
				if got := string(row); got != want || (row != nil) != there {
					t.Fatalf("%v %s: row of %s is %q, want %q", part, order, ids[i], got, want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := calls, len(ids); got != want {
				t.Fatalf("%d calls, want %d", got, want)
			}
		}
	}
	stop := errors.New("stop")
	if got := s.Rows([]string{"a", "b", "c", "d", "e"}, func(i int, _ []byte) error {
		if i == 2 {
			return stop
		}
		return nil
	}); got != stop {
		t.Fatalf("the caller's error came back as %v", got)
	}
}
