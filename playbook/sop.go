package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Sop (SOP 自动化) is a sequence of steps that a customer goes through one after
// another, begun by where another rule puts her or by an event.
type Sop struct {
	Common
	Touching
	On       Entry
	Exit     Condition // looked at before each step; nil: never
	Stay     bool      // she goes on though what began it is over
	UnderWay UnderWay
	Versions []SopVersion // [0] is the one that new customers take
}

// Entry is what begins a sequence.
type Entry struct {
	Rule   string // a rule of phases or of churn; "": events of Stream
	Phase  int32  // which is entered; -1: any level of a warning
	Stream int    // index into Playbook.Streams
	Fact   string // as evidence names it: segment["x"]
	Value  string
}

// UnderWay says what customers do who are in an older version.
type UnderWay uint8

const (
	UnderWayFinish UnderWay = iota // theirs, as previous lists it; where it does not, as move
	UnderWayMove                   // go on with the step of the same name, or end
	UnderWayStop
)

// SopVersion is one version of the steps.
type SopVersion struct {
	Version int64
	Steps   []SopStep
}

// SopStep is one step: a message, or work of the staff.
type SopStep struct {
	Name string
	Wait schemas.EventTime // after the step before, or the begin
	At   int               // then at the next such local minute; -1: at once
	If   Condition         // nil: always
	Then int               // the step after it was done; NextStep, ExitStep, or an index
	Else int               // the step where If does not hold

	Channel, Content, Landing string
	ExpireAfter               schemas.EventTime // 0: never

	Staff    string // who does it; "": a message
	Accept   schemas.EventTime
	Deadline schemas.EventTime
	Escalate []string // who gets it when it is overdue, in order
}

// Where a step leads, beside the number of another.
const (
	NextStep = -1
	ExitStep = -2
)

// StepReport as the Value of a Stream: 1 for step.accepted, 2 for step.done, 3 for
// step.skipped.
const StepReport = "step.done"

// StepValue is what a step report measures.
func StepValue(behavior string) int64 {
	switch behavior {
	case "step.accepted":
		return 1
	case "step.done":
		return 2
	}
	return 3
}

// StepStream is the name of the stream of step reports.
const StepStream = "step reports/"

const maxSteps = 50

func (p *builder) sop(n *node, path string) Sop {
	b := p.c.open(n, path, "sop[]", "")
	s := Sop{Common: p.common(b)}
	s.On = p.entry(b)
	s.Exit = p.optional(b, "exit")
	s.Stay = b.choice("leave", "exit", "exit", "stay") == "stay"
	s.UnderWay = map[string]UnderWay{"finish": UnderWayFinish, "move": UnderWayMove, "stop": UnderWayStop}[b.choice("under_way", "finish", "finish", "move", "stop")]
	now := SopVersion{Version: b.integer("version", 1, 1, 10_000), Steps: p.steps(b, "sop[].steps[]")}
	s.Versions = append(s.Versions, now)
	for i, item := range b.list("previous", "a list of {version, steps}") {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("previous"), i), "sop[].previous[]", "")
		a.need("version", "the version's number")
		v := SopVersion{Version: a.integer("version", 1, 1, 10_000), Steps: p.steps(a, "sop[].previous[].steps[]")}
		for _, o := range s.Versions {
			if o.Version == v.Version {
				p.c.problem(a.get("version"), a.at("version"), fmt.Sprintf("version %d stands here already", v.Version), "each version once")
			}
		}
		s.Versions = append(s.Versions, v)
	}
	s.Touching = p.touching(b, s.Name)
	p.needs(31 * schemas.Day)
	return s
}

// steps reads a list of steps. They lead forward only, so every sequence ends.
func (p *builder) steps(b *block, shape string) []SopStep {
	const form = "a list of steps"
	items := b.list("steps", form)
	if v := b.need("steps", form); v != nil && v.kind == listNode && (len(items) == 0 || len(items) > maxSteps) {
		p.c.problem(v, b.at("steps"), fmt.Sprintf("there are %d steps", len(items)), fmt.Sprintf("1 to %d", maxSteps))
	}
	var out []SopStep
	var blocks []*block
	var names []string
	for i, item := range items {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("steps"), i), shape, "")
		st := SopStep{Name: a.name("name"), Wait: a.duration("wait", 0, 0, 366*schemas.Day), At: -1, If: p.optional(a, "if"),
			Channel: a.text("channel", ""), Content: a.text("content", ""), Landing: a.text("landing", ""),
			ExpireAfter: a.duration("expire_after", 0, schemas.Minute, 366*schemas.Day), Staff: a.text("staff", "")}
		if st.Name != "" && contains(names, st.Name) {
			p.c.problem(a.get("name"), a.at("name"), fmt.Sprintf("a step named %q stands above already", st.Name), "names that differ")
		}
		if a.get("at") != nil {
			st.At = p.timeOfDay(a, "at", 0)
		}
		if st.Channel != "" && p.out.Touch != nil {
			p.channelNamed(a.get("channel"), a.at("channel"), st.Channel)
		}
		if st.Staff != "" {
			a.need("deadline", "how long the staff have, such as 4h")
			st.Deadline = a.duration("deadline", schemas.Day, schemas.Minute, 366*schemas.Day)
			st.Accept = a.duration("accept_within", 0, schemas.Minute, 366*schemas.Day)
			if st.Accept >= st.Deadline && st.Accept != 0 {
				p.c.problem(a.get("accept_within"), a.at("accept_within"), "is not before the deadline", "less than "+FormatDuration(st.Deadline))
			}
			st.Escalate = a.names("escalate")
		} else {
			for _, key := range []string{"deadline", "accept_within", "escalate"} {
				if v := a.get(key); v != nil {
					p.c.problem(v, a.at(key), "is about work of the staff, and this step is a message", "staff: who does it")
				}
			}
		}
		names = append(names, st.Name)
		out, blocks = append(out, st), append(blocks, a)
	}
	for i, a := range blocks {
		out[i].Then = p.leads(a, "then", i, names)
		out[i].Else = p.leads(a, "else", i, names)
		if v := a.get("else"); v != nil && a.get("if") == nil {
			p.c.problem(v, a.at("else"), "without if there is no else", "if: a condition")
		}
	}
	return out
}

