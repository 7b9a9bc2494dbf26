package state

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// CheckpointTo makes a store in dir, which must not exist, that holds what this
// one holds at some position between the call and its return; PositionOf says
// which. Files are linked where the file system can, so it costs little time and,
// until the originals are compacted away, no room. Applying goes on meanwhile.
//
// What is in memory is flushed first: then nearly all of the copy is sstables,
// which never change and need no second upload.
func (s *Store) CheckpointTo(dir string) error {
	if err := s.guarded(s.db.Flush); err != nil {
		return fmt.Errorf("state: checkpoint: %w", err)
	}
	if err := s.guarded(func() error { return s.db.Checkpoint(dir, pebble.WithFlushedWAL()) }); err != nil {
		return fmt.Errorf("state: checkpoint: %w", err)
	}
	return nil
}

// PositionOf returns where the store in dir stands, without changing a file of
// it. Nobody may have it open.
func PositionOf(dir string, o Options) (Position, error) {
	o.ReadOnly = true
	s, err := Open(dir, o)
	if err != nil {
		return Position{}, err
	}
	p, err := s.Position()
	if cerr := s.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("state: close %s: %w", dir, cerr)
	}
	return p, err
}
