package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// StoreVersion is the version of the keyspace; it stands under the meta key "format".
const StoreVersion = 1

// ErrStoreVersion means that the folder was written by an engine with another keyspace.
var ErrStoreVersion = errors.New("state: store of another version")

// Options of one process's stores.
type Options struct {
	FS       vfs.FS        // default: the disk
	Cache    *pebble.Cache // shared between the tasks of a process; nil: 64 MiB of its own
	MemTable uint64        // bytes; default 16 MiB
	// OnStall is told why writing waits (the disk is full), and "" when it goes on;
	// on a goroutine of the store's own, which it must not hold up. May be nil.
	OnStall func(why string)
	// Quit, when closed, breaks a store that waits for room, so that it can be
	// closed; a healthy one does not mind. Nil: never.
	Quit       <-chan struct{}
	DisableWAL bool // rebuildable stores only: a crash then loses all since the last flush
	ReadOnly   bool // refuses every write
}

// Shared makes the block cache that the tasks of one process share.
func Shared(bytes int64) *pebble.Cache { return pebble.NewCache(bytes) }

// Store is the Pebble store of one task. Its methods may be called from one
// goroutine at a time, Apply from another than the reads.
type Store struct {
	db       *pebble.DB
	g        *guard
	closing  atomic.Bool // Pebble was told to close
	noWA     bool
	readOnly bool
}

// Open opens or makes the store in dir.
//
// The options follow from the load: random reads of rows of 100 to 400 bytes,
// of which most customers' are cold, and batches of thousands of overwrites.
//   - Bloom filters of 10 bits on every level: most misses are new customers.
//   - Blocks of 16 KiB: cold rows are read in batches of tens of thousands in
//     the order of their keys, so a block serves several, and reading it costs
//     little more than reading 4 KiB.
//   - Index blocks of 8 KiB: of 64 KiB ones the cache held too few, and reading
//     them again was half the cost of cold customers (bench/README.md).
//   - No compression: rows are hashes and varints, which shrink by a tenth and
//     cost a quarter of the reads' time to unpack.
//   - Compactions of L0 only from six overlapping flushes on, and one level below
//     it up to 256 MiB: rows come at random, so each compaction of L0 writes all of
//     the level below again, however little it brings.
//   - A WAL that is written and not synced: see the package's contract.
func Open(dir string, o Options) (_ *Store, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	g := newGuard(o.FS, dir, o.OnStall, o.Quit)
	defer func() {
		if err != nil {
			g.sever()
		}
	}()
	po := &pebble.Options{
		FS:                          g.fs(),
		EventListener:               g.listener(),
		Cache:                       o.Cache,
		MemTableSize:                o.MemTable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       12, // Pebble's score is twice the depth over this
		L0StopWritesThreshold:       48,
		LBaseMaxBytes:               256 << 20,
		MaxOpenFiles:                512,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      g,
		DisableWAL:                  o.DisableWAL,
		ReadOnly:                    o.ReadOnly,
		WALBytesPerSync:             1 << 20,
		BytesPerSync:                1 << 20,
	}
	if po.MemTableSize == 0 {
		po.MemTableSize = 16 << 20
	}
	if po.Cache == nil {
		po.Cache = pebble.NewCache(64 << 20)
		defer po.Cache.Unref()
	}
	for i := range po.Levels {
		l := &po.Levels[i]
		l.BlockSize = 16 << 10
		l.IndexBlockSize = 8 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = pebble.TableFilter
		l.Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	db, err := g.open(po)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, g: g, noWA: o.DisableWAL, readOnly: o.ReadOnly}
	if err := s.checkVersion(dir); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) checkVersion(dir string) error {
	v, err := s.Get(MetaKey(nil, "format"))
	if err != nil {
		return err
	}
	if v == nil && s.readOnly {
		return fmt.Errorf("%w: %s has none", ErrStoreVersion, dir)
	}
	if v == nil {
		return s.guarded(func() error { return s.db.Set(MetaKey(nil, "format"), []byte{StoreVersion}, pebble.NoSync) })
	}
	if len(v) != 1 || v[0] != StoreVersion {
		return fmt.Errorf("%w: %s has %v, this engine writes %d; remove the folder to rebuild it from the journal", ErrStoreVersion, dir, v, StoreVersion)
	}
	return nil
}

// Get returns a copy of the value under key, nil if there is none.
func (s *Store) Get(key []byte) (_ []byte, err error) {
	defer s.g.catch(&err)
	if err := s.abandoned(); err != nil {
		return nil, err
	}
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: get: %w", s.g.seen(err))
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}

