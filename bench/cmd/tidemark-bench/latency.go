package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/bench/internal/census"
	"tidemark/bench/internal/proc"
	"tidemark/bench/internal/report"
	"tidemark/bench/orders"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/schemas/registry"
)

const (
	knownCustomers = 20_000 // order in the background, twice each before the measurement
	markEvery      = 10     // of so many events one is a marked customer's first order
	markAmount     = 450_00 // which lifts to the second tier at once
)

// latency measures from the instant at which an event is due to be published to
// the instant at which another process holds the trigger. The schedule is kept
// whatever happens: an event that is published late counts from when it was due.
func (b *bench) latency(ctx context.Context, rate int) error {
	app := fmt.Sprintf("lt-%d", rate)
	live, err := turnLive(b.playbook)
	if err != nil {
		return err
	}
	p, l, err := b.startLive(ctx, app, live)
	if err != nil {
		return err
	}
	defer p.Kill()
	defer l.client.Close()
	for i := range 2 * knownCustomers {
		l.send(ctx, orders.Customer(i%knownCustomers), 1_00, time.Now(), nil)
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	if _, err := p.follow(ctx, 2*knownCustomers, 50*time.Millisecond, nil); err != nil {
		return err
	}
	n := rate * b.LatencySeconds
	// The first seconds at the rate are not counted: connections, caches, the
	// collector's pace.
	settle := rate * min(b.LatencySeconds/5, 5)
	r := report.Latency{EventsPerSecond: rate, Marked: n / markEvery, Seconds: float64(b.LatencySeconds)}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	reader, err := proc.Start(b.dir+"/"+app+".consume.log", true, self, "consume", "--broker", b.c.Kafka, "--topic", app+"-tier-changes", "--expect", strconv.Itoa(r.Marked))
	if err != nil {
		return err
	}
	defer reader.Kill()
	if _, err := reader.Line(); err != nil {
		return err
	}
	say("%s: %d events a second for %d s", app, rate, b.LatencySeconds)
	l.run(ctx, settle, rate, false)
	before, err := census.ReadJournal(ctx, b.c.Kafka, "tidemark-"+app+"-journal")
	if err != nil {
		return err
	}
	from, err := p.sample(ctx)
	if err != nil {
		return err
	}
	m := b.meter()
	l.run(ctx, n, rate, true)
	if err := l.flush(ctx); err != nil {
		return err
	}
	to, err := p.follow(ctx, 2*knownCustomers+settle+n, 50*time.Millisecond, nil)
	if err != nil {
		return err
	}
	ph := b.phase(from, to, m, b.meter())
	r.CPUSecondsPerMillion, r.CPUCores, r.BrokerCores, r.OthersCores = ph.CPUSecondsPerMillion, ph.CPUSeconds/ph.Seconds, ph.BrokerCPUSeconds/ph.Seconds, ph.OthersCores
	// All that will come has come when the reader has it all; else it is told to stop.
	got := make(chan error, 1)
	var seen consumed
	go func() {
		line, err := reader.Line()
		if err == nil {
			err = json.Unmarshal(line, &seen)
		}
		got <- err
	}()
	select {
	case err = <-got:
	case <-time.After(10 * time.Second):
		reader.CloseInput()
		err = <-got
	}
	if err != nil {
		return fmt.Errorf("the reader: %w", err)
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	r.Received, r.Twice = seen.Received, seen.Twice
	r.P50, r.P90, r.P99, r.P999, r.Max = ms(seen.P50), ms(seen.P90), ms(seen.P99), ms(seen.P999), ms(seen.Max)
	r.PublishP50, r.PublishP99 = ms(l.acks.ValueAtQuantile(50)), ms(l.acks.ValueAtQuantile(99))
	after, err := census.ReadJournal(ctx, b.c.Kafka, "tidemark-"+app+"-journal")
	if err != nil {
		return err
	}
	r.JournalBytesPerEvent = float64(after.Bytes-before.Bytes) / float64(max(after.Events-before.Events, 1))
	b.rec.Latency = append(b.rec.Latency, r)
	_, err = p.stop()
	return err
}

// startLive starts a process on empty topics and, once it serves, a publisher.
func (b *bench) startLive(ctx context.Context, app string, playbook []byte) (*processor, *loader, error) {
	if err := b.c.createInputs(ctx, app, b.Partitions); err != nil {
		return nil, nil, err
	}
	p, err := newProcessor(b.c, b.Tidemark, b.dir, app, playbook)
	if err != nil {
		return nil, nil, err
	}
	say("%s: tidemark run, clock: live", app)
	if err := p.start(); err != nil {
		return nil, nil, err
	}
	_, err = p.follow(ctx, 0, 50*time.Millisecond, nil)
	var l *loader
	if err == nil {
		l, err = b.newLoader(ctx, app)
	}
	if err != nil {
		p.Kill()
		return nil, nil, err
	}
	return p, l, nil
}

// turnLive gives the same playbook with clock: live.
func turnLive(text []byte) ([]byte, error) {
	live := bytes.Replace(text, []byte("\nclock: input\n"), []byte("\nclock: live\n"), 1)
	if bytes.Equal(live, text) {
		return nil, errors.New("the playbook has no line `clock: input` to be replaced")
	}
	return live, nil
}

// loader publishes single orders at their time.
type loader struct {
	client     *kgo.Client
	topic      string
	partitions int32
	schema     int32
	n          int
	mu         sync.Mutex
	acks       interface {
		RecordValue(int64) error
		ValueAtQuantile(float64) int64
	}
	err error
}

func (b *bench) newLoader(ctx context.Context, app string) (*loader, error) {
	reg, err := registry.NewClient(registry.Config{URLs: []string{b.c.Registry}})
	if err != nil {
		return nil, err
	}
	defer reg.Close()
	l := &loader{topic: ordersTopic(app), partitions: b.Partitions, acks: newHistogram()}
	if l.schema, err = reg.Register(ctx, schemas.Subject(l.topic), schemas.Text(schemas.Order.Record())); err != nil {
		return nil, err
	}
	l.client, err = kgo.NewClient(kgo.SeedBrokers(b.c.Kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(1_000_000))
	return l, err
}

// send publishes one order of a customer; with due its acknowledgement is timed.
func (l *loader) send(ctx context.Context, customer string, amount int64, at time.Time, due *int64) {
	l.n++
	id := strconv.Itoa(l.n)
	e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: "00000000-0000-4000-8000-" + id, OrderID: "o" + id, CustomerID: customer,
		OccurredAt: schemas.EventTime(at.UnixMilli()), AmountMinor: amount, Currency: "USD", Channel: "app",
		Items: []schemas.Item{{SKU: "sku-000012345", Category: "shoes", Quantity: 1, AmountMinor: amount}}}
	r := &kgo.Record{Topic: l.topic, Key: []byte(customer), Value: schemas.AppendOrderAvro(schemas.AppendWireHeader(make([]byte, 0, 160), l.schema), &e)}
	r.Partition = source.Partition(r.Key, l.partitions)
	l.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		now := time.Now().UnixNano()
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil && l.err == nil {
			l.err = err
		}
		if due != nil {
			_ = l.acks.RecordValue(max((now-*due)/1000, 1))
		}
	})
}

func (l *loader) flush(ctx context.Context) error {
	if err := l.client.Flush(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// run publishes n events at a rate; with mark every so many is a marked customer's.
func (l *loader) run(ctx context.Context, n, rate int, mark bool) {
	begin := time.Now()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if d := time.Until(at); d > 0 {
			time.Sleep(d)
		}
		if !mark || i%markEvery != 0 {
			l.send(ctx, orders.Customer(i%knownCustomers), 1_00, at, nil)
			continue
		}
		due := at.UnixNano()
		l.send(ctx, markPrefix+strconv.FormatInt(due, 10), markAmount, at, &due)
	}
}
