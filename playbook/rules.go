package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Defaults and bounds of the rules.
const (
	defaultCorrectWithin = 30 * schemas.Day
	defaultMinSilence    = 7 * schemas.Day
	defaultDelay         = schemas.Hour
	defaultExact         = 65536
	maxCount             = 1_000_000_000_000
)

// window reads lifetime (0) or {rolling: duration}.
func (p *builder) window(b *block, shape string) schemas.EventTime {
	const allowed = "lifetime, or {rolling: 365d}"
	v := b.need("window", allowed)
	if v == nil {
		return 0
	}
	if v.kind != mapNode {
		if s, ok := p.c.scalar(v, b.at("window"), allowed); ok && s != "lifetime" {
			problem := fmt.Sprintf("unknown value %q%s", shorten(s), didYouMean(s, []string{"lifetime"}))
			if contains(plannedValues[shape], s) {
				problem = fmt.Sprintf("%q is not yet in this version", s)
			} else if _, err := ParseDuration(s); err == nil {
				problem = fmt.Sprintf("%q does not say what kind of window: write {rolling: %s}", s, s)
			}
			p.c.problem(v, b.at("window"), problem, allowed)
		}
		return 0
	}
	w := p.c.open(v, b.at("window"), shape, "")
	w.need("rolling", "a duration such as 365d")
	d := w.duration("rolling", 0, schemas.Hour, maxDuration)
	p.needs(d)
	return d
}

func (p *builder) rfm(n *node, path string) RFM {
	b := p.c.open(n, path, "rfm[]", "")
	r := RFM{Common: p.common(b), Window: p.window(b, "rfm[].window"), Stream: p.coreBehavior(b)}
	p.classes(b, &r)
	v := b.need("cuts", "{by: fixed, …}, {by: quantile, …}, {by: thirds, …}, {by: mean, …} or {by: median, …}")
	if v == nil {
		return r
	}
	by := ""
	if v.kind == mapNode {
		peek := &block{c: &compiler{}, n: v, values: map[string]*node{}} // the choice decides which keys are allowed
		for _, e := range v.entries {
			peek.values[e.key.text] = e.value
		}
		by, _, _ = peek.scalar("by", "")
	}
	var keys []string
	switch by {
	case "fixed":
		keys = []string{"by", "recency_days", "frequency", "monetary"}
	case "quantile":
		keys = []string{"by", "at", "plus", "refresh", "delay", "exact_up_to"}
	case "mean", "median", "thirds":
		keys = []string{"by", "refresh", "delay", "exact_up_to"}
	default:
		keys = vocabulary["rfm[].cuts"]
	}
	cuts := p.c.open(v, b.at("cuts"), "rfm[].cuts", fmt.Sprintf("with by: %s", by), keys...)
	cuts.need("by", "fixed, quantile, thirds, mean, median")
	cuts.choice("by", "", "fixed", "quantile", "thirds", "mean", "median")
	points := -1 // how many cut points each measure gets; -1: not known
	switch by {
	case "fixed":
		r.By = CutsFixed
		p.fixedCuts(cuts, &r)
		return r
	case "quantile":
		r.By = CutsQuantile
		r.At = p.probabilities(cuts)
		r.Plus = cuts.integer("plus", 0, 0, 1_000_000)
		points = len(r.At)
	case "thirds":
		r.By, points = CutsThirds, 2
	case "mean":
		r.By, points = CutsMean, 1
	case "median":
		r.By, points = CutsMedian, 1
	default:
		return r
	}
	if want := r.points(); want > 0 && points > 0 && want != points {
		at, where := cuts.get("at"), cuts.at("at")
		if at == nil {
			at, where = b.get("classes"), b.at("classes")
		}
		p.c.problem(at, where, fmt.Sprintf("%s gives %s, but the classes %s need %d", by, count(points, "cut point"), r.Classes, want),
			"quantile with four probabilities for putler and exact_125; quantile with one, mean or median for eight and six; thirds for six_thirds")
	}
	r.Refresh = p.refresh(cuts)
	r.Delay = cuts.duration("delay", defaultDelay, 0, 31*schemas.Day)
	r.Exact = int(cuts.integer("exact_up_to", defaultExact, 1, 10_000_000))
	return r
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *builder) fixedCuts(cuts *block, r *RFM) {
	for _, m := range []struct {
		key    string
		target *[]int64
		read   func(v *node, path string) (int64, bool)
	}{
		{"recency_days", &r.R, func(v *node, path string) (int64, bool) { return p.c.integer(v, path, 0, 36500) }},
		{"frequency", &r.F, func(v *node, path string) (int64, bool) { return p.c.integer(v, path, 1, maxCount) }},
		{"monetary", &r.M, func(v *node, path string) (int64, bool) { return p.c.money(v, path, 0) }},
	} {
		const form = "a list of ascending numbers, the lower edges of the next higher bins"
		v := cuts.need(m.key, form)
		items := cuts.list(m.key, form)
		if v == nil || v.kind != listNode {
			continue
		}
		whole := true
		for i, item := range items {
			path := fmt.Sprintf("%s[%d]", cuts.at(m.key), i)
			x, ok := m.read(item, path)
			if !ok {
				whole = false
				continue
			}
			if n := len(*m.target); n > 0 && x <= (*m.target)[n-1] {
				p.c.problem(item, path, fmt.Sprintf("%s is not above the one before", item.text), "ascending numbers")
			}
			*m.target = append(*m.target, x)
		}
		if want := r.points(); want > 0 && whole && len(items) != want {
			p.c.problem(v, cuts.at(m.key), fmt.Sprintf("has %s, but the classes %s need %d", count(len(items), "cut point"), r.Classes, want), "")
		}
	}
}

