package fit

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"

	"tidemark/processor/churn"
)

// Estimate is one fitted parameter.
type Estimate struct {
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Error *float64 `json:"standard_error"` // null where it is not identified
}

// Likelihood is a fit by maximum likelihood.
type Likelihood struct {
	Estimates     []Estimate `json:"estimates"`
	LogLikelihood float64    `json:"log_likelihood"`
	Customers     int        `json:"customers"`
	Converged     bool       `json:"converged"`
	Identified    bool       `json:"identified"`
	Notes         []string   `json:"notes,omitempty"`
	Evaluations   int        `json:"evaluations"`
}

func (l *Likelihood) value(name string) float64 {
	for _, e := range l.Estimates {
		if e.Name == name {
			return e.Value
		}
	}
	return math.NaN()
}

// Summaries counts each customer's days up to cut, in weeks, with equal
// histories put together, in a fixed order.
func Summaries(h *History, cut int) []churn.Summary {
	type key struct{ x, tx, t int }
	counts := map[key]float64{}
	for i := range h.Customers {
		c := &h.Customers[i]
		n := c.upto(cut)
		if n == 0 {
			continue
		}
		first := c.Days[0].Number
		counts[key{n - 1, c.Days[n-1].Number - first, cut - first}]++
	}
	keys := make([]key, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.tx, b.tx), cmp.Compare(a.t, b.t))
	})
	out := make([]churn.Summary, len(keys))
	for i, k := range keys {
		out[i] = churn.Summary{X: k.x, Tx: float64(k.tx) / 7, T: float64(k.t) / 7, Weight: counts[k]}
	}
	return out
}

// bounds of parameters, in their own measure.
type bounds struct {
	name     string
	low, top float64
	start    float64
}

// BGNBD fits BG/NBD, or MBG/NBD if modified, to customers' histories in weeks.
// Each of the four lies in [1e-4, 1e4].
func BGNBD(histories []churn.Summary, modified bool) (churn.Params, *Likelihood, error) {
	customers := 0.0
	repeat := 0.0
	for _, s := range histories {
		customers += s.Weight
		if s.X > 0 {
			repeat += s.Weight
		}
	}
	if customers < 20 || repeat < 5 {
		return churn.Params{}, nil, fmt.Errorf("%w: %.0f customers, %.0f of them with a second day; a fit needs 20 and 5", ErrHistory, customers, repeat)
	}
	params := func(v []float64) churn.Params {
		return churn.Params{R: v[0], Alpha: v[1], A: v[2], B: v[3], Unit: churn.Week, Modified: modified}
	}
	l := maximise([]bounds{{"r", 1e-4, 1e4, 1}, {"alpha", 1e-4, 1e4, 4}, {"a", 1e-4, 1e4, 1}, {"b", 1e-4, 1e4, 2}}, customers,
		func(v []float64) float64 { return churn.LogLikelihood(params(v), histories) })
	l.Customers = int(customers)
	p := params([]float64{l.value("r"), l.value("alpha"), l.value("a"), l.value("b")})
	switch {
	case p.A <= 2e-4:
		l.Notes = append(l.Notes, "a is at its lower bound: drop-out is not identified, this history shows none after an order; P(alive) is close to 1 for everyone, and b says nothing")
	case p.A/(p.A+p.B) < .005:
		l.Notes = append(l.Notes, "the mean chance of drop-out a/(a+b) is below .005: drop-out is hardly identified in this history")
		l.Identified = false
	}
	return p, l, nil
}

// Spend fits the Gamma-Gamma model to customers' mean values over x days, in
// units of the currency: p and gamma in [1e-3, 1e6], q in [1.001, 1e4].
func Spend(x []int64, mean []float64) (churn.Spend, *Likelihood, error) {
	if len(x) < 20 {
		return churn.Spend{}, nil, fmt.Errorf("%w: %d customers with money; a fit of what they spend needs 20", ErrHistory, len(x))
	}
	l := maximise([]bounds{{"p", 1e-3, 1e6, 2}, {"q", 1.001, 1e4, 3}, {"gamma", 1e-3, 1e6, 20}}, float64(len(x)), func(v []float64) float64 {
		s, sum := churn.Spend{P: v[0], Q: v[1], Gamma: v[2]}, 0.0
		for i := range x {
			sum += s.LogLikelihood(x[i], mean[i])
		}
		return sum
	})
	l.Customers = len(x)
	return churn.Spend{P: l.value("p"), Q: l.value("q"), Gamma: l.value("gamma")}, l, nil
}

