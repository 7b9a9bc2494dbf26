package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tidemark/bench/internal/census"
	"tidemark/bench/internal/proc"
	"tidemark/bench/internal/report"
	"tidemark/bench/orders"
)

// peers measures Tidemark and Kafka Streams in turn on one topic, which is
// published once. Every run is a program's first: an application id, a group and
// a folder of its own.
func (b *bench) peers(ctx context.Context, customers int) error {
	jars, err := b.buildKafkaStreams(ctx)
	if err != nil {
		return err
	}
	cfg := b.config(customers)
	inputs := fmt.Sprintf("peers-%s", count(customers))
	g, err := orders.New(cfg)
	if err != nil {
		return err
	}
	if err := b.c.createInputs(ctx, inputs, b.Partitions); err != nil {
		return err
	}
	say("%s: publishing %d orders of %d customers", inputs, cfg.Total(), customers)
	if err := b.publish(ctx, inputs, g, cfg.Total()); err != nil {
		return err
	}
	load := report.Load{Customers: customers, Events: cfg.Events, WarmEvents: cfg.Total() - cfg.Events, Zipf: cfg.Zipf, Partitions: b.Partitions, Seed: cfg.Seed}
	for round := 1; round <= b.Rounds; round++ {
		programs := []func(context.Context, string, report.Peer) (report.Peer, error){
			func(ctx context.Context, app string, r report.Peer) (report.Peer, error) {
				return b.peerTidemark(ctx, app, inputs, r)
			},
			func(ctx context.Context, app string, r report.Peer) (report.Peer, error) {
				return b.peerKafkaStreams(ctx, jars, app, inputs, r)
			},
		}
		if round%2 == 0 {
			programs[0], programs[1] = programs[1], programs[0]
		}
		for _, run := range programs {
			r, err := run(ctx, fmt.Sprintf("%s-%d", inputs, round), report.Peer{Load: load, Round: round})
			if err != nil {
				return err
			}
			b.rec.Peers = append(b.rec.Peers, r)
		}
	}
	return nil
}

// track collects the samples of one run of a program.
type track struct {
	b              *bench
	load           report.Load
	steady, second []sample
	from, to, half meter
}

func (t *track) see(s sample) {
	warm, all := float64(t.load.WarmEvents), float64(t.load.Events)
	if s.events < warm || s.events > warm+.92*all {
		return
	}
	now := t.b.meter()
	if len(t.steady) == 0 {
		t.from = now
	}
	t.steady, t.to = append(t.steady, s), now
	if s.events < warm+.5*all {
		return
	}
	if len(t.second) == 0 {
		t.half = now
	}
	t.second = append(t.second, s)
}

func (t *track) result(r report.Peer, began, end sample, m, n meter) report.Peer {
	r.Whole, r.Steady, r.Second = t.b.phase(began, end, m, n), t.b.slope(t.steady, t.from, t.to), t.b.slope(t.second, t.half, t.to)
	r.Triggers, r.PeakRSSBytes = end.triggers, end.use.PeakRSS
	return r
}

func (b *bench) peerTidemark(ctx context.Context, app, inputs string, r report.Peer) (report.Peer, error) {
	r.Program = "tidemark"
	p, err := newProcessorOn(b.c, b.Tidemark, b.dir, app, inputs, b.playbook)
	if err != nil {
		return r, err
	}
	say("%s: tidemark run", app)
	t, m := track{b: b, load: r.Load}, b.meter()
	if err := p.start(); err != nil {
		return r, err
	}
	defer p.Kill()
	end, err := p.follow(ctx, r.WarmEvents+r.Events, b.Every, t.see)
	if err != nil {
		return r, err
	}
	r = t.result(r, sample{at: p.began}, end, m, b.meter())
	p.Kill()
	if r.DiskBytes, err = census.DiskUsage(p.data()); err != nil {
		return r, err
	}
	return r, os.RemoveAll(p.data())
}

// buildKafkaStreams builds the peer and returns its class path.
func (b *bench) buildKafkaStreams(ctx context.Context) (string, error) {
	dir := filepath.Join(b.PeerFolder, "kafka-streams")
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "package", "dependency:copy-dependencies")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", dir, err, out)
	}
	return filepath.Join(dir, "target", "classes") + ":" + filepath.Join(dir, "target", "dependency", "*"), nil
}

func (b *bench) peerKafkaStreams(ctx context.Context, jars, app, inputs string, r report.Peer) (report.Peer, error) {
	r.Program, r.Settings = "kafka-streams 4.1", fmt.Sprintf("exactly_once_v2, 2 threads, commit.interval.ms %d", b.PeerCommit)
	app += "-ks"
	if err := b.c.createTopics(ctx, b.Partitions, app+"-tier", app+"-churn", app+"-lifecycle"); err != nil {
		return r, err
	}
	data := filepath.Join(b.dir, app+".data")
	say("%s: Kafka Streams", app)
	t, m := track{b: b, load: r.Load}, b.meter()
	began := sample{at: time.Now()}
	p, err := proc.Start(filepath.Join(b.dir, app+".log"), true, "java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars, "tidemark.peer.Peer",
		b.c.Kafka, app, ordersTopic(inputs), app+"-", data, fmt.Sprint(b.PeerCommit))
	if err != nil {
		return r, err
	}
	defer p.Kill()
	var last sample
	moved := time.Now()
	for want := float64(r.WarmEvents + r.Events); last.events < want; {
		line, err := p.Line()
		if err != nil {
			return r, err
		}
		s := sample{at: time.Now()}
		if _, err := fmt.Sscan(strings.TrimSpace(string(line)), &s.events, &s.triggers); err != nil {
			return r, fmt.Errorf("Kafka Streams said %q: %w", line, err)
		}
		if s.use, err = proc.Of(p.Pid()); err != nil {
			return r, err
		}
		t.see(s)
		if s.events > last.events {
			moved = s.at
		}
		if last = s; s.at.Sub(moved) > time.Minute {
			return r, fmt.Errorf("Kafka Streams: %w for a minute: %.0f events\n%s", errStuck, s.events, p.LogTail())
		}
	}
	r = t.result(r, began, last, m, b.meter())
	var drain sync.WaitGroup
	drain.Go(func() { // it goes on printing until it has committed
		for {
			if _, err := p.Line(); err != nil {
				return
			}
		}
	})
	p.CloseInput()
	drain.Wait()
	if _, err := p.Wait(); err != nil {
		return r, fmt.Errorf("Kafka Streams: %w\n%s", err, p.LogTail())
	}
	if r.DiskBytes, err = census.DiskUsage(data); err != nil {
		return r, err
	}
	return r, os.RemoveAll(data)
}
