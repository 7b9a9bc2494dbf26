package playbook

import (
	"fmt"
	"strings"
	"time"

	"tidemark/schemas"
)

// taskStreams makes the stream of every task's completions before anything reads
// one, so that facts, growth rules and other tasks may name it.
func (p *builder) taskStreams(root *block) {
	quiet := &block{c: &compiler{}, n: root.n, values: root.values}
	for _, n := range quiet.list("tasks", "") {
		if name := peek(n, "name"); name != "" && nameProblem(name) == "" && p.streamNamed(name) < 0 {
			p.out.Streams = append(p.out.Streams, Stream{Name: name, Task: true})
		}
	}
}

// peek is a scalar of a mapping that is read again later.
func peek(n *node, key string) string {
	if n.kind == mapNode {
		for _, e := range n.entries {
			if e.key.text == key && e.value.kind == scalarNode {
				return e.value.text
			}
		}
	}
	return ""
}

// rewarded gives a growth rule, or a ledger, what tasks reward in it. A task's own mistakes are
// told where the task is read.
func (p *builder) rewarded(g *Growth, kind string) {
	root, was := p.root, p.c
	p.c = &compiler{zone: was.zone, currency: was.currency}
	defer func() { p.c = was }()
	v := root.get("tasks")
	quiet := &block{c: p.c, n: root.n, values: root.values}
	for i, n := range quiet.list("tasks", "") {
		stream := p.streamNamed(peek(n, "name"))
		if n.kind != mapNode || stream < 0 {
			continue
		}
		b := p.c.open(n, fmt.Sprintf("tasks[%d]", i), "tasks[]", "")
		for _, r := range p.rewards(b) {
			if name := map[string]string{"growth": r.Growth, "ledger": r.Ledger}[kind]; name != g.Name || name == "" {
				continue
			}
			if g.Factors == nil && kind == "growth" {
				g.Factors = append(g.Factors, Factor{Numerator: g.Numerator, Denominator: g.Denominator})
			}
			g.Factors = append(g.Factors, Factor{Stream: stream, Gives: r.Gives, Lock: r.Lock})
			g.Meaning = string(canonical([]byte(g.Meaning), v))
		}
	}
}

func (p *builder) rewards(b *block) (out []Reward) {
	for i, item := range b.list("rewards", "a list of {growth, gives} and {ledger, gives}") {
		r := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("rewards"), i), "tasks[].rewards[]", "")
		w := Reward{}
		if growth, ledger := r.get("growth"), r.get("ledger"); growth != nil && ledger != nil {
			p.c.problem(ledger, r.at("ledger"), "a reward is in one place", "growth or ledger, and another reward for the other")
		} else if ledger == nil {
			r.need("growth", "growth: a growth rule, or ledger: a ledger")
		}
		w.Growth, _, _ = r.scalar("growth", "the name of a growth rule")
		w.Ledger, _, _ = r.scalar("ledger", "the name of a ledger")
		r.need("gives", "a whole number from 1")
		w.Gives = r.integer("gives", 1, 1, maxCount)
		if r.get("locked_until") != nil {
			w.Lock = &Lock{Stream: p.streamOf(r, "locked_until"), Within: r.duration("within", 0, schemas.Minute, 3650*schemas.Day)}
			p.needs(w.Lock.Within)
		} else if v := r.get("within"); v != nil {
			p.c.problem(v, r.at("within"), "says how long it waits, but not for what", "locked_until: the stream whose next event unlocks it")
		}
		out = append(out, w)
	}
	return out
}

func (p *builder) tasks(root *block) {
	factsText := ""
	if v := root.get("facts"); v != nil {
		factsText = string(canonical(nil, v))
	}
	for i, n := range root.list("tasks", "a list of rules") {
		t := p.task(n, fmt.Sprintf("tasks[%d]", i))
		t.Meaning = string(canonical([]byte(factsText), n))
		p.out.Tasks = append(p.out.Tasks, t)
	}
}

