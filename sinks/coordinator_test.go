package sinks

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rehash moves the coordinator of an id to another broker.
func rehash(c *kfake.Cluster, id string) {
	for was := c.CoordinatorFor(id); c.CoordinatorFor(id) == was; {
		c.RehashCoordinators()
	}
}

// Who coordinates an id is asked once, and not for each request.
func TestCoordinatorIsAskedOnce(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal")
	p := producer(t, c)
	mustInit(t, p)
	asked := count(c, kmsg.FindCoordinator)
	for i := range int64(6) {
		if err := p.Commit(testContext(t), i+1, out(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := asked.Hits(), 2; got != want {
		t.Errorf("%d lookups for 6 commits, want %d: one for each id", got, want)
	}
	if got, want := values(committed(t, c, "triggers")), []string{"1", "2", "3", "4", "5", "6"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A coordinator that moved between commits is a wait, and is found again.
func TestMovedCoordinatorIsFound(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal")
	var moved atomic.Int64
	p := producer(t, c, func(cfg *ProducerConfig) {
		cfg.Stats.Retry = func(op Op, code int16) {
			if op == OpAddPartitions && code == codeNotCoordinator {
				moved.Add(1)
			}
		}
	})
	mustInit(t, p)
	var want []string
	for i := range int64(8) {
		if i >= 2 {
			rehash(c, "app-0-"+strconv.FormatInt((i+1)%2, 10))
		}
		if err := p.Commit(testContext(t), i+1, out(i+1)); err != nil {
			t.Fatal(err)
		}
		want = append(want, strconv.FormatInt(i+1, 10))
	}
	if moved.Load() == 0 {
		t.Error("no broker said that it coordinates no more")
	}
	if got := values(committed(t, c, "triggers")); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// An EndTxn that meets a broker that coordinates no more is sent to no other:
// what became of it is not known until the id is taken over again.
func TestEndTxnFollowsNoCoordinator(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal")
	move := false
	p := producer(t, c, func(cfg *ProducerConfig) {
		cfg.Stats.Phase = func(op Op, _ time.Duration, _ error) {
			if move && op == OpProduce {
				rehash(c, "app-0-1")
				move = false
			}
		}
	})
	mustInit(t, p)
	if err := p.Commit(testContext(t), 1, out(1)); err != nil {
		t.Fatal(err)
	}
	ends := count(c, kmsg.EndTxn)
	move = true
	if err := p.Commit(testContext(t), 3, out(3)); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, kafka.NotCoordinatorForGroup) {
		t.Fatalf("error %v", err)
	}
	if got, want := ends.Hits(), 1; got != want {
		t.Errorf("%d EndTxn requests, want %d", got, want)
	}
	mustInit(t, p)
	if err := p.Commit(testContext(t), 3, out(4)); err != nil {
		t.Fatal(err)
	}
	if got, want := values(committed(t, c, "triggers")), []string{"1", "4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What is sent to a broker that was chosen here is what kafka-go would send.
func TestRoutedRequestsAreTheSameBytes(t *testing.T) {
	topics := []addpartitionstotxn.RequestTopic{{Name: "triggers", Partitions: []int32{0, 3}}, {Name: "journal", Partitions: []int32{1}}}
	for _, c := range []struct{ ours, theirs protocol.Message }{
		{&addPartitionsTo{TransactionalID: "app-0-1", ProducerID: 1 << 40, ProducerEpoch: 7, Topics: topics, broker: 2},
			&addpartitionstotxn.Request{TransactionalID: "app-0-1", ProducerID: 1 << 40, ProducerEpoch: 7, Topics: topics}},
		{&endTo{TransactionalID: "app-0-1", ProducerID: 1 << 40, ProducerEpoch: 7, Committed: true, broker: 2},
			&endtxn.Request{TransactionalID: "app-0-1", ProducerID: 1 << 40, ProducerEpoch: 7, Committed: true}},
	} {
		for version := range int16(4) {
			var got, want bytes.Buffer
			if err := protocol.WriteRequest(&got, version, 9, "client", c.ours); err != nil {
				t.Fatal(err)
			}
			if err := protocol.WriteRequest(&want, version, 9, "client", c.theirs); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%T version %d: got % x, want % x", c.ours, version, got.Bytes(), want.Bytes())
			}
		}
	}
}
