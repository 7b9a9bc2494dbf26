package core

import (
	"tidemark/schemas"
)

// Engine is the number that changes whenever the same input would give other
// output: rules, numeric code, CEL, time zone data. The golden corpus fails
// when output changes without it.
const Engine int32 = 3

// JournalFormat is the version of the journal records that this engine writes.
const JournalFormat int32 = 1

// Record is one record of one input, decoded as far as it could be.
type Record struct {
	Input  schemas.Input
	Offset schemas.Offset // of the record; the position after it is Offset+1 or beyond

	// One of these is set, or Dead.
	Event    *schemas.Event
	Control  *schemas.Control
	Transfer *schemas.Transfer

	// Dead says why it is refused before the core's own checks.
	Dead *Dead
	// Raw is the record as it came; needed for events, for their dead letters.
	Raw *Raw
	// Trace is the W3C traceparent of the record, nil if there was none.
	Trace []byte
}

// Size is about how many bytes the record holds in memory while it waits.
func (r *Record) Size() int {
	if r.Raw == nil {
		return 512
	}
	return 512 + len(r.Raw.Key) + len(r.Raw.Value)
}

// Raw is a record as it came.
type Raw struct {
	Topic      string
	Partition  int32
	Timestamp  schemas.EventTime
	Key, Value []byte
	Headers    func() []schemas.Header // nil: none
}

// Dead is a verdict on a record. Step and Reason stand in the journal, Detail only in the dead letter.
type Dead struct {
	Step, Reason, Detail string
}

// Steps and reasons of dead letters, stable codes.
const (
	StepFrame     = "frame"
	StepKey       = "key"
	StepPartition = "partition"
	StepSchema    = "schema"
	StepDecode    = "decode"
	StepValidate  = "validate"
	StepApply     = "apply"

	ReasonTooLarge        = "too_large"
	ReasonNoValue         = "no_value"
	ReasonBadFrame        = "bad_frame"
	ReasonUnknownSchema   = "unknown_schema"
	ReasonBadSchema       = "bad_schema"
	ReasonUndecodable     = "undecodable"
	ReasonKeyMissing      = "key_missing"
	ReasonKeyMismatch     = "key_is_not_customer_id"
	ReasonWrongPartition  = "wrong_partition"
	ReasonBadCustomer     = "bad_customer_id"
	ReasonBadOrder        = "bad_order_id"
	ReasonBadEvent        = "bad_event_id"
	ReasonUnknownType     = "unknown_type"
	ReasonNegativeAmount  = "negative_amount"
	ReasonNoRate          = "no_rate"
	ReasonBefore1970      = "before_1970"
	ReasonFuture          = "in_the_future"
	ReasonTooLate         = "too_late"
	ReasonRefundExceeds   = "refund_exceeds_paid"
	ReasonRefundUnmatched = "refund_unmatched"
	ReasonBadPoints       = "bad_points"
	ReasonOverdrawn       = "points_overdrawn"
	ReasonNotClaimable    = "not_claimable"
	ReasonNoBenefit       = "benefit_overdrawn"
	ReasonNoTransfer      = "transfer_refused"
	ReasonMergeLoop       = "merge_loop"
	ReasonOverflow        = "amount_too_large"
)

// Budget bounds one Ready. The zero value of a field is no bound.
type Budget struct {
	Triggers int // records published
	Bytes    int // of records published
	Units    int // timers fired and customers swept
	Records  int // records taken
}

// Config of one task.
type Config struct {
	App        string // names the business; part of every trigger_id
	Task       int32
	Tasks      int32 // partitions of the input topics
	Generation int32 // of the partition count; 1 from the start
	Budget     Budget
	// Partition is the partitioner of the input topics: which task a customer is of.
	// Nil: not known; with several tasks no points go from customer to customer then.
	Partition func(key []byte, tasks int32) int32
	// CacheBytes bounds the decoded customers that are kept between batches.
	// Negative: all are kept and no row is written; for replays in memory.
	CacheBytes int64
	// PauseOnDead makes Take stop once the playbook's dead_letters.pause_after
	// records in a row were refused; see Core.Pausing.
	PauseOnDead bool
	// BytesOnly lets a trigger go once it is encoded, so that what waits for a
	// commit is its bytes alone: Out.Record of a trigger is nil then. For callers
	// that only publish.
	BytesOnly bool
	Epoch     int32  // of the producer, for the journal
	Writer    string // this process, for the journal
}

// Reader reads the task's state. state.Store is one.
type Reader interface {
	Get(key []byte) ([]byte, error)
	Rows(ids []string, fn func(i int, row []byte) error) error
	Timers(dst [][]byte, from []byte, n int) ([][]byte, error)
	Customers(dst []string, from string, first bool, n int) ([]string, error)
	EachHistogram(fn func(key, value []byte) error) error
}

// Empty is the Reader of a task without a past.
type Empty struct{}

func (Empty) Get([]byte) ([]byte, error) { return nil, nil }
func (Empty) Rows(ids []string, fn func(int, []byte) error) error {
	for i := range ids {
		if err := fn(i, nil); err != nil {
			return err
		}
	}
	return nil
}
func (Empty) Timers(dst [][]byte, _ []byte, _ int) ([][]byte, error) { return dst, nil }
func (Empty) Customers(dst []string, _ string, _ bool, _ int) ([]string, error) {
	return dst, nil
}
func (Empty) EachHistogram(func(k, v []byte) error) error { return nil }

// Reasons are all reasons of dead letters.
func Reasons() []string {
	return []string{
		ReasonTooLarge, ReasonNoValue, ReasonBadFrame, ReasonUnknownSchema, ReasonBadSchema, ReasonUndecodable, ReasonKeyMissing,
		ReasonKeyMismatch, ReasonWrongPartition, ReasonBadCustomer, ReasonBadOrder, ReasonBadEvent, ReasonUnknownType, ReasonNegativeAmount,
		ReasonNoRate, ReasonBefore1970, ReasonFuture, ReasonTooLate, ReasonRefundExceeds, ReasonRefundUnmatched, ReasonBadPoints, ReasonOverdrawn,
		ReasonNotClaimable, ReasonNoBenefit, ReasonNoTransfer, ReasonMergeLoop, ReasonOverflow,
	}
}
