package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// profileText writes the first 30 lines of a profile, by the function itself and
// by what it calls, beside the records. It needs the go tool.
func (b *bench) profileText(ctx context.Context, customers int, what, index string) (string, error) {
	kind := what
	args := []string{"tool", "pprof", "-nodecount=30"}
	if index != "" {
		kind = strings.ReplaceAll(index, "_", "-")
		args = append(args, "-sample_index="+index)
	}
	var text strings.Builder
	for _, sort := range [...]string{"-flat", "-cum"} {
		cmd := exec.CommandContext(ctx, "go", append(append([]string{}, args...), sort, "-top", b.Tidemark, b.profileFile(customers, what))...)
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("go tool pprof %s: %w", what, err)
		}
		fmt.Fprintf(&text, "# %s, %s customers, sorted by %s\n%s\n", kind, count(customers), strings.TrimPrefix(sort, "-"), out)
	}
	name := fmt.Sprintf("%s-%s-%s.txt", b.stamp, count(customers), kind)
	dir := filepath.Join(filepath.Dir(b.Out), "profiles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return "profiles/" + name, os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o644)
}
