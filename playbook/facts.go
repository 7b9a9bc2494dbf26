package playbook

import "tidemark/schemas"

// Stream is a sequence of a customer's events that facts and rules read by
// name. Streams[0] of a playbook is always "purchase": the orders that count,
// net of refunds, for which nothing more is stored.
type Stream struct {
	Name  string
	Types []string            // behavior types; nil: order events
	Order []schemas.OrderType // order events; nil with Types
	When  *EventCondition     // nil: all of them
	// Value is what each measures: "" nothing, "amount" an order's amount in minor
	// units of the playbook's currency, else the name of an attribute, a decimal
	// number that is scaled by 10^Decimals, half to even.
	Value    string
	Decimals int
	Category string // of order items: only orders that hold it, Value is its part
	Same     string // attribute that pairs events; of order events always the order
	Text     string // attribute that is remembered
	Holds    bool   // a gauge: Value holds until the next
	Task     bool   // what is done of the task of that name, or levels of a program; no event is one
	Net      bool   // each is an order that counts no more once nothing is left of it
}

// FactKind says how a fact is made of its stream.
type FactKind uint8

const (
	FactCount      FactKind = iota // how many in the window
	FactSum                        // of their values
	FactAverage                    // of a gauge over the window, weighted by time, rounded down; 0 before the first value
	FactMin                        // of what a gauge held in the window; 0 before the first value
	FactMax                        //
	FactLast                       // value of the latest; 0 before the first
	FactSince                      // local days since the latest; -1: none
	FactSinceFirst                 // local days since the first; -1: none
	FactSilence                    // whole milliseconds since the latest; -1: none
	FactStreak                     // local days in a row, up to today or yesterday
	FactShare                      // 100 × sum of Stream / sum of Other in the window, rounded down; 0 without Other
	FactOpen                       // events of Stream that Other did not follow within Within, for For from then on
	FactText                       // text of the latest; "" before the first
	FactFirst                      // text of the first
	FactHeld                       // text of the latest if its value is 1 and it is younger than Within, 0: ever; else ""
	FactRatio                      // average of a gauge over Window in whole percent of that over OfWindow, rounded down; 100 where there is nothing to compare with
	FactAOV                        // average order value, lifetime, rounded down
	FactRefunds                    // refunded orders, lifetime
)

// Fact is one number or text of one customer at one instant.
type Fact struct {
	Name        string
	Kind        FactKind
	Stream      int // index into Playbook.Streams
	Other       int // FactShare, FactOpen; FactStreak: of make-ups, -1: none
	Window      Window
	OfWindow    Window            // FactRatio
	Within, For schemas.EventTime // FactOpen
	MakeUps     int64             // FactStreak: at most so many missing days are made up in one streak
	AtMost      int64             // FactStreak: no longer than this
}

// IsText says whether the fact is a text; else it is a whole number.
func (f *Fact) IsText() bool { return f.Kind == FactText || f.Kind == FactFirst || f.Kind == FactHeld }

// Window is a span that ends now: Rolling (from, now], or since the begin of the
// local cycle (day, week, month, quarter, year) that now lies in; neither: all of it.
type Window struct {
	Rolling schemas.EventTime
	Cycle   string
}

// Ever says whether the window has no begin.
func (w Window) Ever() bool { return w.Rolling == 0 && w.Cycle == "" }

// Ref names what a condition reads: a fact (Table ""), or where a rule stands
// (Table tier, tier_level, rfm, churn, stage, tag, tag_of, segment; Key its name).
type Ref struct{ Table, Key string }

func (r Ref) String() string {
	if r.Table == "" {
		return r.Key
	}
	return r.Table + `["` + r.Key + `"]`
}

// Value is a number (true is 1) or a text.
type Value struct {
	Int  int64
	Text string
}

// builtin facts, over purchases.
var builtin = []Fact{
	{Name: "orders", Kind: FactCount},
	{Name: "spend_minor", Kind: FactSum},
	{Name: "orders_365d", Kind: FactCount, Window: Window{Rolling: year}},
	{Name: "spend_365d_minor", Kind: FactSum, Window: Window{Rolling: year}},
	{Name: "aov_minor", Kind: FactAOV},
	{Name: "days_since_first", Kind: FactSinceFirst},
	{Name: "days_since_last", Kind: FactSince},
	{Name: "refunds", Kind: FactRefunds},
}

// FactNamed returns the definition of a fact that a condition may read.
func (p *Playbook) FactNamed(name string) (Fact, bool) {
	for i := range p.Facts {
		if p.Facts[i].Name == name {
			return p.Facts[i], true
		}
	}
	for i := range builtin {
		if builtin[i].Name == name {
			return builtin[i], true
		}
	}
	return Fact{}, false
}
