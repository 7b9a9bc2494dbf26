package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/blobs"
	"tidemark/processor/group"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/state"
	"tidemark/state/checkpoint"
	"tidemark/telemetry"
	"tidemark/testkit"
)

// bucket is a place for checkpoints: in memory, or the S3 server that the
// environment names.
func bucket(t testing.TB) *blobs.Bucket {
	t.Helper()
	address := "mem://"
	if s3 := os.Getenv("TIDEMARK_TEST_S3"); s3 != "" {
		address = s3 + fmt.Sprintf("&prefix=%s-%d/", t.Name(), time.Now().UnixNano())
	}
	b, err := blobs.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func saving(b interface {
	Put(context.Context, string, io.Reader) error
	Get(context.Context, string) (io.ReadCloser, error)
	Stat(context.Context, string) (blobs.Entry, error)
	List(context.Context, string) ([]blobs.Entry, error)
	Delete(context.Context, string) error
}) func(*runtime.Config) {
	return func(c *runtime.Config) {
		c.Checkpoints, c.CheckpointEvery, c.BackoffMax = b, 100*time.Millisecond, 200*time.Millisecond
	}
}

// shop is a world under load in bursts.
type shop struct {
	*world
	n int
}

func newShop(t *testing.T, tasks int32) *shop {
	w := newWorld(t, tasks)
	early := schemas.EventTime(time.Now().UnixMilli()) - 2*schemas.Hour
	w.prepare(compile(t, crashPlaybook(time.Now(), time.Minute)), &early)
	return &shop{world: w}
}

// sell publishes orders of many customers, enough for a level each.
func (s *shop) sell(n int) {
	s.t.Helper()
	var events []*schemas.Event
	now := schemas.EventTime(time.Now().UnixMilli())
	for range n {
		s.n++
		events = append(events, order(s.n, fmt.Sprintf("c%d", s.n%97), schemas.Paid, fmt.Sprintf("o%d", s.n), now-schemas.EventTime(n)+schemas.EventTime(s.n%n), 6000))
	}
	s.publish(events)
}

// saved waits until every task has a checkpoint of now or later.
func (s *shop) saved(b *blobs.Bucket) {
	s.t.Helper()
	began := time.Now()
	s.await(testkit.Limit, "checkpoints of all tasks", func() bool {
		l, err := b.List(s.t.Context(), "")
		if err != nil {
			s.t.Fatal(err)
		}
		fresh := map[string]bool{}
		for _, e := range l {
			if i := strings.Index(e.Key, "/manifests/"); i > 0 && e.Modified.After(began.Add(200*time.Millisecond)) {
				fresh[e.Key[:i]] = true
			}
		}
		return len(fresh) == int(s.tasks)
	})
}

// forget deletes the records of an input up to where the group stands, as
// retention does.
func (s *shop) forget() {
	s.t.Helper()
	cl := testkit.Client(s.t)
	for _, topic := range []string{s.topics.Orders, s.topics.Behaviors} {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 10_000
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = topic
		for p := range s.tasks {
			rp := kmsg.NewDeleteRecordsRequestTopicPartition()
			rp.Partition, rp.Offset = p, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
		r, err := req.RequestWith(s.t.Context(), cl)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, p := range r.Topics[0].Partitions {
			if p.ErrorCode != 0 {
				s.t.Fatalf("DeleteRecords: %d", p.ErrorCode)
			}
		}
	}
}

// An empty disk is restored from a checkpoint, though the inputs of that time are
// long gone, and work goes on.
func TestEmptyDiskIsRestored(t *testing.T) {
	s, b := newShop(t, 3), bucket(t)
	a := s.start(t.TempDir(), "a", saving(b))
	s.ready(a)
	s.sell(600)
	s.covered(testkit.Limit)
	s.saved(b)
	a.stop()
	before := s.read()
	s.forget()
	two := s.start(t.TempDir(), "b", saving(b))
	s.ready(two)
	if !s.log.has("restoring a checkpoint") {
		t.Fatal("nothing was restored")
	}
	s.sell(300)
	s.covered(testkit.Limit)
	two.stop()
	// The auditor needs the records that are gone: it gets them as they were.
	after := s.read()
	for _, in := range []schemas.Input{schemas.OrderEvents, schemas.BehaviorEvents} {
		for p := range after.Inputs[in] {
			after.Inputs[in][p] = append(before.Inputs[in][p], after.Inputs[in][p]...)
		}
	}
	r, err := after.Audit()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Orders, int64(900); got != want {
		t.Errorf("%d orders were taken, %d were sent", got, want)
	}
}

// Without a checkpoint, and with the inputs gone, a task stops and says so.
func TestNothingIsReset(t *testing.T) {
	s := newShop(t, 1)
	a := s.start(t.TempDir(), "a", saving(bucket(t)))
	s.ready(a)
	s.sell(100)
	s.covered(testkit.Limit)
	a.stop()
	s.forget()
	two := s.start(t.TempDir(), "b", saving(bucket(t))) // another bucket, empty
	s.await(testkit.Limit, "the task to stop", func() bool {
		r := two.tel.Tasks.Readiness()
		return len(r.Tasks) == 1 && r.Tasks[0].State == telemetry.Paused && strings.Contains(r.Tasks[0].Detail, "the input no longer holds")
	})
}

// A damaged checkpoint is passed over for an older one, and when all are damaged
// the journal is replayed; both loudly.
func TestDamagedCheckpoints(t *testing.T) {
	s, b := newShop(t, 1), bucket(t)
	a := s.start(t.TempDir(), "a", saving(b))
	s.ready(a)
	s.sell(300)
	s.covered(testkit.Limit)
	s.saved(b)
	s.sell(300)
	s.covered(testkit.Limit)
	s.saved(b)
	a.stop()
	l, err := b.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var newest string
	for _, e := range l {
		if strings.Contains(e.Key, "/manifests/") {
			newest = max(newest, e.Key)
		}
	}
	if err := b.Put(t.Context(), newest, strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	two := s.start(t.TempDir(), "b", saving(b))
	s.ready(two)
	if !s.log.has("a checkpoint can't be used") || !s.log.has("restoring a checkpoint") {
		t.Fatal("it did not take an older one loudly")
	}
	two.stop()
	if l, err = b.List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	for _, e := range l {
		if strings.Contains(e.Key, "/objects/") {
			if err := b.Put(t.Context(), e.Key, bytes.NewReader(make([]byte, e.Size))); err != nil {
				t.Fatal(err)
			}
		} else if err := b.Put(t.Context(), e.Key, strings.NewReader("{}")); err != nil {
			t.Fatal(err)
		}
	}
	three := s.start(t.TempDir(), "c", saving(b))
	s.ready(three)
	s.sell(100)
	s.covered(testkit.Limit)
	s.saved(b)
	three.stop()
	if r := s.audit(); r.Orders != 700 {
		t.Errorf("%d orders were taken", r.Orders)
	}
}

// Damage in the local store, found while it runs or when it opens: it is moved
// aside and made anew.
func TestDamagedStore(t *testing.T) {
	s, b := newShop(t, 1), bucket(t)
	dir := t.TempDir()
	a := s.start(dir, "a", saving(b))
	s.ready(a)
	s.sell(300)
	s.covered(testkit.Limit)
	s.saved(b)
	a.stop()
	store := filepath.Join(dir, s.app, "task-00000")
	tables, err := filepath.Glob(filepath.Join(store, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, name := range tables {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(raw); i += 50 {
			raw[i] ^= 0x40
		}
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	two := s.start(dir, "b", saving(b))
	s.ready(two)
	s.sell(300)
	s.covered(testkit.Limit)
	two.stop()
	if !s.log.has("the store is damaged; it is moved aside") || !s.log.has("restoring a checkpoint") {
		t.Error("it was not told")
	}
	if _, err := os.Stat(store + ".damaged"); err != nil {
		t.Error(err)
	}
	if r := s.audit(); r.Orders != 600 {
		t.Errorf("%d orders were taken", r.Orders)
	}
}

// A disk that is full, then one that fails: the task pauses and says why, others
// go on, and when the disk is well again nothing is missing.
func TestFullAndFailingDisk(t *testing.T) {
	for name, bad := range map[string]error{"full": syscall.ENOSPC, "failing": syscall.EIO} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, 2)
			var sick atomic.Bool
			fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if sick.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpRemoveAll && strings.Contains(op.Path, "task-00000") {
					return bad
				}
				return nil
			}))
			a := s.start(t.TempDir(), "a", func(c *runtime.Config) { c.FS, c.BackoffMax = fs, 200*time.Millisecond })
			s.ready(a)
			s.sell(100)
			s.covered(testkit.Limit)
			sick.Store(true)
			s.sell(200)
			s.await(testkit.Limit, "task 0 to pause alone", func() bool {
				r := a.tel.Tasks.Readiness()
				return !r.Ready && len(r.Tasks) == 2 && r.Tasks[0].State == telemetry.Paused && strings.Contains(r.Tasks[0].Detail, "disk") && r.Tasks[1].State == telemetry.Running
			})
			s.sell(100)
			sick.Store(false)
			s.ready(a)
			s.covered(testkit.Limit)
			a.stop()
			if r := s.audit(); r.Orders != 400 {
				t.Errorf("%d orders were taken", r.Orders)
			}
		})
	}
}

