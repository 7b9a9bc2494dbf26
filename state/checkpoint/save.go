package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/time/rate"

	"tidemark/state"
)

// NewLimit returns a limit of so many bytes a second, to be shared between the
// savers of a process; 0 or less: none.
func NewLimit(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return rate.NewLimiter(rate.Inf, chunk)
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), chunk)
}

const chunk = 64 << 10

// Saver saves checkpoints of one store, from its opening to its closing. It may
// be used by one goroutine at a time.
type Saver struct {
	Home  Home
	FS    vfs.FS        // where the copies lie
	Limit *rate.Limiter // of uploads; nil: none
	Keep  int           // manifests of which it takes the objects for uploaded; as Collect is told

	uploaded map[string]int64  // hash to size; nil: not looked up yet
	distrust map[string]bool   // hashes that were read back damaged
	hashes   map[string]string // name of an immutable file to its hash
}

// Saved is what one Save did.
type Saved struct {
	Manifest *Manifest
	Bytes    int64 // uploaded
	Files    int   // uploaded
}

// Distrust makes the next Save upload an object again: it was read back damaged.
func (s *Saver) Distrust(key string) {
	if s.distrust == nil {
		s.distrust = map[string]bool{}
	}
	hash := key[strings.LastIndexByte(key, '/')+1:]
	s.distrust[hash] = true
	delete(s.uploaded, hash)
}

// Save uploads what the folder dir holds (a copy by state.CheckpointTo that
// nobody writes) and is not there yet, then the manifest. After an error or a
// cancelled ctx there may be objects without a manifest; the next Save uses them
// if it comes from the same Saver, else they are collected.
func (s *Saver) Save(ctx context.Context, dir string, p *state.Position, head Head) (Saved, error) {
	var done Saved
	if p.Sequence <= 0 {
		return done, fmt.Errorf("checkpoint: save %s: the store stands at no journal record", dir)
	}
	if err := s.look(ctx); err != nil {
		return done, err
	}
	names, err := s.FS.List(dir)
	if err != nil {
		return done, fmt.Errorf("checkpoint: save %s: %w", dir, err)
	}
	slices.Sort(names)
	m := s.Home.header(p, head)
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		f, sent, err := s.file(ctx, dir, name)
		if err != nil {
			return done, fmt.Errorf("checkpoint: save %s: %w", name, err)
		}
		if sent {
			done.Bytes += f.Size
			done.Files++
		}
		m.Files = append(m.Files, f)
	}
	b, err := m.encode()
	if err != nil {
		return done, err
	}
	if err := s.Home.Bucket.Put(ctx, s.Home.manifest(m.name), bytes.NewReader(b)); err != nil {
		return done, err
	}
	done.Bytes += int64(len(b))
	done.Manifest = m
	return done, nil
}

// immutable says whether a file of that name never changes once it is in a copy:
// Pebble gives a number once in the life of a store.
func immutable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

func (s *Saver) file(ctx context.Context, dir, name string) (f File, sent bool, err error) {
	path := s.FS.PathJoin(dir, name)
	info, err := s.FS.Stat(path)
	if err != nil {
		return f, false, err
	}
	f = File{Name: name, Size: info.Size(), SHA256: s.hashes[name]}
	if f.Inline() {
		r, err := s.FS.Open(path)
		if err != nil {
			return f, false, err
		}
		defer r.Close()
		if f.Data, err = io.ReadAll(r); err != nil {
			return f, false, err
		}
		sum := sha256.Sum256(f.Data)
		f.Size, f.SHA256 = int64(len(f.Data)), hex.EncodeToString(sum[:])
		return f, false, nil
	}
	if f.SHA256 == "" {
		if f.SHA256, err = s.sum(ctx, path); err != nil {
			return f, false, err
		}
		if immutable(name) {
			if s.hashes == nil {
				s.hashes = map[string]string{}
			}
			s.hashes[name] = f.SHA256
		}
	}
	if size, ok := s.uploaded[f.SHA256]; ok && size == f.Size {
		return f, false, nil
	}
	r, err := s.FS.Open(path)
	if err != nil {
		return f, false, err
	}
	defer r.Close()
	in := &metered{ctx: ctx, r: r, limit: s.Limit, hash: sha256.New()}
	if err := s.Home.Bucket.Put(ctx, s.Home.object(f.SHA256), in); err != nil {
		return f, false, err
	}
	if got := hex.EncodeToString(in.hash.Sum(nil)); got != f.SHA256 || in.n != f.Size {
		// The disk gave other bytes than a moment ago. What is there under the name
		// must not stay, or a later checkpoint would believe it.
		return f, false, errors.Join(fmt.Errorf("two readings of %s differ", path), s.Home.Bucket.Delete(ctx, s.Home.object(f.SHA256)))
	}
	s.uploaded[f.SHA256] = f.Size
	delete(s.distrust, f.SHA256)
	return f, true, nil
}

// sum reads a file once for its hash, at four times the pace of uploads.
func (s *Saver) sum(ctx context.Context, path string) (string, error) {
	r, err := s.FS.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return "", err
	}
	defer r.Close()
	in := &metered{ctx: ctx, r: r, limit: s.Limit, hash: sha256.New(), share: 4}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(in.hash.Sum(nil)), nil
}

// look finds out what is there already and will stay: objects that the newest
// manifests need. Others may be collected at any moment, so they do not count.
func (s *Saver) look(ctx context.Context) error {
	if s.uploaded != nil {
		return nil
	}
	names, err := s.Home.List(ctx)
	if err != nil {
		return err
	}
	needed := map[string]int64{}
	for _, n := range names[:min(len(names), max(s.Keep, 1))] {
		m, err := s.Home.Read(ctx, n.Name)
		if corrupt := (*CorruptError)(nil); errors.As(err, &corrupt) {
			continue
		} else if err != nil {
			return err
		}
		for i := range m.Files {
			if f := &m.Files[i]; !f.Inline() {
				needed[f.SHA256] = f.Size
			}
		}
	}
	there, err := s.Home.Bucket.List(ctx, s.Home.objects())
	if err != nil {
		return err
	}
	found := map[string]int64{}
	for _, e := range there {
		hash := e.Key[strings.LastIndexByte(e.Key, '/')+1:]
		if size, ok := needed[hash]; ok && size == e.Size && !s.distrust[hash] {
			found[hash] = size
		}
	}
	s.uploaded = found
	return nil
}

// metered reads at a bounded pace, hashing.
type metered struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter
	hash  hash.Hash
	n     int64
	share int // it pays for one byte of so many; 0 is 1
}

func (m *metered) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p[:min(len(p), chunk)])
	if n > 0 {
		m.hash.Write(p[:n])
		m.n += int64(n)
		if m.limit != nil {
			if lerr := m.limit.WaitN(m.ctx, max(n/max(m.share, 1), 1)); lerr != nil {
				return n, lerr
			}
		}
	}
	return n, err
}
