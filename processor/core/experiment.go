package core

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/experiment"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// experimentRule keeps the books of one experiment. Its state in a row, under the
// name of the rule and "/experiment": Phase says whether the customer was assigned
// or is out, Since when she was, Aux her arm in the dictionary, Due when the next
// horizon is over, Episode 2 once she was exposed. In its log one entry for each
// horizon that is over: At its end, From her orders, Ended her revenue.
//
// The unit is the customer at her first assignment: when the rule would first touch
// her, whether she is treated then, held out, or stopped by the touch policy after
// the draw. Who is in global control then is no part of the experiment.
type experimentRule struct {
	name string // of the rule that has the experiment
	of   uint32 // that rule in rows
	rd   uint32
	pb   *playbook.Experiment
	arms []uint32 // names of the arms in the dictionary
	held uint32   // and of the holdout
}

const (
	unassigned   int32 = 0
	assigned     int32 = 1
	contaminated int32 = 2
)

const holdoutName = "holdout"

// armSums is the books of one arm on this task. They stand under the meta key
// "sums" as JSON.
type armSums struct {
	Rule         string        `json:"rule"`
	Arm          string        `json:"arm"`
	Customers    int64         `json:"customers"` // assigned and not contaminated
	Contaminated int64         `json:"contaminated"`
	At           []horizonSums `json:"at,omitempty"`
}

type horizonSums struct {
	Horizon schemas.EventTime `json:"horizon"`
	experiment.Sums
}

// reportState is when the sums of an experiment are published next.
type reportState struct {
	Rule string            `json:"rule"`
	Next schemas.EventTime `json:"next"`
}

const transferSums = "sums"

func (c *Core) bindExperiments() {
	c.experiments, c.books = nil, nil
	add := func(name string, of uint32, t *playbook.Touching) {
		x := t.Experiment
		if x == nil || !x.Books {
			return
		}
		k := &experimentRule{name: name, of: of, rd: c.name(name + "/experiment"), pb: x, held: c.name("arm/" + name + "/" + holdoutName)}
		for i := range x.Arms {
			k.arms = append(k.arms, c.name("arm/"+name+"/"+x.Arms[i].Name))
		}
		if c.books == nil {
			c.books = map[uint32]*experimentRule{}
		}
		c.experiments = append(c.experiments, k)
		c.books[of] = k
	}
	for _, k := range c.recalls {
		add(k.pb.Name, k.rd, &k.pb.Touching)
	}
	for _, k := range c.sops {
		add(k.pb.Name, k.rd, &k.pb.Touching)
	}
	for _, k := range c.moments {
		add(k.pb.Name, k.rd, &k.pb.Touching)
	}
}

// draw is the arm of a customer if a rule would touch her at an instant. The first
// assignment stands, whatever a later playbook says of weights and arms; of an arm
// that is gone she gets another.
func (c *Core) draw(e *entry, of uint32, t *playbook.Touching, at schemas.EventTime) int {
	if c.pb.TestCustomers[e.ID] {
		if t.Experiment == nil {
			return 0
		}
		return experiment.Arm(t.Experiment, e.ID)
	}
	if g := c.pb.GlobalControl; g != nil && !t.Service {
		if from, _ := c.zone.CycleStart(g.Rotate, at); experiment.InGlobal(g, from, e.ID) {
			return experiment.GlobalControl
		}
	}
	x := t.Experiment
	if x == nil {
		return 0
	}
	k := c.books[of]
	if k == nil {
		return experiment.Draw(x, e.ID)
	}
	st := e.Rule(k.rd)
	switch {
	case st == nil || st.Phase == unassigned:
		return experiment.Draw(x, e.ID)
	case uint32(st.Aux) == k.held:
		return experiment.Holdout
	}
	for i, id := range k.arms {
		if int64(id) == st.Aux {
			return i
		}
	}
	return experiment.Arm(x, e.ID)
}

// groupOf names what a draw means.
func groupOf(arm int) string {
	switch arm {
	case experiment.GlobalControl:
		return "global_control"
	case experiment.Holdout:
		return "holdout"
	}
	return "treated"
}

