package core

import (
	"math"
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/churn"
	"tidemark/processor/history"
	"tidemark/processor/numeric"
	"tidemark/schemas"
	"tidemark/state"
)

// churnRule: the phase says which level of warning is open (0: none, 1: the
// first of the rule's levels), aux the last order that it speaks of.
type churnRule struct {
	pb       *playbook.Churn
	rid      uint32
	index    int // in Playbook.Churn
	currency string
	params   churn.Params
	solved   []*churn.Memo // by level
	cycle    churn.Cycle
	curves   []curveDues
	on       history.Stream // the core behavior
	stream   string
}

const (
	churnQuiet  int32 = 0
	churnWarned int32 = 1

	churnLevels = 3 // at most: early, late, lost
)

// dues is when each level of a rule begins, counted in instants or in silence;
// 0: never. No level begins before the one below it: where the fallback holds
// the first back, it holds the others back too.
type dues struct {
	at       [churnLevels]schemas.EventTime
	fallback [churnLevels]bool // it is the fallback's, not the model's
}

// curveDues is what a return curve says of all customers of one band: it knows
// nothing else of them, so the silences are found once.
type curveDues struct {
	orders int64
	curve  churn.Curve
	dues   dues // in silence
}

func newChurn(pb *playbook.Playbook, i int, id uint32) *churnRule {
	k := &pb.Churn[i]
	r := &churnRule{pb: k, rid: id, index: i, currency: pb.Currency,
		stream: "orders", params: churn.Params{R: k.R, Alpha: k.Alpha, A: k.A, B: k.B, Unit: k.Unit, Modified: k.Model == playbook.MBGNBD},
		cycle: churn.Cycle{Gap: k.Gap, Weight: k.Weight}}
	for j := range k.Levels {
		r.solved = append(r.solved, churn.NewMemo(r.params, k.Horizon, k.Levels[j].Threshold))
	}
	for _, b := range k.Curve {
		d := curveDues{orders: b.Orders}
		for j := range b.Days {
			d.curve = append(d.curve, churn.Knot{At: schemas.EventTime(b.Days[j]) * schemas.Day, Stay: b.Away[j]})
		}
		for j := range k.Levels {
			due, st := d.curve.Due(k.MinSilence, k.Horizon, k.Levels[j].Threshold)
			if d.dues.fallback[j] = st != churn.Crosses; d.dues.fallback[j] {
				due = max(k.Levels[j].Fallback, k.MinSilence)
			}
			d.dues.at[j] = due
			if j > 0 && d.dues.at[j-1] > due {
				due = d.dues.at[j-1]
				d.dues.at[j] = due
				d.dues.fallback[j] = numeric.Round6(d.curve.NoReturn(due, k.Horizon)) < k.Levels[j].Threshold
			}
		}
		r.curves = append(r.curves, d)
	}
	return r
}

func (r *churnRule) common() *playbook.Common { return &r.pb.Common }
func (r *churnRule) id() uint32               { return r.rid }

// of is the level of a phase; a playbook with fewer levels may not have reached
// the customer yet.
func (r *churnRule) of(phase int32) *playbook.ChurnLevel {
	return &r.pb.Levels[min(max(int(phase)-1, 0), len(r.pb.Levels)-1)]
}

func (r *churnRule) level(phase int32) string { return r.of(phase).Name }

func (r *churnRule) resume(v history.View, at schemas.EventTime) int64 {
	v.On = r.on
	last, _ := v.Last(at)
	return int64(last)
}

func (r *churnRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	v.On = r.on
	last, ok := v.Last(at)
	if before.phase != churnQuiet {
		switch {
		case ok && int64(last) <= before.aux:
			if int(before.phase) >= len(r.pb.Levels) {
				return standing{phase: before.phase, aux: before.aux}
			}
			d := r.dues(v, at, last)
			phase, from, next := d.stage(len(r.pb.Levels), at)
			if phase <= before.phase {
				return standing{phase: before.phase, aux: before.aux, due: d.next(len(r.pb.Levels), before.phase, at)}
			}
			return standing{phase: phase, aux: before.aux, up: true, from: from, due: next}
		case !ok:
			// Nothing that counts is left: there is nobody to lose.
			return standing{phase: churnQuiet, end: true}
		}
		d := r.dues(v, at, last)
		return standing{phase: churnQuiet, end: true, due: d.next(len(r.pb.Levels), churnQuiet, 0)}
	}
	if !ok {
		return standing{phase: churnQuiet}
	}
	d := r.dues(v, at, last)
	if phase, from, next := d.stage(len(r.pb.Levels), at); phase != churnQuiet {
		return standing{phase: phase, aux: int64(last), fire: true, from: from, due: next}
	}
	return standing{phase: churnQuiet, due: d.next(len(r.pb.Levels), churnQuiet, 0)}
}

