package schemas

// Status says where a trigger stands in its life.
const (
	Fired     = "FIRED"     // it became true
	Corrected = "CORRECTED" // still true, with other values; carries the full new value
	Retracted = "RETRACTED" // it was not true at its EffectiveAt, given what is known now
	Ended     = "ENDED"     // it was true and no longer is
)

// Topic names an out topic of the contract, without the configurable prefix.
type Topic string

const (
	TierChanges        Topic = "tier-changes"
	ChurnWarnings      Topic = "churn-warnings"
	RecallTriggers     Topic = "recall-triggers"
	LifecycleChanges   Topic = "lifecycle-changes"
	EngagementTriggers Topic = "engagement-triggers"
	SuppressedTriggers Topic = "suppressed-triggers"
	LifecycleMetrics   Topic = "lifecycle-metrics"
	DeadLetters        Topic = "dead-letters"
)

// OutTopics lists the out topics in the order of the contract.
var OutTopics = []Topic{TierChanges, ChurnWarnings, RecallTriggers, LifecycleChanges,
	EngagementTriggers, SuppressedTriggers, LifecycleMetrics, DeadLetters}

// Record is a value of an out topic or an internal topic.
type Record interface {
	// AppendAvro appends the Avro binary form under the package's own schema, without the wire header.
	AppendAvro(dst []byte) []byte
}

// Evidence is one number that a rule compared. All four are strings so that
// every fact fits; Comparison is one of < <= > >= == !=.
type Evidence struct {
	Fact       string `json:"fact"`
	Value      string `json:"value"`
	Comparison string `json:"comparison"`
	Limit      string `json:"limit"`
}

// Head is what every trigger begins with.
type Head struct {
	TriggerID       string     `json:"trigger_id"`
	CustomerID      string     `json:"customer_id"`
	Rule            string     `json:"rule"`
	PlaybookVersion string     `json:"playbook_version"`
	Episode         int64      `json:"episode"`
	Status          string     `json:"status"`
	Corrects        *string    `json:"corrects"`
	EffectiveAt     EventTime  `json:"effective_at"`
	CausedBy        *string    `json:"caused_by"`
	Evidence        []Evidence `json:"evidence"`
	Owner           string     `json:"owner"`
}

// TriggerHead gives generic code a way to the common fields of every trigger.
func (h *Head) TriggerHead() *Head { return h }

// Trigger is a record of the first six out topics.
type Trigger interface {
	Record
	TriggerHead() *Head
	Topic() Topic
}

// TierChange is a value of tier-changes.
type TierChange struct {
	Head
	Kind          string     `json:"kind"` // upgrade, downgrade, renewal, notice
	Program       string     `json:"program"`
	FromTier      string     `json:"from_tier"`
	ToTier        string     `json:"to_tier"`
	FromLevel     int32      `json:"from_level"` // 0 is the lowest
	ToLevel       int32      `json:"to_level"`
	GrowthValue   int64      `json:"growth_value"`
	NextTier      string     `json:"next_tier"`       // "" at the top
	MissingToNext int64      `json:"missing_to_next"` // growth value; 0 at the top
	MissingToKeep int64      `json:"missing_to_keep"` // growth value; 0 when it is kept
	ValidUntil    *EventTime `json:"valid_until"`     // the moment the window lets go, if nothing comes; null: never
	Benefits      []string   `json:"benefits"`
}

// ChurnWarning is a value of churn-warnings.
type ChurnWarning struct {
	Head
	Kind              string     `json:"kind"`  // warning, win_back
	Level             string     `json:"level"` // early, late, lost
	Model             string     `json:"model"` // hiatus, bgnbd, ...
	Stream            string     `json:"stream"`
	LastCoreAt        EventTime  `json:"last_core_at"`
	SilenceMillis     int64      `json:"silence_ms"`
	ExpectedGapMS     *int64     `json:"expected_gap_ms"` // mean gap between customer-days; null with one
	Risk              *float64   `json:"risk"`            // P(no return within the horizon), 6 decimals; null if the model gives none
	HorizonMS         *int64     `json:"horizon_ms"`
	Orders            int64      `json:"orders"`
	ValueAtStake      int64      `json:"value_at_stake_minor"` // minor units; by the rule, net spend in the 365 days before if it says nothing else
	Currency          string     `json:"currency"`
	ExpectedPrecision *float64   `json:"expected_precision"`
	BaseRate          *float64   `json:"base_rate"`
	EndedAt           *EventTime `json:"ended_at"`
}

// RecallTrigger is a value of recall-triggers.
type RecallTrigger struct {
	Head
	Campaign     string     `json:"campaign"`
	CustomerType string     `json:"customer_type"` // one_order, repeat, lost_to_competitor
	Cause        string     `json:"cause"`         // unknown if no cause condition holds
	Round        int32      `json:"round"`
	Step         string     `json:"step"`
	Group        string     `json:"group"` // treated, holdout, global_control
	Arm          string     `json:"arm"`
	Time         string     `json:"time"`
	Content      string     `json:"content"`
	Channel      string     `json:"channel"`
	Landing      string     `json:"landing"`
	SendAt       EventTime  `json:"send_at"`
	ExpiresAt    *EventTime `json:"expires_at"`
	Warning      *string    `json:"warning"` // trigger_id of the churn warning that called for it
	ValueAtStake int64      `json:"value_at_stake_minor"`
	Currency     string     `json:"currency"`
}

