// Command fuzz runs every fuzz target of the module in turn, adds what was
// executed to a page, and keeps some of the inputs that reached new code.
//
//	go run ./deploy/ci/fuzz -time 30s -record bench/fuzz.md
//	go run ./deploy/ci/fuzz -soak 1000000 -seed 7 -record bench/fuzz.md
//
// The second runs the same targets inside one process (package testkit/soak) and
// adds to a table of its own.
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
	soak := flag.Int64("soak", 0, "executions of each target inside one process, instead of -time")
	seed := flag.Uint64("seed", 1, "of a soak")
	flag.Parse()
	if *soak > 0 && !*list {
		if err := soakAll(*only, *soak, *seed, *record); err != nil {
			fmt.Fprintln(os.Stderr, "fuzz:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*budget, *parallel, *only, *record, *keep, *list); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(budget string, parallel int, only, record string, keep int, list bool) error {
	targets, err := wanted(only)
	if err != nil {
		return err
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

// wanted lists the targets whose name is like only.
func wanted(only string) ([]target, error) {
	targets, err := find(".")
	if err != nil {
		return nil, err
	}
	like, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !like.MatchString(t.String()) })
	if len(targets) == 0 {
		return nil, fmt.Errorf("no target is like %q", only)
	}
	return targets, nil
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

// fuzzed heads the table of what `go test -fuzz` executed.
const fuzzed = "| target | executions | runs |\n|---|---|---|\n"

var row = regexp.MustCompile(`^\| (\S+) (Fuzz\w+) \| ([\d,]+) \| (\d+) \|(?: ([^|]*) \|)?\n`)

// counted is a line of a table.
type counted struct {
	sum, runs int64
	seeds     string
}

// add counts n more executions of t in the table of the page.
func add(page string, t target, n int64) error {
	return edit(page, fuzzed, t, func(c *counted) error { c.sum, c.runs = c.sum+n, c.runs+1; return nil })
}

func edit(page, head string, t target, change func(*counted) error) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	out, err := edited(text, head, t, change)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, out, 0o644)
}

// edited changes the line of t in the table under head, or makes it.
func edited(text []byte, head string, t target, change func(*counted) error) ([]byte, error) {
	begin := bytes.Index(text, []byte(head))
	if begin < 0 {
		return nil, fmt.Errorf("has no table with the head %q", strings.TrimSpace(strings.SplitN(head, "\n", 2)[0]))
	}
	begin += len(head)
	end := begin
	lines := map[string]counted{}
	for {
		m := row.FindSubmatch(text[end:])
		if m == nil {
			break
		}
		end += len(m[0])
		sum, err := strconv.ParseInt(strings.ReplaceAll(string(m[3]), ",", ""), 10, 64)
		if err != nil {
			return nil, err
		}
		runs, err := strconv.ParseInt(string(m[4]), 10, 64)
		if err != nil {
			return nil, err
		}
		lines[string(m[1])+" "+string(m[2])] = counted{sum, runs, string(m[5])}
	}
	c := lines[t.String()]
	if err := change(&c); err != nil {
		return nil, err
	}
	lines[t.String()] = c
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	b.Write(text[:begin])
	for _, name := range names {
		c := lines[name]
		fmt.Fprintf(&b, "| %s | %s | %d |", name, thousands(c.sum), c.runs)
		if strings.Contains(head, "seeds") {
			fmt.Fprintf(&b, " %s |", c.seeds)
		}
		b.WriteByte('\n')
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