// grouped tells in a trigger how its customer was drawn; nothing where there is
// neither an experiment nor a global control that has her.
func (c *Core) grouped(e *entry, of uint32, t *playbook.Touching, at schemas.EventTime, out *schemas.EngagementTrigger) {
	arm := c.draw(e, of, t, at)
	if arm >= 0 && t.Experiment == nil {
		return
	}
	out.Group = groupOf(arm)
	if arm < 0 {
		return
	}
	a := &t.Experiment.Arms[arm]
	out.Arm, out.Channel = a.Name, a.Channel
	for _, x := range [...]schemas.Attribute{{Key: "content", Value: a.Content}, {Key: "landing", Value: a.Landing}, {Key: "time", Value: a.Time}} {
		if x.Value != "" {
			out.Attributes = append(out.Attributes, x)
		}
	}
	sort.Slice(out.Attributes, func(i, j int) bool { return out.Attributes[i].Key < out.Attributes[j].Key })
}

// assign notes a customer's first assignment and tells it. at is when the rule would
// touch her, the same for every arm: before quiet hours, caps and the like.
func (c *Core) assign(e *entry, of uint32, arm int, at schemas.EventTime, cause string) {
	k := c.books[of]
	if k == nil || arm == experiment.GlobalControl || c.pb.TestCustomers[e.ID] {
		return
	}
	st := e.Rule(k.rd)
	if st.Phase != unassigned {
		return
	}
	id, name := k.held, holdoutName
	if arm >= 0 {
		id, name = k.arms[arm], k.pb.Arms[arm].Name
	}
	st.Phase, st.Since, st.Aux, st.Episode = assigned, at, int64(id), 1
	if len(k.pb.Effect) > 0 {
		st.Due = at + k.pb.Effect[0]
	}
	c.sumsOf(k.name, name).Customers++
	c.sumsDirty = true
	c.tellExperiment(e, k, 1, "experiment_assigned", name, groupOf(arm), at, cause)
}

// expose tells that a customer was treated for the first time.
func (c *Core) expose(e *entry, of uint32, at schemas.EventTime, cause string) {
	k := c.books[of]
	if k == nil {
		return
	}
	if st := e.Rule(k.rd); st.Phase == assigned && st.Episode == 1 && uint32(st.Aux) != k.held {
		st.Episode = 2
		c.tellExperiment(e, k, 2, "experiment_exposed", c.armName(k, st), "treated", at, cause)
	}
}

func (c *Core) tellExperiment(e *entry, k *experimentRule, episode uint32, kind, arm, group string, at schemas.EventTime, cause string) {
	t := &schemas.LifecycleChange{Kind: kind, Track: k.name, To: arm, Value: group, MovedBy: "time"}
	if cause != "" {
		t.MovedBy = "customer"
	}
	t.Evidence = append(t.Evidence, compared("experiment.number", experiment.Number(k.pb, e.ID), ">=", k.pb.HoldoutPPM))
	c.publish(e, k.name+"/experiment", &state.Firing{Episode: episode, At: at}, schemas.Fired, cause, 0, t)
}

// armName is the arm that a customer was assigned to.
func (c *Core) armName(k *experimentRule, st *state.Rule) string {
	if uint32(st.Aux) == k.held {
		return holdoutName
	}
	return c.RuleName(uint32(st.Aux))[len("arm/"+k.name+"/"):]
}

// sumsOf is the books of an arm, made where there are none, kept in order of name.
func (c *Core) sumsOf(rule, arm string) *armSums {
	i := sort.Search(len(c.sums), func(i int) bool {
		s := &c.sums[i]
		return s.Rule > rule || s.Rule == rule && s.Arm >= arm
	})
	if i == len(c.sums) || c.sums[i].Rule != rule || c.sums[i].Arm != arm {
		c.sums = append(c.sums, armSums{})
		copy(c.sums[i+1:], c.sums[i:])
		c.sums[i] = armSums{Rule: rule, Arm: arm}
	}
	return &c.sums[i]
}

func (s *armSums) at(horizon schemas.EventTime) *experiment.Sums {
	i := sort.Search(len(s.At), func(i int) bool { return s.At[i].Horizon >= horizon })
	if i == len(s.At) || s.At[i].Horizon != horizon {
		s.At = append(s.At, horizonSums{})
		copy(s.At[i+1:], s.At[i:])
		s.At[i] = horizonSums{Horizon: horizon}
	}
	return &s.At[i].Sums
}

// outcome is what a customer did up to a horizon, as known now.
func (c *Core) outcome(v history.View, k *experimentRule, since, horizon schemas.EventTime) experiment.Outcome {
	w := v.Window(horizon, since+horizon)
	if k.pb.RevenueCap > 0 {
		w.Net = min(w.Net, k.pb.RevenueCap)
	}
	return experiment.Outcome{Orders: w.Orders, Revenue: w.Net}
}

