package playbook

import (
	"fmt"
	"regexp"
	"sort"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Limits of a condition. Without macros there is no loop, so the cost grows
// with the length alone; the cost limit is a second fence behind that.
const (
	conditionChars = 4096
	conditionDepth = 64
	conditionCost  = 100_000
)

// Names lists what a condition may refer to by name.
type Names struct {
	Tiers map[string][]string // tier program -> its levels
	RFM   []string
	Churn []string

	Facts    map[string]bool     // declared facts; true: a text
	Tracks   map[string][]string // lifecycle tracks and inflection maps -> their stages
	Tags     []string
	Families map[string][]string // exclusive families of tags -> their tags
	Segments []string
}

// NewCondition compiles one CEL expression. The facts, all of one customer at
// one instant (see Facts):
//
//	orders, refunds, orders_365d            whole numbers
//	spend_minor, spend_365d_minor, aov_minor minor units of the playbook's currency
//	days_since_first, days_since_last       local days; -1 without orders
//	tier["program"]                         level name, "" if there is none
//	tier_level["program"]                   level number, 0 the lowest
//	rfm["rule"]                             class key, "" before the first
//	churn["rule"]                           level of the open warning, "" if there is none
//	stage["track"]                          name of the stage
//	tag["tag"], segment["segment"]          true or false
//	tag_of["family"]                        name of the tag of an exclusive family, "" if there is none
//	NAME                                    a declared fact
//
// Operators: && || ! ?: == != < <= > >= + - * / % in, and size, contains,
// startsWith, endsWith, double. There are no macros, no conversions from text
// and no functions of time. The key in brackets must be a literal and name a
// rule. A missing entry is "" or 0, never an error; what is left to fail in
// Eval is arithmetic: division by zero, overflow.
//
// The error is an *Errors whose lines and columns are those of the source.
func NewCondition(source string, names Names) (Condition, error) {
	c, problems := newConditionEnv(names).compile(source)
	if len(problems) > 0 {
		e := &Errors{File: "condition"}
		for _, p := range problems {
			e.Problems = append(e.Problems, Problem{Line: p.line, Column: p.column + 1, Problem: p.text, Allowed: p.allowed})
		}
		e.sort()
		return nil, e
	}
	return c, nil
}

type condition struct {
	source      string
	program     cel.Program
	reads       []string
	refs        []Ref
	comparisons []comparison
	texts       map[string]bool // declared facts; true: a text
	expr        Expr            // with native
	native      bool
	also        *Expr // it holds too where this tree of declared facts does
	only        *Expr // and else only where this one does
}

func (c *condition) Source() string  { return c.source }
func (c *condition) Reads() []string { return append([]string(nil), c.reads...) }

func (c *condition) Eval(f *Facts) (bool, error) {
	if c.also != nil && c.also.holds(f) {
		return true, nil
	}
	if c.only != nil && !c.only.holds(f) {
		return false, nil
	}
	if c.program == nil {
		return c.expr.holds(f), nil
	}
	v, _, err := c.program.Eval(activation{f, c.texts})
	if err != nil {
		return false, fmt.Errorf("playbook: condition %q: %w", shorten(c.source), err)
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("playbook: condition %q gave %s, not true or false", shorten(c.source), v.Type())
	}
	return bool(b), nil
}

// numbers reads the facts that are one whole number each.
var numbers = map[string]func(*Facts) int64{
	"orders":           func(f *Facts) int64 { return f.Orders },
	"spend_minor":      func(f *Facts) int64 { return f.SpendMinor },
	"orders_365d":      func(f *Facts) int64 { return f.Orders365 },
	"spend_365d_minor": func(f *Facts) int64 { return f.Spend365Minor },
	"aov_minor":        func(f *Facts) int64 { return f.AOVMinor },
	"days_since_first": func(f *Facts) int64 { return f.DaysSinceFirst },
	"days_since_last":  func(f *Facts) int64 { return f.DaysSinceLast },
	"refunds":          func(f *Facts) int64 { return f.Refunds },
}

// tables reads the facts that are kept by rule.
var tables = map[string]func(*Facts) table{
	"tier":       func(f *Facts) table { return table{texts: f.Tiers} },
	"tier_level": func(f *Facts) table { return table{numbers: f.TierLevels, isNumbers: true} },
	"rfm":        func(f *Facts) table { return table{texts: f.Classes} },
	"churn":      func(f *Facts) table { return table{texts: f.Churn} },
	"stage":      func(f *Facts) table { return table{more: f.More, name: "stage"} },
	"tag":        func(f *Facts) table { return table{more: f.More, name: "tag", isTruth: true} },
	"tag_of":     func(f *Facts) table { return table{more: f.More, name: "tag_of"} },
	"segment":    func(f *Facts) table { return table{more: f.More, name: "segment", isTruth: true} },
}

// known says whether a table may be read at all under these names.
func (n *Names) known(table string) bool {
	switch table {
	case "stage":
		return len(n.Tracks) > 0
	case "tag":
		return len(n.Tags) > 0
	case "tag_of":
		return len(n.Families) > 0
	case "segment":
		return len(n.Segments) > 0
	}
	return true
}

// rules names what may stand in the brackets of a table, and what it is called.
func (n *Names) rules(table string) (known []string, what string) {
	keys := func(m map[string][]string) []string {
		var out []string
		for k := range m {
			out = append(out, k)
		}
		sort.Strings(out)
		return out
	}
	switch table {
	case "churn":
		return n.Churn, "churn rule"
	case "tier", "tier_level":
		return keys(n.Tiers), "tier program"
	case "stage":
		return keys(n.Tracks), "lifecycle track"
	case "tag":
		return n.Tags, "tag"
	case "tag_of":
		return keys(n.Families), "exclusive family of tags"
	case "segment":
		return n.Segments, "segment"
	}
	return n.RFM, "rfm rule"
}

// factNames is all that a condition may read.
func (n *Names) factNames() []string {
	var out []string
	for f := range numbers {
		out = append(out, f)
	}
	for t := range tables {
		if n.known(t) {
			out = append(out, t)
		}
	}
	for f := range n.Facts {
		out = append(out, f)
	}
	sort.Strings(out)
	return out
}

// activation resolves names straight from the facts: nothing is built for what
// an expression does not read.
type activation struct {
	f     *Facts
	texts map[string]bool
}

func (a activation) ResolveName(name string) (any, bool) {
	if read, ok := numbers[name]; ok {
		return types.Int(read(a.f)), true
	}
	if read, ok := tables[name]; ok {
		return read(a.f), true
	}
	text, ok := a.texts[name]
	if !ok {
		return nil, false
	}
	return a.f.declared(name, text), true
}

// declared is the value of a declared fact.
func (f *Facts) declared(name string, text bool) ref.Val {
	var v Value
	if f.More != nil {
		v = f.More(Ref{Key: name})
	}
	if text {
		return types.String(v.Text)
	}
	return types.Int(v.Int)
}

func (activation) Parent() cel.Activation { return nil }

// table is a CEL map in which every key is present. Only look-ups reach it:
// the check of an expression refuses every other use, hence the nil Mapper.
type table struct {
	traits.Mapper
	texts     map[string]string
	numbers   map[string]int64
	isNumbers bool
	more      func(Ref) Value
	name      string // with more
	isTruth   bool
}

func (t table) Find(key ref.Val) (ref.Val, bool) {
	k, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	if t.isNumbers {
		return types.Int(t.numbers[string(k)]), true
	}
	if t.name != "" {
		var v Value
		if t.more != nil {
			v = t.more(Ref{t.name, string(k)})
		}
		if t.isTruth {
			return types.Bool(v.Int != 0), true
		}
		return types.String(v.Text), true
	}
	return types.String(t.texts[string(k)]), true
}

func (t table) Get(key ref.Val) ref.Val { v, _ := t.Find(key); return v }
func (t table) Type() ref.Type          { return types.MapType }
func (t table) Value() any              { return t }

// conditionEnv compiles the conditions of one playbook.
type conditionEnv struct {
	env   *cel.Env
	err   error
	names Names
}

var conditionFunctions = []string{"_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_",
	"_+_", "_-_", "-_", "_*_", "_/_", "_%_", "_[_]", "@in", "size", "contains", "startsWith", "endsWith", "double"}

func newConditionEnv(names Names) *conditionEnv {
	subset := env.NewLibrarySubset().SetDisableMacros(true)
	for _, f := range conditionFunctions {
		subset.AddIncludedFunctions(env.NewFunction(f))
	}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(subset)), cel.ClearMacros(), cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(conditionChars), cel.ParserRecursionLimit(conditionDepth),
	}
	for _, name := range names.factNames() {
		t := cel.IntType
		switch name {
		case "tag", "segment":
			t = cel.MapType(cel.StringType, cel.BoolType)
		case "tier", "rfm", "churn", "stage", "tag_of":
			t = cel.MapType(cel.StringType, cel.StringType)
		case "tier_level":
			t = cel.MapType(cel.StringType, cel.IntType)
		default:
			if names.Facts[name] {
				t = cel.StringType
			}
		}
		options = append(options, cel.Variable(name, t))
	}
	e, err := cel.NewCustomEnv(options...)
	return &conditionEnv{env: e, err: err, names: names}
}

