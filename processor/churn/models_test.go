package churn

import (
	"errors"
	"math"
	"testing"

	"tidemark/processor/numeric"
	"tidemark/schemas"

	"pgregory.net/rapid"
)

// MBG/NBD on the CDNOW sample, as the Python package lifetimes (its
// tests/test_estimation.py, after R's BTYDplus) has them.
var cdnowModified = Params{R: .525, Alpha: 6.183, A: .891, B: 1.614, Unit: Week, Modified: true}

func TestModifiedLikelihood(t *testing.T) {
	all := readCDNOW(t)
	got := LogLikelihood(cdnowModified, all)
	// Every step away from the published optimum is downhill.
	for i := range 4 {
		for _, f := range []float64{.96, 1.04} {
			p := cdnowModified
			*[]*float64{&p.R, &p.Alpha, &p.A, &p.B}[i] *= f
			if away := LogLikelihood(p, all); away >= got {
				t.Errorf("parameter %d times %v: %.4f is not below %.4f", i, f, away, got)
			}
		}
	}
	// Against the integral itself: x = 0 may have dropped out at once.
	p := Params{R: .8, Alpha: 5, A: 1.5, B: 3, Unit: Week, Modified: true}
	for _, s := range []Summary{{X: 0, T: 20, Weight: 1}, {X: 2, Tx: 9, T: 20, Weight: 1}} {
		n := float64(s.X)
		lg := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
		beta := func(a, b float64) float64 { return math.Exp(lg(a) + lg(b) - lg(a+b)) }
		rate := math.Exp(lg(p.R+n)-lg(p.R)) * math.Pow(p.Alpha, p.R)
		want := math.Log(rate * (beta(p.A, p.B+n+1)/beta(p.A, p.B)*math.Pow(p.Alpha+s.T, -p.R-n) +
			beta(p.A+1, p.B+n)/beta(p.A, p.B)*math.Pow(p.Alpha+s.Tx, -p.R-n)))
		if got := LogLikelihood(p, []Summary{s}); math.Abs(got-want) > 1e-12 {
			t.Errorf("%+v: %v, want %v", s, got, want)
		}
	}
}

// TestModifiedDueCrossesWithinAMinute: a minute before it is below the
// threshold, at the time it is not, and the same for BG/NBD.
func TestModifiedDueCrossesWithinAMinute(t *testing.T) {
	crossed := 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		p.Modified = rapid.Bool().Draw(t, "modified")
		x := rapid.IntRange(0, 60).Draw(t, "x")
		tx := schemas.EventTime(0)
		if x > 0 {
			tx = schemas.EventTime(rapid.Int64Range(0, int64(100*Week)).Draw(t, "tx"))
		}
		t0 := tx + 7*schemas.Day
		h := schemas.EventTime(rapid.Int64Range(int64(schemas.Day), int64(60*Week)).Draw(t, "h"))
		limit := float64(rapid.IntRange(50_000, 990_000).Draw(t, "limit")) / 1e6
		due, st := DueTime(p, x, tx, t0, h, limit)
		if st != Crosses {
			return
		}
		crossed++
		at := func(d schemas.EventTime) float64 { return PNoPurchase(p, x, p.Units(tx), p.Units(d), p.Units(h)) }
		if got := numeric.Round6(at(due)); got < limit {
			t.Fatalf("%v at due, limit %v", got, limit)
		}
		if got := numeric.Round6(at(due - schemas.Minute)); due-schemas.Minute >= t0 && got >= limit && at(due)-at(due-schemas.Minute) > 1e-12 {
			t.Fatalf("%v a minute before, limit %v", got, limit)
		}
		// Higher thresholds come no earlier, a longer least silence neither.
		if next, st := DueTime(p, x, tx, t0, h, limit+.005); st == Crosses && next < due {
			t.Fatalf("a higher threshold is due earlier: %d, %d", next, due)
		}
		if next, st := DueTime(p, x, tx, t0+schemas.Day, h, limit); st != Never && next < due {
			t.Fatalf("a longer silence is due earlier: %d, %d", next, due)
		}
	})
	if crossed == 0 {
		t.Error("nothing crossed")
	}
}

func TestOnceBoughtTellsSomething(t *testing.T) {
	if got := PAlive(cdnow, 0, 0, 38.86); got != 1 {
		t.Errorf("BG/NBD: %v", got)
	}
	early, late := PAlive(cdnowModified, 0, 0, 1), PAlive(cdnowModified, 0, 0, 38.86)
	if !(late < early && early < 1) {
		t.Errorf("MBG/NBD: %v after a week, %v after 39", early, late)
	}
	if !math.IsNaN(Expected(cdnowModified, 1, 1, 2, 3)) {
		t.Error("the expectation is BG/NBD's only")
	}
}

