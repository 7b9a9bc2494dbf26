package playbook

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tidemark/schemas"
)

// ChurnModel names how the warning's due time is found.
type ChurnModel uint8

const (
	Hiatus ChurnModel = iota
	BGNBD
	MBGNBD
	Cycle
	ReturnCurve
)

var churnModels = []string{"hiatus", "bgnbd", "mbgnbd", "cycle", "return-curve"}

// String is the model's name in playbooks and triggers.
func (m ChurnModel) String() string { return churnModels[m] }

// Probability says whether the model gives a chance of no return, so that
// levels are thresholds of it.
func (m ChurnModel) Probability() bool { return m == BGNBD || m == MBGNBD || m == ReturnCurve }

// Churn (流失预警) warns when a silence has lasted too long.
type Churn struct {
	Common
	Stream     int // index into Playbook.Streams: the core behavior that the silence is of
	Model      ChurnModel
	Levels     []ChurnLevel      // one at least, rising from early to lost
	Bands      []ChurnBand       // Hiatus: by frequency, ascending; nil: Levels hold for everyone
	R, Alpha   float64           // BGNBD, MBGNBD
	A, B       float64           // BGNBD, MBGNBD
	Unit       schemas.EventTime // BGNBD, MBGNBD: one unit of time of the parameters
	Gap        schemas.EventTime // Cycle: the mean gap of all
	Weight     int64             // Cycle: how many gaps of one's own that mean counts like
	Curve      []CurveBand       // ReturnCurve: by frequency, ascending
	Horizon    schemas.EventTime // H of P(no order within H); of the fit for Hiatus and Cycle, 0 without one
	MinSilence schemas.EventTime // never before, default 7 d; Hiatus: at most the shortest silence
	BaseRate   *float64          // of the fit; nil: not known
	Value      ChurnValue        // what is at stake
	Spend      SpendModel        // ValueGammaGamma

	// After, Threshold, Fallback and Level are those of the first level.
	After, Fallback schemas.EventTime
	Threshold       float64
	Level           string
}

// ChurnLevel is one step of a warning.
type ChurnLevel struct {
	Name      string            // early, late, lost
	After     schemas.EventTime // Hiatus without bands: the silence
	Times     int64             // Cycle: thousandths of the customer's mean gap
	Threshold float64           // the models with a probability: warn when P reaches it from below
	Fallback  schemas.EventTime // and the silence where it is above already at MinSilence; ReturnCurve also where it is never reached
	Precision *float64          // share of such warnings that proved right in the fit; nil: not known
}

// ChurnBand is the silences of customers with at least so many days with an order.
type ChurnBand struct {
	Orders int64
	After  []schemas.EventTime // by level
}

// CurveBand is the return curve of customers with at least so many days with an order.
type CurveBand struct {
	Orders int64
	Days   []int64 // of silence, ascending
	Away   []int64 // still away then, in a million, never rising
}

// ChurnValue says what value_at_stake of a warning is.
type ChurnValue uint8

const (
	ValueYear       ChurnValue = iota // net spend of the 365 days before
	ValueMean                         // mean net spend of a day with an order
	ValueGammaGamma                   // the same, expected of the next such day
)

// SpendModel is the Gamma-Gamma model; Gamma in minor units.
type SpendModel struct{ P, Q, Gamma float64 }

var levelNames = []string{"early", "late", "lost"}

const (
	maxTimes = 1_000_000 // a thousand mean gaps
	maxKnots = 400
)

func (p *builder) churn(n *node, path string) Churn {
	b0 := &block{c: &compiler{}, n: n, values: map[string]*node{}}
	for _, e := range n.entries {
		b0.values[e.key.text] = e.value
	}
	model, _, _ := b0.scalar("model", "")
	keys := []string{"name", "model", "level", "levels", "parameters", "value", "core_behavior", "correct_within", "max_age", "cool_down", "once"}
	switch model {
	case "hiatus":
		keys = append(keys, "after", "bands")
	case "cycle":
		keys = append(keys, "times", "min_silence")
	case "bgnbd", "mbgnbd", "return-curve":
		keys = append(keys, "horizon", "threshold", "min_silence", "fallback")
	default:
		keys = vocabulary["churn[]"]
	}
	b := p.c.open(n, path, "churn[]", fmt.Sprintf("with model: %s", model), keys...)
	out := Churn{Common: p.common(b), Stream: p.coreBehavior(b)}
	b.need("model", strings.Join(churnModels, ", "))
	b.choice("model", "", churnModels...)
	if i := slices.Index(churnModels, model); i >= 0 {
		out.Model = ChurnModel(i)
	} else {
		b.choice("level", "early", levelNames...)
		return out
	}
	out.MinSilence = b.duration("min_silence", defaultMinSilence, 0, maxDuration)
	par := p.parameters(b, model, &out)
	switch {
	case out.Model == Hiatus:
		p.hiatus(b, par, &out)
	case out.Model == Cycle:
		p.levels(b, "times", &out)
	default:
		b.need("horizon", "a duration such as 13w")
		out.Horizon = b.duration("horizon", 0, schemas.Day, maxDuration)
		p.levels(b, "threshold", &out)
		p.fallback(b, &out)
	}
	p.precision(par, &out)
	p.value(b, par, &out)
	if len(out.Levels) > 0 {
		l := &out.Levels[0]
		out.Level, out.After, out.Threshold, out.Fallback = l.Name, l.After, l.Threshold, l.Fallback
	}
	return out
}

