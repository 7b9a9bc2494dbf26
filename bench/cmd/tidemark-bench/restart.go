package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tidemark/bench/internal/report"
	"tidemark/bench/orders"
)

// restartEvents are published after the measured ones; the process is killed in
// the midst of them.
const restartEvents = 200_000

// restart kills a process that has all customers, under load and without
// warning, starts it again and measures until it processes.
func (b *bench) restart(ctx context.Context, p *processor, cfg orders.Config) error {
	// The same shop goes on: other orders, after the last instant.
	old, err := orders.New(cfg)
	if err != nil {
		return err
	}
	next := cfg
	next.Seed, next.Warm, next.Events = cfg.Seed+1000, false, restartEvents
	next.Start = time.UnixMilli(int64(old.End()))
	g, err := orders.New(next)
	if err != nil {
		return err
	}
	say("%s: kill -9 under load", p.app)
	sent := make(chan error, 1)
	go func() { sent <- b.publish(ctx, p.app, g, next.Events) }()
	killed, err := p.follow(ctx, cfg.Total()+restartEvents/20, 5*time.Millisecond, nil)
	if err != nil {
		return err
	}
	p.Kill()
	if err := <-sent; err != nil { // all of it waits, so that the first event is not the publisher's delay
		return err
	}
	m := b.meter()
	if err := p.start(); err != nil {
		return err
	}
	r := report.Restart{Customers: cfg.Customers, KilledAt: killed.events}
	client := http.Client{Timeout: time.Second}
	first := sample{}
	for r.Ready == 0 || first.events == 0 {
		s, err := p.sample(ctx)
		if err != nil {
			return err
		}
		if first.events == 0 && s.events > 0 {
			first, r.FirstEvent = s, time.Since(p.began).Seconds()
		}
		// Ready counts from when it stays so.
		if resp, err := client.Get("http://" + p.http + "/readyz"); err == nil {
			resp.Body.Close()
			switch ok := resp.StatusCode == http.StatusOK; {
			case !ok:
				r.Ready = 0
			case r.Ready == 0:
				r.Ready = time.Since(p.began).Seconds()
			}
		}
		if time.Since(p.began) > 2*time.Minute {
			return fmt.Errorf("%w after kill -9\n%s", errStuck, p.LogTail())
		}
		time.Sleep(5 * time.Millisecond)
	}
	// What the first process had committed and not yet told in its metrics is
	// not known here: the second takes what is left, and then no more.
	last := first
	for still := 0; still < 10; {
		time.Sleep(50 * time.Millisecond)
		s, err := p.sample(ctx)
		if err != nil {
			return err
		}
		if s.events > last.events {
			last, still = s, 0
		} else if s.all != nil {
			still++
		}
	}
	r.Behind, r.CaughtUp = last.events, last.at.Sub(p.began).Seconds()
	_, _, r.OthersCores = between(m, b.meter(), last.use.CPU())
	b.rec.Restart = append(b.rec.Restart, r)
	return nil
}
