package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tidemark/schemas"
)

var _ interface {
	SchemaByID(context.Context, int32) (string, []string, error)
	Register(context.Context, string, string) (int32, error)
} = (*Folder)(nil)

// folder makes a folder with files given as name, text, name, text.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The ids stand in topics and archives: this table only ever grows.
func TestBuiltInIDs(t *testing.T) {
	want := map[string]int32{"OrderEvent": 1000001, "BehaviorEvent": 1000002, "TierChange": 1000003,
		"ChurnWarning": 1000004, "RecallTrigger": 1000005, "LifecycleChange": 1000006,
		"EngagementTrigger": 1000007, "SuppressedTrigger": 1000008, "LifecycleMetric": 1000009,
		"DeadLetter": 1000010, "Journal": 1000011, "Control": 1000012, "Transfer": 1000013, "Nobody": 0}
	f := open(t, "")
	for record, id := range want {
		if got := BuiltInID(record); got != id {
			t.Errorf("%s has id %d, want %d", record, got, id)
		}
		if id == 0 {
			continue
		}
		text, refs, err := f.SchemaByID(t.Context(), id)
		if err != nil || text != schemas.Text(record) || refs != nil {
			t.Errorf("%s: %v %v", record, refs, err)
		}
		if got, err := f.Register(t.Context(), "s", text); err != nil || got != id {
			t.Errorf("%s registers as %d, %v", record, got, err)
		}
	}
	if got, want := len(schemas.Records()), len(want)-1; got != want {
		t.Errorf("%d records, %d in this table", got, want)
	}
	if _, err := f.Register(t.Context(), "s", `"string"`); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestFolderFiles(t *testing.T) {
	dir := folder(t, "7.avsc", `"string"`, "8-orders.avsc", `"long"`, "9.orders.v2.avsc", `"int"`,
		"plain.avsc", `"bytes"`, "10.txt", `not looked at`,
		"registry.json", `{"20": "plain.avsc", "7": "7.avsc"}`, "ids.yaml", "21: plain.avsc\n")
	f := open(t, dir)
	for id, want := range map[int32]string{7: `"string"`, 8: `"long"`, 9: `"int"`, 20: `"bytes"`, 21: `"bytes"`} {
		if got, _, err := f.SchemaByID(t.Context(), id); err != nil || got != want {
			t.Errorf("%d: %s %v, want %s", id, got, err, want)
		}
	}
	if _, _, err := f.SchemaByID(t.Context(), 10); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

func TestFolderFaults(t *testing.T) {
	for name, files := range map[string][]string{
		"two schemas":        {"7.avsc", `"string"`, "7-b.avsc", `"long"`},
		"built in":           {"1000001.avsc", `"string"`},
		"no JSON":            {"7.avsc", `{`},
		"mapped to nothing":  {"registry.json", `{"7":"gone.avsc"}`},
		"no mapping":         {"registry.json", `[]`},
		"no mapping in YAML": {"ids.yaml", `a: b`},
		"too large":          {"9999999999.avsc", `"string"`},
		"negative":           {"registry.json", `{"-1":"registry.json"}`},
	} {
		if _, err := OpenFolder(folder(t, files...)); err == nil || !strings.Contains(err.Error(), "schema folder") {
			t.Errorf("%s: %v", name, err)
		}
	}
	inner := filepath.Join(folder(t, "x.avsc", `"string"`), "inner")
	if err := errors.Join(os.Mkdir(inner, 0o755), os.WriteFile(filepath.Join(inner, "ids.yaml"), []byte("7: ../x.avsc"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(inner); err == nil {
		t.Error("a file outside the folder is read")
	}
	if _, err := OpenFolder(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("a folder that does not exist opens")
	}
	same := folder(t, "7.avsc", `{"type": "string"}`, "7-b.avsc", `{"type":"string"}`)
	open(t, same)
}

// What another process adds is found; a folder that cannot be read is no absence.
func TestFolderLooksAgain(t *testing.T) {
	dir := folder(t)
	f := open(t, dir)
	if _, _, err := f.SchemaByID(t.Context(), 7); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "7.avsc"), []byte(`"string"`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.SchemaByID(t.Context(), 7); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.SchemaByID(t.Context(), 8); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotFound) {
		t.Errorf("without its folder: %v", err)
	}
	if _, _, err := f.SchemaByID(t.Context(), 7); err != nil {
		t.Errorf("what was found is lost: %v", err)
	}
}

func TestFolderRegister(t *testing.T) {
	dir := folder(t, "40.avsc", `{"type": "string"}`)
	f := open(t, dir)
	for _, c := range []struct {
		text string
		want int32
	}{{`{"type":"string"}`, 40}, {`"long"`, 41}, {`"int"`, 42}, {`"long"`, 41}} {
		if got, err := f.Register(t.Context(), "s", c.text); err != nil || got != c.want {
			t.Errorf("%s has id %d, %v, want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "{", `"nothing"`, "string"} {
		if _, err := f.Register(t.Context(), "s", text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	again := open(t, dir)
	if got, _, err := again.SchemaByID(t.Context(), 42); err != nil || got != `"int"` {
		t.Errorf("after a restart: %s %v", got, err)
	}
}

// Several processes on one folder never give one id to two schemas.
func TestFolderRegisterAtOnce(t *testing.T) {
	dir := folder(t)
	const processes, each = 4, 8
	var mu sync.Mutex
	byID := map[int32]string{}
	var wg sync.WaitGroup
	for p := range processes {
		f := open(t, dir)
		wg.Go(func() {
			for i := range each {
				text := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, (i+p)%each+1)
				id, err := f.Register(t.Context(), "s", text)
				mu.Lock()
				if old, ok := byID[id]; err != nil || ok && old != text {
					t.Errorf("id %d for %s and %s, %v", id, old, text, err)
				}
				byID[id] = text
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	f := open(t, dir)
	for id, want := range byID {
		if got, _, err := f.SchemaByID(t.Context(), id); err != nil || got != want {
			t.Errorf("%d is %s on disk, %v, want %s", id, got, err, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".schema-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
