// Package docs holds no code: its tests keep the pages true where a machine can tell.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidemark/playbook"
)

const root = ".."

// pages are all Markdown files of the project, with their text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			out[path] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("found %d pages only; is root right?", len(out))
	}
	return out
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fence   = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```")
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchor is the id that a heading gets where Markdown is shown.
func anchor(h string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(h)), ""), " ", "-")
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for path, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, fragment, _ := strings.Cut(m[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, m[1])
				continue
			}
			if fragment == "" {
				continue
			}
			found := false
			for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(all[to], ""), -1) {
				found = found || anchor(h[1]) == fragment
			}
			if !found {
				t.Errorf("%s: %s has no heading for #%s", path, to, fragment)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(re *regexp.Regexp, text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

// TestMetricsAreAllTold holds the table of operations.md against the instruments.
func TestMetricsAreAllTold(t *testing.T) {
	made := names(regexp.MustCompile(`"(tidemark\.[a-z_.]+)"`), read(t, "telemetry/metrics.go")+read(t, "telemetry/stores.go")+read(t, "telemetry/phases.go")+read(t, "telemetry/accounts.go"))
	told := names(regexp.MustCompile("`(tidemark\\.[a-z_]+[a-z_.]*)`"), read(t, "docs/operations.md"))
	delete(told, "tidemark.yaml")
	for m := range made {
		if !told[m] {
			t.Errorf("docs/operations.md does not tell of %s", m)
		}
	}
	for m := range told {
		if !made[m] {
			t.Errorf("docs/operations.md tells of %s, which telemetry does not make", m)
		}
	}
	if len(made) == 0 {
		t.Error("found no instruments")
	}
}

// TestDeadLetterReasonsAreAllTold does the same for the codes of dead letters.
func TestDeadLetterReasonsAreAllTold(t *testing.T) {
	page := read(t, "docs/operations.md")
	codes := names(regexp.MustCompile(`(?m)^\tReason\w+\s+= "([a-z_0-9]+)"`), read(t, "processor/core/input.go"))
	if len(codes) == 0 {
		t.Error("found no codes")
	}
	for c := range codes {
		if !strings.Contains(page, "`"+c+"`") {
			t.Errorf("docs/operations.md does not tell of the reason %s", c)
		}
	}
}

// TestLoudStopsAreAllTold: every error that stops a task has its line for operators.
func TestLoudStopsAreAllTold(t *testing.T) {
	page := read(t, "docs/operations.md")
	_, body, ok := strings.Cut(read(t, "processor/runtime/runner.go"), "func fatal(")
	if !ok {
		t.Fatal("runner.go no longer has fatal")
	}
	body, _, _ = strings.Cut(body, "\n}\n")
	errs := names(regexp.MustCompile(`\b(Err[A-Z]\w+)`), body)
	if len(errs) < 5 {
		t.Errorf("found %d errors only", len(errs))
	}
	for e := range errs {
		if !strings.Contains(page, e) {
			t.Errorf("docs/operations.md does not tell what to do about %s", e)
		}
	}
}

// TestPlaybookKeysAreAllTold holds docs/playbook.md and the reference behind it
// against the compiler's vocabulary, and compiles every whole playbook on the page.
func TestPlaybookKeysAreAllTold(t *testing.T) {
	page := read(t, "docs/playbook.md")
	reference := read(t, "docs/playbook-reference.md")
	source := read(t, "playbook/vocabulary.go")
	keys, _, ok := strings.Cut(source, "// planned holds")
	if !ok {
		t.Fatal("vocabulary.go no longer has its two parts")
	}
	for key := range names(regexp.MustCompile(`"([a-z_]+)"`), keys) {
		if !strings.Contains(page, "`"+key+"`") && !strings.Contains(page, "\n## "+key+":") && !strings.Contains(reference, "| `"+key+"` |") {
			t.Errorf("docs/playbook.md and docs/playbook-reference.md do not tell of the key %s", key)
		}
	}
	whole := 0
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(playbook: .*?)^```").FindAllStringSubmatch(page, -1) {
		whole++
		if _, err := playbook.Compile([]byte(m[1]), "docs/playbook.md"); err != nil {
			t.Error(err)
		}
	}
	if whole == 0 {
		t.Error("found no whole playbook on the page")
	}
}
