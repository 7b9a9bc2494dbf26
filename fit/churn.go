package fit

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"tidemark/playbook"
	"tidemark/processor/churn"
	"tidemark/schemas"
)

// ChurnOptions say how churn models are fitted and measured.
type ChurnOptions struct {
	Horizon int // days within which no order is what we fear; 0: a quarter of the history in whole weeks, at most 39
	Cut     int // day number of the last day that the fits see; 0: the last day less the horizon
}

// Point is what came of those who stood at or above a value at the cut.
type Point struct {
	At        float64 `json:"at"`
	Warned    int     `json:"warned"`
	Precision float64 `json:"precision"`          // share of them who did not return within the horizon
	Recall    float64 `json:"recall"`             // share of all who did not return
	Expected  float64 `json:"expected,omitempty"` // what the model itself expected of them; 0 without a probability
}

// Model is one model, fitted before the cut and measured after it.
type Model struct {
	Name    string      `json:"model"`
	AUC     float64     `json:"auc"` // chance that one who stays away ranks above one who returns
	Table   []Point     `json:"table"`
	Fit     *Likelihood `json:"fit,omitempty"`
	Notes   []string    `json:"notes,omitempty"`
	Levels  []Level     `json:"levels,omitempty"`
	Bands   []Band      `json:"bands,omitempty"`    // hiatus by frequency
	GapDays float64     `json:"gap_days,omitempty"` // cycle: mean of closed gaps
	Weight  *int64      `json:"weight,omitempty"`   // cycle: how many gaps of one's own it counts like
	Curves  []CurveOf   `json:"curves,omitempty"`   // return-curve
	Usable  bool        `json:"usable"`

	params churn.Params
	gap    schemas.EventTime
	weight int64
}

// Level is a proposed step of a warning.
type Level struct {
	Name  string  `json:"name"`
	At    float64 `json:"at"` // days, multiples or a probability
	Point *Point  `json:"measured,omitempty"`
}

// Band is proposed silences in days by frequency.
type Band struct {
	Orders int64 `json:"orders"`
	Early  int   `json:"early_days"`
	Late   int   `json:"late_days"`
	Lost   int   `json:"lost_days"`
}

// CurveOf is a return curve by frequency.
type CurveOf struct {
	Orders int64       `json:"orders"`
	Curve  churn.Curve `json:"curve"` // at: milliseconds of silence; stay: in a million
}

// ChurnReport is what came out.
type ChurnReport struct {
	Customers   int            `json:"customers"` // with a day up to the cut
	Returned    int            `json:"returned"`
	BaseRate    float64        `json:"base_rate"` // share who did not return
	Cut         string         `json:"calibrated_to"`
	HorizonDays int            `json:"horizon_days"`
	Models      []*Model       `json:"models"`
	Spend       *Likelihood    `json:"spend,omitempty"`
	SpendNote   string         `json:"spend_note,omitempty"`
	Recommended string         `json:"recommended"`
	Why         string         `json:"why"`
	Fallback    map[string]int `json:"fallback_days"`
	Horizon     int            `json:"-"`

	spend churn.Spend
}

// standing is one customer at the cut.
type standing struct {
	days         int64
	first, last  int // day numbers
	silence      int
	span         int
	stayedAway   bool
	meanGapMilli float64
}

