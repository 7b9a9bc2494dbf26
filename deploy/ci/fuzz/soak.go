package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// soaked heads the table of what soaks executed.
const soaked = "| target | soaked | runs | seeds |\n|---|---|---|---|\n"

// soakAll soaks the targets, package by package, n executions each.
func soakAll(only string, n int64, seed uint64, page string) error {
	targets, err := wanted(only)
	if err != nil {
		return err
	}
	var failed []string
	for len(targets) > 0 {
		of := targets[0].Package
		var names []string
		rest := slices.DeleteFunc(slices.Clone(targets), func(t target) bool {
			if t.Package == of {
				names = append(names, t.Name)
			}
			return t.Package == of
		})
		targets = rest
		if err := soak(of, names, n, seed, page, os.Stderr); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", of, err))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

func soak(of string, names []string, n int64, seed uint64, page string, log io.Writer) error {
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout=0", "-v", "-run", "^TestSoak$", of)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", fmt.Sprint("TIDEMARK_TEST_SOAK=", n), fmt.Sprint("TIDEMARK_TEST_SOAK_SEED=", seed),
		"TIDEMARK_TEST_SOAK_ONLY=^("+strings.Join(names, "|")+")$")
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, log)
	cmd.Stderr = log
	failed := cmd.Run()
	told := soaks(out.Bytes())
	for _, s := range told {
		t := target{of, s.name}
		fmt.Printf("%-50s %12d executions, seed %d\n", t, s.executions, seed)
		if page == "" {
			continue
		}
		if err := edit(page, soaked, t, func(c *counted) (err error) {
			c.sum, c.runs = c.sum+s.executions, c.runs+1
			c.seeds, err = withSeed(c.seeds, seed)
			return err
		}); err != nil {
			return err
		}
	}
	if failed == nil && len(told) < len(names) {
		return fmt.Errorf("%d targets, and %d were soaked: is each in TestSoak?", len(names), len(told))
	}
	return failed
}

type told struct {
	name       string
	executions int64
}

var soakLine = regexp.MustCompile(`\bsoak (Fuzz\w+) executions (\d+) skipped (\d+) seed`)

// soaks reads what package soak logs. An input that the target skipped is not
// counted.
func soaks(out []byte) (all []told) {
	for _, m := range soakLine.FindAllSubmatch(out, -1) {
		n, _ := strconv.ParseInt(string(m[2]), 10, 64)
		skipped, _ := strconv.ParseInt(string(m[3]), 10, 64)
		all = append(all, told{string(m[1]), n - skipped})
	}
	return all
}

// withSeed adds a seed to a list such as "1-3, 7". One that is there would count
// the same inputs twice.
func withSeed(list string, seed uint64) (string, error) {
	var all []uint64
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err := strconv.ParseUint(from, 10, 64)
		b, errTo := strconv.ParseUint(to, 10, 64)
		if err != nil || errTo != nil || b < a || b-a > 1<<20 {
			return "", fmt.Errorf("%q is no list of seeds", list)
		}
		for s := a; s <= b; s++ {
			all = append(all, s)
		}
	}
	if slices.Contains(all, seed) {
		return "", fmt.Errorf("seed %d is counted already; take another (SEED=)", seed)
	}
	all = append(all, seed)
	slices.Sort(all)
	var parts []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(all[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", all[i], all[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", "), nil
}
