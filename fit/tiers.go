package fit

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"tidemark/playbook"
)

// TierOptions say which tiers are sought.
type TierOptions struct {
	Shares      []float64 // of customers, the lowest level first; they sum to 100 or to 1
	Window      int       // days of the rolling window; 0: lifetime
	Points      float64   // points per unit of the currency
	PointWorth  float64   // what a point costs, in units of the currency
	Multipliers []float64 // of points by level; nil: 1 for all
}

// TierLevel is one level and who would have been there.
type TierLevel struct {
	Name       string  `json:"name"`
	Reach      int64   `json:"reach"`       // units of the currency in the window
	Highest    int     `json:"highest"`     // customers whose highest level ever it is
	Share      float64 `json:"share"`       // of all customers
	Now        int     `json:"now"`         // customers there on the last day
	Upgrades   float64 `json:"upgrades"`    // into it, a year
	Downgrades float64 `json:"downgrades"`  // out of it, a year
	PointsCost float64 `json:"points_cost"` // over the history, units of the currency
}

// TierReport is what is proposed.
type TierReport struct {
	Customers  int         `json:"customers"`
	Years      float64     `json:"years"`
	WindowDays int         `json:"window_days"`
	Currency   string      `json:"currency"`
	Levels     []TierLevel `json:"levels"`
	Revenue    float64     `json:"revenue"`     // net, over the history
	PointsCost float64     `json:"points_cost"` // over the history
	CostShare  float64     `json:"points_cost_share"`
	Notes      []string    `json:"notes,omitempty"`
}

// Tiers proposes thresholds on net spend such that the highest level that
// customers ever reach has the shares asked for, and counts what they would
// have done over the history.
func Tiers(h *History, o TierOptions) (*TierReport, error) {
	exponent, ok := playbook.Exponent(h.Currency)
	if !ok {
		return nil, fmt.Errorf("%w: no order names a known currency", ErrHistory)
	}
	if o.Multipliers != nil && len(o.Multipliers) != len(o.Shares) {
		return nil, fmt.Errorf("fit: %d multipliers for %d tiers", len(o.Multipliers), len(o.Shares))
	}
	unit := math.Pow10(exponent)
	r := &TierReport{Customers: len(h.Customers), Years: float64(h.Last-h.First+1) / 365, WindowDays: o.Window, Currency: h.Currency}
	total := 0.0
	for _, s := range o.Shares {
		if !(s > 0) {
			return nil, fmt.Errorf("fit: a share of %v; shares are above 0", s)
		}
		total += s
	}
	if len(o.Shares) < 2 || math.Abs(total-100) > .01 && math.Abs(total-1) > 1e-4 {
		return nil, fmt.Errorf("fit: the shares sum to %v; want two or more that sum to 100", total)
	}
	peaks := make([]int64, len(h.Customers))
	for i := range h.Customers {
		steps(&h.Customers[i], o.Window, h.Last, func(_ int, sum, _ int64) { peaks[i] = max(peaks[i], sum) })
	}
	sort.Slice(peaks, func(i, j int) bool { return peaks[i] < peaks[j] })
	below := 0.0
	for k, s := range o.Shares {
		l := TierLevel{Name: fmt.Sprintf("Lv%d", k+1)}
		if k > 0 {
			i := min(int(math.Round(below/total*float64(len(peaks)))), len(peaks)-1)
			l.Reach = nice(float64(peaks[i]) / unit)
			if before := r.Levels[k-1].Reach; l.Reach <= before {
				l.Reach = before + 1
				r.Notes = append(r.Notes, fmt.Sprintf("%s and %s begin at the same spend: too many customers spent alike for these shares", r.Levels[k-1].Name, l.Name))
			}
		}
		below += s
		r.Levels = append(r.Levels, l)
	}
	for i := range h.Customers {
		highest, level := 0, 0
		steps(&h.Customers[i], o.Window, h.Last, func(_ int, sum, added int64) {
			if added > 0 {
				paid, times := float64(added)/unit, 1.0
				if o.Multipliers != nil {
					times = o.Multipliers[level] // of the level that she had when she paid
				}
				r.Revenue += paid
				r.Levels[level].PointsCost += paid * o.Points * o.PointWorth * times
			}
			next := 0
			for k := range r.Levels {
				if float64(sum)/unit >= float64(r.Levels[k].Reach) {
					next = k
				}
			}
			if next > level {
				r.Levels[next].Upgrades += 1 / r.Years
			} else if next < level {
				r.Levels[level].Downgrades += 1 / r.Years
			}
			level, highest = next, max(highest, next)
		})
		r.Levels[highest].Highest++
		r.Levels[level].Now++
	}
	for k := range r.Levels {
		l := &r.Levels[k]
		l.Share = round4(float64(l.Highest) / float64(r.Customers))
		l.Upgrades, l.Downgrades = math.Round(l.Upgrades*10)/10, math.Round(l.Downgrades*10)/10
		l.PointsCost = math.Round(l.PointsCost*100) / 100
		r.PointsCost += l.PointsCost
	}
	r.Revenue, r.PointsCost = math.Round(r.Revenue*100)/100, math.Round(r.PointsCost*100)/100
	if r.Revenue > 0 {
		r.CostShare = round4(r.PointsCost / r.Revenue)
	}
	if o.Window > 0 && r.Years*365 < float64(2*o.Window) {
		r.Notes = append(r.Notes, "the history is shorter than twice the window: most customers have not had time to fall, so downgrades are too few here")
	}
	return r, nil
}

// steps calls fn whenever the spend within the window changes up to last: with
// the day, the sum from then on, and what was paid on it. What falls out and
// what comes in on one day is one step.
func steps(c *Customer, window, last int, fn func(day int, sum, added int64)) {
	sum, out := int64(0), 0
	leave := func(until int) { // days before until on which something falls out
		for window > 0 && out < len(c.Days) && c.Days[out].Number+window < until {
			sum -= c.Days[out].Net
			fn(c.Days[out].Number+window, sum, 0)
			out++
		}
	}
	for _, d := range c.Days {
		leave(d.Number)
		for window > 0 && out < len(c.Days) && c.Days[out].Number+window == d.Number {
			sum -= c.Days[out].Net
			out++
		}
		sum += d.Net
		fn(d.Number, sum, d.Net)
	}
	leave(last + 1)
}

// nice rounds to two leading digits, the second 0 or 5.
func nice(x float64) int64 {
	if x < 10 {
		return int64(math.Max(math.Round(x), 1))
	}
	step := math.Pow10(int(math.Floor(math.Log10(x)))) / 20
	if step < 1 {
		step = 1
	}
	return int64(math.Round(x/step) * step)
}

// Block is what to paste into a playbook.
func (r *TierReport) Block() string {
	var b strings.Builder
	exponent, _ := playbook.Exponent(r.Currency)
	amount := "1"
	if exponent > 0 {
		amount += "." + strings.Repeat("0", exponent)
	}
	window := "lifetime"
	if r.WindowDays > 0 {
		window = fmt.Sprintf("{rolling: %dd}", r.WindowDays)
	}
	fmt.Fprintf(&b, "growth:\n  - name: spend\n    per: {amount: \"%s\", gives: 1}\ntiers:\n  - name: member\n    on: spend\n    window: %s\n    levels:\n", amount, window)
	for _, l := range r.Levels {
		fmt.Fprintf(&b, "      - {name: %s, reach: %d}   # %.1f %% of the customers at their highest\n", l.Name, l.Reach, 100*l.Share)
	}
	return b.String()
}
