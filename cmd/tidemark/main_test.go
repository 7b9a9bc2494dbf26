package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/playbook"
	"tidemark/processor/runtime"
	"tidemark/schemas"
)

// asMain makes the test binary the command itself: the verbs are run as a shell
// runs them, with exit codes, in a process of their own.
const asMain = "TIDEMARK_TEST_AS_MAIN"

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; read them before they are committed")

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type result struct {
	code        int
	out, stderr string
}

// tidemark runs a verb. Variables of the caller that configure Tidemark are left out.
func tidemark(t *testing.T, args ...string) result {
	t.Helper()
	return tidemarkIn(t, nil, args...)
}

func tidemarkIn(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, self, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TIDEMARK_") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(append(c.Env, environ...), asMain+"=1")
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	r := result{}
	if err := c.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || ctx.Err() != nil {
			t.Fatalf("tidemark %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		r.code = exit.ExitCode()
	}
	r.out, r.stderr = out.String(), stderr.String()
	return r
}

// good fails the test unless the verb ended with 0.
func good(t *testing.T, args ...string) result {
	t.Helper()
	r := tidemark(t, args...)
	if r.code != 0 {
		t.Fatalf("tidemark %s: exit %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r
}

// golden compares with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (-rewrite writes it anew):\ngot\n%s\nwant\n%s", name, got, want)
	}
}

// testCluster is a broker and a registry in this process, as dev has them.
func testCluster(t *testing.T, app string, partitions int32) (*cluster, []string) {
	t.Helper()
	c, err := startCluster(t.Context(), clusterOptions{App: app, Dir: t.TempDir(), Partitions: partitions,
		Kafka: "127.0.0.1:0", Registry: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c, []string{"--brokers", c.broker.Addr(), "--registry", c.registry.URL(), "--app", app}
}

// processing runs all tasks of a cluster and passes their commits on; it ends with the test.
func processing(t *testing.T, c *cluster, pb *playbook.Playbook, until schemas.EventTime) <-chan runtime.Commit {
	t.Helper()
	cfg := c.config()
	cfg.Until = until
	var beginning schemas.EventTime
	prep, err := c.prepare(t.Context(), cfg, runtime.PrepareOptions{Playbook: pb, FireFrom: &beginning})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tasks = prep.Tasks
	commits := make(chan runtime.Commit, 1<<16)
	cfg.OnCommit = func(_ int32, k runtime.Commit) { commits <- k }
	_, stop, err := c.process(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return commits
}

// await takes commits until enough says so.
func await(t *testing.T, commits <-chan runtime.Commit, what string, enough func(runtime.Commit) bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case k := <-commits:
			if enough(k) {
				return
			}
		case <-limit:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
