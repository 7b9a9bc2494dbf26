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
	"tidemark/publish"
	"tidemark/schemas"
	"tidemark/schemas/registry"
)

// bench is what the scenarios of one suite share.
type bench struct {
	*suiteCmd
	c        *cluster
	dir      string
	playbook []byte // clock: input
	stamp    string // of the record's file
	rec      *report.Record
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// meter measures what the machine and the broker did between two moments.
type meter struct {
	at           time.Time
	busy, broker time.Duration
}

func (b *bench) meter() meter {
	busy, _ := proc.Busy()
	return meter{time.Now(), busy, b.c.cpu()}
}

// between returns the seconds between two moments, the broker's CPU seconds, and
// how many cores others than the broker and a process that used mine kept busy.
func between(m, n meter, mine time.Duration) (seconds, broker, others float64) {
	seconds = n.at.Sub(m.at).Seconds()
	broker = (n.broker - m.broker).Seconds()
	if seconds > 0 {
		others = max(0, (n.busy-m.busy-mine).Seconds()-broker) / seconds
	}
	return seconds, broker, others
}

// publisher publishes to an app's inputs.
func (b *bench) publisher(ctx context.Context, app string) (*publish.Publisher, func(), error) {
	reg, err := registry.NewClient(registry.Config{URLs: []string{b.c.Registry}})
	if err != nil {
		return nil, nil, err
	}
	pub, err := publish.New(ctx, publish.Config{Brokers: []string{b.c.Kafka}, Orders: ordersTopic(app), Behaviors: behaviorsTopic(app), Partitions: b.Partitions, Registry: reg})
	return pub, reg.Close, err
}

// publish sends generated events, from the at-th up to the to-th.
func (b *bench) publish(ctx context.Context, app string, g *orders.Generator, n int) error {
	pub, done, err := b.publisher(ctx, app)
	if err != nil {
		return err
	}
	defer done()
	var e schemas.Event
	for i := 0; i < n && g.Next(&e); i++ {
		if err := pub.Event(ctx, &e); err != nil {
			return err
		}
	}
	return pub.Flush(ctx)
}

// throughput measures a backlog: everything is published first, then a process
// is started on it and followed until it has committed the last event.
func (b *bench) throughput(ctx context.Context, customers int, profiled bool) error {
	cfg := b.config(customers)
	app := fmt.Sprintf("tp-%s", count(customers))
	if profiled {
		app = "pprof-" + app
	}
	g, err := orders.New(cfg)
	if err != nil {
		return err
	}
	if err := b.c.createInputs(ctx, app, b.Partitions); err != nil {
		return err
	}
	say("%s: publishing %d orders of %d customers", app, cfg.Total(), customers)
	before := b.meter()
	if err := b.publish(ctx, app, g, cfg.Total()); err != nil {
		return err
	}
	t := report.Throughput{Load: report.Load{Customers: customers, Events: cfg.Events, WarmEvents: cfg.Total() - cfg.Events, Zipf: cfg.Zipf, Partitions: b.Partitions, Seed: cfg.Seed}}
	t.PublishSeconds, t.PublishBrokerCPU, _ = between(before, b.meter(), 0)

	p, err := newProcessor(b.c, b.Tidemark, b.dir, app, b.playbook)
	if err != nil {
		return err
	}
	p.blocking = profiled
	say("%s: tidemark run", app)
	whole := b.meter()
	if err := p.start(); err != nil {
		return err
	}
	defer p.Kill()
	began := sample{at: p.began}
	var steady []sample
	var from, to meter
	end, err := p.follow(ctx, cfg.Total(), b.Every, func(s sample) {
		if s.events < float64(t.WarmEvents) || s.events > float64(t.WarmEvents)+.92*float64(cfg.Events) {
			return
		}
		if len(steady) == 0 {
			from = b.meter()
			if profiled {
				b.startProfile(ctx, p, customers)
			}
		}
		steady, to = append(steady, s), b.meter()
	})
	if err != nil {
		return err
	}
	t.Whole, t.Steady = b.phase(began, end, whole, b.meter()), b.slope(steady, from, to)
	t.CPUUserSeconds, t.CPUSystemSeconds = end.use.User.Seconds(), end.use.System.Seconds()
	m := end.all
	t.Triggers = m.By("tidemark_triggers_published_total", "topic")
	t.Suppressed, t.DeadLetters = m.Sum("tidemark_triggers_suppressed_total"), m.Sum("tidemark_dead_letters_total")
	t.Commits, t.TimersFired = m.Sum("tidemark_commits_total"), m.Sum("tidemark_timers_fired_total")
	if t.DiskRunningBytes, err = census.DiskUsage(p.data()); err != nil {
		return err
	}
	if profiled {
		b.stopProfile(ctx, p, &t, customers)
		t.PeakRSSBytes = end.use.PeakRSS
		b.rec.Throughput = append(b.rec.Throughput, t)
		p.Kill()
		return os.RemoveAll(p.data())
	}
	if b.wants("restart") && !profiled {
		if err := b.restart(ctx, p, cfg); err != nil {
			return err
		}
	}
	if b.wants("takeover") && !profiled {
		if err := b.takeover(ctx, p, cfg); err != nil {
			return err
		}
	}
	if b.wants("restore") && !profiled {
		if err := b.restore(ctx, p, customers); err != nil {
			return err
		}
	}
	if _, err := p.stop(); err != nil {
		return err
	}
	t.PeakRSSBytes = end.use.PeakRSS
	if t.DiskStoppedBytes, err = census.DiskUsage(p.data()); err != nil {
		return err
	}
	s, err := census.Count(p.data())
	if err != nil {
		return err
	}
	t.StoredCustomers, t.Orders, t.Timers, t.RowBytes, t.DiskGoalBytes = s.Customers, s.Orders, s.Timers, s.RowBytes, s.Goal()
	j, err := census.ReadJournal(ctx, b.c.Kafka, "tidemark-"+app+"-journal")
	if err != nil {
		return err
	}
	t.JournalRecords, t.JournalBytes, t.JournalPerEvent = j.Records, j.Bytes, float64(j.Bytes)/float64(max(j.Events, 1))
	b.rec.Throughput = append(b.rec.Throughput, t)
	return os.RemoveAll(p.data())
}

// phase is the stretch between two samples, taken at the moments m and n.
func (b *bench) phase(from, to sample, m, n meter) report.Phase {
	cpu := to.use.CPU() - from.use.CPU()
	_, broker, others := between(m, n, cpu)
	ph := report.Phase{Events: to.events - from.events, Seconds: to.at.Sub(from.at).Seconds(), CPUSeconds: cpu.Seconds(), BrokerCPUSeconds: broker, OthersCores: others}
	if ph.Events <= 0 {
		return ph
	}
	ph.EventsPerSecond = ph.Events / ph.Seconds
	ph.CPUSecondsPerMillion = ph.CPUSeconds / ph.Events * 1e6
	ph.TriggersPerEvent = (to.triggers - from.triggers) / ph.Events
	ph.AllocsPerEvent = (to.mallocs - from.mallocs) / ph.Events
	ph.AllocBytesPerEvent = (to.alloced - from.alloced) / ph.Events
	return ph
}

// slope is the steady state: the least-squares lines of time, CPU and
// allocations over the events that were committed. Events are counted when they
// are committed, tens of thousands at once, and their work was done before: two
// samples alone would miss what was under way at the first.
func (b *bench) slope(s []sample, m, n meter) report.Phase {
	if len(s) < 5 {
		return report.Phase{}
	}
	first, last := s[0], s[len(s)-1]
	of := func(y func(*sample) float64) float64 {
		var sx, sy, sxx, sxy float64
		for i := range s {
			x, v := s[i].events-first.events, y(&s[i])-y(&first)
			sx, sy, sxx, sxy = sx+x, sy+v, sxx+x*x, sxy+x*v
		}
		k := float64(len(s))
		if d := k*sxx - sx*sx; d > 0 {
			return (k*sxy - sx*sy) / d
		}
		return 0
	}
	seconds := of(func(s *sample) float64 { return s.at.Sub(first.at).Seconds() })
	if seconds <= 0 {
		return report.Phase{}
	}
	ph := b.phase(first, last, m, n)
	ph.EventsPerSecond = 1 / seconds
	ph.CPUSecondsPerMillion = 1e6 * of(func(s *sample) float64 { return s.use.CPU().Seconds() })
	ph.TriggersPerEvent = of(func(s *sample) float64 { return s.triggers })
	ph.AllocsPerEvent = of(func(s *sample) float64 { return s.mallocs })
	ph.AllocBytesPerEvent = of(func(s *sample) float64 { return s.alloced })
	return ph
}

// profileSeconds is how long the CPU profile of a steady state lasts.
const profileSeconds = 4

func (b *bench) profileFile(customers int, what string) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s-%s.pprof", count(customers), what))
}

