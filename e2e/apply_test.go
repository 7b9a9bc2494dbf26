package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/processor/core"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/testkit"
)

// Another playbook is put in force while the process is killed: it lands once,
// each task takes it at one journaled position, and a process that is configured
// with the old one keeps to the new. What the state does not hold is refused.
func TestPlaybookApplied(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are not under the race detector")
	}
	s := newWorld(t, 3)
	tidemark(t)
	text := crashPlaybook(time.Now(), time.Minute)
	old := compile(t, text)
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runtime.ApplyPlaybook(testkit.Context(t), s.config("", "apply"), runtime.ApplyOptions{Playbook: old}); err == nil {
		t.Error("a playbook was applied to an app that has not begun")
	}
	early := schemas.EventTime(time.Now().UnixMilli()) - 2*schemas.Hour
	s.prepare(old, &early)
	shop := &shop{world: s}
	config := s.runConfig("a", t.TempDir(), file, "")
	a := s.spawn("a", config)
	s.log = a.log
	shop.sell(60)
	s.covered(testkit.Limit)

	apply := func(text string, o runtime.ApplyOptions) (*runtime.Applied, error) {
		o.Playbook, o.By = compile(t, text), "test"
		return runtime.ApplyPlaybook(testkit.Context(t), s.config("", "apply"), o)
	}
	want := strings.NewReplacer("version: 1", "version: 2", "reach: 50", "reach: 40", "name: silent", "name: quiet", "on: silent", "on: quiet").Replace(text)
	more := strings.Replace(want, "window: {rolling: 1h}", "window: {rolling: 400d}", 1) + `
facts:
  core_behavior: [{name: visit, behavior: page.viewed}]
  values: [{name: visits, count: visit, window: {rolling: 1h}}]
`
	_, err := apply(more, runtime.ApplyOptions{})
	if !errors.Is(err, runtime.ErrFacts) || !strings.Contains(err.Error(), `"visit": its events have not been kept`) || !strings.Contains(err.Error(), `tiers "member": looks back 400d`) {
		t.Errorf("what the state does not hold: %v", err)
	}
	got, err := apply(want, runtime.ApplyOptions{DryRun: true})
	if err != nil || got.Written {
		t.Fatalf("dry run: %+v, %v", got, err)
	}
	d := got.Difference
	if strings.Join(d.Added, " ") != "quiet" || strings.Join(d.Changed, " ") != "member back" || strings.Join(d.Removed, " ") != "silent" {
		t.Errorf("difference: %+v", d)
	}

	if got, err = apply(want, runtime.ApplyOptions{}); err != nil || !got.Written {
		t.Fatalf("apply: %+v, %v", got, err)
	}
	a.kill() // some tasks may have taken it and some not
	shop.sell(60)
	if got, err = apply(want, runtime.ApplyOptions{Wait: 500 * time.Millisecond}); got == nil || got.Written {
		t.Errorf("a second time: %+v, %v", got, err)
	} else if len(got.Taken) < 3 && !errors.Is(err, runtime.ErrNotTaken) {
		t.Errorf("nothing runs, and it was taken by %v: %v", got.Taken, err)
	}
	a = s.spawn("a2", config)
	s.log = a.log
	if got, err = apply(want, runtime.ApplyOptions{Wait: testkit.Limit}); err != nil || got.Written || len(got.Taken) != 3 {
		t.Fatalf("after the restart: %+v, %v", got, err)
	}
	shop.sell(60)
	s.covered(testkit.Limit)
	if !a.log.has("another playbook is in force") {
		t.Errorf("run does not say which playbook is in force:\n%s", a.log.last(20))
	}
	a.end(t)
	if l := a.loud(); l != "" {
		t.Error(l)
	}
	r := s.audit()
	version, changes := map[int32]string{}, map[int32]int{}
	for _, j := range r.Journals {
		if version[j.Task] != "" && version[j.Task] != j.PlaybookVersion {
			changes[j.Task]++
		}
		version[j.Task] = j.PlaybookVersion
	}
	for task := range int32(3) {
		if version[task] != got.Now || changes[task] != 1 {
			t.Errorf("task %d ends with %s after %d changes, want %s after one", task, version[task], changes[task], got.Now)
		}
	}
	n := 0
	for _, rec := range testkit.ReadCommitted(t, s.topics.Control) {
		_, body, err := schemas.ParseWire(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := schemas.DecodeControl(body); err == nil && c.Kind == core.ControlPlaybook {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d playbooks in the control topic, want 2", n)
	}
}
