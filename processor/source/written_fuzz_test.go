package source

import (
	"bytes"
	"testing"

	"tidemark/schemas"
	"tidemark/sinks"
	"tidemark/testkit/soak"
)

// FuzzWritten: what sinks puts into a batch comes out of the fetch path as it
// went in, nulls and empty strings told apart.
func FuzzWritten(f *testing.F) { fuzzWritten(f) }

func fuzzWritten(f soak.F) {
	f.Add([]byte("key"), []byte("value"), "traceparent", []byte("00-1-1-01"), uint8(3), int64(7))
	f.Add([]byte{}, []byte(nil), "", []byte(nil), uint8(1), int64(-1))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, n uint8, producer int64) {
		records := make([]sinks.Record, int(n)%5+1)
		for i := range records {
			records[i] = sinks.Record{Key: key, Value: value}
			if i%2 == 0 {
				records[i].Headers = []schemas.Header{{Key: name, Value: header}, {Key: "x"}}
			}
			if i == 3 {
				records[i].Key = nil
			}
		}
		raw := sinks.AppendBatch(nil, sinks.BatchHeader{ProducerID: producer, Timestamp: 1_704_448_800_000, Transactional: producer >= 0}, records)
		got, next, err := committedRecords(nil, raw, 0, int64(len(records)), nil, 64<<20)
		if err != nil || len(got) != len(records) || next != int64(len(records)) {
			t.Fatalf("%d records of %d, next %d, %v", len(got), len(records), next, err)
		}
		for i, want := range records {
			g := &got[i]
			if !bytes.Equal(g.Key, want.Key) || (g.Key == nil) != (want.Key == nil) || !bytes.Equal(g.Value, want.Value) || (g.Value == nil) != (want.Value == nil) {
				t.Fatalf("record %d: %q %q, want %q %q", i, g.Key, g.Value, want.Key, want.Value)
			}
			headers := g.Headers()
			if len(headers) != len(want.Headers) {
				t.Fatalf("record %d: %d headers, want %d", i, len(headers), len(want.Headers))
			}
			for j := range headers {
				if headers[j].Key != want.Headers[j].Key || !bytes.Equal(headers[j].Value, want.Headers[j].Value) {
					t.Fatalf("record %d: header %+v, want %+v", i, headers[j], want.Headers[j])
				}
			}
		}
	})
}

// FuzzListOffsets: the other answer that is read in place.
func FuzzListOffsets(f *testing.F) { fuzzListOffsets(f) }

func fuzzListOffsets(f soak.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 2, 7, 'o', 'r', 'd', 'e', 'r', 's', 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseListOffsets(raw)
		if err == nil && len(list) > len(raw) {
			t.Fatalf("%d partitions of %d bytes", len(list), len(raw))
		}
	})
}