func (p *builder) probabilities(cuts *block) []float64 {
	const form = "a list of ascending numbers between 0 and 1, such as [.2, .4, .6, .8]"
	v := cuts.need("at", form)
	items := cuts.list("at", form)
	if v != nil && v.kind == listNode && len(items) == 0 {
		p.c.problem(v, cuts.at("at"), "is empty", form)
	}
	var out []float64
	for i, item := range items {
		path := fmt.Sprintf("%s[%d]", cuts.at("at"), i)
		x, ok := p.c.real(item, path, 0, 1)
		if !ok {
			x = -1
		} else if n := len(out); n > 0 && x <= out[n-1] {
			p.c.problem(item, path, fmt.Sprintf("%s is not above the one before", item.text), form)
		}
		out = append(out, x)
	}
	return out
}

func (p *builder) refresh(cuts *block) Refresh {
	cycles := []string{"day", "week", "month", "quarter", "year"}
	allowed := strings.Join(cycles, ", ") + ", or {at: [instants]}"
	v := cuts.need("refresh", allowed)
	if v == nil {
		return Refresh{}
	}
	if v.kind != mapNode {
		return Refresh{Cycle: cuts.choice("refresh", "", cycles...)}
	}
	b := p.c.open(v, cuts.at("refresh"), "rfm[].cuts.refresh", "")
	const form = "a list of ascending dates or instants"
	var out Refresh
	items := b.list("at", form)
	if at := b.need("at", form); at != nil && at.kind == listNode && len(items) == 0 {
		p.c.problem(at, b.at("at"), "is empty", form)
	}
	for i, item := range items {
		path := fmt.Sprintf("%s[%d]", b.at("at"), i)
		t, ok := p.c.instant(item, path)
		if !ok {
			continue
		}
		if n := len(out.At); n > 0 && t <= out.At[n-1] {
			p.c.problem(item, path, "is not later than the one before", form)
		}
		out.At = append(out.At, t)
	}
	return out
}

func (p *builder) recall(n *node, path string) Recall {
	b := p.c.open(n, path, "recall[]", "")
	r := Recall{Common: p.common(b)}
	r.Churn = p.refer(b, "on", "churn rule", p.churnNames)
	r.Audience = p.condition(b, "audience")
	r.Competitor = p.optional(b, "competitor")
	for i, item := range b.list("causes", "a list of {name, when}, the first that holds") {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("causes"), i), "recall[].causes[]", "")
		c := Cause{Name: a.name("name"), When: p.condition(a, "when")}
		for _, before := range r.Causes {
			if c.Name != "" && before.Name == c.Name {
				p.c.problem(a.get("name"), a.at("name"), fmt.Sprintf("a cause named %q stands above already", c.Name), "names that differ")
			}
		}
		if c.Name == "unknown" {
			p.c.problem(a.get("name"), a.at("name"), "unknown is what is told where none holds", "another name")
		}
		r.Causes = append(r.Causes, c)
	}
	r.SendAfter = b.duration("send_after", 0, 0, 3650*schemas.Day)
	r.ExpireAfter = b.duration("expire_after", 0, schemas.Minute, 3650*schemas.Day)
	r.Touching = p.touching(b, r.Name)
	short := []string{"holdout", "salt", "arms"}
	if r.Experiment != nil {
		for _, key := range short {
			if v := b.get(key); v != nil {
				p.c.problem(v, b.at(key), "stands beside experiment, which has it too", key+" in one of the two places")
			}
		}
		return r
	}
	r.Experiment = &Experiment{}
	p.drawn(b, r.Experiment, r.Name, "recall[]")
	b.need("arms", armsForm)
	return r
}

// coreBehavior reads which stream a rule is about; purchases by default.
func (p *builder) coreBehavior(b *block) int {
	if b.get("core_behavior") == nil {
		return 0
	}
	i := p.streamOf(b, "core_behavior")
	if s := &p.out.Streams[i]; s.Holds {
		p.c.problem(b.get("core_behavior"), b.at("core_behavior"), fmt.Sprintf("%q is a gauge: it holds a value and is no behavior", s.Name), "the name of a stream")
	}
	return i
}
