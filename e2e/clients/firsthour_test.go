package clients

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/testkit"
)

// block is one fenced block of a page: a script to run, or what the one before it prints.
type block struct {
	kind string // "sh", "sh stays", or ""
	text string
}

func blocks(page string) (list []block) {
	for _, m := range regexp.MustCompile("(?ms)^```([a-z ]*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		list = append(list, block{m[1], m[2]})
	}
	return list
}

// TestFirstHour runs docs/first-hour.md as a reader would: its blocks in order,
// in a folder that has nothing but bin/tidemark. Each line that the page shows
// must be printed. Two things are not the reader's: ports are free ones, and the
// Python environment is the tests'. The time is told and not judged.
func TestFirstHour(t *testing.T) {
	if testkit.Real() {
		t.Skip("the page runs the embedded broker")
	}
	interpreter := need(t, pythonEnv, "confluent-kafka for Python")
	text, err := os.ReadFile("../../docs/first-hour.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"bin/tidemark": tidemark(t), "venv": filepath.Dir(filepath.Dir(interpreter))} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	kafka, registry, http := freeAddr(t), freeAddr(t), freeAddr(t)
	ports := strings.NewReplacer("127.0.0.1:9092", kafka, "127.0.0.1:8081", registry, "127.0.0.1:9464", http,
		"tidemark dev ", fmt.Sprintf("tidemark dev --kafka %s --registry %s --http 127.0.0.1:0 ", kafka, registry))

	began := time.Now()
	var output func() string
	ran, looked := 0, 0
	for _, b := range blocks(string(text)) {
		script := ports.Replace(b.text)
		switch b.kind {
		case "sh":
			if strings.Contains(script, "pip install") {
				continue
			}
			ran++
			out := shell(t, dir, script)
			output = func() string { return out }
		case "sh stays":
			ran++
			output = background(t, dir, script)
		case "":
			looked++
			await(t, script, output)
		default:
			t.Errorf("a block of the kind %q", b.kind)
		}
	}
	if ran < 9 || looked < 7 {
		t.Errorf("%d blocks were run and %d compared: does the page still have them?", ran, looked)
	}
	t.Logf("the page's blocks took %.1f s, without make build and pip install", time.Since(began).Seconds())
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir, cmd.Env = dir, environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// background starts what stays up until the test's end; each ends calmly on SIGTERM.
func background(t *testing.T, dir, script string) (output func() string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("bash", "-euc", "exec "+script)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment(), file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	output = func() string {
		text, _ := os.ReadFile(log)
		return string(text)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, output())
		}
	})
	return output
}

// await waits until every line of want was printed; "..." stands for any lines.
func await(t *testing.T, want string, output func() string) {
	t.Helper()
	var missing []string
	for end := time.Now().Add(testkit.Limit); ; {
		missing = nil
		got := output()
		for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
			if line != "..." && !strings.Contains(got, line) {
				missing = append(missing, line)
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not printed:\n%s\nbut\n%s", strings.Join(missing, "\n"), got)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