func (p *builder) leads(a *block, key string, i int, names []string) int {
	later := append([]string{"next", "exit"}, names[i+1:]...)
	allowed := strings.Join(later, ", ")
	s, v, ok := a.scalar(key, allowed)
	if !ok {
		return NextStep
	}
	switch s {
	case "next":
		return NextStep
	case "exit":
		return ExitStep
	}
	for k := i + 1; k < len(names); k++ {
		if names[k] == s {
			return k
		}
	}
	p.c.problem(v, a.at(key), fmt.Sprintf("%q is no later step%s", shorten(s), didYouMean(s, later)), allowed)
	return NextStep
}

const entryForm = "{segment: …}, {tag: …}, {stage: …, of: …}, {churn: …} or {event: …}"

// entry reads what begins a sequence.
func (p *builder) entry(b *block) Entry {
	v := b.need("on", entryForm)
	if v == nil {
		return Entry{}
	}
	shape := shapeOf(b.at("on"))
	verbs := []string{"segment", "tag", "stage", "churn", "event"}
	verb := ""
	if v.kind == mapNode {
		for _, e := range v.entries {
			if contains(verbs, e.key.text) {
				verb = e.key.text
				break
			}
		}
	}
	if verb == "" {
		a := p.c.open(v, b.at("on"), shape, "")
		if a.n != nil {
			p.c.problem(v, b.at("on"), "it does not say what begins it", entryForm)
		}
		return Entry{}
	}
	keys := []string{verb}
	if verb == "stage" {
		keys = append(keys, "of")
	}
	a := p.c.open(v, b.at("on"), shape, "with "+verb, keys...)
	out := Entry{}
	switch verb {
	case "event":
		out.Stream = p.streamOf(a, "event")
		name := p.out.Streams[out.Stream].Name
		out.Fact, out.Value = "event", name
		if out.Stream == 0 {
			p.c.problem(a.get("event"), a.at("event"), "purchase keeps no single events", "a stream of facts.core_behavior with order: PAID")
		} else {
			p.madeFact(Fact{Name: "begins/" + name, Kind: FactLast, Stream: out.Stream, Other: -1})
		}
	case "churn":
		i := p.refer(a, "churn", "churn rule", p.churnNames)
		if i < len(p.churnNames) {
			out.Rule, out.Phase = p.churnNames[i], -1
		}
		out.Fact, out.Value = `churn["`+out.Rule+`"]`, "warned"
	case "segment":
		i := p.refer(a, "segment", "segment", p.known.Segments)
		if i < len(p.known.Segments) {
			out.Rule, out.Phase = p.known.Segments[i], 1
		}
		out.Fact, out.Value = `segment["`+out.Rule+`"]`, "true"
	case "tag":
		i := p.refer(a, "tag", "tag", p.known.Tags)
		if i < len(p.known.Tags) {
			tag := p.known.Tags[i]
			out.Fact, out.Value = `tag["`+tag+`"]`, "true"
			for k := range p.out.Phases {
				r := &p.out.Phases[k]
				for n, name := range r.Names {
					if n > 0 && name == tag && r.Block == "tags" && !r.Value {
						out.Rule, out.Phase = r.Name, int32(n)
					}
				}
			}
		}
	case "stage":
		var tracks []string
		for i := range p.out.Phases {
			if r := &p.out.Phases[i]; r.Block == "lifecycle" || r.Block == "inflection" {
				tracks = append(tracks, r.Name)
			}
		}
		i := p.refer(a, "of", "track", tracks)
		if i < len(tracks) {
			for k := range p.out.Phases {
				if r := &p.out.Phases[k]; r.Name == tracks[i] {
					out.Rule, out.Phase = r.Name, int32(p.refer(a, "stage", "stage", r.Names))
					if int(out.Phase) < len(r.Names) {
						out.Fact, out.Value = `stage["`+r.Name+`"]`, r.Names[out.Phase]
					}
				}
			}
		} else {
			a.text("stage", "")
		}
	}
	return out
}

// sopStreams makes the stream of step reports, where a step is the staff's.
func (p *builder) sopStreams() {
	for i := range p.out.Sops {
		for _, v := range p.out.Sops[i].Versions {
			for _, s := range v.Steps {
				if s.Staff != "" {
					stream := p.made(Stream{Name: StepStream, Types: []string{"step.accepted", "step.done", "step.skipped"}, Value: StepReport, Same: "trigger_id"})
					p.madeFact(Fact{Name: StepStream, Kind: FactLast, Stream: stream, Other: -1})
					return
				}
			}
		}
	}
}
