package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tidemark/testkit/soak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is a batch to be encoded by franz-go's generated writer.
type sample struct {
	base       int64
	attributes int16
	producerID int64
	firstTime  int64
	maxTime    int64
	lastDelta  int32 // 0: of the last record
	records    []kmsg.Record
	squeeze    func([]byte) []byte // nil: as the attributes say
}

func (s sample) encode() []byte {
	var payload []byte
	for i := range s.records {
		r := s.records[i]
		if s.lastDelta == 0 {
			r.OffsetDelta = int32(i)
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // the length itself is one byte while it is 0
		payload = r.AppendTo(payload)
	}
	if s.squeeze != nil {
		payload = s.squeeze(payload)
	} else if codec := compress.Compression(s.attributes & codecBits).Codec(); codec != nil {
		var out bytes.Buffer
		w := codec.NewWriter(&out)
		w.Write(payload)
		w.Close()
		payload = out.Bytes()
	}
	last := s.lastDelta
	if last == 0 {
		last = max(0, int32(len(s.records))-1)
	}
	b := kmsg.RecordBatch{
		FirstOffset: s.base, Length: int32(batchOverhead - batchPrefix + len(payload)), PartitionLeaderEpoch: 3, Magic: 2,
		Attributes: s.attributes, LastOffsetDelta: last, FirstTimestamp: s.firstTime, MaxTimestamp: s.maxTime,
		ProducerID: s.producerID, NumRecords: int32(len(s.records)), Records: payload,
	}
	return sealed(b.AppendTo(nil))
}

// sealed puts the right CRC into a batch.
func sealed(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

func drawRecords(t *rapid.T, least int) []kmsg.Record {
	maybe := func(label string) []byte {
		if rapid.Bool().Draw(t, label+" null") {
			return nil
		}
		return rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, label)
	}
	records := make([]kmsg.Record, rapid.IntRange(least, 30).Draw(t, "records"))
	for i := range records {
		records[i] = kmsg.Record{TimestampDelta64: rapid.Int64Range(-1000, 1<<40).Draw(t, "delta"), Key: maybe("key"), Value: maybe("value")}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			records[i].Headers = append(records[i].Headers, kmsg.Header{Key: rapid.StringN(0, 5, 10).Draw(t, "name"), Value: maybe("header")})
		}
	}
	return records
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestBatchesOfAnotherWriterAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sample{
			base: rapid.Int64Range(0, 1<<50).Draw(t, "base"), attributes: rapid.SampledFrom([]int16{0, 1, 2, 3, 4, 8, 12}).Draw(t, "attributes"),
			producerID: rapid.Int64Min(-1).Draw(t, "producer"), firstTime: 1_700_000_000_000, maxTime: 1_800_000_000_000, records: drawRecords(t, 1),
		}
		raw := append(s.encode(), "rest"...)
		b, rest, ok, err := nextBatch(raw)
		if err != nil || !ok || string(rest) != "rest" {
			t.Fatalf("ok %v, rest %q, error %v", ok, rest, err)
		}
		from := s.base + rapid.Int64Range(0, int64(len(s.records))).Draw(t, "from")
		records, err := b.appendRecords(nil, from, 1<<62, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		skipped := int(from - s.base)
		if got, want := len(records), len(s.records)-skipped; got != want {
			t.Fatalf("%d records, want %d", got, want)
		}
		for i := range records {
			r, want := &records[i], s.records[i+skipped]
			at := s.firstTime + want.TimestampDelta64
			if s.attributes&logAppendTimeBit != 0 {
				at = s.maxTime
			}
			if r.Offset != s.base+int64(i+skipped) || r.Timestamp != at || !same(r.Key, want.Key) || !same(r.Value, want.Value) {
				t.Fatalf("record %d: %+v, want %+v", i, r, want)
			}
			headers := r.Headers()
			if got, want := len(headers), len(want.Headers); got != want {
				t.Fatalf("%d headers, want %d", got, want)
			}
			for j, h := range want.Headers {
				if headers[j].Key != h.Key || !same(headers[j].Value, h.Value) {
					t.Fatalf("header %d: %+v, want %+v", j, headers[j], h)
				}
				last := h
				for _, later := range want.Headers[j:] {
					if later.Key == h.Key {
						last = later
					}
				}
				if v, ok := r.Header(h.Key); !ok || !same(v, last.Value) {
					t.Fatalf("Header(%q) = %q, %v", h.Key, v, ok)
				}
			}
			if _, ok := r.Header("not there at all"); ok {
				t.Fatal("found a header that is not there")
			}
		}
	})
}

