package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/processor/core"
	"tidemark/state"
)

// Stores go to checkpoints and come back by hand; what is damaged is told by
// name and exit code, and nothing is overwritten.
func TestState(t *testing.T) {
	dir := t.TempDir()
	data, copies := filepath.Join(dir, "data"), filepath.Join(dir, "copies")
	conf := write(t, "state.yaml", fmt.Sprintf("app: shop\ndata_dir: %s\nkafka: {brokers: [\"localhost:1\"]}\nschema_registry: {folder: %s}\ncheckpoint: {url: \"file://%s\"}\n", data, dir, copies))
	for task := range int32(2) {
		store := filepath.Join(data, "shop", fmt.Sprintf("task-%05d", task))
		if err := os.MkdirAll(store, 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := state.Open(store, state.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b state.Batch
		for i := range 2000 {
			b.Set(state.CustomerKey(nil, fmt.Sprintf("c%d", i)), fmt.Appendf(nil, "row %d", i))
		}
		if err := s.Apply(&b, &state.Position{Generation: 1, Task: task, Engine: core.Engine, Sequence: 7 + int64(task), Playbook: "1-a"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	good(t, "state", "checkpoint", "--config", conf)
	var lines []stateLine
	for _, l := range strings.Split(strings.TrimSpace(good(t, "state", "show", "--config", conf, "--format", "json").out), "\n") {
		var got stateLine
		if err := json.Unmarshal([]byte(l), &got); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, got)
	}
	if len(lines) != 4 || lines[0].What != "store" || lines[1].What != "checkpoint" || lines[3].Sequence != 8 || lines[3].Playbook != "1-a" || lines[3].Problem != "" {
		t.Fatalf("show says %+v", lines)
	}
	good(t, "state", "verify", "--config", conf)
	if r := tidemark(t, "state", "restore", "--config", conf); r.code != 1 || !strings.Contains(r.stderr, "there already") {
		t.Errorf("a restore over stores: %+v", r)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	good(t, "state", "restore", "--config", conf)
	s, err := state.Open(filepath.Join(data, "shop", "task-00001"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := s.Position(); err != nil || p.Sequence != 8 {
		t.Errorf("restored to %+v, %v", p, err)
	}
	objects, err := filepath.Glob(filepath.Join(copies, "shop", "g1", "task-00001", "objects", "*", "*"))
	if err != nil || len(objects) == 0 {
		t.Fatal(objects, err)
	}
	if err := os.WriteFile(objects[0], []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := tidemark(t, "state", "verify", "--config", conf); r.code != 1 || !strings.Contains(r.out, "damaged") || !strings.Contains(r.stderr, "1 of 2") {
		t.Errorf("verify of a damaged checkpoint: %+v", r)
	}
}
