package churn

import (
	"math"

	"tidemark/processor/numeric"
)

// Spend is the Gamma-Gamma model of what a customer spends on a day with an
// order: P. S. Fader and B. G. S. Hardie, "The Gamma-Gamma Model of Monetary
// Value", 2013. Values vary around the customer's own mean by a gamma
// distribution of shape P, whose rate is gamma distributed over customers (Q,
// Gamma). P and Q have no unit, Gamma has that of the values. A mean exists for
// Q > 1 only.
type Spend struct{ P, Q, Gamma float64 }

// Mean is the expected value of a day of a customer whose x days so far had the
// mean value m: P (Gamma + m x) / (P x + Q - 1). It lies between m and the mean
// over all customers. NaN for x < 0, m < 0 or Q <= 1.
func (s Spend) Mean(x int64, m float64) float64 {
	if x < 0 || !(m >= 0) || !(s.Q > 1) {
		return math.NaN()
	}
	return float64(s.P*(s.Gamma+float64(m*float64(x)))) / (float64(s.P*float64(x)) + s.Q - 1)
}

// LogLikelihood is the log of the density of the mean value m over x days, both
// above 0 (equation 1a of the note).
func (s Spend) LogLikelihood(x int64, m float64) float64 {
	px := float64(s.P * float64(x))
	return numeric.Lgamma(px+s.Q) - numeric.Lgamma(px) - numeric.Lgamma(s.Q) +
		float64(s.Q*numeric.Log(s.Gamma)) + float64((px-1)*numeric.Log(m)) + float64(px*numeric.Log(float64(x))) -
		float64((px+s.Q)*numeric.Log(s.Gamma+float64(m*float64(x))))
}