// Both framings of snappy are about: blocks alone, and in the Java client's frame.
func TestSnappyFramings(t *testing.T) {
	s := sample{attributes: 2, records: []kmsg.Record{{Value: bytes.Repeat([]byte("a"), 50_000)}, {Value: []byte("b")}}}
	framed := s.encode()
	s.squeeze = func(p []byte) []byte { return snappy.Encode(nil, p) }
	plain := s.encode()
	if !bytes.HasPrefix(framed[batchOverhead:], xerial) || bytes.HasPrefix(plain[batchOverhead:], xerial) {
		t.Fatal("the test does not test both framings")
	}
	for _, raw := range [][]byte{framed, plain} {
		b, _, _, err := nextBatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		records, err := b.appendRecords(nil, 0, 10, 1<<20)
		if err != nil || len(records) != 2 || string(records[1].Value) != "b" {
			t.Errorf("%d records, error %v", len(records), err)
		}
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	raw := sample{base: 5, records: []kmsg.Record{{Key: []byte("k"), Value: []byte("v")}}}.encode()
	for bit := 16 * 8; bit < len(raw)*8; bit++ { // offset, length and leader epoch are outside the CRC
		bad := bytes.Clone(raw)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, ok, err := nextBatch(bad); err == nil || ok {
			t.Fatalf("bit %d of byte %d went unseen", bit%8, bit/8)
		}
	}
}

func TestPartialBatchIsTheEnd(t *testing.T) {
	one := sample{base: 5, records: []kmsg.Record{{Value: []byte("v")}}}.encode()
	two := sample{base: 6, records: []kmsg.Record{{Value: []byte("w")}}}.encode()
	raw := append(bytes.Clone(one), two...)
	for cut := range len(raw) {
		records, next, err := committedRecords(nil, raw[:cut], 5, 100, nil, 1<<20)
		want := 0
		if cut >= len(one) {
			want = 1
		}
		if err != nil || len(records) != want || next != int64(5+want) {
			t.Fatalf("cut at %d: %d records, next %d, error %v", cut, len(records), next, err)
		}
	}
}

func TestBadBatches(t *testing.T) {
	good := sample{base: 5, records: []kmsg.Record{{Value: []byte("v")}, {Value: []byte("w")}}}
	change := func(at int, b ...byte) []byte {
		raw := good.encode()
		copy(raw[at:], b)
		return sealed(raw)
	}
	bomb := sample{attributes: 4, records: []kmsg.Record{{Value: make([]byte, 1<<20)}}}
	snappyBomb := sample{attributes: 2, records: []kmsg.Record{{Value: make([]byte, 1<<20)}}}
	liar := sample{attributes: 2, records: []kmsg.Record{{}}, squeeze: func([]byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0} }}
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"magic 0", change(16, 0), ErrOldMessageFormat},
		{"magic 1", change(16, 1), ErrOldMessageFormat},
		{"magic 3", change(16, 3), ErrCorrupt},
		{"negative length", change(8, 0xff, 0xff, 0xff, 0xff), ErrCorrupt},
		{"length of no batch", change(8, 0, 0, 0, 20), ErrCorrupt},
		{"negative base", change(0, 0x80), ErrCorrupt},
		{"more records than offsets", change(57, 0, 0, 0, 3), ErrCorrupt},
		{"fewer records than bytes", change(57, 0, 0, 0, 1), ErrCorrupt},
		{"unknown codec", change(22, 5), ErrCorrupt},
		{"not gzip", change(22, 1), ErrCorrupt},
		{"not snappy", change(22, 2), ErrCorrupt},
		{"not lz4", change(22, 3), ErrCorrupt},
		{"not zstd", change(22, 4), ErrCorrupt},
		{"repeated offset", sample{lastDelta: 2, records: []kmsg.Record{{OffsetDelta: 1}, {OffsetDelta: 1}}}.encode(), ErrCorrupt},
		{"offset past the batch", sample{lastDelta: 2, records: []kmsg.Record{{OffsetDelta: 3}}}.encode(), ErrCorrupt},
		{"zstd bomb", bomb.encode(), ErrTooLarge},
		{"snappy bomb", snappyBomb.encode(), ErrTooLarge},
		{"snappy that claims 4 GB", liar.encode(), ErrTooLarge},
	} {
		records, next, err := committedRecords(nil, c.raw, 0, 1000, nil, 1<<16)
		var be *BatchError
		if !errors.Is(err, c.want) || !errors.As(err, &be) || len(records) != 0 || next != 0 {
			t.Errorf("%s: %d records, next %d, error %v, want %v", c.name, len(records), next, err, c.want)
		}
	}
	// What stands before a bad batch is given.
	raw := append(good.encode(), change(16, 9)...)
	if records, next, err := committedRecords(nil, raw, 5, 1000, nil, 1<<16); len(records) != 2 || next != 7 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d records, next %d, error %v", len(records), next, err)
	}
}

