package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Purchase is the name of the stream that every playbook has.
const Purchase = "purchase"

var orderWords = []string{"PLACED", "PAID", "CANCELLED", "REFUNDED"}

// facts reads the block, and makes the stream of purchases.
func (p *builder) facts(root *block) {
	p.out.Streams = []Stream{{Name: Purchase, Order: []schemas.OrderType{schemas.Paid}, Value: "amount", Net: true}}
	p.taskStreams(root)
	v := root.get("facts")
	if v == nil {
		return
	}
	b := p.c.open(v, "facts", "facts", "")
	each := func(key string, read func(*node, string)) {
		for i, n := range b.list(key, "a list") {
			read(n, fmt.Sprintf("%s[%d]", b.at(key), i))
		}
	}
	each("core_behavior", p.stream)
	each("gauges", p.gauge)
	each("values", p.factOf)
}

// streamName reads a name that no other stream has.
func (p *builder) streamName(b *block) string {
	name := b.name("name")
	if name != "" && p.streamNamed(name) >= 0 {
		p.c.problem(b.get("name"), b.at("name"), fmt.Sprintf("there is a stream %q already", name), "names that differ; purchase is always there")
		return ""
	}
	return name
}

func (p *builder) streamNamed(name string) int {
	for i := range p.out.Streams {
		if p.out.Streams[i].Name == name {
			return i
		}
	}
	return -1
}

func (p *builder) stream(n *node, path string) {
	b := p.c.open(n, path, "facts.core_behavior[]", "")
	s := Stream{Name: p.streamName(b), Value: b.text("value", ""), Same: b.text("same", ""), Text: b.text("text", ""),
		Category: b.text("category", ""), When: p.eventCondition(b, "when"), Decimals: int(b.integer("decimals", 0, 0, 6))}
	behavior, order := b.get("behavior"), b.get("order")
	switch {
	case behavior != nil && order != nil:
		p.c.problem(order, b.at("order"), "a stream is of behaviors or of orders, not of both", "behavior or order")
	case behavior != nil:
		s.Types = p.types(b, "behavior")
		if s.Category != "" {
			p.c.problem(b.get("category"), b.at("category"), "behaviors have no items", "category with order")
		}
	case order != nil:
		if w := b.choice("order", "", orderWords...); w != "" {
			s.Order = []schemas.OrderType{schemas.ParseOrderType(w)}
			s.Net = s.Order[0] == schemas.Paid || s.Order[0] == schemas.Placed && p.out.CountsAtPlaced
		}
		if s.Value == "" {
			s.Value = "amount"
		}
	default:
		b.need("behavior", "behavior: a type of behavior, or order: "+strings.Join(orderWords, ", "))
	}
	p.out.Streams = append(p.out.Streams, s)
}

// types reads a behavior type, or a list of them.
func (p *builder) types(b *block, key string) []string {
	const form = "a type of behavior such as post.published, or a list of them"
	v := b.get(key)
	if v.kind == listNode {
		var out []string
		for i, item := range v.items {
			if s, ok := p.c.scalar(item, fmt.Sprintf("%s[%d]", b.at(key), i), form); ok {
				out = append(out, s)
			}
		}
		return out
	}
	s, ok := p.c.scalar(v, b.at(key), form)
	if !ok {
		return nil
	}
	return []string{s}
}

func (p *builder) gauge(n *node, path string) {
	b := p.c.open(n, path, "facts.gauges[]", "")
	const form = "a type of behavior such as balance.changed, or a list of them"
	s := Stream{Name: p.streamName(b), Holds: true, When: p.eventCondition(b, "when"), Decimals: int(b.integer("decimals", 0, 0, 6))}
	if b.need("behavior", form) != nil {
		s.Types = p.types(b, "behavior")
	}
	b.need("attribute", "the name of the attribute that holds the number")
	s.Value = b.text("attribute", "")
	p.out.Streams = append(p.out.Streams, s)
}

// factVerbs says how a value is made: the key that names its stream.
var factVerbs = map[string]FactKind{"count": FactCount, "sum": FactSum, "average": FactAverage, "min": FactMin, "max": FactMax,
	"last": FactLast, "days_since": FactSince, "days_since_first": FactSinceFirst, "streak": FactStreak, "share": FactShare,
	"ratio": FactRatio, "after": FactOpen, "attribute": FactText, "first_touch": FactFirst}

var factVerbList = []string{"count", "sum", "average", "min", "max", "last", "days_since", "days_since_first", "streak", "share", "ratio", "after", "attribute", "first_touch"}

