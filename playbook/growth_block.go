package playbook

import (
	"fmt"
	"strings"
)

// Decay takes a part of the value at the begin of every local cycle.
type Decay struct {
	Cycle string // "": nothing decays
	PPM   int64  // parts per million of what there is
}

// growthMore reads what a growth rule says of all its factors together.
func (p *builder) growthMore(b *block, g *Growth, n *node, factsText string) {
	caps, multiply, decay := b.list("caps", "a list of {at_most, per}"), b.list("multiply", "a list of {on, by} and {tier, from, by}"), b.get("decay")
	if len(caps) == 0 && len(multiply) == 0 && decay == nil {
		return
	}
	if g.Factors == nil {
		g.Factors = []Factor{{Numerator: g.Numerator, Denominator: g.Denominator}}
		g.Meaning = string(canonical([]byte(factsText), n))
	}
	g.Caps = p.caps(b, caps, "growth[].caps[]")
	for i, item := range multiply {
		m := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("multiply"), i), "growth[].multiply[]", "")
		x := p.multiplier(m)
		for k := range g.Factors {
			g.Factors[k].Multiply = append(g.Factors[k].Multiply, x)
		}
	}
	if decay != nil {
		d := p.c.open(decay, b.at("decay"), "growth[].decay", "")
		d.need("every", strings.Join(cycleWords, ", "))
		g.Decay.Cycle = d.choice("every", "", cycleWords...)
		d.need("by", "a percentage from 0.0001% to 100%")
		g.Decay.PPM = d.percent("by", 1, 1, 1_000_000)
	}
}

func (p *builder) caps(b *block, items []*node, shape string) (out []EarnCap) {
	for i, item := range items {
		k := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("caps"), i), shape, "")
		k.need("at_most", "a whole number from 1")
		k.need("per", strings.Join(cycleWords, ", "))
		x := EarnCap{AtMost: k.integer("at_most", 1, 1, maxCount), Cycle: k.choice("per", "day", cycleWords...)}
		p.needs(longestCycleOf(x.Cycle))
		out = append(out, x)
	}
	return out
}

// factorMore reads caps by cycle and what a gauge gives.
func (p *builder) factorMore(b *block, f *Factor, s *Stream) {
	f.Caps = p.caps(b, b.list("caps", "a list of {at_most, per}"), "growth[].factors[].caps[]")
	f.Each = b.choice("each", "", cycleWords...)
	each := b.get("each")
	switch {
	case s.Holds && each == nil && b.get("on") != nil:
		p.c.problem(b.get("on"), b.at("on"), fmt.Sprintf("%q is a gauge: it holds a value and is no behavior", s.Name), "each: month and the like, by what it holds at the end of each; or a program on the gauge's fact itself")
	case s.Holds && f.Gives != 0:
		p.c.problem(b.get("gives"), b.at("gives"), "a gauge has no events to give for", "per: {amount, gives}")
	case !s.Holds && each != nil:
		p.c.problem(each, b.at("each"), fmt.Sprintf("%q is a stream of events, and each of them gives", s.Name), "each with a gauge")
	}
}

// tierMultiplier reads {tier, from, by}: who was at that level or above it.
func (p *builder) tierMultiplier(b *block, m *Multiplier) {
	m.Tier, m.From = b.textOr("tier"), b.textOr("from")
	b.need("from", "the name of a level")
	for _, key := range []string{"tier", "from"} {
		if v := b.get(key); v != nil {
			p.c.scalar(v, b.at(key), "a name")
		}
	}
	p.byTier = append(p.byTier, b)
}

// multiplyByTier finds the programs that multipliers name, once all are read.
func (p *builder) multiplyByTier() {
	var names []string
	for i := range p.out.Tiers {
		names = append(names, p.out.Tiers[i].Name)
	}
	for _, b := range p.byTier {
		i := p.refer(b, "tier", "tier program", names)
		if i >= len(names) || names[i] != b.textOr("tier") {
			continue
		}
		t := &p.out.Tiers[i]
		var levels []string
		for k := range t.Levels {
			levels = append(levels, t.Levels[k].Name)
		}
		if v := b.get("from"); v != nil && !contains(levels[min(1, len(levels)):], v.text) {
			p.c.problem(v, b.at("from"), fmt.Sprintf("%q is no level of %s that one rises to%s", shorten(v.text), t.Name, didYouMean(v.text, levels[min(1, len(levels)):])), strings.Join(levels[min(1, len(levels)):], ", "))
			continue
		}
		t.Told = p.made(Stream{Name: "level/" + t.Name, Task: true})
	}
	for i := range p.out.Growth {
		for k := range p.out.Growth[i].Factors {
			f := &p.out.Growth[i].Factors[k]
			for j := range f.Multiply {
				m := &f.Multiply[j]
				for x := range p.out.Tiers {
					if t := &p.out.Tiers[x]; m.Tier != "" && t.Name == m.Tier {
						m.Stream = t.Told
						for l := range t.Levels {
							if t.Levels[l].Name == m.From {
								m.Level = int64(l)
							}
						}
					}
				}
			}
		}
	}
}

// bounded refuses a lifetime of what a gauge gave: it would have to be kept for ever.
func (p *builder) bounded(b *block, t *Tier) {
	if t.Growth < 0 || t.Growth >= len(p.out.Growth) || t.Window != 0 || t.Cycle != "" {
		return
	}
	for i := range p.out.Growth[t.Growth].Factors {
		if f := &p.out.Growth[t.Growth].Factors[i]; f.Each != "" && b.get("window") != nil {
			p.c.problem(b.get("window"), b.at("window"), fmt.Sprintf("over a lifetime every value that the gauge %q ever held would have to be kept: state without a bound", p.out.Streams[f.Stream].Name), "{rolling: 365d}, or a cycle")
			return
		}
	}
}
