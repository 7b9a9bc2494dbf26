package facts

import "math/bits"

// wide is a signed whole number of 128 bits, two's complement.
type wide struct {
	hi int64
	lo uint64
}

func wideOf(x int64) wide { return wide{hi: x >> 63, lo: uint64(x)} }

// times is a*b for any a and b.
func times(a, b int64) wide {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	h := int64(hi)
	if a < 0 {
		h -= b
	}
	if b < 0 {
		h -= a
	}
	return wide{h, lo}
}

func (a wide) plus(b wide) wide {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return wide{a.hi + b.hi + int64(carry), lo}
}

func (a wide) minus(b wide) wide {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	return wide{a.hi - b.hi - int64(borrow), lo}
}

// by is a*b; the caller sees to it that it fits.
func (a wide) by(b int64) wide {
	hi, lo := bits.Mul64(a.lo, uint64(b))
	hi += uint64(a.hi) * uint64(b)
	if b < 0 {
		hi -= a.lo
	}
	return wide{int64(hi), lo}
}

func (a wide) negative() bool { return a.hi < 0 }

func (a wide) positive() bool { return a.hi > 0 || a.hi == 0 && a.lo > 0 }

// over is a/b rounded down, for b > 0; false where it does not fit.
func (a wide) over(b int64) (int64, bool) {
	if !a.negative() {
		if uint64(a.hi) >= uint64(b) {
			return 0, false
		}
		q, _ := bits.Div64(uint64(a.hi), a.lo, uint64(b))
		return int64(q), q <= 1<<63-1
	}
	n := wide{}.minus(a)
	if uint64(n.hi) >= uint64(b) {
		return 0, false
	}
	q, r := bits.Div64(uint64(n.hi), n.lo, uint64(b))
	if r > 0 {
		q++
	}
	return -int64(q), q <= 1<<63-1
}
