package ingest

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"tidemark/schemas"
)

// ParseMapping reads a mapping; file names it in errors. An error is a
// *MappingError that lists every fault with line and column.
func ParseMapping(file string, text []byte) (*Mapping, error) {
	root, fault := parseYAML(text)
	if fault != nil {
		return nil, &MappingError{file, []MappingFault{*fault}}
	}
	p := &mappingParser{m: &Mapping{file: file}}
	p.mapping(root)
	if len(p.faults) > 0 {
		slices.SortStableFunc(p.faults, func(a, b MappingFault) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, &MappingError{file, p.faults}
	}
	return p.m, nil
}

type mappingParser struct {
	yamlReader
	m *Mapping
}

func (p *mappingParser) mapping(root ast.Node) {
	m := p.m
	f := p.fields(root, "the mapping", "version", "name", "format", "separator", "encoding", "header",
		"columns", "decimal", "thousands", "zone", "kind", "customer", "event_id", "time", "channel",
		"attributes", "skip", "order", "items", "refunds", "behavior")
	if f.node == nil || len(f.m) == 0 {
		return
	}
	if n, ok := f.need("the mapping", "version"); ok && p.scalar(n, "version") != "1" {
		p.fault(n, "version is 1 in this release")
	}
	if n, ok := f.need("the mapping", "name"); ok {
		if m.name = p.scalar(n, "name"); m.name == "" {
			p.fault(n, "name is empty")
		}
	}
	f.one("format", "csv", "csv")
	p.fileForm(f)

	if n, ok := f.need("the mapping", "customer"); ok {
		m.customer = p.column(n, "customer")
	}
	m.eventID = p.columnAt(f, "event_id")
	p.timeRule(f)
	m.channel = p.textAt(f, "channel")
	if n, ok := f.m["attributes"]; ok {
		for _, v := range p.pairs(n, "attributes") {
			key := v.Key.GetToken().Value
			m.attributes = append(m.attributes, attributeRule{key, p.textRule(v.Value, key)})
		}
	}
	p.skipRules(f)

	kind := f.one("kind", "order", "order", "behavior")
	if _, ok := f.need("the mapping", "kind"); !ok {
		return
	}
	if kind == "behavior" {
		m.kind = schemas.Behavior
		p.behavior(f)
		return
	}
	m.kind = schemas.Order
	p.order(f)
}

// fileForm reads how the file is written.
func (p *mappingParser) fileForm(f fields) {
	m := p.m
	m.separator = ','
	switch s := f.text("separator", ","); {
	case s == "tab" || s == "\t" || s == `\t`:
		m.separator = '\t'
	case s == "whitespace":
		m.whitespace = true
	case utf8.RuneCountInString(s) == 1 && !strings.ContainsAny(s, "\"\r\n"):
		m.separator, _ = utf8.DecodeRuneInString(s)
	default:
		p.fault(f.m["separator"], "separator is one character, tab or whitespace, not %q", s)
	}
	m.encoding = f.one("encoding", "utf-8", encodings...)
	m.header = f.bool("header", true)
	if n, ok := f.m["columns"]; ok {
		if m.header {
			p.fault(n, "columns names the columns of a file without a header; this one has one (header: true)")
		}
		for _, c := range p.list(n) {
			m.columns = append(m.columns, p.scalar(c, "a name under columns"))
		}
	}
	m.numbers.mark = '.'
	if f.one("decimal", "point", "point", "comma") == "comma" {
		m.numbers.mark = ','
	}
	if s := f.text("thousands", ""); s != "" {
		if len(s) != 1 || s[0] == m.numbers.mark || s[0]-'0' <= 9 || s == "-" || s == "+" {
			p.fault(f.m["thousands"], "thousands is one ASCII character other than the decimal mark, not %q", s)
		} else {
			m.numbers.thousands = s[0]
		}
	}
	if n, ok := f.m["zone"]; ok {
		zone, err := time.LoadLocation(p.scalar(n, "zone"))
		if err != nil || zone == time.Local {
			p.fault(n, "zone is an IANA name such as Asia/Shanghai or UTC, not %q", p.scalar(n, "zone"))
		}
		m.zone = zone
	}
}

func (p *mappingParser) timeRule(f fields) {
	m := p.m
	n, ok := f.need("the mapping", "time")
	if !ok {
		return
	}
	t := p.fields(n, "time", "column", "columns", "layout")
	if len(t.m) == 0 {
		return
	}
	one, hasOne := t.m["column"]
	many, hasMany := t.m["columns"]
	switch {
	case hasOne == hasMany:
		p.fault(n, "time needs either column, or columns that are joined by a space")
	case hasOne:
		m.times = []int{p.column(one, "column")}
	default:
		for _, c := range p.list(many) {
			m.times = append(m.times, p.column(c, "columns"))
		}
	}
	if l, ok := t.need("time", "layout"); ok {
		var err error
		if m.layout, err = parseTimeLayout(p.scalar(l, "layout")); err != nil {
			p.fault(l, "%v", err)
		}
	}
}

func (p *mappingParser) skipRules(f fields) {
	n, ok := f.m["skip"]
	if !ok {
		return
	}
	for _, r := range p.list(n) {
		s := p.fields(r, "a skip rule", "reason", "lines", "when")
		if len(s.m) == 0 {
			continue
		}
		var rule skipRule
		if n, ok := s.need("a skip rule", "reason"); ok {
			rule.reason = p.scalar(n, "reason")
		}
		switch s.one("lines", "all", "all", "orders", "refunds") {
		case "orders":
			rule.scope = orderLines
		case "refunds":
			rule.scope = refundLines
		}
		if rule.scope != allLines && f.m["refunds"] == nil {
			p.fault(s.m["lines"], "lines: orders or refunds needs a refunds block")
		}
		if n, ok := s.need("a skip rule", "when"); ok {
			rule.when = p.condition(n)
		}
		p.m.skip = append(p.m.skip, rule)
	}
}

func (p *mappingParser) behavior(f fields) {
	for _, key := range []string{"order", "items", "refunds"} {
		if n, ok := f.m[key]; ok {
			p.fault(n, "%s belongs to kind: order", key)
		}
	}
	n, ok := f.need("kind: behavior", "behavior")
	if !ok {
		return
	}
	b := p.fields(n, "behavior", "type")
	if n, ok := b.need("behavior", "type"); ok {
		p.m.behaviorType = p.textRule(n, "type")
	}
}

func (p *mappingParser) order(f fields) {
	if n, ok := f.m["behavior"]; ok {
		p.fault(n, "behavior belongs to kind: behavior")
	}
	n, ok := f.need("kind: order", "order")
	if !ok {
		return
	}
	o := &orderRule{id: none, amount: none, sku: none, quantity: none, price: none, itemAmount: none}
	p.m.order = o
	b := p.fields(n, "order", "id", "group", "type", "currency", "amount", "rounding")
	o.id = p.columnAt(b, "id")
	o.group = b.bool("group", false)
	if o.group && o.id == none {
		p.fault(b.m["group"], "group needs id: the column whose equal values make one order")
	}
	if o.group && p.m.eventID != none {
		p.fault(f.m["event_id"], "event_id names lines; with group an event is made of several")
	}
	if n, ok := b.need("order", "type"); ok {
		o.kind = p.textRule(n, "type")
		p.outcomes(n, o.kind, "type", func(s string) bool { return schemas.ParseOrderType(s) != schemas.OrderUnknown },
			"is none of PLACED, PAID, CANCELLED, REFUNDED")
	}
	if n, ok := b.need("order", "currency"); ok {
		o.currency = p.textRule(n, "currency")
		p.outcomes(n, o.currency, "currency", isCurrency, "is not an ISO 4217 code")
	}
	o.amount = p.columnAt(b, "amount")
	o.round = b.one("rounding", "exact", "exact", "half_even") == "half_even"
	p.items(f, o)
	if o.amount == none && o.itemAmount == none && o.price == none {
		p.fault(n, "order needs amount, or items with an amount or a price")
	}
	p.refunds(f, o)
}

func (p *mappingParser) items(f fields, o *orderRule) {
	n, ok := f.m["items"]
	if !ok {
		return
	}
	i := p.fields(n, "items", "sku", "category", "quantity", "price", "amount")
	if n, ok := i.need("items", "sku"); ok {
		o.sku = p.column(n, "sku")
	}
	o.category = p.textAt(i, "category")
	o.quantity = p.columnAt(i, "quantity")
	o.price = p.columnAt(i, "price")
	o.itemAmount = p.columnAt(i, "amount")
	switch {
	case o.price != none && o.itemAmount != none:
		p.fault(i.m["price"], "items: price (of one, times quantity) or amount (of the line), not both")
	case o.price != none && o.quantity == none:
		p.fault(i.m["price"], "items: price needs quantity")
	case o.price == none && o.itemAmount == none && (o.group || o.amount == none):
		p.fault(n, "items: price (of one, times quantity) or amount (of the line) is needed")
	}
}

func (p *mappingParser) refunds(f fields, o *orderRule) {
	n, ok := f.m["refunds"]
	if !ok {
		return
	}
	r := &refundRule{order: none}
	p.m.refunds = r
	b := p.fields(n, "refunds", "when", "link", "order")
	if n, ok := b.need("refunds", "when"); ok {
		r.when = p.condition(n)
	}
	r.order = p.columnAt(b, "order")
	r.latestSKU = b.one("link", "none", "none", "latest_order_with_sku") == "latest_order_with_sku"
	if r.latestSKU && !o.hasItems() {
		p.fault(b.m["link"], "link: latest_order_with_sku needs items with a sku")
	}
	if r.latestSKU && o.id == none {
		p.fault(b.m["link"], "link: latest_order_with_sku needs order.id")
	}
}

// outcomes checks what a rule can give, where that is known beforehand.
func (p *mappingParser) outcomes(n ast.Node, t *textRule, what string, good func(string) bool, fault string) {
	if t == nil {
		return
	}
	all, _ := t.outcomes()
	for _, s := range all {
		if !good(s) {
			p.fault(n, "%s: %q %s", what, s, fault)
		}
	}
}

// column gives a column its slot.
func (p *mappingParser) column(n ast.Node, what string) int {
	c, ok := p.columnOf(n, what)
	if ok && !p.m.header && c.index == 0 && !slices.Contains(p.m.columns, c.name) {
		p.fault(n, "%s: no column %q under columns; without a header, number the columns from 1 or name them all there", what, c.name)
	}
	for slot, have := range p.m.refs {
		if have.name == c.name && have.index == c.index {
			return slot
		}
	}
	p.m.refs = append(p.m.refs, c)
	return len(p.m.refs) - 1
}

func (p *mappingParser) columnAt(f fields, key string) int {
	if n, ok := f.m[key]; ok {
		return p.column(n, key)
	}
	return none
}

func (p *mappingParser) textAt(f fields, key string) *textRule {
	if n, ok := f.m[key]; ok {
		return p.textRule(n, key)
	}
	return nil
}

// textRule reads a plain value as a column and the longer forms by their keys.
func (p *mappingParser) textRule(n ast.Node, what string) *textRule {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		return &textRule{slot: p.column(n, what)}
	}
	f := p.fields(n, what, "column", "constant", "values", "cases", "else")
	t := &textRule{slot: none}
	forms := 0
	if c, ok := f.m["column"]; ok {
		forms++
		t.slot = p.column(c, "column")
	}
	if c, ok := f.m["constant"]; ok {
		forms++
		t.constant = p.scalar(c, "constant")
	}
	if c, ok := f.m["cases"]; ok {
		forms++
		for _, one := range p.list(c) {
			k := p.fields(one, "a case", "when", "is")
			var tc textCase
			if w, ok := k.need("a case", "when"); ok {
				tc.when = p.condition(w)
			}
			if is, ok := k.need("a case", "is"); ok {
				tc.is = p.scalar(is, "is")
			}
			t.cases = append(t.cases, tc)
		}
	}
	if forms != 1 && len(f.m) > 0 {
		p.fault(n, "%s has one of column, constant, cases", what)
	}
	if v, ok := f.m["values"]; ok {
		if t.slot == none {
			p.fault(v, "%s: values translates a column", what)
		}
		t.values = map[string]string{}
		for _, pair := range p.pairs(v, "values") {
			t.values[pair.Key.GetToken().Value] = p.scalar(pair.Value, "a value")
		}
	}
	if e, ok := f.m["else"]; ok {
		if t.values == nil && t.cases == nil {
			p.fault(e, "%s: else goes with values or cases", what)
		}
		s := p.scalar(e, "else")
		t.other = &s
	}
	return t
}

