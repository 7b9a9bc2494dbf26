package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/blobs"
	"tidemark/schemas"
	"tidemark/state"
	"tidemark/testkit/soak"
)

// world is a store on a disk in memory, and a bucket.
type world struct {
	t      *testing.T
	fs     *vfs.MemFS
	store  *state.Store
	home   Home
	bucket *faulty
	saver  *Saver
	seq    int64
	copies int
}

// faulty is a bucket with a clock of its own whose objects can be damaged.
type faulty struct {
	*blobs.Bucket
	now  time.Time
	at   map[string]time.Time
	puts map[string]int
	gets int
}

func (f *faulty) Put(ctx context.Context, key string, r io.Reader) error {
	err := f.Bucket.Put(ctx, key, r)
	if err == nil {
		f.at[key] = f.now
		f.puts[key]++
	}
	return err
}

func (f *faulty) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	f.gets++
	return f.Bucket.Get(ctx, key)
}

func (f *faulty) List(ctx context.Context, prefix string) ([]blobs.Entry, error) {
	l, err := f.Bucket.List(ctx, prefix)
	for i := range l {
		l[i].Modified = f.at[l[i].Key]
	}
	return l, err
}

func (f *faulty) Stat(ctx context.Context, key string) (blobs.Entry, error) {
	e, err := f.Bucket.Stat(ctx, key)
	e.Modified = f.at[key]
	return e, err
}

func newWorld(t *testing.T) *world {
	t.Helper()
	address := "mem://"
	if s3 := os.Getenv("TIDEMARK_TEST_S3"); s3 != "" {
		address = s3 + fmt.Sprintf("&prefix=%s-%d/", t.Name(), os.Getpid())
	}
	b, err := blobs.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, fs: vfs.NewMem(), bucket: &faulty{Bucket: b, now: time.Unix(1_700_000_000, 0), at: map[string]time.Time{}, puts: map[string]int{}}}
	w.home = Home{Bucket: w.bucket, App: "shop", Task: 3}
	w.saver = &Saver{Home: w.home, FS: w.fs, Keep: 3}
	w.store = w.open("store")
	t.Cleanup(func() { w.store.Close(); b.Close() })
	return w
}

