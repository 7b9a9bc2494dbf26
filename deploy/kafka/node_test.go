package kafka

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ownerCache names the cache folder in the environment of a copy of this test
// binary that starts a node and waits to be killed.
const ownerCache = "TIDEMARK_TEST_NODE_OWNER"

func TestMain(m *testing.M) {
	if cache := os.Getenv(ownerCache); cache != "" {
		n, err := Start(context.Background(), Options{Cache: cache})
		if err != nil {
			os.Stdout.WriteString("error " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString(n.Dir() + "\n")
		select {}
	}
	os.Exit(m.Run())
}

// wanted is set by `make kafka-test`. Without it the tests that start Java are left
// out: they take a minute of two cores, and belong to who changes this package and to CI.
const wanted = "TIDEMARK_TEST_NODE"

// testCache returns a cache folder of the test's own that shares only the jars, so
// that the shared node of the checkout is left alone.
func testCache(t *testing.T) string {
	t.Helper()
	if os.Getenv(wanted) == "" {
		t.Skipf("starts Java; make kafka-test runs it")
	}
	dir, err := Jars(within(t), "")
	if err != nil {
		t.Fatal(err)
	}
	// The characters that end an entry in Java's lists of paths, and a space.
	cache := filepath.Join(t.TempDir(), "a, b:c")
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(cache, filepath.Base(dir))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(cache, "*", "*", "kafka.log"))
			for _, log := range logs {
				text, _ := os.ReadFile(log)
				t.Logf("%s:\n%s", log, text)
			}
		}
	})
	return cache
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func createTopic(t *testing.T, addr, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, 1, 1
	req.Topics = append(req.Topics, rt)
	response, err := req.RequestWith(within(t), client)
	if err != nil {
		t.Fatal(err)
	}
	if code := response.Topics[0].ErrorCode; code != 0 {
		t.Fatalf("creating %s: error %d", topic, code)
	}
}

func topics(t *testing.T, addr string) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	response, err := req.RequestWith(within(t), client)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range response.Topics {
		names = append(names, *topic.Topic)
	}
	return names
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", path, err)
	}
}

