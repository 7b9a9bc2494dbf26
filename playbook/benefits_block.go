package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Pool is how much may be given out by all tasks together: a budget (积分预算) or a
// stock (库存). Total 0: there is no bound.
type Pool struct {
	Total int64
	Cycle string // of which Total is for each; "": once and for all
}

// Source grants a benefit to who stands in one of the phases of a rule.
type Source struct {
	Table  string   // tier, segment, tag, campaign
	Name   string   // of the rule, or of the tag
	Phases []string // of a tier: the levels; of a campaign: the arms, nil all
	Units  int64
	Every  string // a calendar cycle: again at its begin; "": each time she enters
}

// Values of streams that hold benefits: the attribute quantity, a whole number; 1
// where it is absent, of a claim 0, which stands for all.
const BenefitMoved = "quantity"

// Types of the events about benefits.
const (
	BenefitUsed    = "benefit.used"
	BenefitClaimed = "benefit.claimed"
)

// benefit reads one benefit (权益), which is kept as a ledger of its own.
func (p *builder) benefit(n *node, path, factsText string) Ledger {
	b := p.c.open(n, path, "benefits[]", "")
	l := Ledger{Common: p.common(b), Benefit: true, Earn: Growth{Numerator: 1, Denominator: 1}}
	l.Earn.Name = l.Name
	const form = "a list of {tier, levels}, {segment}, {tag}, {campaign} and {on}, each with quantity"
	items := b.list("grants", form)
	for i, item := range items {
		p.grant(&l, item, fmt.Sprintf("%s[%d]", b.at("grants"), i))
	}
	if v := b.get("grants"); v != nil && v.kind == listNode && len(items) == 0 {
		p.c.problem(v, b.at("grants"), "is empty", form)
	}
	p.claimOf(b, &l, "benefits[].claim")
	if v := b.get("valid"); v != nil {
		l.Expires = p.expiry(v, b.at("valid"), "benefits[].valid")
	}
	p.noticeOf(b, &l, "valid")
	if v := b.get("stock"); v != nil {
		l.Pool = p.pool(v, b.at("stock"), "benefits[].stock", "quantity")
	}
	l.Revoke = b.choice("on_downgrade", "keep", "keep", "revoke") == "revoke"
	l.Redeemed, l.Claimed = p.benefitOf(l.Name, BenefitUsed), p.benefitOf(l.Name, BenefitClaimed)
	if len(l.Earn.Factors) > 0 {
		l.Refunds = p.refundsMade()
	}
	l.Meaning = string(canonical([]byte(factsText), n))
	return l
}

// grant reads who is given a benefit.
func (p *builder) grant(l *Ledger, n *node, path string) {
	b := p.c.open(n, path, "benefits[].grants[]", "")
	s := Source{Units: b.integer("quantity", 1, 1, maxCount), Every: b.choice("every", "", cycleWords...)}
	var kinds []string
	for _, key := range []string{"tier", "segment", "tag", "campaign", "on"} {
		if b.get(key) != nil {
			kinds = append(kinds, key)
		}
	}
	if len(kinds) != 1 {
		if b.n != nil {
			p.c.problem(n, path, "a grant says to whom, once", "tier, segment, tag, campaign or on")
		}
		return
	}
	s.Table = kinds[0]
	if v := b.get("levels"); v != nil && s.Table != "tier" {
		p.c.problem(v, b.at("levels"), `"levels" has no meaning without tier`, "tier: the name of a program")
	}
	if v := b.get("every"); v != nil && (s.Table == "on" || s.Table == "campaign") {
		p.c.problem(v, b.at("every"), "each event or touch grants by itself", "tier, segment or tag with every")
	}
	switch s.Table {
	case "on":
		f := Factor{Stream: p.streamOf(b, "on"), Gives: s.Units}
		if p.out.Streams[f.Stream].Holds {
			p.c.problem(b.get("on"), b.at("on"), "a gauge holds a value and is no behavior", "the name of a stream")
		}
		l.Earn.Factors = append(l.Earn.Factors, f)
		return
	case "tier":
		var names []string
		for _, t := range p.out.Tiers {
			names = append(names, t.Name)
		}
		i := p.refer(b, "tier", "tier program", names)
		b.need("levels", "a list of levels of the program")
		if s.Phases = b.names("levels"); i < len(p.out.Tiers) {
			s.Name = p.out.Tiers[i].Name
			for k, level := range s.Phases {
				known := false
				var all []string
				for _, x := range p.out.Tiers[i].Levels {
					known = known || x.Name == level
					all = append(all, x.Name)
				}
				if !known {
					p.c.problem(b.get("levels").items[k], fmt.Sprintf("%s[%d]", b.at("levels"), k), fmt.Sprintf("%q has no level %q%s", s.Name, level, didYouMean(level, all)), strings.Join(all, ", "))
				}
			}
		}
	case "segment":
		p.refer(b, "segment", "segment", p.known.Segments)
		s.Name = b.get("segment").text
	case "tag":
		p.refer(b, "tag", "tag", p.known.Tags)
		s.Name = b.get("tag").text
	case "campaign":
		var names []string
		for _, r := range p.out.Recall {
			names = append(names, r.Name)
		}
		p.refer(b, "campaign", "recall campaign", names)
		s.Name = b.get("campaign").text
	}
	l.Sources = append(l.Sources, s)
}

// pool reads {quantity or points, per}.
func (p *builder) pool(v *node, path, shape, key string) Pool {
	b := p.c.open(v, path, shape, "")
	b.need(key, "a whole number from 1")
	return Pool{Total: b.integer(key, 1, 1, maxCount), Cycle: b.choice("per", "", cycleWords...)}
}

// benefitOf is the stream of a type of event about one benefit.
func (p *builder) benefitOf(name, kind string) int {
	return p.made(Stream{Name: kind + "/" + name, Types: []string{kind}, Value: BenefitMoved,
		When: &EventCondition{native: true, expr: Expr{Op: OpCompare, Ref: Ref{"attributes", "benefit"}, Cmp: Equal, IsText: true, Limit: Value{Text: name}}}})
}

func (p *builder) refundsMade() int {
	return p.made(Stream{Name: "order.refunds", Order: []schemas.OrderType{schemas.Refunded, schemas.Cancelled}, Value: RefundMade})
}

// claimOf reads {within: 7d}.
func (p *builder) claimOf(b *block, l *Ledger, shape string) {
	if v := b.get("claim"); v != nil {
		k := p.c.open(v, b.at("claim"), shape, "")
		k.need("within", "a duration such as 7d")
		l.ClaimWithin = k.duration("within", 7*schemas.Day, schemas.Minute, 3650*schemas.Day)
	}
}

// noticeOf reads how long before an end it is told.
func (p *builder) noticeOf(b *block, l *Ledger, ends string) {
	l.Notice = b.duration("notice", 0, schemas.Minute, 366*schemas.Day)
	v := b.get("notice")
	if v == nil {
		return
	}
	switch {
	case l.Expires == (Expiry{}):
		p.c.problem(v, b.at("notice"), "nothing ends, so there is nothing to tell before", ends+": {after: 365d} or {end_of: year}")
	case l.Expires.After > 0 && l.Notice >= l.Expires.After:
		p.c.problem(v, b.at("notice"), "would have to be told before it begins", "less than "+FormatDuration(l.Expires.After))
	}
}
