package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidemark/processor/core"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/testkit"
)

// TestPaused: what stands paused in the control topic is in force on every task:
// nothing of the rule goes out, whoever processes the events.
func TestPaused(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are not under the race detector")
	}
	s := newWorld(t, 2)
	tidemark(t)
	text := crashPlaybook(time.Now(), time.Minute)
	pb := compile(t, text)
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	brake := func(b core.Brake) error {
		return runtime.Brake(testkit.Context(t), s.config("", "pause"), core.ControlPause, b, "test")
	}
	if err := brake(core.Brake{Scope: core.PauseAll}); err == nil {
		t.Error("an app was paused that has not begun")
	}
	early := schemas.EventTime(time.Now().UnixMilli()) - 2*schemas.Hour
	s.prepare(pb, &early)
	if err := brake(core.Brake{Scope: core.PauseRule, Name: "memebr"}); !errors.Is(err, runtime.ErrNoRule) {
		t.Errorf("a rule that there is not: %v", err)
	}
	if err := brake(core.Brake{Scope: core.PauseRule, Name: "member"}); err != nil {
		t.Fatal(err)
	}
	shop := &shop{world: s}
	a := s.spawn("a", s.runConfig("a", t.TempDir(), file, ""))
	s.log = a.log
	shop.sell(60)
	s.covered(testkit.Limit)
	a.end(t)
	if l := a.loud(); l != "" {
		t.Error(l)
	}
	if n := len(testkit.ReadCommitted(t, s.topics.Out(schemas.TierChanges))); n != 0 {
		t.Errorf("%d tier changes went out, though the rule was paused", n)
	}
	if n := len(testkit.ReadCommitted(t, s.topics.Out(schemas.SuppressedTriggers))); n == 0 {
		t.Error("nothing was withheld: the sales made no tier change at all")
	}
}
