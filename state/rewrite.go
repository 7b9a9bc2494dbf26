package state

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// rewriteBatch is how many bytes are written at a time.
const rewriteBatch = 4 << 20

// RewriteTo makes a store in dir, which must not exist, of the keys that this one
// holds now and of more. Its files are all new: what was overwritten or deleted here
// is in none of them, not in a table, nor in the log or the manifest, where a
// deleted key may stay for as long as Pebble likes. Nobody may apply meanwhile.
func (s *Store) RewriteTo(ctx context.Context, dir string, o Options, more ...Op) (err error) {
	o.DisableWAL, o.ReadOnly = true, false
	to, err := Open(dir, o)
	if err != nil {
		return fmt.Errorf("state: rewrite to %s: %w", dir, err)
	}
	defer func() {
		if cerr := to.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("state: rewrite to %s: %w", dir, cerr)
		}
	}()
	write := func(b *Batch) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return to.write(b)
	}
	b := &Batch{}
	if err := s.EachKey(func(k, v []byte) error {
		b.Set(k, v)
		if b.Bytes() < rewriteBatch {
			return nil
		}
		full := b
		b = &Batch{}
		return write(full)
	}); err != nil {
		return err
	}
	b.Add(more...)
	if err := write(b); err != nil {
		return err
	}
	return to.Sync()
}

// write writes a batch without a position.
func (s *Store) write(b *Batch) error {
	if b.count == 0 {
		return nil
	}
	pb := s.db.NewBatchWithSize(0)
	if err := pb.SetRepr(b.counted()); err != nil {
		return fmt.Errorf("state: batch: %w", err)
	}
	if err := s.guarded(func() error { return s.db.Apply(pb, pebble.NoSync) }); err != nil {
		return fmt.Errorf("state: apply: %w", err)
	}
	return pb.Close()
}

// EachTombstone calls fn with the value of every tombstone; it is valid during the call only.
func (s *Store) EachTombstone(fn func(value []byte) error) error {
	return s.scan([]byte{spaceTombstone}, []byte{spaceTombstone + 1}, 0, func(_, v []byte) error { return fn(v) })
}
