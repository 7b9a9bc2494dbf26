package source

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/snappy"
	"github.com/segmentio/kafka-go/compress"

	"tidemark/schemas"
)

// Record is one record of a topic. Key, Value and what the header methods give
// are views that stay valid; nil is a Kafka null.
type Record struct {
	Offset int64
	// Timestamp in milliseconds since 1970 UTC: the producer's, or the broker's
	// where the topic has message.timestamp.type=LogAppendTime; -1 if there is none.
	Timestamp  int64
	Key, Value []byte
	headers    []byte // the encoded headers behind their count, already checked
	headerN    int32
}

// HasHeaders says whether there are any.
func (r *Record) HasHeaders() bool { return r.headerN > 0 }

// Headers decodes the record's headers; nil if there are none.
func (r *Record) Headers() []schemas.Header {
	if r.headerN == 0 {
		return nil
	}
	h := make([]schemas.Header, 0, r.headerN)
	for rest := r.headers; len(h) < int(r.headerN); {
		var key, value []byte
		key, rest, _ = viewBytes(rest)
		value, rest, _ = viewBytes(rest)
		h = append(h, schemas.Header{Key: string(key), Value: value})
	}
	return h
}

// Header returns the value of the last header under key, without decoding the others.
func (r *Record) Header(key string) (value []byte, ok bool) {
	rest := r.headers
	for range r.headerN {
		var k, v []byte
		k, rest, _ = viewBytes(rest)
		v, rest, _ = viewBytes(rest)
		if string(k) == key {
			value, ok = v, true
		}
	}
	return value, ok
}

