package playbook

import (
	"fmt"
	"strings"
	"time"

	"tidemark/schemas"
)

// TouchPolicy (触达策略) says what may reach a customer, when, and where. Nil in
// a Playbook: everything may.
type TouchPolicy struct {
	Channels    []Channel // in the order in which they are tried
	Consent     bool      // marketing needs a recorded consent; else only a revocation stops it
	Quiet       Quiet
	MinDistance schemas.EventTime // between two marketing touches; 0: none
	Caps        []Cap
	Exclude     []Exclude
	Purposes    []string // that rules have, each once, in the order of the rules
}

// Channel is one way to reach a customer.
type Channel struct {
	Name        string
	AssumeBound bool // without a channel.bound she is reached there all the same
}

// Quiet is a span of local minutes of the day, [From, To), over midnight if To
// is before From. From equal to To: never.
type Quiet struct {
	From, To int
	Suppress bool // what falls into it is suppressed; else send_at moves to its end
}

// Cap bounds marketing touches.
type Cap struct {
	AtMost  int
	Window  Window // Rolling, or the customer's local day, week or month
	Channel int    // index into Channels; -1: over all
	Purpose string // "": of any
}

// Exclude keeps customers from marketing.
type Exclude struct {
	Name string
	When Condition
}

// Touching is what every rule that touches customers has.
type Touching struct {
	Purpose  string // default marketing
	Priority int64  // at one instant the greater goes first
	Service  bool   // message_class: service
	Channels []int  // indices into TouchPolicy.Channels, in order; nil: all

	Experiment *Experiment // nil: everybody is treated alike
	RolloutPPM int64       // share of the customers whom it touches, in parts per million
}

// Values of streams that say yes or no: 1 for an event of this type, -1 for its opposite.
const (
	ConsentGranted = "consent.granted"
	ChannelBound   = "channel.bound"
)

// TimeZoneFact is the name of the fact that holds the customer's own time zone.
const TimeZoneFact = "customer.time_zone"

// BoundFact and ConsentFact are the names of the facts that a policy reads: 1, -1,
// or 0 where nothing is recorded.
func BoundFact(channel string) string            { return "touch.bound/" + channel }
func ConsentFact(channel, purpose string) string { return "touch.consent/" + channel + "/" + purpose }

const defaultPurpose = "marketing"

func (p *builder) customerZone(root *block) {
	attribute := root.text("customer_time_zone", "")
	if attribute == "" {
		return
	}
	s := Stream{Text: attribute, Types: []string{"customer.registered", "customer.updated"}}
	s.Name = "text/" + s.Text + "/" + strings.Join(s.Types, "/")
	p.madeFact(Fact{Name: TimeZoneFact, Kind: FactText, Stream: p.made(s), Other: -1})
}

func (p *builder) touchPolicy(root *block) {
	v := root.get("touch_policy")
	if v == nil {
		return
	}
	b := p.c.open(v, "touch_policy", "touch_policy", "")
	t := &TouchPolicy{}
	p.out.Touch = t
	const form = "a list of {name, assume_bound}, the first choice first"
	items := b.list("channels", form)
	if v := b.need("channels", form); v != nil && v.kind == listNode && len(items) == 0 {
		p.c.problem(v, b.at("channels"), "there is no channel", form)
	}
	for i, item := range items {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("channels"), i), "touch_policy.channels[]", "")
		c := Channel{Name: a.name("name"), AssumeBound: a.choice("assume_bound", "false", "true", "false") == "true"}
		if contains(t.names(), c.Name) && c.Name != "" {
			p.c.problem(a.get("name"), a.at("name"), fmt.Sprintf("a channel named %q stands above already", c.Name), "names that differ")
		}
		t.Channels = append(t.Channels, c)
	}
	t.Consent = b.choice("consent", "required", "required", "assumed") == "required"
	t.MinDistance = b.duration("min_distance", 0, schemas.Minute, 366*schemas.Day)
	if v := b.get("quiet_hours"); v != nil {
		q := p.c.open(v, b.at("quiet_hours"), "touch_policy.quiet_hours", "")
		t.Quiet = Quiet{From: p.timeOfDay(q, "from", -1), To: p.timeOfDay(q, "to", -1), Suppress: q.choice("then", "hold", "hold", "suppress") == "suppress"}
		if t.Quiet.From == t.Quiet.To && t.Quiet.From >= 0 {
			p.c.problem(v, b.at("quiet_hours"), "from and to are the same: nothing could ever be sent, or everything", "two times of the day that differ")
		}
	}
	for i, item := range b.list("caps", "a list of {at_most, per, channel, purpose}") {
		t.Caps = append(t.Caps, p.touchCap(p.c.open(item, fmt.Sprintf("%s[%d]", b.at("caps"), i), "touch_policy.caps[]", ""), t))
	}
	for i, item := range b.list("exclude", "a list of {name, when}") {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("exclude"), i), "touch_policy.exclude[]", "")
		t.Exclude = append(t.Exclude, Exclude{Name: a.name("name"), When: p.condition(a, "when")})
	}
}

