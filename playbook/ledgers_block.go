package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Ledger (积分, 通证) is one kind of points or credits.
type Ledger struct {
	Common        // Once and CoolDown mean nothing here
	Earn   Growth // without Factors nothing earns by itself
	// ClaimWithin is how long after they settle points may be claimed; 0: they need no claim.
	ClaimWithin schemas.EventTime
	Caps        []EarnCap
	Expires     Expiry
	Notice      schemas.EventTime // so long before the end it is told; 0: never
	Redeem      Worth
	Overdraft   Overdraft
	Pool        Pool       // the budget, or the stock
	Transfer    *Transfers // nil: none between customers
	// Of a benefit (权益), which is kept as a ledger of its own: who is given it, and
	// whether what is unused goes when she leaves the phase that gave it.
	Benefit bool
	Sources []Source
	Revoke  bool
	// Indices into Playbook.Streams.
	Redeemed, Claimed, Adjusted, Refunds int
	Meaning                              string // of its text and the facts'
}

// EarnCap bounds what is earned in a local cycle.
type EarnCap struct {
	AtMost int64
	Cycle  string // day, week, month, quarter, year
}

// Expiry says when units end: the local midnight after After, the end of Cycle
// Later cycles on, or, as the zero value, never.
type Expiry struct {
	After schemas.EventTime
	Cycle string
	Later int64
}

// Worth is a ratio of points to minor units; Points 0: none is given.
type Worth struct{ Points, Minor int64 }

// Overdraft says what becomes of what is more than there is.
type Overdraft uint8

const (
	OverdraftRefuse  Overdraft = iota // a redemption is refused; what a refund can't take back is owed
	OverdraftAllow                    // the balance goes below 0
	OverdraftForgive                  // a redemption is refused; what a refund can't take back is let go
)

// Values of streams that hold points: the attribute points, a whole number; of
// a claim 0 stands for all that there is. Their text is operator and reason.
const PointsMoved = "points"

// RefundMade as the Value of a Stream: the amount of a refund, -1 of a cancellation.
const RefundMade = "refund"

// Types of the events about points.
const (
	PointsRedeemed = "points.redeemed"
	PointsClaimed  = "points.claimed"
	PointsAdjusted = "points.adjusted"
	// PointsTransferred takes points from its customer and credits them to another.
	PointsTransferred = "points.transferred"
)

var expiryCycles = []string{"month", "quarter", "year"}

// ledger reads one ledger.
func (p *builder) ledger(n *node, path, factsText string) Ledger {
	b := p.c.open(n, path, "ledgers[]", "")
	l := Ledger{Common: p.common(b)}
	l.Earn = Growth{Name: l.Name, Numerator: 1, Denominator: 1, OmitCategories: b.names("omit_categories")}
	p.earns(b, &l.Earn, n, factsText, "ledgers[]")
	if l.Earn.Factors == nil && b.get("per") != nil {
		l.Earn.Factors = []Factor{{Numerator: l.Earn.Numerator, Denominator: l.Earn.Denominator}}
	}
	l.Earn.Meaning = ""
	p.rewarded(&l.Earn, "ledger")
	rewards := l.Earn.Meaning
	p.claimOf(b, &l, "ledgers[].claim")
	for i, item := range b.list("caps", "a list of {at_most, per}") {
		k := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("caps"), i), "ledgers[].caps[]", "")
		k.need("at_most", "a whole number from 1")
		k.need("per", strings.Join(cycleWords, ", "))
		l.Caps = append(l.Caps, EarnCap{AtMost: k.integer("at_most", 1, 1, maxCount), Cycle: k.choice("per", "day", cycleWords...)})
	}
	if v := b.get("expires"); v != nil {
		l.Expires = p.expiry(v, b.at("expires"), "ledgers[].expires")
	}
	p.noticeOf(b, &l, "expires")
	if v := b.get("budget"); v != nil {
		l.Pool = p.pool(v, b.at("budget"), "ledgers[].budget", "points")
	}
	if v := b.get("redeem"); v != nil {
		k := p.c.open(v, b.at("redeem"), "ledgers[].redeem", "")
		k.need("points", "a whole number from 1")
		l.Redeem.Points = k.integer("points", 1, 1, maxCount)
		if a := k.need("worth", "money above 0"); a != nil {
			l.Redeem.Minor, _ = p.c.money(a, k.at("worth"), 1)
		}
	}
	if v := b.get("transfer"); v != nil {
		l.Transfer = p.transfers(v, b.at("transfer"))
	}
	l.Overdraft = map[string]Overdraft{"refuse": OverdraftRefuse, "allow": OverdraftAllow, "forgive": OverdraftForgive}[b.choice("overdraft", "refuse", "refuse", "allow", "forgive")]
	l.Redeemed, l.Claimed, l.Adjusted = p.pointsOf(l.Name, PointsRedeemed), p.pointsOf(l.Name, PointsClaimed), p.pointsOf(l.Name, PointsAdjusted)
	if len(l.Earn.Factors) > 0 {
		l.Refunds = p.refundsMade()
	}
	l.Meaning = string(canonical([]byte(factsText), n)) + rewards
	return l
}