func (p *builder) task(n *node, path string) Task {
	b := p.c.open(n, path, "tasks[]", "")
	t := Task{Common: p.common(b), Opens: -1, AtMost: 1, Rewards: p.rewards(b)}
	t.Stream = max(p.streamNamed(t.Name), 0)
	if t.Name != "" && !p.out.Streams[t.Stream].Task {
		p.c.problem(b.get("name"), b.at("name"), fmt.Sprintf("there is a stream %q, and what is done of a task is a stream of its name", t.Name), "a name of its own")
	}
	var ledgers []string
	for i := range p.out.Ledgers {
		ledgers = append(ledgers, p.out.Ledgers[i].Name)
	}
	for i, item := range b.list("rewards", "") {
		at := fmt.Sprintf("%s[%d].", b.at("rewards"), i)
		for _, e := range item.entries {
			switch name := e.value.text; {
			case e.key.text == "growth" && t.Rewards[i].Growth != "" && !contains(p.growthNames, name):
				p.c.problem(e.value, at+"growth", fmt.Sprintf("there is no growth rule %q%s", shorten(name), didYouMean(name, p.growthNames)), strings.Join(p.growthNames, ", "))
			case e.key.text == "ledger" && t.Rewards[i].Ledger != "" && !contains(ledgers, name):
				p.c.problem(e.value, at+"ledger", fmt.Sprintf("there is no ledger %q%s", shorten(name), didYouMean(name, ledgers)), strings.Join(ledgers, ", "))
			}
		}
	}
	if b.get("when") != nil {
		t.Entry = t.Name + "/entry"
		entry := Phases{Common: t.Common, Mode: Member, Names: []string{"", t.Name}, When: []Condition{nil, p.condition(b, "when")}, Block: "tasks"}
		entry.Name, entry.CoolDown, entry.Once = t.Entry, 0, false
		p.written = append(p.written, written{entry, n, path})
	}
	if b.get("opens") != nil {
		t.Opens = p.streamOf(b, "opens")
	}
	t.Window = b.choice("window", "", cycleWords...)
	if t.Window != "" {
		p.needs(longestCycleOf(t.Window))
	}
	if v := b.get("season"); v != nil {
		t.Season = p.season(v, b.at("season"))
	}
	t.Deadline = b.duration("deadline", 0, schemas.Minute, 3650*schemas.Day)
	p.needs(t.Deadline)
	if v := b.get("deadline"); v != nil && t.Entry == "" && t.Opens < 0 && t.Window == "" && t.Season == nil {
		p.c.problem(v, b.at("deadline"), "nothing says when the time begins", "when, opens, window or season beside it")
	}
	t.Ever = b.choice("counts", "new", "new", "ever") == "ever"
	t.Parallel = b.choice("order", "chained", "chained", "parallel") == "parallel"
	if v := b.get("at_most"); v != nil && v.kind == scalarNode && v.text == "unlimited" {
		t.AtMost = 0
	} else {
		t.AtMost = b.integer("at_most", 1, 1, 1_000_000)
	}
	p.taskSteps(b, &t)
	if v := b.get("at_most"); v != nil && t.Parallel && len(t.Steps) > 1 && t.AtMost != 1 {
		p.c.problem(v, b.at("at_most"), "with steps in any order nothing says where the next round begins", "window, opens or season, and at_most: 1 in each; or order: chained")
	}
	return t
}

func longestCycleOf(name string) schemas.EventTime {
	return map[string]schemas.EventTime{"day": 2, "week": 8, "month": 32, "quarter": 93, "year": 367}[name] * schemas.Day
}

func (p *builder) taskSteps(b *block, t *Task) {
	const form = "a list of {name, on, times}, {name, on, sum}, {name, on, streak} and {name, on, days}"
	items := b.list("steps", form)
	if v := b.need("steps", form); v != nil && v.kind == listNode && (len(items) == 0 || len(items) > MaxSteps) {
		p.c.problem(v, b.at("steps"), fmt.Sprintf("has %d steps", len(items)), fmt.Sprintf("1 to %d; a task may ask for other tasks by their names", MaxSteps))
	}
	for i, item := range items {
		s := p.taskStep(item, fmt.Sprintf("%s[%d]", b.at("steps"), i))
		for _, o := range t.Steps {
			if s.Name != "" && o.Name == s.Name {
				p.c.problem(item, fmt.Sprintf("%s[%d]", b.at("steps"), i), fmt.Sprintf("a step named %q stands above already", s.Name), "names that differ")
			}
		}
		t.Steps = append(t.Steps, s)
	}
}

var stepKinds = []string{"times", "sum", "streak", "days"}

