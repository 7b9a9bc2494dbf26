package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/rights"
	"tidemark/publish"
	"tidemark/schemas"
)

type publishCmd struct {
	connection
	Mapping  string   `help:"Mapping of the CSV files; without it the files are JSON Lines." type:"existingfile"`
	Zone     string   `help:"Time zone of mappings that name none, such as Asia/Shanghai. Default: that of the configuration's playbook, else UTC."`
	Rate     int      `help:"At most so many events a second; 0: no limit." default:"0"`
	DryRun   bool     `help:"Print the first ten events, all problems and what would be published; write nothing and ask no cluster."`
	Resume   string   `help:"File that keeps what is acknowledged; a later run over the same files goes on from there." placeholder:"FILE"`
	Problems int      `help:"How many bad lines to pass over and report; --problems=-1: all." default:"0"`
	Strict   bool     `help:"Refuse lines of JSON Lines with keys that no event has; else they are told of and set nothing."`
	Files    []string `arg:"" help:"Files of events; - is standard input."`
}

// saveEvery is how often the state file is written.
const saveEvery = 200 * time.Millisecond

// shown is how many events a dry run prints.
const shown = 10

func (p *publishCmd) Run(ctx context.Context) error {
	if p.Rate < 0 {
		return usageError{errors.New("--rate: want 0 or more events a second")}
	}
	sources, err := p.sources()
	if err != nil {
		return usageError{err}
	}
	var conn *opened
	if !p.DryRun || p.Config != "" {
		if conn, err = p.open(!p.DryRun); err != nil {
			return err
		}
		defer conn.close()
	}
	zone, err := p.zone(conn)
	if err != nil {
		return usageError{err}
	}
	options := ingest.Options{Zone: zone, MaxProblems: p.Problems, Strict: p.Strict, Now: schemas.EventTime(time.Now().UnixMilli())}
	if p.DryRun {
		options.MaxProblems = -1
	}
	var target publish.Target
	var state *publish.State
	if !p.DryRun {
		// Before the files are read, which may take minutes.
		access, names := conn.rights()
		if err = access.Check(ctx, rights.Publish(names)); err != nil {
			return err
		}
		if target, err = publish.Inspect(ctx, conn.config.Kafka.Brokers, conn.transport, conn.topics.Orders, conn.topics.Behaviors); err != nil {
			return err
		}
		if p.Resume != "" {
			if state, err = publish.ReadState(p.Resume); err != nil {
				return usageError{err}
			}
			if state != nil && state.Cluster != target.Cluster {
				return usageError{fmt.Errorf("--resume: %w: %s is of the cluster %q and this is %q", publish.ErrResume, p.Resume, state.Cluster, target.Cluster)}
			}
		}
	}
	events, err := ingest.Open(ctx, sources, options)
	if err != nil {
		var mapping *ingest.MappingError
		if errors.As(err, &mapping) {
			return usageError{err}
		}
		return err
	}
	defer events.Close()
	rep := events.Report()
	for _, x := range rep.Problems {
		say("%v", x)
	}
	if p.DryRun {
		return p.show(events)
	}
	p.report(rep)
	pub, err := publish.New(ctx, publish.Config{Brokers: conn.config.Kafka.Brokers, Transport: conn.transport, Orders: conn.topics.Orders,
		Behaviors: conn.topics.Behaviors, Partitions: target.Partitions, Registry: conn.registry, Resume: state})
	if err != nil {
		return err
	}
	err = p.send(ctx, pub, events.Next, events.Report().Events, target.Cluster)
	if p.Resume != "" {
		err = errors.Join(err, pub.State(target.Cluster).Write(p.Resume))
	}
	say("published %d events, passed over %d of an earlier run", pub.Acked(), pub.Passed())
	return err
}

