package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/telemetry"
)

// planted are secrets of every kind that a process is given. No part of what it
// says may hold one.
var planted = map[string]string{
	"read token":        "planted-read-token-7f3a",
	"operate token":     "planted-operate-token-91bc",
	"registry bearer":   "planted-bearer-55de",
	"registry password": "planted-registry-pass-12",
	"SASL password":     "planted-sasl-pass-08",
	"file":              "planted-file-secret-33",
}

func tells(t *testing.T, where, text string) {
	t.Helper()
	for what, secret := range planted {
		if strings.Contains(text, secret) {
			t.Errorf("%s tells the %s:\n%s", where, what, text)
		}
	}
}

// started is a `tidemark run` that goes on until it is told to end.
type started struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // once ended
	mu    sync.Mutex
	said  bytes.Buffer // stdout and stderr
}

func (s *started) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *started) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

func startRun(t *testing.T, config string, environ ...string) *started {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &started{cmd: exec.Command(self, "run", "--standalone", "--config", config)}
	s.cmd.Env = append(append(os.Environ(), environ...), asMain+"=1")
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = s.cmd.Wait()
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-s.ended })
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// asks asks until the answer is wanted, or half a minute has passed.
func asks(t *testing.T, url, token string, want int) string {
	t.Helper()
	var last string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		r, _ := http.NewRequest("GET", url, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == want {
				return string(body)
			}
			last = fmt.Sprint(resp.StatusCode, " ", string(body))
		} else {
			last = err.Error()
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: want %d, last %s", url, want, last)
	return ""
}

// The process as a whole: logs at their most talkative, exported traces and
// metrics, every page, and the end by SIGTERM, which comes within its bound.
func TestRunTellsNoSecret(t *testing.T) {
	c, _ := testCluster(t, "secrets", 2)
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(planted["operate token"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := write(t, "tidemark.yaml", fmt.Sprintf(`app: secrets
data_dir: %q
playbook: starter.yaml
kafka: {brokers: [%q]}
schema_registry: {urls: [%q], username: tidemark, password: %s}
http: {listen: "127.0.0.1:%d", read_token: "env:MY_READ_TOKEN", operate_token: "file:%s"}
log: {level: debug, format: json}
`, filepath.Join(dir, "state"), c.broker.Addr(), c.registry.URL(), planted["registry password"], port, file))
	s := startRun(t, config, "MY_READ_TOKEN="+planted["read token"],
		"OTEL_TRACES_EXPORTER=console", "OTEL_METRICS_EXPORTER=console", "OTEL_METRIC_EXPORT_INTERVAL=100")
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	ready := asks(t, base+"/readyz", planted["read token"], 200)
	if !strings.Contains(ready, `"state":"running"`) {
		t.Errorf("with a token /readyz says %s", ready)
	}
	if bare := asks(t, base+"/readyz", "", 200); strings.Contains(bare, "running") {
		t.Errorf("without a token /readyz says %s", bare)
	}
	metrics := asks(t, base+"/metrics", planted["read token"], 200)
	refused := asks(t, base+"/metrics", planted["read token"]+"x", 401)
	profile := asks(t, base+"/debug/pprof/cmdline", planted["operate token"], 200)
	asks(t, base+"/debug/pprof/cmdline", planted["read token"], 403)
	environ := []string{"MY_READ_TOKEN=" + planted["read token"]}
	health := tidemarkIn(t, environ, "health", "--config", config, "--ready")
	if health.code != 0 || !strings.Contains(health.out, `"ready":true`) {
		t.Errorf("health: exit %d, %s%s", health.code, health.out, health.stderr)
	}
	shown := tidemarkIn(t, environ, "config", "show", config)
	checkedText := tidemarkIn(t, environ, "config", "check", config)
	if shown.code != 0 || checkedText.code != 0 {
		t.Errorf("config: %+v %+v", shown, checkedText)
	}
	for where, text := range map[string]string{"/readyz": ready, "/metrics": metrics, "401": refused, "/debug/pprof/cmdline": profile,
		"health": health.out + health.stderr, "config show": shown.out + shown.stderr, "config check": checkedText.out + checkedText.stderr} {
		tells(t, where, text)
	}

	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if <-s.ended; s.err != nil {
		t.Errorf("SIGTERM: %v\n%s", s.err, s.text())
	}
	if took := time.Since(began); took > 10*time.Second+stopGrace+5*time.Second {
		t.Errorf("the end took %s", took)
	}
	said := s.text()
	if !strings.Contains(said, "tidemark.task.state") || !strings.Contains(said, `"msg":"http"`) {
		t.Errorf("metrics and logs were not written, so nothing was searched:\n%.2000s", said)
	}
	tells(t, "the log, traces and metrics", said)
	if r := tidemarkIn(t, environ, "health", "--config", config); r.code != 1 {
		t.Errorf("health of a process that has ended: exit %d", r.code)
	}
}

// Errors are where secrets slip out: a registry that says no, a broker that hangs
// up, values that are wrong.
func TestErrorsTellNoSecret(t *testing.T) {
	closed := freePort(t)
	refuses := refusing(t)
	for name, text := range map[string]string{
		"broker away": fmt.Sprintf("app: a\nplaybook: starter.yaml\nkafka: {brokers: ['127.0.0.1:%d'], sasl: {mechanism: plain, username: u, password: %s}}\nschema_registry: {urls: ['http://127.0.0.1:%d'], bearer_token: %s}\nhttp: {listen: off}\nlog: {level: debug}\n",
			closed, planted["SASL password"], closed, planted["registry bearer"]),
		"SASL refused": fmt.Sprintf("app: a\nplaybook: starter.yaml\nkafka: {brokers: [%q], sasl: {mechanism: scram-sha-512, username: u, password: %s}}\nschema_registry: {urls: ['http://127.0.0.1:%d'], username: u, password: %s}\nhttp: {listen: off}\nlog: {level: debug}\n",
			refuses, planted["SASL password"], closed, planted["registry password"]),
	} {
		config := write(t, "tidemark.yaml", text+"data_dir: "+t.TempDir()+"\n")
		s := startRun(t, config)
		for end := time.After(20 * time.Second); s.text() == ""; {
			select {
			case <-end:
				t.Fatalf("%s: said nothing", name)
			case <-s.ended:
			case <-time.After(20 * time.Millisecond):
			}
		}
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		<-s.ended
		tells(t, name, s.text())
		r := tidemark(t, "tail", "--config", config, "--format", "json", "--max-wait", "1s")
		tells(t, name+", tail", r.out+r.stderr)
	}
	wrong := write(t, "wrong.yaml", fmt.Sprintf("app: a\nkafka: {brokers: ['u:%s@b:9092'], sasl: {mechanism: none, password: %s}}\nschema_registry: {urls: ['http://u:%s@r'], bearer_token: %s, username: u}\nhttp: {listen: ':1', read_token: %.10s, operate_token: [%s]}\n",
		planted["SASL password"], planted["SASL password"], planted["registry password"], planted["registry bearer"], planted["read token"], planted["operate token"]))
	for _, args := range [][]string{{"config", "check", wrong}, {"config", "check", "--format", "json", wrong}, {"config", "show", wrong}, {"run", "--config", wrong}} {
		r := tidemark(t, args...)
		if r.code != 2 {
			t.Errorf("%v: exit %d", args, r.code)
		}
		tells(t, strings.Join(args, " "), r.out+r.stderr)
	}
}

// refusing hangs up on everybody after a few bytes.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = bufio.NewReader(conn).ReadByte()
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestTokensAreAsLongAsTheyMustBe(t *testing.T) {
	// config has the number too, without importing telemetry.
	token := strings.Repeat("x", telemetry.MinToken)
	text := "app: a\nkafka: {brokers: ['a:1']}\nschema_registry: {urls: ['http://r']}\nhttp: {read_token: %s}\n"
	if r := tidemark(t, "config", "check", write(t, "long.yaml", fmt.Sprintf(text, token))); r.code != 0 {
		t.Errorf("%d bytes: %s", len(token), r.stderr)
	}
	if r := tidemark(t, "config", "check", write(t, "short.yaml", fmt.Sprintf(text, token[1:]))); r.code != 2 {
		t.Errorf("%d bytes are taken", len(token)-1)
	}
}

func TestWithin(t *testing.T) {
	if err := within(time.Minute, func() {}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := within(time.Millisecond, func() { <-ctx.Done() }); err == nil {
		t.Error("a task that never ends is waited for")
	}
}
