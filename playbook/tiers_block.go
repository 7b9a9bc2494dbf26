package playbook

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"tidemark/schemas"
)

// growth reads one growth rule (成长值).
func (p *builder) growth(n *node, path, factsText string) Growth {
	b := p.c.open(n, path, "growth[]", "")
	g := Growth{Name: p.ruleName(b), Numerator: 1, Denominator: 1, OmitCategories: b.names("omit_categories")}
	const form = "{amount: money, gives: number}, such as {amount: \"1.00\", gives: 1}"
	if b.get("factors") == nil {
		b.need("per", form)
	}
	p.earns(b, &g, n, factsText, "growth[]")
	p.growthMore(b, &g, n, factsText)
	return g
}

// earns reads what growth rules and ledgers share: per, factors and settle.
func (p *builder) earns(b *block, g *Growth, n *node, factsText, shape string) {
	v := b.get("per")
	if v != nil {
		g.Numerator, g.Denominator = p.per(v, b.at("per"), shape+".per", func(a *node, path string) int64 {
			minor, _ := p.c.money(a, path, 1)
			return minor
		})
	}
	items := b.list("factors", "a list of {on, per} and {on, gives}")
	settle := b.get("settle")
	if len(items) == 0 && settle == nil {
		return
	}
	if v != nil {
		g.Factors = append(g.Factors, Factor{Numerator: g.Numerator, Denominator: g.Denominator})
	}
	for i, item := range items {
		g.Factors = append(g.Factors, p.factor(item, fmt.Sprintf("%s[%d]", b.at("factors"), i), shape+".factors[]"))
	}
	if settle != nil {
		g.Settle = p.settle(settle, b.at("settle"), shape+".settle")
	}
	g.Meaning = string(canonical([]byte(factsText), n))
}

// per reads {amount, gives} as a reduced fraction of units per minor unit.
func (p *builder) per(v *node, path, shape string, amount func(*node, string) int64) (num, den int64) {
	b := p.c.open(v, path, shape, "")
	var minor int64
	if a := b.need("amount", "money above 0"); a != nil {
		minor = amount(a, b.at("amount"))
	}
	const form = "a decimal number above 0, such as 1 or 0.5"
	gives := b.need("gives", form)
	if gives == nil {
		return 1, 1
	}
	s, ok := p.c.scalar(gives, b.at("gives"), form)
	if !ok {
		return 1, 1
	}
	digits, scale, ok := parseDecimal(s)
	if !ok || digits.Sign() <= 0 {
		p.c.problem(gives, b.at("gives"), fmt.Sprintf("%q is not a number above 0", shorten(s)), form)
		return 1, 1
	}
	if minor == 0 {
		return 1, 1
	}
	r := new(big.Rat).SetFrac(digits, new(big.Int).Mul(power10(scale), big.NewInt(minor)))
	limit := big.NewInt(maxCount)
	if r.Num().Cmp(limit) > 0 || r.Denom().Cmp(limit) > 0 {
		p.c.problem(v, path, "the ratio of gives and amount is too fine or too large", "both sides of the reduced fraction at most 10^12")
		return 1, 1
	}
	return r.Num().Int64(), r.Denom().Int64()
}

// factor reads one way to earn: {on: stream, per: …} or {on: stream, gives: n}.
func (p *builder) factor(n *node, path, shape string) Factor {
	b := p.c.open(n, path, shape, "")
	f := Factor{}
	b.need("on", "the name of a stream")
	f.Stream = p.streamOf(b, "on")
	s := &p.out.Streams[f.Stream]
	per, gives := b.get("per"), b.get("gives")
	switch {
	case per != nil && gives != nil:
		p.c.problem(gives, b.at("gives"), "a factor earns by what is measured or for each, not both", "per or gives")
	case per == nil && gives == nil:
		b.need("gives", "gives: so many for each, or per: {amount, gives}")
	case gives != nil:
		f.Gives = b.integer("gives", 1, 1, maxCount)
	case s.Value == "":
		p.c.problem(per, b.at("per"), fmt.Sprintf("%q measures nothing: its stream has no value", s.Name), "gives: so many for each")
	default:
		f.Numerator, f.Denominator = p.per(per, b.at("per"), shape+".per", func(a *node, path string) int64 {
			if s.Value == "amount" {
				minor, _ := p.c.money(a, path, 1)
				return minor
			}
			x, _ := p.c.integer(a, path, 1, maxCount)
			return x
		})
	}
	p.factorMore(b, &f, s)
	f.CapDay = b.integer("at_most_per_day", 0, 1, maxCount)
	for i, item := range b.list("multiply", "a list of {on, by}") {
		m := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("multiply"), i), shape+".multiply[]", "")
		f.Multiply = append(f.Multiply, p.multiplier(m))
	}
	return f
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

