package playbook

import (
	"fmt"
	"sort"
	"strings"

	"tidemark/schemas"
)

// phaseBlocks are the blocks whose rules keep customers in phases.
var phaseBlocks = []string{"lifecycle", "inflection", "tags", "segments"}

// written is a rule of phases that was read, with where it stands in the text.
type written struct {
	rule Phases
	at   *node
	path string
}

// foretell notes the names that conditions may refer to before any condition is
// compiled: a segment may read one that stands below it.
func (p *builder) foretell(root *block) {
	p.known = Names{Tracks: map[string][]string{}, Families: map[string][]string{}, Facts: map[string]bool{}}
	for i := range p.out.Facts {
		p.known.Facts[p.out.Facts[i].Name] = p.out.Facts[i].IsText()
	}
	delete(p.known.Facts, "")
	text := func(n *node, key string) string {
		if n == nil || n.kind != mapNode {
			return ""
		}
		for _, e := range n.entries {
			if e.key.text == key && e.value.kind == scalarNode {
				return e.value.text
			}
		}
		return ""
	}
	list := func(n *node, key string) (out []string, there bool) {
		if n.kind != mapNode {
			return nil, false
		}
		for _, e := range n.entries {
			if e.key.text == key {
				for _, item := range e.value.items {
					out = append(out, text(item, "name"))
				}
				return out, true
			}
		}
		return nil, false
	}
	quiet := &block{c: &compiler{}, n: root.n, values: root.values}
	for _, n := range quiet.list("lifecycle", "") {
		stages, _ := list(n, "stages")
		p.known.Tracks[text(n, "track")] = stages
	}
	for _, n := range quiet.list("inflection", "") {
		p.known.Tracks[text(n, "name")] = inflectionNames
	}
	for _, n := range quiet.list("tiers", "") {
		if n.kind == mapNode {
			for _, e := range n.entries {
				if name := peek(e.value, "track"); e.key.text == "roles" && name != "" {
					p.known.Tracks[name] = roleNames
				}
			}
		}
	}
	for _, n := range quiet.list("tags", "") {
		name := text(n, "name")
		if tags, ok := list(n, "exclusive"); ok {
			p.known.Families[name] = tags
			p.known.Tags = append(p.known.Tags, tags...)
		} else {
			p.known.Families[name] = nil
			if text(n, "when") != "" || text(n, "value") == "" {
				p.known.Tags = append(p.known.Tags, name)
			}
		}
	}
	for _, n := range quiet.list("segments", "") {
		p.known.Segments = append(p.known.Segments, text(n, "name"))
	}
}

func (p *builder) phases(root *block) {
	factsText := ""
	if v := root.get("facts"); v != nil {
		factsText = string(canonical(nil, v))
	}
	for _, key := range phaseBlocks {
		for i, n := range root.list(key, "a list of rules") {
			path := fmt.Sprintf("%s[%d]", key, i)
			var w written
			switch key {
			case "lifecycle":
				w = p.track(n, path)
			case "inflection":
				w = p.inflection(n, path)
			case "tags":
				w = p.tag(n, path)
			case "segments":
				w = p.segment(n, path)
			}
			w.rule.Block = key
			w.rule.Meaning = string(canonical([]byte(factsText), n))
			p.written = append(p.written, w)
		}
	}
	p.roles(root)
	p.tasks(root)
	p.order()
}

// optional is condition for a key that may be absent.
func (p *builder) optional(b *block, key string) Condition {
	if b.get(key) == nil {
		return nil
	}
	return p.condition(b, key)
}

func (p *builder) track(n *node, path string) written {
	b := p.c.open(n, path, "lifecycle[]", "")
	r := Phases{Common: p.commonAs(b, "track"), Dwell: b.duration("dwell", 0, 0, 3650*schemas.Day)}
	const form = "a list of {name, when, back}, the first one without when: there everybody begins"
	items := b.list("stages", form)
	if v := b.need("stages", form); v != nil && v.kind == listNode && len(items) < 2 {
		p.c.problem(v, b.at("stages"), "a track has at least two stages", form)
	}
	var back []*block
	for i, item := range items {
		s := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("stages"), i), "lifecycle[].stages[]", "")
		name := s.name("name")
		if name != "" && contains(r.Names, name) {
			p.c.problem(s.get("name"), s.at("name"), fmt.Sprintf("a stage named %q stands above already", name), "names that differ")
		}
		r.Names = append(r.Names, name)
		back = append(back, s)
		if i == 0 {
			if v := s.get("when"); v != nil {
				p.c.problem(v, s.at("when"), "the first stage is open to all", "no when for the first stage")
			}
			r.When = append(r.When, nil)
			continue
		}
		r.When = append(r.When, p.condition(s, "when"))
	}
	for i, s := range back {
		var to []int
		for j, item := range s.list("back", "a list of earlier stages") {
			at := fmt.Sprintf("%s[%d]", s.at("back"), j)
			name, ok := p.c.scalar(item, at, "the name of an earlier stage")
			if !ok {
				continue
			}
			k := 0
			for k < i && r.Names[k] != name {
				k++
			}
			if k == i {
				p.c.problem(item, at, fmt.Sprintf("%q is no earlier stage%s", shorten(name), didYouMean(name, r.Names[:i])), strings.Join(r.Names[:i], ", "))
				continue
			}
			to = append(to, k)
		}
		sort.Ints(to)
		r.Back = append(r.Back, to)
	}
	return written{r, n, path}
}

