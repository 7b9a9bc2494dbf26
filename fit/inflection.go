package fit

import (
	"fmt"
	"sort"
	"strings"
)

// InflectionOptions say how the two inflection points are sought.
type InflectionOptions struct {
	Within  int     // days within which one more counts; 0: 90
	Step    float64 // by how much one more day with an order must raise the chance of the next; 0: .05
	Horizon int     // days within which a return is hoped for; 0: Within
	Least   int     // customers that a channel or category needs to be told apart; 0: 300
}

// Chance is the chance of one more after so many days with an order.
type Chance struct {
	After     int     `json:"after"`
	Customers int64   `json:"customers"`
	Chance    float64 `json:"chance"` // within the time, by Kaplan and Meier
}

// Return is one point of a return curve.
type Return struct {
	Days     int     `json:"days"`      // of silence
	Away     float64 `json:"away"`      // share still away then
	NoReturn float64 `json:"no_return"` // chance of no return within the horizon after so long a silence
}

// Inflection is what is proposed for one group of customers.
type Inflection struct {
	Group     string   `json:"group"` // all, channel: …, category: …
	Customers int      `json:"customers"`
	Stable    int      `json:"stable_at"`             // n: days with an order after which the chance of one more stops rising
	Declining int      `json:"declining_after_days"`  // d: 80 % of those of the stable who come back have come back by then
	Lost      int      `json:"lost_after_days"`       // 90 % of them
	Dormant   int      `json:"dormant_after_days"`    // 80 % of those of everybody who come back
	EarlyLost int      `json:"early_lost_after_days"` // 90 % of those not yet stable who come back
	Chances   []Chance `json:"chances"`
	Curve     []Return `json:"return_curve"` // of the stable
	Notes     []string `json:"notes,omitempty"`
}

// InflectionReport has the whole first, then the groups.
type InflectionReport struct {
	Within  int          `json:"within_days"`
	Step    float64      `json:"step"`
	Horizon int          `json:"horizon_days"`
	Groups  []Inflection `json:"groups"`
	Small   int          `json:"groups_left_out"` // with too few customers
}

const mostDays = 12 // the chance is looked at after 1 to 12 days with an order

// Inflections proposes n and d for all customers, and for each first channel
// and first category with enough of them.
func Inflections(h *History, o InflectionOptions) (*InflectionReport, error) {
	if o.Within == 0 {
		o.Within = 90
	}
	if o.Step == 0 {
		o.Step = .05
	}
	if o.Horizon == 0 {
		o.Horizon = o.Within
	}
	if o.Least == 0 {
		o.Least = 300
	}
	if span := h.Last - h.First; span < o.Within {
		return nil, fmt.Errorf("%w: %d days, and the chance of one more within %d is asked for", ErrHistory, span, o.Within)
	}
	r := &InflectionReport{Within: o.Within, Step: o.Step, Horizon: o.Horizon}
	r.Groups = append(r.Groups, inflection(h, o, "all", nil))
	for _, kind := range []struct {
		name string
		of   func(*Customer) string
	}{{"channel", func(c *Customer) string { return c.Channel }}, {"category", func(c *Customer) string { return c.Category }}} {
		sizes := map[string]int{}
		for i := range h.Customers {
			sizes[kind.of(&h.Customers[i])]++
		}
		names := make([]string, 0, len(sizes))
		for name, n := range sizes {
			switch {
			case name == "" || n == len(h.Customers): // nothing is told apart
			case n < o.Least:
				r.Small++
			default:
				names = append(names, name)
			}
		}
		sort.Strings(names)
		for _, name := range names {
			r.Groups = append(r.Groups, inflection(h, o, kind.name+": "+name, func(c *Customer) bool { return kind.of(c) == name }))
		}
	}
	return r, nil
}

func inflection(h *History, o InflectionOptions, group string, only func(*Customer) bool) Inflection {
	by := gaps(h, h.Last, mostDays+1, only)
	out := Inflection{Group: group}
	all := newSpells()
	for _, s := range by {
		all.merge(s)
	}
	for i := range h.Customers {
		if only == nil || only(&h.Customers[i]) {
			out.Customers++
		}
	}
	for k := range mostDays {
		s := by[k].survival()
		n := s.Ended + s.Censored
		if n < 50 {
			break
		}
		out.Chances = append(out.Chances, Chance{k + 1, n, round4(1 - s.At(o.Within))})
	}
	// n is the first after which the next does not raise the chance by a step.
	for k := 0; k+1 < len(out.Chances); k++ {
		if out.Chances[k+1].Chance-out.Chances[k].Chance < o.Step {
			out.Stable = k + 1
			break
		}
	}
	switch {
	case out.Stable == 1:
		out.Stable = 2
		out.Notes = append(out.Notes, "a second order raises the chance of one more by less than a step already: 2 is the least that can be told from the first")
	case out.Stable == 0:
		out.Stable = max(len(out.Chances), 2)
		out.Notes = append(out.Notes, fmt.Sprintf("the chance still rises by a step after %d days with an order, as far as 50 customers or more show it", len(out.Chances)))
	}
	stable, before := newSpells(), newSpells()
	for k, s := range by {
		if k+1 >= out.Stable {
			stable.merge(s)
		} else {
			before.merge(s)
		}
	}
	curve := stable.survival()
	if curve.Ended < 30 {
		out.Notes = append(out.Notes, fmt.Sprintf("only %d returns of stable customers: the silences are those of all", curve.Ended))
		curve = all.survival()
	}
	out.Declining = max(curve.Quantile(.8), 1)
	out.Lost = max(curve.Quantile(.9), out.Declining+1)
	out.Dormant = max(all.survival().Quantile(.8), 1)
	out.EarlyLost = max(before.survival().Quantile(.9), 1)
	for d := 7; d <= curve.known(20); d += 7 {
		x := Return{Days: d, Away: round4(curve.At(d)), NoReturn: -1}
		if d+o.Horizon <= curve.known(20) && curve.At(d) > 0 {
			x.NoReturn = round4(curve.At(d+o.Horizon) / curve.At(d))
		}
		out.Curve = append(out.Curve, x)
	}
	return out
}

// Block is what to paste into a playbook, with the alternatives as comments.
func (r *InflectionReport) Block() string {
	g := r.Groups[0]
	var b strings.Builder
	fmt.Fprintf(&b, "inflection:               # 两个拐点\n  - name: purchase map\n    stable_at: %d            # after that many days with an order one more is no longer likelier by %g\n", g.Stable, r.Step)
	fmt.Fprintf(&b, "    declining_after: %dd    # 80 %% of the stable who come back have come back by then\n    lost_after: %dd         # 90 %%\n", g.Declining, g.Lost)
	for _, x := range r.Groups[1:] {
		fmt.Fprintf(&b, "  # %s (%d customers): stable_at %d, declining_after %dd, lost_after %dd\n", x.Group, x.Customers, x.Stable, x.Declining, x.Lost)
	}
	return b.String()
}
