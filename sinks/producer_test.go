package sinks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A fake broker that is closed while a control function sleeps may keep its
	// main loop waiting for a lock for ever; that goroutine is not ours.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*Cluster).run"))
}

// cluster starts a fake of a Kafka 4.1 cluster with topics of two partitions.
func cluster(t *testing.T, brokers int, topics ...string) *kfake.Cluster {
	t.Helper()
	v := kversion.V4_1_0()
	v.SetMaxKeyVersion(19, 4)
	for _, key := range []int16{48, 49, 71, 72, 75, 76, 77, 78, 79, 90, 91, 92} {
		v.SetMaxKeyVersion(key, -1)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.MaxVersions(v), kfake.SeedTopics(2, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func producer(t *testing.T, c *kfake.Cluster, change ...func(*ProducerConfig)) *Producer {
	t.Helper()
	transport := &kafka.Transport{MetadataTTL: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := ProducerConfig{
		Addr: kafka.TCP(c.ListenAddrs()...), Transport: transport,
		TransactionalIDs: [2]string{"app-0-0", "app-0-1"}, TransactionTimeout: 10 * time.Second,
		RetryBackoff: time.Millisecond,
	}
	for _, f := range change {
		f(&cfg)
	}
	return NewProducer(cfg)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mustInit(t *testing.T, p *Producer) {
	t.Helper()
	if err := p.Init(testContext(t)); err != nil {
		t.Fatalf("Init: %v", err)
	}
}

// out puts one record into each of two topics.
func out(sequence int64) []TopicPartition {
	v := []byte(strconv.FormatInt(sequence, 10))
	return []TopicPartition{
		{Topic: "triggers", Partition: 1, Records: []Record{{Key: []byte("k"), Value: v}}},
		{Topic: "journal", Partition: 1, Records: []Record{{Value: v}}},
	}
}

// committed reads what a read_committed consumer sees of a topic up to its end.
func committed(t *testing.T, c *kfake.Cluster, topic string) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := testContext(t)
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, 1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for i := range int32(2) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = i, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	open := map[int32]int64{}
	for _, shard := range cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, tp := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range tp.Partitions {
				if p.Offset > 0 {
					open[p.Partition] = p.Offset
				}
			}
		}
	}
	var all []*kgo.Record
	for len(open) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
		})
	}
	return all
}

func values(records []*kgo.Record) []string {
	var v []string
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	return v
}

// count observes every request of a key without touching it.
func count(c *kfake.Cluster, key kmsg.Key) *kfake.FaultHandle {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Count: -1, Observe: true, TopLevel: key != kmsg.Produce && key != kmsg.AddPartitionsToTxn})
}

func TestCommitsAreSeenOnceAndInOrder(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal", "other")
	var records atomic.Int64
	p := producer(t, c, func(cfg *ProducerConfig) {
		cfg.Now = func() time.Time { return time.UnixMilli(1_700_000_000_123) }
		cfg.Stats.Committed = func(n, _, _ int) { records.Add(int64(n)) }
	})
	mustInit(t, p)
	ctx := testContext(t)
	var want []string
	for sequence := int64(1); sequence <= 200; sequence++ {
		o := append(out(sequence), TopicPartition{Topic: "other", Partition: int32(sequence % 2), Records: []Record{{}}})
		if err := p.Commit(ctx, sequence, o); err != nil {
			t.Fatalf("commit %d: %v", sequence, err)
		}
		want = append(want, strconv.FormatInt(sequence, 10))
	}
	for _, topic := range []string{"triggers", "journal"} {
		got := committed(t, c, topic)
		if got := values(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v", topic, got)
		}
		for _, r := range got {
			if r.Partition != 1 || r.Timestamp.UnixMilli() != 1_700_000_000_123 {
				t.Fatalf("%s/%d at %v", topic, r.Partition, r.Timestamp)
			}
		}
		// Both ids were used in turn.
		if got[0].ProducerID == got[1].ProducerID || got[0].ProducerID != got[2].ProducerID {
			t.Errorf("producer ids %d, %d, %d", got[0].ProducerID, got[1].ProducerID, got[2].ProducerID)
		}
	}
	if got, want := len(committed(t, c, "other")), 200; got != want {
		t.Errorf("other: %d records, want %d", got, want)
	}
	if got, want := records.Load(), int64(600); got != want {
		t.Errorf("Stats counted %d records, want %d", got, want)
	}
	if got := p.States(); got != [2]State{Ready, Ready} {
		t.Errorf("states %v", got)
	}
}

