package sinks

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"tidemark/schemas"
)

// Record is one record to publish. A nil Key or Value is a Kafka null, an
// empty one is an empty byte string.
type Record struct {
	Key, Value []byte
	Headers    []schemas.Header
}

// BatchHeader is what a batch says about itself beyond its records.
type BatchHeader struct {
	ProducerID   int64 // -1 for a batch that is not idempotent
	Epoch        int16 // -1 without a producer id
	BaseSequence int32 // sequence number of the first record; -1 without a producer id
	// Transactional marks the batch as part of the producer's open transaction.
	Transactional bool
	// Timestamp is the create time of every record in the batch, in
	// milliseconds since 1970 UTC.
	Timestamp int64
}

// Places of the fields of a record batch of magic 2, and its size without
// records; see FORMAT.md.
const (
	lengthAt      = 8
	crcAt         = 17
	attributesAt  = 21
	batchOverhead = 61

	transactionalBit = 1 << 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBatch appends one uncompressed record batch (magic 2) holding records
// and returns the extended slice. It allocates only to grow dst. A batch
// without records is not something that a broker takes: dst is returned as it was.
func AppendBatch(dst []byte, b BatchHeader, records []Record) []byte {
	if len(records) == 0 {
		return dst
	}
	start := len(dst)
	be := binary.BigEndian
	dst = be.AppendUint64(dst, 0)          // base offset: the broker's to fill
	dst = be.AppendUint32(dst, 0)          // length, below
	dst = be.AppendUint32(dst, ^uint32(0)) // partition leader epoch: the broker's to fill
	dst = append(dst, 2)
	dst = be.AppendUint32(dst, 0) // CRC, below
	var attributes uint16
	if b.Transactional {
		attributes |= transactionalBit
	}
	dst = be.AppendUint16(dst, attributes)
	dst = be.AppendUint32(dst, uint32(len(records)-1))
	dst = be.AppendUint64(dst, uint64(b.Timestamp))
	dst = be.AppendUint64(dst, uint64(b.Timestamp))
	dst = be.AppendUint64(dst, uint64(b.ProducerID))
	dst = be.AppendUint16(dst, uint16(b.Epoch))
	dst = be.AppendUint32(dst, uint32(b.BaseSequence))
	dst = be.AppendUint32(dst, uint32(len(records)))
	for i := range records {
		dst = appendRecord(dst, i, &records[i])
	}
	batch := dst[start:]
	be.PutUint32(batch[lengthAt:], uint32(len(batch)-lengthAt-4))
	be.PutUint32(batch[crcAt:], crc32.Checksum(batch[attributesAt:], castagnoli))
	return dst
}

func appendRecord(dst []byte, offsetDelta int, r *Record) []byte {
	dst = binary.AppendVarint(dst, int64(recordBody(offsetDelta, r)))
	dst = append(dst, 0) // attributes, none are defined
	dst = append(dst, 0) // timestamp delta 0: one publishing time per batch
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // zig-zag of -1
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// recordBody is the size of a record without its length prefix. The prefix
// comes first and has a variable size, so the size must be known before.
func recordBody(offsetDelta int, r *Record) int {
	n := 2 + varintSize(offsetDelta) + bytesSize(r.Key) + bytesSize(r.Value) + varintSize(len(r.Headers))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += varintSize(len(h.Key)) + len(h.Key) + bytesSize(h.Value)
	}
	return n
}

func recordSize(offsetDelta int, r *Record) int {
	n := recordBody(offsetDelta, r)
	return varintSize(n) + n
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(len(b)) + len(b)
}

// varintSize is the size of the zig-zag varint of a number that is not negative.
func varintSize(n int) int {
	return (bits.Len64(uint64(n)<<1|1) + 6) / 7
}

// splitAt returns how many of records fit into one batch of at most limit
// bytes; 0 if not even the first does.
func splitAt(records []Record, limit int) int {
	size := batchOverhead
	for i := range records {
		size += recordSize(i, &records[i])
		if size > limit {
			return i
		}
	}
	return len(records)
}