func (p *publishCmd) sources() (list []ingest.Source, err error) {
	var m *ingest.Mapping
	if p.Mapping != "" {
		text, err := os.ReadFile(p.Mapping)
		if err != nil {
			return nil, err
		}
		if m, err = ingest.ParseMapping(p.Mapping, text); err != nil {
			return nil, err
		}
	}
	for _, f := range p.Files {
		s := ingest.Source{Path: f, Mapping: m}
		if f == "-" {
			s.Reader, s.Path = os.Stdin, "stdin"
		} else if _, err := os.Stat(f); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (p *publishCmd) zone(conn *opened) (*time.Location, error) {
	if p.Zone != "" {
		z, err := time.LoadLocation(p.Zone)
		if err != nil {
			return nil, fmt.Errorf("--zone: %w", err)
		}
		return z, nil
	}
	if conn != nil && conn.config.Playbook != "" {
		pb, err := playbook.Load(conn.config.Playbook)
		if err != nil {
			return nil, err
		}
		return pb.Zone, nil
	}
	return time.UTC, nil
}

// send publishes all events, at most Rate a second, and keeps the state file.
func (p *publishCmd) send(ctx context.Context, pub *publish.Publisher, next func() (*schemas.Event, error), count int64, cluster string) error {
	bar := progress(count, "publishing")
	defer fmt.Fprintln(os.Stderr)
	began, saved, pushed := time.Now(), time.Now(), time.Now()
	for n := int64(1); ; n++ {
		e, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := pub.Event(ctx, e); err != nil || ctx.Err() != nil {
			_ = pub.Flush(ctx) // what is under way may still be acknowledged
			if ctx.Err() != nil {
				return errors.New("stopped; run it again to go on: what is published already changes nothing")
			}
			return err
		}
		if p.Rate > 0 {
			due := began.Add(time.Duration(float64(n-pub.Passed()) / float64(p.Rate) * float64(time.Second)))
			for wait := time.Until(due); wait > 0 && ctx.Err() == nil; wait = time.Until(due) {
				// At a slow pace batches do not fill: what waits goes out all the same.
				if time.Since(pushed) > 100*time.Millisecond {
					pub.Push(ctx)
					pushed = time.Now()
				}
				select {
				case <-ctx.Done():
				case <-time.After(min(wait, 100*time.Millisecond)):
				}
			}
		}
		if n%256 != 0 && p.Rate == 0 {
			continue
		}
		_ = bar.Set64(pub.Acked() + pub.Passed())
		if p.Resume != "" && time.Since(saved) > saveEvery {
			if err := pub.State(cluster).Write(p.Resume); err != nil {
				return err
			}
			saved = time.Now()
		}
	}
	if err := pub.Finish(ctx); err != nil {
		return err
	}
	return bar.Finish()
}

// show is the dry run: events to stdout, what is said about them to stderr.
func (p *publishCmd) show(events *ingest.Events) error {
	w := bufio.NewWriter(os.Stdout)
	for range shown {
		e, err := events.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := ingest.WriteJSONL(w, e); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	rep := events.Report()
	p.report(rep)
	if p.Problems >= 0 && rep.ProblemLines > int64(p.Problems) {
		return fmt.Errorf("%d lines with problems, %d are allowed: publishing these files would stop; mend them, or allow it with --problems", rep.ProblemLines, p.Problems)
	}
	return nil
}

// report says what became of every line.
func (p *publishCmd) report(rep ingest.Report) {
	day := func(t int64) string { return time.UnixMilli(t).UTC().Format("2006-01-02T15:04:05Z") }
	say("%d lines, %d events: %d of orders, %d of behavior", rep.Lines, rep.Events, rep.Orders, rep.Events-rep.Orders)
	if rep.Events > 0 {
		customers := fmt.Sprint(rep.Customers)
		if rep.Customers < 0 {
			customers = "more than a million"
		}
		say("from %s to %s, %s customers", day(int64(rep.First)), day(int64(rep.Last)), customers)
	}
	for _, k := range rep.Unknown {
		say("%v", k)
	}
	if rep.Before1970 > 0 {
		say("before 1970: %d events; they will be dead letters (before_1970)", rep.Before1970)
	}
	if rep.Future > 0 {
		say("in the future: %d events, the last of %s; what lies further ahead than the playbook's `future` (10m if it says nothing) when it is read will be a dead letter (in_the_future)", rep.Future, day(int64(rep.Last)))
	}
	for _, s := range rep.Skipped {
		say("left out: %d lines, %s", s.Lines, s.Reason)
	}
	if n := rep.RefundLinesLinked + rep.RefundLinesUnlinked; n > 0 {
		say("refunds: %d lines linked to an order (%d events), %d without one (%d events)",
			rep.RefundLinesLinked, rep.RefundEventsLinked, rep.RefundLinesUnlinked, rep.RefundEventsUnlinked)
	}
	if rep.Rounded > 0 {
		say("rounded: %d amounts", rep.Rounded)
	}
	if rep.ProblemLines > 0 {
		say("problems: %d lines", rep.ProblemLines)
		if more := rep.ProblemLines - int64(len(rep.Problems)); more > 0 {
			say("  of which %d are not listed above", more)
		}
	}
}