// Sizes, places and attribute bits of the record batch of magic 2 (protocol
// guide, "Record Batch").
const (
	batchPrefix   = 12 // base offset and length
	batchOverhead = 61
	minRecord     = 7 // length, attributes, two deltas, key, value, header count

	codecBits        = 0x07
	logAppendTimeBit = 0x08
	transactionalBit = 0x10
	controlBit       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is the header of one record batch and a view of its records.
type batch struct {
	base       int64
	lastDelta  int32
	attributes uint16
	firstTime  int64
	maxTime    int64
	producerID int64
	count      int32
	payload    []byte // compressed as the attributes say
}

func (b *batch) next() int64         { return b.base + int64(b.lastDelta) + 1 }
func (b *batch) control() bool       { return b.attributes&controlBit != 0 }
func (b *batch) transactional() bool { return b.attributes&transactionalBit != 0 }

// nextBatch reads the batch at the start of b and returns what follows it. ok
// is false at the end, a batch that the response cuts off included.
func nextBatch(b []byte) (x batch, rest []byte, ok bool, err error) {
	if len(b) < batchPrefix {
		return x, nil, false, nil
	}
	be := binary.BigEndian
	x.base = int64(be.Uint64(b))
	length := int32(be.Uint32(b[8:]))
	if length < 5 {
		return x, nil, false, &BatchError{Offset: x.base, Err: corrupt("length %d", length)}
	}
	if int(length) > len(b)-batchPrefix {
		return x, nil, false, nil
	}
	rest, b = b[batchPrefix+int(length):], b[:batchPrefix+int(length)]
	switch magic := b[16]; {
	case magic < 2:
		return x, nil, false, &BatchError{Offset: x.base, Err: fmt.Errorf("%w: magic %d", ErrOldMessageFormat, magic)}
	case magic > 2:
		return x, nil, false, &BatchError{Offset: x.base, Err: corrupt("magic %d", magic)}
	}
	if len(b) < batchOverhead {
		return x, nil, false, &BatchError{Offset: x.base, Err: corrupt("length %d", length)}
	}
	if got, want := crc32.Checksum(b[21:], castagnoli), be.Uint32(b[17:]); got != want {
		return x, nil, false, &BatchError{Offset: x.base, Err: corrupt("CRC is %08x, should be %08x", got, want)}
	}
	x.attributes = be.Uint16(b[21:])
	x.lastDelta = int32(be.Uint32(b[23:]))
	x.firstTime = int64(be.Uint64(b[27:]))
	x.maxTime = int64(be.Uint64(b[35:]))
	x.producerID = int64(be.Uint64(b[43:]))
	x.count = int32(be.Uint32(b[57:]))
	x.payload = b[batchOverhead:]
	if x.base < 0 || x.lastDelta < 0 || x.base > math.MaxInt64-int64(x.lastDelta)-1 || x.count < 0 || int64(x.count) > int64(x.lastDelta)+1 {
		return x, nil, false, &BatchError{Offset: x.base, Err: corrupt("last offset delta %d, %d records", x.lastDelta, x.count)}
	}
	return x, rest, true, nil
}

// appendRecords appends the batch's records with from <= offset < end. A
// decompressed batch may have at most limit bytes.
func (b *batch) appendRecords(dst []Record, from, end int64, limit int) ([]Record, error) {
	payload, err := b.inflate(limit)
	if err != nil {
		return dst, &BatchError{Offset: b.base, Err: err}
	}
	if int(b.count) > len(payload)/minRecord {
		return dst, &BatchError{Offset: b.base, Err: corrupt("%d records in %d bytes", b.count, len(payload))}
	}
	if n := len(dst) + int(b.count); n > cap(dst) {
		// Responses hold many batches: grow by doubling, not batch by batch.
		dst = append(make([]Record, 0, max(n, 2*cap(dst))), dst...)
	}
	last := int64(-1)
	for i := range b.count {
		var r Record
		var delta int64
		r, delta, payload, err = b.record(payload)
		if err == nil && (delta <= last || delta > int64(b.lastDelta)) {
			err = corrupt("offset delta %d after %d", delta, last)
		}
		if err != nil {
			return dst, &BatchError{Offset: b.base, Err: fmt.Errorf("record %d: %w", i, err)}
		}
		last = delta
		if r.Offset >= from && r.Offset < end {
			dst = append(dst, r)
		}
	}
	if len(payload) != 0 {
		return dst, &BatchError{Offset: b.base, Err: corrupt("%d bytes behind the last record", len(payload))}
	}
	return dst, nil
}

var errRecord = corrupt("record ends in the middle")

// record reads one record.
func (b *batch) record(p []byte) (r Record, delta int64, rest []byte, err error) {
	size, n := varint(p)
	if n <= 0 || size < minRecord-1 || size > int64(len(p)-n) {
		return r, 0, nil, errRecord
	}
	p, rest = p[n:n+int(size)], p[n+int(size):]
	p = p[1:] // attributes: none are defined
	timeDelta, n := varint(p)
	if n <= 0 {
		return r, 0, nil, errRecord
	}
	p = p[n:]
	delta, n = varint(p)
	if n <= 0 || delta < 0 || delta > math.MaxInt32 {
		return r, 0, nil, errRecord
	}
	p = p[n:]
	r.Offset = b.base + delta
	if b.attributes&logAppendTimeBit != 0 {
		r.Timestamp = b.maxTime
	} else {
		r.Timestamp = b.firstTime + timeDelta
	}
	var ok bool
	if r.Key, p, ok = viewBytes(p); !ok {
		return r, 0, nil, errRecord
	}
	if r.Value, p, ok = viewBytes(p); !ok {
		return r, 0, nil, errRecord
	}
	headers, n := varint(p)
	if n <= 0 || headers < 0 || headers > int64(len(p)) {
		return r, 0, nil, errRecord
	}
	p = p[n:]
	r.headers, r.headerN = p, int32(headers)
	for range headers {
		var key []byte
		if key, p, ok = viewBytes(p); !ok || key == nil {
			return r, 0, nil, errRecord
		}
		if _, p, ok = viewBytes(p); !ok {
			return r, 0, nil, errRecord
		}
	}
	if len(p) != 0 {
		return r, 0, nil, corrupt("%d bytes behind the headers", len(p))
	}
	return r, delta, rest, nil
}

// varint reads a zig-zag varint; n is 0 or less where there is none.
func varint(p []byte) (v int64, n int) {
	if len(p) > 0 && p[0] < 0x80 { // one byte: nearly always
		return int64(p[0]>>1) ^ -int64(p[0]&1), 1
	}
	return binary.Varint(p)
}

// viewBytes reads length-prefixed bytes; a length of -1 is null.
func viewBytes(p []byte) (v, rest []byte, ok bool) {
	size, n := varint(p)
	if n <= 0 || size < -1 || size > int64(len(p)-n) {
		return nil, nil, false
	}
	p = p[n:]
	if size < 0 {
		return nil, p, true
	}
	return p[:size:size], p[size:], true
}

// inflate returns the records' bytes, decompressed.
func (b *batch) inflate(limit int) ([]byte, error) {
	code := compress.Compression(b.attributes & codecBits)
	if code == compress.None {
		return b.payload, nil
	}
	codec := code.Codec()
	if codec == nil {
		return nil, corrupt("compression %d", code)
	}
	if len(b.payload) == 0 && b.count == 0 {
		return nil, nil // compaction leaves such batches
	}
	if code == compress.Snappy {
		return unsnappy(b.payload, limit)
	}
	r := codec.NewReader(bytes.NewReader(b.payload))
	defer r.Close()
	var out bytes.Buffer
	out.Grow(min(4*len(b.payload), limit) + bytes.MinRead)
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, corrupt("%s: %v", codec.Name(), err)
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("%w: %s batch of more than %d bytes", ErrTooLarge, codec.Name(), limit)
	}
	return out.Bytes(), nil
}

