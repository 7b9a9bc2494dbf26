package state

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
// input. Keys and values are carved from one arena, so a commit of many rows
// costs few allocations.
type Batch struct {
	Ops   []Op
	arena []byte
}

// Set adds a write; key and value are copied.
func (b *Batch) Set(key, value []byte) {
	b.Ops = append(b.Ops, Op{Kind: Set, Key: b.copy(key), Value: b.copy(value)})
}

// Delete adds a deletion; key is copied.
func (b *Batch) Delete(key []byte) {
	b.Ops = append(b.Ops, Op{Kind: Delete, Key: b.copy(key)})
}

// DeleteRange adds the deletion of all keys in [from, to); both are copied.
func (b *Batch) DeleteRange(from, to []byte) {
	b.Ops = append(b.Ops, Op{Kind: DeleteRange, Key: b.copy(from), Value: b.copy(to)})
}

func (b *Batch) copy(p []byte) []byte {
	if cap(b.arena)-len(b.arena) < len(p) {
		b.arena = make([]byte, 0, max(1<<16, len(p)))
	}
	n := len(b.arena)
	b.arena = append(b.arena, p...)
	return b.arena[n : n+len(p) : n+len(p)]
}
