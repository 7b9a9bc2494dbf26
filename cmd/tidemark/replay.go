package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/processor/source"
	"tidemark/schemas"
)

type replayCmd struct {
	Playbook   string   `required:"" help:"The playbook, with clock: input." type:"existingfile"`
	Mapping    string   `help:"Mapping of the CSV files; without it the files are JSON Lines." type:"existingfile"`
	Schemas    string   `help:"Folder of writer schemas; files of text need none, it is checked only." type:"existingdir"`
	Until      string   `help:"Where the closing tick goes: RFC 3339, a date in the playbook's zone, or epoch milliseconds. Default: the last event."`
	Partitions int32    `help:"Partitions of the broker that is imitated." default:"1"`
	App        string   `help:"Name of the app; part of every trigger_id." default:"tidemark"`
	FireFrom   string   `help:"Triggers effective before go to suppressed-triggers as history. Default: the beginning."`
	Problems   int      `help:"How many bad lines to pass over and report; -1: all." default:"0"`
	Summary    bool     `help:"Print only the counts, as JSON."`
	Files      []string `arg:"" help:"Files of events; - is standard input."`
}

func (r *replayCmd) Run(ctx context.Context) error {
	pb, err := playbook.Load(r.Playbook)
	if err != nil {
		return usageError{err}
	}
	until, err := parseInstant(r.Until, pb.Zone)
	if err != nil {
		return usageError{fmt.Errorf("--until: %w", err)}
	}
	from, err := parseInstant(r.FireFrom, pb.Zone)
	if err != nil {
		return usageError{fmt.Errorf("--fire-from: %w", err)}
	}
	var m *ingest.Mapping
	if r.Mapping != "" {
		text, err := os.ReadFile(r.Mapping)
		if err != nil {
			return usageError{err}
		}
		if m, err = ingest.ParseMapping(r.Mapping, text); err != nil {
			return usageError{err}
		}
	}
	var sources []ingest.Source
	for _, f := range r.Files {
		s := ingest.Source{Path: f, Mapping: m}
		if f == "-" {
			s.Reader, s.Path = os.Stdin, "stdin"
		}
		sources = append(sources, s)
	}
	events, err := ingest.Open(ctx, sources, ingest.Options{Zone: pb.Zone, MaxProblems: r.Problems})
	if err != nil {
		return err
	}
	defer events.Close()
	for _, p := range events.Report().Problems {
		fmt.Fprintln(os.Stderr, p)
	}
	for _, k := range events.Report().Unknown {
		fmt.Fprintln(os.Stderr, k)
	}

	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	w := jsonWriter{w: out}
	counts := map[string]int64{}
	o := replay.Options{
		App: r.App, Playbook: pb, Partitions: r.Partitions, Partition: source.Partition,
		Until: until, FireFrom: from, Wall: schemas.EventTime(time.Now().UnixMilli()),
		Chunk: replayChunk, Together: together,
		Emit: func(task int32, x *core.Out) error {
			if r.Summary {
				counts[string(x.Topic)]++
				return nil
			}
			return w.write(task, x)
		},
	}
	if until > o.Wall {
		o.Wall = until
	}
	next, stop := ahead(events.Next)
	res, err := replay.Run(ctx, o, next)
	stop()
	if err != nil {
		return err
	}
	if r.Summary {
		if err := json.NewEncoder(out).Encode(map[string]any{"events": res.Events, "repeats": res.Repeats, "dead_letters": res.Dead,
			"published": res.Triggers, "by_topic": counts, "first": res.First, "last": res.Last, "until": res.Until}); err != nil {
			return err
		}
	}
	return out.Flush()
}

// replayChunk is how many events all tasks work on between two hand-overs: many,
// so that no processor waits long for the slowest task.
const replayChunk = 16 << 10

// together works on all tasks of a replay at once.
func together(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// ahead reads events some thousands ahead of who takes them; stop ends it, and
// returns once the source is left alone.
func ahead(source func() (*schemas.Event, error)) (next func() (*schemas.Event, error), stop func()) {
	type page struct {
		events []*schemas.Event
		err    error // after the events
	}
	pages, quit, done := make(chan page, 8), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			p := page{events: make([]*schemas.Event, 0, 2048)}
			for p.err == nil && len(p.events) < cap(p.events) {
				var e *schemas.Event
				if e, p.err = source(); p.err == nil {
					p.events = append(p.events, e)
				}
			}
			select {
			case pages <- p:
			case <-quit:
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	var now page
	at := 0
	next = func() (*schemas.Event, error) {
		for at == len(now.events) {
			if now.err != nil {
				return nil, now.err
			}
			now, at = <-pages, 0
		}
		at++
		return now.events[at-1], nil
	}
	return next, func() { close(quit); <-done }
}

// jsonWriter writes what a task publishes, one object a line.
type jsonWriter struct {
	w   io.Writer
	buf bytes.Buffer
}

type jsonOut struct {
	Topic     schemas.Topic  `json:"topic"`
	Key       string         `json:"key"`
	Partition int32          `json:"partition"`
	Value     schemas.Record `json:"value"`
}

func (j *jsonWriter) write(task int32, x *core.Out) error {
	j.buf.Reset()
	enc := json.NewEncoder(&j.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(jsonOut{x.Topic, x.Key, task, x.Record}); err != nil {
		return err
	}
	_, err := j.w.Write(j.buf.Bytes())
	return err
}

// parseInstant reads an instant; "" is 0.
func parseInstant(s string, zone *time.Location) (schemas.EventTime, error) {
	if s == "" || s == "beginning" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) > 8 {
		return schemas.EventTime(n), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, strings.TrimSpace(s), zone); err == nil {
			return schemas.EventTime(t.UnixMilli()), nil
		}
	}
	return 0, errors.New("want RFC 3339, a date, or epoch milliseconds, not " + strconv.Quote(s))
}