// xerial begins the framing that the Java client puts around snappy blocks: 8
// bytes of magic, two versions of 4 bytes, then blocks behind 4-byte lengths.
var xerial = []byte("\x82SNAPPY\x00")

// unsnappy reads snappy in both of the framings that producers use. kafka-go's
// codec does so too, but allocates what the data claims before it reads it.
func unsnappy(p []byte, limit int) ([]byte, error) {
	decode := func(dst, block []byte) ([]byte, error) {
		n, err := snappy.DecodedLen(block)
		if err != nil {
			return nil, corrupt("snappy: %v", err)
		}
		if n > limit-len(dst) {
			return nil, fmt.Errorf("%w: snappy batch of more than %d bytes", ErrTooLarge, limit)
		}
		dst = slices.Grow(dst, n)
		if _, err := snappy.Decode(dst[len(dst):len(dst)+n], block); err != nil {
			return nil, corrupt("snappy: %v", err)
		}
		return dst[:len(dst)+n], nil
	}
	if !bytes.HasPrefix(p, xerial) {
		return decode(nil, p)
	}
	if len(p) < 16 {
		return nil, corrupt("snappy: header of %d bytes", len(p))
	}
	var out []byte
	for p = p[16:]; len(p) > 0; {
		if len(p) < 4 || int64(binary.BigEndian.Uint32(p)) > int64(len(p)-4) {
			return nil, corrupt("snappy: block ends in the middle")
		}
		n := int(binary.BigEndian.Uint32(p))
		var err error
		if out, err = decode(out, p[4:4+n]); err != nil {
			return nil, err
		}
		p = p[4+n:]
	}
	return out, nil
}

// aborts reports whether a control batch is the marker that ends an aborted
// transaction. The type stands in its first record's key: a version, then 0 for
// an abort, 1 for a commit; other types are no matter of a consumer.
func (b *batch) aborts() (bool, error) {
	if b.count == 0 {
		return false, nil
	}
	payload, err := b.inflate(1 << 16)
	if err != nil {
		return false, &BatchError{Offset: b.base, Err: err}
	}
	r, _, _, err := b.record(payload)
	if err == nil && len(r.Key) < 4 {
		err = corrupt("control record with a key of %d bytes", len(r.Key))
	}
	if err != nil {
		return false, &BatchError{Offset: b.base, Err: err}
	}
	return binary.BigEndian.Uint16(r.Key[2:]) == 0, nil
}