// stage is the gravest level that is due at an instant, since when, and when
// the next one is.
func (d *dues) stage(n int, at schemas.EventTime) (phase int32, from, next schemas.EventTime) {
	for i := n - 1; i >= 0; i-- {
		if d.at[i] != 0 && d.at[i] <= at {
			return int32(i + 1), d.at[i], d.next(n, int32(i+1), at)
		}
	}
	return churnQuiet, 0, 0
}

// next is the first instant after at at which a level above phase begins; 0: never.
func (d *dues) next(n int, phase int32, at schemas.EventTime) schemas.EventTime {
	var due schemas.EventTime
	for _, t := range d.at[phase:n] {
		if t > at && (due == 0 || t < due) {
			due = t
		}
	}
	return due
}

// standing is the level at an instant, and since when, by the history alone.
func (r *churnRule) standing(v history.View, at schemas.EventTime) (int32, schemas.EventTime) {
	v.On = r.on
	last, ok := v.Last(at)
	if !ok {
		return churnQuiet, 0
	}
	d := r.dues(v, at, last)
	phase, from, _ := d.stage(len(r.pb.Levels), at)
	return phase, from
}

// proven says whether by the history as it is known now an episode stood, at
// its time, where it was told to stand.
func (r *churnRule) proven(v history.View, f *state.Firing) bool {
	phase, _ := r.standing(v, f.At)
	return phase >= f.To
}

// btydAsk is what a buy-till-you-die question is asked with, all since the local day of the first order.
type btydAsk struct {
	origin schemas.EventTime
	x      int
	tx     schemas.EventTime
}

func (r *churnRule) ask(v history.View, at schemas.EventTime) btydAsk {
	rep := v.Repeat(at)
	return btydAsk{origin: v.Zone.Midnight(rep.First), x: int(rep.Days - 1), tx: schemas.EventTime(rep.Last-rep.First) * schemas.Day}
}

// dues is when the silence since last becomes each level.
func (r *churnRule) dues(v history.View, at, last schemas.EventTime) (d dues) {
	levels := r.pb.Levels
	switch r.pb.Model {
	case playbook.Hiatus:
		for i := range levels {
			d.at[i] = last + max(levels[i].After, r.pb.MinSilence)
		}
		if r.pb.Bands != nil {
			b := r.pb.Bands[r.band(v, at)]
			for i := range levels {
				d.at[i] = last + max(b.After[i], r.pb.MinSilence)
			}
		}
	case playbook.Cycle:
		mean := r.mean(v, at)
		for i := range levels {
			d.at[i] = last + max(churn.Silence(mean, levels[i].Times), r.pb.MinSilence)
		}
	case playbook.ReturnCurve:
		d = r.curves[r.band(v, at)].dues
		for i := range levels {
			d.at[i] += last
		}
	default:
		q := r.ask(v, at)
		t0 := max(last+r.pb.MinSilence-q.origin, q.tx)
		for i := range levels {
			due, st := r.solved[i].DueTime(q.x, q.tx, t0)
			switch st {
			case churn.Already:
				d.fallback[i] = true
				if f := levels[i].Fallback; f != 0 {
					d.at[i] = last + max(f, r.pb.MinSilence)
				}
			case churn.Crosses:
				d.at[i] = q.origin + due
			}
			if i > 0 && d.at[i] != 0 {
				d.at[i] = max(d.at[i], d.at[i-1]) // the chance has only risen since
			}
		}
	}
	return d
}

// band is the index of the band that the customer's days with an order put her in.
func (r *churnRule) band(v history.View, at schemas.EventTime) int {
	days, band := v.Repeat(at).Days, 0
	for i := range r.pb.Bands {
		if r.pb.Bands[i].Orders <= days {
			band = i
		}
	}
	for i := range r.curves {
		if r.curves[i].orders <= days {
			band = i
		}
	}
	return band
}

