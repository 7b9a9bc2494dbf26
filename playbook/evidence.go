package playbook

import (
	"fmt"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"tidemark/schemas"
)

// comparison is `fact OP literal`, or `fact in [literals]` with OP "in".
type comparison struct {
	fact     string // as the evidence names it: orders, tier["member"]
	name     string // key into numbers or tables
	key      string // of a table
	declared bool   // name is a declared fact
	text     bool   // with declared: a text
	operator string
	limits   []ref.Val
}

var comparators = map[string]string{"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "_==_": "==", "_!=_": "!=", "@in": "in"}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}

var opposite = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}

// Compared lists what c compared with literals, in the order of the
// expression: for every part of the form `fact OP literal` (either way round)
// the fact, its value, the comparison and the limit. Each line is true of the
// facts: where a comparison does not hold, its opposite stands in its place,
// so that `!(orders > 5)` with three orders gives orders 3 <= 5. A member of a
// list gives one == line with the element found, or a != line for each. What
// compares facts with facts or with arithmetic is left out. Nil for a
// condition that this package did not compile.
func Compared(c Condition, f *Facts) []schemas.Evidence {
	cond, ok := c.(*condition)
	if !ok || cond == nil {
		return nil
	}
	var out []schemas.Evidence
	for i := range cond.comparisons {
		out = cond.comparisons[i].append(out, f)
	}
	return out
}

func (q *comparison) append(out []schemas.Evidence, f *Facts) []schemas.Evidence {
	var value ref.Val
	if read, ok := numbers[q.name]; ok {
		value = types.Int(read(f))
	} else if q.declared {
		value = f.declared(q.name, q.text)
	} else {
		value = tables[q.name](f).Get(types.String(q.key))
	}
	line := func(operator string, limit ref.Val) schemas.Evidence {
		return schemas.Evidence{Fact: q.fact, Value: plainValue(value), Comparison: operator, Limit: plainValue(limit)}
	}
	if q.operator == "in" {
		for _, l := range q.limits {
			if holds(value, "==", l) {
				return append(out, line("==", l))
			}
		}
		for _, l := range q.limits {
			out = append(out, line("!=", l))
		}
		return out
	}
	operator := q.operator
	if !holds(value, operator, q.limits[0]) {
		operator = opposite[operator]
	}
	return append(out, line(operator, q.limits[0]))
}

func holds(value ref.Val, operator string, limit ref.Val) bool {
	order := types.IntOne // unlike values are unequal
	if c, ok := value.(traits.Comparer); ok {
		if o, ok := c.Compare(limit).(types.Int); ok {
			order = o
		}
	}
	switch operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "==":
		return order == 0
	}
	return order != 0
}

func plainValue(v ref.Val) string {
	switch v := v.(type) {
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10)
	case types.Double:
		return strconv.FormatFloat(float64(v), 'f', -1, 64)
	case types.String:
		return string(v)
	case types.Bool:
		return strconv.FormatBool(bool(v))
	}
	return fmt.Sprint(v.Value())
}

// compare notes e if it is a comparison of a plain form, and refuses literals
// that its fact can never equal.
func (w *walker) compare(e ast.Expr) {
	call := e.AsCall()
	operator, ok := comparators[call.FunctionName()]
	if !ok || len(call.Args()) != 2 {
		return
	}
	left, right := call.Args()[0], call.Args()[1]
	fact, other := left, right
	if left.Kind() == ast.LiteralKind && operator != "in" {
		fact, other, operator = right, left, mirrored[operator]
	}
	q := comparison{operator: operator}
	if fact.Kind() == ast.IdentKind && numbers[fact.AsIdent()] != nil {
		q.name = fact.AsIdent()
		q.fact = q.name
	} else if text, ok := w.declared(fact); ok {
		q.name, q.declared, q.text = fact.AsIdent(), true, text
		q.fact = q.name
	} else if name, key, ok := (&walker{env: w.env, info: w.info, source: w.source, reads: map[string]bool{}}).lookup(fact); ok {
		q.name, q.key = name, key
		q.fact = fmt.Sprintf("%s[%q]", name, key)
	} else {
		return
	}
	literals := []ast.Expr{other}
	if operator == "in" {
		if other.Kind() != ast.ListKind {
			return
		}
		literals = other.AsList().Elements()
	}
	for _, l := range literals {
		if l.Kind() != ast.LiteralKind {
			return
		}
		q.limits = append(q.limits, l.AsLiteral())
		w.possible(q, l)
	}
	w.comparisons = append(w.comparisons, q)
}

// declared says whether e is a declared fact, and whether that is a text.
func (w *walker) declared(e ast.Expr) (text, ok bool) {
	if e.Kind() != ast.IdentKind {
		return false, false
	}
	text, ok = w.env.names.Facts[e.AsIdent()]
	return text, ok
}

// possible refuses tier["x"] == "a level that x does not have", and the same
// for the levels of a warning: such a comparison is a slip of the pen.
func (w *walker) possible(q comparison, l ast.Expr) {
	s, ok := textLiteral(l)
	if !ok || s == "" || q.operator != "==" && q.operator != "!=" && q.operator != "in" {
		return
	}
	var known []string
	switch q.name {
	case "tier":
		known = w.env.names.Tiers[q.key]
	case "churn":
		known = []string{"early", "late", "lost"}
	case "stage":
		known = w.env.names.Tracks[q.key]
	case "tag_of":
		known = w.env.names.Families[q.key]
	default:
		return
	}
	if len(known) > 0 && !contains(known, s) {
		allowed := ""
		for _, k := range known {
			allowed += strconv.Quote(k) + ", "
		}
		w.problem(l, fmt.Sprintf("%s is never %q%s", q.fact, s, didYouMean(s, known)), allowed+`""`)
	}
}
