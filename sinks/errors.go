package sinks

import (
	"errors"
	"fmt"
)

var (
	// ErrFenced is matched by errors of a broker that no longer takes this
	// producer. It is not yet a loss of the task: a transaction timeout fences
	// too. Ask the group, then Init again or let go.
	ErrFenced = errors.New("sinks: producer fenced")
	// ErrUnknownOutcome is matched by every other failure of a Commit that may
	// have reached a broker. The transaction may be committed: Init, then read the journal.
	ErrUnknownOutcome = errors.New("sinks: outcome of the transaction unknown")
	// ErrNotReady is returned by Commit before the first successful Init and
	// after any failure until the next one. Nothing was sent.
	ErrNotReady = errors.New("sinks: producer not initialised")
	// ErrNothingToCommit is returned by Commit without records: a broker has no
	// empty transactions to end. Nothing was sent.
	ErrNothingToCommit = errors.New("sinks: nothing to commit")
)

// FencedError is a broker's refusal of a producer. It matches ErrFenced and the
// kafka.Error of its code.
type FencedError struct {
	TransactionalID string
	Op              Op
	Code            int16 // of the Kafka protocol: 47, 48, 49 or 90
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("sinks: %s refused for transactional id %q, %v: %v", e.Op, e.TransactionalID, e.Kind(), kafkaError(e.Code))
}

// Kind says what did not match.
func (e *FencedError) Kind() FenceKind      { return Fence(e.Code) }
func (e *FencedError) Is(target error) bool { return target == ErrFenced }
func (e *FencedError) Unwrap() error        { return kafkaError(e.Code) }

// UnknownOutcomeError is a commit that did not end in a definite success. It
// matches ErrUnknownOutcome and its cause.
type UnknownOutcomeError struct {
	TransactionalID string
	Sequence        int64
	Op              Op // the request at which it failed
	Err             error
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("sinks: outcome of commit %d on transactional id %q unknown since %s: %v", e.Sequence, e.TransactionalID, e.Op, e.Err)
}

func (e *UnknownOutcomeError) Is(target error) bool { return target == ErrUnknownOutcome }
func (e *UnknownOutcomeError) Unwrap() error        { return e.Err }

// RecordTooLargeError is a record that fits into no batch. Nothing was sent; the
// producer stays ready. Whoever made the record must cut or chunk it.
type RecordTooLargeError struct {
	Topic     string
	Partition int32
	Index     int // among the records given for the partition
	Size      int // encoded bytes, the batch around it included
	Limit     int
}

func (e *RecordTooLargeError) Error() string {
	return fmt.Sprintf("sinks: record %d for %s/%d takes %d bytes, the limit of a batch is %d", e.Index, e.Topic, e.Partition, e.Size, e.Limit)
}
