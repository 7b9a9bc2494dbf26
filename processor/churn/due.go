package churn

import (
	"math"

	"tidemark/processor/numeric"
	"tidemark/schemas"
)

// MaxSilence is how far DueTime looks: a limit that is reached more than a
// hundred years after the first moment asked about counts as never reached.
const MaxSilence = 36525 * schemas.Day

// Solution says what DueTime found.
type Solution uint8

const (
	// Undefined: the arguments are outside their ranges.
	Undefined Solution = iota
	// Already: the limit is reached at t0 itself.
	Already
	// Crosses: the limit is reached at the time returned, after t0.
	Crosses
	// Never: the limit is not reached within MaxSilence after t0. (Given for
	// ever, P(no purchase) tends to 1 for everyone, but no timer waits so long;
	// a limit above 1 is never reached at all.)
	Never
)

func (s Solution) String() string {
	switch s {
	case Already:
		return "already"
	case Crosses:
		return "crosses"
	case Never:
		return "never"
	}
	return "undefined"
}

// DueTime returns the first whole millisecond due >= t0 at which
//
//	numeric.Round6(PNoPurchase(p, x, p.Units(tx), p.Units(due), p.Units(horizon))) >= limit
//
// All times are durations since the customer's first purchase. It needs
// 0 <= tx <= t0, horizon > 0, x >= 0 and limit a number, else the answer is
// (0, Undefined). With Already it returns t0, with Never 0.
//
// The comparison above is false one millisecond before a crossing that it
// returns. Where one millisecond moves the probability by less than its own
// rounding error (about 1e-15; that is years past any limit of use), several
// milliseconds may fit that description; the answer then is one of them, the
// same on every processor.
//
// It takes about 0.4 microseconds and does not allocate.
func DueTime(p Params, x int, tx, t0, horizon schemas.EventTime, limit float64) (due schemas.EventTime, st Solution) {
	if x < 0 || tx < 0 || tx > t0 || horizon <= 0 || t0 > math.MaxInt64-MaxSilence || limit != limit {
		return 0, Undefined
	}
	s := solver{history: newHistory(p, x, p.Units(tx)), unit: float64(p.Unit), horizon: p.Units(horizon), limit: limit}
	if s.reached(t0) {
		return t0, Already
	}
	if limit > 1 {
		return 0, Never
	}
	end := t0 + MaxSilence
	guess := end
	// A limit between two millionths is reached at the upper one, and rounding
	// reaches that half a millionth early.
	millionths := math.RoundToEven(float64(limit * 1e6))
	if float64(millionths/1e6) < limit {
		millionths++
	}
	target := float64((millionths - 0.5) / 1e6)
	if w := s.solve(s.alpha+float64(t0)/s.unit, target); w < s.alpha+float64(end)/s.unit {
		guess = schemas.EventTime(math.Ceil(float64((w - s.alpha) * s.unit)))
	}
	return s.settle(guess, t0, end)
}

type solver struct {
	history
	unit    float64
	horizon float64
	limit   float64
}

func (s *solver) reached(t schemas.EventTime) bool {
	return numeric.Round6(noPurchase(s.at(s.alpha+float64(t)/s.unit, s.horizon))) >= s.limit
}

// solve returns about the w = alpha + T at which P(no purchase) is target, for
// a target in (0,1); +Inf is possible. It may be wrong: settle decides.
func (s *solver) solve(w0, target float64) float64 {
	// Where one of the two ways to stay away is alone enough there is a closed
	// form, and the time sought comes no later.
	logTarget := numeric.Log(target)
	w := s.horizon / numeric.Expm1(-logTarget/s.rx) // q = target
	if s.once {
		return w
	}
	logOdds := logTarget - numeric.Log(1-target)
	if byOdds := numeric.Exp(s.logTx + (logOdds-s.logU0)/s.rx); byOdds < w {
		w = byOdds // u = target's odds
	}
	lo, hi := w0, w
	for range 40 {
		// Halley's method for the log odds of P(no purchase), (u+q)/(1-q), over
		// log w: both of its parts are nearly straight lines there. All
		// derivatives are by log w; those of log u and log q are rx and rx*h.
		u, q := s.at(w, s.horizon)
		h := s.horizon / (w + s.horizon)
		either, active := 1/(u+q), 1/(1-q)
		f := numeric.Log(float64((u+q)*active)) - logOdds
		if f >= 0 {
			hi = w
		} else {
			lo = w
		}
		q1 := float64(s.rx * h * q)
		q2 := float64(q1 * (float64((s.rx+1)*h) - 1))
		part1 := float64((float64(s.rx*u) + q1) * either)
		part2 := float64(q1 * active)
		slope := part1 + part2
		bend := float64((float64(s.rx*s.rx*u)+q2)*either) - float64(part1*part1) + float64(q2*active) + float64(part2*part2)
		d := -f / slope
		if turn := 1 + float64(d*bend/(slope+slope)); turn > 0.5 {
			d /= turn
		}
		next := float64(w * (1 + float64(d*(1+float64(0.5*d)))))
		if d > -0x1p-13 && d < 0x1p-13 {
			return next // the error left is about d to the third
		}
		if d <= -0.01 || d >= 0.01 {
			next = float64(w * numeric.Exp(d))
		}
		if !(next > lo && next < hi) {
			next = lo + float64((hi-lo)/2)
		}
		w = next
	}
	return w
}

// settle finds the answer in whole milliseconds, starting from a guess. The
// limit is not reached at t0.
func (s *solver) settle(guess, t0, end schemas.EventTime) (schemas.EventTime, Solution) {
	guess = min(max(guess, t0+1), end)
	lo, hi := t0, guess // not reached at lo; reached at hi, once the next lines are done
	if s.reached(guess) {
		for step := schemas.EventTime(1); guess-step > t0; step *= 2 {
			if !s.reached(guess - step) {
				lo = guess - step
				break
			}
			hi = guess - step
		}
	} else {
		for step := schemas.EventTime(1); ; step *= 2 {
			if guess == end {
				return 0, Never
			}
			lo, hi = guess, min(end, guess+step)
			if s.reached(hi) {
				break
			}
			guess = hi
		}
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; s.reached(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi, Crosses
}
