package sinks

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"tidemark/schemas"
)

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestBatchIsReadByAnotherParser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maybe := func(label string) []byte {
			if rapid.Bool().Draw(t, label+" null") {
				return nil
			}
			return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, label)
		}
		records := make([]Record, rapid.IntRange(1, 150).Draw(t, "records"))
		for i := range records {
			records[i] = Record{Key: maybe("key"), Value: maybe("value")}
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				records[i].Headers = append(records[i].Headers, schemas.Header{Key: rapid.StringN(0, 10, 20).Draw(t, "name"), Value: maybe("header")})
			}
		}
		h := BatchHeader{
			ProducerID: rapid.Int64Min(-1).Draw(t, "id"), Epoch: rapid.Int16Min(-1).Draw(t, "epoch"),
			BaseSequence: rapid.Int32Min(-1).Draw(t, "sequence"), Transactional: rapid.Bool().Draw(t, "transactional"),
			Timestamp: rapid.Int64Range(0, 1<<42).Draw(t, "timestamp"),
		}
		prefix := []byte("before")
		raw := AppendBatch(prefix, h, records)[len(prefix):]
		size := batchOverhead
		for i := range records {
			size += recordSize(i, &records[i])
		}
		if got, want := len(raw), size; got != want {
			t.Fatalf("batch of %d bytes, computed %d", got, want)
		}
		b, got := parse(t, raw)
		if b.Magic != 2 || b.FirstOffset != 0 || b.PartitionLeaderEpoch != -1 || b.ProducerID != h.ProducerID ||
			b.ProducerEpoch != h.Epoch || b.FirstSequence != h.BaseSequence || b.FirstTimestamp != h.Timestamp ||
			b.MaxTimestamp != h.Timestamp || b.LastOffsetDelta != int32(len(records)-1) || int(b.NumRecords) != len(records) ||
			b.Attributes != map[bool]int16{true: 0x10}[h.Transactional] {
			t.Fatalf("header %+v from %+v", b, h)
		}
		if got, want := len(got), len(records); got != want {
			t.Fatalf("%d records, want %d", got, want)
		}
		for i, r := range got {
			if int(r.OffsetDelta) != i || !same(r.Key, records[i].Key) || !same(r.Value, records[i].Value) || len(r.Headers) != len(records[i].Headers) {
				t.Fatalf("record %d: %+v from %+v", i, r, records[i])
			}
			for j, h := range r.Headers {
				if h.Key != records[i].Headers[j].Key || !same(h.Value, records[i].Headers[j].Value) {
					t.Fatalf("header %d of record %d: %+v", j, i, h)
				}
			}
		}
	})
}

// parse reads a batch with franz-go's generated reader of the protocol.
func parse(t *rapid.T, raw []byte) (kmsg.RecordBatch, []kmsg.Record) {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		t.Fatalf("batch: %v", err)
	}
	if got, want := int(b.Length), len(raw)-12; got != want {
		t.Fatalf("length %d, want %d", got, want)
	}
	if got, want := uint32(b.CRC), crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)); got != want {
		t.Fatalf("crc %x, want %x", got, want)
	}
	var records []kmsg.Record
	for rest := b.Records; len(rest) > 0; {
		var r kmsg.Record
		if err := r.ReadFrom(rest); err != nil {
			t.Fatalf("record %d: %v", len(records), err)
		}
		records = append(records, r)
		rest = rest[varintSize(int(r.Length))+int(r.Length):]
	}
	return b, records
}

func TestBatchGolden(t *testing.T) {
	raw := AppendBatch(nil, BatchHeader{ProducerID: 7, Epoch: 3, BaseSequence: 9, Transactional: true, Timestamp: 1_700_000_000_000},
		[]Record{{Key: []byte("c1"), Value: []byte("v"), Headers: []schemas.Header{{Key: "ce_id", Value: []byte("x")}}}, {}})
	const want = "0000000000000000" + "0000004a" + "ffffffff" + "02" + "CRC-CRC-" + "0010" + "00000001" +
		"0000018bcfe56800" + "0000018bcfe56800" + "0000000000000007" + "0003" + "00000009" + "00000002" +
		"22" + "00" + "00" + "00" + "046331" + "0276" + "02" + "0a63655f6964" + "0278" +
		"0c" + "00" + "00" + "02" + "01" + "01" + "00"
	got := fmt.Sprintf("%x", raw)
	got = got[:34] + "CRC-CRC-" + got[42:]
	if got != want {
		t.Fatalf("\ngot  %s\nwant %s", got, want)
	}
}

func TestBatchWithoutRecordsIsNothing(t *testing.T) {
	if got := AppendBatch([]byte("x"), BatchHeader{}, nil); string(got) != "x" {
		t.Fatalf("got %q", got)
	}
}

func TestAppendBatchDoesNotAllocate(t *testing.T) {
	records := make([]Record, 100)
	for i := range records {
		records[i] = Record{Key: []byte("customer"), Value: make([]byte, 300), Headers: []schemas.Header{{Key: "ce_id", Value: []byte("1")}}}
	}
	dst := AppendBatch(nil, BatchHeader{}, records)
	if got := testing.AllocsPerRun(100, func() { dst = AppendBatch(dst[:0], BatchHeader{}, records) }); got != 0 {
		t.Fatalf("%v allocations", got)
	}
}

func TestPlanKeepsOrderAndLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 500
		var out []TopicPartition
		want := map[partitionKey][]byte{}
		next := byte(0)
		for range rapid.IntRange(1, 6).Draw(t, "entries") {
			tp := TopicPartition{Topic: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic"), Partition: rapid.Int32Range(0, 2).Draw(t, "partition")}
			for range rapid.IntRange(0, 20).Draw(t, "records") {
				v := make([]byte, rapid.IntRange(1, 400).Draw(t, "size"))
				v[0] = next
				k := partitionKey{tp.Topic, tp.Partition}
				want[k] = append(want[k], next)
				next++
				tp.Records = append(tp.Records, Record{Value: v})
			}
			out = append(out, tp)
		}
		p, err := newPlan(out, limit)
		if len(want) == 0 {
			if err != ErrNothingToCommit {
				t.Fatalf("error %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		parts := 0
		for _, topic := range p.topics {
			for _, part := range topic.parts {
				parts++
				var got []byte
				for _, b := range part.batches {
					if n := len(AppendBatch(nil, BatchHeader{}, b)); n > limit {
						t.Fatalf("batch of %d bytes", n)
					}
					for _, r := range b {
						got = append(got, r.Value[0])
					}
				}
				if !bytes.Equal(got, want[part.key]) {
					t.Fatalf("%v: got %v, want %v", part.key, got, want[part.key])
				}
			}
		}
		if parts != len(want) || p.partitions != parts {
			t.Fatalf("%d partitions, counted %d, want %d", parts, p.partitions, len(want))
		}
	})
}

func TestSequenceWraps(t *testing.T) {
	for _, c := range []struct {
		from int32
		n    int
		want int32
	}{{0, 3, 3}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32 - 1, 5, 3}} {
		if got := advance(c.from, c.n); got != c.want {
			t.Errorf("advance(%d, %d) = %d, want %d", c.from, c.n, got, c.want)
		}
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	records := make([]Record, 100)
	for i := range records {
		records[i] = Record{Key: []byte("customer-000001"), Value: make([]byte, 400), Headers: []schemas.Header{{Key: "ce_id", Value: []byte("0123456789abcdef")}}}
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendBatch(dst[:0], BatchHeader{}, records)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/record")
}