func outcomeIn(f *state.Firing) experiment.Outcome {
	return experiment.Outcome{Orders: int64(f.From), Revenue: int64(f.Ended)}
}

// wakeExperiments sums the outcomes whose horizon is over.
func (c *Core) wakeExperiments(e *entry, v history.View, at schemas.EventTime) {
	for _, k := range c.experiments {
		st := e.Rule(k.rd)
		if st.Phase != assigned || st.Due == 0 || st.Due > at {
			continue
		}
		last := st.Since
		if n := len(st.Log); n > 0 {
			last = st.Log[n-1].At
		}
		st.Due = 0
		for _, h := range k.pb.Effect {
			end := st.Since + h
			switch {
			case end <= last:
			case end > at:
				if st.Due == 0 {
					st.Due = end
				}
			default:
				o := c.outcome(v, k, st.Since, h)
				st.Log = append(st.Log, state.Firing{At: end, From: int32(o.Orders), Ended: schemas.EventTime(o.Revenue)})
				c.sumsOf(k.name, c.armName(k, st)).at(h).Add(o)
				c.sumsDirty = true
			}
		}
	}
}

// recount brings sums in line with orders that came late or were taken back. Beyond
// what is kept singly the past stands.
func (c *Core) recount(e *entry, v history.View, ch *change) {
	for _, k := range c.experiments {
		st := e.Rule(k.rd)
		if st.Phase != assigned || len(st.Log) == 0 || ch.tc > st.Log[len(st.Log)-1].At || st.Since < folded(e) {
			continue
		}
		for i := range st.Log {
			f := &st.Log[i]
			if ch.tc > f.At {
				continue
			}
			was, now := outcomeIn(f), c.outcome(v, k, st.Since, f.At-st.Since)
			if was == now {
				continue
			}
			s := c.sumsOf(k.name, c.armName(k, st)).at(f.At - st.Since)
			s.Remove(was)
			s.Add(now)
			f.From, f.Ended = int32(now.Orders), schemas.EventTime(now.Revenue)
			c.sumsDirty = true
		}
	}
}

// contaminate takes a customer out of an experiment; she is counted as taken out.
func (c *Core) contaminate(e *entry, k *experimentRule) {
	st := e.Rule(k.rd)
	if st == nil || st.Phase != assigned {
		return
	}
	c.unsum(k, st)
	c.sumsOf(k.name, c.armName(k, st)).Contaminated++
	st.Phase, st.Due, st.Log = contaminated, 0, nil
}

func (c *Core) unsum(k *experimentRule, st *state.Rule) {
	s := c.sumsOf(k.name, c.armName(k, st))
	s.Customers--
	for i := range st.Log {
		s.at(st.Log[i].At - st.Since).Remove(outcomeIn(&st.Log[i]))
	}
	c.sumsDirty = true
}

// joinExperiments is what customer.merged does to experiments, before the orders of
// from move. One assignment goes along. Of two to one arm the earlier stays; of two
// to different arms, treated and held out or two treatments, both are contaminated:
// nobody can say what she was given.
func (c *Core) joinExperiments(into, from *entry) {
	c.ensure(into)
	c.ensure(from)
	for _, k := range c.experiments {
		a, b := into.Rule(k.rd), from.Rule(k.rd)
		switch {
		case b.Phase == unassigned:
			continue
		case a.Phase == unassigned:
			id := a.ID
			*a = *b
			a.ID, a.Log = id, append([]state.Firing(nil), b.Log...)
		case b.Phase == contaminated:
			c.contaminate(into, k)
		case a.Phase == contaminated || a.Aux != b.Aux:
			c.contaminate(into, k)
			c.contaminate(from, k)
		default:
			first, second := a, b
			if b.Since < a.Since {
				first, second = b, a
			}
			c.unsum(k, second)
			id, episode := a.ID, max(a.Episode, b.Episode)
			kept := *first
			kept.ID, kept.Episode, kept.Log = id, episode, append([]state.Firing(nil), first.Log...)
			*a = kept
		}
		*b = state.Rule{ID: b.ID}
	}
}

// scheduleReports gives each experiment its first report.
func (c *Core) scheduleReports() {
	if !c.ts.Genesis {
		return
	}
	for _, k := range c.experiments {
		known := false
		for i := range c.ts.Reports {
			known = known || c.ts.Reports[i].Rule == k.name
		}
		if !known {
			next, _ := c.zone.Cycle(k.pb.Report, max(c.ts.Start, c.pos.Clock))
			c.ts.Reports = append(c.ts.Reports, reportState{k.name, next})
			c.tsDirty = true
		}
	}
}

