package e2e

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/embedded/broker"
	embedded "tidemark/embedded/registry"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/state"
	"tidemark/telemetry"
	"tidemark/testkit"
)

// keepEnv names the binary of an earlier engine that testdata/kept is made by;
// the commit that it was built from is checked out for that, and nothing else is.
//
//	git worktree add --detach /tmp/earlier COMMIT && (cd /tmp/earlier && go build -o /tmp/earlier.bin ./cmd/tidemark)
//	TIDEMARK_TEST_KEEP=/tmp/earlier.bin go test -run TestKeepVersion ./e2e
const keepEnv = "TIDEMARK_TEST_KEEP"

const keptDir = "testdata/kept"

// keptWorld is the world of testdata/kept in a folder: broker and registry on what
// lies there, two tasks. stop ends both before the test does.
func keptWorld(t *testing.T, dir string) (w *world, stop func()) {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: filepath.Join(dir, "broker")})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(testkit.Env, b.Addr()) // testkit's clients read from it
	r, err := embedded.Start(testkit.Context(t), embedded.Options{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { r.Close(); b.Close() })
	t.Cleanup(stop)
	w = &world{t: t, app: "kept", broker: b.Addr(), url: r.URL(), tasks: 2, log: &lines{}, topics: runtime.TopicsOf("kept", "kept.")}
	w.topics.Orders, w.topics.Behaviors = "kept-orders", "kept-behaviors"
	if w.reg, err = registry.NewClient(registry.Config{URLs: []string{w.url}, Timeout: 2 * time.Second, Backoff: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.reg.Close)
	return w, stop
}

// keptEvents are those of one half of the kept history.
func keptEvents(half int) (events []*schemas.Event) {
	start := schemas.EventTime(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()) + schemas.EventTime(half)*60*schemas.Day
	for i := range 80 {
		n, customer := half*1000+i, fmt.Sprintf("c%02d", (i*7)%23)
		at := start + schemas.EventTime(i)*12*schemas.Hour
		switch i % 10 {
		case 3:
			events = append(events, &schemas.Event{Kind: schemas.Behavior, EventID: fmt.Sprint("b", n), CustomerID: customer, OccurredAt: at, Type: "page.viewed", Channel: "app"})
		case 7:
			events = append(events, order(n, customer, schemas.Refunded, fmt.Sprint("o", n-2), at, 1500))
		case 8: // late
			events = append(events, order(n, customer, schemas.Paid, fmt.Sprint("o", n), at-9*schemas.Day, 4000))
		case 9: // refused
			events = append(events, order(n, customer, schemas.Paid, fmt.Sprint("o", n), at, -1))
		default:
			events = append(events, order(n, customer, schemas.Paid, fmt.Sprint("o", n), at, int64(2000+500*(i%9))))
		}
	}
	return events
}

// TestKeepVersion makes testdata/kept/engine-N.tar.gz with an earlier binary: the
// topics as its embedded broker left them, its stores after half of the history
// (behind), and after all of it (end).
func TestKeepVersion(t *testing.T) {
	bin := os.Getenv(keepEnv)
	if bin == "" {
		t.Skipf("%s names no binary", keepEnv)
	}
	dir := t.TempDir()
	w, stop := keptWorld(t, dir)
	for _, topic := range []string{w.topics.Orders, w.topics.Behaviors} {
		testkit.CreateTopic(t, topic, int(w.tasks), nil)
	}
	book, err := filepath.Abs(filepath.Join(keptDir, "playbook.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := w.runConfig("earlier", filepath.Join(dir, "data"), book, "")
	for half, name := range []string{"behind", "end"} {
		w.publish(keptEvents(half))
		p := w.spawnBinary(bin, "earlier", config, "--standalone")
		w.log = p.log
		w.covered(testkit.Limit)
		p.end(t)
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(dir, "data", w.app))); err != nil {
			t.Fatal(err)
		}
	}
	js := w.journals(testkit.Follow(t, w.topics.Journal))
	stop() // the broker's files are whole now
	f, err := os.Create(filepath.Join(keptDir, fmt.Sprintf("engine-%d.tar.gz", js[0].Engine)))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	a := tar.NewWriter(z)
	for _, part := range []string{"broker", "behind", "end"} {
		pack(t, a, dir, part)
	}
	if err := errors.Join(a.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func pack(t *testing.T, a *tar.Writer, dir, part string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, part), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" || strings.HasSuffix(d.Name(), ".lock") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if err := a.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(text)), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err = a.Write(text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for a := tar.NewReader(z); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		text, err := io.ReadAll(a)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What earlier engines left, byte for byte: this one goes on with stores at their
// journal's end, whoever wrote them, with the playbook in force as it was written
// then. A tail of its own engine number it replays to the very hashes; one of
// another number it refuses and touches nothing.
func TestKeptVersions(t *testing.T) {
	if testkit.Real() {
		t.Skip("these are an embedded broker's files")
	}
	files, err := filepath.Glob(filepath.Join(keptDir, "engine-*.tar.gz"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "engine-"), ".tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		engine := int32(n)
		for _, part := range []string{"end", "behind", "empty"} {
			t.Run(fmt.Sprintf("engine %d, %s", engine, part), func(t *testing.T) { keptOpens(t, file, engine, part) })
		}
	}
}

func keptOpens(t *testing.T, file string, engine int32, part string) {
	dir := t.TempDir()
	unpack(t, file, dir)
	w, _ := keptWorld(t, dir)
	data := filepath.Join(dir, "data")
	if part != "empty" {
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, part), filepath.Join(data, w.app)); err != nil {
			t.Fatal(err)
		}
	}
	pb, err := playbook.Load(filepath.Join(keptDir, "playbook.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before := w.ends()
	w.prepare(pb, nil)
	p := w.start(data, "today", nil)
	if engine != core.Engine && part != "end" {
		w.await(testkit.Limit, "both tasks to refuse", func() bool {
			r := p.tel.Tasks.Readiness()
			n := 0
			for _, task := range r.Tasks {
				if task.State == telemetry.Paused && strings.Contains(task.Detail, fmt.Sprintf("was written by engine %d, this binary is %d; run the old one with run --drain", engine, core.Engine)) {
					n++
				}
			}
			return n == int(w.tasks)
		})
		p.stop()
		if after := w.ends(); !maps.Equal(before, after) {
			t.Errorf("the journals ended at %v and end at %v", before, after)
		}
		return
	}
	w.ready(p)
	rows := 0
	if err := p.m.EachCustomer(func(_ int32, _ []string, c *state.Customer) error { rows++; return nil }); err != nil {
		t.Error(err)
	}
	if rows != 23 {
		t.Errorf("%d customers, want 23", rows)
	}
	w.publish(keptEvents(2))
	w.covered(testkit.Limit)
	p.stop()
	l := w.read()
	l.BrokerTime = false
	orders := map[schemas.Topic]int{}
	for topic, parts := range l.Out {
		for _, records := range parts {
			orders[topic] += len(records)
		}
	}
	if orders[schemas.TierChanges] == 0 || orders[schemas.ChurnWarnings] == 0 || orders[schemas.DeadLetters] != 24 {
		t.Errorf("published: %v", orders)
	}
	if engine != core.Engine {
		// What an engine of another number published can't be worked out by this one.
		chain := map[int32]int64{}
		for _, parts := range l.Journal {
			for _, r := range parts {
				_, body, _ := schemas.ParseWire(r.Value)
				j, err := schemas.DecodeJournal(body)
				if err != nil || j.Sequence != chain[j.Task]+1 {
					t.Fatalf("after record %d of task %d: %+v, %v", chain[j.Task], j.Task, j, err)
				}
				chain[j.Task]++
			}
		}
		return
	}
	r, err := l.Audit()
	if err != nil || r.Left != 0 {
		t.Fatalf("audit: %v, %d left", err, r.Left)
	}
}
