package sinks

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	kafka "github.com/segmentio/kafka-go"
)

// State says where one transactional id stands in this process.
type State uint8

const (
	// Uninitialised: no producer id yet, or an InitProducerID is under way or has failed.
	Uninitialised State = iota
	// Ready: a producer id and epoch are known and no transaction is open.
	Ready
	// Open: an AddPartitionsToTxn was sent, so the broker may hold an open transaction.
	Open
	// Ending: EndTxn was sent and not answered yet. Nothing else may be sent.
	Ending
	// Unknown: an answer was lost or was not a success. Only InitProducerID leads out.
	Unknown
	// Fenced: the broker refused this producer id and epoch. Only InitProducerID
	// leads out, and the owner asks the group first whether the task is still its own.
	Fenced
)

var stateNames = [...]string{"uninitialised", "ready", "open", "ending", "unknown", "fenced"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// Op is a request of the transaction protocol.
type Op uint8

const (
	OpInit          Op = iota // InitProducerID
	OpAddPartitions           // AddPartitionsToTxn
	OpProduce
	OpEnd // EndTxn, always to commit: an abort is the next InitProducerID's work
)

var opNames = [...]string{"InitProducerID", "AddPartitionsToTxn", "Produce", "EndTxn"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "op " + strconv.Itoa(int(o))
}

// Verdict is what an error code means for the request that it answers.
type Verdict uint8

const (
	// Done: the broker did what was asked.
	Done Verdict = iota
	// Retry: the broker did nothing and asks to be asked again, with the same bytes.
	Retry
	// ThrowAway: what the broker did is not known, or nothing can be done about
	// it under this producer id. InitProducerID again, then read the journal.
	ThrowAway
	// Refused: the producer id, its epoch or its transaction is not (any more)
	// what the broker has; see FenceKind.
	Refused
)

func (v Verdict) String() string {
	return [...]string{"done", "retry", "throw away", "refused"}[v&3]
}

// FenceKind tells apart why a broker refuses a producer.
type FenceKind uint8

const (
	NotFenced FenceKind = iota
	// FencedByEpoch (codes 47 and 90): someone called InitProducerID since, or
	// the transaction timed out, or a late InitProducerID of our own arrived.
	FencedByEpoch
	// FencedByMapping (49): the coordinator has another producer id, or none,
	// for this transactional id, for example after transactional.id.expiration.ms.
	FencedByMapping
	// FencedByState (48): the coordinator or a partition has no such open transaction.
	FencedByState
)

func (k FenceKind) String() string {
	return [...]string{"not fenced", "producer epoch", "producer id mapping", "transaction state"}[k&3]
}

// Error codes of the Kafka protocol which this package tells apart.
const (
	codeNone                     = 0
	codeCoordinatorLoading       = 14
	codeCoordinatorNotAvailable  = 15
	codeNotCoordinator           = 16
	codeNotEnoughReplicas        = 19
	codeInvalidProducerEpoch     = 47
	codeInvalidTxnState          = 48
	codeInvalidProducerIDMapping = 49
	codeConcurrentTransactions   = 51
	codeOperationNotAttempted    = 55
	codeProducerFenced           = 90
)

// Fence classifies an error code.
func Fence(code int16) FenceKind {
	switch code {
	case codeInvalidProducerEpoch, codeProducerFenced:
		return FencedByEpoch
	case codeInvalidProducerIDMapping:
		return FencedByMapping
	case codeInvalidTxnState:
		return FencedByState
	}
	return NotFenced
}

// Judge says what an answered error code means for a request.
//
// 14, 15, 16 and 51 are waits everywhere but for EndTxn. A coordinator answers
// EndTxn with 15 or 16 also when its own log append failed half way, so even an
// answered EndTxn is not known to be without effect: it is never repeated.
// 19 is a wait for AddPartitionsToTxn and Produce only, where a broker whose
// verifications of one producer crossed answers with it.
func Judge(op Op, code int16) Verdict {
	if code == codeNone {
		return Done
	}
	if Fence(code) != NotFenced {
		return Refused
	}
	switch code {
	case codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator, codeConcurrentTransactions:
		if op != OpEnd {
			return Retry
		}
	case codeNotEnoughReplicas:
		if op == OpAddPartitions || op == OpProduce {
			return Retry
		}
	}
	return ThrowAway
}

// worseCode returns the code which decides when a response holds several:
// refused before throw away before retry before none. Operation not attempted
// only says that a neighbour failed, so any other failure decides before it.
func worseCode(op Op, a, b int16) int16 {
	if rank(op, b) > rank(op, a) {
		return b
	}
	return a
}

func rank(op Op, code int16) int {
	if code == codeOperationNotAttempted {
		return 1 // alone it is not a success, and Judge then throws away
	}
	switch Judge(op, code) {
	case Done:
		return 0
	case Retry:
		return 2
	case ThrowAway:
		return 3
	}
	return 4
}

// errOrder is a request that the state does not allow: a mistake of the caller.
var errOrder = errors.New("sinks: request not allowed in this state")

// txn is the state of one transactional id: a pure machine, without network or
// clock. Begin before a request is sent, answered or lost after it.
//
//	Uninitialised, Ready, Open, Unknown, Fenced --InitProducerID--> Uninitialised --ok--> Ready
//	Ready --AddPartitionsToTxn--> Open --Produce*--> Open --EndTxn--> Ending --ok--> Ready
//	any request --lost or thrown away--> Unknown;  --refused--> Fenced
type txn struct {
	state      State
	producerID int64
	epoch      int16
	// sequences holds the next sequence number of every partition written under
	// this epoch. They go on over transactions, and begin at 0 with a new epoch.
	sequences map[partitionKey]int32
}

type partitionKey struct {
	topic     string
	partition int32
}

// begin records that op is about to be sent.
func (t *txn) begin(op Op) error {
	switch {
	case op == OpInit && t.state != Ending:
		t.state = Uninitialised
	case op == OpAddPartitions && (t.state == Ready || t.state == Open):
		t.state = Open
	case op == OpProduce && t.state == Open:
	case op == OpEnd && t.state == Open:
		t.state = Ending
	default:
		return fmt.Errorf("%w: %v while %v", errOrder, op, t.state)
	}
	return nil
}

// answered records the broker's answer to op and says what to do now.
func (t *txn) answered(op Op, code int16) Verdict {
	v := Judge(op, code)
	switch v {
	case Done:
		if op == OpEnd {
			t.state = Ready
		}
	case ThrowAway:
		t.state = Unknown
	case Refused:
		t.state = Fenced
	}
	return v
}

// lost records that op was sent, or may have been, and no answer came.
func (t *txn) lost() { t.state = Unknown }

// initialised records the identity that a successful InitProducerID gave.
func (t *txn) initialised(producerID int64, epoch int16) {
	t.state, t.producerID, t.epoch = Ready, producerID, epoch
	t.sequences = make(map[partitionKey]int32)
}

// take reserves n sequence numbers of a partition and returns the first.
func (t *txn) take(k partitionKey, n int) int32 {
	first := t.sequences[k]
	t.sequences[k] = advance(first, n)
	return first
}

// advance adds n to a sequence number, which after the largest int32 goes on with 0.
func advance(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}

// kafkaError turns a code into kafka-go's error, so that errors.Is and its text work.
func kafkaError(code int16) error { return kafka.Error(code) }