// startProfile takes the CPU profile, and then the heap, while the process works.
func (b *bench) startProfile(ctx context.Context, p *processor, customers int) {
	b.profiling = make(chan error, 1)
	go func() {
		err := p.profile(ctx, fmt.Sprintf("profile?seconds=%d", profileSeconds), b.profileFile(customers, "cpu"))
		if err == nil {
			err = p.profile(ctx, "heap", b.profileFile(customers, "heap"))
		}
		b.profiling <- err
	}()
}

// stopProfile waits for the CPU profile, takes allocations and waits, and keeps them as text.
func (b *bench) stopProfile(ctx context.Context, p *processor, t *report.Throughput, customers int) {
	if b.profiling != nil {
		if err := <-b.profiling; err != nil {
			say("profile: %v", err)
		}
	}
	for _, what := range [...]string{"allocs", "block"} {
		if err := p.profile(ctx, what, b.profileFile(customers, what)); err != nil {
			say("profile: %v", err)
		}
	}
	for _, x := range [...]struct{ what, index string }{{"cpu", ""}, {"allocs", "alloc_objects"}, {"allocs", "alloc_space"}, {"heap", "inuse_space"}, {"block", ""}} {
		name, err := b.profileText(ctx, customers, x.what, x.index)
		if err != nil {
			say("profile: %v", err)
			continue
		}
		t.Profiles = append(t.Profiles, name)
	}
}
