package playbook

import (
	"fmt"
	"math/big"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"tidemark/schemas"
)

// EventCondition is a compiled CEL expression over one event: type, channel,
// currency, order_id, amount_minor and attributes["name"], texts but for the
// amount; an attribute that is not there is "". number(text) is the text as a
// decimal number, 0 where it is none.
type EventCondition struct {
	source  string
	native  bool
	expr    Expr
	program cel.Program
}

// Source is the text of the condition.
func (c *EventCondition) Source() string { return c.source }

// Holds evaluates the condition; one that fails to evaluate does not hold.
func (c *EventCondition) Holds(e *schemas.Event) bool {
	if c == nil {
		return true
	}
	if c.native {
		return eventHolds(&c.expr, e)
	}
	v, _, err := c.program.Eval(eventActivation{e})
	b, ok := v.(types.Bool)
	return err == nil && ok && bool(b)
}

func eventHolds(x *Expr, e *schemas.Event) bool {
	switch x.Op {
	case OpAlways:
		return true
	case OpAll:
		for i := range x.Of {
			if !eventHolds(&x.Of[i], e) {
				return false
			}
		}
		return true
	case OpAny:
		for i := range x.Of {
			if eventHolds(&x.Of[i], e) {
				return true
			}
		}
		return false
	case OpNot:
		return !eventHolds(&x.Of[0], e)
	case OpCompare:
		if !x.IsText {
			return x.Cmp.Holds(e.AmountMinor, x.Limit.Int)
		}
		return (eventText(x.Ref, e) == x.Limit.Text) == (x.Cmp == Equal)
	}
	return false
}

func eventText(r Ref, e *schemas.Event) string {
	if r.Table != "" {
		s, _ := e.Attribute(r.Key)
		return s
	}
	switch r.Key {
	case "type":
		return e.Type
	case "channel":
		return e.Channel
	case "currency":
		return e.Currency
	case "order_id":
		return e.OrderID
	}
	return ""
}

type eventActivation struct{ e *schemas.Event }

func (a eventActivation) ResolveName(name string) (any, bool) {
	switch name {
	case "attributes":
		return attributes{e: a.e}, true
	case "amount_minor":
		return types.Int(a.e.AmountMinor), true
	case "type", "channel", "currency", "order_id":
		return types.String(eventText(Ref{Key: name}, a.e)), true
	}
	return nil, false
}

func (eventActivation) Parent() cel.Activation { return nil }

// attributes is a CEL map in which every key is present.
type attributes struct {
	traits.Mapper
	e *schemas.Event
}

func (t attributes) Find(key ref.Val) (ref.Val, bool) {
	k, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	s, _ := t.e.Attribute(string(k))
	return types.String(s), true
}

func (t attributes) Get(key ref.Val) ref.Val { v, _ := t.Find(key); return v }
func (t attributes) Type() ref.Type          { return types.MapType }
func (t attributes) Value() any              { return t }

var eventWords = []string{"type", "channel", "currency", "order_id", "amount_minor", "attributes", "number"}

func newEventEnv() (*cel.Env, error) {
	subset := env.NewLibrarySubset().SetDisableMacros(true)
	for _, f := range conditionFunctions {
		subset.AddIncludedFunctions(env.NewFunction(f))
	}
	return cel.NewCustomEnv(cel.StdLib(cel.StdLibSubset(subset)), cel.ClearMacros(), cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(conditionChars), cel.ParserRecursionLimit(conditionDepth),
		cel.Variable("type", cel.StringType), cel.Variable("channel", cel.StringType), cel.Variable("currency", cel.StringType),
		cel.Variable("order_id", cel.StringType), cel.Variable("amount_minor", cel.IntType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("number", cel.Overload("number_text", []*cel.Type{cel.StringType}, cel.DoubleType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				s, _ := v.(types.String)
				digits, scale, ok := parseDecimal(string(s))
				if !ok {
					return types.Double(0)
				}
				x, _ := new(big.Rat).SetFrac(digits, power10(scale)).Float64()
				return types.Double(x)
			}))))
}

// eventCondition compiles the CEL under key; nil where it is absent.
func (p *builder) eventCondition(b *block, key string) *EventCondition {
	const allowed = `a condition over one event, such as attributes["board"] == "news" or number(attributes["length"]) >= 10`
	source, v, ok := b.scalar(key, allowed)
	if !ok {
		return nil
	}
	if p.events == nil {
		e, err := newEventEnv()
		if err != nil {
			p.c.problem(v, b.at(key), "conditions are not available: "+err.Error(), "")
			return nil
		}
		p.events = e
	}
	checked, issues := p.events.Compile(source)
	if issues != nil && issues.Err() != nil {
		for _, q := range explain(source, issues, eventWords) {
			line, column := v.place(q.line, q.column)
			p.c.problems = append(p.c.problems, Problem{Line: line, Column: column, Path: b.at(key),
				Problem: fmt.Sprintf("%s (at character %d of the condition)", q.text, q.offset+1), Allowed: q.allowed})
		}
		return nil
	}
	if out := checked.OutputType(); !out.IsExactType(types.BoolType) {
		p.c.problem(v, b.at(key), fmt.Sprintf("the condition gives %s", plainType(out.String())), "true or false")
		return nil
	}
	program, err := p.events.Program(checked, cel.CostLimit(conditionCost))
	if err != nil {
		p.c.problem(v, b.at(key), err.Error(), allowed)
		return nil
	}
	c := &EventCondition{source: source, program: program}
	c.expr, c.native = exprOf(checked.NativeRep().Expr(), readEvent)
	return c
}

func readEvent(e ast.Expr) (r Ref, text, truth, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		return Ref{Key: name}, name != "amount_minor", false, contains(eventWords[:5], name)
	case ast.SelectKind:
		s := e.AsSelect()
		if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "attributes" {
			return Ref{"attributes", s.FieldName()}, true, false, true
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() == "_[_]" && call.Args()[0].Kind() == ast.IdentKind && call.Args()[0].AsIdent() == "attributes" {
			if s, ok := textLiteral(call.Args()[1]); ok {
				return Ref{"attributes", s}, true, false, true
			}
		}
	}
	return Ref{}, false, false, false
}

// DecimalMinor reads a decimal text scaled by 10^decimals, rounded half to
// even; false where it is no number or does not fit into 2^53.
func DecimalMinor(s string, decimals int) (int64, bool) {
	digits, scale, ok := parseDecimal(strings.TrimSpace(s))
	if !ok {
		return 0, false
	}
	if scale <= decimals {
		digits.Mul(digits, power10(decimals-scale))
	} else {
		den := power10(scale - decimals)
		q, r := new(big.Int).QuoRem(digits, den, new(big.Int))
		twice := new(big.Int).Abs(r)
		twice.Lsh(twice, 1)
		if c := twice.Cmp(den); c > 0 || c == 0 && q.Bit(0) == 1 {
			q.Add(q, big.NewInt(int64(digits.Sign())))
		}
		digits = q
	}
	if !digits.IsInt64() || digits.BitLen() > 53 {
		return 0, false
	}
	return digits.Int64(), true
}
