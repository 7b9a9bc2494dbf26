package playbook

import (
	"fmt"
	"strings"
)

// OwnClasses is a map of RFM classes that the playbook makes itself: the first
// class that holds, else Other. Every combination of scores has one.
type OwnClasses struct {
	Scores  int32    // the highest score, from 2 to 9: one more than the cut points of each measure
	Weights [3]int32 // of R, F and M in the sum that OwnClass.Weighted bounds; zero: none
	List    []OwnClass
	Other   string // "": the list leaves nothing over
}

// OwnClass holds where every range does; both ends belong to it.
type OwnClass struct {
	Name     string
	R, F, M  [2]int32
	Weighted [2]int32 // of the weighted sum; zero: any
}

// builtInClasses are the maps that rfm has, and scoresOf how many cut points
// each measure needs for them.
var (
	builtInClasses = []string{"putler", "exact_125", "six", "six_thirds", "eight"}
	scoresOf       = map[string]int{"putler": 4, "exact_125": 4, "six": 1, "six_thirds": 2, "eight": 1, ownClassesName: 0}
)

// ownClassesName stands in RFM.Classes where the playbook has a map of its own.
const ownClassesName = "custom"

// points is how many cut points each measure needs; 0: not known.
func (r *RFM) points() int {
	if r.Own != nil {
		return int(r.Own.Scores) - 1
	}
	return scoresOf[r.Classes]
}

// classes reads the name of a built-in map, or a map of the playbook's own.
func (p *builder) classes(b *block, r *RFM) {
	allowed := strings.Join(builtInClasses, ", ") + ", or {scores, list, other}"
	v := b.need("classes", allowed)
	if v == nil {
		return
	}
	if v.kind != mapNode {
		r.Classes = b.choice("classes", "", builtInClasses...)
		return
	}
	c := p.c.open(v, b.at("classes"), "rfm[].classes", "")
	own := &OwnClasses{}
	before := len(p.c.problems)
	c.need("scores", "the highest score, a whole number from 2 to 9")
	own.Scores = int32(c.integer("scores", 5, 2, 9))
	if w := c.get("weights"); w != nil {
		weights := p.c.open(w, c.at("weights"), "rfm[].classes.weights", "")
		for i, key := range [...]string{"r", "f", "m"} {
			own.Weights[i] = int32(weights.integer(key, 0, 0, 1000))
		}
		if own.Weights == [3]int32{} && len(p.c.problems) == before {
			p.c.problem(w, c.at("weights"), "no measure has a weight", "r, f and m: whole numbers from 0 to 1000, one of them above 0")
		}
	}
	if c.get("other") != nil {
		own.Other = c.name("other")
	}
	const form = "a list of {name, r, f, m, weighted}"
	list := c.need("list", form)
	items := c.list("list", form)
	if list != nil && list.kind == listNode && len(items) == 0 {
		p.c.problem(list, c.at("list"), "there is no class", form)
	}
	seen := map[string]bool{own.Other: own.Other != ""}
	for i, item := range items {
		k := p.c.open(item, fmt.Sprintf("%s[%d]", c.at("list"), i), "rfm[].classes.list[]", "")
		class := OwnClass{Name: k.name("name")}
		for _, m := range []struct {
			key  string
			to   *[2]int32
			high int64
		}{{"r", &class.R, int64(own.Scores)}, {"f", &class.F, int64(own.Scores)}, {"m", &class.M, int64(own.Scores)}} {
			*m.to = [2]int32{1, int32(m.high)}
			p.scoreRange(k, m.key, 1, m.high, m.to)
		}
		if v := k.get("weighted"); v != nil {
			total := int64(own.Weights[0]+own.Weights[1]+own.Weights[2]) * int64(own.Scores)
			if total == 0 {
				p.c.problem(v, k.at("weighted"), "says nothing, since there are no weights", "weights: {r: 1, f: 1, m: 1} beside scores")
			} else {
				p.scoreRange(k, "weighted", 1, total, &class.Weighted)
			}
		}
		if class.Name != "" && seen[class.Name] {
			p.c.problem(k.get("name"), k.at("name"), fmt.Sprintf("a class named %q stands here already", class.Name), "names that differ")
		}
		seen[class.Name] = true
		own.List = append(own.List, class)
	}
	if len(p.c.problems) == before {
		p.total(own, list, items, c.at("list"))
	}
	r.Classes, r.Own = ownClassesName, own
}

// scoreRange reads one number or [from, to].
func (p *builder) scoreRange(b *block, key string, low, high int64, to *[2]int32) {
	v := b.get(key)
	if v == nil {
		return
	}
	form := fmt.Sprintf("a whole number from %d to %d, or [from, to]", low, high)
	switch {
	case v.kind == scalarNode:
		if x, ok := p.c.integer(v, b.at(key), low, high); ok {
			*to = [2]int32{int32(x), int32(x)}
		}
	case v.kind == listNode && len(v.items) == 2:
		from, good := p.c.integer(v.items[0], b.at(key)+"[0]", low, high)
		until, ok := p.c.integer(v.items[1], b.at(key)+"[1]", low, high)
		if good && ok && from > until {
			p.c.problem(v, b.at(key), fmt.Sprintf("from %d to %d holds nothing", from, until), form)
		}
		*to = [2]int32{int32(from), int32(until)}
	default:
		p.c.problem(v, b.at(key), "must be one number or two", form)
	}
}

// total tries every combination: each needs a class, and each class one that no
// class before it takes.
func (p *builder) total(own *OwnClasses, list *node, items []*node, path string) {
	taken := make([]bool, len(own.List))
	left, first := 0, ""
	for r := int32(1); r <= own.Scores; r++ {
		for f := int32(1); f <= own.Scores; f++ {
			for m := int32(1); m <= own.Scores; m++ {
				if i := own.find(r, f, m); i >= 0 {
					taken[i] = true
				} else if left++; left == 1 {
					first = fmt.Sprintf("r %d, f %d, m %d", r, f, m)
				}
			}
		}
	}
	if left > 0 && own.Other == "" {
		p.c.problem(list, path, fmt.Sprintf("%s no class, the first: %s", have(left), first), "classes for all combinations, or other: a name for the rest")
	}
	for i, t := range taken {
		if !t {
			p.c.problem(items[i], fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("nobody can be %q: no combination of scores is left for it by those before", own.List[i].Name),
				"a class with combinations of its own, the narrow ones first")
		}
	}
}

func have(n int) string {
	if n == 1 {
		return "1 combination of scores has"
	}
	return fmt.Sprintf("%d combinations of scores have", n)
}

func (o *OwnClasses) find(r, f, m int32) int {
	in := func(x int32, r [2]int32) bool { return r[0] <= x && x <= r[1] }
	for i := range o.List {
		k := &o.List[i]
		sum := o.Weights[0]*r + o.Weights[1]*f + o.Weights[2]*m
		if in(r, k.R) && in(f, k.F) && in(m, k.M) && (k.Weighted == [2]int32{} || in(sum, k.Weighted)) {
			return i
		}
	}
	return -1
}
