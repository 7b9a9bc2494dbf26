// Package publish puts events into the input topics as an upstream app would:
// Avro in the Confluent wire format, keyed by customer_id, partitioned by murmur2.
//
// What it promises: events of one partition are written in the order in which
// they were given, and nothing is sent after a failure; Flush returns nil only
// when every broker has acknowledged everything. Kafka's own timestamps are the
// time of publishing. A batch whose outcome is unknown is sent again, so an event
// may stand twice; its event_id is the same, and a repeat changes nothing. With
// Config.Resume what an earlier run has had acknowledged is passed over; see State.
package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/source"
	"tidemark/schemas"
)

// Registrar gives schemas their ids.
type Registrar interface {
	Register(ctx context.Context, subject, schema string) (id int32, err error)
}

// Config of a Publisher.
type Config struct {
	Brokers           []string
	Transport         *kafka.Transport
	Orders, Behaviors string // topics
	Partitions        int32
	Registry          Registrar
	Batch             int // events per request; default 2,000
	// Resume is where an earlier run over the same events stopped; nil: at none.
	Resume *State
}

// Publisher writes events. It is not safe for concurrent use.
type Publisher struct {
	cfg    Config
	client *kafka.Client
	ids    [2]int32
	parts  map[int32]*[2]queue
	wg     sync.WaitGroup
	slots  chan struct{}
	busy   map[string]chan struct{}
	passed int64 // events that an earlier run has had acknowledged
	mu     sync.Mutex
	err    error
	acked  int64
	marks  map[place]mark // what is acknowledged
}

// record is one record's bytes, which never change.
type record struct{ key, value []byte }

// queue is what waits for one partition of one topic, and the mark behind it.
type queue struct {
	records []record
	mark    mark
	before  mark // of the earlier run: events up to it are passed over
}

// New registers the two schemas and returns a Publisher.
func New(ctx context.Context, cfg Config) (*Publisher, error) {
	if cfg.Batch <= 0 {
		cfg.Batch = 2000
	}
	if cfg.Transport == nil {
		cfg.Transport = &kafka.Transport{ClientID: "tidemark-publish"}
	}
	p := &Publisher{cfg: cfg, client: &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: cfg.Transport, Timeout: 30 * time.Second},
		parts: map[int32]*[2]queue{}, marks: map[place]mark{}, slots: make(chan struct{}, 8), busy: map[string]chan struct{}{}}
	for i, t := range [...]string{cfg.Orders, cfg.Behaviors} {
		id, err := cfg.Registry.Register(ctx, schemas.Subject(t), schemas.Text(schemas.Kind(i).Record()))
		if err != nil {
			return nil, fmt.Errorf("publish: register the schema of %s: %w", t, err)
		}
		p.ids[i] = id
	}
	if cfg.Resume != nil {
		if err := p.resume(ctx, cfg.Resume); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Publisher) topic(kind schemas.Kind) string {
	if kind == schemas.Behavior {
		return p.cfg.Behaviors
	}
	return p.cfg.Orders
}

func (p *Publisher) queue(part int32, kind schemas.Kind) *queue {
	q := p.parts[part]
	if q == nil {
		q = &[2]queue{}
		p.parts[part] = q
	}
	return &q[kind]
}

// Event takes one event; its strings are copied.
func (p *Publisher) Event(ctx context.Context, e *schemas.Event) error {
	key := []byte(e.CustomerID)
	part := source.Partition(key, p.cfg.Partitions)
	q := p.queue(part, e.Kind)
	q.mark = q.mark.after(e.EventID)
	if q.mark.Events <= q.before.Events {
		p.passed++
		if q.mark.Events == q.before.Events && q.mark != q.before {
			return &ResumeError{Topic: p.topic(e.Kind), Partition: part, Events: q.before.Events}
		}
		return nil
	}
	value := schemas.AppendWireHeader(make([]byte, 0, 160), p.ids[e.Kind])
	if e.Kind == schemas.Order {
		value = schemas.AppendOrderAvro(value, e)
	} else {
		value = schemas.AppendBehaviorAvro(value, e)
	}
	q.records = append(q.records, record{key, value})
	if len(q.records) >= p.cfg.Batch {
		p.send(ctx, part, e.Kind)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Acked is how many events brokers have acknowledged.
func (p *Publisher) Acked() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked
}

// Passed is how many events were not sent since an earlier run had done so.
func (p *Publisher) Passed() int64 { return p.passed }

// Push sends what waits and returns without waiting for acknowledgements.
func (p *Publisher) Push(ctx context.Context) {
	for part, q := range p.parts {
		for kind := range q {
			if len(q[kind].records) > 0 {
				p.send(ctx, part, schemas.Kind(kind))
			}
		}
	}
}

// Flush sends what waits and waits for all acknowledgements.
func (p *Publisher) Flush(ctx context.Context) error {
	p.Push(ctx)
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Finish is Flush after the last event: it also finds out that there were fewer
// events than an earlier run has had acknowledged.
func (p *Publisher) Finish(ctx context.Context) error {
	if err := p.Flush(ctx); err != nil {
		return err
	}
	for part, q := range p.parts {
		for kind := range q {
			if q[kind].mark.Events < q[kind].before.Events {
				return &ResumeError{Topic: p.topic(schemas.Kind(kind)), Partition: part, Events: q[kind].before.Events}
			}
		}
	}
	return nil
}

// send sends one partition's batch in the background, after the one before it.
func (p *Publisher) send(ctx context.Context, part int32, kind schemas.Kind) {
	q := p.queue(part, kind)
	recs, upTo := q.records, q.mark
	q.records = nil
	topic := p.topic(kind)
	key := fmt.Sprintf("%s/%d", topic, part)
	before := p.busy[key]
	done := make(chan struct{})
	p.busy[key] = done
	p.slots <- struct{}{}
	p.wg.Go(func() {
		defer func() { close(done); <-p.slots }()
		if before != nil {
			<-before
		}
		p.mu.Lock()
		failed := p.err != nil
		p.mu.Unlock()
		if failed {
			return // what follows a failed batch must not stand before its next attempt
		}
		err := p.produce(ctx, topic, part, recs)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("publish to %s/%d: %w", topic, part, err)
		}
		if err == nil {
			p.acked += int64(len(recs))
			p.marks[place{topic, part}] = upTo
		}
	})
}

func (p *Publisher) produce(ctx context.Context, topic string, part int32, recs []record) error {
	var err error
	for try, wait := 0, 20*time.Millisecond; try < 8; try, wait = try+1, wait*2 {
		// Each attempt has readers of its own: the transport may still read those
		// of an attempt that was given up.
		list := make([]kafka.Record, len(recs))
		for i := range recs {
			list[i] = kafka.Record{Key: kafka.NewBytes(recs[i].key), Value: kafka.NewBytes(recs[i].value)}
		}
		var r *kafka.ProduceResponse
		r, err = p.client.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: int(part), RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(list...)})
		if err == nil {
			err = r.Error
		}
		var ke kafka.Error
		if err == nil || errors.As(err, &ke) && !ke.Temporary() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return err
}
