package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/blobs"
)

// Progress of a restore, in bytes of the whole store.
type Progress struct {
	Done, Total int64
	Took        time.Duration // so far
	Left        time.Duration // at the pace so far; 0: unknown yet, or done
}

// RestoreOptions of one restore.
type RestoreOptions struct {
	FS       vfs.FS
	Dir      string // where the store goes; must not exist
	Parallel int    // downloads at a time; default 4
	Progress func(Progress)
	Every    time.Duration // how often Progress is told; default 1 s
	Now      func() time.Time
}

// Partial is the folder in which a restore collects files until all are there.
func Partial(dir string) string { return dir + ".restore" }

// Restore brings a checkpoint back as a folder that state.Open opens. Files that
// an earlier try left and whose hashes are right are not downloaded again.
//
// A CorruptError says that a blob is missing or damaged, after a second reading;
// another checkpoint may do. Other errors are worth another try.
func (h *Home) Restore(ctx context.Context, m *Manifest, o RestoreOptions) error {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if _, err := o.FS.Stat(o.Dir); err == nil {
		return fmt.Errorf("checkpoint: restore: %s is there already", o.Dir)
	}
	tmp := Partial(o.Dir)
	if err := o.clear(tmp, m); err != nil {
		return fmt.Errorf("checkpoint: restore: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	todo := make(chan *File, len(m.Files))
	for i := range m.Files {
		todo <- &m.Files[i]
	}
	close(todo)
	var work sync.WaitGroup
	for range o.Parallel {
		work.Go(func() {
			for f := range todo {
				if ctx.Err() != nil {
					return
				}
				if err := h.fetch(ctx, f, tmp, &o, &done); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	stop := o.tell(&done, m.Bytes())
	work.Wait()
	stop()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := o.publish(tmp); err != nil {
		return fmt.Errorf("checkpoint: restore: %w", err)
	}
	return nil
}

// clear makes tmp and removes from it what m does not have.
func (o *RestoreOptions) clear(tmp string, m *Manifest) error {
	if err := o.FS.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	names, err := o.FS.List(tmp)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for i := range m.Files {
		wanted[m.Files[i].Name] = true
	}
	for _, n := range names {
		if !wanted[n] {
			if err := o.FS.RemoveAll(o.FS.PathJoin(tmp, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell calls Progress every so often until the returned func is called, then once more.
func (o *RestoreOptions) tell(done *atomic.Int64, total int64) (stop func()) {
	if o.Progress == nil {
		return func() {}
	}
	began := o.Now()
	say := func() {
		p := Progress{Done: done.Load(), Total: total, Took: o.Now().Sub(began)}
		if p.Done > 0 && p.Done < total {
			p.Left = time.Duration(float64(p.Took) * float64(total-p.Done) / float64(p.Done))
		}
		o.Progress(p)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(o.Every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				say()
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended; say() }
}

func (h *Home) fetch(ctx context.Context, f *File, tmp string, o *RestoreOptions, done *atomic.Int64) error {
	path := o.FS.PathJoin(tmp, f.Name)
	if info, err := o.FS.Stat(path); err == nil {
		if info.Size() == f.Size && !f.Inline() {
			if got, err := (&Saver{FS: o.FS}).sum(ctx, path); err == nil && got == f.SHA256 {
				done.Add(f.Size)
				return nil
			}
		}
		if err := o.FS.Remove(path); err != nil {
			return fmt.Errorf("checkpoint: restore: %w", err)
		}
	}
	for try := 1; ; try++ {
		err := h.copy(ctx, f, path, o.FS, done)
		corrupt := (*CorruptError)(nil)
		if err == nil || !errors.As(err, &corrupt) || try == 2 {
			return err
		}
	}
}

func (h *Home) copy(ctx context.Context, f *File, path string, fs vfs.FS, done *atomic.Int64) (err error) {
	w, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("checkpoint: restore: %w", err)
	}
	defer func() {
		if cerr := w.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("checkpoint: restore: %w", cerr)
		}
	}()
	if f.Inline() {
		if _, err := w.Write(f.Data); err != nil {
			return fmt.Errorf("checkpoint: restore: %w", err)
		}
		done.Add(f.Size)
		return w.Sync()
	}
	n, err := h.stream(ctx, f, io.MultiWriter(w, counted{done}))
	if err != nil {
		done.Add(-n)
		return err
	}
	if err := w.Sync(); err != nil {
		return fmt.Errorf("checkpoint: restore: %w", err)
	}
	return nil
}

// stream copies an object to w, checking size and hash; it says how much went to w.
func (h *Home) stream(ctx context.Context, f *File, w io.Writer) (int64, error) {
	key := h.object(f.SHA256)
	r, err := h.Bucket.Get(ctx, key)
	if errors.Is(err, blobs.ErrNotFound) {
		return 0, &CorruptError{key, "it is not there"}
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(r, f.Size+1))
	if err != nil {
		return n, fmt.Errorf("checkpoint: read %s: %w", key, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != f.Size || got != f.SHA256 {
		return n, &CorruptError{key, fmt.Sprintf("%d bytes with hash %s instead of %d", n, got, f.Size)}
	}
	return n, nil
}

type counted struct{ n *atomic.Int64 }

func (c counted) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// publish makes all of tmp durable and gives it its name.
func (o *RestoreOptions) publish(tmp string) error {
	if err := syncDir(o.FS, tmp); err != nil {
		return err
	}
	if err := o.FS.Rename(tmp, o.Dir); err != nil {
		return err
	}
	return syncDir(o.FS, o.FS.PathDir(o.Dir))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Verify reads every object of a checkpoint and returns those that are missing
// or damaged; the error is of another kind.
func (h *Home) Verify(ctx context.Context, m *Manifest) ([]*CorruptError, error) {
	var bad []*CorruptError
	for i := range m.Files {
		f := &m.Files[i]
		if f.Inline() {
			continue
		}
		_, err := h.stream(ctx, f, io.Discard)
		if corrupt := (*CorruptError)(nil); errors.As(err, &corrupt) {
			bad = append(bad, corrupt)
		} else if err != nil {
			return bad, err
		}
	}
	return bad, nil
}
