package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// `make test-clients` sets these.
const (
	pythonEnv = "TIDEMARK_TEST_PYTHON" // the interpreter of the venv
	nodeEnv   = "TIDEMARK_TEST_NODE_PATH"
	javaEnv   = "TIDEMARK_TEST_JAVA_JARS"  // folder of the jars of examples/snippets/java/pom.xml
	toolsEnv  = "TIDEMARK_TEST_KAFKA_JARS" // folder of the jars of deploy/kafka/pom.xml
)

func need(t testing.TB, variable, what string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		t.Skipf("needs %s (%s); make test-clients fetches it and runs this", what, variable)
	}
	return v
}

// command is a driver's program with its first arguments and its environment.
type command struct {
	args  []string
	env   []string
	dir   string // "": this package's
	clean bool   // without the variables that would configure Tidemark
}

func python(t *testing.T) command {
	return command{args: []string{need(t, pythonEnv, "confluent-kafka for Python"), "drivers/driver.py"}}
}

func node(t *testing.T) command {
	path := need(t, nodeEnv, "kafkajs")
	return command{args: []string{"node", "drivers/driver.js"}, env: []string{"NODE_PATH=" + path, "KAFKAJS_NO_PARTITIONER_WARNING=1"}}
}

// compiled are the classes of a Java program.
var compiled = func() func(t testing.TB, source string) []string {
	var mu sync.Mutex
	done := map[string][]string{}
	return func(t testing.TB, source string) []string {
		t.Helper()
		jars := need(t, javaEnv, "Kafka's Java client")
		mu.Lock()
		defer mu.Unlock()
		if args := done[source]; args != nil {
			return args
		}
		classes, err := os.MkdirTemp("", "tidemark-classes-")
		if err != nil {
			t.Fatal(err)
		}
		built = append(built, classes)
		path := filepath.Join(jars, "*")
		if out, err := exec.Command("javac", "-cp", path, "-d", classes, source).CombinedOutput(); err != nil {
			t.Fatalf("javac %s: %v\n%s", source, err, out)
		}
		done[source] = append(java(path+string(os.PathListSeparator)+classes), strings.TrimSuffix(filepath.Base(source), ".java"))
		return done[source]
	}
}()

// java starts fast rather than running fast.
func java(classPath string) []string {
	return []string{"java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m", "-cp", classPath}
}

func javaDriver(t *testing.T) command {
	return command{args: compiled(t, "drivers/Driver.java")}
}

func golang(name string) func(*testing.T) command {
	return func(*testing.T) command {
		return command{args: []string{os.Args[0]}, env: []string{driverEnv + "=" + name}}
	}
}

// limit is what one run of a driver may take.
const limit = 90 * time.Second

// process is a running driver.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	errs  bytes.Buffer

	mu    sync.Mutex
	lines [][]byte
	more  chan struct{} // has room for one: lines have come
	ended chan struct{}
	err   error
}

func (c command) start(t testing.TB, args ...string) *process {
	t.Helper()
	all := append(slices.Clone(c.args), args...)
	p := &process{t: t, cmd: exec.Command(all[0], all[1:]...), more: make(chan struct{}, 1), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr, p.cmd.Dir = append(os.Environ(), c.env...), &p.errs, c.dir
	if c.clean {
		p.cmd.Env = append(environment(), c.env...)
	}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, bytes.Clone(lines.Bytes()))
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// wait waits for the program's end and returns what it printed.
func (p *process) wait() [][]byte {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended after %v; so far:\n%s", p.cmd, limit, bytes.Join(p.printed(), []byte("\n")))
	}
	if p.err != nil {
		p.t.Fatalf("%s: %v\n%s", p.cmd, p.err, &p.errs)
	}
	return p.lines
}

func (p *process) printed() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// until waits until done says so of what was printed.
func (p *process) until(what string, done func(lines [][]byte) bool) {
	p.t.Helper()
	end := time.After(limit)
	for !done(p.printed()) {
		select {
		case <-p.more:
		case <-p.ended:
			if !done(p.printed()) {
				p.t.Fatalf("waiting for %s: %s ended: %v\n%s\n%s", what, p.cmd, p.err, &p.errs, bytes.Join(p.printed(), []byte("\n")))
			}
		case <-end:
			p.t.Fatalf("no %s within %v; %s has printed\n%s", what, limit, p.cmd, bytes.Join(p.printed(), []byte("\n")))
		}
	}
}

// run runs a verb to its end and decodes each line that it prints.
func run[T any](t testing.TB, c command, stdin string, args ...string) (out []T) {
	t.Helper()
	p := c.start(t, args...)
	if _, err := io.WriteString(p.stdin, stdin); err != nil {
		t.Fatal(err)
	}
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	for _, line := range p.wait() {
		out = append(out, decode[T](t, line))
	}
	return out
}

func decode[T any](t testing.TB, line []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return v
}

// one is the only line of a run.
func one[T any](t testing.TB, c command, stdin string, args ...string) T {
	t.Helper()
	out := run[T](t, c, stdin, args...)
	if len(out) != 1 {
		t.Fatalf("%v: %d lines", args, len(out))
	}
	return out[0]
}

// built are folders to remove at the end.
var built []string

func removeBuilt() {
	for _, dir := range built {
		os.RemoveAll(dir)
	}
}

// tidemark is the command, built once.
var tidemarkOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tidemark-clients-")
	if err != nil {
		return "", err
	}
	built = append(built, dir)
	path := filepath.Join(dir, "tidemark")
	if out, err := exec.Command("go", "build", "-o", path, "tidemark/cmd/tidemark").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func tidemark(t testing.TB) string {
	t.Helper()
	path, err := tidemarkOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// environment is the test's own without what would configure Tidemark.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TIDEMARK_") })
}
