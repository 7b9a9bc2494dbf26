package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"tidemark/blobs"
	"tidemark/schemas"
	"tidemark/state/checkpoint"
)

// Requests to the blob store, as scripts spell them.
const (
	blobPut    = "BlobPut"
	blobGet    = "BlobGet"
	blobList   = "BlobList"
	blobStat   = "BlobStat"
	blobDelete = "BlobDelete"
)

// store is the blob store of all processes: what was put stays, unless a fault
// takes it. All but its fields' first use are the scheduler's.
type store struct {
	w     *world
	blobs map[string]blob
	away  bool          // nobody reaches it
	slow  time.Duration // until then each request takes seconds
}

type blob struct {
	data []byte
	at   time.Time
}

// blobCall is one request of a processor.
type blobCall struct {
	link *link
	name string // such as blobPut
	at   string // key of the blob, or prefix of a list
	data []byte
	key  string // of chance
	back chan blobAnswer
}

type blobAnswer struct {
	data []byte
	list []blobs.Entry
	err  error
}

var errBlobs = errors.New("sim: the blob store does not answer")

// bucket is the store as one life of a process sees it.
type bucket struct{ link *link }

func (b *bucket) ask(ctx context.Context, name, at string, data []byte) blobAnswer {
	l := b.link
	if l.dead.Load() {
		<-ctx.Done() // nothing comes back to it; its end is near
		return blobAnswer{err: ctx.Err()}
	}
	c := &blobCall{link: l, name: name, at: at, data: data, back: make(chan blobAnswer, 1),
		// Without the name that the bytes give: how far the store's own goroutines
		// have come in them must not decide how long the request takes.
		key: fmt.Sprintf("p%d.%d %s %s", l.proc, l.life, name, path.Dir(path.Dir(at)))}
	l.w.ask(c)
	select {
	case a := <-c.back:
		return a
	case <-ctx.Done():
		return blobAnswer{err: ctx.Err()}
	}
}

// Put is checkpoint.Bucket's, as are the others.
func (b *bucket) Put(ctx context.Context, key string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return b.ask(ctx, blobPut, key, data).err
}

func (b *bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	a := b.ask(ctx, blobGet, key, nil)
	return io.NopCloser(bytes.NewReader(a.data)), a.err
}

func (b *bucket) Stat(ctx context.Context, key string) (blobs.Entry, error) {
	a := b.ask(ctx, blobStat, key, nil)
	if a.err != nil {
		return blobs.Entry{}, a.err
	}
	return a.list[0], nil
}

func (b *bucket) List(ctx context.Context, prefix string) ([]blobs.Entry, error) {
	a := b.ask(ctx, blobList, prefix, nil)
	return a.list, a.err
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.ask(ctx, blobDelete, key, nil).err
}

// called decides what becomes of a request to the blob store.
func (w *world) called(c *blobCall) {
	s := w.store
	d := w.chance(c.key)
	latency := time.Millisecond + time.Duration(d.Int64N(int64(8*time.Millisecond)))
	if s.slow > w.now() {
		latency += 500*time.Millisecond + time.Duration(d.Int64N(int64(2500*time.Millisecond)))
		w.count("blob store asked while slow")
	}
	if c.link.until > w.now() {
		latency += c.link.until - w.now()
	}
	if s.away {
		w.count("blob store asked while away")
		w.after(latency, c.key+" away", func() { c.back <- blobAnswer{err: errBlobs} })
		return
	}
	f := w.matched(c.name, c.link.proc, c.key)
	do := func() blobAnswer { return s.do(c) }
	heard := func(a blobAnswer) {
		if f != nil && f.staged(After) {
			w.strike(f)
		}
		c.back <- a
	}
	if f == nil || f.staged(Before) || f.staged(After) {
		w.after(latency, c.key, func() {
			if f != nil && f.staged(Before) {
				w.strike(f)
			}
			if c.link.dead.Load() && d.IntN(2) == 0 {
				return // it had not left
			}
			heard(do())
		})
		return
	}
	w.count("blob " + string(f.Kind))
	lost := blobAnswer{err: errBlobs}
	switch f.Kind {
	case LoseRequest:
		w.after(latency+f.For, c.key, func() { heard(lost) })
	case LoseResponse:
		w.after(latency, c.key, func() { do(); heard(lost) })
	case LateRequest: // given up and then done
		w.after(latency, c.key+" given up", func() { heard(lost) })
		w.after(latency+f.For, c.key, func() { do() })
	case DelayRequest, DelayResponse:
		w.after(latency+f.For, c.key, func() { heard(do()) })
	case Duplicate:
		w.after(latency, c.key, func() { heard(do()) })
		w.after(latency+f.For, c.key+" again", func() { do() })
	case TornPut: // a folder after a loss of power: a name, and some of its bytes
		w.after(latency, c.key, func() {
			a := do()
			if b, ok := s.blobs[c.at]; ok {
				b.data = b.data[:d.IntN(len(b.data)+1)]
				s.blobs[c.at] = b
			}
			heard(a)
		})
	default:
		panic("sim: the blob store knows no " + f.Kind)
	}
}