// inflectionNames are the classes of the total map, in the order of their phases.
var inflectionNames = []string{"new", "growing", "stable", "declining", "lost", "early-lost"}

func (p *builder) inflection(n *node, path string) written {
	b := p.c.open(n, path, "inflection[]", "")
	r := Phases{Common: p.common(b), Mode: FirstOf, Names: inflectionNames}
	on := 0
	if b.get("on") != nil {
		on = p.streamOf(b, "on")
	}
	b.need("stable_at", "a whole number: the first inflection point")
	stable := b.integer("stable_at", 2, 1, 1_000_000)
	b.need("declining_after", "a duration such as 60d")
	declining := b.duration("declining_after", 30*schemas.Day, schemas.Hour, maxDuration)
	b.need("lost_after", "a duration such as 180d: the second inflection point")
	lost := b.duration("lost_after", 60*schemas.Day, schemas.Hour, maxDuration)
	if v := b.get("lost_after"); v != nil && lost <= declining {
		p.c.problem(v, b.at("lost_after"), "is not longer than declining_after", "a longer duration than "+FormatDuration(declining))
	}
	count := p.madeFact(Fact{Name: p.out.Streams[on].Name + ".count", Kind: FactCount, Stream: on, Other: -1})
	silence := p.madeFact(Fact{Name: p.out.Streams[on].Name + ".silence_ms", Kind: FactSilence, Stream: on, Other: -1})
	n0, d1, d2 := compareInt(count, GreaterEqual, 1), int64(declining), int64(lost)
	early, late := compareInt(count, Less, stable), compareInt(count, GreaterEqual, stable)
	r.When = []Condition{nil,
		natively(all(n0, early, compareInt(silence, Less, d2))),
		natively(all(late, compareInt(silence, Less, d1))),
		natively(all(late, compareInt(silence, GreaterEqual, d1), compareInt(silence, Less, d2))),
		natively(all(late, compareInt(silence, GreaterEqual, d2))),
		natively(all(n0, early, compareInt(silence, GreaterEqual, d2)))}
	return written{r, n, path}
}

// madeFact is the name of a fact that a block needs; authors can't write its
// name, for it is no identifier.
func (p *builder) madeFact(f Fact) string {
	for i := range p.out.Facts {
		if p.out.Facts[i].Name == f.Name {
			return f.Name
		}
	}
	p.out.Facts = append(p.out.Facts, f)
	return f.Name
}

// held makes the fact that says which of the tags of a rule stands by hand.
func (p *builder) held(name string, tags []string, expires schemas.EventTime) string {
	any := Expr{Op: OpAny}
	for _, t := range tags {
		any.Of = append(any.Of, Expr{Op: OpCompare, Ref: Ref{"attributes", "tag"}, Cmp: Equal, IsText: true, Limit: Value{Text: t}})
	}
	s := Stream{Name: "tag/" + name, Types: []string{"tag.added", "tag.removed"}, Text: "tag", Value: TagAdded,
		When: &EventCondition{native: true, expr: any}}
	return p.madeFact(Fact{Name: name + ".by_hand", Kind: FactHeld, Stream: p.made(s), Other: -1, Within: expires})
}

// TagAdded as the Value of a Stream: 1 for tag.added, 0 for tag.removed.
const TagAdded = "tag.added"

func (p *builder) tag(n *node, path string) written {
	b := p.c.open(n, path, "tags[]", "")
	r := Phases{Common: p.common(b), Mode: Member, Names: []string{""}, When: []Condition{nil}}
	r.Dwell = b.duration("expires", 0, schemas.Minute, 3650*schemas.Day)
	byHand := b.duration("by_hand_expires", 0, schemas.Minute, 3650*schemas.Day)
	exclusive, value := b.get("exclusive"), b.get("value")
	if exclusive != nil || value != nil {
		for _, key := range []string{"when", "until"} {
			if v := b.get(key); v != nil {
				p.c.problem(v, b.at(key), fmt.Sprintf("%q has no meaning with exclusive or value", key), "when inside exclusive")
			}
		}
	}
	switch {
	case exclusive != nil && value != nil:
		p.c.problem(value, b.at("value"), "a rule is a family of tags or a tag with values, not both", "exclusive or value")
	case exclusive != nil:
		p.family(b, &r, byHand)
	case value != nil:
		p.valueTag(b, value, &r)
	default:
		r.Names = append(r.Names, r.Name)
		held := compareText(p.held(r.Name, []string{r.Name}, byHand), Equal, r.Name)
		r.When = append(r.When, or(held, p.optional(b, "when")))
		if u := p.optional(b, "until"); u != nil {
			r.Until = u
			r.Hold = natively(held)
		}
	}
	return written{r, n, path}
}