// Transfers (转赠) is what holds for points that customers give each other.
type Transfers struct {
	CapDay int64 // at most so many sent by one customer on a local day; 0: no bound
	Fees   []Fee // taken out of what is sent; each rounded down
}

// Fee is a share that goes to a named account.
type Fee struct {
	To  string
	PPM int64 // parts per million
}

func (p *builder) transfers(v *node, path string) *Transfers {
	b := p.c.open(v, path, "ledgers[].transfer", "")
	t := &Transfers{CapDay: b.integer("at_most_per_day", 0, 1, maxCount)}
	sum := int64(0)
	for i, item := range b.list("fees", "a list of {to, share}") {
		k := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("fees"), i), "ledgers[].transfer.fees[]", "")
		f := Fee{To: k.name("to")}
		k.need("share", "a percentage from 0% to 100%")
		f.PPM = k.percent("share", 0, 0, 1_000_000)
		if sum += f.PPM; sum > 1_000_000 {
			p.c.problem(item, fmt.Sprintf("%s[%d]", b.at("fees"), i), "the fees are more than what is sent", "shares of at most 100% together")
		}
		t.Fees = append(t.Fees, f)
	}
	return t
}

// pointsOf is the stream of a type of event about one ledger.
func (p *builder) pointsOf(ledger, kind string) int {
	return p.made(Stream{Name: kind + "/" + ledger, Types: []string{kind}, Value: PointsMoved, Text: "reason",
		When: &EventCondition{native: true, expr: Expr{Op: OpCompare, Ref: Ref{"attributes", "ledger"}, Cmp: Equal, IsText: true, Limit: Value{Text: ledger}}}})
}

// expiry reads {after: 365d} or {end_of: year, later: 1}.
func (p *builder) expiry(v *node, path, shape string) Expiry {
	b := p.c.open(v, path, shape, "")
	e := Expiry{After: b.duration("after", 0, schemas.Day, 3650*schemas.Day), Cycle: b.choice("end_of", "", expiryCycles...), Later: b.integer("later", 0, 0, 40)}
	switch after, end, later := b.get("after"), b.get("end_of"), b.get("later"); {
	case after != nil && end != nil:
		p.c.problem(end, b.at("end_of"), "points end after a time or with a cycle, not both", "after or end_of")
	case after == nil && end == nil:
		b.need("after", "after: 365d, or end_of: "+strings.Join(expiryCycles, ", "))
	case later != nil && end == nil:
		p.c.problem(later, b.at("later"), `"later" has no meaning without end_of`, "end_of: "+strings.Join(expiryCycles, ", "))
	case e.After%schemas.Day != 0:
		p.c.problem(after, b.at("after"), "is not in whole days", "whole days, such as 365d")
	}
	return e
}
