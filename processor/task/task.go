package task

import (
	"tidemark/playbook"
	"tidemark/processor/facts"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// Program is a task bound to the streams of a store.
type Program struct {
	T       *playbook.Task
	Opens   history.Stream
	Own     history.Stream // its completions
	streams []history.Stream
	streaks []facts.Fact // by step; only of StepStreak
}

// Bind resolves a task; ids gives the stream of a store for an index into Playbook.Streams.
func Bind(t *playbook.Task, ids func(int) history.Stream) Program {
	p := Program{T: t, Own: ids(t.Stream), streaks: make([]facts.Fact, len(t.Steps))}
	if t.Opens >= 0 {
		p.Opens = ids(t.Opens)
	}
	for i := range t.Steps {
		s := &t.Steps[i]
		p.streams = append(p.streams, ids(s.Stream))
		if s.Kind == playbook.StepStreak {
			p.streaks[i] = facts.Bind(playbook.Fact{Kind: playbook.FactStreak, Stream: s.Stream, Other: s.MakeUp, MakeUps: s.MakeUps}, ids)
		}
	}
	return p
}

// Position is how far a customer has come.
type Position struct {
	Completed int32             // rounds in all
	Done      uint8             // steps of the round under way, a bit each
	Count     int64             // completions in the round under way
	Since     schemas.EventTime // of the last step; 0: none
}

// Open is since when a customer may do the task, as far as other rules say.
type Open struct {
	Armed   schemas.EventTime // since when the task is in force, unless what came before counts; 0: always
	Entered schemas.EventTime // when she entered
	In      bool              // and has not left; true without a condition
}

// Round is what is open at an instant.
type Round struct {
	Open  bool
	Start schemas.EventTime // completions after it are of this round; 0: all are
	After schemas.EventTime // what counts for a step comes after it; 0: everything does
	Until schemas.EventTime // the last instant that counts; 0: no end is known
}

// Round is the round under way at an instant.
func (p *Program) Round(v history.View, at schemas.EventTime, o Open) Round {
	t := p.T
	r := Round{Open: o.In}
	begin := schemas.EventTime(0) // what a deadline counts from
	ends := func(until schemas.EventTime) {
		if r.Until == 0 || until < r.Until {
			r.Until = until
		}
	}
	if t.Entry != "" {
		r.Start, begin = max(r.Start, o.Entered), o.Entered
	}
	if t.Window != "" {
		start, _ := v.Zone.CycleStart(t.Window, at)
		next, _ := v.Zone.Cycle(t.Window, at)
		r.Start, begin = max(r.Start, start-1), max(begin, start)
		ends(next - 1)
	}
	if t.Season != nil {
		from, until, ok := t.Season.Days(v.Zone.Day(at))
		r.Open = r.Open && ok
		start := v.Zone.Midnight(from)
		r.Start, begin = max(r.Start, start-1), max(begin, start)
		ends(v.Zone.Midnight(until) - 1)
	}
	if t.Opens >= 0 {
		opened, ok := v.LastOf(p.Opens, at-1)
		r.Open = r.Open && ok
		r.Start, begin = max(r.Start, opened), max(begin, opened)
	}
	if t.Deadline > 0 {
		ends(begin + t.Deadline)
		r.Open = r.Open && at <= begin+t.Deadline
	}
	r.After = max(r.Start, o.Armed)
	return r
}

// Current is a position with what an older round, or a chain that broke, has
// left in it taken out.
func (p *Program) Current(at schemas.EventTime, r Round, pos Position) Position {
	if pos.Since <= r.After {
		pos.Done = 0
	}
	if pos.Since <= r.Start && r.Start != 0 {
		pos.Count = 0
	}
	if i := p.next(pos.Done); !p.T.Parallel && pos.Done != 0 {
		if w := p.T.Steps[i].Within; w > 0 && at > pos.Since+w {
			pos.Done = 0
		}
	}
	return pos
}

// next is the first step that is not done.
func (p *Program) next(done uint8) int {
	i := 0
	for done&(1<<i) != 0 && i+1 < len(p.T.Steps) {
		i++
	}
	return i
}

// Value is what a step counts at an instant.
func (p *Program) Value(v history.View, at schemas.EventTime, r Round, pos Position, step int) int64 {
	s := &p.T.Steps[step]
	after := r.After
	if pos.Since > r.After && (!p.T.Parallel || pos.Done == 0) {
		after = pos.Since
	}
	switch s.Kind {
	case playbook.StepDays:
		first, ok := v.FirstOf(p.streams[step], at)
		if !ok {
			return -1
		}
		return v.Zone.Day(at) - v.Zone.Day(first)
	case playbook.StepStreak:
		n := p.streaks[step].Eval(v, at).Int
		switch {
		case after == 0:
		case after == pos.Since: // the day of the last step is used up
			n = min(n, v.Zone.Day(at)-v.Zone.Day(after))
		default:
			n = min(n, v.Zone.Day(at)-v.Zone.Day(after+1)+1)
		}
		return n
	}
	ever := after == 0
	if s.Within > 0 && (p.T.Parallel || pos.Done == 0) {
		after, ever = max(after, at-s.Within), false
	}
	tally := v.Tally(p.streams[step], after, at, ever)
	if s.Kind == playbook.StepSum {
		return tally.Sum
	}
	return tally.Count
}

// Eval says where a customer stands at an instant, given where she stood before,
// and when time alone may do the next step; 0: never.
func (p *Program) Eval(v history.View, at schemas.EventTime, o Open, pos Position) (Position, schemas.EventTime) {
	r := p.Round(v, at, o)
	pos = p.Current(at, r, pos)
	if !r.Open || p.T.AtMost > 0 && pos.Count >= p.T.AtMost {
		return pos, 0
	}
	before := pos
	for i := range p.T.Steps {
		if before.Done&(1<<i) != 0 || !p.T.Parallel && i != p.next(before.Done) {
			continue
		}
		if p.Value(v, at, r, before, i) >= p.T.Steps[i].Need {
			pos.Done |= 1 << i
			pos.Since = at
		}
	}
	if pos.Done == 1<<len(p.T.Steps)-1 {
		pos.Done = 0
		pos.Completed++
		pos.Count++
		if p.T.AtMost > 0 && pos.Count >= p.T.AtMost {
			return pos, 0
		}
	}
	return pos, p.due(v, at, pos)
}

// due is when the next step that waits for days is done.
func (p *Program) due(v history.View, at schemas.EventTime, pos Position) (due schemas.EventTime) {
	for i := range p.T.Steps {
		s := &p.T.Steps[i]
		if s.Kind != playbook.StepDays || pos.Done&(1<<i) != 0 || !p.T.Parallel && i != p.next(pos.Done) {
			continue
		}
		first, ok := v.FirstOf(p.streams[i], at)
		if !ok {
			continue
		}
		t := v.Zone.Midnight(v.Zone.Day(first) + s.Need)
		if t <= at { // it is already so, and counts from the next instant on
			t = at + 1
		}
		if due == 0 || t < due {
			due = t
		}
	}
	return due
}

// Reads says whether a step counts a stream, or a round opens by it.
func (p *Program) Reads(s history.Stream) bool {
	if p.T.Opens >= 0 && p.Opens == s {
		return true
	}
	for i := range p.streams {
		if p.streams[i] == s || p.T.Steps[i].Kind == playbook.StepStreak && p.streaks[i].Pair && p.streaks[i].Other == s {
			return true
		}
	}
	return false
}