// Compaction leaves gaps, and batches without records.
func TestGapsMoveThePosition(t *testing.T) {
	raw := sample{base: 10, lastDelta: 9, records: []kmsg.Record{{OffsetDelta: 2}, {OffsetDelta: 5}}}.encode()
	raw = append(raw, sample{base: 20, lastDelta: 4, attributes: 2}.encode()...)
	records, next, err := committedRecords(nil, raw, 13, 100, nil, 1<<20)
	if err != nil || len(records) != 1 || records[0].Offset != 15 || next != 25 {
		t.Errorf("%+v, next %d, error %v", records, next, err)
	}
}

func benchmarkBatches(b *testing.B, attributes int16) {
	const perBatch, batches = 100, 40
	var raw []byte
	for i := range batches {
		s := sample{base: int64(i * perBatch), attributes: attributes, producerID: -1}
		for j := range perBatch {
			s.records = append(s.records, kmsg.Record{Key: fmt.Appendf(nil, "customer-%06d", j), Value: bytes.Repeat([]byte{byte(j)}, 131)})
		}
		raw = append(raw, s.encode()...)
	}
	b.ReportAllocs()
	for b.Loop() {
		records, _, err := committedRecords(nil, raw, 0, 1<<40, nil, 1<<20)
		if err != nil || len(records) != perBatch*batches {
			b.Fatal(len(records), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/perBatch/batches, "ns/record")
}

func BenchmarkParse(b *testing.B)       { benchmarkBatches(b, 0) }
func BenchmarkParseSnappy(b *testing.B) { benchmarkBatches(b, 2) }
func BenchmarkParseLz4(b *testing.B)    { benchmarkBatches(b, 3) }
func BenchmarkParseZstd(b *testing.B)   { benchmarkBatches(b, 4) }

// checkRecords is what must hold for whatever bytes were read.
func checkRecords(t *testing.T, records []Record, from, next, end int64) {
	t.Helper()
	last := from - 1
	for i := range records {
		r := &records[i]
		if r.Offset <= last || r.Offset >= end || r.Offset >= next {
			t.Fatalf("offset %d after %d, next %d, end %d", r.Offset, last, next, end)
		}
		last = r.Offset
		if got, want := len(r.Headers()), int(r.headerN); got != want {
			t.Fatalf("%d headers, want %d", got, want)
		}
		r.Header("x")
	}
	if next < from {
		t.Fatalf("position went back from %d to %d", from, next)
	}
}

func FuzzBatch(f *testing.F) { fuzzBatch(f) }

func fuzzBatch(f soak.F) {
	headers := []kmsg.Header{{Key: "traceparent", Value: []byte("00-1-1-01")}, {Key: "x"}}
	for attributes := range int16(5) {
		f.Add(sample{base: 3, attributes: attributes, records: []kmsg.Record{{Key: []byte("k"), Value: []byte("v"), Headers: headers}, {}}}.encode(), int64(3), int64(100))
	}
	f.Add(marker(9, 4, true), int64(0), int64(100))
	f.Add(sample{base: 1, lastDelta: 5}.encode(), int64(0), int64(3))
	f.Fuzz(func(t *testing.T, raw []byte, from, end int64) {
		if from < 0 {
			return
		}
		aborted := []abortedTxn{{producerID: 4, firstOffset: 0}}
		for range 2 {
			records, next, _ := committedRecords(nil, raw, from, end, aborted, 1<<20)
			checkRecords(t, records, from, next, max(end, from))
			if len(raw) < batchOverhead {
				return
			}
			// Once more with a CRC that is right, to get behind it.
			raw = bytes.Clone(raw)
			raw[16] = 2
			binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-batchPrefix))
			sealed(raw)
		}
	})
}