// conditionProblem is a problem at a place of the source: line from 1, column
// and offset from 0, all in characters.
type conditionProblem struct {
	line, column, offset int
	text, allowed        string
}

func (e *conditionEnv) compile(source string) (*condition, []conditionProblem) {
	if e.err != nil {
		return nil, []conditionProblem{{line: 1, text: "conditions are not available: " + e.err.Error()}}
	}
	if n := len([]rune(source)); n > conditionChars {
		return nil, []conditionProblem{{line: 1, text: fmt.Sprintf("the condition has %d characters", n), allowed: fmt.Sprintf("at most %d", conditionChars)}}
	}
	checked, issues := e.env.Compile(source)
	if issues != nil && issues.Err() != nil {
		return nil, explain(source, issues, e.names.factNames())
	}
	w := &walker{env: e, info: checked.NativeRep().SourceInfo(), source: source, reads: map[string]bool{}}
	w.visit(checked.NativeRep().Expr())
	if out := checked.OutputType(); !out.IsExactType(types.BoolType) && len(w.problems) == 0 {
		w.problems = append(w.problems, conditionProblem{line: 1, text: fmt.Sprintf("the condition gives %s", plainType(out.String())), allowed: "true or false: compare with ==, <, >= and so on"})
	}
	if len(w.problems) > 0 {
		return nil, w.problems
	}
	program, err := e.env.Program(checked, cel.CostLimit(conditionCost))
	if err != nil {
		return nil, []conditionProblem{{line: 1, text: err.Error()}}
	}
	c := &condition{source: source, program: program, comparisons: w.comparisons, refs: w.refs, texts: e.names.Facts}
	c.expr, c.native = exprOf(checked.NativeRep().Expr(), w.operand)
	for fact := range w.reads {
		c.reads = append(c.reads, fact)
	}
	sort.Strings(c.reads)
	return c, nil
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '\(?(.*?)\)?'$`)
	expected   = regexp.MustCompile(`^expected type '([^']*)' but found '([^']*)'$`)
	unexpected = regexp.MustCompile(`^(?:mismatched input|extraneous input|no viable alternative at input|token recognition error at:) ?'(.*?)'`)
	clockWords = []string{"now", "timestamp", "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek",
		"getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds", "today", "date"}
	macroWords = []string{"has", "all", "exists", "exists_one", "map", "filter"}
)

// explain puts the messages of the CEL checker into plain words.
func explain(source string, issues *cel.Issues, words []string) []conditionProblem {
	var out []conditionProblem
	for _, i := range issues.Errors() {
		p := conditionProblem{line: 1, text: i.Message}
		if i.Location != nil && i.Location.Line() > 0 {
			p.line, p.column = i.Location.Line(), max(i.Location.Column(), 0)
		}
		p.offset = offsetOf(source, p.line, p.column)
		if m := undeclared.FindStringSubmatch(i.Message); m != nil {
			switch {
			case contains(clockWords, m[1]):
				p.text = fmt.Sprintf("there is no %q: a condition cannot read a clock", m[1])
				p.allowed = "days_since_first, days_since_last"
			case contains(macroWords, m[1]):
				p.text = fmt.Sprintf("there is no %q: conditions have no macros", m[1])
				p.allowed = `comparisons, such as tier["program"] in ["gold", "black"]`
			case contains([]string{"spend", "spend_365d", "aov"}, m[1]):
				p.text = fmt.Sprintf("there is no fact %q, did you mean %q?", m[1], m[1]+"_minor")
				p.allowed = "money in minor units, such as spend_minor >= 5000 for 50.00"
			default:
				p.text = fmt.Sprintf("there is no fact or function %q%s", m[1], didYouMean(m[1], append(append([]string(nil), words...), "size", "contains", "startsWith", "endsWith", "double")))
				p.allowed = strings.Join(words, ", ")
			}
		} else if m := overload.FindStringSubmatch(i.Message); m != nil {
			p.text = fmt.Sprintf("%s does not work on %s", strings.Trim(strings.ReplaceAll(m[1], "@", ""), "_"), plainTypes(m[2]))
			p.allowed = "values of one kind: numbers with numbers, text with text"
		} else if s, ok := strings.CutPrefix(i.Message, "Syntax error: "); ok {
			p.text, p.allowed = plainSyntax(s), "an expression such as orders >= 2 && spend_minor >= 5000"
			out = append(out, p)
			break // what follows a syntax error is mostly its echo
		}
		if m := expected.FindStringSubmatch(i.Message); m != nil {
			p.text = fmt.Sprintf("here must stand %s, not %s", plainType(m[1]), plainType(m[2]))
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		out = append(out, conditionProblem{line: 1, text: issues.Err().Error()})
	}
	return out
}

func plainSyntax(s string) string {
	switch m := unexpected.FindStringSubmatch(s); {
	case m == nil:
		return "not a condition that can be read: " + s
	case m[1] == "<EOF>":
		return "the condition ends too early"
	default:
		return fmt.Sprintf("unexpected %q", shorten(m[1]))
	}
}

func plainTypes(s string) string {
	if depth := strings.Count(s, "("); depth > 0 {
		return "map and list values used like this"
	}
	parts := strings.Split(s, ", ")
	for i, p := range parts {
		parts[i] = plainType(p)
	}
	return strings.Join(parts, " and ")
}

func plainType(s string) string {
	switch s {
	case "int", "uint":
		return "a whole number"
	case "double":
		return "a decimal number"
	case "string":
		return "text"
	case "bool":
		return "true or false"
	}
	if strings.HasPrefix(s, "map") {
		return "all entries at once"
	}
	if strings.HasPrefix(s, "list") {
		return "a list"
	}
	return s
}

func offsetOf(source string, line, column int) int {
	lines := strings.SplitAfter(source, "\n")
	offset := column
	for i := 0; i < line-1 && i < len(lines); i++ {
		offset += len([]rune(lines[i]))
	}
	return offset
}

// walker holds an expression against the rules that the types cannot tell, and
// gathers what it reads and compares.
type walker struct {
	env         *conditionEnv
	info        *ast.SourceInfo
	source      string
	reads       map[string]bool
	refs        []Ref
	problems    []conditionProblem
	comparisons []comparison
}

func (w *walker) problem(e ast.Expr, text, allowed string) {
	p := conditionProblem{line: 1, text: text, allowed: allowed}
	if l := w.info.GetStartLocation(e.ID()); l.Line() > 0 {
		p.line, p.column = l.Line(), max(l.Column(), 0)
	}
	p.offset = offsetOf(w.source, p.line, p.column)
	w.problems = append(w.problems, p)
}

func (w *walker) visit(e ast.Expr) {
	if table, key, ok := w.lookup(e); ok {
		w.refs = append(w.refs, Ref{table, key})
		return
	}
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		w.reads[name] = true
		w.refs = append(w.refs, Ref{Key: name})
		if _, ok := tables[name]; ok {
			w.problem(e, fmt.Sprintf("%s stands without a rule", name), fmt.Sprintf(`%s["rule"]`, name))
		}
	case ast.SelectKind:
		w.visit(e.AsSelect().Operand())
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			w.visit(call.Target())
		}
		for _, a := range call.Args() {
			w.visit(a)
		}
		w.compare(e)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.visit(x)
		}
	case ast.MapKind, ast.StructKind, ast.ComprehensionKind:
		w.problem(e, "maps, structures and loops are not part of conditions", "")
	}
}

// lookup recognises table["rule"] and table.rule, checks the rule's name, and
// returns the table and the key.
func (w *walker) lookup(e ast.Expr) (name, key string, ok bool) {
	var at ast.Expr
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		if s.Operand().Kind() != ast.IdentKind {
			return "", "", false
		}
		name, key, at = s.Operand().AsIdent(), s.FieldName(), e
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != "_[_]" || c.Args()[0].Kind() != ast.IdentKind {
			return "", "", false
		}
		name, at = c.Args()[0].AsIdent(), c.Args()[1]
		if tables[name] == nil {
			return "", "", false
		}
		w.reads[name] = true
		s, literal := textLiteral(at)
		if !literal {
			w.problem(at, fmt.Sprintf("the rule of %s must be a literal", name), fmt.Sprintf(`%s["rule"]`, name))
			return name, "", true
		}
		key = s
	default:
		return "", "", false
	}
	if tables[name] == nil {
		return "", "", false
	}
	w.reads[name] = true
	known, what := w.env.names.rules(name)
	if !contains(known, key) {
		allowed := strings.Join(known, ", ")
		if allowed == "" {
			allowed = fmt.Sprintf("nothing: the playbook has no %s", what)
		}
		w.problem(at, fmt.Sprintf("there is no %s %q%s", what, key, didYouMean(key, known)), allowed)
	}
	return name, key, true
}

// operand recognises what a comparison may read, for exprOf.
func (w *walker) operand(e ast.Expr) (r Ref, text, truth, ok bool) {
	if e.Kind() == ast.IdentKind {
		name := e.AsIdent()
		if _, ok := numbers[name]; ok {
			return Ref{Key: name}, false, false, true
		}
		text, ok := w.env.names.Facts[name]
		return Ref{Key: name}, text, false, ok
	}
	quiet := &walker{env: w.env, info: w.info, source: w.source, reads: map[string]bool{}}
	table, key, ok := quiet.lookup(e)
	return Ref{table, key}, table != "tier_level", table == "tag" || table == "segment", ok
}

func textLiteral(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