func TestSecondInitFencesTheFirstOwner(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal")
	first, second := producer(t, c), producer(t, c)
	mustInit(t, first)
	ctx := testContext(t)
	if err := first.Commit(ctx, 1, out(1)); err != nil {
		t.Fatal(err)
	}
	epoch := first.Epoch()
	mustInit(t, second)
	if got, want := second.Epoch(), epoch+1; got != want {
		t.Errorf("epoch %d, want %d", got, want)
	}
	for _, sequence := range []int64{2, 3} { // either id
		zombie := producer(t, c)
		zombie.txns = [2]txn{clone(&first.txns[0]), clone(&first.txns[1])}
		err := zombie.Commit(ctx, sequence, out(99))
		var fenced *FencedError
		if !errors.Is(err, ErrFenced) || !errors.As(err, &fenced) || fenced.Kind() != FencedByEpoch {
			t.Fatalf("commit %d of the zombie: %v", sequence, err)
		}
		if err := zombie.Commit(ctx, sequence+1, out(99)); !errors.Is(err, ErrNotReady) {
			t.Errorf("commit after a fence: %v", err)
		}
	}
	if err := second.Commit(ctx, 2, out(2)); err != nil {
		t.Fatal(err)
	}
	if got, want := values(committed(t, c, "triggers")), []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func clone(t *txn) txn {
	n := *t
	n.sequences = map[partitionKey]int32{}
	for k, v := range t.sequences {
		n.sequences[k] = v
	}
	return n
}

// A fence between produce and EndTxn: what was produced must not be seen.
func TestFenceInsideATransactionAborts(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal")
	first, second := producer(t, c), producer(t, c)
	mustInit(t, first)
	ctx := testContext(t)
	fenced := false
	first.cfg.Stats.Phase = func(op Op, _ time.Duration, err error) {
		if op == OpProduce && err == nil && !fenced {
			fenced = true
			mustInit(t, second)
		}
	}
	if err := first.Commit(ctx, 1, out(1)); !errors.Is(err, ErrFenced) || !fenced {
		t.Fatalf("error %v, fence injected %v", err, fenced)
	}
	if err := second.Commit(ctx, 1, out(2)); err != nil {
		t.Fatal(err)
	}
	if got, want := values(committed(t, c, "journal")), []string{"2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The answer to EndTxn is lost, before or after the broker acted on it.
func TestLostEndTxnIsNeverRepeated(t *testing.T) {
	for _, executed := range []bool{false, true} {
		t.Run(fmt.Sprintf("executed=%v", executed), func(t *testing.T) {
			c := cluster(t, 3, "triggers", "journal")
			p := producer(t, c)
			mustInit(t, p)
			ctx := testContext(t)
			var ends atomic.Int64
			c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if ends.Add(1) > 1 {
					return nil, nil, false
				}
				if executed {
					// The same EndTxn runs to its end on a connection of its own.
					c.SleepControl(func() { endElsewhere(t, c, req.(*kmsg.EndTxnRequest)) })
				}
				return nil, errors.New("connection lost"), true
			})
			err := p.Commit(ctx, 1, out(1))
			var unknown *UnknownOutcomeError
			if !errors.Is(err, ErrUnknownOutcome) || !errors.As(err, &unknown) || unknown.Op != OpEnd || unknown.Sequence != 1 {
				t.Fatalf("error %v", err)
			}
			wantEnds := int64(1)
			if executed {
				wantEnds = 2 // the second is the one from elsewhere
			}
			if err := p.Commit(ctx, 2, out(2)); !errors.Is(err, ErrNotReady) {
				t.Fatalf("commit after an unknown outcome: %v", err)
			}
			if got := ends.Load(); got != wantEnds {
				t.Fatalf("%d EndTxn requests, want %d", got, wantEnds)
			}
			mustInit(t, p)
			if got := ends.Load(); got != wantEnds {
				t.Fatalf("%d EndTxn requests after Init, want %d", got, wantEnds)
			}
			want := []string{"3"}
			if executed {
				want = []string{"1", "3"}
			}
			if err := p.Commit(ctx, 3, out(3)); err != nil {
				t.Fatal(err)
			}
			if got := values(committed(t, c, "journal")); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func endElsewhere(t *testing.T, c *kfake.Cluster, req *kmsg.EndTxnRequest) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	again := *req
	if _, err := again.RequestWith(testContext(t), cl); err != nil {
		t.Error(err)
	}
}

func TestAnsweredEndTxnErrorsAreNotRepeated(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.UnknownServerError} {
		t.Run(e.Message, func(t *testing.T) {
			c := cluster(t, 1, "triggers", "journal")
			p := producer(t, c)
			mustInit(t, p)
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: e, Count: -1})
			if err := p.Commit(testContext(t), 1, out(1)); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, kafka.Error(e.Code)) {
				t.Errorf("error %v", err)
			}
			if got, want := fault.Hits(), 1; got != want {
				t.Errorf("%d EndTxn requests, want %d", got, want)
			}
		})
	}
}

