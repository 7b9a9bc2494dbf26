package source

import (
	"errors"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"tidemark/testkit/soak"
)

// The requests must be what the generated reader of the protocol reads.
func TestFetchRequest(t *testing.T) {
	raw := appendFetch(nil, []asked{{TopicPartition{"orders", 3}, 77}, {TopicPartition{"events", 1}, 5}, {TopicPartition{"orders", 0}, 6}}, 250, 1<<20)
	r := kmsg.NewPtrFetchRequest()
	r.Version = fetchVersion
	if err := r.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if r.ReplicaID != -1 || r.MaxWaitMillis != 250 || r.MinBytes != 1 || r.MaxBytes != 1<<31-1 || r.IsolationLevel != 1 ||
		r.SessionID != 0 || r.SessionEpoch != -1 || len(r.Topics) != 3 || len(r.ForgottenTopics) != 0 || r.Rack != "" {
		t.Errorf("%+v", r)
	}
	p := r.Topics[0].Partitions[0]
	if r.Topics[0].Topic != "orders" || p.Partition != 3 || p.CurrentLeaderEpoch != -1 || p.FetchOffset != 77 || p.LogStartOffset != -1 || p.PartitionMaxBytes != 1<<20 {
		t.Errorf("%+v", p)
	}
	if got := r.AppendTo(nil); string(got) != string(raw) {
		t.Errorf("read and written again: %x, was %x", got, raw)
	}
}

func TestListOffsetsRequest(t *testing.T) {
	raw := appendListOffsets(nil, []TopicPartition{{"orders", 3}}, earliestOffset, readCommitted)
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version = listOffsetsVersion
	if err := r.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	p := r.Topics[0].Partitions[0]
	if r.ReplicaID != -1 || r.IsolationLevel != 1 || r.Topics[0].Topic != "orders" || p.Partition != 3 || p.CurrentLeaderEpoch != -1 || p.Timestamp != -2 {
		t.Errorf("%+v", r)
	}
	if got := r.AppendTo(nil); string(got) != string(raw) {
		t.Errorf("read and written again: %x, was %x", got, raw)
	}
}

func TestRequestHeader(t *testing.T) {
	want := []byte{0, 0, 0, 13, 0, 1, 0, 11, 0, 0, 0, 9, 0, 2, 'i', 'd', '!'}
	if got := finish(append(appendHeader(nil, fetchKey, fetchVersion, 9, "id"), '!')); string(got) != string(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func drawResponse(t *rapid.T) (*kmsg.FetchResponse, []fetchedPartition) {
	r := kmsg.NewPtrFetchResponse()
	r.Version = fetchVersion
	r.ErrorCode = rapid.Int16().Draw(t, "code")
	var want []fetchedPartition
	for range rapid.IntRange(0, 3).Draw(t, "topics") {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = rapid.StringN(0, 10, 20).Draw(t, "topic")
		for range rapid.IntRange(0, 3).Draw(t, "partitions") {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition = rapid.Int32().Draw(t, "partition")
			p.ErrorCode = rapid.Int16().Draw(t, "error")
			p.HighWatermark, p.LastStableOffset, p.LogStartOffset = rapid.Int64().Draw(t, "hw"), rapid.Int64().Draw(t, "lso"), rapid.Int64().Draw(t, "start")
			w := fetchedPartition{TopicPartition: TopicPartition{rt.Topic, p.Partition}, code: p.ErrorCode,
				highWatermark: p.HighWatermark, lastStable: p.LastStableOffset, logStart: p.LogStartOffset}
			for range rapid.IntRange(0, 2).Draw(t, "aborted") {
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID, a.FirstOffset = rapid.Int64().Draw(t, "id"), rapid.Int64().Draw(t, "first")
				p.AbortedTransactions = append(p.AbortedTransactions, a)
				w.aborted = append(w.aborted, abortedTxn{a.ProducerID, a.FirstOffset})
			}
			if b := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "records"); len(b) > 0 {
				p.RecordBatches, w.records = b, b
			}
			rt.Partitions = append(rt.Partitions, p)
			want = append(want, w)
		}
		r.Topics = append(r.Topics, rt)
	}
	return r, want
}

func TestFetchResponse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, want := drawResponse(t)
		raw := r.AppendTo(nil)
		code, got, err := parseFetch(raw)
		if err != nil || code != r.ErrorCode || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %d %+v, %v; want %d %+v", code, got, err, r.ErrorCode, want)
		}
		cut := rapid.IntRange(0, len(raw)-1).Draw(t, "cut")
		if _, _, err := parseFetch(raw[:cut]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: error %v", cut, err)
		}
	})
}

func TestListOffsetsResponse(t *testing.T) {
	r := kmsg.NewPtrListOffsetsResponse()
	r.Version = listOffsetsVersion
	rt := kmsg.NewListOffsetsResponseTopic()
	rt.Topic = "orders"
	for i := range int32(3) {
		p := kmsg.NewListOffsetsResponseTopicPartition()
		p.Partition, p.ErrorCode, p.Offset = i, int16(10*i), int64(100+i)
		rt.Partitions = append(rt.Partitions, p)
	}
	r.Topics = append(r.Topics, rt)
	raw := r.AppendTo(nil)
	got, err := parseListOffsets(raw)
	want := []listedOffset{{TopicPartition{"orders", 0}, 0, 100}, {TopicPartition{"orders", 1}, 10, 101}, {TopicPartition{"orders", 2}, 20, 102}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for cut := range len(raw) {
		if _, err := parseListOffsets(raw[:cut]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: error %v", cut, err)
		}
	}
}

func FuzzFetchResponse(f *testing.F) { fuzzFetchResponse(f) }

func fuzzFetchResponse(f soak.F) {
	r := kmsg.NewPtrFetchResponse()
	r.Version = fetchVersion
	rt := kmsg.NewFetchResponseTopic()
	rt.Topic = "orders"
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.LastStableOffset = 9, 8
	a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
	a.ProducerID, a.FirstOffset = 7, 0
	p.AbortedTransactions = append(p.AbortedTransactions, a)
	p.RecordBatches = append(append(data(0, 7, true, 2), marker(2, 7, true)...), data(3, -1, false, 4)...)
	rt.Partitions = append(rt.Partitions, p, kmsg.NewFetchResponseTopicPartition())
	r.Topics = append(r.Topics, rt)
	f.Add(r.AppendTo(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, partitions, err := parseFetch(raw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		for _, p := range partitions {
			const from = 1
			records, next, _ := committedRecords(nil, p.records, from, p.lastStable, p.aborted, 1<<20)
			checkRecords(t, records, from, next, max(from, p.lastStable))
		}
	})
}