// Churn fits all models to the days up to the cut and measures them on the
// horizon after it.
func Churn(h *History, o ChurnOptions) (*ChurnReport, error) {
	span := h.Last - h.First + 1
	if o.Horizon == 0 {
		o.Horizon = min(span/4/7, 39) * 7
	}
	if o.Cut == 0 {
		o.Cut = h.Last - o.Horizon
	}
	if o.Horizon < 1 || o.Cut-h.First < 14 || o.Cut+o.Horizon > h.Last {
		return nil, fmt.Errorf("%w: %d days from %s to %s; fits up to %s, and %d days after it to measure on, do not fit in", ErrHistory, span, Date(h.First), Date(h.Last), Date(o.Cut), o.Horizon)
	}
	r := &ChurnReport{Cut: Date(o.Cut), HorizonDays: o.Horizon, Horizon: o.Horizon, Fallback: map[string]int{}}
	var all []standing
	for i := range h.Customers {
		c := &h.Customers[i]
		n := c.upto(o.Cut)
		if n == 0 {
			continue
		}
		s := standing{days: int64(n), first: c.Days[0].Number, last: c.Days[n-1].Number, stayedAway: n == len(c.Days) || c.Days[n].Number > o.Cut+o.Horizon}
		s.silence, s.span = o.Cut-s.last, s.last-s.first
		if !s.stayedAway {
			r.Returned++
		}
		all = append(all, s)
	}
	r.Customers = len(all)
	if r.Customers < 50 || r.Returned < 10 || r.Customers-r.Returned < 10 {
		return nil, fmt.Errorf("%w: %d customers up to %s, %d of whom returned; measuring needs 50, and 10 of either kind", ErrHistory, r.Customers, r.Cut, r.Returned)
	}
	r.BaseRate = round4(1 - float64(r.Returned)/float64(r.Customers))

	bs := bands(h, o.Cut)
	pooled := pool(h, o.Cut)
	for i, name := range []string{"early", "late", "lost"} {
		r.Fallback[name] = max(pooled.Quantile([]float64{.8, .9, .95}[i]), 7+i)
	}
	r.Models = append(r.Models, r.hiatus(all, pooled), r.hiatusBands(all, bs), r.cycle(h, o.Cut, all), r.curve(all, bs))
	for _, modified := range []bool{false, true} {
		m, err := r.btyd(h, o.Cut, all, modified)
		if err != nil {
			return nil, err
		}
		r.Models = append(r.Models, m)
	}
	r.fitSpend(h, o.Cut)
	r.recommend()
	return r, nil
}

func pool(h *History, cut int) *Survival { return gaps(h, cut, 1, nil)[0].survival() }

// measure ranks customers by score and says what came of those at or above
// each value of at. chance, where there is one, is what the model expects.
func (r *ChurnReport) measure(m *Model, all []standing, score func(*standing) float64, at []float64, chance bool) {
	type ranked struct {
		score float64
		away  bool
	}
	list := make([]ranked, len(all))
	for i := range all {
		list[i] = ranked{score(&all[i]), all[i].stayedAway}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].score > list[j].score })
	// AUC with ties at one half.
	var pairs, above float64
	returned, away := float64(r.Returned), float64(r.Customers-r.Returned)
	pairs = returned * away
	for i := 0; i < len(list); {
		j, a, b := i, 0.0, 0.0
		for ; j < len(list) && list[j].score == list[i].score; j++ {
			if list[j].away {
				a++
			} else {
				b++
			}
		}
		returned -= b
		above += a * (returned + b/2)
		i = j
	}
	m.AUC = round4(above / pairs)
	for _, x := range at {
		p := Point{At: x}
		right, expected := 0, 0.0
		for _, l := range list {
			if !(l.score >= x) {
				break
			}
			p.Warned++
			expected += l.score
			if l.away {
				right++
			}
		}
		if p.Warned == 0 {
			continue
		}
		p.Precision, p.Recall = round4(float64(right)/float64(p.Warned)), round4(float64(right)/away)
		if chance {
			p.Expected = round4(expected / float64(p.Warned))
		}
		m.Table = append(m.Table, p)
	}
}

func (m *Model) level(name string, at float64) {
	l := Level{Name: name, At: at}
	for i := range m.Table {
		if m.Table[i].At == at {
			l.Point = &m.Table[i]
		}
	}
	if k := len(m.Levels); k == 0 || m.Levels[k-1].At < at {
		m.Levels = append(m.Levels, l)
	}
}

var levelNames = []string{"early", "late", "lost"}

func (r *ChurnReport) hiatus(all []standing, pooled *Survival) *Model {
	m := &Model{Name: "hiatus", Usable: true}
	var at []float64
	for _, q := range []float64{.5, .6, .7, .8, .85, .9, .95, .98} {
		if d := float64(pooled.Quantile(q)); d >= 1 && !slices.Contains(at, d) {
			at = append(at, d)
		}
	}
	r.measure(m, all, func(s *standing) float64 { return float64(s.silence) }, at, false)
	for i, q := range []float64{.8, .9, .95} {
		m.level(levelNames[i], math.Max(float64(pooled.Quantile(q)), 1))
	}
	return m
}