func TestWaitsAreWaitedOut(t *testing.T) {
	for _, c := range []struct {
		key  kmsg.Key
		op   Op
		errs []*kerr.Error
	}{
		{kmsg.InitProducerID, OpInit, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator}},
		{kmsg.AddPartitionsToTxn, OpAddPartitions, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.NotEnoughReplicas}},
		{kmsg.Produce, OpProduce, []*kerr.Error{kerr.NotEnoughReplicas, kerr.ConcurrentTransactions}},
	} {
		for _, e := range c.errs {
			t.Run(fmt.Sprintf("%v %s", c.op, e.Message), func(t *testing.T) {
				fake := cluster(t, 3, "triggers", "journal")
				var retries atomic.Int64
				p := producer(t, fake, func(cfg *ProducerConfig) {
					cfg.Stats.Retry = func(op Op, code int16) {
						if op == c.op && code == e.Code {
							retries.Add(1)
						}
					}
				})
				fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, TopLevel: c.op == OpInit, Err: e, Count: 3})
				mustInit(t, p)
				if err := p.Commit(testContext(t), 1, out(1)); err != nil {
					t.Fatal(err)
				}
				if err := p.Commit(testContext(t), 3, out(3)); err != nil {
					t.Fatal(err)
				}
				if fault.Hits() != 3 || retries.Load() == 0 {
					t.Errorf("%d faults, %d retries", fault.Hits(), retries.Load())
				}
				if got, want := values(committed(t, fake, "triggers")), []string{"1", "3"}; !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// Only the partitions that were refused are sent again, with the same bytes.
func TestRepeatedProduceCarriesTheSameBytes(t *testing.T) {
	c := cluster(t, 1, "triggers", "journal")
	p := producer(t, c)
	mustInit(t, p)
	sent := map[string][]string{}
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, partition := range topic.Partitions {
				sent[topic.Topic] = append(sent[topic.Topic], string(partition.Records))
			}
		}
		return nil, nil, false
	})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "journal", Err: kerr.NotEnoughReplicas, Count: 2})
	if err := p.Commit(testContext(t), 1, out(1)); err != nil {
		t.Fatal(err)
	}
	if got, want := len(sent["triggers"]), 1; got != want {
		t.Errorf("triggers sent %d times, want %d", got, want)
	}
	if j := sent["journal"]; len(j) != 3 || j[0] != j[1] || j[1] != j[2] {
		t.Errorf("journal sent %d times, same bytes: %v", len(j), len(slices.Compact(j)) == 1)
	}
}

func TestOtherProduceErrorsAreUnknown(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.OutOfOrderSequenceNumber} {
		t.Run(e.Message, func(t *testing.T) {
			c := cluster(t, 2, "triggers", "journal")
			p := producer(t, c)
			mustInit(t, p)
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "journal", Err: e})
			ends := count(c, kmsg.EndTxn)
			if err := p.Commit(testContext(t), 1, out(1)); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, kafka.Error(e.Code)) {
				t.Errorf("error %v", err)
			}
			if fault.Hits() != 1 || ends.Hits() != 0 {
				t.Errorf("%d faults, %d EndTxn", fault.Hits(), ends.Hits())
			}
			mustInit(t, p)
			if err := p.Commit(testContext(t), 1, out(2)); err != nil {
				t.Fatal(err)
			}
			if got, want := values(committed(t, c, "triggers")), []string{"2"}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// The transport's metadata is a minute old by configuration: only Init renews it.