func TestCycle(t *testing.T) {
	c := Cycle{Gap: 40 * schemas.Day, Weight: 2}
	for _, k := range []struct {
		span schemas.EventTime
		gaps int64
		want schemas.EventTime
	}{{0, 0, 40 * schemas.Day}, {20 * schemas.Day, 2, 25 * schemas.Day}, {0, 8, 8 * schemas.Day}, {schemas.Day, 1, (81*schemas.Day - 0) / 3}} {
		if got := c.Mean(k.span, k.gaps); got != k.want {
			t.Errorf("%d gaps over %d: %d, want %d", k.gaps, k.span, got, k.want)
		}
	}
	if got := (Cycle{Gap: 7}).Mean(0, 0); got != 7 {
		t.Errorf("without any gap: %d", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := Cycle{Gap: schemas.EventTime(rapid.Int64Range(1, int64(MaxSilence)).Draw(t, "gap")), Weight: rapid.Int64Range(0, 1_000_000).Draw(t, "weight")}
		gaps := rapid.Int64Range(1, 100_000).Draw(t, "gaps")
		span := schemas.EventTime(rapid.Int64Range(0, int64(MaxSilence)).Draw(t, "span"))
		mean := c.Mean(span, gaps)
		own := span / schemas.EventTime(gaps)
		if mean < min(own, c.Gap) && mean != 1 || mean > max(own+1, c.Gap) {
			t.Fatalf("mean %d lies outside %d and %d", mean, own, c.Gap)
		}
		k := rapid.Int64Range(1, 1_000_000).Draw(t, "k")
		if a, b := Silence(mean, k), Silence(mean, k+1); a > b || a > MaxSilence {
			t.Fatalf("%d thousandths give %d, one more %d", k, a, b)
		}
		if a, b := mean, c.Mean(span+1, gaps); a > b {
			t.Fatalf("a longer span has a shorter mean: %d, %d", a, b)
		}
	})
}

func drawCurve(t *rapid.T) Curve {
	var c Curve
	at, stay := schemas.EventTime(0), int64(1_000_000)
	for range rapid.IntRange(1, 12).Draw(t, "knots") {
		at += schemas.EventTime(rapid.Int64Range(1, 60).Draw(t, "days")) * schemas.Day
		stay -= rapid.Int64Range(0, stay).Draw(t, "fall")
		c = append(c, Knot{at, stay})
	}
	return c
}

// TestCurveDueIsTheFirst against a walk hour by hour.
func TestCurveDueIsTheFirst(t *testing.T) {
	found := map[Solution]int{}
	rapid.Check(t, func(t *rapid.T) {
		c := drawCurve(t)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		h := schemas.EventTime(rapid.Int64Range(1, 90).Draw(t, "horizon")) * schemas.Day
		start := schemas.EventTime(rapid.Int64Range(0, 30).Draw(t, "start")) * schemas.Day
		limit := float64(rapid.IntRange(1, 1_000_000).Draw(t, "limit")) / 1e6
		due, st := c.Due(start, h, limit)
		found[st]++
		reached := func(t schemas.EventTime) bool { return numeric.Round6(c.NoReturn(t, h)) >= limit }
		for s := start; s+h <= c.End(); s += schemas.Hour {
			if reached(s) != (s >= due && st != Never) && (s < due || st == Never) {
				t.Fatalf("reached at %d, due %d (%v)", s, due, st)
			}
		}
		switch st {
		case Already:
			if due != start || !reached(start) {
				t.Fatalf("already at %d", due)
			}
		case Crosses:
			if !reached(due) || reached(due-1) || due <= start {
				t.Fatalf("due %d: %v, before %v", due, c.NoReturn(due, h), c.NoReturn(due-1, h))
			}
		}
		// Monotone in the least silence and in the threshold.
		if st == Crosses || st == Already {
			if later, s2 := c.Due(start+schemas.Day, h, limit); s2 != Never && later < due {
				t.Fatalf("a longer least silence is due earlier: %d, %d", later, due)
			}
			if higher, s2 := c.Due(start, h, limit+.01); s2 != Never && higher < due {
				t.Fatalf("a higher threshold is due earlier: %d, %d", higher, due)
			}
		}
	})
	for _, s := range []Solution{Already, Crosses, Never} {
		if found[s] == 0 {
			t.Errorf("no case of %v", s)
		}
	}
}

func TestCurveValidate(t *testing.T) {
	for _, c := range []Curve{nil, {{0, 5}}, {{5, 5}, {5, 4}}, {{5, 5}, {6, 6}}, {{5, 1_000_001}}, {{5, -1}}} {
		if err := c.Validate(); !errors.Is(err, ErrCurve) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if got := (Curve{{schemas.Day, 0}, {10 * schemas.Day, 0}}).NoReturn(2*schemas.Day, schemas.Day); got != 1 {
		t.Errorf("where nobody stays: %v", got)
	}
}

// The note's parameters for the 946 repeat customers of the CDNOW sample.
func TestSpend(t *testing.T) {
	s := Spend{P: 6.25, Q: 3.74, Gamma: 15.44}
	all := s.P * s.Gamma / (s.Q - 1)
	if got := s.Mean(0, 0); math.Abs(got-all) > 1e-9 {
		t.Errorf("of nobody: %v, want %v", got, all)
	}
	last := all
	for _, x := range []int64{1, 3, 10, 1000} { // nearer to her own mean, the more is known
		got := s.Mean(x, 100)
		if !(got > last && got < 100) {
			t.Errorf("%d days: %v", x, got)
		}
		last = got
	}
	if !math.IsNaN(s.Mean(-1, 1)) || !math.IsNaN(Spend{P: 1, Q: 1, Gamma: 1}.Mean(1, 1)) {
		t.Error("outside of its range it must say so")
	}
}
