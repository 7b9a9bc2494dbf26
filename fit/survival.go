package fit

import (
	"sort"

	"tidemark/processor/churn"
	"tidemark/schemas"
)

// Survival is a Kaplan-Meier estimate of how long something lasts, in whole
// days: E. L. Kaplan and P. Meier, "Nonparametric Estimation from Incomplete
// Observations", Journal of the American Statistical Association 53, 1958.
type Survival struct {
	Ended, Censored int64
	Days            []int     // at which something ended, ascending
	Stay            []float64 // share that lasts longer than that day
	AtRisk          []int64   // how many were still under way on that day
}

// spells gathers durations; a spell that is not over is censored.
type spells struct {
	ended, censored map[int]int64
}

func newSpells() *spells { return &spells{map[int]int64{}, map[int]int64{}} }

func (s *spells) add(days int, over bool) {
	if over {
		s.ended[days]++
	} else {
		s.censored[days]++
	}
}

func (s *spells) merge(o *spells) {
	for d, n := range o.ended {
		s.ended[d] += n
	}
	for d, n := range o.censored {
		s.censored[d] += n
	}
}

func (s *spells) over() (n int64) {
	for _, k := range s.ended {
		n += k
	}
	return n
}

func (s *spells) survival() *Survival {
	out := &Survival{}
	all := map[int]bool{}
	var atRisk int64
	for d, n := range s.ended {
		all[d], atRisk, out.Ended = true, atRisk+n, out.Ended+n
	}
	for d, n := range s.censored {
		all[d], atRisk, out.Censored = true, atRisk+n, out.Censored+n
	}
	days := make([]int, 0, len(all))
	for d := range all {
		days = append(days, d)
	}
	sort.Ints(days)
	stay := 1.0
	for _, d := range days {
		if n := s.ended[d]; n > 0 {
			stay *= 1 - float64(n)/float64(atRisk)
			out.Days, out.Stay, out.AtRisk = append(out.Days, d), append(out.Stay, stay), append(out.AtRisk, atRisk)
		}
		atRisk -= s.ended[d] + s.censored[d]
	}
	return out
}

// At is the share that lasts longer than day.
func (s *Survival) At(day int) float64 {
	i := sort.SearchInts(s.Days, day+1)
	if i == 0 {
		return 1
	}
	return s.Stay[i-1]
}

// known is the last day with at least so many still under way.
func (s *Survival) known(least int64) int {
	day := 0
	for i, d := range s.Days {
		if s.AtRisk[i] >= least {
			day = d
		}
	}
	return day
}

// Quantile is the day by which a share q of those who come back at all, as far
// as the history shows, has come back; 0 where nobody does.
func (s *Survival) Quantile(q float64) int {
	if len(s.Stay) == 0 {
		return 0
	}
	gone := 1 - s.Stay[len(s.Stay)-1]
	for i, d := range s.Days {
		if 1-s.Stay[i] >= q*gone {
			return d
		}
	}
	return s.Days[len(s.Days)-1]
}

// Curve is the estimate as a line from knot to knot, nowhere further from it
// than within, up to the last day on which at least 20 were still away.
func (s *Survival) Curve(within float64) churn.Curve {
	last := s.known(20)
	if last == 0 {
		return nil
	}
	var out churn.Curve
	at, stay := 0, 1.0
	for at < last {
		// The furthest knot that a straight line reaches without straying.
		best := at + 1
		for next := at + 1; next <= last; next++ {
			end, good := s.At(next), true
			for d := at + 1; d < next && good; d++ {
				line := stay + (end-stay)*float64(d-at)/float64(next-at)
				diff := line - s.At(d)
				good = diff <= within && diff >= -within
			}
			if good {
				best = next
			} else if next > best+120 {
				break
			}
		}
		at, stay = best, s.At(best)
		ppm := int64(stay*1e4) * 100 // four decimals are enough, and read well
		if k := len(out); k > 0 {
			ppm = min(ppm, out[k-1].Stay)
		}
		out = append(out, churn.Knot{At: schemas.EventTime(at) * schemas.Day, Stay: ppm})
	}
	return out
}

// gaps gathers the spells between days, by how many days a customer had when
// the spell began (1, 2, …; the last entry holds all from most on), up to cut.
func gaps(h *History, cut, most int, only func(*Customer) bool) []*spells {
	out := make([]*spells, most)
	for i := range out {
		out[i] = newSpells()
	}
	for i := range h.Customers {
		c := &h.Customers[i]
		if only != nil && !only(c) {
			continue
		}
		n := c.upto(cut)
		for k := range n {
			s := out[min(k, most-1)]
			if k+1 < n {
				s.add(c.Days[k+1].Number-c.Days[k].Number, true)
			} else {
				s.add(cut-c.Days[k].Number, false)
			}
		}
	}
	return out
}

// band is customers with at least Orders days with an order.
type band struct {
	Orders   int64
	Survival *Survival
	spells   *spells
}

// reaching joins bands from the top until each curve reaches at least so many days.
func reaching(bs []band, days int) []band {
	out := append([]band(nil), bs...)
	for k := len(out) - 1; k > 0; k = len(out) - 1 {
		short := -1
		for i := range out {
			if out[i].Survival.known(20) < days {
				short = i
			}
		}
		if short < 0 {
			break
		}
		short = max(short, 1)
		both := newSpells()
		both.merge(out[short-1].spells)
		both.merge(out[short].spells)
		out[short-1] = band{out[short-1].Orders, both.survival(), both}
		out = append(out[:short], out[short+1:]...)
	}
	return out
}

// bandEdges are where frequency bands begin: those with the fewest days differ most.
var bandEdges = []int64{1, 2, 3, 6, 11}

// bands are the frequency bands with at least 100 returns each; a smaller one
// joins the one below.
func bands(h *History, cut int) []band {
	by := gaps(h, cut, int(bandEdges[len(bandEdges)-1]), nil)
	var out []band
	current := newSpells()
	orders := int64(1)
	for i, from := range bandEdges {
		to := int64(len(by))
		if i+1 < len(bandEdges) {
			to = bandEdges[i+1] - 1
		}
		next := newSpells()
		for k := from; k <= to; k++ {
			next.merge(by[k-1])
		}
		if i > 0 && next.over() >= 100 {
			if current.over() >= 100 || len(out) > 0 {
				out = append(out, band{orders, current.survival(), current})
			}
			if current.over() < 100 && len(out) == 0 { // the first is too small: it joins this one
				next.merge(current)
				current = next
				continue
			}
			current, orders = next, from
			continue
		}
		current.merge(next)
	}
	return append(out, band{orders, current.survival(), current})
}
