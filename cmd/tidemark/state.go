package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidemark/config"
	"tidemark/processor/core"
	"tidemark/state"
	"tidemark/state/checkpoint"
)

type stateCmd struct {
	Show       stateShowCmd       `cmd:"" help:"Where the stores on this disk and the checkpoints stand."`
	Checkpoint stateCheckpointCmd `cmd:"" help:"Save checkpoints of the stores on this disk; the process that has them must be stopped."`
	Verify     stateVerifyCmd     `cmd:"" help:"Read checkpoints back and compare every byte with its hash."`
	Restore    stateRestoreCmd    `cmd:"" help:"Restore checkpoints to this disk beforehand; run does so by itself."`
	Erase      stateEraseCmd      `cmd:"" help:"Forget a customer: publish customer.erased, and print a receipt of what remains where and until when."`
}

// stores is what all of these need.
type stores struct {
	Config string  `required:"" help:"The configuration of run."`
	Task   []int32 `help:"Only these tasks."`
	Format string  `help:"text, or json: one object a line." enum:"text,json" default:"text"`
}

// place is an open configuration.
type place struct {
	*stores
	c      *config.Config
	bucket checkpoint.Bucket // nil: none
	close  func()
}

func (s *stores) open(ctx context.Context) (*place, error) {
	c, err := config.Load(s.Config, os.Environ())
	if err != nil {
		return nil, usageError{err}
	}
	p := &place{stores: s, c: c, close: func() {}}
	b, err := openCheckpoints(ctx, c)
	if err != nil {
		return nil, err
	}
	if b != nil {
		p.bucket, p.close = b, func() { b.Close() }
	}
	return p, nil
}

func (p *place) needBucket() error {
	if p.bucket == nil {
		return usageError{errors.New("checkpoint.url is off: there is no place for checkpoints")}
	}
	return nil
}

func (p *place) dir(task int32) string {
	return filepath.Join(p.c.DataDir, p.c.App, fmt.Sprintf("task-%05d", task))
}

func (p *place) home(task int32) checkpoint.Home {
	return checkpoint.Home{Bucket: p.bucket, App: p.c.App, Generation: 1, Task: task}
}

// tasks are those asked for, or those that have a store or a checkpoint.
func (p *place) tasks(ctx context.Context) ([]int32, error) {
	if len(p.Task) > 0 {
		return p.Task, nil
	}
	var out []int32
	for task := int32(0); ; task++ {
		_, err := os.Stat(p.dir(task))
		found := err == nil
		if !found && p.bucket != nil {
			home := p.home(task)
			names, err := home.List(ctx)
			if err != nil {
				return nil, err
			}
			found = len(names) > 0
		}
		if found {
			out = append(out, task)
		} else if task >= 4096 || task >= 64 && len(out) == 0 || len(out) > 0 && task > out[len(out)-1]+64 {
			return out, nil
		}
	}
}