func TestANodeKeepsItsDataUntilItIsClosed(t *testing.T) {
	n, err := Start(within(t), Options{Cache: testCache(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	addr := n.Addr()
	createTopic(t, addr, "kept")

	for name, end := range map[string]func() error{
		"kill": n.Kill,
		"stop": func() error { return n.Stop(within(t)) },
	} {
		pid := n.process.pid
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := commandLine(pid); strings.Contains(got, n.Dir()) {
			t.Errorf("after %s the process is still there: %s", name, got)
		}
		if err := n.Restart(within(t)); err != nil {
			t.Fatalf("restart after %s: %v", name, err)
		}
		if got, want := n.Addr(), addr; got != want {
			t.Errorf("address after %s: %s, want %s", name, got, want)
		}
		if got, want := strings.Join(topics(t, addr), " "), "kept"; got != want {
			t.Errorf("topics after %s: %q, want %q", name, got, want)
		}
	}

	// A frozen process does not answer SIGTERM.
	n.options.StopLimit = 200 * time.Millisecond
	frozen := n.process
	if err := frozen.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err == nil {
		t.Error("a close that had to kill the node reports nothing")
	}
	if !frozen.exited() {
		t.Error("the frozen node is still there")
	}
	gone(t, n.Dir())
	if err := n.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestTheNextStartClearsWhatAKilledOwnerLeft(t *testing.T) {
	cache := testCache(t)
	owner := exec.CommandContext(within(t), os.Args[0])
	owner.Env = append(os.Environ(), ownerCache+"="+cache)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	dir := strings.TrimSpace(line)
	if err != nil || !filepath.IsAbs(dir) {
		t.Fatalf("the owner says %q (%v)", line, err)
	}

	// While the owner lives its node is nobody else's business.
	if err := clearLeftovers(cache); err != nil {
		t.Fatal(err)
	}
	orphan, err := find(dir)
	if err != nil || orphan == nil {
		t.Fatalf("the node of a live owner is gone (%v)", err)
	}

	owner.Process.Kill()
	owner.Wait()
	if orphan.exited() {
		t.Fatal("the node went with its owner: this test shows nothing")
	}
	n, err := claim(within(t), Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if !orphan.exited() {
		t.Error("the orphan still runs")
	}
	gone(t, dir)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheSharedNode(t *testing.T) {
	o := Options{Cache: testCache(t)}
	first, started, err := StartShared(within(t), o)
	if err != nil || !started {
		t.Fatalf("started %v: %v", started, err)
	}
	t.Cleanup(func() { StopShared(context.Background(), o) })
	createTopic(t, first, "first-life")
	again, started, err := StartShared(within(t), o)
	if err != nil || started || again != first {
		t.Errorf("second start: %s started %v (%v), want the running %s", again, started, err, first)
	}

	dir := sharedDir(o.Cache)
	p, err := find(dir)
	if err != nil || p == nil {
		t.Fatalf("no process: %v", err)
	}
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
	after, started, err := StartShared(within(t), o)
	if err != nil || !started {
		t.Fatalf("start after a crash: started %v: %v", started, err)
	}
	if got := topics(t, after); len(got) != 0 {
		t.Errorf("a fresh node holds %v", got)
	}
	for i, want := range []bool{true, false} {
		if got, err := StopShared(within(t), o); err != nil || got != want {
			t.Errorf("stop %d: was running %v (%v), want %v", i+1, got, err, want)
		}
	}
	gone(t, dir)
}

func TestAPortOfSomebodyElse(t *testing.T) {
	taken, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port

	t.Run("seen before the start", func(t *testing.T) {
		_, err := Start(within(t), Options{Cache: testCache(t), Port: port})
		if !errors.Is(err, ErrPortInUse) {
			t.Errorf("got %v, want %v", err, ErrPortInUse)
		}
	})
	for name, p := range map[string]func(free ports) ports{
		"taken in between, broker":     func(free ports) ports { return ports{broker: port, controller: free.controller} },
		"taken in between, controller": func(free ports) ports { return ports{broker: free.broker, controller: port} },
	} {
		t.Run(name, func(t *testing.T) {
			o, err := Options{Cache: testCache(t)}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			n, err := claim(within(t), o)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			free, err := freePorts(0)
			if err != nil {
				t.Fatal(err)
			}
			n.ports = p(free)
			if err := n.formatAndLaunch(within(t)); !errors.Is(err, ErrPortInUse) {
				t.Errorf("got %v, want %v", err, ErrPortInUse)
			}
		})
	}
}

func TestAStartThatFailsSaysWhyAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct{ key, value, want string }{
		"format": {"process.roles", "baker", "baker"},
		"start":  {"socket.receive.buffer.bytes", "-7", "size cannot be 0 or negative"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Cache: testCache(t), Properties: map[string]string{c.key: c.value}}
			n, err := Start(within(t), o)
			if err == nil {
				n.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not name %s: %v", c.want, err)
			}
			left, _ := os.ReadDir(filepath.Join(o.Cache, "private"))
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAStartEndsWithItsContext(t *testing.T) {
	o := Options{Cache: testCache(t)}
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	if n, err := Start(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		if n != nil {
			n.Close()
		}
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	left, _ := os.ReadDir(filepath.Join(o.Cache, "private"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestJarsAreWholeOrFetchedAgain(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"whole":     func(string) error { return nil },
		"truncated": func(dir string) error { return os.Truncate(filepath.Join(dir, "b.jar"), 2) },
		"missing":   func(dir string) error { return os.Remove(filepath.Join(dir, "a.jar")) },
		"unlisted":  func(dir string) error { return os.Remove(filepath.Join(dir, manifestName)) },
		"empty":     func(dir string) error { return os.Truncate(filepath.Join(dir, manifestName), 0) },
	} {
		dir := t.TempDir()
		for _, jar := range []string{"a.jar", "b.jar"} {
			if err := os.WriteFile(filepath.Join(dir, jar), []byte("content"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := writeManifest(dir); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if got, want := jarsComplete(dir), name == "whole"; got != want {
			t.Errorf("%s: complete %v, want %v", name, got, want)
		}
	}
}

// A process id that now belongs to another program must not be killed.
func TestARecycledProcessIDIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	other := exec.CommandContext(within(t), "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	if err := os.WriteFile(filepath.Join(dir, "pid"), fmt.Appendln(nil, other.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err := find(dir); p != nil || err != nil {
		t.Errorf("found %+v (%v)", p, err)
	}
	if err := discard(dir); err != nil {
		t.Fatal(err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other program is gone: %v", err)
	}
	if commandLine(other.Process.Pid) == "" {
		t.Error("the other program was killed")
	}
}
