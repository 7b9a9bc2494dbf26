// Package ci tests the scripts beside it.
package ci

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The check for vulnerabilities passes over nothing but a database that cannot be
// reached: a fake govulncheck gives the answers that the real one was seen to give.
func TestVulnerabilitiesPassOnlyWithoutDatabase(t *testing.T) {
	for _, c := range []struct {
		what, says string
		code, want int
	}{
		{"nothing found", "No vulnerabilities found.", 0, 0},
		{"one found", "Vulnerability #1: GO-2024-0001\n", 3, 3},
		{"no network", `govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": dial tcp: lookup vuln.go.dev: no such host`, 1, 0},
		{"one found, then no network", "Vulnerability #1: GO-2024-0001\ngovulncheck: fetching vulnerabilities: Get \"x\": dial tcp: no such host", 1, 1},
		{"does not compile", "govulncheck: loading packages: There are errors with the provided package patterns", 1, 1},
		{"no such version", "go: golang.org/x/vuln/cmd/govulncheck@v9: dial tcp: no such host", 1, 1},
	} {
		fake := filepath.Join(t.TempDir(), "go")
		script := "#!/bin/sh\ncat <<'E'\n" + c.says + "\nE\nexit " + string(rune('0'+c.code)) + "\n"
		if err := os.WriteFile(fake, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "vulnerabilities.sh")
		cmd.Env = append(os.Environ(), "GO="+fake)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != c.want {
			t.Errorf("%s: exit %d, want %d\n%s", c.what, got, c.want, out)
		}
	}
}
