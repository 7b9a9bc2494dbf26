// Package docker tries what the Dockerfile makes, as far as that goes without a
// container engine: the same static build, in an empty root, as the same user.
package docker

import (
	"bytes"
	"debug/elf"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStaticBinaryInAnEmptyRoot(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("builds and runs a Linux binary")
	}
	root := t.TempDir()
	binary := filepath.Join(root, "tidemark")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=v0-static", "-o", binary, "tidemark/cmd/tidemark")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a segment %v", p.Type)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("chroot needs root; the build itself is static")
	}

	// The image's files, with what the compose file mounts. Nothing else: no zone
	// data, no certificates, no /etc/passwd, no /proc.
	place := func(name string, text []byte, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		place(to, text, 0o644)
	}
	copied("../compose/tidemark.yaml", "etc/tidemark/tidemark.yaml")
	copied("../../cmd/tidemark/starter.yaml", "etc/tidemark/playbook.yaml")
	place("run/secrets/read_token", []byte(strings.Repeat("0123456789abcdef", 2)+"\n"), 0o644)
	place("zones.yaml", []byte("playbook: zones\nversion: 1\nclock: live\ntime_zone: Asia/Shanghai\ncurrency: CNY\ngrowth:\n  - name: g\n    per: {amount: \"1.00\", gives: 1}\n"), 0o644)
	if err := os.MkdirAll(filepath.Join(root, "var/lib/tidemark"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, "var/lib/tidemark"), 65532, 65532); err != nil {
		t.Fatal(err)
	}
	for dir := root; dir != "/"; dir = filepath.Dir(dir) { // t.TempDir is for its owner alone
		if strings.HasPrefix(dir, os.TempDir()+"/") {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	inside := func(environ []string, args ...string) *exec.Cmd {
		c := exec.Command("/tidemark", args...)
		c.Path, c.Dir, c.Err = "/tidemark", "/", nil
		c.Env = append([]string{"TIDEMARK_DATA_DIR=/var/lib/tidemark", "HOME=/nonexistent"}, environ...)
		c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return c
	}
	for _, args := range [][]string{{"version"}, {"config", "check", "/etc/tidemark/tidemark.yaml"}, {"playbook", "check", "/zones.yaml"}} {
		if out, err := inside(nil, args...).CombinedOutput(); err != nil || args[0] == "version" && !bytes.Contains(out, []byte("v0-static")) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}

	// `dev` holds broker, registry and processor in one process: it runs, writes
	// nowhere but to its volume, and is healthy until SIGTERM ends it.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	place("health.yaml", fmt.Appendf(nil, "app: dev\nkafka: {brokers: ['127.0.0.1:1']}\nschema_registry: {urls: ['http://127.0.0.1:1']}\nhttp: {listen: '%s'}\n", address), 0o644)
	var said bytes.Buffer
	dev := inside(nil, "dev", "--dir", "/var/lib/tidemark/dev", "--kafka", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--http", address)
	dev.Stdout, dev.Stderr = &said, &said
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	healthy := false
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && !healthy; time.Sleep(50 * time.Millisecond) {
		healthy = inside(nil, "health", "--config", "/health.yaml", "--ready").Run() == nil
	}
	_ = dev.Process.Signal(syscall.SIGTERM)
	if err := dev.Wait(); err != nil || !healthy {
		t.Errorf("healthy %v, the end %v\n%s", healthy, err, said.String())
	}
}
