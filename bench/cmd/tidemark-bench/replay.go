package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/bench/internal/proc"
	"tidemark/bench/internal/report"
)

// replay measures `tidemark replay` on a file of JSON Lines.
func (b *bench) replay(ctx context.Context, customers int) error {
	cfg := b.config(customers)
	cfg.Events = b.ReplayEvents
	file := filepath.Join(b.dir, fmt.Sprintf("replay-%s.jsonl", count(customers)))
	book := filepath.Join(b.dir, "replay.playbook.yaml")
	if err := os.WriteFile(book, b.playbook, 0o644); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	err = writeJSONL(f, cfg)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	say("replay: %d orders of %d customers", cfg.Total(), customers)
	m := b.meter()
	began := time.Now()
	p, err := proc.Start(filepath.Join(b.dir, "replay.log"), true, b.Tidemark, "replay", "--playbook", book, "--partitions", fmt.Sprint(b.Partitions), "--summary", file)
	if err != nil {
		return err
	}
	defer p.Kill()
	line, err := p.Line()
	if err != nil {
		return err
	}
	use, err := p.Wait()
	seconds := time.Since(began).Seconds()
	if err != nil {
		return fmt.Errorf("tidemark replay: %w\n%s", err, p.LogTail())
	}
	var sum struct {
		Events    int     `json:"events"`
		Repeats   int     `json:"repeats"`
		Published float64 `json:"published"`
	}
	if err := json.Unmarshal(line, &sum); err != nil {
		return fmt.Errorf("tidemark replay's summary: %w", err)
	}
	n := cfg.Total()
	r := report.Replay{Customers: customers, Events: n, FileBytes: info.Size(), Seconds: seconds, EventsPerSecond: float64(n) / seconds,
		CPUSeconds: use.CPU().Seconds(), CPUPerMillion: use.CPU().Seconds() / float64(n) * 1e6, PeakRSSBytes: use.PeakRSS, Triggers: sum.Published}
	_, _, r.OthersCores = between(m, b.meter(), use.CPU())
	b.rec.Replay = append(b.rec.Replay, r)
	return nil
}
