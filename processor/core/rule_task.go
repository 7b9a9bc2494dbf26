package core

import (
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"strings"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/task"
	"tidemark/schemas"
	"tidemark/state"
)

// taskRule: the phase is how often the task was completed, times 256, plus the
// steps of the round under way that are done, a bit each; aux is how often it was
// completed in that round. Each step is an episode. A customer who never did a
// step has no state of it.
//
// A completion is a mark of the customer's history, so growth rules, facts and
// other tasks read it like a behavior; settleTasks holds marks and episodes together.
type taskRule struct {
	pb    *playbook.Task
	rid   uint32
	prog  task.Program
	entry *phaseRule // nil: open to everyone
}

const taskSteps = 1 << playbook.MaxSteps

func (c *Core) bindTasks() {
	c.tasks = nil
	for i := range c.pb.Tasks {
		t := &c.pb.Tasks[i]
		r := &taskRule{pb: t, rid: c.name(t.Name), prog: task.Bind(t, func(i int) history.Stream { return c.streams.ids[i] })}
		if t.Entry != "" {
			r.entry = c.group.byID[c.name(t.Entry)]
		}
		c.tasks = append(c.tasks, r)
	}
}

func (r *taskRule) common() *playbook.Common { return &r.pb.Common }
func (r *taskRule) id() uint32               { return r.rid }

// resume counts completions of the round that holds an instant: their marks say.
func (r *taskRule) resume(v history.View, at schemas.EventTime) int64 {
	round := r.prog.Round(v, at, r.open(v, at))
	return v.Tally(r.prog.Own, round.Start, at, round.Start == 0).Count
}

// open says who it is open to, as of just before an instant.
func (r *taskRule) open(v history.View, at schemas.EventTime) task.Open {
	o := task.Open{In: true}
	if st := v.C.Rule(r.rid); st != nil && !r.pb.Ever {
		o.Armed = st.Armed
	}
	if r.entry == nil {
		return o
	}
	st := v.C.Rule(r.entry.rid)
	if o.In = st != nil && phaseAt(v.C, r.entry, at-1) != 0; !o.In {
		return o
	}
	if o.Entered = st.Since; o.Entered >= at {
		o.Entered = 0
		for i := range st.Log {
			if f := &st.Log[i]; f.At < at && f.To != 0 {
				o.Entered = f.At
			}
		}
	}
	return o
}

func (r *taskRule) position(s standing) task.Position {
	return task.Position{Completed: s.phase / taskSteps, Done: uint8(s.phase % taskSteps), Count: s.aux, Since: s.since}
}

// current takes out of a standing what is of an older round.
func (r *taskRule) current(v history.View, at schemas.EventTime, s standing) standing {
	pos := r.prog.Current(at, r.prog.Round(v, at, r.open(v, at)), r.position(s))
	s.phase, s.aux = pos.Completed*taskSteps+int32(pos.Done), pos.Count
	return s
}

func (r *taskRule) eval(v history.View, at schemas.EventTime, before standing) standing {
	pos, due := r.prog.Eval(v, at, r.open(v, at), r.position(before))
	s := standing{phase: pos.Completed*taskSteps + int32(pos.Done), aux: pos.Count, due: due}
	if s.fire = s.phase != before.phase; s.fire {
		s.by = "customer"
	}
	if due == 0 && r.entry != nil && phaseAt(v.C, r.entry, at) != 0 && r.days() {
		s.due = at + 1 // she enters at this instant, and what time does counts from the next
		if r.open(v, at).In {
			s.due = 0
		}
	}
	return s
}

// days says whether time alone may do a step.
func (r *taskRule) days() bool {
	return slices.ContainsFunc(r.pb.Steps, func(s playbook.TaskStep) bool { return s.Kind == playbook.StepDays })
}

func (r *taskRule) trigger(v history.View, m *move) schemas.Trigger {
	t := &schemas.EngagementTrigger{Kind: "task_step", Name: r.pb.Name, Quantity: int64(m.to / taskSteps)}
	was, done := uint8(m.from%taskSteps), uint8(m.to%taskSteps)
	all := uint8(1<<len(r.pb.Steps) - 1)
	if m.to/taskSteps > m.from/taskSteps {
		t.Kind, done = "task_completed", all
	}
	o := r.open(v, m.facts)
	round := r.prog.Round(v, m.facts, o)
	pos := task.Position{Completed: m.from / taskSteps, Done: was, Since: m.since}
	if m.since > m.facts {
		pos.Since = 0
	}
	var names []string
	for i := range r.pb.Steps {
		if (done&^was)&(1<<i) == 0 {
			continue
		}
		s := &r.pb.Steps[i]
		names = append(names, s.Name)
		fact := s.Name + "." + [...]string{"times", "sum", "streak", "days"}[s.Kind]
		t.Evidence = append(t.Evidence, compared(fact, r.prog.Value(v, m.facts, round, pos, i), ">=", s.Need))
	}
	t.Step = strings.Join(names, ", ")
	if len(r.pb.Steps) > 1 {
		t.Attributes = append(t.Attributes, schemas.Attribute{Key: "steps", Value: strconv.Itoa(bits.OnesCount8(done)) + "/" + strconv.Itoa(len(r.pb.Steps))})
	}
	if t.Kind == "task_completed" {
		for _, w := range r.pb.Rewards {
			key := "reward.growth." + w.Growth
			if w.Ledger != "" {
				key = "reward.ledger." + w.Ledger
			}
			if w.Lock != nil {
				key = "locked." + key
			}
			t.Attributes = append(t.Attributes, schemas.Attribute{Key: key, Value: strconv.FormatInt(w.Gives, 10)})
		}
		sort.Slice(t.Attributes, func(i, k int) bool { return t.Attributes[i].Key < t.Attributes[k].Key })
	} else if round.Until != 0 {
		until := round.Until
		t.ExpiresAt = &until
	}
	if r.entry != nil {
		in := strconv.FormatBool(o.In)
		t.Evidence = append(t.Evidence, schemas.Evidence{Fact: r.pb.Name + ".open", Value: in, Comparison: "==", Limit: in})
	}
	if round.Until != 0 {
		t.Evidence = append(t.Evidence, compared(r.pb.Name+".left_ms", int64(round.Until-m.facts), ">=", 0))
	}
	return t
}

