package churn

import (
	"errors"
	"fmt"
	"sort"

	"tidemark/processor/numeric"
	"tidemark/schemas"
)

// ErrCurve is wrapped by what Curve.Validate returns.
var ErrCurve = errors.New("churn: return curve")

// Knot is one point of a return curve.
type Knot struct {
	At   schemas.EventTime `json:"at"`   // a silence
	Stay int64             `json:"stay"` // how many in a million were still away then
}

// Curve says how many customers were still away after a silence, as a straight
// line from knot to knot. Before the first knot it begins at a million at 0;
// past the last it says nothing.
type Curve []Knot

// Validate reports the first violation: silences ascend from above 0, what
// stays never rises and is from 0 to a million.
func (c Curve) Validate() error {
	if len(c) == 0 {
		return fmt.Errorf("%w: it has no point", ErrCurve)
	}
	at, stay := schemas.EventTime(0), int64(1_000_000)
	for i, k := range c {
		switch {
		case k.At <= at || k.At > MaxSilence:
			return fmt.Errorf("%w: silence %d is not after the one before, or too long", ErrCurve, i+1)
		case k.Stay > stay || k.Stay < 0:
			return fmt.Errorf("%w: value %d is %d, must be from 0 to the %d before", ErrCurve, i+1, k.Stay, stay)
		}
		at, stay = k.At, k.Stay
	}
	return nil
}

// End is the longest silence that the curve knows.
func (c Curve) End() schemas.EventTime { return c[len(c)-1].At }

// stay is the height at a silence, in millionths.
func (c Curve) stay(t schemas.EventTime) float64 {
	i := sort.Search(len(c), func(i int) bool { return c[i].At >= t })
	if i == len(c) {
		return float64(c[len(c)-1].Stay)
	}
	before := Knot{0, 1_000_000}
	if i > 0 {
		before = c[i-1]
	}
	fall := float64(float64(before.Stay-c[i].Stay) * float64(t-before.At))
	return float64(before.Stay) - fall/float64(c[i].At-before.At)
}

// NoReturn is the probability that a customer who has been silent so long stays
// silent for a further horizon: stay(silence+horizon)/stay(silence). It is 1
// where nobody was seen to stay so long. Meant for silence >= 0, horizon > 0 and
// silence+horizon <= End. Round it by numeric.Round6 before comparing or
// publishing it.
func (c Curve) NoReturn(silence, horizon schemas.EventTime) float64 {
	now := c.stay(max(silence, 0))
	if now <= 0 {
		return 1
	}
	return c.stay(silence+horizon) / now
}

// Due returns the first whole millisecond of silence from start on at which
//
//	numeric.Round6(NoReturn(silence, horizon)) >= limit
//
// Already: at start itself. Never: not as far as the curve reaches, that is
// until silence+horizon is End. The curve may fall below the limit again
// afterwards; the first time decides.
func (c Curve) Due(start, horizon schemas.EventTime, limit float64) (schemas.EventTime, Solution) {
	if start < 0 || horizon <= 0 || limit != limit || len(c) == 0 {
		return 0, Undefined
	}
	end := c.End() - horizon
	if start > end {
		return 0, Never
	}
	reached := func(t schemas.EventTime) bool { return numeric.Round6(c.NoReturn(t, horizon)) >= limit }
	if reached(start) {
		return start, Already
	}
	// Between two neighbours of these, both heights are straight lines and their
	// quotient goes one way, so the limit can't be reached and left unseen.
	corners := []schemas.EventTime{end}
	for _, k := range c {
		for _, t := range []schemas.EventTime{k.At, k.At - horizon} {
			if t > start && t < end {
				corners = append(corners, t)
			}
		}
	}
	sort.Slice(corners, func(i, j int) bool { return corners[i] < corners[j] })
	lo := start
	for _, hi := range corners {
		if !reached(hi) {
			lo = hi
			continue
		}
		for hi-lo > 1 {
			if mid := lo + (hi-lo)/2; reached(mid) {
				hi = mid
			} else {
				lo = mid
			}
		}
		return hi, Crosses
	}
	return 0, Never
}