func TestMovedLeaderIsFoundAfterInit(t *testing.T) {
	c := cluster(t, 3, "triggers", "journal")
	p := producer(t, c)
	mustInit(t, p)
	ctx := testContext(t)
	if err := p.Commit(ctx, 1, out(1)); err != nil {
		t.Fatal(err)
	}
	if err := c.MoveTopicPartition("journal", 1, (c.LeaderFor("journal", 1)+1)%3); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(ctx, 2, out(2)); !errors.Is(err, kafka.NotLeaderForPartition) || !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("error %v", err)
	}
	mustInit(t, p)
	if err := p.Commit(ctx, 2, out(3)); err != nil {
		t.Fatal(err)
	}
	if got, want := values(committed(t, c, "journal")), []string{"1", "3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLargeCommitIsSplitAndWhole(t *testing.T) {
	c := cluster(t, 2, "triggers", "journal")
	p := producer(t, c)
	mustInit(t, p)
	requests := count(c, kmsg.Produce)
	o := out(1)
	for i := range 30 {
		v := make([]byte, 200_000)
		copy(v, strconv.Itoa(i))
		o[0].Records = append(o[0].Records, Record{Value: v})
	}
	if err := p.Commit(testContext(t), 1, o); err != nil {
		t.Fatal(err)
	}
	if got, want := requests.Hits(), 8; got < want {
		t.Errorf("%d produce requests, want at least %d", got, want)
	}
	got := committed(t, c, "triggers")
	if len(got) != 31 {
		t.Fatalf("%d records", len(got))
	}
	for i, r := range got[1:] {
		if want := strconv.Itoa(i); string(r.Value[:len(want)]) != want || len(r.Value) != 200_000 {
			t.Fatalf("record %d begins %q", i, r.Value[:4])
		}
	}
}

func TestWhatIsNotSentLeavesTheProducerReady(t *testing.T) {
	c := cluster(t, 1, "triggers", "journal")
	p := producer(t, c)
	ctx := testContext(t)
	if err := p.Commit(ctx, 1, out(1)); !errors.Is(err, ErrNotReady) {
		t.Errorf("commit before Init: %v", err)
	}
	if got := p.Epoch(); got != -1 {
		t.Errorf("epoch before Init: %d", got)
	}
	mustInit(t, p)
	if err := p.Commit(ctx, 1, []TopicPartition{{Topic: "triggers"}}); !errors.Is(err, ErrNothingToCommit) {
		t.Errorf("empty commit: %v", err)
	}
	big := out(1)
	big[1].Records = append(big[1].Records, Record{Value: make([]byte, 900_000)})
	var tooLarge *RecordTooLargeError
	if err := p.Commit(ctx, 1, big); !errors.As(err, &tooLarge) || tooLarge.Topic != "journal" || tooLarge.Index != 1 {
		t.Errorf("too large: %v", err)
	}
	if err := p.Commit(ctx, 1, out(1)); err != nil {
		t.Errorf("commit afterwards: %v", err)
	}
}

func TestInitStopsAtPermanentErrors(t *testing.T) {
	c := cluster(t, 1, "triggers", "journal")
	p := producer(t, c)
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: "app-0-1", TopLevel: true, Err: kerr.TransactionalIDAuthorizationFailed})
	if err := p.Init(testContext(t)); !errors.Is(err, kafka.TransactionalIDAuthorizationFailed) || fault.Hits() != 1 {
		t.Fatalf("error %v after %d faults", err, fault.Hits())
	}
	if err := p.Commit(testContext(t), 2, out(2)); !errors.Is(err, ErrNotReady) {
		t.Errorf("commit with half an Init: %v", err)
	}
	mustInit(t, p)
	if err := p.Commit(testContext(t), 2, out(2)); err != nil {
		t.Error(err)
	}
	same := producer(t, c, func(cfg *ProducerConfig) { cfg.TransactionalIDs[1] = cfg.TransactionalIDs[0] })
	if err := same.Init(testContext(t)); err == nil {
		t.Error("one id twice was taken")
	}
}

func TestCancelledCommitIsUnknown(t *testing.T) {
	c := cluster(t, 1, "triggers", "journal")
	p := producer(t, c)
	mustInit(t, p)
	ctx, cancel := context.WithCancel(testContext(t))
	release := make(chan struct{})
	c.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel()
		c.SleepControl(func() { <-release })
		return nil, nil, false
	})
	err := p.Commit(ctx, 1, out(1))
	close(release)
	if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}

func BenchmarkCommit(b *testing.B) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "triggers", "journal"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	p := NewProducer(ProducerConfig{Addr: kafka.TCP(c.ListenAddrs()...), Transport: transport, TransactionalIDs: [2]string{"a", "b"}})
	if err := p.Init(b.Context()); err != nil {
		b.Fatal(err)
	}
	sequence := int64(0)
	for b.Loop() {
		sequence++
		if err := p.Commit(b.Context(), sequence, out(sequence)); err != nil {
			b.Fatal(err)
		}
	}
}
