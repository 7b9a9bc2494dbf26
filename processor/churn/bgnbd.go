package churn

import (
	"errors"
	"fmt"
	"math"

	"tidemark/processor/numeric"
	"tidemark/schemas"
)

// Week is the usual Params.Unit.
const Week = 7 * schemas.Day

// ErrParams is wrapped by what Params.Validate returns.
var ErrParams = errors.New("churn: BG/NBD parameters")

// Params are the parameters of BG/NBD and the unit of time that they were
// fitted in. R, A and B have no unit, Alpha is a time in Units.
type Params struct {
	R     float64           `json:"r"`
	Alpha float64           `json:"alpha"`
	A     float64           `json:"a"`
	B     float64           `json:"b"`
	Unit  schemas.EventTime `json:"unit_ms"` // milliseconds in one unit of time
	// Modified makes it MBG/NBD: a customer may drop out after her first
	// purchase too, so that silence tells something of those with one.
	Modified bool `json:"modified,omitempty"`
}

// Validate reports every violation at once; each of the four has to lie in
// [1e-6, 1e6] (far outside what a history can identify), and Unit in [1 ms, 10000
// days].
func (p Params) Validate() error {
	var errs []error
	for _, v := range []struct {
		name  string
		value float64
	}{{"r", p.R}, {"alpha", p.Alpha}, {"a", p.A}, {"b", p.B}} {
		if !(v.value >= 1e-6 && v.value <= 1e6) {
			errs = append(errs, fmt.Errorf("%w: %s is %v, must be from 1e-6 to 1e6", ErrParams, v.name, v.value))
		}
	}
	if p.Unit < 1 || p.Unit > 10000*schemas.Day {
		errs = append(errs, fmt.Errorf("%w: unit is %d ms, must be from 1 ms to 10000 days", ErrParams, p.Unit))
	}
	return errors.Join(errs...)
}

// Units converts a duration to units of time.
func (p Params) Units(d schemas.EventTime) float64 { return float64(d) / float64(p.Unit) }

// chances is how often a customer with x repeat purchases could have dropped out.
func (p Params) chances(x int) int {
	if p.Modified {
		return x + 1
	}
	return x
}

// history holds what the formulas need of p, x and tx, so that solving for T
// computes the very bits that PNoPurchase does.
type history struct {
	alpha float64
	rx    float64 // r + x
	logU0 float64 // log of a/(b+x-1), of MBG/NBD a/(b+x); not if once
	logTx float64 // log of alpha + tx; not if once
	once  bool    // x is 0 in BG/NBD: she is active for certain
}

func newHistory(p Params, x int, tx float64) history {
	h := history{alpha: p.Alpha, rx: p.R + float64(x), once: x == 0 && !p.Modified}
	if !h.once {
		h.logU0 = numeric.Log(p.A / (p.B + float64(p.chances(x)-1)))
		h.logTx = numeric.Log(p.Alpha + tx)
	}
	return h
}

// odds returns the odds of having dropped out already, the second term in the
// denominator of P(alive).
func (h *history) odds(logW float64) float64 {
	if h.once {
		return 0
	}
	return numeric.Exp(h.logU0 + float64(h.rx*(logW-h.logTx)))
}

// at returns, at w = alpha + T, the odds u and the probability q that a customer
// who is active buys nothing within H.
func (h *history) at(w, horizon float64) (u, q float64) {
	logW := numeric.Log(w)
	q = numeric.Exp(float64(h.rx * (logW - numeric.Log(w+horizon))))
	return h.odds(logW), q
}

// noPurchase is 1 - (1-q)/(1+u) without its cancellation.
func noPurchase(u, q float64) float64 {
	if u > math.MaxFloat64 {
		return 1
	}
	return (u + q) / (1 + u)
}

// PAlive returns the probability that a customer with this history is still
// active at T: 1 / (1 + a/(b+x-1) ((alpha+T)/(alpha+tx))^(r+x)), and 1 for x = 0.
// (The paper has it inside equation 10; Fader, Hardie and Lee, "Computing
// P(alive) Using the BG/NBD Model", 2008, gives it by itself.) MBG/NBD has b+x
// for b+x-1, also for x = 0. In [0,1]; NaN for x < 0.
func PAlive(p Params, x int, tx, T float64) float64 {
	if x < 0 {
		return math.NaN()
	}
	h := newHistory(p, x, tx)
	return 1 / (1 + h.odds(numeric.Log(p.Alpha+T)))
}

// PNoPurchase returns the probability that a customer with this history buys
// nothing in (T, T+H]:
//
//	1 - PAlive (1 - ((alpha+T)/(alpha+T+H))^(r+x))
//
// In [0,1], growing with T while x and tx stand still, falling with H; NaN for
// x < 0. Round it by numeric.Round6 before comparing or publishing it.
func PNoPurchase(p Params, x int, tx, T, H float64) float64 {
	if x < 0 {
		return math.NaN()
	}
	h := newHistory(p, x, tx)
	return noPurchase(h.at(p.Alpha+T, H))
}

// expectedTerms bounds the work of one series. The terms fall like z^n with
// z = t/(alpha+T+t), so it is met only by a z within some 1e-5 of 1.
const expectedTerms = 1 << 20

// Expected returns the expected number of purchases of this customer in (T,
// T+t], given her history (equation 10), by BG/NBD only. NaN for x < 0 or t < 0,
// where t is some 10^5 times alpha+T or more, and for p.Modified.
//
// With z = t/(alpha+T+t), s = a-1, c = a+b+x-1 and c' = a+b-1-r, Euler's
// transformation turns the paper's form into
//
//	c/s (1 - (1-z)^s 2F1(c', s; c; z)) P(alive)
//
// whose parameters no longer grow with x together. Here the 1 of the series is taken out
// before c/s multiplies it, which leaves nothing that is infinite at a = 1 or
// at a+b+x = 1.
func Expected(p Params, x int, tx, T, t float64) float64 {
	if x < 0 || !(t >= 0) || p.Modified {
		return math.NaN()
	}
	if t == 0 {
		return 0
	}
	s := p.A - 1
	c := p.A + p.B + float64(x) - 1
	c1 := p.A + p.B - 1 - p.R
	z := t / (p.Alpha + T + t)
	log1z := -numeric.Log1p(t / (p.Alpha + T)) // log(1-z)
	l := log1z                                 // ((1-z)^s - 1)/s
	if s != 0 {
		l = numeric.Expm1(float64(s*log1z)) / s
	}
	term := float64(c1 * z)
	sum := term
	for n := 1.0; ; n++ {
		ratio := float64((c1 + n) / (c + n) * ((s + n) / (n + 1)) * z)
		term = float64(term * ratio)
		sum += term
		if math.Abs(term) <= float64(math.Abs(sum)*0x1p-56*(1-z)) && math.Abs(ratio) < 1 {
			break
		}
		if n > expectedTerms {
			return math.NaN()
		}
	}
	ifAlive := -(float64(c*l) + float64(sum*numeric.Exp(float64(s*log1z))))
	return float64(ifAlive * PAlive(p, x, tx, T))
}
