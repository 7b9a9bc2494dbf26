package playbook

import (
	"time"

	"tidemark/schemas"
)

// Clock says what moves a task's time.
type Clock uint8

const (
	// Live: the wall moves the clock once the inputs are read to their end.
	Live Clock = iota
	// Input: the events alone move the clock, and one tick to the end closes the history.
	Input
)

// Playbook is one compiled version of all that the business decides. It is
// immutable after Compile and safe to share between tasks.
type Playbook struct {
	Name    string
	Version string // "<version of the file or 1>-<first 8 hex digits of the hash of the canonical text>"
	Text    []byte // as read; what the control topic carries
	read    map[Ref]bool

	Clock    Clock
	Zone     *time.Location // of the tenant
	Currency string         // ISO 4217: the one in which the business counts
	Rates    Rates

	CountsAtPlaced bool              // counts_at: PLACED; default PAID
	Disorder       schemas.EventTime // allowed disorder, default 10 min
	PublishDelay   schemas.EventTime // how late publishers may be, default 2 s
	Future         schemas.EventTime // how far occurred_at may lie after its fetch, default 10 min
	Horizon        schemas.EventTime // how long history is kept; default longest window + correct_within
	RefundWait     schemas.EventTime // how long a refund waits for its order, default 30 d
	UnlinkedApply  bool              // unlinked: apply (default) | dead-letter
	MaxEventBytes  int               // record size limit, default 1 MiB
	PauseAfterDead int               // so many dead letters in a row pause the task, default 100
	Salt           string            // of the keyed hashes of ids; default the playbook's name

	Streams []Stream // that facts read; [0] is "purchase"
	Facts   []Fact   // declared ones
	Phases  []Phases // lifecycle, inflection, tags, segments; each after those that it reads

	Growth  []Growth
	Tiers   []Tier
	Ledgers []Ledger
	RFM     []RFM
	Churn   []Churn
	Recall  []Recall

	Tasks   []Task   // each after those that it waits for
	Moments []Moment // of the calendar
	Sops    []Sop

	Touch         *TouchPolicy    // nil: nothing holds a touch back
	GlobalControl *GlobalControl  // nil: there is none
	TestCustomers map[string]bool // whom every rule touches first, and no experiment counts
}

// Common is what every rule has.
type Common struct {
	Name          string            // the rule's identity
	CorrectWithin schemas.EventTime // default 30 d
	MaxAge        schemas.EventTime // 0: no limit; older than this against the journaled wall time is suppressed as stale
	CoolDown      schemas.EventTime // an episode that begins sooner after the last that was sent is suppressed; 0: none is
	Once          bool              // only the first episode is sent
}

// Growth (成长值) turns net paid amounts into growth value.
type Growth struct {
	Name string
	// PerMinor growth units per minor unit of Currency, as a fraction; the sum
	// over the window is taken first and divided once, rounding down.
	Numerator, Denominator int64
	// OmitCategories lists item categories that earn nothing (freight, coupons).
	OmitCategories []string
	// Factors are what earns beside a plain amount per order; with them, or with
	// Settle, each award is rounded down by itself, and the plain amount is the
	// first of them. Nil: only Numerator and Denominator count.
	Factors []Factor
	Settle  Settle
	Caps    []EarnCap // of all factors together
	Decay   Decay
	Meaning string // of its text and the facts'; "" without Factors
}

// Factor is one way to earn.
type Factor struct {
	Stream                 int   // index into Playbook.Streams
	Numerator, Denominator int64 // units per unit of the stream's value; Denominator 0: Gives for each
	Gives                  int64
	CapDay                 int64 // at most so many units per local day; 0: no bound
	Caps                   []EarnCap
	Each                   string // of a gauge: earns by what it holds at the end of each cycle
	Multiply               []Multiplier
	Lock                   *Lock // nil: an award counts once it is settled
}

// Multiplier changes what is earned on calendar days.
type Multiplier struct {
	Year, Month, Day int // Year 0: every year; Month 0: every Weekday
	Weekday          int // 0 Sunday to 6 Saturday, with Month 0
	Percent          int64

	// Or for who was at a level, or above it, just before.
	Tier, From string // program and level; "": a day
	Stream     int    // index into Playbook.Streams: the program's levels
	Level      int64
}

// Multiplied is by how many percent a local day's awards are multiplied: the
// greatest of those that hold on it, 100 without one. held says whether one by
// tier holds; nil: none does.
func (f *Factor) Multiplied(day int64, held func(i int) bool) int64 {
	if len(f.Multiply) == 0 {
		return 100
	}
	t := time.Unix(day*86400, 0).UTC()
	best := int64(-1)
	for i := range f.Multiply {
		m := &f.Multiply[i]
		if m.Tier != "" {
			if held != nil && held(i) {
				best = max(best, m.Percent)
			}
			continue
		}
		on := m.Month == int(t.Month()) && m.Day == t.Day() && (m.Year == 0 || m.Year == t.Year())
		if m.Month == 0 {
			on = m.Weekday == int(t.Weekday())
		}
		if on {
			best = max(best, m.Percent)
		}
	}
	if best < 0 {
		return 100
	}
	return best
}

// Settle says from when an award counts.
type Settle struct {
	On     string // "": with the payment; delivered, completed: with that event of the order
	After  schemas.EventTime
	Stream int // of those events, with On
}

