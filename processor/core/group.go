package core

import (
	"math/bits"
	"sort"

	"tidemark/playbook"
	"tidemark/processor/facts"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// A group is all rules of phases of a playbook, over one table of facts. They
// are evaluated in an order in which each stands after those that it reads, and
// only where a comparison of theirs has changed: what a condition can know of a
// fact is on which side of its constants it lies. So an event costs the facts
// that are read and the constants that are crossed, whatever the number of rules.
//
// In the row the group is one rule, under the name "facts/": Due is the next
// instant at which time alone crosses a constant, Since when it was looked at
// last, Phase 1 once it was, Aux when it was first: there she begins, and every
// rule is asked, for what holds of her with no history at all.
type group struct {
	table    facts.Table
	external int // places from here on are where rules stand
	outer    []outer
	rules    []*phaseRule
	id       uint32
	byID     map[uint32]*phaseRule
	readers  map[uint32][]int // rule -> places that say where it stands
	conds    []playbook.Condition

	serial   int64 // changes with the history of the customer at hand
	memo     []*memo
	here     *memo               // asked for last
	moved    int64               // changes when a rule that others read moves
	cand     []uint64            // rules to look at
	instants []schemas.EventTime // of the rewind under way, ascending
	turn     int                 // of memo, the next to use again
	old      []playbook.Value
}

// outer is where another rule stands, as a value.
type outer struct {
	rule rule
	want int32 // tag["x"]: 1 in that phase, else 0; -1: the phase itself
}

// memo is the values as of one instant.
type memo struct {
	c      *state.Customer
	at     schemas.EventTime
	serial int64
	moved  int64
	vals   []playbook.Value
}

const memos = 64

// newGroup binds the rules of phases; nil without any.
func (c *Core) newGroup() *group {
	pb := c.pb
	if len(pb.Phases) == 0 {
		return nil
	}
	g := &group{id: c.name("facts/"), byID: map[uint32]*phaseRule{}, readers: map[uint32][]int{}}
	for i := range pb.Phases {
		r := &phaseRule{pb: &pb.Phases[i], rid: c.name(pb.Phases[i].Name), g: g, n: i, until: -1, hold: -1}
		g.rules = append(g.rules, r)
		g.byID[r.rid] = r
	}
	each := func(fn func(r *phaseRule, k playbook.Condition, number *int)) {
		for _, r := range g.rules {
			if r.when == nil {
				r.when = make([]int, len(r.pb.When))
			}
			for i, k := range r.pb.When {
				if r.when[i] = -1; k != nil {
					fn(r, k, &r.when[i])
				}
			}
			if r.pb.Until != nil {
				fn(r, r.pb.Until, &r.until)
			}
			if r.pb.Hold != nil {
				fn(r, r.pb.Hold, &r.hold)
			}
		}
	}
	refs := func(k playbook.Condition) []playbook.Ref { return playbook.References(k) }
	each(func(_ *phaseRule, k playbook.Condition, _ *int) {
		for _, ref := range refs(k) {
			if def, ok := pb.FactNamed(ref.Key); ok && ref.Table == "" {
				g.table.Place(ref, func() facts.Fact {
					return facts.Bind(def, func(i int) history.Stream { return c.streams.ids[i] })
				})
			}
		}
	})
	g.external = g.table.Len()
	each(func(_ *phaseRule, k playbook.Condition, _ *int) {
		for _, ref := range refs(k) {
			if ref.Table == "" {
				continue
			}
			before := g.table.Len()
			place := g.table.Place(ref, func() facts.Fact { return facts.Fact{} })
			if place == before {
				o := c.outerOf(g, ref)
				g.outer = append(g.outer, o)
				if o.rule != nil {
					g.readers[o.rule.id()] = append(g.readers[o.rule.id()], place)
				}
			}
		}
	})
	each(func(r *phaseRule, k playbook.Condition, number *int) {
		x, native := playbook.Native(k)
		*number = g.table.Add(k, x, native, int32(r.n), func(ref playbook.Ref) (int, func(string) int64) {
			place := g.table.Place(ref, nil)
			if ref.Table == "" || ref.Table == "tier_level" || ref.Table == "tag" || ref.Table == "segment" {
				return place, nil
			}
			return place, func(name string) int64 { return g.phaseNamed(place, name) }
		})
		g.conds = append(g.conds, k)
	})
	g.table.Seal()
	g.cand = make([]uint64, (len(g.rules)+63)/64)
	g.old = make([]playbook.Value, g.table.Len())
	return g
}

// outerOf finds the rule that a reference reads.
func (c *Core) outerOf(g *group, ref playbook.Ref) outer {
	for _, r := range c.rule {
		if r.common().Name != ref.Key {
			continue
		}
		switch r.(type) {
		case *tierRule:
			if ref.Table == "tier" || ref.Table == "tier_level" {
				return outer{r, -1}
			}
		case *rfmRule:
			if ref.Table == "rfm" {
				return outer{r, -1}
			}
		case *churnRule:
			if ref.Table == "churn" {
				return outer{r, -1}
			}
		}
	}
	if g == nil {
		return outer{want: -1}
	}
	for _, r := range g.rules {
		switch {
		case ref.Table == "tag" && r.pb.Block == "tags" && !r.pb.Value:
			for i, name := range r.pb.Names {
				if i > 0 && name == ref.Key {
					return outer{r, int32(i)}
				}
			}
		case r.pb.Name == ref.Key && (ref.Table == "segment" && r.pb.Block == "segments" || ref.Table == "tag_of" && r.pb.Block == "tags" ||
			ref.Table == "stage" && (r.pb.Block == "lifecycle" || r.pb.Block == "inflection")):
			return outer{r, -1}
		}
	}
	return outer{want: -1}
}

// phaseCount and nameOf say what phases a rule has.
func nameOf(r rule, phase int32) string {
	switch r := r.(type) {
	case *tierRule:
		return r.pb.Levels[max(min(int(phase), len(r.pb.Levels)-1), 0)].Name
	case *rfmRule:
		return r.className(phase)
	case *churnRule:
		if phase != churnQuiet {
			return r.level(phase)
		}
	case *phaseRule:
		return r.name(phase)
	}
	return ""
}

func phaseCount(r rule) int32 {
	switch r := r.(type) {
	case *tierRule:
		return int32(len(r.pb.Levels))
	case *rfmRule:
		return int32(len(r.classes.Classes) + 2)
	case *churnRule:
		return int32(len(r.pb.Levels) + 1)
	case *phaseRule:
		return int32(len(r.pb.Names))
	}
	return 0
}

func (g *group) nameAt(place int, phase int64) string {
	if o := &g.outer[place-g.external]; o.rule != nil {
		return nameOf(o.rule, int32(phase))
	}
	return ""
}

// phaseNamed is the phase of that name at a place, -1 if there is none.
func (g *group) phaseNamed(place int, name string) int64 {
	r := g.outer[place-g.external].rule
	if r == nil {
		return -1
	}
	for p := range phaseCount(r) {
		if nameOf(r, p) == name {
			return int64(p)
		}
	}
	return -1
}

// phaseAt is where a rule stood at an instant, as published.
func phaseAt(c *state.Customer, r rule, at schemas.EventTime) int32 {
	st := c.Rule(r.id())
	switch {
	case st == nil:
		return 0
	case at >= lastMove(st), len(st.Log) == 0:
		return st.Phase
	}
	for k := len(st.Log) - 1; k >= 0; k-- {
		f := &st.Log[k]
		if f.At > at {
			continue
		}
		if f.Ended == 0 || f.Ended > at {
			return f.To
		}
		return f.From
	}
	return st.Log[0].From
}

func (g *group) outerAt(v history.View, i int, at schemas.EventTime) playbook.Value {
	o := &g.outer[i]
	if o.rule == nil {
		return playbook.Value{}
	}
	p := phaseAt(v.C, o.rule, at)
	if o.want < 0 {
		return playbook.Value{Int: int64(p)}
	}
	if p == o.want {
		return playbook.Value{Int: 1}
	}
	return playbook.Value{}
}

// values are all facts as of an instant. The slice is good until 64 more
// instants were asked for.
func (g *group) values(v history.View, at schemas.EventTime) []playbook.Value {
	m := g.here
	if m != nil && m.at == at && m.serial == g.serial && m.c == v.C {
		if m.moved != g.moved {
			g.fillOuter(v, m)
		}
		return m.vals
	}
	m = nil
	for i := len(g.memo) - 1; i >= 0; i-- {
		if k := g.memo[i]; k.at == at && k.serial == g.serial && k.c == v.C {
			m = k
			break
		}
	}
	if m == nil {
		if len(g.memo) < memos {
			g.memo = append(g.memo, &memo{vals: make([]playbook.Value, g.table.Len())})
			m = g.memo[len(g.memo)-1]
		} else {
			m = g.memo[g.turn]
			g.turn = (g.turn + 1) % memos
		}
		m.c, m.at, m.serial = v.C, at, g.serial
		g.table.Fill(v, at, g.external, m.vals)
	}
	g.fillOuter(v, m)
	g.here = m
	return m.vals
}

func (g *group) fillOuter(v history.View, m *memo) {
	m.moved = g.moved
	for i := range g.outer {
		m.vals[g.external+i] = g.outerAt(v, i, m.at)
	}
}

func (g *group) holds(k int, vals []playbook.Value) bool {
	if k < 0 {
		return true
	}
	if g.table.IsNative(k) {
		return g.table.Holds(k, vals, nil)
	}
	return g.table.Holds(k, vals, g.celFacts(vals))
}

// celFacts gives values by name to conditions that only CEL can evaluate.
func (g *group) celFacts(vals []playbook.Value) *playbook.Facts {
	f := &playbook.Facts{Tiers: map[string]string{}, TierLevels: map[string]int64{}, Classes: map[string]string{}, Churn: map[string]string{}}
	named := map[string]*int64{"orders": &f.Orders, "spend_minor": &f.SpendMinor, "orders_365d": &f.Orders365, "spend_365d_minor": &f.Spend365Minor,
		"aov_minor": &f.AOVMinor, "days_since_first": &f.DaysSinceFirst, "days_since_last": &f.DaysSinceLast, "refunds": &f.Refunds}
	for place := range vals {
		ref, x := g.table.Ref(place), vals[place]
		switch ref.Table {
		case "":
			if p := named[ref.Key]; p != nil {
				*p = x.Int
			}
		case "tier":
			f.Tiers[ref.Key] = g.nameAt(place, x.Int)
		case "tier_level":
			f.TierLevels[ref.Key] = x.Int
		case "rfm":
			f.Classes[ref.Key] = g.nameAt(place, x.Int)
		case "churn":
			f.Churn[ref.Key] = g.nameAt(place, x.Int)
		}
	}
	f.More = func(ref playbook.Ref) playbook.Value {
		place, ok := g.table.Find(ref)
		if !ok {
			return playbook.Value{}
		}
		x := vals[place]
		if ref.Table == "stage" || ref.Table == "tag_of" {
			x.Text = g.nameAt(place, x.Int)
		}
		return x
	}
	return f
}

func (g *group) mark(n int32) { g.cand[n>>6] |= 1 << (n & 63) }

// take returns the first rule to look at that is not before from, -1: none is.
func (g *group) take(from int) int {
	for w := from >> 6; w < len(g.cand); w++ {
		word := g.cand[w]
		if w == from>>6 {
			word &= ^uint64(0) << (from & 63)
		}
		if word != 0 {
			n := w<<6 + bits.TrailingZeros64(word)
			g.cand[w] &^= 1 << (n & 63)
			return n
		}
	}
	return -1
}

// all marks every rule.
func (g *group) all() {
	for i := range g.rules {
		g.mark(int32(i))
	}
}

// crossed marks the rules that may see a difference between two vectors.
func (g *group) crossed(old, now []playbook.Value) {
	for i := range now {
		if old[i] != now[i] {
			g.table.Changed(i, old[i], now[i], g.mark)
		}
	}
}

// overdue marks the rules whose own time has come.
func (g *group) overdue(c *state.Customer, at schemas.EventTime) {
	for i := range c.Rules {
		if st := &c.Rules[i]; st.Due != 0 && st.Due <= at {
			if r := g.byID[st.ID]; r != nil {
				g.mark(int32(r.n))
			}
		}
	}
}

// settlePhases brings the rules of phases in line with a change of the facts,
// after the other rules.
func (c *Core) settlePhases(e *entry, v history.View, ch *change, now schemas.EventTime) {
	g := c.group
	st := e.EnsureRule(g.id)
	looked, armed := st.Phase != 0, st.Armed
	if ch.fresh && ch.tc > ch.prior && ch.tc > st.Since {
		c.stepPhases(e, v, ch.tc, ch.cause, ch)
		return
	}
	clear(g.cand)
	widest := schemas.EventTime(0)
	for _, r := range g.rules {
		widest = max(widest, now-r.common().CorrectWithin)
	}
	if !looked || int64(ch.tc) <= st.Aux || ch.tc < max(widest, armed, folded(e)) {
		g.all()
	}
	if !looked || int64(ch.tc) < st.Aux {
		st.Aux = int64(ch.tc)
	}
	// What any rule may see from there on, with the history as it is now known.
	done := max(c.done(e), e.Latest)
	old := append(g.old[:0], g.values(v, ch.tc-1)...)
	g.instants = g.instants[:0]
	for at := ch.tc; at != 0 && at <= now; {
		vals := g.values(v, at)
		g.crossed(old, vals)
		copy(old, vals)
		g.instants = append(g.instants, at)
		next := g.nextOf(v, at)
		if t := g.table.Next(v, at, g.external, vals); t != 0 && t <= done && (next == 0 || t < next) {
			next = t
		}
		at = next
	}
	for i := range e.Rules {
		if r := g.byID[e.Rules[i].ID]; r != nil && (lastMove(&e.Rules[i]) >= ch.tc || e.Rules[i].Due != 0) {
			g.mark(int32(r.n))
		}
	}
	for n := g.take(0); n >= 0; n = g.take(n + 1) {
		r := g.rules[n]
		e.EnsureRule(r.rid)
		c.settleRule(e, v, r, ch, now)
		if places := g.readers[r.rid]; len(places) > 0 {
			g.moved++
			g.follow(e.Rule(r.rid), ch.tc)
			for _, p := range places {
				g.table.Readers(p, g.mark)
			}
		}
		e.DropRule(r.rid)
	}
	last := ch.tc
	if k := len(g.instants); k > 0 {
		last = g.instants[k-1]
	}
	g.rest(e, v, done, last)
}

// follow adds the instants at which a rule moved to those that its readers are asked at.
func (g *group) follow(st *state.Rule, from schemas.EventTime) {
	n := len(g.instants)
	for i := range st.Log {
		for _, t := range [2]schemas.EventTime{st.Log[i].At, st.Log[i].Ended} {
			if t >= from {
				g.instants = append(g.instants, t)
			}
		}
	}
	if st.Since >= from {
		g.instants = append(g.instants, st.Since)
	}
	if len(g.instants) > n {
		sort.Slice(g.instants, func(i, j int) bool { return g.instants[i] < g.instants[j] })
	}
}

// before are the values just before an instant. Where those of the last look are
// still in memory and time has crossed no constant since, they do as well: each
// lies on the same side of every constant.
func (g *group) before(e *entry, v history.View, at schemas.EventTime, st *state.Rule) []playbook.Value {
	if e.factsOf != g || e.facts == nil || st.Since >= at || st.Due != 0 && st.Due < at {
		return append(g.old[:0], g.values(v, at-1)...)
	}
	old := append(g.old[:0], e.facts...)
	for i := range g.outer {
		old[g.external+i] = g.outerAt(v, i, at-1)
	}
	return old
}

// rest notes until when nothing need be looked at.
func (g *group) rest(e *entry, v history.View, at, looked schemas.EventTime) {
	st := e.EnsureRule(g.id)
	st.Phase, st.Since = 1, max(st.Since, looked)
	vals := g.values(v, at)
	st.Due = g.table.Next(v, at, g.external, vals)
	e.facts, e.factsOf = append(e.facts[:0], vals...), g
}

// nextOf is the first instant after at at which something happens that the facts read.
func (g *group) nextOf(v history.View, at schemas.EventTime) schemas.EventTime {
	var best schemas.EventTime
	take := func(t schemas.EventTime) {
		if t > at && (best == 0 || t < best) {
			best = t
		}
	}
	for i := range v.C.Orders {
		if t := v.C.Orders[i].At; t > at {
			take(t)
			break
		}
	}
	for i := range v.C.Marks {
		if t := v.C.Marks[i].At; t > at {
			take(t)
			break
		}
	}
	for i := range g.outer {
		if r := g.outer[i].rule; r != nil {
			if st := v.C.Rule(r.id()); st != nil {
				for k := range st.Log {
					take(st.Log[k].At)
					take(st.Log[k].Ended)
				}
			}
		}
	}
	return best
}

// stepPhases moves the rules over one instant: what was just before against what is.
func (c *Core) stepPhases(e *entry, v history.View, at schemas.EventTime, cause string, ch *change) {
	g := c.group
	clear(g.cand)
	st := e.EnsureRule(g.id)
	if st.Phase == 0 {
		g.all()
		st.Aux = int64(at)
	}
	old := g.before(e, v, at, st)
	g.crossed(old, g.values(v, at))
	g.overdue(&e.Customer, at)
	for n := g.take(0); n >= 0; n = g.take(n + 1) {
		c.stepPhase(e, v, g.rules[n], at, cause, ch, old)
	}
	g.rest(e, v, at, at)
}

func (c *Core) stepPhase(e *entry, v history.View, r *phaseRule, at schemas.EventTime, cause string, ch *change, old []playbook.Value) {
	g := c.group
	st := e.Rule(r.rid)
	before := standing{}
	if st != nil {
		before = standingOf(st)
	}
	if st == nil {
		if s := r.eval(v, at, before); s.phase == 0 && s.due == 0 {
			return // where everybody begins
		}
		e.EnsureRule(r.rid)
	}
	switch {
	case st != nil && lastMove(st) >= at && ch != nil:
		c.rewindPhase(e, v, r, ch)
	default:
		c.step(e, v, r, at, at, cause, ch)
		if st = e.Rule(r.rid); st.Due != 0 && st.Due <= at {
			st.Due = at + 1
		}
	}
	if len(g.readers[r.rid]) > 0 {
		g.moved++
	}
	for _, p := range g.readers[r.rid] {
		g.table.Changed(p, old[p], g.outerAt(v, p-g.external, at), g.mark)
	}
}

// rewindPhase runs one rule again that had moved at or after an event in order.
func (c *Core) rewindPhase(e *entry, v history.View, r *phaseRule, ch *change) {
	g := c.group
	now, done := c.reached(e), max(c.done(e), e.Latest)
	g.instants = g.instants[:0]
	for at := ch.tc; at != 0 && at <= now; {
		g.instants = append(g.instants, at)
		next := g.nextOf(v, at)
		if t := g.table.Next(v, at, g.external, g.values(v, at)); t != 0 && t <= done && (next == 0 || t < next) {
			next = t
		}
		at = next
	}
	c.settleRule(e, v, r, ch, now)
}

// nextInstant of a rule of phases in a rewind.
func (g *group) nextInstant(at schemas.EventTime) schemas.EventTime {
	i := sort.Search(len(g.instants), func(i int) bool { return g.instants[i] > at })
	if i == len(g.instants) {
		return 0
	}
	return g.instants[i]
}

// wakePhases does what time alone moves at an instant.
func (c *Core) wakePhases(e *entry, v history.View, at schemas.EventTime, moved bool) {
	st := e.Rule(c.group.id)
	if st == nil {
		return
	}
	if !moved && (st.Due == 0 || st.Due > at) {
		own := false
		for i := range e.Rules {
			if s := &e.Rules[i]; s.Due != 0 && s.Due <= at && c.group.byID[s.ID] != nil {
				own = true
				break
			}
		}
		if !own {
			return
		}
	}
	c.group.serial++
	c.stepPhases(e, v, at, "", nil)
	if st = e.Rule(c.group.id); st.Due != 0 && st.Due <= at {
		st.Due = at + 1
	}
}

// armPhases puts a customer where a new playbook's rules say, without telling.
func (c *Core) armPhases(e *entry, v history.View, changed []string, at, from schemas.EventTime) {
	g := c.group
	if st := e.EnsureRule(g.id); st.Armed >= from {
		return
	}
	g.serial++
	names := map[string]bool{}
	for _, n := range changed {
		names[n] = true
	}
	for _, r := range g.rules {
		if !names[r.pb.Name] {
			continue
		}
		if e.Rule(r.rid) == nil {
			if s := r.eval(v, at, standing{}); s.phase == 0 && s.due == 0 {
				continue
			}
			e.EnsureRule(r.rid)
		}
		c.quiet = true
		c.step(e, v, r, at, at, "", nil)
		c.quiet = false
	}
	e.Rule(g.id).Armed = from
	g.rest(e, v, at, at)
}

// more gives declared facts and where rules of phases stand, as of an instant,
// to conditions outside the group.
func (c *Core) more(v history.View, at schemas.EventTime) func(playbook.Ref) playbook.Value {
	return func(ref playbook.Ref) playbook.Value {
		if ref.Table == "" {
			def, ok := c.pb.FactNamed(ref.Key)
			if !ok {
				return playbook.Value{}
			}
			f := facts.Bind(def, func(i int) history.Stream { return c.streams.ids[i] })
			return f.Eval(v, at)
		}
		o := c.outerOf(c.group, ref)
		if o.rule == nil {
			return playbook.Value{}
		}
		p := phaseAt(v.C, o.rule, at)
		x := playbook.Value{Int: int64(p), Text: nameOf(o.rule, p)}
		if o.want >= 0 {
			x.Int = 0
			if p == o.want {
				x.Int = 1
			}
		}
		return x
	}
}
