package sinks

import (
	"errors"
	"testing"

	kafka "github.com/segmentio/kafka-go"
)

func TestJudge(t *testing.T) {
	ops := []Op{OpInit, OpAddPartitions, OpProduce, OpEnd}
	for _, c := range []struct {
		code int16
		want [4]Verdict // by op
	}{
		{0, [4]Verdict{Done, Done, Done, Done}},
		{14, [4]Verdict{Retry, Retry, Retry, ThrowAway}},
		{15, [4]Verdict{Retry, Retry, Retry, ThrowAway}},
		{16, [4]Verdict{Retry, Retry, Retry, ThrowAway}},
		{51, [4]Verdict{Retry, Retry, Retry, ThrowAway}},
		{19, [4]Verdict{ThrowAway, Retry, Retry, ThrowAway}},
		{47, [4]Verdict{Refused, Refused, Refused, Refused}},
		{48, [4]Verdict{Refused, Refused, Refused, Refused}},
		{49, [4]Verdict{Refused, Refused, Refused, Refused}},
		{90, [4]Verdict{Refused, Refused, Refused, Refused}},
	} {
		for i, op := range ops {
			if got := Judge(op, c.code); got != c.want[i] {
				t.Errorf("%v answered %d: %v, want %v", op, c.code, got, c.want[i])
			}
		}
	}
	known := map[int16]bool{0: true, 14: true, 15: true, 16: true, 51: true, 19: true, 47: true, 48: true, 49: true, 90: true}
	for code := int16(-1); code <= 140; code++ {
		for _, op := range ops {
			if got := Judge(op, code); !known[code] && got != ThrowAway {
				t.Errorf("%v answered %d: %v, want %v", op, code, got, ThrowAway)
			}
		}
	}
}

func TestFenceKinds(t *testing.T) {
	for code, want := range map[int16]FenceKind{47: FencedByEpoch, 90: FencedByEpoch, 49: FencedByMapping, 48: FencedByState, 51: NotFenced, 0: NotFenced} {
		if got := Fence(code); got != want {
			t.Errorf("Fence(%d) = %v, want %v", code, got, want)
		}
	}
}

func TestStates(t *testing.T) {
	all := []State{Uninitialised, Ready, Open, Ending, Unknown, Fenced}
	// What may be sent from where, and where the machine then stands.
	allowed := map[Op]map[State]State{
		OpInit:          {Uninitialised: Uninitialised, Ready: Uninitialised, Open: Uninitialised, Unknown: Uninitialised, Fenced: Uninitialised},
		OpAddPartitions: {Ready: Open, Open: Open},
		OpProduce:       {Open: Open},
		OpEnd:           {Open: Ending},
	}
	for op, to := range allowed {
		for _, from := range all {
			m := txn{state: from}
			err := m.begin(op)
			want, ok := to[from]
			if ok != (err == nil) {
				t.Errorf("%v from %v: error %v", op, from, err)
			}
			if !ok {
				want = from
				if !errors.Is(err, errOrder) {
					t.Errorf("%v from %v: error %v", op, from, err)
				}
			}
			if m.state != want {
				t.Errorf("%v from %v leads to %v, want %v", op, from, m.state, want)
			}
		}
	}
	for _, c := range []struct {
		op   Op
		from State
		code int16
		want State
	}{
		{OpInit, Uninitialised, 51, Uninitialised},
		{OpInit, Uninitialised, 53, Unknown},
		{OpInit, Uninitialised, 90, Fenced},
		{OpAddPartitions, Open, 0, Open},
		{OpAddPartitions, Open, 51, Open},
		{OpAddPartitions, Open, 3, Unknown},
		{OpAddPartitions, Open, 47, Fenced},
		{OpProduce, Open, 0, Open},
		{OpProduce, Open, 19, Open},
		{OpProduce, Open, 6, Unknown},
		{OpProduce, Open, 48, Fenced},
		{OpEnd, Ending, 0, Ready},
		{OpEnd, Ending, 16, Unknown},
		{OpEnd, Ending, 51, Unknown},
		{OpEnd, Ending, -1, Unknown},
		{OpEnd, Ending, 49, Fenced},
	} {
		m := txn{state: c.from}
		m.answered(c.op, c.code)
		if m.state != c.want {
			t.Errorf("%v answered %d: %v, want %v", c.op, c.code, m.state, c.want)
		}
	}
	m := txn{state: Ending}
	m.lost()
	if m.state != Unknown {
		t.Errorf("lost answer leads to %v", m.state)
	}
	m.initialised(5, 6)
	if m.state != Ready || m.producerID != 5 || m.epoch != 6 || m.take(partitionKey{"t", 0}, 3) != 0 || m.take(partitionKey{"t", 0}, 1) != 3 {
		t.Errorf("after InitProducerID: %+v", m)
	}
	m.initialised(5, 7)
	if got := m.take(partitionKey{"t", 0}, 1); got != 0 {
		t.Errorf("first sequence number of a new epoch is %d", got)
	}
}

func TestWorseCode(t *testing.T) {
	order := []int16{0, 55, 51, 3, 90}
	for i, a := range order {
		for j, b := range order {
			if got, want := worseCode(OpAddPartitions, a, b), order[max(i, j)]; got != want {
				t.Errorf("worseCode(%d, %d) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestErrorsMatch(t *testing.T) {
	var err error = &FencedError{TransactionalID: "t", Op: OpProduce, Code: 90}
	if !errors.Is(err, ErrFenced) || !errors.Is(err, kafka.ProducerFenced) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	err = &UnknownOutcomeError{Op: OpEnd, Err: kafka.RequestTimedOut}
	if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, kafka.RequestTimedOut) || errors.Is(err, ErrFenced) {
		t.Errorf("%v", err)
	}
}