func (c *Core) experimentNamed(name string) *experimentRule {
	for _, k := range c.experiments {
		if k.name == name {
			return k
		}
	}
	return nil
}

// report sends this task's sums to the one that adds them up.
func (c *Core) report(i int) error {
	r := &c.ts.Reports[i]
	k := c.experimentNamed(r.Rule)
	c.tsDirty = true
	at := r.Next
	r.Next, _ = c.zone.Cycle(k.pb.Report, at)
	var mine []armSums
	for i := range c.sums {
		if c.sums[i].Rule == r.Rule {
			mine = append(mine, c.sums[i])
		}
	}
	body, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	c.transferTo(owner(r.Rule, c.cfg.Tasks), transferSums, r.Rule, at, body)
	return nil
}

// takeSums takes one task's sums; the last one publishes what all have.
func (c *Core) takeSums(t *schemas.Transfer) error {
	bodies, err := c.gather(transferSums, t)
	if err != nil || bodies == nil {
		return err
	}
	k := c.experimentNamed(t.Name)
	if k == nil {
		return nil // no longer in force here
	}
	kept, dirty := c.sums, c.sumsDirty
	c.sums = nil
	for task, b := range bodies {
		var part []armSums
		if err := json.Unmarshal(b, &part); err != nil {
			return fmt.Errorf("core: sums of task %d: %w", task, err)
		}
		for _, p := range part {
			s := c.sumsOf(p.Rule, p.Arm)
			s.Customers += p.Customers
			s.Contaminated += p.Contaminated
			for _, h := range p.At {
				s.at(h.Horizon).Merge(h.Sums)
			}
		}
	}
	all := c.sums
	c.sums, c.sumsDirty = kept, dirty
	for i := range all {
		c.publishSums(k, &all[i], t.At)
	}
	return nil
}

// publishSums tells the books of one arm as they stood at a period's end. They are
// of all time: a later period's take the place of an earlier one's.
func (c *Core) publishSums(k *experimentRule, s *armSums, end schemas.EventTime) {
	start, _ := c.zone.CycleStart(k.pb.Report, end-1)
	group := "treated"
	if s.Arm == holdoutName {
		group = holdoutName
	}
	tell := func(metric, horizon, value, currency string) {
		m := &schemas.LifecycleMetric{Metric: metric, PlaybookVersion: c.pb.Version, Cycle: k.pb.Report, PeriodStart: start, PeriodEnd: end,
			Value: &value, Currency: currency, Dimensions: []schemas.Attribute{{Key: "arm", Value: s.Arm}, {Key: "group", Value: group}}}
		if horizon != "" {
			m.Dimensions = append(m.Dimensions, schemas.Attribute{Key: "horizon", Value: horizon})
		}
		if currency != "" && k.pb.RevenueCap > 0 {
			m.Dimensions = append(m.Dimensions, schemas.Attribute{Key: "revenue_cap_minor", Value: strconv.FormatInt(k.pb.RevenueCap, 10)})
		}
		m.Dimensions = append(m.Dimensions, schemas.Attribute{Key: "rule", Value: k.name})
		c.metric(m)
	}
	tell("experiment.assigned", "", strconv.FormatInt(s.Customers, 10), "")
	if s.Contaminated > 0 {
		tell("experiment.contaminated", "", strconv.FormatInt(s.Contaminated, 10), "")
	}
	for i := range s.At {
		h := &s.At[i]
		name := playbook.FormatDuration(h.Horizon)
		tell("experiment.customers", name, strconv.FormatInt(h.Customers, 10), "")
		tell("experiment.active", name, strconv.FormatInt(h.Active, 10), "")
		tell("experiment.orders", name, strconv.FormatInt(h.Orders, 10), "")
		tell("experiment.revenue_minor", name, strconv.FormatInt(h.Revenue, 10), c.pb.Currency)
		tell("experiment.revenue_minor_squared", name, h.Square(), c.pb.Currency)
	}
}

func (c *Core) saveSums(b *state.Batch) {
	if !c.sumsDirty {
		return
	}
	v, err := json.Marshal(c.sums)
	if err != nil {
		panic("core: sums: " + err.Error()) // plain fields always encode
	}
	b.Set(state.MetaKey(nil, "sums"), v)
	c.sumsDirty = false
}

func (c *Core) loadSums() error {
	v, err := c.rd.Get(state.MetaKey(nil, "sums"))
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal(v, &c.sums); err != nil {
		return fmt.Errorf("core: sums: %w", err)
	}
	return nil
}