func (w *world) open(dir string) *state.Store {
	w.t.Helper()
	s, err := state.Open(dir, state.Options{FS: w.fs, MemTable: 16 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// write applies one commit of n rows.
func (w *world) write(from, n int) {
	w.t.Helper()
	w.seq++
	var b state.Batch
	for i := from; i < from+n; i++ {
		b.Set(state.CustomerKey(nil, fmt.Sprintf("c%06d", i)), bytes.Repeat([]byte{byte(w.seq), byte(i)}, 100))
	}
	p := state.Position{Generation: 1, Task: 3, Engine: 2, Sequence: w.seq, Hash: uint64(w.seq) * 7, JournalNext: schemas.Offset(w.seq * 2), Playbook: "1-a"}
	if err := w.store.Apply(&b, &p); err != nil {
		w.t.Fatal(err)
	}
}

// save makes a checkpoint as a task does.
func (w *world) save() Saved {
	w.t.Helper()
	w.copies++
	dir := fmt.Sprintf("copy-%d", w.copies)
	if err := w.store.CheckpointTo(dir); err != nil {
		w.t.Fatal(err)
	}
	p, err := state.PositionOf(dir, state.Options{FS: w.fs})
	if err != nil {
		w.t.Fatal(err)
	}
	done, err := w.saver.Save(w.t.Context(), dir, &p, Head{Epoch: 4, Writer: "a", Now: w.bucket.now})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.fs.RemoveAll(dir); err != nil {
		w.t.Fatal(err)
	}
	return done
}

func content(t *testing.T, s *state.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := s.EachKey(func(k, v []byte) error { all[string(k)] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestSaveAndRestore(t *testing.T) {
	w := newWorld(t)
	w.write(0, 20_000)
	w.write(100, 300)
	saved := w.save()
	want := content(t, w.store)
	w.write(0, 50) // after it
	names, err := w.home.List(t.Context())
	if err != nil || len(names) != 1 || names[0].Sequence != 2 || names[0].Engine != 2 || names[0].Epoch != 4 {
		t.Fatalf("listed %+v, %v", names, err)
	}
	m, err := w.home.Read(t.Context(), names[0].Name)
	if err != nil || m.Playbook != "1-a" || m.Hash != "000000000000000e" || m.JournalNext != 4 || m.Bytes() != saved.Manifest.Bytes() {
		t.Fatalf("read %+v, %v", m, err)
	}
	var told []Progress
	o := RestoreOptions{FS: w.fs, Dir: "back", Every: time.Hour, Progress: func(p Progress) { told = append(told, p) }}
	if err := w.home.Restore(t.Context(), m, o); err != nil {
		t.Fatal(err)
	}
	if p := told[len(told)-1]; p.Done != m.Bytes() || p.Total != m.Bytes() || p.Left != 0 {
		t.Errorf("told %+v of %d", p, m.Bytes())
	}
	back := w.open("back")
	defer back.Close()
	if !same(content(t, back), want) {
		t.Error("the restored store holds something else")
	}
	if p, err := back.Position(); err != nil || p.Sequence != 2 {
		t.Errorf("it stands at %+v, %v", p, err)
	}
	if err := w.home.Restore(t.Context(), m, o); err == nil {
		t.Error("a restore over a store was not refused")
	}
}

// What did not change is not uploaded again, by the next owner neither.
func TestUnchangedIsNotUploadedAgain(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.write(i*2000, 2000)
	}
	first := w.save()
	w.write(0, 10)
	second := w.save()
	if second.Bytes > first.Bytes/5 {
		t.Errorf("the second checkpoint uploaded %d bytes, the first %d", second.Bytes, first.Bytes)
	}
	w.saver = &Saver{Home: w.home, FS: w.fs, Keep: 3}
	w.write(10, 10)
	if third := w.save(); third.Bytes > first.Bytes/5 {
		t.Errorf("a new owner uploaded %d bytes, the first %d", third.Bytes, first.Bytes)
	}
	for key, n := range w.bucket.puts {
		if n > 1 {
			t.Errorf("%s was put %d times", key, n)
		}
	}
}

// biggest is the largest object that a manifest needs.
func (w *world) biggest(m *Manifest) string {
	var f *File
	for i := range m.Files {
		if f == nil || m.Files[i].Size > f.Size {
			f = &m.Files[i]
		}
	}
	return w.home.object(f.SHA256)
}

func TestDamageIsSeen(t *testing.T) {
	w := newWorld(t)
	w.write(0, 20_000)
	m := w.save().Manifest
	key := w.biggest(m)
	good, err := w.bucket.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(good)
	good.Close()
	flipped := bytes.Clone(raw)
	flipped[len(raw)/2] ^= 1
	damages := map[string]func() error{
		"a bit":   func() error { return w.bucket.Put(t.Context(), key, bytes.NewReader(flipped)) },
		"short":   func() error { return w.bucket.Put(t.Context(), key, bytes.NewReader(raw[:len(raw)-1])) },
		"long":    func() error { return w.bucket.Put(t.Context(), key, bytes.NewReader(append(bytes.Clone(raw), 0))) },
		"missing": func() error { return w.bucket.Delete(t.Context(), key) },
	}
	for name, damage := range damages {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if err := w.home.Restore(t.Context(), m, RestoreOptions{FS: w.fs, Dir: "back"}); !errors.As(err, &corrupt) || corrupt.Key != key {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.fs.Stat("back"); err == nil {
			t.Fatalf("%s: a store appeared", name)
		}
		if bad, err := w.home.Verify(t.Context(), m); err != nil || len(bad) != 1 || bad[0].Key != key {
			t.Errorf("%s: verify says %v, %v", name, bad, err)
		}
	}
	// Whoever has met the damage uploads the file again, though its size is right.
	if err := w.bucket.Put(t.Context(), key, bytes.NewReader(flipped)); err != nil {
		t.Fatal(err)
	}
	w.saver = &Saver{Home: w.home, FS: w.fs, Keep: 3}
	w.saver.Distrust(key)
	w.write(0, 1)
	again := w.save().Manifest
	for _, m := range []*Manifest{m, again} {
		if bad, err := w.home.Verify(t.Context(), m); err != nil || len(bad) > 0 {
			t.Errorf("still damaged: %v, %v", bad, err)
		}
	}
	// A damaged manifest is one too.
	name := w.home.manifest(m.Name())
	if err := w.bucket.Put(t.Context(), name, strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := w.home.Read(t.Context(), m.Name()); !errors.As(err, &corrupt) {
		t.Error(err)
	}
}

// A restore that was cut off goes on where it stood, and leaves nothing that
// could be taken for a store.
func TestRestoreGoesOn(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.write(i*2000, 2000)
	}
	m := w.save().Manifest
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	cutting := &cutter{faulty: w.bucket, before: func() {
		if n++; n == 2 {
			cancel()
		}
	}}
	cut := w.home
	cut.Bucket = cutting
	if err := cut.Restore(ctx, m, RestoreOptions{FS: w.fs, Dir: "back", Parallel: 1}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := w.fs.Stat("back"); err == nil {
		t.Fatal("half a store has its name")
	}
	objects := 0
	for i := range m.Files {
		if !m.Files[i].Inline() {
			objects++
		}
	}
	w.bucket.gets = 0
	if err := w.home.Restore(t.Context(), m, RestoreOptions{FS: w.fs, Dir: "back"}); err != nil {
		t.Fatal(err)
	}
	if w.bucket.gets >= objects {
		t.Errorf("all %d objects were downloaded again", objects)
	}
	back := w.open("back")
	defer back.Close()
	if !same(content(t, back), content(t, w.store)) {
		t.Error("the restored store holds something else")
	}
}

type cutter struct {
	*faulty
	before func()
}

func (c *cutter) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	c.before()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return c.faulty.Get(ctx, key)
}

func TestCollect(t *testing.T) {
	w := newWorld(t)
	var all []*Manifest
	for i := range 6 {
		w.write(0, 5000)
		all = append(all, w.save().Manifest)
		if i == 2 {
			w.bucket.now = w.bucket.now.Add(30 * time.Hour)
		}
	}
	// Three old ones, three new ones; two are to be kept in any case.
	allowed := 0
	errFenced := errors.New("fenced")
	o := CollectOptions{Keep: 2, Now: w.bucket.now.Add(time.Hour), May: func() error { allowed++; return nil }}
	if _, err := w.home.Collect(t.Context(), CollectOptions{Keep: 2, Now: o.Now, May: func() error { return errFenced }}); !errors.Is(err, errFenced) {
		t.Fatal(err)
	}
	if names, _ := w.home.List(t.Context()); len(names) != 6 {
		t.Fatalf("a fenced owner deleted: %d are left", len(names))
	}
	c, err := w.home.Collect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Manifests != 3 || c.Kept != 3 || c.Objects == 0 || allowed != c.Manifests+c.Objects {
		t.Errorf("collected %+v with %d permissions", c, allowed)
	}
	for _, m := range all[3:] {
		if bad, err := w.home.Verify(t.Context(), m); err != nil || len(bad) > 0 {
			t.Errorf("position %d is damaged: %v, %v", m.Sequence, bad, err)
		}
	}
	// Young ones stay however many there are, and so does what no manifest needs yet.
	stray := w.home.object(strings.Repeat("ab", 32))
	if err := w.bucket.Put(t.Context(), stray, strings.NewReader("a checkpoint under way")); err != nil {
		t.Fatal(err)
	}
	if c, err := w.home.Collect(t.Context(), o); err != nil || c.Manifests != 0 || c.Objects != 0 {
		t.Errorf("collected %+v, %v", c, err)
	}
	o.Now = o.Now.Add(48 * time.Hour)
	if c, err := w.home.Collect(t.Context(), o); err != nil || c.Manifests != 1 || c.Kept != 2 || c.Objects == 0 {
		t.Errorf("two days later collected %+v, %v", c, err)
	}
	if _, err := w.bucket.Stat(t.Context(), stray); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("the stray object: %v", err)
	}
	for _, m := range all[4:] {
		if bad, err := w.home.Verify(t.Context(), m); err != nil || len(bad) > 0 {
			t.Errorf("position %d is damaged: %v, %v", m.Sequence, bad, err)
		}
	}
}

// A checkpoint of another engine stays, so that a version can be taken back, and
// a manifest that this version can't read ends a collection before it deletes.
func TestCollectAndVersions(t *testing.T) {
	w := newWorld(t)
	w.write(0, 1000)
	w.save()
	w.bucket.now = w.bucket.now.Add(100 * time.Hour)
	m := Manifest{Format: Format + 1, App: "shop", Generation: 1, Task: 3, Engine: 3, Sequence: 9}
	raw, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bucket.Put(t.Context(), w.home.manifest(m.name), bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	o := CollectOptions{Keep: 1, Now: w.bucket.now.Add(100 * time.Hour)}
	if c, err := w.home.Collect(t.Context(), o); !errors.Is(err, ErrFormat) || c.Manifests+c.Objects > 0 {
		t.Errorf("collected %+v, %v", c, err)
	}
	if err := w.bucket.Delete(t.Context(), w.home.manifest(m.name)); err != nil {
		t.Fatal(err)
	}
	m.Format, m.Sequence = Format, 10
	raw, _ = m.encode()
	if err := w.bucket.Put(t.Context(), w.home.manifest(m.name), bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if c, err := w.home.Collect(t.Context(), o); err != nil || c.Kept != 2 || c.Manifests+c.Objects > 0 {
		t.Errorf("collected %+v, %v", c, err)
	}
}

// A copy holds whole commits while others are applied beside it.
func TestCopyIsWhole(t *testing.T) {
	w := newWorld(t)
	w.write(0, 100)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				w.write(0, 100) // the same rows, all of them anew
			}
		}
	}()
	for i := range 5 {
		dir := fmt.Sprintf("beside-%d", i)
		if err := w.store.CheckpointTo(dir); err != nil {
			t.Fatal(err)
		}
		s := w.open(dir)
		p, err := s.Position()
		if err != nil {
			t.Fatal(err)
		}
		err = s.EachRow(func(id, row []byte) error {
			if row[0] != byte(p.Sequence) {
				return fmt.Errorf("%s is of commit %d, the copy of %d", id, row[0], p.Sequence)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		s.Close()
	}
	close(stop)
	<-stopped
}

func TestKnownNames(t *testing.T) {
	h := Home{App: "shop", Task: 3}
	m := Manifest{Format: 1, App: "shop", Generation: 1, Task: 3, Engine: 2, Epoch: 7, Sequence: 12345, Playbook: "1-a", Hash: "000000000000000e"}
	b, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.manifest(m.Name()), "shop/g1/task-00003/manifests/0000000000000012345-2-7-c7001c0a-"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s…", got, want)
	}
	if got, want := h.object("abcd"), "shop/g1/task-00003/objects/ab/abcd"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := h.decode(m.Name(), b); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "x.json", "0000000000000012345-2-7-c7001c0a.json", strings.Replace(m.Name(), "0000000000000012345", "0000000000000000000", 1)} {
		if _, ok := parseName(bad); ok {
			t.Errorf("%q is taken for a manifest", bad)
		}
	}
}

// FuzzManifest: no bytes under a right name make a restore write outside its
// folder or crash.
func FuzzManifest(f *testing.F) { fuzzManifest(f) }

func fuzzManifest(f soak.F) {
	h := Home{App: "shop", Task: 3}
	m := Manifest{Format: 1, App: "shop", Generation: 1, Task: 3, Engine: 2, Sequence: 1, Files: []File{{Name: "a", Size: 0, SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}}
	b, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"files":[{"name":"../x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := fmt.Sprintf("%x", sha(b))
		got, err := h.decode("0000000000000000001-2-0-c7001c0a-"+sum[:32]+".json", b)
		if err != nil {
			return
		}
		for i := range got.Files {
			if n := got.Files[i].Name; strings.ContainsAny(n, `/\`) || n == ".." {
				t.Fatalf("a file named %q", n)
			}
		}
	})
}

func sha(b []byte) [32]byte { return sha256.Sum256(b) }