func (p *builder) touchCap(a *block, t *TouchPolicy) Cap {
	a.need("at_most", "a whole number from 1 to 30")
	k := Cap{AtMost: int(a.integer("at_most", 1, 1, 30)), Channel: -1, Purpose: a.text("purpose", "")}
	if a.get("channel") != nil {
		k.Channel = p.refer(a, "channel", "channel", t.names())
	}
	const form = "day, week, month, or {rolling: 7d}"
	switch v := a.need("per", form); {
	case v == nil:
	case v.kind == mapNode:
		w := p.c.open(v, a.at("per"), "touch_policy.caps[].per", "")
		w.need("rolling", "a duration such as 7d")
		k.Window.Rolling = w.duration("rolling", schemas.Day, schemas.Minute, 366*schemas.Day)
	default:
		k.Window.Cycle = a.choice("per", "day", "day", "week", "month")
	}
	return k
}

func (t *TouchPolicy) names() []string {
	var out []string
	for i := range t.Channels {
		out = append(out, t.Channels[i].Name)
	}
	return out
}

const timeForm = "a local time of the day such as 09:00"

// timeOfDay reads minutes since midnight.
func (p *builder) timeOfDay(b *block, key string, otherwise int) int {
	if otherwise < 0 {
		b.need(key, timeForm)
	}
	s, v, ok := b.scalar(key, timeForm)
	if !ok {
		return otherwise
	}
	if len(s) == 5 && s[2] == ':' && s[0] >= '0' && s[1] >= '0' && s[3] >= '0' && s[4] >= '0' && s[1] <= '9' && s[4] <= '9' && s[3] <= '5' {
		if h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0'); h < 24 && s[0] <= '2' {
			return h*60 + m
		}
	}
	p.c.problem(v, b.at(key), fmt.Sprintf("%q is not a time of the day", shorten(s)), timeForm)
	return otherwise
}

// touching reads what every rule that touches customers has, and sees to it that
// the policy knows of its purpose.
func (p *builder) touching(b *block, rule string) Touching {
	x := Touching{Purpose: b.text("purpose", defaultPurpose), Priority: b.integer("priority", 0, -1000, 1000),
		Service: b.choice("message_class", "marketing", "marketing", "service") == "service", Experiment: p.experiment(b, rule), RolloutPPM: b.percent("rollout", 1_000_000, 0, 1_000_000)}
	t := p.out.Touch
	if t == nil {
		for _, key := range []string{"purpose", "priority", "message_class", "channels"} {
			if v := b.get(key); v != nil && (key != "message_class" || p.out.GlobalControl == nil) {
				p.c.problem(v, b.at(key), "says something to a touch policy, and there is none", "touch_policy: {channels: [...]}")
			}
		}
		return x
	}
	for i, item := range b.list("channels", "a list of channels of touch_policy") {
		at := fmt.Sprintf("%s[%d]", b.at("channels"), i)
		if s, ok := p.c.scalar(item, at, strings.Join(t.names(), ", ")); ok {
			x.Channels = append(x.Channels, p.channelNamed(item, at, s))
		}
	}
	if x.Service {
		return x
	}
	if !contains(t.Purposes, x.Purpose) {
		t.Purposes = append(t.Purposes, x.Purpose)
	}
	return x
}

func (p *builder) channelNamed(n *node, path, s string) int {
	names := p.out.Touch.names()
	for i, name := range names {
		if name == s {
			return i
		}
	}
	p.c.problem(n, path, fmt.Sprintf("touch_policy has no channel %q%s", shorten(s), didYouMean(s, names)), strings.Join(names, ", "))
	return 0
}

// touchFacts makes the streams that the policy reads, once all rules are known.
func (p *builder) touchFacts() {
	t := p.out.Touch
	if t == nil {
		return
	}
	is := func(attribute, value string) Expr {
		return Expr{Op: OpCompare, Ref: Ref{"attributes", attribute}, Cmp: Equal, IsText: true, Limit: Value{Text: value}}
	}
	either := func(attribute, value string) Expr {
		return Expr{Op: OpAny, Of: []Expr{is(attribute, value), is(attribute, "")}}
	}
	for i := range t.Channels {
		c := t.Channels[i].Name
		name := BoundFact(c)
		p.madeFact(Fact{Name: name, Kind: FactLast, Other: -1, Stream: p.made(Stream{Name: name, Types: []string{ChannelBound, "channel.unbound"},
			Value: ChannelBound, When: &EventCondition{native: true, source: name, expr: is("channel", c)}})})
		for _, purpose := range t.Purposes {
			name := ConsentFact(c, purpose)
			p.madeFact(Fact{Name: name, Kind: FactLast, Other: -1, Stream: p.made(Stream{Name: name, Types: []string{ConsentGranted, "consent.revoked"},
				Value: ConsentGranted, When: &EventCondition{native: true, source: name, expr: all(either("channel", c), either("purpose", purpose))}})})
		}
	}
}

// Location is a time zone by its name in the IANA database, as a customer's
// attribute holds it; false: there is none of that name.
func Location(name string) (*time.Location, bool) {
	if name == "" || name == "Local" {
		return nil, false
	}
	loc, err := time.LoadLocation(name)
	return loc, err == nil
}