// Tier (会员等级) is one program of levels on a growth value or a fact.
type Tier struct {
	Common
	Growth int               // index into Playbook.Growth; -1 with Fact
	Fact   string            // name of the number that decides; "": Growth does
	Window schemas.EventTime // rolling; 0: lifetime, or Cycle
	Cycle  string            // the window is this cycle: a calendar one, or one of the anniversaries
	Levels []Level           // ascending; Levels[0].Reach is 0

	Fall      FallAt
	FallCycle string            // FallCycleEnd: the cycle whose end it is
	Grace     schemas.EventTime // FallCycleEnd: the end is so much later
	OneStep   bool              // a fall is by one level at most
	Rise      string            // the cycle at whose end a level is reached; "": at once
	Bought    []Bought          // levels that a purchase gives for a time
	OnRefund  OnRefund
	Notice    schemas.EventTime // so long before a fall it is told; 0: never
	Grants    int               // index into Playbook.Streams: tier.granted and tier.revoked
	Member    int               // and of customer.registered, with an anniversary; else 0
	Told      int               // and of its own levels, where a multiplier reads them; else 0
	Meaning   string            // of its text and the facts', where Extended
}

// Bought is a level that each event of a stream gives for so long, one time after
// the other.
type Bought struct {
	Stream int
	Level  int32
	For    schemas.EventTime
}

// FallAt says when a level that is no longer earned is lost.
type FallAt uint8

const (
	FallInstant FallAt = iota
	FallDayEnd         // at the next local midnight
	FallCycleEnd
)

// OnRefund says what a refund does to a level that the refunded order earned.
type OnRefund uint8

const (
	RefundNow          OnRefund = iota // it was not earned
	RefundAtPeriodEnd                  // it is held against the next threshold to keep
	RefundNeverGranted                 // it is kept as if nothing had been refunded
)

// The anniversaries that a cycle may be, beside day, week, month, quarter, year.
const (
	MembershipAnniversary = "membership_anniversary"
	TierAnniversary       = "tier_anniversary"
)

// Extended says whether the program needs more than a window over plain growth.
func (t *Tier) Extended(g []Growth) bool {
	plain := t.Fact == "" && g[t.Growth].Factors == nil && t.Cycle == "" && t.Fall == FallInstant && t.OnRefund == RefundNow && t.Notice == 0 && t.Rise == "" && t.Bought == nil
	for i := range t.Levels {
		plain = plain && t.Levels[i].Keep == t.Levels[i].Reach
	}
	return !plain
}

// Level is one rung.
type Level struct {
	Name     string
	Reach    int64 // value from which it is reached
	Keep     int64 // and with which it is kept; at most Reach
	Benefits []string
}

// Cause (流失原因) is why a customer is thought to have left.
type Cause struct {
	Name string
	When Condition
}

// CutsBy says where the cut points of RFM scores come from.
type CutsBy uint8

const (
	CutsFixed CutsBy = iota
	CutsQuantile
	CutsMean
	CutsMedian
	CutsThirds // the quantiles 1/3 and 2/3, exactly
)

// RFM scores a customer by recency, frequency and monetary value.
type RFM struct {
	Common
	Stream  int               // index into Playbook.Streams: the core behavior that is scored
	Window  schemas.EventTime // 0: lifetime
	By      CutsBy
	R, F, M []int64           // CutsFixed: days, orders, minor units, ascending
	At      []float64         // CutsQuantile: probabilities, ascending in (0,1)
	Plus    int64             // CutsQuantile: added to each cut point, in days, orders and minor units
	Refresh Refresh           // of all but CutsFixed
	Delay   schemas.EventTime // cuts of a period's end T hold from T + Delay; default 1 h
	Exact   int               // distinct values up to which histograms are exact, default 65536
	Classes string            // one of rfm.Maps, or "custom" with Own
	Own     *OwnClasses       // a map of the playbook's own
}

// Refresh says when a new version of the cuts is made.
type Refresh struct {
	Cycle string              // day, week, month, quarter, year (local midnights of Zone); "" with At
	At    []schemas.EventTime // or at these instants, ascending
}

// Recall (召回) is one campaign that follows a churn warning.
type Recall struct {
	Common
	Churn       int               // index into Playbook.Churn: whose warnings call for it
	Audience    Condition         // over the customer's facts at the warning and again at SendAfter
	SendAfter   schemas.EventTime // after the warning's effective_at
	ExpireAfter schemas.EventTime // after send_at; 0: never
	Competitor  Condition         // who is lost to a competitor; nil: nobody is known to be
	Causes      []Cause           // the first that holds is why she left
	Touching                      // its Experiment is never nil
}

// Facts is what a condition can read of one customer at one instant.
type Facts struct {
	Orders         int64 // net of full refunds, lifetime
	SpendMinor     int64 // net, lifetime
	Orders365      int64 // net, in the 365 days before
	Spend365Minor  int64
	AOVMinor       int64 // SpendMinor / Orders, rounded down; 0 without orders
	DaysSinceFirst int64 // local days; -1 without orders
	DaysSinceLast  int64
	Refunds        int64             // refunded orders, lifetime, full or partial
	Tiers          map[string]string // tier program -> level name
	TierLevels     map[string]int64  // tier program -> level number
	Classes        map[string]string // rfm rule -> class key, "" if none yet
	Churn          map[string]string // churn rule -> level of the open warning, "" if none
	// More gives what is not above: declared facts, and where lifecycle, tags and
	// segments stand. Nil: 0, "" and false.
	More func(Ref) Value
}

// Condition is a compiled CEL expression over Facts.
type Condition interface {
	// Eval is pure: equal facts give an equal answer. Explain lists what was compared, for the evidence.
	Eval(*Facts) (bool, error)
	Source() string
	// Reads lists the fact names that the expression reads, sorted.
	Reads() []string
}

// Rates holds decimal exchange rates by currency and instant.
type Rates interface {
	// Convert gives amountMinor of currency from in minor units of the
	// playbook's currency at the rate valid at t, half-even; false without a rate
	// or where the result does not fit.
	Convert(amountMinor int64, from string, t schemas.EventTime) (int64, bool)
}
