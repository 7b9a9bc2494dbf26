package state

import (
	"encoding/binary"
	"math/bits"

	"tidemark/schemas"
)

// The first byte of a key names its space. FORMAT.md has the page.
const (
	spaceCustomer  = 'c' // c customer -> row
	spaceTimer     = 't' // t due(8, big endian, sign bit flipped) customer -> empty
	spaceHistogram = 'h' // h rule(4) fact(1) bucket(8) -> count (varint)
	spaceMeta      = 'm' // m name -> value
	spaceSpill     = 'x' // x len(customer) customer kind(1) bucket(4) hash(8) -> value
	spaceTombstone = 'e' // e hash(16) -> what is left of an erased customer
)

// Spill kinds.
const (
	SpillEvent byte = 'e' // value: empty
	SpillOrder byte = 'o' // value: an order
	// SpillIdentity: bucket 0; hash 0: whose alias she is, hash 1: who are hers.
	SpillIdentity byte = 'i'
)

// CustomerKey appends the row key of a customer to dst.
func CustomerKey(dst []byte, id string) []byte {
	return append(append(dst, spaceCustomer), id...)
}

// TimerKey appends the key of the timer of a customer to dst. Keys sort by
// (due, customer), the order in which timers fire.
func TimerKey(dst []byte, due schemas.EventTime, id string) []byte {
	dst = append(dst, spaceTimer)
	dst = binary.BigEndian.AppendUint64(dst, uint64(due)^(1<<63))
	return append(dst, id...)
}

// ParseTimerKey is the inverse of TimerKey. The customer points into key.
func ParseTimerKey(key []byte) (due schemas.EventTime, customer []byte, ok bool) {
	if len(key) < 9 || key[0] != spaceTimer {
		return 0, nil, false
	}
	return schemas.EventTime(binary.BigEndian.Uint64(key[1:9]) ^ (1 << 63)), key[9:], true
}

// MetaKey appends the key of a named value of the task to dst.
func MetaKey(dst []byte, name string) []byte { return append(append(dst, spaceMeta), name...) }

// HistogramKey appends the key of one bucket to dst. Buckets are >= 0.
func HistogramKey(dst []byte, rule uint32, fact byte, bucket int64) []byte {
	dst = append(dst, spaceHistogram)
	dst = binary.BigEndian.AppendUint32(dst, rule)
	dst = append(dst, fact)
	return binary.BigEndian.AppendUint64(dst, uint64(bucket)^(1<<63))
}

// ParseHistogramKey is the inverse of HistogramKey.
func ParseHistogramKey(key []byte) (rule uint32, fact byte, bucket int64, ok bool) {
	if len(key) != 14 || key[0] != spaceHistogram {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint32(key[1:]), key[5], int64(binary.BigEndian.Uint64(key[6:]) ^ (1 << 63)), true
}

// SpillKey appends the key of a sub-row to dst.
func SpillKey(dst []byte, id string, kind byte, bucket int32, hash uint64) []byte {
	dst = SpillPrefix(dst, id, kind, bucket)
	return binary.BigEndian.AppendUint64(dst, hash)
}

// SpillPrefix appends the common part of a bucket's keys to dst.
func SpillPrefix(dst []byte, id string, kind byte, bucket int32) []byte {
	dst = append(dst, spaceSpill)
	dst = binary.AppendUvarint(dst, uint64(len(id)))
	dst = append(dst, id...)
	dst = append(dst, kind)
	return binary.BigEndian.AppendUint32(dst, uint32(bucket)^(1<<31))
}

// SpillRange bounds all sub-keys of a customer: from inclusive, to exclusive.
func SpillRange(id string) (from, to []byte) {
	from = append(binary.AppendUvarint([]byte{spaceSpill}, uint64(len(id))), id...)
	return from, append(from[:len(from):len(from)], 0xff)
}

// TombstoneKey appends the key of the tombstone of an erased customer to dst; hash
// is a keyed hash of the id.
func TombstoneKey(dst, hash []byte) []byte { return append(append(dst, spaceTombstone), hash...) }

// SpillBucket is the sub-key bucket of a UTC day: 32 days each.
func SpillBucket(day int32) int32 { return day >> 5 }

func mul64(a, b uint64) (hi, lo uint64)    { return bits.Mul64(a, b) }
func div64(hi, lo, c uint64) (q, r uint64) { return bits.Div64(hi, lo, c) }
