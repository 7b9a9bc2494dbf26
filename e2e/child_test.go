package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds the command once for all tests of the package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tidemark-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tidemark")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "tidemark/cmd/tidemark").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary0(); err == nil && path != "" {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// built is set once binary was asked for, so that the end does not build it.
var built bool

func binary0() (string, error) {
	if !built {
		return "", nil
	}
	return binary()
}

func tidemark(t testing.TB) string {
	t.Helper()
	built = true
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// spawn runs start on one thread that lives as long as this process: a child
// that is to die with its parent dies, on Linux, with the thread that made it.
var spawn = sync.OnceValue(func() func(start func()) {
	work := make(chan func())
	go func() {
		goruntime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return func(start func()) {
		done := make(chan struct{})
		work <- func() { defer close(done); start() }
		<-done
	}
})

// child is a `tidemark run` in a process of its own.
type child struct {
	cmd  *exec.Cmd
	name string
	log  *lines
	gone chan struct{} // closed once it has ended
	err  error         // of Wait, after gone
}

// runConfig is the file of one process.
func (w *world) runConfig(name, dir, playbook, more string) string {
	w.t.Helper()
	text := fmt.Sprintf(`app: %s
instance: %s
data_dir: %s
playbook: %s
kafka:
  brokers: ["%s"]
  topics: {orders: %s, behaviors: %s}
  out_prefix: "%s"
  session_timeout: 1500ms
  heartbeat_interval: 200ms
  rebalance_timeout: 3s
  transaction_timeout: 3s
  fetch: {max_wait: 50ms}
schema_registry: {urls: ["%s"]}
commit: {max_delay: 20ms, idle_delay: 100ms, max_events: 300, max_triggers: 100}
http: {listen: "127.0.0.1:0"}
log: {level: warn}
%s`, w.app, name, dir, playbook, w.broker, w.topics.Orders, w.topics.Behaviors, w.topics.OutPrefix, w.url, more)
	path := filepath.Join(w.t.TempDir(), name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) spawn(name, config string, args ...string) *child {
	w.t.Helper()
	return w.spawnBinary(tidemark(w.t), name, config, args...)
}

// env is the test's environment without the variables of Tidemark: those of the
// tests are no configuration.
func (w *world) env() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TIDEMARK_") })
}

func (w *world) spawnBinary(bin, name, config string, args ...string) *child {
	w.t.Helper()
	c := &child{name: name, log: &lines{}, gone: make(chan struct{})}
	c.cmd = exec.Command(bin, append([]string{"run", "--config", config}, args...)...)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = dieWithParent()
	c.cmd.Env = w.env()
	var err error
	spawn()(func() { err = c.cmd.Start() })
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.gone)
	}()
	w.t.Cleanup(c.kill)
	return c
}

// kill ends the process as a power cut would, and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.gone
}

// end asks it to end calmly; it must do so with exit code 0.
func (c *child) end(t testing.TB) {
	t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.gone:
		var exit *exec.ExitError
		if errors.As(c.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
			return // it had not begun to listen to signals
		}
		if c.err != nil {
			t.Errorf("%s ended with %v:\n%s", c.name, c.err, c.log.last(20))
		}
	case <-time.After(20 * time.Second):
		c.kill()
		t.Errorf("%s did not end within 20 s of SIGTERM:\n%s", c.name, c.log.last(20))
	}
}

// leave asks it to end calmly, kills it if it does not within 20 s, and says which.
func (c *child) leave() bool {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.gone:
		return true
	case <-time.After(20 * time.Second):
		c.kill()
		return false
	}
}

func (c *child) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v to %s: %v", s, c.name, err)
	}
}

// count says in how many lines of its log text stands.
func (c *child) count(text string) (n int) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	for _, line := range c.log.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// died fails the test if the process has ended by itself.
func (c *child) died(t testing.TB) {
	t.Helper()
	select {
	case <-c.gone:
		var exit *exec.ExitError
		if errors.As(c.err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
			return // by us
		}
		t.Fatalf("%s ended by itself: %v\n%s", c.name, c.err, c.log.last(30))
	default:
	}
}

// loud are the lines of a child's log that must not be there: a task that stops
// until an operator acts.
func (c *child) loud() string {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	var b bytes.Buffer
	for _, line := range c.log.all {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}