// hiatusBands ranks by how often a silence is that of the band's early level.
func (r *ChurnReport) hiatusBands(all []standing, bs []band) *Model {
	m := &Model{Name: "hiatus-bands", Usable: true}
	for _, b := range bs {
		x := Band{Orders: b.Orders, Early: max(b.Survival.Quantile(.8), 1)}
		x.Late = max(b.Survival.Quantile(.9), x.Early+1)
		x.Lost = max(b.Survival.Quantile(.95), x.Late+1)
		m.Bands = append(m.Bands, x)
	}
	of := func(s *standing) *Band {
		k := 0
		for i := range m.Bands {
			if m.Bands[i].Orders <= s.days {
				k = i
			}
		}
		return &m.Bands[k]
	}
	// 1 at the early silence, 2 at the late, 3 at the lost, and between and
	// beyond them by proportion.
	score := func(s *standing) float64 {
		b, d := of(s), float64(s.silence)
		switch e, l, g := float64(b.Early), float64(b.Late), float64(b.Lost); {
		case d < e:
			return d / e
		case d < l:
			return 1 + (d-e)/(l-e)
		case d < g:
			return 2 + (d-l)/(g-l)
		default:
			return 3 + (d-g)/g
		}
	}
	r.measure(m, all, score, []float64{1, 2, 3}, false)
	for i, name := range levelNames {
		m.level(name, float64(i+1))
	}
	return m
}

func (r *ChurnReport) cycle(h *History, cut int, all []standing) *Model {
	m := &Model{Name: "cycle"}
	var sum, n int64
	for i := range h.Customers {
		c := &h.Customers[i]
		if k := c.upto(cut); k > 1 {
			sum += int64(c.Days[k-1].Number - c.Days[0].Number)
			n += int64(k - 1)
		}
	}
	if n < 20 {
		m.Notes = append(m.Notes, fmt.Sprintf("%d gaps between days: too few for a rhythm", n))
		m.gap = 30 * schemas.Day
		return m
	}
	m.Usable = true
	m.gap = schemas.EventTime(sum) * schemas.Day / schemas.EventTime(n)
	m.weight = bestWeight(h, cut, m.gap)
	m.GapDays, m.Weight = round4(float64(m.gap)/float64(schemas.Day)), &m.weight
	c := churn.Cycle{Gap: m.gap, Weight: m.weight}
	score := func(s *standing) float64 {
		return float64(schemas.EventTime(s.silence)*schemas.Day) / float64(c.Mean(schemas.EventTime(s.span)*schemas.Day, s.days-1))
	}
	// How many mean gaps the gaps themselves took.
	var ratios []float64
	for i := range h.Customers {
		cu := &h.Customers[i]
		k := cu.upto(cut)
		for j := 1; j < k; j++ {
			mean := c.Mean(schemas.EventTime(cu.Days[j-1].Number-cu.Days[0].Number)*schemas.Day, int64(j-1))
			ratios = append(ratios, float64(schemas.EventTime(cu.Days[j].Number-cu.Days[j-1].Number)*schemas.Day)/float64(mean))
		}
	}
	sort.Float64s(ratios)
	at := []float64{1, 1.5, 2, 3, 4, 6, 8}
	var levels []float64
	for _, q := range []float64{.8, .9, .95} {
		x := math.Max(math.Round(ratios[int(q*float64(len(ratios)-1))]*10)/10, .1)
		if k := len(levels); k > 0 && x <= levels[k-1] {
			x = levels[k-1] + .1
		}
		levels = append(levels, math.Round(x*10)/10)
	}
	for _, x := range levels {
		if !slices.Contains(at, x) {
			at = append(at, x)
		}
	}
	sort.Float64s(at)
	r.measure(m, all, score, at, false)
	for i, x := range levels {
		m.level(levelNames[i], x)
	}
	return m
}

// bestWeight is the weight with which the gaps before the last one tell the
// last one best, by the mean distance of logarithms.
func bestWeight(h *History, cut int, gap schemas.EventTime) int64 {
	best, least := int64(1), math.Inf(1)
	for _, w := range []int64{0, 1, 2, 3, 4, 6, 8, 12} {
		c, sum := churn.Cycle{Gap: gap, Weight: w}, 0.0
		for i := range h.Customers {
			cu := &h.Customers[i]
			n := cu.upto(cut)
			if n < 3 {
				continue
			}
			mean := c.Mean(schemas.EventTime(cu.Days[n-2].Number-cu.Days[0].Number)*schemas.Day, int64(n-2))
			last := schemas.EventTime(cu.Days[n-1].Number-cu.Days[n-2].Number) * schemas.Day
			sum += math.Abs(math.Log(float64(last) / float64(mean)))
		}
		if sum < least {
			best, least = w, sum
		}
	}
	return best
}

var thresholds = []float64{.3, .4, .5, .6, .65, .7, .75, .8, .85, .9, .95}

