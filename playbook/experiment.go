package playbook

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Experiment (实验) is a property of a rule that touches customers: who is held
// out, and which treatment the others get. A customer is drawn once, when the rule
// would first touch her, and that never changes.
type Experiment struct {
	HoldoutPPM int64  // share of the holdout in parts per million
	Salt       string // of the draw; default the rule's name
	Arms       []Arm

	// Books says whether assignments and sums are kept and published; the short form
	// of a recall has none.
	Books      bool
	Effect     []schemas.EventTime // horizons after the assignment at which outcomes are summed, ascending
	RevenueCap int64               // minor units; a customer's revenue counts no further; 0: it counts whole
	Report     string              // the cycle at whose end the sums are published
}

// Arm is one treatment of an experiment: time, content, channel, landing (时间+内容+渠道+承接方式).
type Arm struct {
	Name                            string
	Weight                          int64
	Time, Content, Channel, Landing string
}

// GlobalControl (全局对照组) is the share of all customers whom no marketing rule
// treats, drawn before any experiment and anew in every cycle.
type GlobalControl struct {
	PPM    int64
	Rotate string // month, quarter, year
	Salt   string
}

// maxArms bounds the arms of one experiment.
const maxArms = 64

func (p *builder) globalControl(root *block) {
	const form = "a list of customer_ids"
	for i, item := range root.list("test_customers", form) {
		if s, ok := p.c.scalar(item, fmt.Sprintf("test_customers[%d]", i), form); ok {
			if p.out.TestCustomers == nil {
				p.out.TestCustomers = map[string]bool{}
			}
			p.out.TestCustomers[s] = true
		}
	}
	v := root.get("global_control")
	if v == nil {
		return
	}
	b := p.c.open(v, "global_control", "global_control", "")
	b.need("share", "a percentage from 0.1% to 50%; 3% is a good start")
	p.out.GlobalControl = &GlobalControl{PPM: b.percent("share", 30_000, 1_000, 500_000),
		Rotate: b.choice("rotate", "quarter", "month", "quarter", "year"), Salt: b.text("salt", p.out.Name)}
}

const armsForm = "a list of {name, weight, time, content, channel, landing}"

// experiment reads the block of a rule; nil without one.
func (p *builder) experiment(b *block, rule string) *Experiment {
	v := b.get("experiment")
	if v == nil {
		return nil
	}
	shape := shapeOf(b.at("experiment"))
	a := p.c.open(v, b.at("experiment"), shape, "")
	x := &Experiment{Books: true, RevenueCap: 0, Report: a.choice("report", "month", "day", "week", "month", "quarter")}
	p.drawn(a, x, rule, shape)
	if a.get("factors") != nil {
		p.factorial(a, x, shape)
	}
	if len(x.Arms) == 0 && a.get("arms") == nil && a.get("factors") == nil {
		x.Arms = []Arm{{Name: "treated", Weight: 1}}
	}
	x.Effect = []schemas.EventTime{7 * schemas.Day, 30 * schemas.Day, 90 * schemas.Day}
	if a.get("effect") != nil {
		const form = "up to four ascending durations such as [7d, 30d, 90d]"
		x.Effect = nil
		for i, item := range a.list("effect", form) {
			at := fmt.Sprintf("%s[%d]", a.at("effect"), i)
			s, ok := p.c.scalar(item, at, form)
			if !ok {
				continue
			}
			d, err := ParseDuration(s)
			switch n := len(x.Effect); {
			case err != nil:
				p.c.problem(item, at, durationProblem(s, err), form)
			case d < schemas.Day || d > 366*schemas.Day:
				p.c.problem(item, at, fmt.Sprintf("%s is out of range", s), "from 1d to 366d")
			case n > 0 && d <= x.Effect[n-1]:
				p.c.problem(item, at, fmt.Sprintf("%s is not longer than the one before", s), form)
			case n == 4:
				p.c.problem(item, at, "is one too many", form)
			default:
				x.Effect = append(x.Effect, d)
			}
		}
	}
	for _, d := range x.Effect {
		p.needs(d)
	}
	if v := a.get("revenue_cap"); v != nil {
		x.RevenueCap, _ = p.c.money(v, a.at("revenue_cap"), 1)
	}
	return x
}

// drawn reads holdout, salt and arms, which a recall may have directly too.
func (p *builder) drawn(b *block, x *Experiment, rule, shape string) {
	b.need("holdout", "a percentage from 0% to 90%; 10% is a good start")
	x.HoldoutPPM = b.percent("holdout", 0, 0, 900_000)
	x.Salt = b.text("salt", rule)
	items := b.list("arms", armsForm)
	if v := b.get("arms"); v != nil && v.kind == listNode && len(items) == 0 {
		p.c.problem(v, b.at("arms"), "there is no arm", armsForm)
	}
	if len(items) > maxArms {
		p.c.problem(b.get("arms"), b.at("arms"), fmt.Sprintf("there are %d arms", len(items)), fmt.Sprintf("at most %d", maxArms))
	}
	for i, item := range items {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("arms"), i), shape+".arms[]", "")
		arm := Arm{Name: a.name("name"), Weight: a.integer("weight", 1, 1, 1_000_000), Time: a.text("time", ""),
			Content: a.text("content", ""), Channel: a.text("channel", ""), Landing: a.text("landing", "")}
		for _, before := range x.Arms {
			if arm.Name != "" && before.Name == arm.Name {
				p.c.problem(a.get("name"), a.at("name"), fmt.Sprintf("an arm named %q stands above already", arm.Name), "names that differ")
			}
		}
		if arm.Name == "holdout" {
			p.c.problem(a.get("name"), a.at("name"), "no arm is named holdout: that is who gets none", "another name")
		}
		if arm.Channel != "" && p.out.Touch != nil {
			p.channelNamed(a.get("channel"), a.at("channel"), arm.Channel)
		}
		x.Arms = append(x.Arms, arm)
	}
}

// factorial makes an arm of every combination, all of one weight, each named by
// its values joined with "+".
func (p *builder) factorial(b *block, x *Experiment, shape string) {
	v := b.get("factors")
	if a := b.get("arms"); a != nil {
		p.c.problem(a, b.at("arms"), "the factors make the arms already", "arms for chosen combinations, factors for all of them")
		return
	}
	f := p.c.open(v, b.at("factors"), shape+".factors", "")
	arms := []Arm{{Weight: 1}}
	for _, key := range []string{"time", "content", "channel", "landing"} {
		if f.get(key) == nil {
			continue
		}
		var next []Arm
		for i, s := range f.names(key) {
			if key == "channel" && p.out.Touch != nil {
				if at := f.get(key); at.kind == listNode {
					p.channelNamed(at.items[i], fmt.Sprintf("%s[%d]", f.at(key), i), s)
				}
			}
			for _, a := range arms {
				switch key {
				case "time":
					a.Time = s
				case "content":
					a.Content = s
				case "channel":
					a.Channel = s
				case "landing":
					a.Landing = s
				}
				a.Name = strings.TrimPrefix(a.Name+"+"+s, "+")
				next = append(next, a)
			}
		}
		if len(next) > maxArms {
			p.c.problem(v, b.at("factors"), fmt.Sprintf("the factors make %d arms or more", len(next)), fmt.Sprintf("at most %d; arms lists chosen combinations", maxArms))
			return
		}
		if len(next) > 0 {
			arms = next
		}
	}
	if arms[0].Name == "" {
		p.c.problem(v, b.at("factors"), "there is no factor", "lists under time, content, channel, landing")
		return
	}
	x.Arms = arms
}