// levels reads one step under key and level, or several under levels.
func (p *builder) levels(b *block, key string, out *Churn) {
	one := func(b *block, key, name string) {
		l := ChurnLevel{Name: name}
		rising := true
		before := ChurnLevel{}
		if k := len(out.Levels); k > 0 {
			before = out.Levels[k-1]
		}
		switch {
		case out.Model == Hiatus:
			l.After = b.duration(key, 0, schemas.Hour, maxDuration)
			rising = l.After > before.After
		case out.Model == Cycle:
			l.Times = b.thousandths(key)
			rising = l.Times > before.Times
		default:
			l.Threshold = b.real(key, 0, 0, 1)
			rising = l.Threshold > before.Threshold
		}
		if v := b.get(key); v != nil && v.kind == scalarNode && !rising && before.Name != "" {
			p.c.problem(v, b.at(key), fmt.Sprintf("%s is not above %s", v.text, before.Name), "values that rise from early over late to lost")
		}
		out.Levels = append(out.Levels, l)
	}
	form := map[string]string{"after": "a duration such as 110d", "times": "how many mean gaps, such as 2.5", "threshold": "a probability between 0 and 1"}[key]
	v := b.get("levels")
	if v == nil {
		if b.values["levels"] == nil {
			b.need(key, form)
		}
		one(b, key, b.choice("level", "early", levelNames...))
		return
	}
	for _, other := range []string{key, "level"} {
		if w := b.values[other]; w != nil {
			p.c.problem(w, b.at(other), fmt.Sprintf("%q and levels say the same twice", other), "one of them")
		}
	}
	l := p.c.open(v, b.at("levels"), "churn[].levels", "")
	for _, name := range levelNames {
		if l.get(name) != nil {
			one(l, name, name)
		}
	}
	if v.kind == mapNode && len(out.Levels) == 0 {
		p.c.problem(v, b.at("levels"), "there is no level", "early, late, lost, each with "+form)
	}
}

// thousandths reads a decimal with at most three places, above 0 and at most 1000.
func (b *block) thousandths(key string) int64 {
	const allowed = "a number above 0 and at most 1000 with at most three decimals, such as 2.5"
	s, v, ok := b.scalar(key, allowed)
	if !ok {
		return 0
	}
	digits, scale, ok := parseDecimal(s)
	if !ok || scale > 3 {
		b.c.problem(v, b.at(key), fmt.Sprintf("%q is not such a number", shorten(s)), allowed)
		return 0
	}
	n := digits.Mul(digits, power10(3-scale))
	if !n.IsInt64() || n.Int64() < 1 || n.Int64() > maxTimes {
		b.c.problem(v, b.at(key), fmt.Sprintf("%s is out of range", shorten(s)), allowed)
		return 0
	}
	return n.Int64()
}

