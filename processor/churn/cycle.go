package churn

import (
	"math/bits"

	"tidemark/schemas"
)

// Cycle says how long a customer usually stays away, all in integers.
//
// Her own mean gap says little after one or two gaps, so it is shrunk to the
// gap of all: the pool counts like Weight gaps of hers. With none of her own
// the answer is the pool's.
type Cycle struct {
	Gap    schemas.EventTime // mean gap between customer-days over all customers, above 0
	Weight int64             // from 0; 0 trusts even a single gap of hers
}

// Mean is the mean gap of a customer whose gaps, so many of them, sum up to
// span: (span + Weight*Gap) / (gaps + Weight), rounded down, at least 1 ms. With
// gaps 0 and Weight 0 it is Gap.
func (c Cycle) Mean(span schemas.EventTime, gaps int64) schemas.EventTime {
	span, gaps = max(span, 0), max(gaps, 0)
	if gaps+c.Weight == 0 {
		return c.Gap
	}
	hi, lo := bits.Mul64(uint64(c.Weight), uint64(c.Gap))
	lo, carry := bits.Add64(lo, uint64(span), 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(gaps+c.Weight)) // at most max(span, Gap): no overflow
	return max(schemas.EventTime(q), 1)
}

// Silence is thousandths/1000 times a mean gap, rounded down, at most MaxSilence.
func Silence(mean schemas.EventTime, thousandths int64) schemas.EventTime {
	hi, lo := bits.Mul64(uint64(max(mean, 0)), uint64(max(thousandths, 0)))
	if hi >= 1000 {
		return MaxSilence
	}
	q, _ := bits.Div64(hi, lo, 1000)
	if q > uint64(MaxSilence) {
		return MaxSilence
	}
	return schemas.EventTime(q)
}
