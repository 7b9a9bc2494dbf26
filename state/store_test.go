package state

import (
	"errors"
	"fmt"
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
