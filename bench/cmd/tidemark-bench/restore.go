package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"tidemark/bench/internal/census"
	"tidemark/bench/internal/report"
)

// restore waits until every task of a process has saved a checkpoint, kills the
// process, removes its folder, and measures until a new one is ready.
func (b *bench) restore(ctx context.Context, p *processor, customers int) error {
	if _, err := p.stop(); err != nil {
		return err
	}
	// The first checkpoint comes after a fraction of the interval.
	if err := os.Setenv("TIDEMARK_CHECKPOINT__INTERVAL", "2s"); err != nil {
		return err
	}
	defer os.Unsetenv("TIDEMARK_CHECKPOINT__INTERVAL")
	r := report.Restore{Customers: customers}
	if address := os.Getenv("TIDEMARK_CHECKPOINT__URL"); address != "" {
		r.Address, _, _ = strings.Cut(address, "?")
	}
	if err := p.start(); err != nil {
		return err
	}
	say("%s: checkpoints", p.app)
	for {
		s, err := p.sample(ctx)
		if err != nil {
			return err
		}
		if len(s.all.By("tidemark_checkpoint_age_seconds", "task")) == int(b.Partitions) {
			break
		}
		if time.Since(p.began) > 5*time.Minute {
			return fmt.Errorf("%w: no checkpoints\n%s", errStuck, p.LogTail())
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.CheckpointTook = time.Since(p.began).Seconds()
	s, err := p.sample(ctx)
	if err != nil {
		return err
	}
	p.Kill()
	if r.Bytes = int64(s.all.Sum("tidemark_checkpoint_bytes_total")); r.Address == "" {
		if r.Bytes, err = census.DiskUsage(p.checkpoints()); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(p.data()); err != nil {
		return err
	}
	say("%s: an empty disk", p.app)
	m := b.meter()
	if err := p.start(); err != nil {
		return err
	}
	client := http.Client{Timeout: time.Second}
	last := sample{}
	for r.Ready == 0 {
		if s, err := p.sample(ctx); err != nil {
			return err
		} else if s.all != nil {
			last = s
		}
		if resp, err := client.Get("http://" + p.http + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				r.Ready = time.Since(p.began).Seconds()
			}
		}
		if time.Since(p.began) > 5*time.Minute {
			return fmt.Errorf("%w: nothing restored\n%s", errStuck, p.LogTail())
		}
		time.Sleep(5 * time.Millisecond)
	}
	_, _, r.OthersCores = between(m, b.meter(), last.use.CPU())
	b.rec.Restore = append(b.rec.Restore, r)
	return nil
}
