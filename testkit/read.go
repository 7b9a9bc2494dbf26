package testkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// fetchBytes is what one response may hold. The request's total limit is never the one that
// cuts: the embedded broker leaves out the list of aborted transactions when it is.
const fetchBytes = 8 << 20

// earliest and latest are the timestamps of ListOffsets that ask for a log's ends.
const (
	earliest = -2
	latest   = -1
)

// ReadCommitted returns every record of a topic that a read_committed consumer may
// see now, by partition and then offset: up to the last stable offset, so what
// follows the first open transaction is not there yet.
func ReadCommitted(t testing.TB, topic string) []*kgo.Record {
	t.Helper()
	return readAll(t, topic, kgo.ReadCommitted())
}

// ReadUncommitted is ReadCommitted with open and aborted transactions, up to the
// high watermark.
func ReadUncommitted(t testing.TB, topic string) []*kgo.Record {
	t.Helper()
	return readAll(t, topic, kgo.ReadUncommitted())
}

// AwaitCommitted reads as ReadCommitted does, again and again, until there are at
// least n records, and fails the test if there are not after Limit.
func AwaitCommitted(t testing.TB, topic string, n int) []*kgo.Record {
	t.Helper()
	ctx := Context(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	r := newReader(t, topic, kgo.ReadCommitted())
	for {
		if err := r.toEnd(ctx); err != nil {
			t.Fatalf("reading %s, %d of %d records so far: %v", topic, r.count(), n, err)
		}
		if r.count() >= n {
			return r.records()
		}
		select {
		case <-ctx.Done():
			t.Fatalf("topic %s holds %d committed records, not %d, after %v", topic, r.count(), n, Limit)
		case <-tick.C:
		}
	}
}

// Tail reads a topic on and on, as ReadCommitted does.
type Tail struct {
	t    testing.TB
	r    *reader
	seen map[int32]int
}

// Follow returns a Tail that begins with the topic's first record.
func Follow(t testing.TB, topic string) *Tail {
	t.Helper()
	return &Tail{t, newReader(t, topic, kgo.ReadCommitted()), map[int32]int{}}
}

// Next returns the records that have come since the last call, by partition and
// then offset; none if there are none now.
func (f *Tail) Next() (more []*kgo.Record) {
	f.t.Helper()
	if err := f.r.toEnd(Context(f.t)); err != nil {
		f.t.Fatalf("reading %s: %v", f.r.topic, err)
	}
	for _, p := range slices.Sorted(maps.Keys(f.r.partitions)) {
		more = append(more, f.r.partitions[p][f.seen[p]:]...)
		f.seen[p] = len(f.r.partitions[p])
	}
	return more
}

// Ends returns where the committed records of each partition end now.
func (f *Tail) Ends() map[int32]int64 {
	f.t.Helper()
	ctx := Context(f.t)
	if err := f.r.toEnd(ctx); err != nil { // once it can be read its leaders are known
		f.t.Fatalf("reading %s: %v", f.r.topic, err)
	}
	leaders, err := partitionLeaders(ctx, f.r.client, f.r.topic)
	ends := map[int32]int64{}
	for p, leader := range leaders {
		if err == nil {
			ends[p], err = f.r.offset(ctx, p, leader, latest)
		}
	}
	if err != nil {
		f.t.Fatalf("the ends of %s: %v", f.r.topic, err)
	}
	return ends
}

func readAll(t testing.TB, topic string, isolation kgo.IsolationLevel) []*kgo.Record {
	t.Helper()
	r := newReader(t, topic, isolation)
	if err := r.toEnd(Context(t)); err != nil {
		t.Fatalf("reading %s: %v", topic, err)
	}
	return r.records()
}

// reader reads one topic by position.
type reader struct {
	client     *kgo.Client
	topic      string
	isolation  kgo.IsolationLevel
	level      int8            // isolation as the protocol writes it
	position   map[int32]int64 // offset to read next; absent before the first read
	partitions map[int32][]*kgo.Record
}

func newReader(t testing.TB, topic string, isolation kgo.IsolationLevel) *reader {
	t.Helper()
	// From version 13 on Fetch names topics by id; names are all that is needed here.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.Fetch), 12)
	r := &reader{
		client:     Client(t, kgo.MaxVersions(versions)),
		topic:      topic,
		isolation:  isolation,
		position:   map[int32]int64{},
		partitions: map[int32][]*kgo.Record{},
	}
	if isolation == kgo.ReadCommitted() {
		r.level = 1
	}
	return r
}

func (r *reader) count() (n int) {
	for _, records := range r.partitions {
		n += len(records)
	}
	return n
}

func (r *reader) records() (all []*kgo.Record) {
	for _, p := range slices.Sorted(maps.Keys(r.partitions)) {
		all = append(all, r.partitions[p]...)
	}
	return all
}

// toEnd reads on to the ends that the partitions have when it is called.
func (r *reader) toEnd(ctx context.Context) error {
	for {
		err := r.tryToEnd(ctx)
		if !kerr.IsRetriable(err) || ctx.Err() != nil {
			return err
		}
		// A real broker needs a moment for a topic that is new.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *reader) tryToEnd(ctx context.Context) error {
	leaders, err := partitionLeaders(ctx, r.client, r.topic)
	if err != nil {
		return err
	}
	for p, leader := range leaders {
		if err := r.partitionToEnd(ctx, p, leader); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

func (r *reader) partitionToEnd(ctx context.Context, p, leader int32) error {
	if _, ok := r.position[p]; !ok {
		start, err := r.offset(ctx, p, leader, earliest)
		if err != nil {
			return err
		}
		r.position[p] = start
	}
	end, err := r.offset(ctx, p, leader, latest)
	if err != nil {
		return err
	}
	for r.position[p] < end {
		before := r.position[p]
		if err := r.fetch(ctx, p, leader); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil && r.position[p] == before {
			return fmt.Errorf("at offset %d of %d: %w", before, end, err)
		}
	}
	// A fetch may bring what came after the call; the promise is the end as it was then,
	// and what was taken beyond it is only newer.
	return nil
}

func (r *reader) offset(ctx context.Context, p, leader int32, timestamp int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, r.level
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = r.topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, timestamp, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	response, err := r.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return 0, err
	}
	answer := response.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	return answer.Offset, kerr.ErrorForCode(answer.ErrorCode)
}

func (r *reader) fetch(ctx context.Context, p, leader int32) error {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.IsolationLevel = -1, r.level
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 100, 1, 4*fetchBytes
	req.SessionEpoch = -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = r.topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p, r.position[p], fetchBytes
	rp.CurrentLeaderEpoch = -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	response, err := r.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return err
	}
	fetched := response.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(fetched.ErrorCode); err != nil {
		return err
	}
	if len(fetched.Topics) != 1 || len(fetched.Topics[0].Partitions) != 1 {
		return errors.New("the response does not hold the one partition that was asked for")
	}
	part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: r.position[p], IsolationLevel: r.isolation, Topic: r.topic, Partition: p,
	}, &fetched.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if part.Err != nil {
		return part.Err
	}
	r.partitions[p] = append(r.partitions[p], part.Records...)
	r.position[p] = next
	return nil
}