// condition reads one group of tests on a column, or a list of them; all hold.
func (p *mappingParser) condition(n ast.Node) condition {
	var all condition
	for _, one := range p.list(n) {
		f := p.fields(one, "a condition", "column", "empty", "equals", "one_of", "starts_with", "ends_with",
			"less_than", "at_most", "more_than", "at_least")
		if len(f.m) == 0 {
			continue
		}
		c, ok := f.need("a condition", "column")
		if !ok {
			continue
		}
		slot := p.column(c, "column")
		if len(f.m) == 1 {
			p.fault(one, "the condition tests nothing")
			continue
		}
		all = append(all, p.tests(f, slot)...)
	}
	return all
}

func (p *mappingParser) tests(f fields, slot int) []test {
	var tests []test
	column := p.m.refs[slot].String()
	text := func(key string, makes func(n ast.Node) func(string) bool) {
		if n, ok := f.m[key]; ok {
			tests = append(tests, test{slot: slot, column: column, text: makes(n)})
		}
	}
	text("empty", func(n ast.Node) func(string) bool {
		want := p.bool(n, "empty")
		return func(s string) bool { return (s == "") == want }
	})
	text("equals", func(n ast.Node) func(string) bool {
		want := p.scalar(n, "equals")
		return func(s string) bool { return s == want }
	})
	text("one_of", func(n ast.Node) func(string) bool {
		var want []string
		for _, w := range p.list(n) {
			want = append(want, p.scalar(w, "one_of"))
		}
		return func(s string) bool { return slices.Contains(want, s) }
	})
	text("starts_with", func(n ast.Node) func(string) bool {
		want := p.scalar(n, "starts_with")
		return func(s string) bool { return strings.HasPrefix(s, want) }
	})
	text("ends_with", func(n ast.Node) func(string) bool {
		want := p.scalar(n, "ends_with")
		return func(s string) bool { return strings.HasSuffix(s, want) }
	})
	number := func(key string, holds func(int) bool) {
		n, ok := f.m[key]
		if !ok {
			return
		}
		// Limits are written with a point whatever the file uses.
		limit, err := numberStyle{mark: '.'}.parse(p.scalar(n, key))
		if err != nil {
			p.fault(n, "%s: %v", key, err)
		}
		tests = append(tests, test{slot: slot, column: column, number: holds, limit: limit})
	}
	number("less_than", func(c int) bool { return c < 0 })
	number("at_most", func(c int) bool { return c <= 0 })
	number("more_than", func(c int) bool { return c > 0 })
	number("at_least", func(c int) bool { return c >= 0 })
	return tests
}