func (p *builder) taskStep(n *node, path string) TaskStep {
	b := p.c.open(n, path, "tasks[].steps[]", "")
	s := TaskStep{MakeUp: -1, Stream: 0}
	b.need("on", "the name of a stream, or of a task above")
	s.Stream = p.streamOf(b, "on")
	stream := &p.out.Streams[s.Stream]
	s.Name = stream.Name
	if b.get("name") != nil {
		s.Name = b.name("name")
	}
	if v := b.get("on"); v != nil && stream.Task {
		done := false
		for _, o := range p.out.Tasks {
			done = done || o.Name == stream.Name
		}
		if !done {
			p.c.problem(v, b.at("on"), fmt.Sprintf("the task %q does not stand above this one", stream.Name), "a task above: tasks can't wait for each other")
		}
	}
	if v := b.get("on"); v != nil && stream.Holds {
		p.c.problem(v, b.at("on"), fmt.Sprintf("%q is a gauge: it holds a value and is no behavior", stream.Name), "the name of a stream")
	}
	verb, verbs := "", 0
	for i, key := range stepKinds {
		if b.get(key) != nil {
			verb, s.Kind = key, StepKind(i)
			verbs++
		}
	}
	if verbs != 1 && b.n != nil {
		p.c.problem(n, path, "it does not say once how much", "one of "+strings.Join(stepKinds, ", "))
	}
	switch verb {
	case "sum":
		if stream.Value == "" {
			p.c.problem(b.get("sum"), b.at("sum"), fmt.Sprintf("%q measures nothing: its stream has no value", stream.Name), "times")
		} else if stream.Value == "amount" {
			s.Need, _ = p.c.money(b.get("sum"), b.at("sum"), 1)
		} else {
			s.Need = b.integer("sum", 1, 1, maxCount)
		}
	case "streak":
		s.Need = b.integer("streak", 2, 2, 366)
		p.needs(schemas.EventTime(s.Need+2) * schemas.Day)
		if b.get("make_up") != nil {
			s.MakeUp = p.streamOf(b, "make_up")
		}
		s.MakeUps = b.integer("make_ups", 1, 1, 366)
	case "times", "days":
		s.Need = b.integer(verb, 1, 1, 1_000_000)
	}
	for _, key := range []string{"make_up", "make_ups"} {
		if v := b.get(key); v != nil && (verb != "streak" || key == "make_ups" && s.MakeUp < 0) {
			p.c.problem(v, b.at(key), fmt.Sprintf("%q has no meaning without streak and make_up", key), "streak, and make_up: the stream of make-ups")
		}
	}
	s.Within = b.duration("within", 0, schemas.Second, 3650*schemas.Day)
	p.needs(s.Within)
	if v := b.get("within"); v != nil && (verb == "days" || verb == "streak") {
		p.c.problem(v, b.at("within"), fmt.Sprintf("%s say how long it takes already", verb), "within with times or sum")
	}
	return s
}

func (p *builder) season(v *node, path string) *Season {
	b := p.c.open(v, path, "tasks[].season", "")
	s := &Season{}
	const form = "a local day: 06-01 of every year, or 2024-06-01"
	for _, k := range []struct {
		key string
		to  *SeasonDay
	}{{"from", &s.From}, {"until", &s.Until}} {
		b.need(k.key, form)
		text, at, ok := b.scalar(k.key, form)
		if !ok {
			continue
		}
		t, err := time.Parse(dateForm, text)
		if err == nil {
			*k.to = SeasonDay{t.Year(), int(t.Month()), t.Day()}
		} else if t, err = time.Parse(dateForm, "2001-"+text); err == nil { // 29 February is not in every year
			*k.to = SeasonDay{0, int(t.Month()), t.Day()}
		} else {
			p.c.problem(at, b.at(k.key), fmt.Sprintf("%q is no day", shorten(text)), form)
		}
	}
	if until := b.get("until"); until != nil && s.From.Month != 0 && s.Until.Month != 0 {
		switch {
		case (s.From.Year == 0) != (s.Until.Year == 0):
			p.c.problem(until, b.at("until"), "one of the days is of every year and the other is not", "both with a year, or neither")
		case s.From == s.Until, s.From.Year != 0 && s.Until.Number(s.Until.Year) <= s.From.Number(s.From.Year):
			p.c.problem(until, b.at("until"), "is not after the first day", "the first day that is no longer in the season")
		}
	}
	p.needs(367 * schemas.Day)
	return s
}