// concerns says whether a change may do or undo a step.
func (r *taskRule) concerns(c *state.Customer, ch *change) bool {
	if !ch.fresh || ch.tc < ch.prior {
		return true
	}
	if ch.orders && r.prog.Reads(history.Stream{}) {
		return true
	}
	for i := len(c.Marks) - 1; i >= 0 && c.Marks[i].At >= ch.tc; i-- {
		if m := &c.Marks[i]; m.At == ch.tc && (r.prog.Reads(history.Stream{ID: m.Stream}) || r.prog.Reads(history.Stream{ID: m.Stream, Net: true})) {
			return true
		}
	}
	return false
}

// settleTask is settle for one task; it returns the first instant at which
// something was completed, or no longer is; -1: nothing was.
func (c *Core) settleTask(e *entry, v history.View, r *taskRule, ch *change, now schemas.EventTime) schemas.EventTime {
	st := e.Rule(r.rid)
	moved := r.entry != nil && c.lastOf(e, r.entry) >= ch.tc
	if !moved && !r.concerns(&e.Customer, ch) {
		return -1
	}
	if st == nil {
		if s := r.eval(v, ch.tc, standing{}); ch.fresh && ch.tc >= ch.prior && s.phase == 0 && s.due == 0 {
			return -1 // no step is done
		}
		e.EnsureRule(r.rid)
	}
	c.settleRule(e, v, r, ch, now)
	given := c.completed(e, r, min(ch.tc, ch.at))
	if st := e.Rule(r.rid); st.Phase == 0 && st.Due == 0 && st.Armed == 0 && len(st.Log) == 0 && st.Episode == 0 {
		e.DropRule(r.rid)
	}
	return given
}

func (c *Core) lastOf(e *entry, r *phaseRule) schemas.EventTime {
	if st := e.Rule(r.rid); st != nil {
		return lastMove(st)
	}
	return -1
}

// completed marks a task's completions.
func (c *Core) completed(e *entry, r *taskRule, from schemas.EventTime) schemas.EventTime {
	st := e.Rule(r.rid)
	var want []state.Mark
	for i := range st.Log {
		if f := &st.Log[i]; f.To/taskSteps > f.From/taskSteps {
			want = append(want, state.Mark{Stream: r.prog.Own.ID, At: f.At, Event: c.hash('t', r.pb.Name+"#"+strconv.Itoa(int(f.To/taskSteps))), Value: 1})
		}
	}
	first := c.derive(e, st, r.pb.CorrectWithin, r.prog.Own.ID, from, want)
	c.given = c.given || first >= 0
	return first
}

// wakeTasks does the steps that time alone does at an instant.
func (c *Core) wakeTasks(e *entry, v history.View, at schemas.EventTime) {
	for _, r := range c.tasks {
		st := e.Rule(r.rid)
		own := st != nil && st.Due != 0 && st.Due <= at
		if !own && (r.entry == nil || !r.days() || c.lastOf(e, r.entry) != at) {
			continue
		}
		due := at
		if own {
			due = st.Due
		}
		e.EnsureRule(r.rid)
		c.step(e, v, r, due, due, "", nil)
		if st = e.Rule(r.rid); st.Due != 0 && st.Due <= due {
			st.Due = due + 1
		}
		if given := c.completed(e, r, due); given >= 0 {
			ch := &change{tc: given, at: due, prior: e.Latest, fresh: given >= e.Latest, marks: true}
			c.settleDerived(e, v, ch, c.reached(e), c.settleRules(e, v, ch, c.reached(e)))
		}
	}
}

// armTasks puts the tasks of a new playbook in force for a customer. What she did
// before counts only where the task says so, and gives her nothing.
func (c *Core) armTasks(e *entry, v history.View, names []string, at, from schemas.EventTime) {
	for _, r := range c.tasks {
		if !slices.Contains(names, r.pb.Name) {
			continue
		}
		st := e.EnsureRule(r.rid)
		if st.Armed >= from {
			continue
		}
		st.Phase -= st.Phase % taskSteps // the steps may be others now
		st.Armed = at
		if !r.pb.Ever {
			continue
		}
		c.quiet = true
		for range r.pb.Steps {
			c.step(e, v, r, at, at, "", nil)
		}
		c.quiet = false
	}
}
