package rfm

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

var (
	// ErrCuts is wrapped by what Cuts.Validate returns.
	ErrCuts = errors.New("rfm: cuts")
	// ErrEmpty: no customer to take a quantile or a mean of.
	ErrEmpty = errors.New("rfm: histogram is empty")
	// ErrFraction: a quantile outside [0,1], or a denominator out of range.
	ErrFraction = errors.New("rfm: quantile")
)

// Cuts are the limits between scores, ascending in each dimension: R in days,
// F in purchases, M in minor units. Each is the smallest value of the upper bin.
type Cuts struct {
	R []int64 `json:"r"`
	F []int64 `json:"f"`
	M []int64 `json:"m"`
}

// Validate reports every dimension that has no cuts, too many (over 99), or
// cuts out of order.
func (c *Cuts) Validate() error {
	var errs []error
	for _, d := range []struct {
		name string
		cuts []int64
	}{{"r", c.R}, {"f", c.F}, {"m", c.M}} {
		switch {
		case len(d.cuts) == 0 || len(d.cuts) > 99:
			errs = append(errs, fmt.Errorf("%w: %s has %d, must be from 1 to 99", ErrCuts, d.name, len(d.cuts)))
		case !slices.IsSorted(d.cuts):
			errs = append(errs, fmt.Errorf("%w: %s is not in ascending order: %v", ErrCuts, d.name, d.cuts))
		}
	}
	return errors.Join(errs...)
}

// Scores of one customer, each from 1 to one more than the number of cuts; the
// higher the better. The zero value means not scored.
type Scores struct{ R, F, M int32 }

// ScoreOf scores a customer by valid cuts.
func ScoreOf(c *Cuts, recencyDays, frequency, monetaryMinor int64) Scores {
	return Scores{
		R: int32(len(c.R)) + 2 - bin(c.R, recencyDays),
		F: bin(c.F, frequency),
		M: bin(c.M, monetaryMinor),
	}
}

// bin is linear: five bins are the rule, and it is faster than a search there.
func bin(cuts []int64, v int64) int32 {
	b := int32(1)
	for _, c := range cuts {
		if v < c {
			break
		}
		b++
	}
	return b
}

// NextRecencyBoundary returns the smallest recency above recencyDays at which
// the R score is another one; ok is false once it is the worst. A customer who
// stays silent is due for a new score on that day.
func NextRecencyBoundary(c *Cuts, recencyDays int64) (days int64, ok bool) {
	for _, cut := range c.R {
		if cut > recencyDays {
			return cut, true
		}
	}
	return 0, false
}

// Fraction is an exact quantile, such as 2/5.
type Fraction struct {
	Num int64 `json:"num"`
	Den int64 `json:"den"`
}

// Quintiles are the quantiles that make five bins.
var quintiles = []Fraction{{1, 5}, {2, 5}, {3, 5}, {4, 5}}

// Quintiles returns the four quantiles that make five bins.
func Quintiles() []Fraction { return slices.Clone(quintiles) }

// QuantileCuts returns for each quantile, in the order given, the smallest
// integer >= q + plus, where q is the type-7 quantile (Hyndman and Fan, "Sample
// Quantiles in Statistical Packages", The American Statistician 50(4), 1996: with
// h = (n-1)p, linear between the floor(h)-th and the next of the sorted values,
// counted from 0), computed exactly. plus is 0, or one whole unit where the R
// package rfm is to be followed, which adds 1 to each quantile: 100 for M in
// cents. In logarithmic mode the values are the buckets' lower bounds.
func (h *Histogram) QuantileCuts(quantiles []Fraction, plus int64) ([]int64, error) {
	if h.total == 0 {
		return nil, ErrEmpty
	}
	cuts := make([]int64, 0, len(quantiles))
	keys := h.keys()
	for _, p := range quantiles {
		if p.Den < 1 || p.Den > 1e6 || p.Num < 0 || p.Num > p.Den {
			return nil, fmt.Errorf("%w: %d/%d: must be from 0 to 1 with a denominator from 1 to 1000000", ErrFraction, p.Num, p.Den)
		}
		// (n-1) num / den, over 128 bits.
		hi, lo := bits.Mul64(uint64(h.total-1), uint64(p.Num))
		rank, rest := bits.Div64(hi, lo, uint64(p.Den))
		below, above := h.atRank(keys, int64(rank))
		cuts = append(cuts, addSaturated(between(below, above, rest, uint64(p.Den)), plus))
	}
	return cuts, nil
}

// atRank returns the rank-th of the sorted values and the one after it (or the
// same, at the end).
func (h *Histogram) atRank(keys []int64, rank int64) (at, next int64) {
	var seen int64
	for i, k := range keys {
		seen += h.counts[k]
		if rank < seen {
			if rank+1 < seen || i+1 == len(keys) {
				return k, k
			}
			return k, keys[i+1]
		}
	}
	return 0, 0 // not reached: rank < total
}

// between is ceil(a + (b-a) num/den) for a <= b, num < den.
func between(a, b int64, num, den uint64) int64 {
	hi, lo := bits.Mul64(uint64(b)-uint64(a), num)
	step, rest := bits.Div64(hi, lo, den)
	if rest > 0 {
		step++
	}
	return int64(uint64(a) + step)
}

// MeanCut returns the smallest integer >= the mean. The sum is exact in both modes.
func (h *Histogram) MeanCut() (int64, error) {
	if h.total == 0 {
		return 0, ErrEmpty
	}
	hi, lo := uint64(h.sum.hi), h.sum.lo
	negative := h.sum.hi < 0
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	// |sum| <= 2^63 total, so the quotient fits in 64 bits, unless values were
	// taken off that had not been added.
	if hi >= uint64(h.total) {
		return 0, fmt.Errorf("%w: the sum is out of the range of %d values", ErrNotCounted, h.total)
	}
	q, rest := bits.Div64(hi, lo, uint64(h.total))
	if negative {
		return int64(-q), nil // the ceiling of a negative number cuts off
	}
	if rest > 0 {
		q++
	}
	return int64(q), nil
}

// MedianCut returns the smallest integer >= the median, the type-7 quantile 1/2.
func (h *Histogram) MedianCut() (int64, error) {
	c, err := h.QuantileCuts([]Fraction{{1, 2}}, 0)
	if err != nil {
		return 0, err
	}
	return c[0], nil
}

func addSaturated(a, b int64) int64 {
	s := a + b
	if a > 0 && b > 0 && s < 0 {
		return math.MaxInt64
	}
	if a < 0 && b < 0 && s >= 0 {
		return math.MinInt64
	}
	return s
}