func (p *builder) multiplier(b *block) Multiplier {
	const form = "a local day: 11-11 of every year, 2024-11-11, or a weekday such as saturday"
	out := Multiplier{Percent: 100}
	if b.get("tier") != nil {
		p.tierMultiplier(b, &out)
		if v := b.get("on"); v != nil {
			p.c.problem(v, b.at("on"), "a multiplier is for a day or for a tier, not for both", "on, or tier and from")
		}
	} else {
		b.need("on", form)
		if v := b.get("from"); v != nil {
			p.c.problem(v, b.at("from"), "says from which level, but not of which program", "tier: the program")
		}
	}
	if s, v, ok := b.scalar("on", form); ok {
		switch t, err := time.Parse("2006-01-02", s); {
		case contains(weekdays, s):
			for out.Weekday = 0; weekdays[out.Weekday] != s; {
				out.Weekday++
			}
		case err == nil:
			out.Year, out.Month, out.Day = t.Year(), int(t.Month()), t.Day()
		default:
			if t, err = time.Parse("2006-01-02", "2000-"+s); err != nil {
				p.c.problem(v, b.at("on"), fmt.Sprintf("%q is no day", shorten(s)), form)
			}
			out.Month, out.Day = int(t.Month()), t.Day()
		}
	}
	const factor = "a number from 0 to 100 with at most two decimals, such as 2 or 1.5"
	b.need("by", factor)
	if s, v, ok := b.scalar("by", factor); ok {
		digits, scale, ok := parseDecimal(s)
		if !ok || scale > 2 || digits.Sign() < 0 || digits.Cmp(power10(2+scale)) > 0 {
			p.c.problem(v, b.at("by"), fmt.Sprintf("%q is out of range", shorten(s)), factor)
			return out
		}
		out.Percent = digits.Mul(digits, power10(2-scale)).Int64()
	}
	return out
}

// settle reads {on: paid|delivered|completed, after: 7d}.
func (p *builder) settle(v *node, path, shape string) Settle {
	b := p.c.open(v, path, shape, "")
	s := Settle{After: b.duration("after", 0, 0, 3650*schemas.Day)}
	p.needs(s.After)
	on := b.choice("on", "paid", "paid", "delivered", "completed")
	if on != "paid" {
		s.On = on
		s.Stream = p.made(Stream{Name: "order." + on + "/order_id", Types: []string{"order." + on}, Same: "order_id"})
	}
	return s
}

// longestCycle bounds how far back a cycle and the one before it reach.
var longestCycle = map[string]schemas.EventTime{"day": 3 * schemas.Day, "week": 15 * schemas.Day, "month": 63 * schemas.Day, "quarter": 186 * schemas.Day}

var cycles = append(append([]string(nil), cycleWords...), MembershipAnniversary, TierAnniversary)

// cycle notes how far back a cycle reads, and makes the stream of memberships.
func (p *builder) cycle(t *Tier, name string) {
	d, ok := longestCycle[name]
	if !ok {
		d = 733 * schemas.Day
	}
	p.needs(d + t.Grace)
	if name == MembershipAnniversary || name == TierAnniversary {
		t.Member = p.made(Stream{Name: "member/registered", Types: []string{"customer.registered"}})
	}
}