func (p *builder) fallback(b *block, out *Churn) {
	v := b.need("fallback", "a duration such as 119d")
	check := func(b *block, key string, d schemas.EventTime) {
		if d > 0 && d < out.MinSilence {
			p.c.problem(b.get(key), b.at(key), fmt.Sprintf("%s is shorter than min_silence", FormatDuration(d)), "at least "+FormatDuration(out.MinSilence))
		}
	}
	if v == nil {
		return
	}
	if v.kind != mapNode || len(out.Levels) == 1 && b.get("levels") == nil {
		d := b.duration("fallback", 0, schemas.Hour, maxDuration)
		check(b, "fallback", d)
		for i := range out.Levels {
			out.Levels[i].Fallback = d
		}
		return
	}
	f := p.c.open(v, b.at("fallback"), "churn[].fallback", "")
	last := schemas.EventTime(0)
	for i := range out.Levels {
		l := &out.Levels[i]
		f.need(l.Name, "a duration for each of the levels")
		l.Fallback = f.duration(l.Name, 0, schemas.Hour, maxDuration)
		check(f, l.Name, l.Fallback)
		if l.Fallback > 0 && l.Fallback < last {
			p.c.problem(f.get(l.Name), f.at(l.Name), FormatDuration(l.Fallback)+" is shorter than the level before", "values that do not fall from early to lost")
		}
		last = max(last, l.Fallback)
	}
	for _, name := range levelNames {
		if f.get(name) != nil && !slices.ContainsFunc(out.Levels, func(l ChurnLevel) bool { return l.Name == name }) {
			p.c.problem(f.get(name), f.at(name), "there is no level "+name+" in this rule", "the levels of the rule")
		}
	}
}

// hiatus reads a silence for everyone, or by frequency, from the rule or from
// its parameters.
func (p *builder) hiatus(b *block, par *block, out *Churn) {
	bands, shape := b, "churn[].bands[]"
	if b.get("bands") == nil && b.get("after") == nil && b.get("levels") == nil && par != nil && par.get("bands") != nil {
		bands, shape = par, "churn[].parameters.bands[]"
	}
	if bands.get("bands") == nil {
		p.levels(b, "after", out)
		shortest := schemas.EventTime(0)
		if len(out.Levels) > 0 {
			shortest = out.Levels[0].After
		}
		out.MinSilence = min(defaultMinSilence, shortest)
		return
	}
	for _, other := range []string{"after", "levels"} {
		if w := b.values[other]; w != nil {
			p.c.problem(w, b.at(other), fmt.Sprintf("%q has no meaning beside bands", other), "the silences in the bands")
		}
	}
	single := b.choice("level", "early", levelNames...)
	const form = "a list of {orders, after}, or {orders, early, late, lost}, the fewest orders first"
	out.MinSilence = defaultMinSilence
	for i, item := range bands.list("bands", form) {
		n := p.c.open(item, fmt.Sprintf("%s[%d]", bands.at("bands"), i), shape, "")
		band := ChurnBand{Orders: p.bandOrders(n, i, out.bandBefore())}
		var names []string
		if after := n.get("after"); after != nil {
			names = []string{single}
			band.After = append(band.After, n.duration("after", 0, schemas.Hour, maxDuration))
		}
		for _, name := range levelNames {
			v := n.get(name)
			if v == nil {
				continue
			}
			if n.get("after") != nil {
				p.c.problem(v, n.at(name), "after and levels stand here together", "one of them")
				continue
			}
			d := n.duration(name, 0, schemas.Hour, maxDuration)
			if k := len(band.After); k > 0 && d > 0 && d <= band.After[k-1] {
				p.c.problem(v, n.at(name), FormatDuration(d)+" is not above the level before", "values that rise from early over late to lost")
			}
			names, band.After = append(names, name), append(band.After, d)
		}
		if i == 0 {
			for _, name := range names {
				out.Levels = append(out.Levels, ChurnLevel{Name: name})
			}
		}
		if len(names) != len(out.Levels) || !slices.EqualFunc(names, out.Levels, func(s string, l ChurnLevel) bool { return s == l.Name }) || len(names) == 0 {
			p.c.problem(item, n.path, "must have the levels of the first band, and one at least", form)
			continue
		}
		for _, d := range band.After {
			out.MinSilence = min(out.MinSilence, d)
		}
		out.Bands = append(out.Bands, band)
	}
	if v := bands.get("bands"); v.kind == listNode && len(v.items) == 0 {
		p.c.problem(v, bands.at("bands"), "there is no band", form)
	}
}

func (c *Churn) bandBefore() int64 {
	if k := len(c.Bands); k > 0 {
		return c.Bands[k-1].Orders
	}
	return 0
}

// bandOrders reads from how many days with an order a band holds; the first
// holds from one.
func (p *builder) bandOrders(b *block, i int, before int64) int64 {
	v := b.need("orders", "from how many days with an order, 1 for the first band")
	n := b.integer("orders", 0, 1, 1_000_000)
	if v != nil && n > 0 && (i == 0 && n != 1 || i > 0 && n <= before) {
		p.c.problem(v, b.at("orders"), fmt.Sprintf("%d is not in order", n), "1 for the first band, then rising")
	}
	return n
}

