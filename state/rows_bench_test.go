package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// BenchmarkRows reads rows of a task of 250 k customers that were written again
// in random batches, as a store of 1 M customers on four tasks is. An op is a row.
func BenchmarkRows(b *testing.B) {
	const n = 250_000
	cache := pebble.NewCache(16 << 20)
	defer cache.Unref()
	s, err := Open(b.TempDir(), Options{Cache: cache})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	id := func(i int) string { return fmt.Sprintf("customer-%09d", i) }
	row := make([]byte, 200)
	write := func(ids []int) {
		slices.Sort(ids)
		ids = slices.Compact(ids)
		var batch Batch
		for _, i := range ids {
			for k := range row {
				row[k] = byte(rng.Uint32())
			}
			batch.Set(CustomerKey(nil, id(i)), row)
		}
		if err := s.Apply(&batch, &Position{}); err != nil {
			b.Fatal(err)
		}
	}
	draw := func(k int) []int {
		ids := make([]int, k)
		for i := range ids {
			ids[i] = rng.IntN(n)
		}
		return ids
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for part := range slices.Chunk(all, 20_000) {
		write(part)
	}
	for range 25 {
		write(draw(20_000))
	}
	for _, size := range []int{1, 1000, 8192, 32768} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			var before, after syscall.Rusage
			var cpu int64
			found := 0
			for left := b.N; left > 0; {
				b.StopTimer()
				var ids []string
				for _, i := range draw(min(size, left)) {
					ids = append(ids, id(i))
				}
				left -= len(ids)
				slices.Sort(ids)
				b.StartTimer()
				syscall.Getrusage(syscall.RUSAGE_SELF, &before)
				if err := s.Rows(ids, func(_ int, row []byte) error { found += len(row); return nil }); err != nil {
					b.Fatal(err)
				}
				syscall.Getrusage(syscall.RUSAGE_SELF, &after)
				cpu += after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			}
			if got, want := found, 200*b.N; got != want {
				b.Fatalf("%d bytes, want %d", got, want)
			}
			b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}