func (s *store) do(c *blobCall) blobAnswer {
	b, there := s.blobs[c.at]
	missing := blobAnswer{err: fmt.Errorf("sim: %s: %w", c.at, blobs.ErrNotFound)}
	switch c.name {
	case blobPut:
		s.blobs[c.at] = blob{bytes.Clone(c.data), time.Now()}
		s.w.count("blob put")
	case blobGet:
		if !there {
			return missing
		}
		return blobAnswer{data: b.data}
	case blobStat:
		if !there {
			return missing
		}
		return blobAnswer{list: []blobs.Entry{{Key: c.at, Size: int64(len(b.data)), Modified: b.at}}}
	case blobDelete:
		delete(s.blobs, c.at)
	case blobList:
		return blobAnswer{list: s.list(c.at)}
	}
	return blobAnswer{}
}

func (s *store) list(prefix string) (all []blobs.Entry) {
	for _, k := range slices.Sorted(maps.Keys(s.blobs)) {
		if strings.HasPrefix(k, prefix) {
			all = append(all, blobs.Entry{Key: k, Size: int64(len(s.blobs[k].data)), Modified: s.blobs[k].at})
		}
	}
	return all
}

// spoil takes a blob away, or changes its bytes; manifests are of every other
// choice, since there are fewer of them.
func (s *store) spoil(remove bool) bool {
	d := s.w.chance("spoil")
	kind := []string{"/objects/", "/manifests/"}[d.IntN(2)]
	var keys []string
	for _, e := range s.list("") {
		if strings.Contains(e.Key, kind) {
			keys = append(keys, e.Key)
		}
	}
	if len(keys) == 0 {
		return false
	}
	// The newest is what a restore wants.
	k := keys[len(keys)-1]
	if d.IntN(2) == 0 {
		k = keys[d.IntN(len(keys))]
	}
	if remove {
		delete(s.blobs, k)
		return true
	}
	b := s.blobs[k]
	if len(b.data) == 0 {
		return false
	}
	b.data = bytes.Clone(b.data)
	b.data[d.IntN(len(b.data))] ^= 0x55
	s.blobs[k] = b
	return true
}

// whole is the store for the scheduler itself, without faults and delays.
type whole struct{ s *store }

func (b whole) Put(context.Context, string, io.Reader) error { return errors.ErrUnsupported }
func (b whole) Delete(context.Context, string) error         { return errors.ErrUnsupported }
func (b whole) List(_ context.Context, prefix string) ([]blobs.Entry, error) {
	return b.s.list(prefix), nil
}
func (b whole) Stat(_ context.Context, key string) (blobs.Entry, error) {
	return blobs.Entry{}, errors.ErrUnsupported
}
func (b whole) Get(_ context.Context, key string) (io.ReadCloser, error) {
	a := b.s.do(&blobCall{name: blobGet, at: key})
	return io.NopCloser(bytes.NewReader(a.data)), a.err
}

// restorable finds a checkpoint of a task that is whole and from which the inputs
// go on; "" if there is none.
func (s *store) restorable(task int32) string {
	home := checkpoint.Home{Bucket: whole{s}, App: app, Generation: 1, Task: task}
	names, err := home.List(context.Background())
	must(err)
next:
	for _, n := range names {
		m, err := home.Read(context.Background(), n.Name)
		if err != nil {
			continue
		}
		for i := range m.Files {
			f := &m.Files[i]
			b, ok := s.blobs[fmt.Sprintf("%s/g1/task-%05d/objects/%s/%s", app, task, f.SHA256[:2], f.SHA256)]
			if !f.Inline() && (!ok || fmt.Sprintf("%x", sha256.Sum256(b.data)) != f.SHA256) {
				continue next
			}
		}
		for i, topic := range []string{topics.Orders, topics.Behaviors} {
			if int64(m.Inputs[schemas.Input(i)]) < s.w.cluster.partition(topic, task).start {
				continue next
			}
		}
		return n.Name
	}
	return ""
}
