package core

import (
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/churn"
	"tidemark/processor/history"
	"tidemark/processor/numeric"
	"tidemark/schemas"
)

// churnRule: the phase says whether a warning is open, aux the last order
// that it speaks of.
type churnRule struct {
	pb       *playbook.Churn
	rid      uint32
	index    int // in Playbook.Churn
	currency string
	params   churn.Params
}

const (
	churnQuiet  int32 = 0
	churnWarned int32 = 1
)

func newChurn(pb *playbook.Playbook, i int, id uint32) *churnRule {
	k := &pb.Churn[i]
	return &churnRule{pb: k, rid: id, index: i, currency: pb.Currency,
		params: churn.Params{R: k.R, Alpha: k.Alpha, A: k.A, B: k.B, Unit: k.Unit}}
}

func (r *churnRule) common() *playbook.Common { return &r.pb.Common }
func (r *churnRule) id() uint32               { return r.rid }

func (r *churnRule) resume(v history.View, at schemas.EventTime) int64 {
	last, _ := v.Last(at)
	return int64(last)
}

func (r *churnRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	last, ok := v.Last(at)
	if before.phase == churnWarned {
		if ok && int64(last) <= before.aux {
			return standing{phase: churnWarned, aux: before.aux}
		}
		if !ok {
			// Nothing that counts is left: there is nobody to lose.
			return standing{phase: churnQuiet, end: true}
		}
		due, _ := r.due(v, at, last)
		return standing{phase: churnQuiet, end: true, due: due}
	}
	if !ok {
		return standing{phase: churnQuiet}
	}
	due, _ := r.due(v, at, last)
	if due != 0 && due <= at {
		return standing{phase: churnWarned, aux: int64(last), fire: true, from: due}
	}
	return standing{phase: churnQuiet, due: due}
}

// bgnbdAsk is what a BG/NBD question is asked with, all since the local day of the first order.
type bgnbdAsk struct {
	origin schemas.EventTime
	x      int
	tx     schemas.EventTime
}

func (r *churnRule) ask(v history.View, at schemas.EventTime) bgnbdAsk {
	rep := v.Repeat(at)
	return bgnbdAsk{origin: v.Zone.Midnight(rep.First), x: int(rep.Days - 1), tx: schemas.EventTime(rep.Last-rep.First) * schemas.Day}
}

// due is when the silence since last becomes a warning, 0: never; and whether
// it comes from the fallback, because the model is above the threshold from
// the beginning.
func (r *churnRule) due(v history.View, at, last schemas.EventTime) (schemas.EventTime, bool) {
	if r.pb.Model == playbook.Hiatus {
		return last + max(r.pb.After, r.pb.MinSilence), false
	}
	q := r.ask(v, at)
	t0 := max(last+r.pb.MinSilence-q.origin, q.tx)
	due, st := churn.DueTime(r.params, q.x, q.tx, t0, r.pb.Horizon, r.pb.Threshold)
	switch st {
	case churn.Already:
		if r.pb.Fallback == 0 {
			return 0, true
		}
		return last + max(r.pb.Fallback, r.pb.MinSilence), true
	case churn.Crosses:
		return q.origin + due, false
	}
	return 0, false
}

func (r *churnRule) trigger(v history.View, m *move) schemas.Trigger {
	all := v.Window(0, m.facts)
	t := &schemas.ChurnWarning{
		Kind: "warning", Level: r.pb.Level, Stream: "orders", LastCoreAt: m.at,
		Orders: all.Orders, ValueAtStake: v.Window(365*schemas.Day, m.facts).Net, Currency: r.currency,
	}
	if r.pb.Model == playbook.Hiatus {
		t.Model = "hiatus"
	} else {
		t.Model = "bgnbd"
		h := int64(r.pb.Horizon)
		t.HorizonMS = &h
	}
	if m.ended != 0 {
		e := m.ended
		t.EndedAt = &e
	}
	last, ok := v.Last(m.facts)
	if !ok { // taken back, and nothing that counts is left
		t.Evidence = []schemas.Evidence{compared("orders", 0, ">=", 1)}
		return t
	}
	t.LastCoreAt, t.SilenceMillis = last, int64(m.at-last)
	rep := v.Repeat(m.facts)
	if rep.Days > 1 {
		gap := (rep.Last - rep.First) * int64(schemas.Day) / (rep.Days - 1)
		t.ExpectedGapMS = &gap
	}
	silence := func(limit schemas.EventTime) schemas.Evidence {
		return compared("silence_ms", t.SilenceMillis, ">=", int64(limit))
	}
	if r.pb.Model == playbook.Hiatus {
		t.Evidence = []schemas.Evidence{silence(max(r.pb.After, r.pb.MinSilence))}
		return t
	}
	q := r.ask(v, m.facts)
	p := r.noPurchase(q, m.at)
	t.Risk = &p
	if _, fallback := r.due(v, m.facts, last); fallback {
		t.Model = "bgnbd+fallback"
		t.Evidence = []schemas.Evidence{
			r.risk("p_no_order_within_horizon_at_min_silence", r.noPurchase(q, max(last+r.pb.MinSilence, q.origin+q.tx))),
			silence(max(r.pb.Fallback, r.pb.MinSilence)),
		}
		return t
	}
	t.Evidence = []schemas.Evidence{r.risk("p_no_order_within_horizon", p)}
	return t
}

// noPurchase is the model's answer at an instant, rounded as it is compared and published.
func (r *churnRule) noPurchase(q bgnbdAsk, at schemas.EventTime) float64 {
	return numeric.Round6(churn.PNoPurchase(r.params, q.x, r.params.Units(q.tx), r.params.Units(max(at-q.origin, q.tx)), r.params.Units(r.pb.Horizon)))
}

func (r *churnRule) risk(fact string, p float64) schemas.Evidence {
	comparison := ">="
	if p < r.pb.Threshold {
		comparison = "<"
	}
	return schemas.Evidence{Fact: fact, Value: strconv.FormatFloat(p, 'f', 6, 64), Comparison: comparison, Limit: strconv.FormatFloat(r.pb.Threshold, 'f', -1, 64)}
}
