package rfm

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

var (
	// ErrNotCounted: a value was to be taken off that no bucket holds.
	ErrNotCounted = errors.New("rfm: value was not counted")
	// ErrLimits: two histograms with different limits can't be merged.
	ErrLimits = errors.New("rfm: histograms with different limits")
	// ErrFull: more than 2^62 values.
	ErrFull = errors.New("rfm: histogram is full")
)

const (
	// subBits sets the width of logarithmic buckets: 2^subBits to each doubling.
	subBits = 7
	// maxCount keeps every sum of two totals within int64.
	maxCount = 1 << 62
)

// Histogram counts how many customers have each value, and forgets a customer
// again when her value changes. Up to limit distinct values it is exact. With
// the first one more it becomes logarithmic, for good: magnitudes below 256 keep
// a bucket each, larger ones share 128 buckets per doubling, and a bucket stands
// for the magnitude at its lower bound, which is less than 1/128 (0.8 %) below
// any of its values; negative values mirror the positive ones. The count and the
// sum stay exact.
//
// The zero value is not ready for use. A Histogram is not safe for use by
// several goroutines.
type Histogram struct {
	limit   int
	log     bool
	counts  map[int64]int64 // by value, or by the bucket's value; never 0
	total   int64
	sum     int128
	changed map[int64]struct{}
}

// NewHistogram returns an empty one that is exact up to limit distinct values;
// a limit below 0 counts as 0: logarithmic from the start.
func NewHistogram(limit int) *Histogram {
	return &Histogram{limit: max(limit, 0), log: limit <= 0, counts: map[int64]int64{}, changed: map[int64]struct{}{}}
}

// Add counts a value.
func (h *Histogram) Add(v int64) error {
	if h.total >= maxCount {
		return ErrFull
	}
	h.total++
	h.sum.add(v)
	h.put(v, 1)
	return nil
}

// Remove takes off a value that was added before. ErrNotCounted, and no change,
// if its bucket is empty.
func (h *Histogram) Remove(v int64) error {
	k := h.bucket(v)
	n := h.counts[k]
	if n == 0 {
		return fmt.Errorf("%w: %d", ErrNotCounted, v)
	}
	h.total--
	h.sum.sub(v)
	if n == 1 {
		delete(h.counts, k)
	} else {
		h.counts[k] = n - 1
	}
	h.changed[k] = struct{}{}
	return nil
}

// Move takes off the value old and counts new: one customer who changed.
func (h *Histogram) Move(old, new int64) error {
	if old == new {
		return nil
	}
	if err := h.Remove(old); err != nil {
		return err
	}
	return h.Add(new)
}

// put counts n more of a value in its bucket only.
func (h *Histogram) put(v, n int64) {
	k := h.bucket(v)
	h.counts[k] += n
	h.changed[k] = struct{}{}
	if !h.log && len(h.counts) > h.limit {
		h.toLog()
	}
}

// toLog moves every value to its bucket. Each step commutes, so the order of
// the map does not show.
func (h *Histogram) toLog() {
	h.log = true
	old := h.counts
	h.counts = make(map[int64]int64, len(old))
	for v, n := range old {
		k := bucketOf(v)
		h.counts[k] += n
		h.changed[v] = struct{}{}
		h.changed[k] = struct{}{}
	}
}

func (h *Histogram) bucket(v int64) int64 {
	if h.log {
		return bucketOf(v)
	}
	return v
}

// bucketOf clears all but the highest subBits+1 bits of the magnitude.
func bucketOf(v int64) int64 {
	m := uint64(v)
	if v < 0 {
		m = -m
	}
	if drop := bits.Len64(m) - (subBits + 1); drop > 0 {
		m = m >> drop << drop
	}
	if v < 0 {
		return int64(-m)
	}
	return int64(m)
}

// Count returns how many values are counted.
func (h *Histogram) Count() int64 { return h.total }

// Distinct returns how many buckets hold something.
func (h *Histogram) Distinct() int { return len(h.counts) }

// Exact tells whether each bucket is one value.
func (h *Histogram) Exact() bool { return !h.log }

// Limit returns how many distinct values the exact mode holds.
func (h *Histogram) Limit() int { return h.limit }

func (h *Histogram) keys() []int64 {
	keys := make([]int64, 0, len(h.counts))
	for k := range h.counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Each calls f for every bucket that holds something, in ascending order of
// value. f must not change the histogram.
func (h *Histogram) Each(f func(value, count int64)) {
	for _, k := range h.keys() {
		f(k, h.counts[k])
	}
}

// EachChanged calls f, in ascending order of value, for every bucket touched
// since ClearChanged, decoding or the beginning; count 0 says that the bucket is
// gone. Who stores a row per bucket writes these, and the Header.
func (h *Histogram) EachChanged(f func(value, count int64)) {
	keys := make([]int64, 0, len(h.changed))
	for k := range h.changed {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		f(k, h.counts[k])
	}
}

// ClearChanged forgets what was touched.
func (h *Histogram) ClearChanged() { clear(h.changed) }

// Merge adds all that other counts; other stays as it is. Merging several is
// the same in every order and grouping, but tasks are merged in task order so
// that this need not be relied on. ErrLimits if the limits differ, ErrFull if
// the sum is over 2^62 values; then nothing has changed.
func (h *Histogram) Merge(other *Histogram) error {
	if h.limit != other.limit {
		return fmt.Errorf("%w: %d and %d", ErrLimits, h.limit, other.limit)
	}
	if h.total > maxCount-other.total {
		return ErrFull
	}
	if other.log && !h.log {
		h.toLog()
	}
	h.total += other.total
	h.sum.addWide(other.sum)
	other.Each(func(v, n int64) { h.put(v, n) })
	return nil
}

// int128 is a sum of up to 2^62 int64s, in two's complement.
type int128 struct {
	hi int64
	lo uint64
}

func (s *int128) add(v int64) { s.addWide(int128{v >> 63, uint64(v)}) }

func (s *int128) sub(v int64) {
	lo, borrow := bits.Sub64(s.lo, uint64(v), 0)
	hi, _ := bits.Sub64(uint64(s.hi), uint64(v>>63), borrow)
	s.hi, s.lo = int64(hi), lo
}

func (s *int128) addWide(o int128) {
	lo, carry := bits.Add64(s.lo, o.lo, 0)
	hi, _ := bits.Add64(uint64(s.hi), uint64(o.hi), carry)
	s.hi, s.lo = int64(hi), lo
}

// mul returns v n for n >= 0.
func mul(v, n int64) int128 {
	m := uint64(v)
	if v < 0 {
		m = -m
	}
	hi, lo := bits.Mul64(m, uint64(n))
	if v < 0 {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return int128{int64(hi), lo}
}

// Sum returns the exact sum of all values, and false if it does not fit in int64.
func (h *Histogram) Sum() (int64, bool) {
	v := int64(h.sum.lo)
	if h.sum.hi != v>>63 {
		return 0, false
	}
	return v, true
}
