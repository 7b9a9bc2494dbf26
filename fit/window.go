package fit

import (
	"fmt"
	"time"

	"tidemark/schemas"
)

// Leads gathers when leads began and when they converted. A lead is what the
// attribute lead_id names, without one the customer.
type Leads struct {
	from, to, lost string
	leads          map[leadKey]*lead
	byCustomer     map[string][]*lead
	last           schemas.EventTime
}

type leadKey struct{ customer, lead string }

type lead struct{ began, converted, lost schemas.EventTime } // 0: not

// Order is the name of a conversion that is a first payment and not a behavior.
const Order = "order"

// NewLeads follows leads from one behavior type to another, or to Order; lost
// takes a lead out. Empty names are lead.created, lead.visited and lead.lost.
func NewLeads(from, to, lost string) *Leads {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	return &Leads{from: or(from, "lead.created"), to: or(to, "lead.visited"), lost: or(lost, "lead.lost"),
		leads: map[leadKey]*lead{}, byCustomer: map[string][]*lead{}}
}

// Add takes one event; events come in order of time.
func (l *Leads) Add(e *schemas.Event) {
	l.last = max(l.last, e.OccurredAt)
	if e.Kind == schemas.Order {
		if l.to == Order && e.Order == schemas.Paid {
			for _, x := range l.byCustomer[e.CustomerID] {
				if x.converted == 0 {
					x.converted = e.OccurredAt
				}
			}
		}
		return
	}
	if e.Type != l.from && e.Type != l.to && e.Type != l.lost {
		return
	}
	id, _ := e.Attribute("lead_id")
	key := leadKey{e.CustomerID, id}
	x := l.leads[key]
	switch {
	case e.Type == l.from:
		if x == nil {
			x = &lead{began: e.OccurredAt}
			l.leads[key] = x
			l.byCustomer[e.CustomerID] = append(l.byCustomer[e.CustomerID], x)
		}
	case x == nil: // it began before the history
	case e.Type == l.to:
		if x.converted == 0 {
			x.converted = e.OccurredAt
		}
	default:
		if x.lost == 0 {
			x.lost = e.OccurredAt
		}
	}
}

// Hazard is the chance to convert on one day, of those who have not before it.
type Hazard struct {
	Day       int     `json:"day"` // 0: within 24 hours of the beginning
	AtRisk    int64   `json:"at_risk"`
	Converted int64   `json:"converted"`
	Hazard    float64 `json:"hazard"`
	Smooth    float64 `json:"smooth"` // with the day before and after
}

// WindowReport is the golden conversion window (黄金转化期).
type WindowReport struct {
	Leads     int64    `json:"leads"`
	Converted int64    `json:"converted"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Peak      int      `json:"peak_day"`
	Days      int      `json:"window_days"` // the first day after the peak on which the hazard is below half of it
	Inside    float64  `json:"inside"`      // share of the conversions that came within the window
	Curve     []Hazard `json:"curve"`
	Notes     []string `json:"notes,omitempty"`
}

// Window proposes the window: until the daily chance of conversion, smoothed
// over three days, falls below half its peak, as long as 20 leads are open.
func (l *Leads) Window() (*WindowReport, error) {
	s := newSpells()
	const day = 24 * schemas.EventTime(time.Hour/time.Millisecond)
	for _, x := range l.leads {
		switch {
		case x.converted != 0 && (x.lost == 0 || x.converted <= x.lost):
			s.add(int((x.converted-x.began)/day), true)
		case x.lost != 0:
			s.add(int((x.lost-x.began)/day), false)
		default:
			s.add(int((l.last-x.began)/day), false)
		}
	}
	k := s.survival()
	r := &WindowReport{Leads: int64(len(l.leads)), Converted: k.Ended, From: l.from, To: l.to}
	if k.Ended < 20 {
		return nil, fmt.Errorf("%w: %d leads from %s, %d of them with %s; a window needs 20", ErrHistory, r.Leads, l.from, k.Ended, l.to)
	}
	atRisk := r.Leads
	for d := 0; atRisk >= 20; d++ {
		h := Hazard{Day: d, AtRisk: atRisk, Converted: s.ended[d]}
		h.Hazard = round6(float64(h.Converted) / float64(atRisk))
		r.Curve = append(r.Curve, h)
		atRisk -= s.ended[d] + s.censored[d]
	}
	peak := 0.0
	for d := range r.Curve {
		var ended, risk int64
		for e := max(d-1, 0); e <= min(d+1, len(r.Curve)-1); e++ {
			ended, risk = ended+r.Curve[e].Converted, risk+r.Curve[e].AtRisk
		}
		r.Curve[d].Smooth = round6(float64(ended) / float64(risk))
		if r.Curve[d].Smooth > peak {
			peak, r.Peak = r.Curve[d].Smooth, d
		}
	}
	r.Days = len(r.Curve)
	for d := r.Peak; d < len(r.Curve); d++ {
		if r.Curve[d].Smooth < peak/2 {
			r.Days = d
			break
		}
	}
	if r.Days == len(r.Curve) {
		r.Notes = append(r.Notes, "the daily chance does not fall below half its peak as far as 20 leads show it")
	}
	inside := int64(0)
	for d, n := range s.ended {
		if d < r.Days {
			inside += n
		}
	}
	r.Inside = round4(float64(inside) / float64(k.Ended))
	return r, nil
}

func round6(x float64) float64 { return float64(int64(x*1e6+.5)) / 1e6 }