// factKeys are the keys that go with a verb, beside name.
var factKeys = map[string][]string{"count": {"window"}, "sum": {"window"}, "average": {"window"}, "min": {"window"}, "max": {"window"},
	"streak": {"make_up", "make_ups", "at_most"}, "share": {"of", "window"}, "ratio": {"window", "of_window"}, "after": {"without", "same", "within", "for"}, "attribute": {"behavior"}}

func (p *builder) factOf(n *node, path string) {
	verb := ""
	if n.kind == mapNode {
		for _, e := range n.entries {
			if contains(factVerbList, e.key.text) {
				verb = e.key.text
				break
			}
		}
	}
	if n.kind == mapNode && verb == "" {
		p.c.open(n, path, "facts.values[]", "")
		p.c.problem(n, path, "it does not say what it is", "one of "+strings.Join(factVerbList, ", "))
		return
	}
	keys := append([]string{"name", verb}, factKeys[verb]...)
	b := p.c.open(n, path, "facts.values[]", "with "+verb, keys...)
	f := Fact{Kind: factVerbs[verb], Name: p.factName(b), Other: -1}
	switch verb {
	case "attribute", "first_touch":
		p.attributeFact(b, verb, &f)
	case "after":
		p.openFact(b, &f)
	default:
		f.Stream = p.streamOf(b, verb)
		f.Window = p.factWindow(b, verb)
	}
	if verb == "ratio" {
		f.OfWindow = p.windowUnder(b, verb, "of_window")
		p.ratioWindows(b, &f)
	}
	switch verb {
	case "share":
		f.Other = p.streamOf(b, "of")
	case "streak":
		f.AtMost = b.integer("at_most", 366, 1, 3660)
		p.needs(schemas.EventTime(f.AtMost+2) * schemas.Day)
		if b.get("make_up") != nil {
			f.Other = p.streamOf(b, "make_up")
			f.MakeUps = b.integer("make_ups", 1, 1, 366)
		} else if v := b.get("make_ups"); v != nil {
			f.MakeUps = b.integer("make_ups", 1, 1, 366)
			p.c.problem(v, b.at("make_ups"), "says how many, but not of what", "make_up: the stream of make-ups")
		}
	case "average", "min", "max", "last", "ratio":
		if s := &p.out.Streams[f.Stream]; verb != "last" && !s.Holds {
			p.c.problem(b.get(verb), b.at(verb), fmt.Sprintf("%q is a stream of events, whose values hold for no time", s.Name), "the name of a gauge")
		}
	}
	p.out.Facts = append(p.out.Facts, f)
}

const factNameForm = "small letters, digits and underscores, beginning with a letter, such as posts_30d"

// celWords may not name a fact.
var celWords = []string{"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
	"let", "loop", "package", "namespace", "return", "var", "void", "while", "size", "contains", "double", "number"}

func (p *builder) factName(b *block) string {
	b.need("name", factNameForm)
	s, v, ok := b.scalar("name", factNameForm)
	if !ok {
		return ""
	}
	plain := s != "" && s[0] >= 'a' && s[0] <= 'z' && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	_, number := numbers[s]
	switch {
	case !plain || contains(celWords, s) || contains(clockWords, s) || contains(macroWords, s):
		p.c.problem(v, b.at("name"), fmt.Sprintf("%q is no name for a fact: conditions read it by that name", shorten(s)), factNameForm)
	case number || tables[s] != nil:
		p.c.problem(v, b.at("name"), fmt.Sprintf("there is a fact %q already, which every playbook has", s), "another name")
	default:
		for i := range p.out.Facts {
			if p.out.Facts[i].Name == s {
				p.c.problem(v, b.at("name"), fmt.Sprintf("there is a fact %q above already", s), "names that differ")
				return ""
			}
		}
		return s
	}
	return ""
}

// streamOf reads the name of a stream and gives its index.
func (p *builder) streamOf(b *block, key string) int {
	var known []string
	for i := range p.out.Streams {
		if s := &p.out.Streams[i]; s.Name != "" && !strings.Contains(s.Name, "/") {
			known = append(known, s.Name)
		}
	}
	s, v, ok := b.scalar(key, strings.Join(known, ", "))
	if !ok {
		return 0
	}
	if i := p.streamNamed(s); i >= 0 {
		return i
	}
	p.c.problem(v, b.at(key), fmt.Sprintf("there is no stream or gauge %q%s", shorten(s), didYouMean(s, known)), strings.Join(known, ", "))
	return 0
}

var cycleWords = []string{"day", "week", "month", "quarter", "year"}

// factWindow reads lifetime, {rolling: 30d} or the name of a cycle.
func (p *builder) factWindow(b *block, verb string) Window { return p.windowUnder(b, verb, "window") }

