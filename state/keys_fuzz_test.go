package state

import (
	"bytes"
	"errors"
	"testing"

	"tidemark/testkit/soak"
)

// FuzzPosition: what is taken for a position is written again with the same
// meaning, and everything else is ErrPosition.
func FuzzPosition(f *testing.F) { fuzzPosition(f) }

func fuzzPosition(f soak.F) {
	f.Add(AppendPosition(nil, &Position{Generation: 1, Task: 3, Engine: 1, Sequence: 300, Hash: 1 << 60, Clock: 1_704_448_800_000, Playbook: "1-a"}))
	f.Add([]byte{PositionVersion, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePosition(b)
		if err != nil {
			if !errors.Is(err, ErrPosition) {
				t.Fatal(err)
			}
			return
		}
		if again, err := DecodePosition(AppendPosition(nil, &p)); err != nil || again != p {
			t.Fatalf("%+v, then %+v, %v", p, again, err)
		}
	})
}

// FuzzSpilledOrder: the same of an order in a sub-key.
func FuzzSpilledOrder(f *testing.F) { fuzzSpilledOrder(f) }

func fuzzSpilledOrder(f soak.F) {
	f.Add(AppendSpilledOrder(nil, &Order{ID: 1, Event: 2, At: 3, Paid: 12000, Refunded: 100, Base: 7, Cancelled: 9}))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeSpilledOrder(b)
		if err != nil {
			return
		}
		if again, err := DecodeSpilledOrder(AppendSpilledOrder(nil, &o)); err != nil || again != o {
			t.Fatalf("%+v, then %+v, %v", o, again, err)
		}
	})
}

// FuzzKeys: a key of the store that parses is the key that its parts make.
func FuzzKeys(f *testing.F) { fuzzKeys(f) }

func fuzzKeys(f soak.F) {
	f.Add(TimerKey(nil, 1_704_448_800_000, "c-1"))
	f.Add(HistogramKey(nil, 7, 1, 42))
	f.Add(CustomerKey(nil, "c-1"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if due, who, ok := ParseTimerKey(key); ok && !bytes.Equal(TimerKey(nil, due, string(who)), key) {
			t.Fatalf("timer %d of %q", due, who)
		}
		if rule, fact, bucket, ok := ParseHistogramKey(key); ok && !bytes.Equal(HistogramKey(nil, rule, fact, bucket), key) {
			t.Fatalf("bucket %d of %d, %d", bucket, rule, fact)
		}
	})
}
