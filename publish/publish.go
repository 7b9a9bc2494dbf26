// Package publish puts events into the input topics as an upstream app would:
// Avro in the Confluent wire format, keyed by customer_id, partitioned by murmur2.
//
// What it promises: events of one partition are written in the order in which
// they were given; Flush returns nil only when every broker has acknowledged
// everything. Kafka's own timestamps are the time of publishing. A batch whose
// outcome is unknown is sent again, so an event may stand twice; its event_id is
// the same, and a repeat changes nothing.
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
}

// Publisher writes events. It is not safe for concurrent use.
type Publisher struct {
	cfg    Config
	client *kafka.Client
	ids    [2]int32
	parts  map[int32]*[2][]kafka.Record
	wg     sync.WaitGroup
	slots  chan struct{}
	busy   map[string]chan struct{}
	mu     sync.Mutex
	err    error
	acked  int64
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
		parts: map[int32]*[2][]kafka.Record{}, slots: make(chan struct{}, 8), busy: map[string]chan struct{}{}}
	for i, t := range [...]string{cfg.Orders, cfg.Behaviors} {
		id, err := cfg.Registry.Register(ctx, schemas.Subject(t), schemas.Text(schemas.Kind(i).Record()))
		if err != nil {
			return nil, fmt.Errorf("publish: register the schema of %s: %w", t, err)
		}
		p.ids[i] = id
	}
	return p, nil
}

// Event takes one event; its strings are copied.
func (p *Publisher) Event(ctx context.Context, e *schemas.Event) error {
	key := []byte(e.CustomerID)
	part := source.Partition(key, p.cfg.Partitions)
	value := schemas.AppendWireHeader(make([]byte, 0, 160), p.ids[e.Kind])
	if e.Kind == schemas.Order {
		value = schemas.AppendOrderAvro(value, e)
	} else {
		value = schemas.AppendBehaviorAvro(value, e)
	}
	q := p.parts[part]
	if q == nil {
		q = &[2][]kafka.Record{}
		p.parts[part] = q
	}
	q[e.Kind] = append(q[e.Kind], kafka.Record{Key: kafka.NewBytes(key), Value: kafka.NewBytes(value)})
	if len(q[e.Kind]) >= p.cfg.Batch {
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

// Flush sends what waits and waits for all acknowledgements.
func (p *Publisher) Flush(ctx context.Context) error {
	for part, q := range p.parts {
		for kind := range q {
			if len(q[kind]) > 0 {
				p.send(ctx, part, schemas.Kind(kind))
			}
		}
	}
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// send sends one partition's batch in the background, after the one before it.
func (p *Publisher) send(ctx context.Context, part int32, kind schemas.Kind) {
	q := p.parts[part]
	recs := q[kind]
	q[kind] = nil
	topic := p.cfg.Orders
	if kind == schemas.Behavior {
		topic = p.cfg.Behaviors
	}
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
		err := p.produce(ctx, topic, part, recs)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("publish to %s/%d: %w", topic, part, err)
		}
		if err == nil {
			p.acked += int64(len(recs))
		}
	})
}

func (p *Publisher) produce(ctx context.Context, topic string, part int32, recs []kafka.Record) error {
	var err error
	for try, wait := 0, 20*time.Millisecond; try < 8; try, wait = try+1, wait*2 {
		var r *kafka.ProduceResponse
		r, err = p.client.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: int(part), RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(recs...)})
		if err == nil {
			err = r.Error
		}
		var ke kafka.Error
		if err == nil || errors.As(err, &ke) && !ke.Temporary() {
			return err
		}
		for i := range recs { // the bytes were read by the attempt before
			recs[i].Key, recs[i].Value = rewound(recs[i].Key), rewound(recs[i].Value)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return err
}

// rewound makes bytes readable again from their beginning.
func rewound(b kafka.Bytes) kafka.Bytes {
	if s, ok := b.(interface {
		Seek(int64, int) (int64, error)
	}); ok {
		_, _ = s.Seek(0, 0)
	}
	return b
}