// held is a bucket from which one task's objects do not come until they are let.
type held struct {
	*blobs.Bucket
	word string
	let  chan struct{}
}

func (h held) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.Contains(key, h.word) {
		select {
		case <-h.let:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.Bucket.Get(ctx, key)
}

// A restore that takes for ever holds up no other task, and ends when the task is
// let go.
func TestRestoreHoldsNobodyUp(t *testing.T) {
	s, b := newShop(t, 2), bucket(t)
	a := s.start(t.TempDir(), "a", saving(b))
	s.ready(a)
	s.sell(100)
	s.covered(testkit.Limit)
	s.saved(b)
	a.stop()
	slow := held{b, "task-00000/", make(chan struct{})}
	two := s.start(t.TempDir(), "b", saving(slow))
	s.await(testkit.Limit, "task 1 to run beside the restore of task 0", func() bool {
		r := two.tel.Tasks.Readiness()
		return len(r.Tasks) == 2 && r.Tasks[0].State == telemetry.Restoring && r.Tasks[1].State == telemetry.Running
	})
	two.stop() // while it is still at it
	three := s.start(t.TempDir(), "c", saving(slow))
	close(slow.let)
	s.ready(three)
	three.stop()
	s.audit()
}

// A standby follows and publishes nothing; promoted, it goes on where the owner
// ended, without a restore.
func TestStandby(t *testing.T) {
	s, b := newShop(t, 2), bucket(t)
	a := s.start(t.TempDir(), "a", saving(b))
	s.ready(a)
	s.sell(300)
	s.covered(testkit.Limit)
	s.saved(b)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := s.config(t.TempDir(), "b")
	saving(b)(&cfg)
	tel := telemetry.Discard()
	cfg.Telemetry = tel
	m, err := runtime.NewManager(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); m.Wait() }()
	m.Assign(ctx, group.Assignment{Member: "b", Standbys: []int32{0, 1}})
	tel.Tasks.Process("")
	following := func() bool {
		r := tel.Tasks.Readiness()
		return r.Ready && len(r.Tasks) == 2 && r.Tasks[0].State == telemetry.Standby && r.Tasks[1].State == telemetry.Standby
	}
	s.await(testkit.Limit, "standbys", following)
	if got := m.Owned(); len(got) != 0 {
		t.Errorf("a standby owns %v", got)
	}
	s.sell(300)
	s.covered(testkit.Limit)
	journal := testkit.Follow(t, s.topics.Journal)
	last := map[int32]int64{}
	a.stop()
	for _, j := range s.journals(journal) {
		last[j.Task] = j.Sequence
	}
	s.await(testkit.Limit, "the standbys to stand where the owner ended", func() bool {
		w := m.Warm()
		return w[0] == last[0] && w[1] == last[1]
	})
	began := time.Now()
	m.Assign(ctx, group.Assignment{Member: "b", Tasks: []int32{0}, Standbys: []int32{1}})
	m.Assign(ctx, group.Assignment{Member: "b", Tasks: []int32{0, 1}})
	s.await(testkit.Limit, "the standbys to be owners", func() bool {
		r := tel.Tasks.Readiness()
		return r.Ready && len(r.Tasks) == 2 && r.Tasks[0].State == telemetry.Running && r.Tasks[1].State == telemetry.Running
	})
	t.Logf("promoted in %v", time.Since(began))
	s.sell(100)
	s.covered(testkit.Limit)
	m.Assign(ctx, group.Assignment{Member: "b", Standbys: []int32{0, 1}}) // and back
	s.await(testkit.Limit, "standbys again", following)
	cancel()
	m.Wait()
	if r := s.audit(); r.Orders != 700 || r.Writers != 2 {
		t.Errorf("%d orders were taken by %d writers", r.Orders, r.Writers)
	}
}

