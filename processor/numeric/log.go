package numeric

import "math"

const (
	logFirst = 90
	// Bits of 90.5/128: mantissas are taken from [0.707, 1.414), so that the
	// logarithm of the power of two never cancels the rest.
	logOffset = 0x3fe6a00000000000

	ln2Hi = 0x1.62e42fefa38p-1 // a multiple of 2^-42: k*ln2Hi is exact for every exponent k
	ln2Lo = 0x1.ef35793c7673p-45
)

// Log returns the natural logarithm of x within 2 ulp. Log(0) = -Inf,
// Log(+Inf) = +Inf, NaN for x < 0 and for NaN.
//
// Method: x = 2^k z, c the nearest multiple of 1/128 to z, log x = k ln2 +
// log c + log(1 + (z-c)/c), where z-c is exact (Tang, "Table-Driven
// Implementation of the Logarithm Function in IEEE Floating-Point Arithmetic",
// ACM TOMS 16(4), 1990).
func Log(x float64) float64 {
	bits := math.Float64bits(x)
	shift := 0
	// Zero, subnormal, negative, infinite and not a number, in one comparison.
	if bits-0x0010000000000000 >= 0x7ff0000000000000-0x0010000000000000 {
		switch {
		case x == 0:
			return math.Inf(-1)
		case x != x || x < 0:
			return math.NaN()
		case x > math.MaxFloat64:
			return x
		}
		bits = math.Float64bits(float64(x * 0x1p52))
		shift = 52
	}
	off := bits - logOffset
	k := float64(int64(off)>>52 - int64(shift))
	z := math.Float64frombits(bits - off&(0xfff<<52))

	n := z + 0x1.8p45 // rounds to a multiple of 1/128
	t := &logTable[int(uint32(math.Float64bits(n)))-logFirst]
	r := float64((z - (n - 0x1.8p45)) * t.inv)
	r2 := float64(r * r)

	w := float64(k*ln2Hi) + t.hi // exact
	hi := w + r
	// |w| >= |r| unless w is 0, so this is what hi has rounded away.
	lo := (w - hi) + r + (float64(k*ln2Lo) + t.lo)
	// log(1+r) - r; what follows, r^8/8, is below 2^-62.
	p := (-0.5 + float64(r*(1.0/3))) + float64(r2*((-0.25+float64(r*(1.0/5)))+float64(r2*(-1.0/6+float64(r*(1.0/7))))))
	return hi + (lo + float64(r2*p))
}

// Log1p returns log(1+x) within 3 ulp, also where x is near 0.
// Log1p(-1) = -Inf, NaN for x < -1.
func Log1p(x float64) float64 {
	switch {
	case x < 0x1p-54 && x > -0x1p-54, x > math.MaxFloat64:
		return x
	case !(x > -1):
		return Log(1 + x)
	}
	u := 1 + x
	// What the sum has rounded away, to first order (Kahan).
	c := x - (u - 1)
	if x > 1 {
		c = 1 - (u - x)
	}
	return Log(u) + c/u
}

// Pow returns x^y = e^(y log x) for x >= 0; NaN for x < 0. Its relative error
// grows with the exponent: about |y log x| ulp, at most some 1500 ulp (3e-13).
func Pow(x, y float64) float64 {
	switch {
	case x == 1 || y == 0:
		return 1
	case x < 0:
		return math.NaN()
	}
	return Exp(float64(y * Log(x)))
}
