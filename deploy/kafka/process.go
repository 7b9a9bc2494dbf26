package kafka

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is the Java process of a node: one that this process started, or one
// that it found by the pid file in the node's folder.
type process struct {
	pid    int
	marker string          // stands in its command line; tells it from a later process with the same id
	done   <-chan struct{} // closed when it was reaped; nil for one that was found
}

// spawn starts java in a session of its own, so that a Ctrl-C at the terminal
// reaches the owner only, who then stops the node in order.
func spawn(dir string, args []string) (*process, error) {
	bin, err := java()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// The shell writes the process id before it becomes java: there is no moment
	// at which the owner could die and leave a node that nobody can find.
	script := `echo $$ >"$0" && exec "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, filepath.Join(dir, "pid"), bin}, args...)...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting java: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended does not matter here; the log says why
	}()
	return &process{pid: cmd.Process.Pid, marker: dir, done: done}, nil
}

// find returns the live process of the node in dir, nil if there is none.
func find(dir string) (*process, error) {
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return nil, nil // the shell died between opening the file and writing it
	}
	p := &process{pid: pid, marker: dir}
	if p.exited() {
		return nil, nil
	}
	return p, nil
}

func (p *process) exited() bool {
	if p.done != nil {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	}
	// The command line of a zombie is empty: an init that reaps late does not matter.
	return !strings.Contains(commandLine(p.pid), p.marker)
}

// commandLine returns "" for a process that is gone.
func commandLine(pid int) string {
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		return strings.ReplaceAll(string(text), "\x00", " ")
	}
	if _, err := os.Stat("/proc/self/cmdline"); err == nil {
		return ""
	}
	text, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(text)
}

// waitExit returns nil when the process is gone, else the context's error.
func (p *process) waitExit(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !p.exited() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// stop asks the process to end and kills it if it is still there after grace, or
// when ctx ends. clean says whether it went by itself.
func (p *process) stop(ctx context.Context, grace time.Duration) (clean bool, err error) {
	if !p.exited() {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return false, err
		}
	}
	graceful, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.waitExit(graceful) == nil {
		return true, nil
	}
	return false, p.kill()
}

// kill returns when the process is gone.
func (p *process) kill() error {
	if p.exited() {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	// Not the caller's context: nothing can refuse SIGKILL, and a folder must not
	// be removed under a process that still writes.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.waitExit(ctx); err != nil {
		return fmt.Errorf("process %d is still there after SIGKILL: %w", p.pid, err)
	}
	return nil
}

func (p *process) signal(s syscall.Signal) error {
	err := syscall.Kill(p.pid, s)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %v to process %d: %w", s, p.pid, err)
	}
	return nil
}