// chanceLevels proposes thresholds above the base rate, since a warning should
// say more than that most customers leave, up to the highest that still holds a
// twentieth of the customers. What came of them later is not looked at.
func (r *ChurnReport) chanceLevels(m *Model) {
	var above, all []float64
	for i := range m.Table {
		if p := &m.Table[i]; p.At >= .5 && p.Warned*20 >= r.Customers {
			all = append(all, p.At)
			if p.At >= r.BaseRate {
				above = append(above, p.At)
			}
		}
	}
	if len(above) < 3 {
		above = all[max(len(all)-3, 0):]
	}
	switch n := len(above); n {
	case 0:
		m.level(levelNames[0], .5)
	case 1, 2:
		for i, x := range above {
			m.level(levelNames[i], x)
		}
	default:
		m.level(levelNames[0], above[0])
		m.level(levelNames[1], above[n/2])
		m.level(levelNames[2], above[n-1])
	}
}

func (r *ChurnReport) curve(all []standing, bs []band) *Model {
	m := &Model{Name: "return-curve", Usable: true}
	shortest := math.MaxInt
	for _, b := range reaching(bs, r.Horizon+28) {
		c := b.Survival.Curve(.004)
		if c == nil {
			m.Notes, m.Usable = append(m.Notes, fmt.Sprintf("customers with %d days or more are too few for a curve", b.Orders)), false
			c = churn.Curve{{At: schemas.Day, Stay: 1_000_000}}
		}
		m.Curves = append(m.Curves, CurveOf{b.Orders, c})
		shortest = min(shortest, int(c.End()/schemas.Day))
	}
	if shortest < r.Horizon+7 {
		m.Notes, m.Usable = append(m.Notes, fmt.Sprintf("the shortest curve reaches %d days of silence and the horizon is %d: choose a shorter horizon, or wait for a longer history", shortest, r.Horizon)), false
	}
	horizon := schemas.EventTime(r.Horizon) * schemas.Day
	r.measure(m, all, func(s *standing) float64 {
		k := 0
		for i := range m.Curves {
			if m.Curves[i].Orders <= s.days {
				k = i
			}
		}
		c := m.Curves[k].Curve
		return c.NoReturn(min(schemas.EventTime(s.silence)*schemas.Day, max(c.End()-horizon, 0)), horizon)
	}, thresholds, true)
	r.chanceLevels(m)
	return m
}

func (r *ChurnReport) btyd(h *History, cut int, all []standing, modified bool) (*Model, error) {
	m := &Model{Name: "bgnbd"}
	if modified {
		m.Name = "mbgnbd"
	}
	p, l, err := BGNBD(Summaries(h, cut), modified)
	if err != nil {
		return nil, err
	}
	m.params, m.Fit, m.Usable = written(p), l, l.Converged && l.Identified
	r.measure(m, all, func(s *standing) float64 {
		return churn.PNoPurchase(m.params, int(s.days-1), float64(s.span)/7, float64(cut-s.first)/7, float64(r.Horizon)/7)
	}, thresholds, true)
	r.chanceLevels(m)
	return m, nil
}

func (r *ChurnReport) fitSpend(h *History, cut int) {
	exponent, ok := playbook.Exponent(h.Currency)
	if !ok {
		r.SpendNote = "no known currency: what customers spend is not fitted"
		return
	}
	var x []int64
	var mean []float64
	for i := range h.Customers {
		c := &h.Customers[i]
		n, sum := int64(0), int64(0)
		for _, d := range c.Days[:c.upto(cut)] {
			if d.Net > 0 {
				n, sum = n+1, sum+d.Net
			}
		}
		if n > 0 {
			x, mean = append(x, n), append(mean, float64(sum)/math.Pow10(exponent)/float64(n))
		}
	}
	s, l, err := Spend(x, mean)
	if err != nil {
		r.SpendNote = err.Error()
		return
	}
	r.spend, r.Spend = s, l
}

// recommend takes the simplest model that ranks nearly as well as the best.
func (r *ChurnReport) recommend() {
	best := 0.0
	for _, m := range r.Models {
		if m.Usable {
			best = math.Max(best, m.AUC)
		}
	}
	for _, m := range r.Models {
		if m.Usable && m.AUC >= best-.005 {
			r.Recommended = m.Name
			r.Why = fmt.Sprintf("it ranks who stays away with an AUC of %.3f; the best is %.3f, and this is the simplest within .005 of it", m.AUC, best)
			return
		}
	}
}

func round4(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// written rounds parameters as the file writes them, so that what is measured
// is what is used.
func written(p churn.Params) churn.Params {
	for _, v := range []*float64{&p.R, &p.Alpha, &p.A, &p.B} {
		*v = math.Round(*v*1e6) / 1e6
	}
	return p
}
