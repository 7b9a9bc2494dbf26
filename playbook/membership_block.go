package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// upgrade reads when a level is reached: at once, or when a cycle ends.
func (p *builder) upgrade(b *block, t *Tier) {
	v := b.get("upgrade")
	if v == nil {
		return
	}
	u := p.c.open(v, b.at("upgrade"), "tiers[].upgrade", "")
	u.need("at", "instant, end_of_cycle")
	at := u.choice("at", "instant", "instant", "end_of_cycle")
	cycle := t.Cycle
	if cycle == "" {
		cycle = t.FallCycle
	}
	cycle = u.choice("cycle", cycle, cycleWords...)
	switch {
	case at == "instant":
		if k := u.get("cycle"); k != nil {
			p.c.problem(k, u.at("cycle"), `"cycle" has no meaning without at: end_of_cycle`, "at: end_of_cycle")
		}
		return
	case !contains(cycleWords, cycle):
		p.c.problem(v, b.at("upgrade"), "it does not say of which cycle of the calendar", "cycle: "+strings.Join(cycleWords, ", "))
		return
	case t.Cycle != "" && cycle != t.Cycle:
		p.c.problem(u.get("cycle"), u.at("cycle"), "the window is a cycle already, and its end is the end", t.Cycle)
	}
	t.Rise = cycle
	p.cycle(t, cycle)
}

// bought reads levels that a purchase gives for a time.
func (p *builder) bought(b *block, t *Tier) {
	for i, item := range b.list("bought", "a list of {on, level, for}") {
		k := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("bought"), i), "tiers[].bought[]", "")
		k.need("on", "the name of a stream")
		k.need("for", "a duration such as 365d")
		x := Bought{Stream: p.streamOf(k, "on"), For: k.duration("for", 365*schemas.Day, schemas.Hour, 3660*schemas.Day)}
		p.needs(x.For)
		x.Level = p.levelNamed(k, "level", t)
		if s := &p.out.Streams[x.Stream]; s.Holds {
			p.c.problem(k.get("on"), k.at("on"), fmt.Sprintf("%q is a gauge: it holds a value and is no behavior", s.Name), "the name of a stream")
		}
		t.Bought = append(t.Bought, x)
	}
}

// levelNamed reads the name of a level that one rises to.
func (p *builder) levelNamed(b *block, key string, t *Tier) int32 {
	var levels []string
	for i := 1; i < len(t.Levels); i++ {
		levels = append(levels, t.Levels[i].Name)
	}
	allowed := strings.Join(levels, ", ")
	b.need(key, allowed)
	s, v, ok := b.scalar(key, allowed)
	if !ok {
		return 0
	}
	for i, name := range levels {
		if name == s {
			return int32(i + 1)
		}
	}
	p.c.problem(v, b.at(key), fmt.Sprintf("%q is no level of %s that one rises to%s", shorten(s), t.Name, didYouMean(s, levels)), allowed)
	return 0
}

// roleNames are what a customer is to the business, from the least.
var roleNames = []string{"visitor", "consumer", "member", "vip"}

// roles reads which levels are members and which are VIPs; the roles are a track
// of stages (消费者 会员 VIP).
func (p *builder) roles(root *block) {
	quiet := &block{c: &compiler{}, n: root.n, values: root.values}
	for i, n := range quiet.list("tiers", "") {
		if n.kind != mapNode || i >= len(p.out.Tiers) {
			continue
		}
		t := &p.out.Tiers[i]
		for _, e := range n.entries {
			if e.key.text != "roles" {
				continue
			}
			path := fmt.Sprintf("tiers[%d].roles", i)
			b := p.c.open(e.value, path, "tiers[].roles", "")
			if b.n == nil {
				continue
			}
			r := Phases{Common: t.Common, Mode: FirstOf, Block: "lifecycle"}
			r.Name, r.CoolDown, r.Once = p.ruleNamed(b, "track"), 0, false
			member, vip := p.levelNamed(b, "member", t), p.levelNamed(b, "vip", t)
			if v := b.get("vip"); v != nil && vip != 0 && vip <= member {
				p.c.problem(v, b.at("vip"), "is not above the level of members", "a higher level")
			}
			at := func(level int32) Expr {
				return Expr{Op: OpCompare, Ref: Ref{"tier_level", t.Name}, Cmp: GreaterEqual, Limit: Value{Int: int64(level)}}
			}
			r.Names = []string{roleNames[0], roleNames[3], roleNames[2], roleNames[1]}
			r.When = []Condition{nil, natively(all(at(vip))), natively(all(at(member))), natively(all(compareInt("orders", GreaterEqual, 1)))}
			r.Meaning = string(canonical([]byte("roles"), n))
			p.written = append(p.written, written{r, e.value, path})
		}
	}
}
