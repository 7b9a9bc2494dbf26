package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/processor/core"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/testkit"
)

// nextBinary is the command with the next engine number, the same code otherwise.
var nextBinary = sync.OnceValues(func() (string, error) {
	this, err := binary()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(this)
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", err
	}
	file := filepath.Join(strings.TrimSpace(string(root)), "processor", "core", "input.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	was := fmt.Sprintf("const Engine int32 = %d", core.Engine)
	if strings.Count(string(text), was) != 1 {
		return "", fmt.Errorf("%s has no %q", file, was)
	}
	other := filepath.Join(dir, "input.go")
	if err := os.WriteFile(other, []byte(strings.Replace(string(text), was, fmt.Sprintf("const Engine int32 = %d", core.Engine+1), 1)), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: other}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tidemark-next")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-o", path, "tidemark/cmd/tidemark").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// drained are the positions that run --drain told, by task.
var drainedLine = regexp.MustCompile(`(?m)^task (\d+)  store +record (\d+)  engine (\d+)`)

// drain runs a binary with --drain; it must end by itself.
func (w *world) drain(bin, config string) (map[string]string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "run", "--config", config, "--drain")
	cmd.Env = w.env()
	var told, log strings.Builder
	cmd.Stdout, cmd.Stderr = &told, &log
	err := cmd.Run()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, log.String())
	}
	at := map[string]string{}
	for _, m := range drainedLine.FindAllStringSubmatch(told.String(), -1) {
		at[m[1]] = m[2] + " of " + m[3]
	}
	return at, nil
}

// ends are the last record of each task's journal and the engine that wrote it.
func (w *world) ends() map[string]string {
	w.t.Helper()
	at := map[string]string{}
	for _, j := range w.journals(testkit.Follow(w.t, w.topics.Journal)) {
		at[fmt.Sprint(j.Task)] = fmt.Sprintf("%d of %d", j.Sequence, j.Engine)
	}
	return at
}

// Another engine takes over and is taken back, each after run --drain: it refuses
// what was not drained, touches nothing then, begins on an empty disk with the
// checkpoints that the drain left, and a playbook that was applied a moment before
// a kill is taken once by each task, whichever engine does it.
func TestDrainAndAnotherEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are not under the race detector")
	}
	s := newWorld(t, 3)
	this := tidemark(t)
	next, err := nextBinary()
	if err != nil {
		t.Fatal(err)
	}
	text := crashPlaybook(time.Now(), time.Minute)
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	early := schemas.EventTime(time.Now().UnixMilli()) - 2*schemas.Hour
	s.prepare(compile(t, text), &early)
	shop := &shop{world: s}
	dir, kept := t.TempDir(), t.TempDir()
	// Saved by a drain alone: no interval ends within the test.
	on := fmt.Sprintf("checkpoint: {url: \"file://%s\", interval: 1h}\n", kept)
	config := s.runConfig("a", dir, file, on)

	a := s.spawn("a", config)
	s.log = a.log
	shop.sell(120)
	s.covered(testkit.Limit)
	changed := strings.NewReplacer("version: 1", "version: 2", "reach: 50", "reach: 40").Replace(text)
	o := runtime.ApplyOptions{Playbook: compile(t, changed), By: "test"}
	if got, err := runtime.ApplyPlaybook(testkit.Context(t), s.config("", "apply"), o); err != nil || !got.Written {
		t.Fatalf("apply: %+v, %v", got, err)
	}
	a.kill() // some tasks have taken it, some not
	shop.sell(60)

	if err := os.RemoveAll(filepath.Join(dir, s.app)); err != nil { // now every store is behind its journal
		t.Fatal(err)
	}
	before := s.ends()
	b := s.spawnBinary(next, "b", config, "--standalone")
	s.log = b.log
	s.await(testkit.Limit, "the next engine to refuse every task", func() bool {
		return b.count("the task stops until an operator acts") == 3
	})
	if n := b.count(fmt.Sprintf("was written by engine %d, this binary is %d; run the old one with run --drain", core.Engine, core.Engine+1)); n < 3 {
		t.Errorf("%d of 3 tasks say what to do:\n%s", n, b.log.last(10))
	}
	b.end(t)
	if _, err := s.drain(next, config); err == nil || !strings.Contains(err.Error(), "is not at the end of its journal: core: the store or journal was written by another engine version") {
		t.Errorf("the next engine drained what is not its own: %v", err)
	}
	if got := s.ends(); !maps.Equal(got, before) {
		t.Fatalf("the journals ended with %v before they were refused and %v after", before, got)
	}

	at, err := s.drain(this, config)
	if err != nil || !maps.Equal(at, before) {
		t.Fatalf("drained to %v, %v; the journals end with %v", at, err, before)
	}
	if got := s.ends(); !maps.Equal(got, before) {
		t.Fatalf("a drain took something: %v, before %v", got, before)
	}

	// The next engine goes on, on the disk of another machine.
	config = s.runConfig("b", t.TempDir(), file, on)
	b = s.spawnBinary(next, "b", config, "--standalone")
	s.log = b.log
	shop.sell(60)
	s.covered(testkit.Limit)
	b.kill()
	// And again on an empty one: a checkpoint of the old engine, a tail of its own.
	config = s.runConfig("c", t.TempDir(), file, on)
	c := s.spawnBinary(next, "c", config, "--standalone")
	s.log = c.log
	shop.sell(60)
	s.covered(testkit.Limit)
	c.kill()
	at, err = s.drain(next, config)
	if want := s.ends(); err != nil || !maps.Equal(at, want) {
		t.Fatalf("the next engine drained to %v, %v; the journals end with %v", at, err, want)
	}

	// And back.
	d := s.spawn("d", s.runConfig("d", dir, file, on), "--standalone") // its stores are from before the next engine
	s.log = d.log
	shop.sell(60)
	s.covered(testkit.Limit)
	d.end(t)
	for _, p := range []*child{a, c} {
		if l := p.loud(); l != "" {
			t.Errorf("%s:\n%s", p.name, l)
		}
	}
	l := s.read()
	l.Engines = []int32{core.Engine + 1}
	r, err := l.Audit()
	if err != nil || r.Left != 0 {
		t.Fatalf("audit: %v, %d records left", err, r.Left)
	}
	if r.Orders != int64(shop.n) {
		t.Errorf("%d orders were taken, %d were sent", r.Orders, shop.n)
	}
	engines, versions := map[int32]string{}, map[int32]int{}
	last := map[int32]*schemas.Journal{}
	for _, j := range r.Journals {
		if was := last[j.Task]; was == nil || was.Engine != j.Engine {
			engines[j.Task] += fmt.Sprint(j.Engine, " ")
		} else if was.PlaybookVersion != "" && was.PlaybookVersion != j.PlaybookVersion {
			versions[j.Task]++
		}
		last[j.Task] = j
	}
	for task := range int32(3) {
		if got, want := engines[task], fmt.Sprintf("%d %d %d ", core.Engine, core.Engine+1, core.Engine); got != want {
			t.Errorf("task %d was written by the engines %s, want %s", task, got, want)
		}
		if got, want := last[task].PlaybookVersion, o.Playbook.Version; got != want {
			t.Errorf("task %d ends with playbook %s, want %s", task, got, want)
		}
		if versions[task] > 1 {
			t.Errorf("task %d changed its playbook %d times within one engine", task, versions[task])
		}
	}
}
