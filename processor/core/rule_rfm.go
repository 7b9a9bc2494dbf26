package core

import (
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/rfm"
	"tidemark/schemas"
)

// rfmRule: the phase is the class, numbered as in the map from 1; 0 is no
// class: never bought, nothing left in the window, or no cuts yet. aux is the
// version of the cuts that it was scored by.
type rfmRule struct {
	pb       *playbook.RFM
	rid      uint32
	classes  *rfm.Map
	table    []int32 // phase by scores
	currency string
	cuts     *cutsState // nil: fixed
	fixed    cutsVersion
	on       history.Stream // the core behavior
}

func (c *Core) newRFM(pb *playbook.RFM) *rfmRule {
	r := &rfmRule{pb: pb, rid: c.name(pb.Name), currency: c.pb.Currency, on: c.streams.ids[pb.Stream]}
	r.classes = ClassMap(pb)
	r.tabulate()
	if pb.By == playbook.CutsFixed {
		r.fixed = cutsVersion{Version: 1, Cuts: rfm.Cuts{R: pb.R, F: pb.F, M: pb.M}}
	}
	return r
}

// ClassMap is the map of classes of an RFM rule, built in or the playbook's own.
func ClassMap(pb *playbook.RFM) *rfm.Map {
	if pb.Own == nil {
		m, _ := rfm.MapNamed(pb.Classes)
		return m
	}
	between := func(r [2]int32) rfm.Range { return rfm.Range{Low: r[0], High: r[1]} }
	m := &rfm.Map{Name: pb.Classes, Scores: pb.Own.Scores, Weights: pb.Own.Weights, Other: rfm.Class{Key: pb.Own.Other}}
	for _, k := range pb.Own.List {
		m.Classes = append(m.Classes, rfm.Class{Key: k.Name, Name: k.Name, R: between(k.R), F: between(k.F), M: between(k.M), Weighted: between(k.Weighted)})
	}
	return m
}

func (r *rfmRule) common() *playbook.Common { return &r.pb.Common }
func (r *rfmRule) id() uint32               { return r.rid }

// in is the version of the cuts in force at an instant, nil if there is none.
func (r *rfmRule) in(at schemas.EventTime) *cutsVersion {
	if r.pb.By == playbook.CutsFixed {
		return &r.fixed
	}
	if r.cuts == nil {
		return nil
	}
	for i := len(r.cuts.Versions) - 1; i >= 0; i-- {
		if v := &r.cuts.Versions[i]; v.From <= at {
			return v
		}
	}
	return nil
}

func (r *rfmRule) resume(_ history.View, at schemas.EventTime) int64 {
	if v := r.in(at); v != nil {
		return v.Version
	}
	return 0
}

// values are what the three scores are made of, as of an instant; false: nothing counts.
type values struct {
	recency, frequency, monetary int64
	last                         schemas.EventTime
}

func (r *rfmRule) values(v history.View, at schemas.EventTime) (values, bool) {
	v.On = r.on
	s := v.Window(r.pb.Window, at)
	if s.Orders == 0 {
		return values{}, false
	}
	last, _ := v.Last(at)
	return values{recency: v.Zone.Day(at) - v.Zone.Day(last), frequency: s.Orders, monetary: s.Net, last: last}, true
}

func (r *rfmRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	v.On = r.on
	var s standing
	cuts := r.in(at)
	x, ok := r.values(v, at)
	if cuts != nil {
		s.aux = cuts.Version
	}
	// Histograms follow every order that leaves the window; fixed cuts need only
	// the departure that changes the class.
	if r.pb.By != playbook.CutsFixed || !ok || !r.nextMove(v, at, x, &s.due) {
		s.due, _ = v.NextLeave(r.pb.Window, at)
	}
	if cuts != nil && ok {
		s.phase = r.classOf(rfm.ScoreOf(&cuts.Cuts, x.recency, x.frequency, x.monetary))
		if days, more := rfm.NextRecencyBoundary(&cuts.Cuts, x.recency); more {
			if t := v.Zone.Midnight(v.Zone.Day(x.last) + days); s.due == 0 || t < s.due {
				s.due = t
			}
		}
	}
	if cuts == nil {
		s.phase = before.phase
	}
	s.fire = s.phase != before.phase
	switch {
	case ok && x.last == at:
		s.by = "customer"
	case before.aux != s.aux:
		s.by = "cuts"
	default:
		s.by = "time"
	}
	return s
}