// LifecycleChange is a value of lifecycle-changes.
type LifecycleChange struct {
	Head
	Kind          string `json:"kind"` // stage, rfm_class, segment_entered, segment_left, tag_added, tag_removed
	Track         string `json:"track"`
	From          string `json:"from"`
	To            string `json:"to"`
	MovedBy       string `json:"moved_by"` // customer, time, cuts, playbook, manual
	RScore        *int32 `json:"r_score"`
	FScore        *int32 `json:"f_score"`
	MScore        *int32 `json:"m_score"`
	RecencyDays   *int64 `json:"recency_days"`
	Frequency     *int64 `json:"frequency"`
	MonetaryMinor *int64 `json:"monetary_minor"`
	Currency      string `json:"currency"`
	CutsVersion   int64  `json:"cuts_version"`
	TimeInFromMS  *int64 `json:"time_in_from_ms"`
	Value         string `json:"value"`
}

// EngagementTrigger is a value of engagement-triggers.
type EngagementTrigger struct {
	Head
	Kind       string      `json:"kind"` // sop_step, task_completed, points_earned, points_expiring, points_expired, member_day, life_moment, referral_reward, benefit_*
	Name       string      `json:"name"`
	Step       string      `json:"step"`
	Item       string      `json:"item"`
	Quantity   int64       `json:"quantity"`
	Ledger     string      `json:"ledger"`
	Points     int64       `json:"points"`
	Balance    *int64      `json:"balance"`
	Campaign   string      `json:"campaign"`
	Group      string      `json:"group"`
	Arm        string      `json:"arm"`
	Channel    string      `json:"channel"`
	Operator   string      `json:"operator"`
	DueAt      *EventTime  `json:"due_at"`
	SendAt     *EventTime  `json:"send_at"`
	ExpiresAt  *EventTime  `json:"expires_at"`
	Attributes []Attribute `json:"attributes"` // sorted by key
}

// SuppressedTrigger is a value of suppressed-triggers: the trigger that would have been sent, and why not.
type SuppressedTrigger struct {
	Head
	ForTopic string     `json:"topic"`  // where it would have gone
	Kind     string     `json:"kind"`   // the kind of the trigger withheld, "" if its topic has none
	Reason   string     `json:"reason"` // cap, quiet_hours, consent, holdout, purpose, lower_priority, excluded, unreachable, budget, parked, paused, history, stale
	Winner   string     `json:"winner"` // what came first, where the reason is a contest
	Detail   string     `json:"detail"`
	Campaign string     `json:"campaign"`
	Group    string     `json:"group"`
	Arm      string     `json:"arm"`
	SendAt   *EventTime `json:"send_at"`
	Withheld string     `json:"withheld"` // the whole trigger as JSON, in the form of `replay`
}

// LifecycleMetric is a value of lifecycle-metrics. It is about the business and not about one customer.
type LifecycleMetric struct {
	MetricID        string      `json:"metric_id"`
	Metric          string      `json:"metric"`
	PlaybookVersion string      `json:"playbook_version"`
	Revision        int64       `json:"revision"`
	Cycle           string      `json:"cycle"` // month, week, day
	PeriodStart     EventTime   `json:"period_start"`
	PeriodEnd       EventTime   `json:"period_end"`
	Dimensions      []Attribute `json:"dimensions"` // sorted by key
	Value           *string     `json:"value"`      // decimal string; null where it is not defined
	Numerator       *int64      `json:"numerator"`
	Denominator     *int64      `json:"denominator"`
	Currency        string      `json:"currency"`
	Target          *string     `json:"target"`
	Owner           string      `json:"owner"`
}

// Header is a Kafka record header.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"` // nil if there was none
}

// DeadLetter is a value of dead-letters: the record as it came and why it was refused.
type DeadLetter struct {
	DeadLetterID string    `json:"dead_letter_id"` // hash of app, topic, partition, offset
	Topic        string    `json:"topic"`
	Partition    int32     `json:"partition"`
	Offset       int64     `json:"offset"`
	Timestamp    EventTime `json:"timestamp"` // the Kafka record's own
	Key          []byte    `json:"key"`       // nil if there was none
	Value        []byte    `json:"value"`     // nil if there was none
	Truncated    bool      `json:"truncated"` // the value was over the limit and was cut
	Headers      []Header  `json:"headers"`
	Step         string    `json:"step"`   // frame, key, partition, schema, decode, validate, apply
	Reason       string    `json:"reason"` // a stable code, for example too_late
	Error        string    `json:"error"`  // for people
	EventID      string    `json:"event_id"`
	CustomerID   string    `json:"customer_id"`
}

func (*TierChange) Topic() Topic        { return TierChanges }
func (*ChurnWarning) Topic() Topic      { return ChurnWarnings }
func (*RecallTrigger) Topic() Topic     { return RecallTriggers }
func (*LifecycleChange) Topic() Topic   { return LifecycleChanges }
func (*EngagementTrigger) Topic() Topic { return EngagementTriggers }
func (*SuppressedTrigger) Topic() Topic { return SuppressedTriggers }
