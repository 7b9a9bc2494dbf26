package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/bench/internal/census"
	"tidemark/bench/internal/proc"
	"tidemark/bench/internal/report"
	"tidemark/bench/orders"
)

// scale measures what a backlog costs with other numbers of partitions and of
// processes, which are one group; the process count of `--standalone` is 1.
func (b *bench) scale(ctx context.Context, customers int, partitions int32, processes int) error {
	cfg := b.config(customers)
	app := fmt.Sprintf("scale-%s-%d-%d", count(customers), partitions, processes)
	g, err := orders.New(cfg)
	if err != nil {
		return err
	}
	if err := b.c.createInputs(ctx, app, partitions); err != nil {
		return err
	}
	was := b.Partitions
	b.Partitions = partitions
	err = b.publish(ctx, app, g, cfg.Total())
	b.Partitions = was
	if err != nil {
		return err
	}
	say("%s: %d processes", app, processes)
	r := report.Scale{Load: report.Load{Customers: customers, Events: cfg.Events, WarmEvents: cfg.Total() - cfg.Events, Zipf: cfg.Zipf, Partitions: partitions, Seed: cfg.Seed}, Processes: processes}
	m := b.meter()
	var members []*processor
	defer func() {
		for _, p := range members {
			p.Kill()
			os.RemoveAll(p.data())
		}
	}()
	for i := range processes {
		dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", app, i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		p, err := newProcessor(b.c, b.Tidemark, dir, app, b.playbook)
		if err != nil {
			return err
		}
		p.member = processes > 1
		if err := p.start(); err != nil {
			return err
		}
		members = append(members, p)
	}
	t := track{b: b, load: r.Load}
	began := sample{at: members[0].began}
	var last sample
	moved := time.Now()
	for last.events < float64(cfg.Total()) {
		s := sample{at: time.Now()}
		for _, p := range members {
			x, err := p.sample(ctx)
			if err != nil {
				return err
			}
			s.events, s.triggers, s.mallocs, s.alloced = s.events+x.events, s.triggers+x.triggers, s.mallocs+x.mallocs, s.alloced+x.alloced
			s.use = proc.Usage{User: s.use.User + x.use.User, System: s.use.System + x.use.System, PeakRSS: s.use.PeakRSS + x.use.PeakRSS}
		}
		t.see(s)
		if s.events > last.events {
			moved = s.at
		}
		if last = s; s.at.Sub(moved) > time.Minute {
			return fmt.Errorf("%s: %w for a minute: %.0f of %d events", app, errStuck, s.events, cfg.Total())
		}
		select {
		case <-time.After(b.Every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.Whole, r.Steady = b.phase(began, last, m, b.meter()), b.slope(t.steady, t.from, t.to)
	r.PeakRSSBytes = last.use.PeakRSS
	for _, p := range members {
		n, err := census.DiskUsage(p.data())
		if err != nil {
			return err
		}
		r.DiskBytes += n
	}
	b.rec.Scale = append(b.rec.Scale, r)
	return nil
}
