// Command fuzz runs every fuzz target of the module in turn, adds what was
// executed to a page, and keeps some of the inputs that reached new code.
//
//	go run ./deploy/ci/fuzz -time 30s -record bench/fuzz.md
//
// A target that fails ends with exit code 1 after all others have run; its input
// then lies in testdata/fuzz of its package, and is from then on a test.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is one Fuzz function; Package is its folder, such as ./state.
type target struct{ Package, Name string }

func (t target) String() string { return strings.TrimPrefix(t.Package, "./") + " " + t.Name }

func main() {
	budget := flag.String("time", "10s", "for each target: a duration, or a number of executions such as 100000x")
	parallel := flag.Int("parallel", 1, "workers of a target")
	only := flag.String("only", "", "regular expression over `package name`")
	record := flag.String("record", "", "Markdown page whose table the executions are added to")
	keep := flag.Int("keep", 0, "how many new inputs of a target to copy into testdata/fuzz, the shortest first")
	list := flag.Bool("list", false, "list the targets and end")
	flag.Parse()
	if err := run(*budget, *parallel, *only, *record, *keep, *list); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(budget string, parallel int, only, record string, keep int, list bool) error {
	targets, err := find(".")
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !wanted.MatchString(t.String()) })
	if len(targets) == 0 {
		return fmt.Errorf("no target is like %q", only)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return err
	}
	var failed []string
	for _, t := range targets {
		if list {
			fmt.Println(t)
			continue
		}
		began := time.Now()
		n, err := fuzz(t, budget, parallel, os.Stderr)
		fmt.Printf("%-50s %12d executions in %s\n", t, n, time.Since(began).Round(time.Second))
		if err != nil {
			failed = append(failed, t.String())
		}
		if record != "" && n > 0 {
			if err := add(record, t, n); err != nil {
				return err
			}
		}
		from := filepath.Join(strings.TrimSpace(string(cache)), "fuzz", "tidemark", filepath.FromSlash(t.Package), t.Name)
		if err := copyShortest(from, filepath.Join(filepath.FromSlash(t.Package), "testdata", "fuzz", t.Name), keep); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// find lists the targets under root by package and name; a folder with a go.mod
// of its own is another module.
func find(root string) ([]target, error) {
	var out []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range declaration.FindAllSubmatch(text, -1) {
			out = append(out, target{"./" + filepath.ToSlash(filepath.Dir(path)), string(m[1])})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return out, err
}

// fuzz runs one target and says how often it was executed.
func fuzz(t target, budget string, parallel int, log io.Writer) (int64, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.Name+"$", "-fuzztime", budget,
		"-fuzzminimizetime", "5s", "-parallel", strconv.Itoa(parallel), t.Package)
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, log)
	cmd.Stderr = log
	err := cmd.Run()
	// On a busy machine `go test` may be late to end its own workers, and calls that
	// a failure, although no input failed.
	if err != nil && bytes.Contains(out.Bytes(), []byte("context deadline exceeded")) && !bytes.Contains(out.Bytes(), []byte("Failing input")) {
		err = nil
	}
	return executions(out.Bytes()), err
}

var progress = regexp.MustCompile(`(?m)^fuzz: elapsed: .*\bexecs: (\d+)`)

// executions reads the last count that `go test` has told.
func executions(out []byte) int64 {
	all := progress.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(all[len(all)-1][1]), 10, 64)
	return n
}

var row = regexp.MustCompile(`(?m)^\| (\S+) (Fuzz\w+) \| ([\d,]+) \| (\d+) \|\n`)

// add counts n more executions of t in the table of the page.
func add(page string, t target, n int64) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	counted, err := added(text, t, n)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, counted, 0o644)
}

func added(text []byte, t target, n int64) ([]byte, error) {
	lines := map[string][2]int64{}
	places := row.FindAllSubmatchIndex(text, -1)
	head := bytes.Index(text, []byte("| target | executions | runs |\n|---|---|---|\n"))
	if head < 0 {
		return nil, fmt.Errorf("has no table of targets")
	}
	begin := head + len("| target | executions | runs |\n|---|---|---|\n")
	end := begin
	for _, p := range places {
		sum, err := strconv.ParseInt(strings.ReplaceAll(string(text[p[6]:p[7]]), ",", ""), 10, 64)
		if err != nil {
			return nil, err
		}
		runs, err := strconv.ParseInt(string(text[p[8]:p[9]]), 10, 64)
		if err != nil {
			return nil, err
		}
		lines[string(text[p[2]:p[3]])+" "+string(text[p[4]:p[5]])] = [2]int64{sum, runs}
		end = max(end, p[1])
	}
	old := lines[t.String()]
	lines[t.String()] = [2]int64{old[0] + n, old[1] + 1}
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	b.Write(text[:begin])
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %s | %d |\n", name, thousands(lines[name][0]), lines[name][1])
	}
	b.Write(text[end:])
	return b.Bytes(), nil
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// copyShortest copies up to n of the shortest inputs that lie in from and are not
// longer than 4 KiB.
func copyShortest(from, to string, n int) error {
	entries, err := os.ReadDir(from)
	if err != nil || n == 0 {
		return nil // nothing new was found
	}
	type input struct {
		name string
		size int64
	}
	var inputs []input
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Size() <= 4<<10 {
			inputs = append(inputs, input{e.Name(), info.Size()})
		}
	}
	slices.SortFunc(inputs, func(a, b input) int {
		if a.size != b.size {
			return int(a.size - b.size)
		}
		return strings.Compare(a.name, b.name)
	})
	for _, in := range inputs[:min(n, len(inputs))] {
		text, err := os.ReadFile(filepath.Join(from, in.name))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, in.name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