// mean is the customer's gap, shrunk to that of all.
func (r *churnRule) mean(v history.View, at schemas.EventTime) schemas.EventTime {
	rep := v.Repeat(at)
	return r.cycle.Mean(schemas.EventTime(rep.Last-rep.First)*schemas.Day, rep.Days-1)
}

func (r *churnRule) trigger(v history.View, m *move) schemas.Trigger {
	v.On = r.on
	all := v.Window(0, m.facts)
	k := min(max(int(m.to)-1, 0), len(r.pb.Levels)-1)
	level := &r.pb.Levels[k]
	t := &schemas.ChurnWarning{
		Kind: "warning", Level: level.Name, Model: r.pb.Model.String(), Stream: r.stream, LastCoreAt: m.at,
		Orders: all.Orders, ValueAtStake: r.stake(v, m.facts, all), Currency: r.currency,
		ExpectedPrecision: level.Precision, BaseRate: r.pb.BaseRate,
	}
	if r.pb.Horizon != 0 {
		h := int64(r.pb.Horizon)
		t.HorizonMS = &h
	}
	if m.ended != 0 {
		e := m.ended
		t.EndedAt = &e
		if level.Name == "lost" {
			t.Kind = "win_back"
		}
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
	d := r.dues(v, m.facts, last)
	switch {
	case r.pb.Model == playbook.Hiatus, r.pb.Model == playbook.Cycle:
		t.Evidence = []schemas.Evidence{silence(d.at[k] - last)}
		return t
	case d.fallback[k]:
		t.Model += "+fallback"
	}
	now, start := r.risks(v, m, last)
	t.Risk = &now
	if d.fallback[k] {
		t.Evidence = []schemas.Evidence{
			risk("p_no_order_within_horizon_at_min_silence", start, level.Threshold),
			silence(d.at[k] - last),
		}
		if start < level.Threshold { // a curve that never gets there: the silence alone decides
			t.Evidence[0], t.Evidence[1] = t.Evidence[1], t.Evidence[0]
		}
		return t
	}
	p := now
	if r.pb.Model == playbook.ReturnCurve && d.at[k] < m.at {
		// Told later than it became true. A curve may have come down again since:
		// what counts is that it got there.
		p = numeric.Round6(r.curves[r.band(v, m.facts)].curve.NoReturn(d.at[k]-last, r.pb.Horizon))
	}
	t.Evidence = []schemas.Evidence{risk("p_no_order_within_horizon", p, level.Threshold)}
	return t
}

// risks is the model's answer at the move and at the least silence, rounded as
// it is compared and published.
func (r *churnRule) risks(v history.View, m *move, last schemas.EventTime) (now, start float64) {
	if r.pb.Model == playbook.ReturnCurve {
		c := r.curves[r.band(v, m.facts)].curve
		return numeric.Round6(c.NoReturn(m.at-last, r.pb.Horizon)), numeric.Round6(c.NoReturn(r.pb.MinSilence, r.pb.Horizon))
	}
	q := r.ask(v, m.facts)
	return r.noPurchase(q, m.at), r.noPurchase(q, max(last+r.pb.MinSilence, q.origin+q.tx))
}

func (r *churnRule) noPurchase(q btydAsk, at schemas.EventTime) float64 {
	return numeric.Round6(churn.PNoPurchase(r.params, q.x, r.params.Units(q.tx), r.params.Units(max(at-q.origin, q.tx)), r.params.Units(r.pb.Horizon)))
}

// stake is the value at stake, in minor units.
func (r *churnRule) stake(v history.View, at schemas.EventTime, all history.Sums) int64 {
	if r.pb.Value == playbook.ValueYear {
		return v.Window(365*schemas.Day, at).Net
	}
	days := v.Repeat(at).Days
	if days == 0 {
		return 0
	}
	if r.pb.Value == playbook.ValueMean {
		return all.Net / days
	}
	s := churn.Spend{P: r.pb.Spend.P, Q: r.pb.Spend.Q, Gamma: r.pb.Spend.Gamma}
	return int64(math.RoundToEven(s.Mean(days, float64(all.Net)/float64(days))))
}

func risk(fact string, p, threshold float64) schemas.Evidence {
	comparison := ">="
	if p < threshold {
		comparison = "<"
	}
	return schemas.Evidence{Fact: fact, Value: strconv.FormatFloat(p, 'f', 6, 64), Comparison: comparison, Limit: strconv.FormatFloat(threshold, 'f', -1, 64)}
}
