package numeric

import "math"

const (
	oneMinusEuler      = 0x1.b0ee6072093cep-2 // 1 - Euler's constant
	halfLog2PiLessHalf = 0x1.acfe390c97d69p-2 // log(2 pi)/2 - 1/2
)

// Lgamma returns lnGamma(x) for x >= 0 within 8 ulp, near its zeros at 1 and 2
// too. Lgamma(0) = Lgamma(+Inf) = +Inf; NaN for x < 0, which no model here
// needs.
//
// Method: from 8 on Stirling's series (Abramowitz and Stegun 6.1.41), else the
// Taylor series around 2 (6.1.33) and the recurrence
// Gamma(x+1) = x Gamma(x).
func Lgamma(x float64) float64 {
	switch {
	case !(x >= 0):
		return math.NaN()
	case x >= 8:
		return stirling(x)
	case x > 2.5:
		p := 1.0
		for x > 2.5 {
			x--
			p = float64(p * x)
		}
		return lgammaNear2(x-2) + Log(p)
	case x >= 1.5:
		return lgammaNear2(x - 2)
	case x >= 0.5:
		return lgammaNear2(x-1) - Log(x)
	}
	// Below a half lnGamma(x) = lnGamma(x+2) - log(x+1) - log x.
	return lgammaNear2(x) - Log1p(x) - Log(x)
}

// lgammaNear2 returns lnGamma(2+e) for |e| <= 1/2.
func lgammaNear2(e float64) float64 {
	p := 0.0
	for k := len(lgammaTaylor) - 1; k >= 0; k-- {
		p = lgammaTaylor[k] + float64(e*p)
	}
	return float64(e * (oneMinusEuler + float64(e*p)))
}

func stirling(x float64) float64 {
	if x > 0x1p1020 {
		return math.Inf(1) // before the product below does it, and for +Inf
	}
	// Bernoulli(2k) / (2k (2k-1) x^(2k-1)), k = 1..8; the ninth term is below
	// 2^-53 at 8, where lnGamma is 8.5.
	v := 1 / x
	v2 := float64(v * v)
	s := -3617.0 / 122400
	s = 1.0/156 + float64(v2*s)
	s = -691.0/360360 + float64(v2*s)
	s = 1.0/1188 + float64(v2*s)
	s = -1.0/1680 + float64(v2*s)
	s = 1.0/1260 + float64(v2*s)
	s = -1.0/360 + float64(v2*s)
	s = 1.0/12 + float64(v2*s)
	return float64((x-0.5)*(Log(x)-1)) + (halfLog2PiLessHalf + float64(v*s))
}

// hypTerms bounds the work of one series; at |z| < 0.9999 it is never met.
const hypTerms = 1 << 20

// Hyp2F1 returns Gauss's hypergeometric function for |z| < 1 by its series
// (Abramowitz and Stegun 15.1.1), after the linear transformations that keep
// the terms small: 15.3.3 where that makes the numerator's parameters smaller,
// as it does for BG/NBD, whose own terms overflow from some hundred purchases
// on, and 15.3.4 for z < -1/2. Relative error about 1e-12 for parameters up to
// 1e5 that don't cancel. NaN outside |z| < 1, for c = 0, -1, -2, ..., and where
// the series has not converged after a million terms (z within 1e-4 of 1).
func Hyp2F1(a, b, c, z float64) float64 {
	if !(z > -1 && z < 1) || (c <= 0 && c == math.Floor(c)) {
		return math.NaN()
	}
	if z < -0.5 {
		return float64(Exp(float64(-a*Log1p(-z))) * Hyp2F1(a, c-b, c, z/(z-1)))
	}
	if math.Abs(float64((c-a)*(c-b))) < math.Abs(float64(a*b)) {
		return float64(Exp(float64((c-a-b)*Log1p(-z))) * gaussSeries(c-a, c-b, c, z))
	}
	return gaussSeries(a, b, c, z)
}

func gaussSeries(a, b, c, z float64) float64 {
	sum, term := 1.0, 1.0
	for n := 0.0; n < hypTerms; n++ {
		term = float64(term * ((a + n) / (c + n)) * ((b + n) / (1 + n)) * z)
		sum += term
		// The ratio of terms may still be above 1 while c+n is negative or n is
		// small beside a and b; afterwards the tail is at most
		// term/(1-|z|).
		if math.Abs(term) <= float64(math.Abs(sum)*0x1p-56*(1-math.Abs(z))) && (term == 0 || tailShrinks(a, b, c, z, n+1)) {
			return sum
		}
	}
	return math.NaN()
}

// tailShrinks tells whether every ratio of terms from n on is below 1 in size
// by a margin that falls with z.
func tailShrinks(a, b, c, z, n float64) bool {
	return c+n > 0 && a+n > 0 && b+n > 0 &&
		float64((a+n)*(b+n)*math.Abs(z)) < float64((c+n)*(1+n))
}