// stateLine is one line of output; zero fields are left out.
type stateLine struct {
	Task     int32     `json:"task"`
	What     string    `json:"what"` // store or checkpoint
	Name     string    `json:"name"`
	Sequence int64     `json:"sequence,omitempty"`
	Engine   int32     `json:"engine,omitempty"`
	Playbook string    `json:"playbook,omitempty"`
	Clock    int64     `json:"clock,omitempty"` // epoch milliseconds
	Bytes    int64     `json:"bytes,omitempty"`
	Uploaded int64     `json:"uploaded,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Problem  string    `json:"problem,omitempty"`
}

func (p *place) print(l stateLine) error {
	if p.Format == "json" {
		return json.NewEncoder(os.Stdout).Encode(l)
	}
	text := fmt.Sprintf("task %d  %-10s  record %d  engine %d", l.Task, l.What, l.Sequence, l.Engine)
	if l.Playbook != "" {
		text += "  playbook " + l.Playbook
	}
	if l.Bytes > 0 {
		text += fmt.Sprintf("  %.1f MB", float64(l.Bytes)/1e6)
	}
	if !l.Created.IsZero() {
		text += "  of " + l.Created.Format(time.RFC3339)
	}
	if l.Problem != "" {
		text += "  " + l.Problem
	}
	_, err := fmt.Println(text + "  " + l.Name)
	return err
}

func lineOf(m *checkpoint.Manifest) stateLine {
	return stateLine{Task: m.Task, What: "checkpoint", Name: m.Name(), Sequence: m.Sequence, Engine: m.Engine, Playbook: m.Playbook, Clock: m.Clock, Bytes: m.Bytes(), Created: m.Created}
}

// printStore tells where the store of a task on this disk stands.
func (p *place) printStore(task int32) error {
	l := stateLine{Task: task, What: "store", Name: p.dir(task)}
	if pos, err := state.PositionOf(p.dir(task), state.Options{}); err != nil {
		l.Problem = err.Error() // mostly: a process has it open
	} else {
		l.Sequence, l.Engine, l.Playbook, l.Clock = pos.Sequence, pos.Engine, pos.Playbook, int64(pos.Clock)
	}
	return p.print(l)
}

type stateShowCmd struct{ stores }

func (s *stateShowCmd) Run(ctx context.Context) error {
	p, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	tasks, err := p.tasks(ctx)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if _, err := os.Stat(p.dir(task)); err == nil {
			if err := p.printStore(task); err != nil {
				return err
			}
		}
		if p.bucket == nil {
			continue
		}
		home := p.home(task)
		names, err := home.List(ctx)
		if err != nil {
			return err
		}
		for _, n := range names {
			l := stateLine{Task: task, What: "checkpoint", Name: n.Name, Sequence: n.Sequence, Engine: n.Engine}
			if m, err := home.Read(ctx, n.Name); err != nil {
				l.Problem = err.Error()
			} else {
				l = lineOf(m)
			}
			if err := p.print(l); err != nil {
				return err
			}
		}
	}
	return nil
}

type stateCheckpointCmd struct{ stores }

func (s *stateCheckpointCmd) Run(ctx context.Context) error {
	p, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.needBucket(); err != nil {
		return err
	}
	tasks, err := p.tasks(ctx)
	if err != nil {
		return err
	}
	saved, err := p.save(ctx, tasks)
	if err != nil {
		return err
	}
	if saved == 0 {
		return fmt.Errorf("no store with a position is in %s", filepath.Join(p.c.DataDir, p.c.App))
	}
	return nil
}

// save saves checkpoints of the stores on this disk that have a position, tells of
// each, and says how many.
func (p *place) save(ctx context.Context, tasks []int32) (saved int, err error) {
	limit := checkpoint.NewLimit(p.c.Checkpoint.Rate)
	for _, task := range tasks {
		dir := p.dir(task)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		store, err := state.Open(dir, state.Options{})
		if err != nil {
			return saved, fmt.Errorf("task %d (stop the process that has it open): %w", task, err)
		}
		pos, err := store.Position()
		if err = errors.Join(err, store.Close()); err != nil { // a stopped store needs no copy
			return saved, err
		}
		if pos.Sequence == 0 {
			continue
		}
		sv := &checkpoint.Saver{Home: p.home(task), FS: vfs.Default, Limit: limit, Keep: p.c.Checkpoint.Keep}
		done, err := sv.Save(ctx, dir, &pos, checkpoint.Head{Writer: p.c.Instance, Now: time.Now()})
		if err != nil {
			return saved, err
		}
		saved++
		l := lineOf(done.Manifest)
		l.Uploaded = done.Bytes
		if err := p.print(l); err != nil {
			return saved, err
		}
	}
	return saved, nil
}

type stateVerifyCmd struct {
	stores
	All bool `help:"Every checkpoint; else the newest of each task."`
}

func (s *stateVerifyCmd) Run(ctx context.Context) error {
	p, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.needBucket(); err != nil {
		return err
	}
	tasks, err := p.tasks(ctx)
	if err != nil {
		return err
	}
	seen, bad := 0, 0
	for _, task := range tasks {
		home := p.home(task)
		names, err := home.List(ctx)
		if err != nil {
			return err
		}
		if !s.All {
			names = names[:min(len(names), 1)]
		}
		for _, n := range names {
			seen++
			l := stateLine{Task: task, What: "checkpoint", Name: n.Name, Sequence: n.Sequence, Engine: n.Engine}
			m, err := home.Read(ctx, n.Name)
			if err == nil {
				l = lineOf(m)
				var wrong []*checkpoint.CorruptError
				if wrong, err = home.Verify(ctx, m); err == nil && len(wrong) > 0 {
					err = fmt.Errorf("%d files are damaged, the first: %w", len(wrong), wrong[0])
				}
			}
			if err != nil {
				l.Problem = err.Error()
				bad++
			}
			if err := p.print(l); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checkpoints can't be restored", bad, seen)
	}
	if seen == 0 {
		return errors.New("there is no checkpoint")
	}
	return nil
}

type stateRestoreCmd struct{ stores }

func (s *stateRestoreCmd) Run(ctx context.Context) error {
	p, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.needBucket(); err != nil {
		return err
	}
	tasks, err := p.tasks(ctx)
	if err != nil {
		return err
	}
	restored := 0
	for _, task := range tasks {
		dir := p.dir(task)
		if _, err := os.Stat(dir); err == nil {
			return fmt.Errorf("%s is there already; move it away first, nothing is overwritten", dir)
		}
		home := p.home(task)
		names, err := home.List(ctx)
		if err != nil {
			return err
		}
		for _, n := range names {
			if n.Engine != core.Engine {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
				return err
			}
			m, err := home.Read(ctx, n.Name)
			if err == nil {
				err = home.Restore(ctx, m, checkpoint.RestoreOptions{FS: vfs.Default, Dir: dir, Every: 2 * time.Second, Progress: func(g checkpoint.Progress) {
					say("task %d: %d of %d MB, %s left", task, g.Done>>20, g.Total>>20, g.Left.Round(time.Second))
				}})
			}
			if corrupt := (*checkpoint.CorruptError)(nil); errors.As(err, &corrupt) {
				say("tidemark: task %d: %v; trying an older checkpoint", task, err)
				continue
			}
			if err != nil {
				return err
			}
			restored++
			if err := p.print(lineOf(m)); err != nil {
				return err
			}
			break
		}
	}
	if restored == 0 {
		return fmt.Errorf("%w this engine (%d)", checkpoint.ErrNone, core.Engine)
	}
	return nil
}