// tierWindow reads the window of a program, which may be a cycle too.
func (p *builder) tierWindow(b *block, t *Tier) {
	v := b.get("window")
	if v != nil && v.kind == scalarNode && contains(cycles, v.text) {
		if t.Cycle = v.text; t.Fact != "" {
			p.c.problem(v, b.at("window"), "a fact has a window of its own", "lifetime, or leave the key out")
		}
		return
	}
	if v == nil && t.Fact != "" {
		return
	}
	if v != nil && v.kind == scalarNode && v.text != "lifetime" {
		if _, err := ParseDuration(v.text); err != nil {
			p.c.problem(v, b.at("window"), fmt.Sprintf("unknown value %q%s", shorten(v.text), didYouMean(v.text, append([]string{"lifetime"}, cycles...))),
				"lifetime, {rolling: 365d}, "+strings.Join(cycles, ", "))
			return
		}
	}
	t.Window = p.window(b, "tiers[].window")
	if v != nil && t.Fact != "" && t.Window != 0 {
		p.c.problem(v, b.at("window"), "a fact has a window of its own", "lifetime, or leave the key out")
	}
}

// tierOn reads what decides: a growth rule, or a fact that is a number.
func (p *builder) tierOn(b *block, t *Tier) {
	if v := b.get("on"); v != nil && v.kind == scalarNode && !contains(p.growthNames, v.text) {
		if f, ok := p.out.FactNamed(v.text); ok {
			t.Growth, t.Fact = -1, f.Name
			if f.Window.Rolling == year {
				p.needs(year)
			}
			if f.IsText() {
				p.c.problem(v, b.at("on"), fmt.Sprintf("%q is a text", f.Name), "a growth rule, or a fact that is a number")
			}
			return
		}
	}
	t.Growth = p.refer(b, "on", "growth rule", p.growthNames)
}

// levelsOf reads the rungs of a program.
func (p *builder) levelsOf(b *block, t *Tier) {
	const form = "a list of {name, reach, keep, benefits}, the lowest first"
	items := b.list("levels", form)
	if v := b.need("levels", form); v != nil && v.kind == listNode && len(items) == 0 {
		p.c.problem(v, b.at("levels"), "there is no level", form)
	}
	for i, item := range items {
		l := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("levels"), i), "tiers[].levels[]", "")
		level := Level{Name: l.name("name"), Benefits: l.names("benefits")}
		for _, before := range t.Levels {
			if level.Name != "" && before.Name == level.Name {
				p.c.problem(l.get("name"), l.at("name"), fmt.Sprintf("a level named %q stands above already", level.Name), "names that differ")
			}
		}
		reach := l.need("reach", "a whole number from 0")
		level.Reach = -1
		if reach != nil {
			level.Reach = l.integer("reach", -1, 0, maxCount)
		}
		if level.Reach < 0 { // told already; the rest is held against the last good one
			if level.Reach = 0; i > 0 {
				level.Reach = t.Levels[i-1].Reach
			}
			reach = nil
		}
		if reach != nil && i == 0 && level.Reach != 0 {
			p.c.problem(reach, l.at("reach"), "the lowest level must be open to all", "0 for the first level")
		}
		if reach != nil && i > 0 && level.Reach <= t.Levels[i-1].Reach {
			p.c.problem(reach, l.at("reach"), fmt.Sprintf("%d is not above the level before", level.Reach), fmt.Sprintf("a whole number above %d", t.Levels[i-1].Reach))
		}
		level.Keep = level.Reach
		if v := l.get("keep"); v != nil {
			level.Keep = l.integer("keep", level.Reach, 0, maxCount)
			if reach != nil && level.Keep > level.Reach {
				p.c.problem(v, l.at("keep"), fmt.Sprintf("%d is more than what reaches the level", level.Keep), fmt.Sprintf("a whole number up to %d", level.Reach))
			}
		}
		t.Levels = append(t.Levels, level)
	}
}

