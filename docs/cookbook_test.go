package docs

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidemark/playbook"
	"tidemark/processor/replay/script"
)

var rewrite = flag.Bool("rewrite", false, "write what the playbooks of the cookbook say now into its pages")

var block = regexp.MustCompile("(?ms)^```(yaml|script)\n(.*?)^```")

// Each page of the cookbook has one playbook and at least one script, which says
// what the playbook says.
func TestCookbook(t *testing.T) {
	files, err := filepath.Glob("cookbook/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, file := range files {
		if filepath.Base(file) == "README.md" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) { cook(t, file) })
	}
}

func cook(t *testing.T, file string) {
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pb *playbook.Playbook
	scripts := 0
	out := block.ReplaceAllStringFunc(string(page), func(fenced string) string {
		m := block.FindStringSubmatch(fenced)
		if m[1] == "yaml" {
			if pb != nil {
				t.Fatal("a second playbook")
			}
			if pb, err = playbook.Compile([]byte(m[2]), file); err != nil {
				t.Fatal(err)
			}
			return fenced
		}
		if pb == nil {
			t.Fatal("a script before the playbook")
		}
		scripts++
		blocks, err := script.Run(pb, m[2])
		if err != nil {
			t.Fatal(err)
		}
		now := "```script\n" + script.Format(blocks) + "```"
		if !*rewrite && now != fenced {
			for i := range blocks {
				if b := &blocks[i]; !b.Same() {
					t.Errorf("after\n%s\nthe page says\n%s\nand the playbook\n%s", strings.Join(b.Text, "\n"), strings.Join(b.Want, "\n"), strings.Join(b.Got, "\n"))
				}
			}
			t.Error("the page is not as it would be written; go test ./docs -run TestCookbook -rewrite")
		}
		return now
	})
	if pb == nil || scripts == 0 {
		t.Error("want a playbook and a script")
	}
	if *rewrite && out != string(page) {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