func (p *builder) windowUnder(b *block, verb, key string) Window {
	if !contains(factKeys[verb], key) {
		return Window{}
	}
	bounded := verb == "average" || verb == "ratio" || verb == "min" || verb == "max"
	allowed := "{rolling: 30d}, day, week, month, quarter, year"
	if !bounded {
		allowed = "lifetime, " + allowed
	}
	v := b.get(key)
	if bounded {
		v = b.need(key, allowed)
	}
	if v == nil {
		return Window{}
	}
	if v.kind == mapNode {
		w := p.c.open(v, b.at(key), "facts.values[]."+key, "")
		w.need("rolling", "a duration such as 30d")
		d := w.duration("rolling", schemas.Hour, schemas.Second, maxDuration)
		p.needs(d)
		return Window{Rolling: d}
	}
	s, ok := p.c.scalar(v, b.at(key), allowed)
	switch {
	case !ok:
	case s == "lifetime" && bounded:
		p.c.problem(v, b.at(key), "over a lifetime every value that ever held would have to be kept: state without a bound", allowed)
	case s == "lifetime":
	case contains(cycleWords, s):
		p.needs(map[string]schemas.EventTime{"day": 2, "week": 8, "month": 32, "quarter": 93, "year": 367}[s] * schemas.Day)
		return Window{Cycle: s}
	default:
		p.c.problem(v, b.at(key), fmt.Sprintf("unknown value %q%s", shorten(s), didYouMean(s, append([]string{"lifetime"}, cycleWords...))), allowed)
	}
	return Window{}
}

// ratioWindows holds the two windows of a ratio against what can be compared exactly.
func (p *builder) ratioWindows(b *block, f *Fact) {
	const form = "two rolling windows in whole days or hours, of at most 3660d, such as {rolling: 7d} and {rolling: 90d}"
	x, y := f.Window.Rolling, f.OfWindow.Rolling
	if v := b.get("of_window"); v != nil && (x == 0 || y == 0 || x == y || max(x, y) > 3660*schemas.Day || max(x, y)/gcd(x, y) > 4096) {
		p.c.problem(v, b.at("of_window"), "the two windows can't be compared", form)
	}
}

func gcd(a, b schemas.EventTime) schemas.EventTime {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// attributeFact: a text of the customer, from what registered or updated her.
func (p *builder) attributeFact(b *block, verb string, f *Fact) {
	s := Stream{Text: b.text(verb, ""), Types: []string{"customer.registered", "customer.updated"}}
	if verb == "first_touch" {
		s.Types = s.Types[:1]
	}
	if b.get("behavior") != nil {
		s.Types = p.types(b, "behavior")
	}
	s.Name = "text/" + s.Text + "/" + strings.Join(s.Types, "/")
	f.Stream = p.made(s)
}

// made is the index of a stream that a block needs and no author named.
func (p *builder) made(s Stream) int {
	if i := p.streamNamed(s.Name); i >= 0 {
		return i
	}
	p.out.Streams = append(p.out.Streams, s)
	return len(p.out.Streams) - 1
}

// openFact: after A without B of the same order within a time.
func (p *builder) openFact(b *block, f *Fact) {
	f.Stream, f.Other = p.streamOf(b, "after"), 0
	b.need("without", "the name of a stream")
	f.Other = p.streamOf(b, "without")
	b.need("same", "the attribute that both have, such as order_id")
	same := b.text("same", "")
	const form = "a duration such as 30m"
	if b.need("within", form) == nil && b.n != nil {
		p.c.problem(b.n, b.path, "without a bound every event would have to be kept for ever: state without a bound", "within: "+form)
	}
	f.Within = b.duration("within", schemas.Minute, schemas.Second, 3650*schemas.Day)
	f.For = b.duration("for", 30*schemas.Day, schemas.Second, 3650*schemas.Day)
	p.needs(f.Within + f.For)
	for _, k := range []struct {
		key string
		i   *int
	}{{"after", &f.Stream}, {"without", &f.Other}} {
		s := p.out.Streams[*k.i]
		if *k.i == 0 { // purchases are kept as orders; pairs need their marks
			s.Name = "paid/" + same
			*k.i = p.made(s)
		}
		t := &p.out.Streams[*k.i]
		if t.Same != "" && t.Same != same {
			p.c.problem(b.get(k.key), b.at(k.key), fmt.Sprintf("the events of %q are paired by %s already", t.Name, t.Same), "same: "+t.Same)
		}
		if t.Order != nil && same != "order_id" && b.get("same") != nil { // else that it is missing is told
			p.c.problem(b.get("same"), b.at("same"), "orders are paired by their order_id", "order_id")
		}
		t.Same = same
	}
}