// tier reads one program of levels (会员等级).
func (p *builder) tier(n *node, path, factsText string) Tier {
	b := p.c.open(n, path, "tiers[]", "")
	t := Tier{Common: p.common(b)}
	p.tierOn(b, &t)
	p.tierWindow(b, &t)
	p.bounded(b, &t)
	p.levelsOf(b, &t)
	t.FallCycle = t.Cycle
	at := "instant"
	if t.Cycle != "" {
		at = "end_of_cycle"
	}
	if v := b.get("downgrade"); v != nil {
		d := p.c.open(v, b.at("downgrade"), "tiers[].downgrade", "")
		at = d.choice("at", at, "instant", "end_of_local_day", "end_of_cycle")
		t.Grace = d.duration("grace", 0, schemas.Minute, 366*schemas.Day)
		t.OneStep = d.choice("one_step", "false", "true", "false") == "true"
		t.FallCycle = d.choice("cycle", t.Cycle, cycles...)
		if k := d.get("one_step"); k != nil && t.OneStep && at == "instant" {
			p.c.problem(k, d.at("one_step"), "at an instant there is no next time for the next step", "at: end_of_local_day or end_of_cycle")
		}
		for _, key := range []string{"grace", "cycle"} {
			if k := d.get(key); k != nil && at != "end_of_cycle" {
				p.c.problem(k, d.at(key), fmt.Sprintf("%q has no meaning without at: end_of_cycle", key), "at: end_of_cycle")
			}
		}
		if k := d.get("cycle"); k != nil && t.Cycle != "" && t.FallCycle != t.Cycle {
			p.c.problem(k, d.at("cycle"), "the window is a cycle already, and its end is the end", t.Cycle)
		}
		if at == "end_of_cycle" && t.FallCycle == "" {
			p.c.problem(v, b.at("downgrade"), "it does not say of which cycle", "cycle: "+strings.Join(cycles, ", "))
		}
	}
	t.Fall = map[string]FallAt{"instant": FallInstant, "end_of_local_day": FallDayEnd, "end_of_cycle": FallCycleEnd}[at]
	if t.Fall != FallCycleEnd {
		t.FallCycle = ""
	}
	for _, name := range []string{t.Cycle, t.FallCycle} {
		if name != "" {
			p.cycle(&t, name)
		}
	}
	t.OnRefund = map[string]OnRefund{"now": RefundNow, "at_period_end": RefundAtPeriodEnd, "never_below_granted": RefundNeverGranted}[b.choice("on_refund", "now", "now", "at_period_end", "never_below_granted")]
	if v := b.get("on_refund"); v != nil {
		switch {
		case t.OnRefund == RefundAtPeriodEnd && t.Fall != FallCycleEnd:
			p.c.problem(v, b.at("on_refund"), "there is no period that ends", "downgrade: {at: end_of_cycle}")
		case t.OnRefund != RefundNow && t.Fact != "":
			p.c.problem(v, b.at("on_refund"), "what a fact was before a refund is not kept", "now, or a growth rule")
		}
	}
	t.Notice = b.duration("notice", 0, schemas.Minute, 366*schemas.Day)
	if v := b.get("notice"); v != nil && t.Fact != "" && t.Fall != FallCycleEnd {
		p.c.problem(v, b.at("notice"), "when a fact falls is not known before", "downgrade: {at: end_of_cycle}, or a growth rule")
	}
	p.upgrade(b, &t)
	p.bought(b, &t)
	t.Grants = p.made(Stream{Name: "tier/" + t.Name, Types: []string{"tier.granted", "tier.revoked"}, Text: "tier", Value: TierGranted,
		When: &EventCondition{native: true, expr: Expr{Op: OpCompare, Ref: Ref{"attributes", "program"}, Cmp: Equal, IsText: true, Limit: Value{Text: t.Name}}}})
	if t.Fact != "" || len(p.out.Growth) > 0 && t.Growth < len(p.out.Growth) && t.Extended(p.out.Growth) {
		t.Meaning = string(canonical([]byte(factsText), n))
	}
	return t
}

// TierGranted as the Value of a Stream: for tier.granted the instant in the
// attribute until, 0 without one; -1 for tier.revoked.
const TierGranted = "tier.granted"