// parameters reads what a fit found; nil where the rule names none.
func (p *builder) parameters(b *block, model string, out *Churn) *block {
	const form = "what tidemark fit churn wrote: {…}, or file.yaml#name"
	keys := []string{"model", "from", "horizon", "precision", "base_rate", "spend"}
	needed := "{r, alpha, a, b, unit}, or " + form
	switch out.Model {
	case Hiatus:
		keys, needed = append(keys, "bands"), ""
	case Cycle:
		keys, needed = append(keys, "gap", "weight"), "{gap, weight}, or "+form
	case ReturnCurve:
		keys, needed = append(keys, "curve"), "{curve}, or "+form
	default:
		keys = append(keys, "r", "alpha", "a", "b", "unit")
	}
	var v *node
	if needed == "" {
		v = b.get("parameters")
	} else {
		v = b.need("parameters", needed)
	}
	if v == nil {
		return nil
	}
	if v.kind == scalarNode {
		problem := fmt.Sprintf("%q names a parameters file, and only a playbook that is read from a file can bring one along", shorten(v.text))
		if !strings.Contains(v.text, "#") {
			problem = fmt.Sprintf("%q is neither a block nor file.yaml#name", shorten(v.text))
		}
		p.c.problem(v, b.at("parameters"), problem, form)
		return nil
	}
	par := p.c.open(v, b.at("parameters"), "churn[].parameters", fmt.Sprintf("with model: %s", model), keys...)
	if m := par.choice("model", model, churnModels...); m != model {
		p.c.problem(par.get("model"), par.at("model"), fmt.Sprintf("these are parameters of %s, and the rule's model is %s", m, model), "the same model")
	}
	par.text("from", "")
	switch out.Model {
	case BGNBD, MBGNBD:
		for _, x := range []struct {
			key    string
			target *float64
		}{{"r", &out.R}, {"alpha", &out.Alpha}, {"a", &out.A}, {"b", &out.B}} {
			par.need(x.key, "a number above 0")
			*x.target = par.real(x.key, 0, 0, 1e9)
		}
		par.need("unit", "the unit of time of the parameters, such as 1w")
		out.Unit = par.duration("unit", 0, schemas.Minute, 366*schemas.Day)
	case Cycle:
		par.need("gap", "the mean gap of all customers, such as 45d")
		out.Gap = par.duration("gap", 0, schemas.Minute, maxDuration)
		par.need("weight", "how many gaps of a customer's own it counts like, such as 2")
		out.Weight = par.integer("weight", 0, 0, 1_000_000)
	case ReturnCurve:
		p.curve(par, out)
	}
	return par
}

func (p *builder) curve(par *block, out *Churn) {
	const form = "a list of {orders, days, away}, the fewest orders first"
	v := par.need("curve", form)
	for i, item := range par.list("curve", form) {
		b := p.c.open(item, fmt.Sprintf("%s[%d]", par.at("curve"), i), "churn[].parameters.curve[]", "")
		before := int64(0)
		if i > 0 && len(out.Curve) > 0 {
			before = out.Curve[len(out.Curve)-1].Orders
		}
		band := CurveBand{Orders: p.bandOrders(b, i, before)}
		const days, away = "a list of ascending whole days from 1", "a list of shares still away, from 1 down to 0, one for each of days"
		dv, av := b.need("days", days), b.need("away", away)
		for k, x := range b.list("days", days) {
			at := fmt.Sprintf("%s[%d]", b.at("days"), k)
			d, ok := p.c.integer(x, at, 1, 36500)
			if n := len(band.Days); ok && n > 0 && d <= band.Days[n-1] {
				p.c.problem(x, at, fmt.Sprintf("%d is not above the one before", d), days)
			}
			band.Days = append(band.Days, d)
		}
		last := int64(1_000_000)
		for k, x := range b.list("away", away) {
			at := fmt.Sprintf("%s[%d]", b.at("away"), k)
			share, ok := p.c.share(x, at)
			if ok && share > last {
				p.c.problem(x, at, x.text+" is above the one before", away)
			}
			last = min(last, share)
			band.Away = append(band.Away, share)
		}
		if dv != nil && av != nil && dv.kind == listNode && av.kind == listNode && (len(band.Days) != len(band.Away) || len(band.Days) == 0 || len(band.Days) > maxKnots) {
			p.c.problem(av, b.at("away"), fmt.Sprintf("has %s for %s", count(len(band.Away), "value"), count(len(band.Days), "day")), fmt.Sprintf("as many as days, 1 to %d", maxKnots))
		}
		out.Curve = append(out.Curve, band)
	}
	if v != nil && v.kind == listNode && len(v.items) == 0 {
		p.c.problem(v, par.at("curve"), "there is no curve", form)
	}
}