func (p *builder) family(b *block, r *Phases, byHand schemas.EventTime) {
	r.Mode = FirstOf
	const form = "a list of {name, when}"
	var tags []string
	var conds []Condition
	for i, item := range b.list("exclusive", form) {
		t := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("exclusive"), i), "tags[].exclusive[]", "")
		name := t.name("name")
		if name != "" && contains(tags, name) {
			p.c.problem(t.get("name"), t.at("name"), fmt.Sprintf("a tag named %q stands above already", name), "names that differ")
		}
		tags = append(tags, name)
		conds = append(conds, p.optional(t, "when"))
	}
	// A tag by hand beats those that the conditions say, whatever their order.
	held := p.held(r.Name, tags, byHand)
	for i, name := range tags {
		mine := compareText(held, Equal, name)
		c := Condition(natively(mine))
		if k, _ := conds[i].(*condition); k != nil {
			none := compareText(held, Equal, "")
			if k.native {
				c = natively(Expr{Op: OpAny, Of: []Expr{mine, all(none, k.expr)}})
			} else {
				both := *k
				both.refs = append(natively(none).refs, k.refs...)
				both.also, both.only = &mine, &none
				c = &both
			}
		}
		r.Names, r.When = append(r.Names, name), append(r.When, c)
	}
}

func (p *builder) valueTag(b *block, v *node, r *Phases) {
	r.Mode, r.Value = FirstOf, true
	t := p.c.open(v, b.at("value"), "tags[].value", "")
	t.need("attribute", "the name of an attribute")
	s := Stream{Text: t.text("attribute", ""), Types: []string{"customer.registered", "customer.updated"}}
	if t.get("behavior") != nil {
		s.Types = p.types(t, "behavior")
	}
	s.Name = "text/" + s.Text + "/" + strings.Join(s.Types, "/")
	fact := p.madeFact(Fact{Name: r.Name + ".value", Kind: FactText, Stream: p.made(s), Other: -1})
	if v := t.get("among"); v == nil && t.n != nil {
		p.c.problem(t.n, t.at("among"), "without a list a tag could take any number of values: state without a bound", "among: the values that it may take")
	}
	for _, x := range t.names("among") {
		r.Names = append(r.Names, x)
		r.When = append(r.When, natively(compareText(fact, Equal, x)))
	}
	if len(r.Names) > 1000 {
		p.c.problem(t.get("among"), t.at("among"), fmt.Sprintf("has %d values", len(r.Names)-1), "at most 1000")
	}
	r.Names = append(r.Names, "other")
	r.When = append(r.When, natively(compareText(fact, NotEqual, "")))
}

func (p *builder) segment(n *node, path string) written {
	b := p.c.open(n, path, "segments[]", "")
	r := Phases{Common: p.common(b), Mode: Member, Names: []string{"", b.textOr("name")}, When: []Condition{nil}}
	r.When = append(r.When, p.condition(b, "when"))
	r.Until = p.optional(b, "until")
	r.Dwell = b.duration("dwell", 0, 0, 3650*schemas.Day)
	return written{r, n, path}
}

// textOr is the text under key whatever it is, told elsewhere if it is wrong.
func (b *block) textOr(key string) string {
	if v := b.get(key); v != nil && v.kind == scalarNode {
		return v.text
	}
	return ""
}

// order sorts the rules so that each stands after those that it reads.
func (p *builder) order() {
	// What a rule is read by.
	names := map[Ref]int{}
	for i := range p.written {
		r := &p.written[i].rule
		switch r.Block {
		case "lifecycle", "inflection":
			names[Ref{"stage", r.Name}] = i
		case "segments":
			names[Ref{"segment", r.Name}] = i
		case "tags":
			names[Ref{"tag_of", r.Name}] = i
			for _, t := range r.Names[1:] {
				if !r.Value {
					names[Ref{"tag", t}] = i
				}
			}
		}
	}
	state := make([]uint8, len(p.written)) // 1: under way, 2: done
	var visit func(i int, chain []string) bool
	visit = func(i int, chain []string) bool {
		w := &p.written[i]
		switch state[i] {
		case 2:
			return true
		case 1:
			p.c.problem(w.at, w.path, fmt.Sprintf("%s reads itself: %s", w.rule.Name, strings.Join(append(chain, w.rule.Name), " reads ")), "conditions that do not run in a circle")
			return false
		}
		state[i] = 1
		for _, c := range w.rule.Conditions() {
			for _, ref := range References(c) {
				if j, ok := names[ref]; ok && !visit(j, append(chain, w.rule.Name)) {
					state[i] = 2
					return false
				}
			}
		}
		state[i] = 2
		p.out.Phases = append(p.out.Phases, w.rule)
		return true
	}
	for i := range p.written {
		visit(i, nil)
	}
}

// Conditions lists all conditions of the rule.
func (r *Phases) Conditions() []Condition {
	var out []Condition
	for _, c := range append(append([]Condition(nil), r.When...), r.Until, r.Hold) {
		if c != nil {
			out = append(out, c)
		}
	}
	return out
}
