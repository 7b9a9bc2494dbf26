package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidemark/schemas"
	"tidemark/testkit"
)

// Two members of a group follow each other's tasks. One is killed: the other takes
// its tasks over from a standby, and nothing is missing or twice. Then the first
// comes back, and the second ends calmly.
func TestStandbyTakesOver(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are not under the race detector")
	}
	s := newWorld(t, 4)
	tidemark(t)
	pb := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(pb, []byte(crashPlaybook(time.Now(), time.Minute)), 0o600); err != nil {
		t.Fatal(err)
	}
	early := schemas.EventTime(time.Now().UnixMilli()) - 2*schemas.Hour
	s.prepare(compile(t, crashPlaybook(time.Now(), time.Minute)), &early)
	more := fmt.Sprintf("checkpoint: {url: \"file://%s\", interval: 500ms}\nstandby: {copies: 1}\n", t.TempDir())
	dirs := [2]string{t.TempDir(), t.TempDir()}
	start := func(i int, name string) *child {
		file := s.runConfig(name, dirs[i], pb, more)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.Replace(text, []byte("level: warn"), []byte("level: info"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.spawn(name, file)
	}
	a, b := start(0, "a"), start(1, "b")
	s.log = a.log
	shop := &shop{world: s}
	writers := func() map[int32]string {
		by := map[int32]string{}
		for _, j := range s.journals(testkit.Follow(t, s.topics.Journal)) {
			by[j.Task] = j.Writer
		}
		return by
	}
	s.await(testkit.Limit, "both to own two tasks", func() bool {
		shop.sell(40)
		n := map[string]int{}
		for _, w := range writers() {
			n[w]++
		}
		return n["a"] == 2 && n["b"] == 2
	})
	s.log = b.log
	followed := map[int32]bool{}
	for task, w := range writers() {
		if w == "a" {
			followed[task] = true
		}
	}
	s.await(testkit.Limit, "the second to follow the first's tasks", func() bool {
		for task := range followed {
			if !b.log.has(fmt.Sprintf("msg=\"a standby follows\" task=%d ", task)) {
				return false
			}
		}
		return true
	})
	restores := b.log.count("restoring a checkpoint")
	a.kill()
	began := time.Now()
	shop.sell(200)
	s.await(testkit.Limit, "the other to have all tasks", func() bool {
		n := 0
		for _, w := range writers() {
			if w == "b" {
				n++
			}
		}
		return n == 4
	})
	t.Logf("every task has a commit of the new owner %.1f s after the kill; the session timeout is 1.5 s", time.Since(began).Seconds())
	s.covered(testkit.Limit)
	if n := b.log.count("restoring a checkpoint"); n > restores {
		t.Error("it restored a checkpoint, though it followed every task")
	}
	a = start(0, "a2")
	s.await(testkit.Limit, "the first to have tasks again", func() bool {
		shop.sell(40)
		n := 0
		for _, w := range writers() {
			if w == "a2" {
				n++
			}
		}
		return n == 2
	})
	s.log = a.log
	b.end(t)
	shop.sell(200)
	s.covered(testkit.Limit)
	a.end(t)
	for _, c := range []*child{a, b} {
		if l := c.loud(); l != "" {
			t.Errorf("%s:\n%s", c.name, l)
		}
	}
	if r := s.audit(); r.Orders != int64(shop.n) {
		t.Errorf("%d orders were taken, %d were sent", r.Orders, shop.n)
	}
}
