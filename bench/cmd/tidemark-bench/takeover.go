package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"tidemark/bench/internal/report"
	"tidemark/bench/orders"
	"tidemark/schemas"
)

const (
	takeoverRate    = 500 // events a second while a member is killed
	takeoverSession = 3 * time.Second
)

// takeover starts two members of the group that follow each other's tasks, on the
// stores of all customers, kills the one that owns the first task under load, and
// measures until the other has committed every task of it.
func (b *bench) takeover(ctx context.Context, p *processor, cfg orders.Config) error {
	if _, err := p.stop(); err != nil {
		return err
	}
	for name, v := range map[string]string{"TIDEMARK_STANDBY__COPIES": "1", "TIDEMARK_KAFKA__SESSION_TIMEOUT": takeoverSession.String(),
		"TIDEMARK_KAFKA__HEARTBEAT_INTERVAL": "300ms", "TIDEMARK_CHECKPOINT__INTERVAL": "20s", "TIDEMARK_CHECKPOINT__RATE": "1GiB"} {
		if err := os.Setenv(name, v); err != nil {
			return err
		}
		defer os.Unsetenv(name)
	}
	other, err := p.another(b.c, "other")
	if err != nil {
		return err
	}
	// Both find the checkpoints of the first.
	if os.Getenv("TIDEMARK_CHECKPOINT__URL") == "" {
		if err := os.Setenv("TIDEMARK_CHECKPOINT__URL", "file://"+p.checkpoints()); err != nil {
			return err
		}
		defer os.Unsetenv("TIDEMARK_CHECKPOINT__URL")
	}
	p.member, other.member = true, true
	if err := p.start(); err != nil {
		return err
	}
	say("%s: two members", p.app)
	all := float64(b.Partitions)
	if err := p.until(ctx, func(s sample) bool { return len(s.all.By("tidemark_checkpoint_age_seconds", "task")) == int(all) }); err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	if err := other.start(); err != nil {
		return err
	}
	defer func() {
		other.Kill()
		os.RemoveAll(other.data())
	}()
	in := func(s sample, state string) float64 { return s.all.By("tidemark_task_state", "state")[state] }
	for _, m := range []*processor{p, other} {
		if err := m.until(ctx, func(s sample) bool { return in(s, "running") == all/2 && in(s, "standby") == all/2 }); err != nil {
			return fmt.Errorf("tasks and standbys of both: %w", err)
		}
	}
	old, err := orders.New(cfg)
	if err != nil {
		return err
	}
	// The same shop goes on, at a rate, until the measurement is over.
	more := cfg
	more.Seed, more.Warm, more.Events = cfg.Seed+2000, false, 1_000_000
	more.Start = time.UnixMilli(int64(old.End())).Add(7 * 24 * time.Hour) // behind what restart publishes
	g, err := orders.New(more)
	if err != nil {
		return err
	}
	lctx, stop := context.WithCancel(ctx)
	loaded := make(chan error, 1)
	go func() { loaded <- b.trickle(lctx, p.app, g, takeoverRate) }()
	defer func() { stop(); <-loaded }()
	time.Sleep(2 * time.Second)
	for _, m := range []*processor{p, other} { // both work at the rate, with nothing else left to do
		if err := m.until(ctx, func(s sample) bool { return s.all.Sum("tidemark_input_lag") < 2*takeoverRate }); err != nil {
			return err
		}
	}
	before, err := other.sample(ctx)
	if err != nil {
		return err
	}
	commits := before.all.By("tidemark_commits_total", "task")
	m := b.meter()
	p.Kill()
	killed := time.Now()
	r := report.TakeOver{Customers: cfg.Customers, Rate: takeoverRate, SessionTimeout: takeoverSession.Seconds(), Tasks: int(all) / 2}
	last := before
	for r.FirstCommit == 0 {
		s, err := other.sample(ctx)
		if err != nil {
			return err
		}
		if s.all != nil {
			last = s
			if r.Ready == 0 && in(s, "running") == all {
				r.Ready = time.Since(killed).Seconds()
			}
			fresh := 0
			for task, n := range s.all.By("tidemark_commits_total", "task") {
				if n > commits[task] {
					fresh++
				}
			}
			if fresh == int(all) { // its own go on meanwhile
				r.FirstCommit = time.Since(killed).Seconds()
			}
		}
		if time.Since(killed) > 2*time.Minute {
			return fmt.Errorf("%w after the kill of a member\n%s", errStuck, other.LogTail())
		}
		time.Sleep(5 * time.Millisecond)
	}
	_, _, r.OthersCores = between(m, b.meter(), last.use.CPU()-before.use.CPU())
	b.rec.TakeOver = append(b.rec.TakeOver, r)
	say("%s: taken over: all running %.2f s and committing %.2f s after the kill", p.app, r.Ready, r.FirstCommit)
	stop()
	if _, err := other.stop(); err != nil {
		return err
	}
	p.member = false
	if err := p.start(); err != nil {
		return err
	}
	return p.until(ctx, func(s sample) bool { return in(s, "running") == all })
}

// until samples until ok, up to five minutes.
func (p *processor) until(ctx context.Context, ok func(sample) bool) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		s, err := p.sample(ctx)
		if err != nil {
			return err
		}
		if s.all != nil && ok(s) {
			return nil
		}
		if time.Since(began) > 5*time.Minute {
			return fmt.Errorf("%w\n%s", errStuck, p.LogTail())
		}
	}
}

// trickle publishes at a rate until ctx ends.
func (b *bench) trickle(ctx context.Context, app string, g *orders.Generator, rate int) error {
	pub, done, err := b.publisher(ctx, app)
	if err != nil {
		return err
	}
	defer done()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var e schemas.Event
	for {
		for range rate / 50 {
			if !g.Next(&e) {
				return nil
			}
			if err := pub.Event(ctx, &e); err != nil {
				return err
			}
		}
		if err := pub.Flush(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