// share reads a decimal from 0 to 1, in millionths.
func (c *compiler) share(v *node, path string) (int64, bool) {
	const allowed = "a number from 0 to 1 with at most six decimals"
	s, ok := c.scalar(v, path, allowed)
	if !ok {
		return 0, false
	}
	digits, scale, ok := parseDecimal(s)
	if !ok || scale > 6 {
		c.problem(v, path, fmt.Sprintf("%q is not such a number", shorten(s)), allowed)
		return 0, false
	}
	n := digits.Mul(digits, power10(6-scale))
	if !n.IsInt64() || n.Int64() < 0 || n.Int64() > 1_000_000 {
		c.problem(v, path, s+" is out of range", allowed)
		return 0, false
	}
	return n.Int64(), true
}

// precision reads what share of the warnings proved right in the fit, and gives
// each level its own: by the level's name, or that of the highest threshold,
// silence in days or multiple which is not above the level's. It holds for the
// fit's horizon only.
func (p *builder) precision(par *block, out *Churn) {
	if par == nil {
		return
	}
	if v := par.get("base_rate"); v != nil {
		if n, ok := p.c.share(v, par.at("base_rate")); ok {
			x := float64(n) / 1e6
			out.BaseRate = &x
		}
	}
	fitted := par.duration("horizon", out.Horizon, schemas.Day, maxDuration)
	if out.Horizon == 0 {
		out.Horizon = fitted
	}
	same := fitted == out.Horizon
	const form = "a list of {at, is}: a level or its value, and the share that proved right"
	best := make([]float64, len(out.Levels))
	for i, item := range par.list("precision", form) {
		b := p.c.open(item, fmt.Sprintf("%s[%d]", par.at("precision"), i), "churn[].parameters.precision[]", "")
		v, is := b.need("at", "a level's name or value"), b.need("is", "a share from 0 to 1")
		at, v2, ok := b.scalar("at", "a level's name or value")
		if v == nil || is == nil || !ok {
			continue
		}
		share, ok := p.c.share(is, b.at("is"))
		if !ok {
			continue
		}
		value := float64(share) / 1e6
		if contains(levelNames, at) {
			for k := range out.Levels {
				if out.Levels[k].Name == at {
					out.Levels[k].Precision, best[k] = &value, math.Inf(1)
				}
			}
			continue
		}
		x, err := strconv.ParseFloat(at, 64)
		if _, _, ok := parseDecimal(at); !ok || err != nil {
			p.c.problem(v2, b.at("at"), fmt.Sprintf("%q is neither a level nor a number", shorten(at)), form)
			continue
		}
		for k := range out.Levels {
			if l := &out.Levels[k]; len(out.Bands) == 0 && x <= l.measure(out.Model) && x >= best[k] {
				l.Precision, best[k] = &value, x
			}
		}
	}
	if !same {
		out.BaseRate = nil
		for k := range out.Levels {
			out.Levels[k].Precision = nil
		}
	}
}

// measure is what a fit's table of precision is ordered by.
func (l *ChurnLevel) measure(m ChurnModel) float64 {
	switch m {
	case Hiatus:
		return float64(l.After) / float64(schemas.Day)
	case Cycle:
		return float64(l.Times) / 1000
	}
	return l.Threshold
}

func (p *builder) value(b, par *block, out *Churn) {
	out.Value = map[string]ChurnValue{"spend_365d": ValueYear, "mean": ValueMean, "gamma_gamma": ValueGammaGamma}[b.choice("value", "spend_365d", "spend_365d", "mean", "gamma_gamma")]
	if par != nil {
		if v := par.get("spend"); v != nil {
			s := p.c.open(v, par.at("spend"), "churn[].parameters.spend", "")
			for _, x := range []struct {
				key    string
				low    float64
				target *float64
			}{{"p", 0, &out.Spend.P}, {"q", 1, &out.Spend.Q}, {"gamma", 0, &out.Spend.Gamma}} {
				s.need(x.key, "a number")
				*x.target = s.real(x.key, 0, x.low, 1e12)
			}
			exponent, _ := Exponent(p.c.currency)
			for range exponent {
				out.Spend.Gamma *= 10
			}
		}
	}
	if out.Value == ValueGammaGamma && out.Spend.P == 0 {
		p.c.problem(b.get("value"), b.at("value"), "gamma_gamma needs the spend model among the parameters", "parameters with spend: {p, q, gamma}")
	}
}
