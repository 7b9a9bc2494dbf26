package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tidemark/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func drainQuickly(t testing.TB, sources []Source, options Options) {
	events, err := Open(context.Background(), sources, options)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for {
		if _, err := events.Next(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSorterAgainstSliceStable sorts the same records with budgets from one
// record to all of them and wants what sort.SliceStable gives.
func TestSorterAgainstSliceStable(t *testing.T) {
	spilled, severalPasses := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		type rec struct {
			at   int64
			text []byte
		}
		n := rapid.IntRange(0, 2000).Draw(t, "records")
		span := rapid.Int64Range(1, 1000).Draw(t, "span")
		size := rapid.IntRange(0, 300).Draw(t, "size")
		seed := rapid.Uint64().Draw(t, "seed")
		records := make([]rec, n)
		for i := range records {
			seed = seed*6364136223846793005 + 1442695040888963407
			records[i] = rec{int64(seed>>33)%span - span/2, bytes.Repeat([]byte{byte(i)}, int(seed>>40)%(size+1))}
		}
		s := newSorter(rapid.Int64Range(1, 300<<10).Draw(t, "budget"), os.TempDir())
		defer s.close()
		adopt := rapid.Bool().Draw(t, "adopt")
		for i := 0; i < n; {
			if !adopt {
				if err := s.add(sortKey{records[i].at, uint64(i)}, records[i].text); err != nil {
					t.Fatal(err)
				}
				i++
				continue
			}
			var block []byte
			var entries []entry
			for k := 0; k < 37 && i < n; k, i = k+1, i+1 {
				entries = append(entries, entry{sortKey: sortKey{records[i].at, uint64(i)}, offset: uint32(len(block))})
				block = appendFramed(block, records[i].text)
			}
			if err := s.adopt(block, entries); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.runs) > 0 {
			spilled++
		}
		if len(s.runs) > 2 {
			severalPasses++
		}
		m, err := s.finish()
		if err != nil {
			t.Fatal(err)
		}
		sort.SliceStable(records, func(i, j int) bool { return records[i].at < records[j].at })
		for i, want := range records {
			key, got, err := m.next()
			if err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			if key.a != want.at || !bytes.Equal(got, want.text) {
				t.Fatalf("record %d has key %d and %d bytes, want %d and %d", i, key.a, len(got), want.at, len(want.text))
			}
		}
		if _, _, err := m.next(); err != io.EOF {
			t.Fatalf("after the last record: %v", err)
		}
	})
	if spilled == 0 || severalPasses == 0 {
		t.Errorf("%d cases spilled and %d merged in several passes; the test wants both", spilled, severalPasses)
	}
}

func TestSortedInputStaysOneRun(t *testing.T) {
	s := newSorter(64<<10, t.TempDir())
	defer s.close()
	for i := range 20000 {
		if err := s.add(sortKey{int64(i / 3), uint64(i)}, []byte("a record of some length")); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := len(s.runs), 1; got != want {
		t.Errorf("%d runs, want %d", got, want)
	}
}

// TestOpenIsTheSameForAllBudgets reads files with many equal times and wants
// (time, orders before behaviors, place), whatever the budget and the workers.
func TestOpenIsTheSameForAllBudgets(t *testing.T) {
	var first, second bytes.Buffer
	var all []*schemas.Event
	for i := range 6000 {
		e := &schemas.Event{Kind: schemas.Kind(i / 2 % 2), EventID: fmt.Sprint("e", i), CustomerID: "c", OccurredAt: schemas.EventTime(i * 7919 % 97)}
		if e.Kind == schemas.Order {
			e.Order, e.OrderID, e.Currency = schemas.Paid, "o", "CNY"
		} else {
			e.Type = "login"
		}
		all = append(all, e)
		w := &first
		if i >= 3500 {
			w = &second
		}
		if err := WriteJSONL(w, e); err != nil {
			t.Fatal(err)
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].OccurredAt != all[j].OccurredAt {
			return all[i].OccurredAt < all[j].OccurredAt
		}
		return all[i].Kind < all[j].Kind
	})
	for _, budget := range []int64{1, 20 << 10, 200 << 10, 0} {
		for _, workers := range []int{1, 3} {
			got, report := drain(t, []Source{
				{Path: "first", Reader: bytes.NewReader(first.Bytes())},
				{Path: "second", Reader: bytes.NewReader(second.Bytes())},
			}, Options{MemoryBytes: budget, Workers: workers})
			if (report.SpilledBytes > 0) != (budget > 0) {
				t.Errorf("budget %d: %d bytes spilled", budget, report.SpilledBytes)
			}
			same := slices.EqualFunc(got, all, func(a, b *schemas.Event) bool { return a.EventID == b.EventID })
			if !same {
				t.Errorf("budget %d, %d workers: not in the order wanted", budget, workers)
			}
		}
	}
}

func TestTemporaryFileIsRemoved(t *testing.T) {
	dir := t.TempDir()
	left := func() int {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	text := jsonLinesOf(5000, -1)
	events, err := Open(context.Background(), []Source{{Path: "x", Reader: bytes.NewReader(text)}}, Options{MemoryBytes: 1, TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if events.Report().SpilledBytes == 0 {
		t.Error("nothing was spilled")
	}
	events.Close()
	if got := left(); got != 0 {
		t.Errorf("%d files left after Close", got)
	}
	broken := append(slices.Clone(text), "{"...)
	if _, err := Open(context.Background(), []Source{{Path: "x", Reader: bytes.NewReader(broken)}}, Options{MemoryBytes: 1, TempDir: dir}); err == nil {
		t.Error("a broken last line passed")
	}
	if got := left(); got != 0 {
		t.Errorf("%d files left after a failed Open", got)
	}
}

func TestDamagedRunIsNoticed(t *testing.T) {
	s := newSorter(1, t.TempDir())
	defer s.close()
	for i := range 3000 {
		if err := s.add(sortKey{int64(-i), uint64(i)}, bytes.Repeat([]byte{1}, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.spill.file.Truncate(s.spill.end / 2); err != nil {
		t.Fatal(err)
	}
	m, err := s.finish()
	for err == nil {
		_, _, err = m.next()
	}
	if err == io.EOF {
		t.Error("a truncated run reads as if it were whole")
	}
}
