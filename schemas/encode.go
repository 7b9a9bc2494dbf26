package schemas

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// The append primitives below are the whole of the Avro 1.12 binary encoding
// that the package's own schemas need ("Binary encoding" in the specification).
// Avro's zig-zag varint is the one of encoding/binary.

func appendLong(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendInt(dst []byte, v int32) []byte { return binary.AppendVarint(dst, int64(v)) }

func appendTime(dst []byte, t EventTime) []byte { return binary.AppendVarint(dst, int64(t)) }

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// The branches of a ["null", T] union, as zig-zag bytes.
const (
	nullBranch  = 0
	valueBranch = 2
)

func appendNullableString(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, nullBranch)
	}
	return appendString(append(dst, valueBranch), *s)
}

func appendNullableLong[T ~int32 | ~int64](dst []byte, v *T) []byte {
	if v == nil {
		return append(dst, nullBranch)
	}
	return binary.AppendVarint(append(dst, valueBranch), int64(*v))
}

func appendNullableDouble(dst []byte, v *float64) []byte {
	if v == nil {
		return append(dst, nullBranch)
	}
	return binary.LittleEndian.AppendUint64(append(dst, valueBranch), math.Float64bits(*v))
}

func appendNullableBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, nullBranch)
	}
	return appendBytes(append(dst, valueBranch), b)
}

// appendBlock opens an array or a map: everything in one block, and nothing
// but the end marker for an empty one. The caller appends the n entries and
// then, if n is not 0, the end marker with endBlock.
func appendBlock(dst []byte, n int) []byte { return binary.AppendVarint(dst, int64(n)) }

func endBlock(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return append(dst, 0)
}

// appendMap writes a map<string> with its keys sorted, so that equal maps give
// equal bytes. Where a key stands twice the last one is written.
func appendMap(dst []byte, attributes []Attribute) []byte {
	attributes = sortedAttributes(attributes)
	dst = appendBlock(dst, len(attributes))
	for i := range attributes {
		dst = appendString(dst, attributes[i].Key)
		dst = appendString(dst, attributes[i].Value)
	}
	return endBlock(dst, len(attributes))
}

// sortedAttributes returns attributes itself if its keys already rise strictly,
// else a sorted copy that keeps the last value of a repeated key.
func sortedAttributes(attributes []Attribute) []Attribute {
	sorted := true
	for i := 1; i < len(attributes) && sorted; i++ {
		sorted = attributes[i-1].Key < attributes[i].Key
	}
	if sorted {
		return attributes
	}
	c := slices.Clone(attributes)
	slices.SortStableFunc(c, func(a, b Attribute) int { return strings.Compare(a.Key, b.Key) })
	kept := c[:0]
	for i := range c {
		if i+1 < len(c) && c[i+1].Key == c[i].Key {
			continue
		}
		kept = append(kept, c[i])
	}
	return kept
}

// AppendOrderAvro appends e under the contract's order_event.avsc, without the
// wire header. e.Order must be one of the contract's four: OrderUnknown has no
// symbol, and every reader refuses what is written for it.
func AppendOrderAvro(dst []byte, e *Event) []byte {
	dst = appendString(dst, e.EventID)
	dst = appendString(dst, e.CustomerID)
	dst = appendString(dst, e.OrderID)
	dst = appendLong(dst, int64(e.Order)-int64(Placed))
	dst = appendTime(dst, e.OccurredAt)
	dst = appendLong(dst, e.AmountMinor)
	dst = appendString(dst, e.Currency)
	dst = appendString(dst, e.Channel)
	dst = appendBlock(dst, len(e.Items))
	for i := range e.Items {
		item := &e.Items[i]
		dst = appendString(dst, item.SKU)
		dst = appendString(dst, item.Category)
		dst = appendInt(dst, item.Quantity)
		dst = appendLong(dst, item.AmountMinor)
	}
	dst = endBlock(dst, len(e.Items))
	return appendMap(dst, e.Attributes)
}

// AppendBehaviorAvro appends e under the contract's behavior_event.avsc,
// without the wire header.
func AppendBehaviorAvro(dst []byte, e *Event) []byte {
	dst = appendString(dst, e.EventID)
	dst = appendString(dst, e.CustomerID)
	dst = appendString(dst, e.Type)
	dst = appendTime(dst, e.OccurredAt)
	dst = appendString(dst, e.Channel)
	return appendMap(dst, e.Attributes)
}