// maximise finds the greatest log-likelihood over parameters that are bounded
// by a logistic curve over their logarithms: first downhill simplex from three
// starts, then BFGS from the best, gradients by central differences.
func maximise(bs []bounds, n float64, of func([]float64) float64) *Likelihood {
	l := &Likelihood{Identified: true}
	toParam := func(theta []float64) []float64 {
		out := make([]float64, len(bs))
		for i, b := range bs {
			out[i] = math.Exp(math.Log(b.low) + (math.Log(b.top)-math.Log(b.low))/(1+math.Exp(-theta[i])))
		}
		return out
	}
	toTheta := func(i int, v float64) float64 {
		b := bs[i]
		s := (math.Log(v) - math.Log(b.low)) / (math.Log(b.top) - math.Log(b.low))
		return math.Log(s / (1 - s))
	}
	// Per customer, so that tolerances mean the same for every size of history.
	f := func(theta []float64) float64 {
		l.Evaluations++
		v := of(toParam(theta))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return math.MaxFloat64
		}
		return -v / n
	}
	var best []float64
	bestF := math.Inf(1)
	for _, scale := range []float64{1, .3, 4} {
		theta := make([]float64, len(bs))
		for i, b := range bs {
			theta[i] = toTheta(i, math.Min(math.Max(b.start*scale, b.low*1.01), b.top*.99))
		}
		res, err := optimize.Minimize(optimize.Problem{Func: f}, theta, &optimize.Settings{FuncEvaluations: 500,
			Converger: &optimize.FunctionConverge{Absolute: 1e-10, Iterations: 40}}, &optimize.NelderMead{SimplexSize: .15})
		if res != nil && (err == nil || res.F < math.MaxFloat64) && res.F < bestF {
			best, bestF = res.X, res.F
		}
	}
	grad := func(g, x []float64) { fd.Gradient(g, f, x, &fd.Settings{Formula: fd.Central, Step: 1e-5}) }
	if best == nil {
		l.Notes = append(l.Notes, "no start led anywhere: the likelihood is not finite on this history")
		best = make([]float64, len(bs))
	} else if res, err := optimize.Minimize(optimize.Problem{Func: f, Grad: grad}, best,
		&optimize.Settings{GradientThreshold: 1e-7, MajorIterations: 60}, &optimize.BFGS{}); res != nil && res.F <= bestF {
		_ = err // a line search that finds nothing better is the end of the way, and the gradient below judges
		best, bestF = res.X, res.F
	}
	g := make([]float64, len(bs))
	grad(g, best)
	steepest := 0.0
	for _, x := range g {
		steepest = math.Max(steepest, math.Abs(x))
	}
	l.Converged = steepest < 1e-5 && bestF < math.MaxFloat64
	if !l.Converged {
		l.Notes = append(l.Notes, fmt.Sprintf("it did not converge: the slope left is %.2g per customer", steepest))
	}
	values := toParam(best)
	l.LogLikelihood = of(values)

	var free []int
	for i, b := range bs {
		at := (math.Log(values[i]) - math.Log(b.low)) / (math.Log(b.top) - math.Log(b.low))
		l.Estimates = append(l.Estimates, Estimate{Name: b.name, Value: values[i]})
		if at < .02 || at > .98 {
			l.Identified = false
			l.Notes = append(l.Notes, fmt.Sprintf("%s is at the bound of its range (%.4g to %.4g): not identified", b.name, b.low, b.top))
			continue
		}
		free = append(free, i)
	}
	l.errors(values, free, of)
	return l
}

// errors are the square roots of the diagonal of the inverse of minus the
// Hessian, by differences over the logarithms of what is free.
func (l *Likelihood) errors(values []float64, free []int, of func([]float64) float64) {
	if len(free) == 0 {
		return
	}
	f := func(logs []float64) float64 {
		v := slices.Clone(values)
		for j, i := range free {
			v[i] = math.Exp(logs[j])
		}
		l.Evaluations++
		return -of(v)
	}
	at := make([]float64, len(free))
	for j, i := range free {
		at[j] = math.Log(values[i])
	}
	var hessian mat.SymDense
	fd.Hessian(&hessian, f, at, &fd.Settings{Formula: fd.Central, Step: 1e-3})
	var chol mat.Cholesky
	if !chol.Factorize(&hessian) {
		l.Identified = false
		l.Notes = append(l.Notes, "the likelihood is flat here: no standard errors, and the parameters are not identified")
		return
	}
	var inverse mat.SymDense
	if err := chol.InverseTo(&inverse); err != nil {
		l.Identified = false
		l.Notes = append(l.Notes, "the likelihood is nearly flat here: no standard errors")
		return
	}
	for j, i := range free {
		relative := math.Sqrt(inverse.At(j, j))
		e := relative * values[i]
		l.Estimates[i].Error = &e
		if relative > 1 {
			l.Identified = false
			l.Notes = append(l.Notes, fmt.Sprintf("the standard error of %s is larger than %s itself: hardly identified", l.Estimates[i].Name, l.Estimates[i].Name))
		}
	}
}