// nextMove finds the first departure from the window that changes the class as
// long as the recency keeps its score; 0 if none does. False: it can't tell.
func (r *rfmRule) nextMove(v history.View, at schemas.EventTime, x values, due *schemas.EventTime) bool {
	if r.pb.Window == 0 {
		return true
	}
	cuts := &r.fixed.Cuts
	class := r.classOf(rfm.ScoreOf(cuts, x.recency, x.frequency, x.monetary))
	return v.Leaves(r.pb.Window, at, history.Sums{Orders: x.frequency, Net: x.monetary}, func(left schemas.EventTime, s history.Sums) bool {
		if s.Orders > 0 && r.classOf(rfm.ScoreOf(cuts, x.recency, s.Orders, s.Net)) == class {
			return true
		}
		*due = left
		return false
	})
}

// classOf is the phase of a combination of scores.
func (r *rfmRule) classOf(s rfm.Scores) int32 {
	n := r.classes.Scores
	return r.table[((s.R-1)*n+s.F-1)*n+s.M-1]
}

// tabulate works every combination of scores out once.
func (r *rfmRule) tabulate() {
	n := r.classes.Scores
	r.table = make([]int32, n*n*n)
	for i := range n * n * n {
		key := r.classes.Class(rfm.Scores{R: i/(n*n) + 1, F: i/n%n + 1, M: i%n + 1})
		phase := int32(len(r.classes.Classes) + 1)
		for k := range r.classes.Classes {
			if r.classes.Classes[k].Key == key {
				phase = int32(k + 1)
				break
			}
		}
		r.table[i] = phase
	}
}

func (r *rfmRule) className(phase int32) string {
	switch n := int32(len(r.classes.Classes)); {
	case phase <= 0 || phase > n+1:
		return ""
	case phase == n+1:
		return r.classes.Other.Key
	default:
		return r.classes.Classes[phase-1].Key
	}
}

func (r *rfmRule) trigger(v history.View, m *move) schemas.Trigger {
	t := &schemas.LifecycleChange{Kind: "rfm_class", Track: r.pb.Name, From: r.className(m.from), To: r.className(m.to),
		MovedBy: m.by, Currency: r.currency, CutsVersion: m.aux}
	if m.since != 0 {
		d := int64(m.at - m.since)
		t.TimeInFromMS = &d
	}
	x, ok := r.values(v, m.facts)
	cuts := r.in(m.facts)
	if !ok || cuts == nil {
		t.Evidence = []schemas.Evidence{compared("frequency", 0, ">=", 1)}
		return t
	}
	s := rfm.ScoreOf(&cuts.Cuts, x.recency, x.frequency, x.monetary)
	t.RScore, t.FScore, t.MScore = &s.R, &s.F, &s.M
	t.RecencyDays, t.Frequency, t.MonetaryMinor = &x.recency, &x.frequency, &x.monetary
	t.Evidence = make([]schemas.Evidence, 0, 6)
	t.Evidence = bounds(t.Evidence, "recency_days", x.recency, cuts.Cuts.R)
	t.Evidence = bounds(t.Evidence, "frequency", x.frequency, cuts.Cuts.F)
	t.Evidence = bounds(t.Evidence, "monetary_minor", x.monetary, cuts.Cuts.M)
	return t
}

// bounds are the cuts on both sides of a value.
func bounds(dst []schemas.Evidence, fact string, value int64, cuts []int64) []schemas.Evidence {
	text := strconv.FormatInt(value, 10)
	i := 0
	for i < len(cuts) && cuts[i] <= value {
		i++
	}
	if i > 0 {
		dst = append(dst, schemas.Evidence{Fact: fact, Value: text, Comparison: ">=", Limit: strconv.FormatInt(cuts[i-1], 10)})
	}
	if i < len(cuts) {
		dst = append(dst, schemas.Evidence{Fact: fact, Value: text, Comparison: "<", Limit: strconv.FormatInt(cuts[i], 10)})
	}
	return dst
}