// Rows calls fn with the row of each customer of ids, in order; row is nil if
// there is none and is valid during the call only. Many ids in ascending order
// are read fastest: by one iterator, which goes on from where it is.
func (s *Store) Rows(ids []string, fn func(i int, row []byte) error) (err error) {
	defer s.g.catch(&err)
	if err := s.abandoned(); err != nil {
		return err
	}
	if len(ids) >= rowsTogether && slices.IsSorted(ids) {
		return s.rowsSorted(ids, fn)
	}
	var key []byte
	for i, id := range ids {
		key = CustomerKey(key[:0], id)
		v, closer, err := s.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			if err := fn(i, nil); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("state: row: %w", s.g.seen(err))
		}
		err = fn(i, v)
		if cerr := closer.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// From rowsTogether rows on an iterator is worth its making.
const rowsTogether = 4

// A row that is at most rowSteps behind the one before is reached by steps,
// which cost less than a search as long as most rows are so near: in a batch of
// tens of thousands of a million customers. Where they are not, each is searched
// for, and then the filters say which levels need not be looked at.
const (
	rowSteps  = 16
	rowTrials = 64 // after so many rows the choice is made anew
)

func (s *Store) rowsSorted(ids []string, fn func(i int, row []byte) error) (err error) {
	high := append(CustomerKey(nil, ids[len(ids)-1]), 0)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: CustomerKey(nil, ids[0]), UpperBound: high})
	if err != nil {
		return fmt.Errorf("state: rows: %w", s.g.seen(err))
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = s.g.seen(cerr)
		}
	}()
	var key []byte
	stepping, searches := true, 0
	at := -1 // how the iterator's key compares with the one sought
	for i, id := range ids {
		key = CustomerKey(key[:0], id)
		if i%rowTrials == 0 && i > 0 {
			if i%(16*rowTrials) == 0 {
				stepping = true // it may have become dense again
			} else if searches > rowTrials/2 {
				stepping = false
			}
			searches, at = 0, -1
		}
		if stepping {
			if i > 0 && it.Valid() && at >= 0 {
				at = bytes.Compare(it.Key(), key)
				for k := 0; at < 0 && k < rowSteps && it.Next(); k++ {
					at = bytes.Compare(it.Key(), key)
				}
			}
			if at < 0 {
				searches++
				if it.SeekGE(key) {
					at = bytes.Compare(it.Key(), key)
				}
			}
		} else if at = -1; it.SeekPrefixGE(key) {
			at = bytes.Compare(it.Key(), key)
		}
		var row []byte
		if it.Valid() && at == 0 {
			if row, err = it.ValueAndErr(); err != nil {
				return fmt.Errorf("state: row: %w", s.g.seen(err))
			}
		} else if err = it.Error(); err != nil {
			return fmt.Errorf("state: row: %w", s.g.seen(err))
		}
		if err = fn(i, row); err != nil {
			return err
		}
	}
	return nil
}

// Timers appends up to n timer keys after the key from (exclusive; nil: from
// the first) to dst, in order. They are copies.
func (s *Store) Timers(dst [][]byte, from []byte, n int) ([][]byte, error) {
	low := []byte{spaceTimer}
	if from != nil {
		low = append(append([]byte{}, from...), 0)
	}
	err := s.scan(low, []byte{spaceTimer + 1}, n, func(k, _ []byte) error {
		dst = append(dst, append([]byte{}, k...))
		return nil
	})
	return dst, err
}

// Customers appends up to n customer ids after the id from (exclusive; "" with
// first: from the first) to dst, in order.
func (s *Store) Customers(dst []string, from string, first bool, n int) ([]string, error) {
	low := CustomerKey(nil, from)
	if !first {
		low = append(low, 0)
	}
	err := s.scan(low, []byte{spaceCustomer + 1}, n, func(k, _ []byte) error {
		dst = append(dst, string(k[1:]))
		return nil
	})
	return dst, err
}

// EachRow calls fn with every customer's id and row in order of the id; both
// are valid during the call only.
func (s *Store) EachRow(fn func(id, row []byte) error) error {
	return s.scan([]byte{spaceCustomer}, []byte{spaceCustomer + 1}, 0, func(k, v []byte) error { return fn(k[1:], v) })
}

// EachHistogram calls fn with every bucket's key and value; both are valid during the call only.
func (s *Store) EachHistogram(fn func(key, value []byte) error) error {
	return s.scan([]byte{spaceHistogram}, []byte{spaceHistogram + 1}, 0, fn)
}

// EachKey calls fn with every key and value of the store but its format.
func (s *Store) EachKey(fn func(key, value []byte) error) error {
	return s.scan([]byte{0}, []byte{0xff}, 0, fn)
}

func (s *Store) scan(low, high []byte, n int, fn func(k, v []byte) error) (err error) {
	defer s.g.catch(&err)
	if err := s.abandoned(); err != nil {
		return err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return fmt.Errorf("state: scan: %w", s.g.seen(err))
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = s.g.seen(cerr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
		if n--; n == 0 {
			break
		}
	}
	return s.g.seen(it.Error())
}

// Position returns where the store stands; the zero Position if it is new.
func (s *Store) Position() (Position, error) {
	v, err := s.Get(MetaKey(nil, "position"))
	if err != nil || v == nil {
		return Position{}, err
	}
	return DecodePosition(v)
}

// Apply writes a batch and the position that it leads to, as one. The batch
// must not be changed any more, by success or failure.
func (s *Store) Apply(b *Batch, p *Position) error {
	pb := s.db.NewBatchWithSize(0)
	if err := pb.SetRepr(b.with(MetaKey(nil, "position"), AppendPosition(nil, p))); err != nil {
		return fmt.Errorf("state: batch: %w", err)
	}
	if err := s.guarded(func() error { return s.db.Apply(pb, pebble.NoSync) }); err != nil {
		return fmt.Errorf("state: apply: %w", err) // Pebble may still hold the batch
	}
	return pb.Close()
}

// Sync makes everything applied so far survive a loss of power.
func (s *Store) Sync() error {
	return s.guarded(func() error {
		if s.noWA {
			return s.db.Flush()
		}
		return s.db.LogData(nil, pebble.Sync)
	})
}

// Size is the store's bytes on disk.
func (s *Store) Size() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// Remove deletes the store in dir, which must be closed.
func Remove(dir string) error { return os.RemoveAll(dir) }
