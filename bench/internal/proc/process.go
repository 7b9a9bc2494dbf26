package proc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is one child.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	log    string
	once   sync.Once
	done   chan struct{}
	err    error
}

// Start starts a command. Its standard error goes to the file log; with pipes
// its standard input and output are the caller's.
func Start(log string, pipes bool, name string, args ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &Process{cmd: exec.Command(name, args...), log: log, done: make(chan struct{})}
	p.cmd.Stderr = f
	// Its own group: a Ctrl-C is the bench's to handle. The signal at the
	// bench's death counts from the thread that started the child; Go keeps it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if pipes {
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p.stdout = bufio.NewReader(out)
	} else {
		p.cmd.Stdout = f
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	if !pipes {
		p.reap()
	}
	return p, nil
}

// reap waits for the child in the background; a pipe must be read to its end before.
func (p *Process) reap() {
	p.once.Do(func() {
		go func() {
			p.err = p.cmd.Wait()
			close(p.done)
		}()
	})
}

// Pid of the child.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Line reads one line of the child's standard output.
func (p *Process) Line() ([]byte, error) {
	b, err := p.stdout.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("%s ended: %w\n%s", filepath.Base(p.cmd.Path), err, p.LogTail())
	}
	return b, nil
}

// Exited is closed once the child is gone; for children without pipes.
func (p *Process) Exited() <-chan struct{} { return p.done }

// LogTail is the end of what the child wrote to standard error.
func (p *Process) LogTail() string {
	b, _ := os.ReadFile(p.log)
	if len(b) > 3000 {
		b = b[len(b)-3000:]
	}
	return string(bytes.TrimSpace(b))
}

// Usage is what a process has used so far, or in all.
type Usage struct {
	User, System time.Duration
	PeakRSS      int64 // bytes
}

// CPU is user and system time together.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// Stop asks the child to end, kills it when ctx ends, and returns what it used in all.
func (p *Process) Stop(ctx context.Context) (Usage, error) {
	peak, _ := Of(p.Pid())
	if p.stdin != nil {
		_ = p.stdin.Close()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	p.reap()
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return p.usage(peak), p.err
}

// Kill sends SIGKILL and waits until the child is gone.
func (p *Process) Kill() Usage {
	peak, _ := Of(p.Pid())
	_ = p.cmd.Process.Kill()
	p.reap()
	<-p.done
	return p.usage(peak)
}

// Wait waits for a child that ends by itself.
func (p *Process) Wait() (Usage, error) {
	p.reap()
	<-p.done
	return p.usage(Usage{}), p.err
}

func (p *Process) usage(last Usage) Usage {
	u := Usage{User: p.cmd.ProcessState.UserTime(), System: p.cmd.ProcessState.SystemTime(), PeakRSS: last.PeakRSS}
	if r, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.PeakRSS = max(u.PeakRSS, r.Maxrss<<10)
	}
	return u
}

// CloseInput ends the child's standard input, on which it ends by itself.
func (p *Process) CloseInput() { _ = p.stdin.Close() }
