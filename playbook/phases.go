package playbook

import "tidemark/schemas"

// PhaseMode says how a rule of phases moves.
type PhaseMode uint8

const (
	// Forward: to the last later phase whose condition holds; back to one that the
	// phase names in Back, the first whose condition holds, once its own holds no more.
	Forward PhaseMode = iota
	// FirstOf: the first of the phases from 1 on whose condition holds, else phase 0.
	FirstOf
	// Member: phase 1 when its condition holds, and until Until does or, without
	// one, as long as the condition holds.
	Member
)

// Phases is a rule that keeps every customer in exactly one of several phases,
// by conditions over facts and over where other rules stand. Lifecycle tracks,
// inflection maps, tags and segments all are this.
type Phases struct {
	Common
	Meaning string // equal in two versions where the rule and its facts are
	Block   string // lifecycle, inflection, tags, segments; tasks: who one is open to
	Mode    PhaseMode
	Names   []string          // of the phases; everybody begins in phase 0, which for tags and segments is ""
	When    []Condition       // of each phase; [0] is nil
	Back    [][]int           // Forward: of each phase, where it may go back to, in declared order
	Until   Condition         // Member
	Hold    Condition         // Member: while it holds Until is not asked; nil: never
	Dwell   schemas.EventTime // a phase, but the first, is kept at least so long
	Value   bool              // tags: the phases are values of the tag that the rule is named after
}

// natively is a condition that was made here and not written: a tree without text.
func natively(x Expr) *condition {
	c := &condition{native: true, expr: x}
	var walk func(x *Expr)
	walk = func(x *Expr) {
		if x.Op == OpCompare {
			c.refs = append(c.refs, x.Ref)
		}
		for i := range x.Of {
			walk(&x.Of[i])
		}
	}
	walk(&x)
	return c
}

// all, compareInt and compareText build such trees.
func all(of ...Expr) Expr { return Expr{Op: OpAll, Of: of} }

func compareInt(fact string, cmp Cmp, limit int64) Expr {
	return Expr{Op: OpCompare, Ref: Ref{Key: fact}, Cmp: cmp, Limit: Value{Int: limit}}
}

func compareText(fact string, cmp Cmp, limit string) Expr {
	return Expr{Op: OpCompare, Ref: Ref{Key: fact}, Cmp: cmp, IsText: true, Limit: Value{Text: limit}}
}

// or is a condition that holds where the tree or the written condition does. A
// written one that is not native stays so: the whole becomes CEL's.
func or(x Expr, c Condition) Condition {
	if c == nil {
		return natively(x)
	}
	k := c.(*condition)
	n := *k
	n.refs = append(natively(x).refs, k.refs...)
	if k.native {
		n.expr = Expr{Op: OpAny, Of: []Expr{x, k.expr}}
		return &n
	}
	n.also = &x
	return &n
}

// HasRule says whether a rule of that name is in the playbook, whatever its block.
func (p *Playbook) HasRule(name string) bool {
	for i := range p.Phases {
		if p.Phases[i].Name == name {
			return true
		}
	}
	for i := range p.Tiers {
		if p.Tiers[i].Name == name {
			return true
		}
	}
	for i := range p.RFM {
		if p.RFM[i].Name == name {
			return true
		}
	}
	for i := range p.Churn {
		if p.Churn[i].Name == name {
			return true
		}
	}
	for i := range p.Recall {
		if p.Recall[i].Name == name {
			return true
		}
	}
	for i := range p.Moments {
		if p.Moments[i].Name == name {
			return true
		}
	}
	for i := range p.Ledgers {
		if p.Ledgers[i].Name == name {
			return true
		}
	}
	for i := range p.Sops {
		if p.Sops[i].Name == name {
			return true
		}
	}
	return false
}
