package state

import (
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// OpKind says what an Op does.
type OpKind uint8

const (
	Set OpKind = iota
	Delete
	DeleteRange // Key inclusive to Value exclusive
)

// Op is one change of the store.
type Op struct {
	Kind       OpKind
	Key, Value []byte
}

// Batch is all that one commit changes, in an order that is a function of the
// input. It is built as the bytes that Pebble's log and memtables take, so what
// is added is copied once. The zero Batch is empty and ready for use.
type Batch struct {
	repr  []byte // a header, then the changes; Pebble's batch representation
	count uint32
}

// Grow makes room for n more bytes of keys and values.
func (b *Batch) Grow(n int) {
	b.begin()
	b.repr = slices.Grow(b.repr, n)
}

// Bytes is how long the batch is.
func (b *Batch) Bytes() int { return len(b.repr) }

// Set adds a write; key and value are copied.
func (b *Batch) Set(key, value []byte) { b.add(pebble.InternalKeyKindSet, key, value, true) }

// Delete adds a deletion; key is copied.
func (b *Batch) Delete(key []byte) { b.add(pebble.InternalKeyKindDelete, key, nil, false) }

// DeleteRange adds the deletion of all keys in [from, to); both are copied.
func (b *Batch) DeleteRange(from, to []byte) {
	b.add(pebble.InternalKeyKindRangeDelete, from, to, true)
}

// Add adds changes; all are copied.
func (b *Batch) Add(ops ...Op) {
	for i := range ops {
		switch op := &ops[i]; op.Kind {
		case Set:
			b.Set(op.Key, op.Value)
		case Delete:
			b.Delete(op.Key)
		case DeleteRange:
			b.DeleteRange(op.Key, op.Value)
		}
	}
}

// Join adds all changes of c after those of b.
func (b *Batch) Join(c *Batch) {
	if c.count > 0 {
		b.begin()
		b.repr = append(b.repr, c.repr[batchrepr.HeaderLen:]...)
		b.count += c.count
	}
}

// Reset empties the batch and keeps its memory. It must not be called on a
// batch that was applied: Pebble may still read it.
func (b *Batch) Reset() { b.repr, b.count = b.repr[:0], 0 }

func (b *Batch) begin() {
	if len(b.repr) == 0 {
		b.repr = append(b.repr, make([]byte, batchrepr.HeaderLen)...)
	}
}

func (b *Batch) add(kind pebble.InternalKeyKind, key, value []byte, valued bool) {
	b.begin()
	b.repr = append(b.repr, byte(kind))
	b.repr = binary.AppendUvarint(b.repr, uint64(len(key)))
	b.repr = append(b.repr, key...)
	if valued {
		b.repr = binary.AppendUvarint(b.repr, uint64(len(value)))
		b.repr = append(b.repr, value...)
	}
	b.count++
}

// with is the representation of the batch and one write more, which the batch
// itself does not get.
func (b *Batch) with(key, value []byte) []byte {
	c := *b
	c.Set(key, value)
	return c.counted()
}

// counted is the representation as Pebble takes it.
func (b *Batch) counted() []byte {
	batchrepr.SetCount(b.repr, b.count)
	return b.repr
}