// A checkpoint at a position that the journal does not hold (its topic was
// restored from a backup, say) is passed over, however new it is.
func TestCheckpointPastTheJournal(t *testing.T) {
	s, b := newShop(t, 1), bucket(t)
	dir := t.TempDir()
	a := s.start(dir, "a", saving(b))
	s.ready(a)
	s.sell(200)
	s.covered(testkit.Limit)
	s.saved(b)
	a.stop()
	store := filepath.Join(dir, s.app, "task-00000")
	st, err := state.Open(store, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	good, err := st.Position()
	if err != nil {
		t.Fatal(err)
	}
	home := checkpoint.Home{Bucket: b, App: s.app, Task: 0}
	save := func(p state.Position) {
		t.Helper()
		if err := st.Apply(&state.Batch{}, &p); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "copy")
		if err := st.CheckpointTo(to); err != nil {
			t.Fatal(err)
		}
		sv := checkpoint.Saver{Home: home, FS: vfs.Default}
		if _, err := sv.Save(t.Context(), to, &p, checkpoint.Head{Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	past, other := good, good
	past.Sequence, past.JournalNext = good.Sequence+1000, good.JournalNext+10_000
	other.Sequence, other.Hash = good.Sequence+1, 1 // where the journal ends, of another history
	save(past)
	save(other)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	// A standby reads the journal while its owner writes it and saves checkpoints:
	// one that is newer than the end which it was told is nothing wrong.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := s.config(t.TempDir(), "c")
	saving(b)(&cfg)
	cfg.Telemetry = telemetry.Discard()
	m, err := runtime.NewManager(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Assign(ctx, group.Assignment{Member: "c", Standbys: []int32{0}})
	cfg.Telemetry.Tasks.Process("")
	s.await(testkit.Limit, "a standby", func() bool {
		r := cfg.Telemetry.Tasks.Readiness()
		return r.Ready && len(r.Tasks) == 1 && r.Tasks[0].State == telemetry.Standby
	})
	cancel()
	m.Wait()
	if s.log.has("past the journal's end") || !s.log.has("restoring a checkpoint") {
		t.Error("a standby complained of a checkpoint that it could not judge, or found none")
	}
	passed := s.log.count("a checkpoint can't be used")
	two := s.start(t.TempDir(), "b", saving(b))
	s.ready(two)
	if n := s.log.count("a checkpoint can't be used") - passed; n != 2 || !s.log.has("past the journal's end") || !s.log.has("restoring a checkpoint") {
		t.Errorf("%d checkpoints were passed over", n)
	}
	s.sell(100)
	s.covered(testkit.Limit)
	two.stop()
	if r := s.audit(); r.Orders != 300 {
		t.Errorf("%d orders were taken", r.Orders)
	}
}
