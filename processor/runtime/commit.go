package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidemark/processor/core"
	"tidemark/schemas"
	"tidemark/sinks"
	"tidemark/telemetry"
)

// schemaIDs are the registry's ids of Tidemark's own schemas, by full topic name.
type schemaIDs struct {
	byTopic map[string]int32
}

func (s *schemaIDs) of(topic string) int32 { return s.byTopic[topic] }

// register registers the schemas of all topics that tasks write.
func register(ctx context.Context, cfg *Config) (*schemaIDs, error) {
	s := &schemaIDs{byTopic: map[string]int32{}}
	add := func(topic, record string) error {
		id, err := cfg.Registry.Register(ctx, schemas.Subject(topic), schemas.Text(record))
		if err != nil {
			return fmt.Errorf("register the schema of %s: %w", topic, err)
		}
		s.byTopic[topic] = id
		return nil
	}
	for _, t := range schemas.OutTopics {
		if err := add(cfg.Topics.Out(t), t.Record()); err != nil {
			return nil, err
		}
	}
	for _, t := range [...][2]string{{cfg.Topics.Journal, "Journal"}, {cfg.Topics.Control, "Control"}, {cfg.Topics.Transfers, "Transfer"}} {
		if err := add(t[0], t[1]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// commit is the committer: one transaction after the other, then the store.
func (l *life) commit(ctx context.Context, done chan struct{}) {
	defer close(done)
	// A commit that has begun is brought to its end even when the task is let go:
	// its own time-out bounds it.
	ctx = context.WithoutCancel(ctx)
	broken := false
	for j := range l.commits {
		r := result{ready: j.ready}
		if broken {
			r.err = sinks.ErrNotReady
		} else {
			begin := time.Now()
			r.err = l.one(ctx, j)
			r.took = time.Since(begin)
			broken = r.err != nil
		}
		l.results <- r
	}
}

func (l *life) one(ctx context.Context, j job) error {
	begin := time.Now()
	rd := j.ready
	tctx, span := l.cfg.Telemetry.Tracer.StartBatch(ctx, l.task, rd.Taken)
	for _, t := range j.traces {
		if sc, ok := telemetry.ParseTraceparent(t); ok {
			span.Event(sc)
		}
	}
	out := l.records(rd, span)
	step := time.Since(begin)
	ctx, cancel := context.WithTimeout(tctx, l.cfg.TransactionTimeout)
	defer cancel()
	*l.phases = phases{}
	if l.cfg.seam.StoreFirst {
		if err := l.store.Apply(rd.Batch, &rd.Position); err != nil {
			return err
		}
	}
	if err := l.prod.Commit(ctx, rd.Sequence, out); err != nil {
		outcome := telemetry.Failed
		if errors.Is(err, sinks.ErrFenced) {
			outcome = telemetry.Fenced
		}
		span.End(outcome)
		l.cfg.Telemetry.Metrics.CommitFailed(l.task, outcome)
		return fmt.Errorf("commit %d: %w", rd.Sequence, err)
	}
	published := time.Since(begin) - step
	if l.cfg.seam.Apply != nil {
		l.cfg.seam.Apply()
	}
	if !l.cfg.seam.StoreFirst {
		if err := l.store.Apply(rd.Batch, &rd.Position); err != nil {
			span.End(telemetry.Failed)
			return err
		}
	}
	span.End(telemetry.Committed)
	l.cfg.Telemetry.Metrics.Commit(l.task, telemetry.CommitPhases{Step: step, Produce: l.phases.produce, EndTxn: l.phases.end, Apply: time.Since(begin) - step - published})
	return nil
}

// phases are the parts of the commit under way; the committer's alone.
type phases struct{ produce, end time.Duration }

func (p *phases) note(op sinks.Op, took time.Duration, _ error) {
	switch op {
	case sinks.OpAddPartitions, sinks.OpProduce:
		p.produce += took
	case sinks.OpEnd:
		p.end += took
	}
}

// target is a topic that the task publishes to.
type target struct {
	name string
	id   int32  // of its schema
	kind []byte // the CloudEvents type of its records
}

func (l *life) target(t schemas.Topic) target {
	if g, ok := l.targets[t]; ok {
		return g
	}
	if l.targets == nil {
		l.targets = map[schemas.Topic]target{}
	}
	name := l.cfg.Topics.Out(t)
	g := target{name, l.ids.of(name), []byte("tidemark.v1." + t.Record())}
	l.targets[t] = g
	return g
}

// pages hands out memory that is let go as one: the keys, values and headers
// of one transaction.
type pages struct {
	bytes   []byte
	headers []schemas.Header
}

// cut returns what fill appends to the slice that it is given, which has room
// for n bytes.
func (p *pages) cut(n int, fill func([]byte) []byte) []byte {
	if p.bytes == nil || cap(p.bytes)-len(p.bytes) < n { // what is empty is still no null
		p.bytes = make([]byte, 0, max(n, 64<<10))
	}
	at := len(p.bytes)
	b := fill(p.bytes[at:at:cap(p.bytes)])
	if len(b) <= cap(p.bytes)-at {
		p.bytes = p.bytes[:at+len(b)]
	}
	return b[:len(b):len(b)]
}

func (p *pages) text(s string) []byte {
	return p.cut(len(s), func(b []byte) []byte { return append(b, s...) })
}

// maxHeaders is how many headers a record of ours has at most.
const maxHeaders = 7

func (p *pages) room() []schemas.Header {
	if cap(p.headers)-len(p.headers) < maxHeaders {
		p.headers = make([]schemas.Header, 0, 64*maxHeaders)
	}
	at := len(p.headers)
	p.headers = p.headers[:at+maxHeaders]
	return p.headers[at : at : at+maxHeaders]
}

// ready is the core's Ready.
func (l *life) ready() *core.Ready {
	rd := l.core.Ready()
	if rd != nil && l.cfg.seam.Ready != nil {
		if b := l.cfg.seam.Ready(rd); b != nil {
			l.core.Adopt(rd, b)
		}
	}
	return rd
}

// records lays out what one transaction publishes, the journal record last.
func (l *life) records(rd *core.Ready, span *telemetry.Batch) []sinks.TopicPartition {
	var out []sinks.TopicPartition
	last := -1
	put := func(topic string, partition int32, r sinks.Record) {
		if last < 0 || out[last].Topic != topic || out[last].Partition != partition {
			last = slices.IndexFunc(out, func(p sinks.TopicPartition) bool { return p.Topic == topic && p.Partition == partition })
			if last < 0 {
				last = len(out)
				out = append(out, sinks.TopicPartition{Topic: topic, Partition: partition})
			}
		}
		out[last].Records = append(out[last].Records, r)
	}
	source := []byte("/tidemark/" + l.cfg.App)
	var mem pages
	for i := range rd.Out {
		o := &rd.Out[i]
		to := l.target(o.Topic)
		value := mem.cut(len(o.Body)+schemas.WireHeader, func(b []byte) []byte { return schemas.AppendWire(b, to.id, o.Body) })
		put(to.name, l.task, sinks.Record{Key: mem.text(o.Key), Value: value, Headers: headers(&mem, o, source, to.kind, span)})
	}
	for _, t := range rd.Transfers {
		put(l.cfg.Topics.Transfers, t.ToTask, sinks.Record{Key: []byte(t.Name), Value: schemas.AppendWire(nil, l.ids.of(l.cfg.Topics.Transfers), t.AppendAvro(nil))})
	}
	for _, t := range rd.Controls {
		put(l.cfg.Topics.Control, 0, sinks.Record{Key: []byte(t.Kind + "/" + t.Name), Value: schemas.AppendWire(nil, l.ids.of(l.cfg.Topics.Control), t.AppendAvro(nil))})
	}
	put(l.cfg.Topics.Journal, l.task, sinks.Record{Value: schemas.AppendWire(make([]byte, 0, len(rd.JournalBytes)+schemas.WireHeader), l.ids.of(l.cfg.Topics.Journal), rd.JournalBytes)})
	return out
}

var (
	headerSpec    = []byte("1.0")
	headerContent = []byte("application/avro")
)

// headers are those of the CloudEvents Kafka binding, binary mode, and the trace.
func headers(mem *pages, o *core.Out, source, kind []byte, span *telemetry.Batch) []schemas.Header {
	h := mem.room()
	h = append(h,
		schemas.Header{Key: "ce_specversion", Value: headerSpec},
		schemas.Header{Key: "ce_id", Value: mem.text(o.ID)},
		schemas.Header{Key: "ce_type", Value: kind},
		schemas.Header{Key: "ce_source", Value: source})
	if o.EffectiveAt != 0 || o.Status != "" {
		h = append(h, schemas.Header{Key: "ce_time", Value: mem.cut(32, func(b []byte) []byte {
			return time.UnixMilli(int64(o.EffectiveAt)).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
		})})
	}
	h = append(h, schemas.Header{Key: "content-type", Value: headerContent})
	cause, _ := telemetry.ParseTraceparent(o.Trace)
	ts := telemetry.TriggerSpan{Cause: cause, Topic: o.Topic, TriggerID: o.ID, Rule: o.Rule, Status: o.Status, CustomerID: o.Key}
	if sc := span.Trigger(ts); sc.IsValid() {
		h = append(h, schemas.Header{Key: "traceparent", Value: telemetry.AppendTraceparent(nil, sc)})
	} else if cause.IsValid() {
		h = append(h, schemas.Header{Key: "traceparent", Value: o.Trace})
	}
	return h
}
