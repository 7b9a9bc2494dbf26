package playbook

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Op is what an Expr does.
type Op uint8

const (
	OpAlways  Op = iota // true
	OpNever             // false
	OpAll               // of Of; true when empty
	OpAny               // of Of; false when empty
	OpNot               // Of[0]
	OpCompare           // Ref Cmp Limit
)

// Cmp is a comparison of a number or text with a constant.
type Cmp uint8

const (
	Less Cmp = iota
	LessEqual
	Greater
	GreaterEqual
	Equal
	NotEqual
)

var cmps = map[string]Cmp{"<": Less, "<=": LessEqual, ">": Greater, ">=": GreaterEqual, "==": Equal, "!=": NotEqual}

// Holds applies the comparison to numbers.
func (c Cmp) Holds(a, b int64) bool {
	switch c {
	case Less:
		return a < b
	case LessEqual:
		return a <= b
	case Greater:
		return a > b
	case GreaterEqual:
		return a >= b
	case Equal:
		return a == b
	}
	return a != b
}

// Expr is a condition as a tree of comparisons with constants: what a core can
// evaluate without CEL, and index by its constants.
type Expr struct {
	Op     Op
	Of     []Expr
	Ref    Ref
	Cmp    Cmp
	IsText bool
	Limit  Value
}

// Native returns the condition as a tree. False: it compares facts with facts or
// with arithmetic, and only Eval can tell.
func Native(c Condition) (Expr, bool) {
	k, ok := c.(*condition)
	if !ok || k == nil || !k.native {
		return Expr{}, false
	}
	return k.expr, true
}

// References lists what the condition reads, in the order of its text.
func References(c Condition) []Ref {
	if k, ok := c.(*condition); ok && k != nil {
		return k.refs
	}
	return nil
}

// refer says what an operand reads: a Ref, and whether its values are texts or
// true and false; false: it is no plain operand.
type refer func(e ast.Expr) (ref Ref, text, truth, ok bool)

// exprOf turns a checked CEL expression into a tree; false where it can't.
func exprOf(e ast.Expr, read refer) (Expr, bool) {
	if ref, _, truth, ok := read(e); ok {
		if !truth {
			return Expr{}, false
		}
		return Expr{Op: OpCompare, Ref: ref, Cmp: Equal, Limit: Value{Int: 1}}, true
	}
	switch e.Kind() {
	case ast.LiteralKind:
		b, ok := e.AsLiteral().(types.Bool)
		if !ok {
			return Expr{}, false
		}
		if b {
			return Expr{Op: OpAlways}, true
		}
		return Expr{Op: OpNever}, true
	case ast.CallKind:
		return exprOfCall(e.AsCall(), read)
	}
	return Expr{}, false
}

func exprOfCall(call ast.CallExpr, read refer) (Expr, bool) {
	args := call.Args()
	switch call.FunctionName() {
	case "_&&_", "_||_", "!_":
		x := Expr{Op: map[string]Op{"_&&_": OpAll, "_||_": OpAny, "!_": OpNot}[call.FunctionName()]}
		for _, a := range args {
			y, ok := exprOf(a, read)
			if !ok {
				return Expr{}, false
			}
			if y.Op == x.Op && x.Op != OpNot {
				x.Of = append(x.Of, y.Of...)
			} else {
				x.Of = append(x.Of, y)
			}
		}
		return x, true
	}
	operator, ok := comparators[call.FunctionName()]
	if !ok || len(args) != 2 {
		return Expr{}, false
	}
	left, right := args[0], args[1]
	if operator == "in" {
		ref, text, truth, ok := read(left)
		if !ok || truth || right.Kind() != ast.ListKind {
			return Expr{}, false
		}
		x := Expr{Op: OpAny}
		for _, l := range right.AsList().Elements() {
			limit, ok := limitOf(l, text, false)
			if !ok {
				return Expr{}, false
			}
			x.Of = append(x.Of, Expr{Op: OpCompare, Ref: ref, Cmp: Equal, IsText: text, Limit: limit})
		}
		return x, true
	}
	ref, text, truth, ok := read(left)
	other := right
	if !ok {
		if ref, text, truth, ok = read(right); !ok {
			return Expr{}, false
		}
		other, operator = left, mirrored[operator]
	}
	limit, ok := limitOf(other, text, truth)
	cmp := cmps[operator]
	if !ok || (text || truth) && cmp != Equal && cmp != NotEqual {
		return Expr{}, false
	}
	return Expr{Op: OpCompare, Ref: ref, Cmp: cmp, IsText: text, Limit: limit}, true
}

// limitOf reads a literal of the operand's own type; numbers of another are CEL's.
func limitOf(e ast.Expr, text, truth bool) (Value, bool) {
	negative := false
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "-_" && len(e.AsCall().Args()) == 1 {
		e, negative = e.AsCall().Args()[0], true
	}
	if e.Kind() != ast.LiteralKind {
		return Value{}, false
	}
	switch v := e.AsLiteral().(type) {
	case types.Int:
		if text || truth {
			return Value{}, false
		}
		if negative {
			v = -v
		}
		return Value{Int: int64(v)}, true
	case types.String:
		return Value{Text: string(v)}, text && !negative
	case types.Bool:
		if v {
			return Value{Int: 1}, truth && !negative
		}
		return Value{}, truth && !negative
	}
	return Value{}, false
}

// holds evaluates a tree over declared facts, for conditions that were not written.
func (x *Expr) holds(f *Facts) bool {
	switch x.Op {
	case OpAlways:
		return true
	case OpAll, OpAny:
		for i := range x.Of {
			if x.Of[i].holds(f) != (x.Op == OpAll) {
				return x.Op == OpAny
			}
		}
		return x.Op == OpAll
	case OpNot:
		return !x.Of[0].holds(f)
	case OpCompare:
		var v Value
		if f.More != nil {
			v = f.More(x.Ref)
		}
		if x.IsText {
			return (v.Text == x.Limit.Text) == (x.Cmp == Equal)
		}
		return x.Cmp.Holds(v.Int, x.Limit.Int)
	}
	return false
}
