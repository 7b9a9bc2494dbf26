package numeric

import "math"

const (
	// ln2/128 split so that k times the first part is exact for |k| < 2^18.
	ln2By128Hi = 0x1.62e42fefcp-8
	ln2By128Lo = -0x1.c610ca86c3899p-44
	inv128Ln2  = 0x1.71547652b82fep+7

	// Adding and taking away 1.5*2^52 rounds to an integer, which then also
	// stands in the low bits of the sum.
	roundToInt = 0x1.8p52

	expOverflow  = 0x1.62e42fefa39efp+9  // above it e^x is past the largest float64
	expUnderflow = -0x1.74910d52d3051p+9 // at and below it e^x rounds to 0
)

// Exp returns e^x within 1 ulp (2 ulp where the result is subnormal).
// Exp(+Inf) = +Inf, Exp(-Inf) = 0, Exp(NaN) = NaN; past the range of float64
// it returns +Inf or 0.
//
// Method: x = k ln2/128 + r with |r| <= ln2/256, e^x = 2^(k/128) e^r, the
// power from a table and e^r by its Taylor series (table-driven reduction
// after Tang, "Table-Driven Implementation of the Exponential Function in IEEE
// Floating-Point Arithmetic", ACM TOMS 15(2), 1989).
func Exp(x float64) float64 {
	if !(x < 708 && x > -708) {
		return expFar(x)
	}
	y, e := expScaled(x)
	return float64(y * pow2(e))
}

// expScaled returns y in about [1,2) and e with e^x = y 2^e, for |x| < 746.
func expScaled(x float64) (float64, int) {
	z := float64(x*inv128Ln2) + roundToInt
	k := int32(uint32(math.Float64bits(z)))
	kd := z - roundToInt
	r := (x - float64(kd*ln2By128Hi)) - float64(kd*ln2By128Lo)
	r2 := float64(r * r)
	// e^r - 1; the first term left out, r^6/720, is below 2^-60.
	p := r + float64(r2*(0.5+float64(r*(1.0/6))+float64(r2*(1.0/24+float64(r*(1.0/120))))))
	t := &exp2Table[k&127]
	return t.hi + (t.lo + float64(t.hi*p)), int(k >> 7)
}

func expFar(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > expOverflow:
		return math.Inf(1)
	case x <= expUnderflow:
		return 0
	}
	// In two steps, of which the first is exact, so that a subnormal result
	// is rounded once.
	y, e := expScaled(x)
	if e > 0 {
		return float64(float64(y*0x1p1000) * pow2(e-1000))
	}
	return float64(float64(y*pow2(e+100)) * 0x1p-100)
}

// pow2 returns 2^e for -1022 <= e <= 1023.
func pow2(e int) float64 { return math.Float64frombits(uint64(e+1023) << 52) }

// Expm1 returns e^x - 1 within 4 ulp, also where x is near 0.
func Expm1(x float64) float64 {
	if !(x < 0.34 && x > -0.34) {
		return Exp(x) - 1
	}
	if x == 0 {
		return x // keeps the sign of zero
	}
	// x + x²/2! + ... + x^14/14!; what follows is below 2^-57 of the sum.
	p := 0.0
	for _, c := range expm1Taylor {
		p = c + float64(x*p)
	}
	return x + float64(float64(x*x)*p)
}

// 1/14!, 1/13!, ..., 1/2!
var expm1Taylor = [13]float64{
	1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
	1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2,
}
