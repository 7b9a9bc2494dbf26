package facts

import (
	"sort"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// Table holds the facts that a set of conditions reads, and the conditions. It
// is immutable after Seal and keeps no customer.
type Table struct {
	Facts []Fact // those of the playbook first; then where rules stand, which have no definition
	refs  []playbook.Ref
	bound map[playbook.Ref]int
	conds []cond
	owner []int32 // of each condition
	index []marks // by fact
}

// cond is one condition bound to the table.
type cond struct {
	source playbook.Condition
	native bool
	root   node
	reads  []int
}

// node is an Expr with its operands as places in the vector of values.
type node struct {
	op    playbook.Op
	cmp   playbook.Cmp
	text  bool
	fact  int
	limit playbook.Value
	of    []node
}

// marks are what the comparisons of one fact can tell apart.
type marks struct {
	limits []int64   // ascending: a value at or above is another than one below
	owners [][]int32 // of each limit
	texts  []string  // sorted
	named  [][]int32 // owners of each text
	all    []int32   // owners for whom every change matters
}

// Place returns the place of what ref names in the vector of values, making one
// with def if it is new. external says that the value is not made of history:
// the caller puts it in.
func (t *Table) Place(ref playbook.Ref, def func() Fact) int {
	if i, ok := t.bound[ref]; ok {
		return i
	}
	if t.bound == nil {
		t.bound = map[playbook.Ref]int{}
	}
	i := len(t.refs)
	t.refs = append(t.refs, ref)
	t.Facts = append(t.Facts, def())
	t.bound[ref] = i
	return i
}

// Find is the place of ref, if it has one.
func (t *Table) Find(ref playbook.Ref) (int, bool) {
	i, ok := t.bound[ref]
	return i, ok
}

// Readers calls fn with the owner of each condition that reads a place.
func (t *Table) Readers(place int, fn func(owner int32)) {
	for i := range t.conds {
		for _, f := range t.conds[i].reads {
			if f == place {
				fn(t.owner[i])
			}
		}
	}
}

// Ref is what stands at a place.
func (t *Table) Ref(i int) playbook.Ref { return t.refs[i] }

// Len is the length of a vector of values.
func (t *Table) Len() int { return len(t.refs) }

// Resolve says how a comparison with ref is made: the place, and the limit as it
// is kept there. numeric turns a text into a number, such as the name of a level
// into its place.
type Resolve func(ref playbook.Ref) (place int, numeric func(text string) int64)

// Add binds a condition, of which owner is told. It returns its number.
func (t *Table) Add(c playbook.Condition, x playbook.Expr, native bool, owner int32, resolve Resolve) int {
	k := cond{source: c, native: native}
	if native {
		k.root = bind(&x, resolve, &k.reads)
	} else {
		for _, ref := range playbook.References(c) {
			i, _ := resolve(ref)
			k.reads = append(k.reads, i)
		}
	}
	t.conds = append(t.conds, k)
	t.owner = append(t.owner, owner)
	return len(t.conds) - 1
}

func bind(x *playbook.Expr, resolve Resolve, reads *[]int) node {
	n := node{op: x.Op, cmp: x.Cmp, text: x.IsText, limit: x.Limit}
	if x.Op == playbook.OpCompare {
		place, numeric := resolve(x.Ref)
		n.fact = place
		*reads = append(*reads, place)
		if n.text && numeric != nil {
			n.text, n.limit.Int = false, numeric(x.Limit.Text) // the text stays, for the evidence
		}
	}
	for i := range x.Of {
		n.of = append(n.of, bind(&x.Of[i], resolve, reads))
	}
	return n
}

// Seal makes the index.
func (t *Table) Seal() {
	type pair struct {
		limit int64
		owner int32
	}
	limits := make([][]pair, len(t.refs))
	texts := make([]map[string][]int32, len(t.refs))
	t.index = make([]marks, len(t.refs))
	var walk func(n *node, owner int32)
	walk = func(n *node, owner int32) {
		for i := range n.of {
			walk(&n.of[i], owner)
		}
		if n.op != playbook.OpCompare {
			return
		}
		if n.text {
			if texts[n.fact] == nil {
				texts[n.fact] = map[string][]int32{}
			}
			texts[n.fact][n.limit.Text] = append(texts[n.fact][n.limit.Text], owner)
			return
		}
		add := func(limit int64) { limits[n.fact] = append(limits[n.fact], pair{limit, owner}) }
		switch l := n.limit.Int; n.cmp {
		case playbook.Less, playbook.GreaterEqual:
			add(l)
		case playbook.LessEqual, playbook.Greater:
			add(above(l))
		default:
			add(l)
			add(above(l))
		}
	}
	for i := range t.conds {
		if k := &t.conds[i]; k.native {
			walk(&k.root, t.owner[i])
		} else {
			for _, f := range k.reads {
				t.index[f].all = append(t.index[f].all, t.owner[i])
			}
		}
	}
	for f := range t.index {
		m := &t.index[f]
		sort.SliceStable(limits[f], func(i, j int) bool { return limits[f][i].limit < limits[f][j].limit })
		for _, p := range limits[f] {
			k := len(m.limits) - 1
			if k < 0 || m.limits[k] != p.limit {
				m.limits, m.owners = append(m.limits, p.limit), append(m.owners, nil)
				k++
			}
			m.owners[k] = append(m.owners[k], p.owner)
		}
		for s := range texts[f] {
			m.texts = append(m.texts, s)
		}
		sort.Strings(m.texts)
		for _, s := range m.texts {
			m.named = append(m.named, texts[f][s])
		}
	}
}

func above(x int64) int64 {
	if x == Highest {
		return x
	}
	return x + 1
}

// Fill puts the values of all facts that have a definition into vals, as of an
// instant; places from external on are left as they are.
func (t *Table) Fill(v history.View, at schemas.EventTime, external int, vals []playbook.Value) {
	for i := range t.Facts[:external] {
		vals[i] = t.Facts[i].Eval(v, at)
	}
}

// Next is the first instant after at at which time alone may change a condition, given the values at at.
func (t *Table) Next(v history.View, at schemas.EventTime, external int, vals []playbook.Value) schemas.EventTime {
	var due schemas.EventTime
	for i := range t.Facts[:external] {
		due = earlier(due, t.NextOf(i, v, at, vals[i]))
	}
	return due
}

// NextOf is Next of one fact.
func (t *Table) NextOf(i int, v history.View, at schemas.EventTime, value playbook.Value) schemas.EventTime {
	m := &t.index[i]
	lo, hi := int64(Lowest), int64(Highest)
	switch {
	case len(m.all) > 0:
		lo, hi = value.Int, above(value.Int)
	case t.Facts[i].IsText():
	case len(m.limits) == 0:
		return 0
	default:
		k := sort.Search(len(m.limits), func(k int) bool { return m.limits[k] > value.Int })
		if k > 0 {
			lo = m.limits[k-1]
		}
		if k < len(m.limits) {
			hi = m.limits[k]
		}
	}
	t0 := t.Facts[i].Next(v, at, value.Int, lo, hi)
	if t0 != 0 && t0 <= at {
		t0 = at + 1
	}
	return t0
}

// Changed calls fn with the owner of each condition that may see the change of
// one fact from old to new; an owner may come several times.
func (t *Table) Changed(i int, old, new playbook.Value, fn func(owner int32)) {
	if old == new {
		return
	}
	m := &t.index[i]
	for _, o := range m.all {
		fn(o)
	}
	if old.Text != new.Text {
		for _, s := range [2]string{old.Text, new.Text} {
			if k := sort.SearchStrings(m.texts, s); k < len(m.texts) && m.texts[k] == s {
				for _, o := range m.named[k] {
					fn(o)
				}
			}
		}
	}
	lo, hi := min(old.Int, new.Int), max(old.Int, new.Int)
	for k := sort.Search(len(m.limits), func(k int) bool { return m.limits[k] > lo }); k < len(m.limits) && m.limits[k] <= hi; k++ {
		for _, o := range m.owners[k] {
			fn(o)
		}
	}
}

// Holds evaluates a condition over a vector of values; more gives what CEL
// conditions read by name.
func (t *Table) Holds(k int, vals []playbook.Value, more *playbook.Facts) bool {
	c := &t.conds[k]
	if c.native {
		return c.root.holds(vals)
	}
	ok, err := c.source.Eval(more)
	return ok && err == nil
}

// Reads lists the places that a condition reads.
func (t *Table) Reads(k int) []int { return t.conds[k].reads }

// IsNative says whether Holds needs no CEL.
func (t *Table) IsNative(k int) bool { return t.conds[k].native }

func (n *node) holds(vals []playbook.Value) bool {
	switch n.op {
	case playbook.OpAlways:
		return true
	case playbook.OpCompare:
		v := &vals[n.fact]
		if n.text {
			return (v.Text == n.limit.Text) == (n.cmp == playbook.Equal)
		}
		return n.cmp.Holds(v.Int, n.limit.Int)
	case playbook.OpAll:
		for i := range n.of {
			if !n.of[i].holds(vals) {
				return false
			}
		}
		return true
	case playbook.OpAny:
		for i := range n.of {
			if n.of[i].holds(vals) {
				return true
			}
		}
		return false
	case playbook.OpNot:
		return !n.of[0].holds(vals)
	}
	return false
}

// Compared calls fn with each comparison of a native condition, in the order of
// its text: the place, the comparison as it holds for vals (its opposite where it
// does not), and the limit.
func (t *Table) Compared(k int, vals []playbook.Value, fn func(place int, cmp playbook.Cmp, text bool, limit playbook.Value)) {
	var walk func(n *node)
	walk = func(n *node) {
		if n.op == playbook.OpCompare {
			cmp := n.cmp
			holds := n.holds(vals)
			if !holds {
				cmp = opposite[cmp]
			}
			fn(n.fact, cmp, n.text, n.limit)
		}
		for i := range n.of {
			walk(&n.of[i])
		}
	}
	if t.conds[k].native {
		walk(&t.conds[k].root)
	}
}

var opposite = [...]playbook.Cmp{playbook.Less: playbook.GreaterEqual, playbook.LessEqual: playbook.Greater, playbook.Greater: playbook.LessEqual,
	playbook.GreaterEqual: playbook.Less, playbook.Equal: playbook.NotEqual, playbook.NotEqual: playbook.Equal}
