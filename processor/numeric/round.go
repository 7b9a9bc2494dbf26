package numeric

import "math"

// Round6 rounds to six decimals, halves to even as they stand after
// multiplication by a million. The result is the float64 nearest to that
// decimal, so it compares equal to the same decimal parsed from text, and two
// numbers that differ by an accumulated error far below 1e-6 become one,
// except at an edge, where identical bits of the input decide identically.
// NaN, infinities and numbers from 2^52/10^6 on, whose last decimal is coarser
// anyway, are returned as they are.
func Round6(x float64) float64 {
	if !(math.Abs(x) < (1<<52)/1e6) {
		return x
	}
	// Division, not multiplication by 1e-6: only it gives the nearest float64.
	return float64(math.RoundToEven(float64(x*1e6)) / 1e6)
}
