// Command licences finds the licence of every module that goes into a binary and
// fails if one is not on the list, or if none is found.
//
//	go run . -root ../../.. -package ./cmd/tidemark
//
// It is a module of its own, so that Tidemark does not depend on the classifier.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

//go:embed allowed.txt
var allowedText string

// least is how much of a file, in percent, has to be text of licences.
const least = 60

func main() {
	root := flag.String("root", ".", "folder of the module")
	pkg := flag.String("package", "./cmd/tidemark", "the command")
	flag.Parse()
	if err := run(*root, *pkg); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(root, pkg string) error {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", pkg)
	list.Dir, list.Stderr = root, os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	lines = slices.DeleteFunc(slices.Compact(lines), func(s string) bool { return strings.TrimSpace(s) == "" })
	var bad []string
	allowed := words(allowedText)
	for _, line := range lines {
		module, dir, _ := strings.Cut(line, "\t")
		names, err := licences(dir)
		if err != nil {
			return err
		}
		fmt.Printf("%-90s %s\n", module, strings.Join(names, ", "))
		if wrong := refused(names, allowed); wrong != "" {
			bad = append(bad, module+": "+wrong)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not on the list of deploy/ci/licences/allowed.txt:\n%s", strings.Join(bad, "\n"))
	}
	fmt.Printf("%d modules, all on the list\n", len(lines))
	return nil
}

func words(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

// refused says what of a module's licences is not on the list; "" for nothing.
func refused(names, allowed []string) string {
	if len(names) == 0 {
		return "no licence was found"
	}
	var wrong []string
	for _, n := range names {
		if !slices.Contains(allowed, n) {
			wrong = append(wrong, n)
		}
	}
	return strings.Join(wrong, ", ")
}

// licences are the names of those in the files of a module's folder.
func licences(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "UNLICENSE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		cover := licensecheck.Scan(text)
		if cover.Percent < least {
			names = append(names, "unknown ("+e.Name()+")")
			continue
		}
		for _, m := range cover.Match {
			if !m.IsURL && !slices.Contains(names, m.ID) {
				names = append(names, m.ID)
			}
		}
	}
	return names, nil
}
