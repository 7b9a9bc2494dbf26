package churn

import (
	"math"

	"tidemark/processor/numeric"
)

// Summary is one history, or Weight customers with the same one. Tx and T are
// in units of time, 0 <= Tx <= T, Tx = 0 if X is 0.
type Summary struct {
	X      int
	Tx     float64
	T      float64
	Weight float64
}

// LogLikelihood returns the natural logarithm of the likelihood of all
// histories under p (equation 6; MBG/NBD after Batislam and others, 2007). It adds in the order given, and another order
// may change the last bits: a fitter that has to be reproducible sorts first.
// NaN if an X is negative.
func LogLikelihood(p Params, histories []Summary) float64 {
	m := newLikelihood(p)
	sum, rest := 0.0, 0.0
	for i := range histories {
		// Neumaier's compensated sum: the total is some thousand times one term.
		v := float64(histories[i].Weight * m.of(&histories[i]))
		s := sum + v
		if math.Abs(sum) >= math.Abs(v) {
			rest += (sum - s) + v
		} else {
			rest += (v - s) + sum
		}
		sum = s
	}
	return sum + rest
}

// likelihood keeps what depends on p, and on p and x, from one history to the next.
type likelihood struct {
	p    Params
	byX  [64]float64 // NaN: not computed yet
	rest float64     // all that does not depend on the history
}

func newLikelihood(p Params) *likelihood {
	m := &likelihood{p: p}
	for i := range m.byX {
		m.byX[i] = math.NaN()
	}
	m.rest = float64(p.R*numeric.Log(p.Alpha)) - numeric.Lgamma(p.R) + numeric.Lgamma(p.A+p.B) - numeric.Lgamma(p.B)
	return m
}

// ofX is lnGamma(r+x) + lnGamma(b+x) - lnGamma(a+b+x) and the constant part.
func (m *likelihood) ofX(x int) float64 {
	if x < len(m.byX) && m.byX[x] == m.byX[x] {
		return m.byX[x]
	}
	n, k := float64(x), float64(m.p.chances(x))
	v := m.rest + numeric.Lgamma(m.p.R+n) + numeric.Lgamma(m.p.B+k) - numeric.Lgamma(m.p.A+m.p.B+k)
	if x < len(m.byX) {
		m.byX[x] = v
	}
	return v
}

func (m *likelihood) of(s *Summary) float64 {
	if s.X < 0 {
		return math.NaN()
	}
	rx := m.p.R + float64(s.X)
	active := float64(-rx * numeric.Log(m.p.Alpha+s.T))
	if s.X == 0 && !m.p.Modified {
		return m.ofX(0) + active
	}
	dropped := numeric.Log(m.p.A/(m.p.B+float64(m.p.chances(s.X)-1))) - float64(rx*numeric.Log(m.p.Alpha+s.Tx))
	// log(e^active + e^dropped)
	most, least := active, dropped
	if most < least {
		most, least = least, most
	}
	return m.ofX(s.X) + most + numeric.Log1p(numeric.Exp(least-most))
}
