package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// Fetched is what one fetch response gave of one partition. Records may be
// empty: Next can move without any.
type Fetched struct {
	Topic     string
	Partition int32
	Records   []Record
	// Next is the fetch position after this response: control batches, aborted
	// records and gaps are behind it. It is where to Seek to go on from here.
	Next int64
	// LastStable, HighWatermark and LogStart are what the leader said with this
	// response. After a change of leader they may lag for a while: ask EndOffsets
	// where that matters.
	LastStable, HighWatermark, LogStart int64
}

// Fetcher reads the committed records of several partitions from the brokers
// that lead them. Each broker is asked on a connection of its own, and while
// one response is worked on the next is already under way: at most one response
// per partition waits, so memory is bounded by the partitions' limits. Its
// methods may be called from any goroutine; Poll by one at a time.
type Fetcher struct {
	client *Client
	cfg    Config
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // capacity 1

	mu      sync.Mutex
	parts   []*part
	flights map[string]*flights // by leader
	looking bool                // a metadata refresh is under way
	ready   []*delivery
	turn    int64 // counts responses with data
	cause   error // of the last retry
	closed  bool
	spare   [][]Record // given back by Reuse
}

// part is one partition. All fields but the name are guarded by Fetcher.mu.
type part struct {
	TopicPartition
	position   int64 // -1: not sought yet
	generation int   // changes with each Seek: what was asked before it is dropped
	inFlight   bool
	waiting    bool // a delivery is in ready
	paused     bool
	// eager: probably has data. If it missed its leader's long request, it is
	// asked for in a short one meanwhile.
	eager  bool
	served int64 // turn of the last data; who waits longest is asked for first
	err    error // sticky until Seek
}

// wanted reports whether p should be asked for now.
func (p *part) wanted() bool {
	return !p.inFlight && !p.waiting && !p.paused && p.err == nil && p.position >= 0
}

// flights is what is under way to one leader. The long request waits at the
// broker for MaxWait; a short one never waits.
type flights struct {
	long, short bool
	failures    int // in a row, for the back-off
}

type delivery struct {
	part *part
	Fetched
}

// NewFetcher returns a Fetcher. It does no I/O before the first Poll.
func NewFetcher(cfg Config) *Fetcher {
	f := &Fetcher{client: NewClient(cfg), wake: make(chan struct{}, 1), flights: map[string]*flights{}}
	f.cfg = f.client.cfg
	f.ctx, f.stop = context.WithCancel(context.Background())
	for _, p := range cfg.Partitions {
		f.parts = append(f.parts, &part{TopicPartition: p, position: -1})
	}
	return f
}

// Client returns the client that the Fetcher uses, for EndOffsets and StartOffsets.
func (f *Fetcher) Client() *Client { return f.client }

// Close ends all requests and waits for their goroutines.
func (f *Fetcher) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.wg.Wait()
	f.client.Close()
	f.signal()
}

// Reuse gives the memory of a Fetched's Records back, for a response that comes.
// Nobody may look at them any more; what they point to stays good.
func (f *Fetcher) Reuse(records []Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.spare) < spareRecords && cap(records) > 0 {
		f.spare = append(f.spare, records[:0])
	}
}

const spareRecords = 3

// room returns a slice that was given back, or nil.
func (f *Fetcher) room() []Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := len(f.spare) - 1
	if k < 0 {
		return nil
	}
	r := f.spare[k]
	f.spare = f.spare[:k]
	return r
}

func (f *Fetcher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Seek sets the offset of the next record to read, clears the partition's
// error, and takes the partition in if it is new. What was fetched from the
// position before is dropped.
func (f *Fetcher) Seek(topic string, partition int32, offset int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.find(topic, partition)
	if p == nil {
		p = &part{TopicPartition: TopicPartition{topic, partition}}
		f.parts = append(f.parts, p)
	}
	p.position, p.err, p.eager = offset, nil, true
	f.drop(p)
	f.signal()
}

// Remove lets a partition go.
func (f *Fetcher) Remove(topic string, partition int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.find(topic, partition); p != nil {
		f.drop(p)
		f.parts = slices.DeleteFunc(f.parts, func(x *part) bool { return x == p })
	}
}

// Pause stops the fetching of a partition whose records wait elsewhere already.
// What is under way is still delivered: at most one more Fetched comes.
func (f *Fetcher) Pause(topic string, partition int32) { f.pause(topic, partition, true) }

// Resume ends Pause.
func (f *Fetcher) Resume(topic string, partition int32) { f.pause(topic, partition, false) }

func (f *Fetcher) pause(topic string, partition int32, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.find(topic, partition); p != nil && p.paused != on {
		p.paused = on
		if !on {
			p.eager = true
			f.launch()
		}
	}
}

func (f *Fetcher) find(topic string, partition int32) *part {
	for _, p := range f.parts {
		if p.Partition == partition && p.Topic == topic {
			return p
		}
	}
	return nil
}

// drop makes what was asked of p before void.
func (f *Fetcher) drop(p *part) {
	p.generation++
	p.waiting = false
	f.ready = slices.DeleteFunc(f.ready, func(d *delivery) bool { return d.part == p })
}

// Poll waits for the next response and returns what it gave, one entry per
// partition that was asked for, and everything else that has come meanwhile.
// While brokers have nothing new it still returns every MaxWait or so. ctx only
// ends the waiting: what is under way comes with the next Poll.
//
// An error concerns one partition, names it, and is returned only when nothing
// is waiting to be delivered. It stays until that partition is sought again:
// OffsetOutOfRangeError, PartitionError, BatchError, ErrNoPosition. Others are
// ctx's and ErrClosed.
func (f *Fetcher) Poll(ctx context.Context) ([]Fetched, error) {
	for {
		f.mu.Lock()
		if f.closed {
			f.mu.Unlock()
			return nil, ErrClosed
		}
		var out []Fetched
		for _, d := range f.ready {
			d.part.waiting = false
			out = append(out, d.Fetched)
		}
		f.ready = nil
		var err error
		for _, p := range f.parts {
			if p.err == nil && p.position < 0 {
				p.err = fmt.Errorf("%w: %s/%d", ErrNoPosition, p.Topic, p.Partition)
			}
			if err == nil {
				err = p.err
			}
		}
		f.launch()
		f.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.cause != nil {
				return nil, fmt.Errorf("%w, while retrying: %w", ctx.Err(), f.cause)
			}
			return nil, ctx.Err()
		}
	}
}

// launch starts every request that may be started.
func (f *Fetcher) launch() {
	if f.closed {
		return
	}
	byLeader := map[string][]*part{}
	for _, p := range f.parts {
		if !p.wanted() {
			continue
		}
		if address, ok := f.client.leader(p.TopicPartition); ok {
			byLeader[address] = append(byLeader[address], p)
		} else if !f.looking {
			f.looking = true
			f.wg.Add(1)
			go f.look()
		}
	}
	for _, address := range slices.Sorted(maps.Keys(byLeader)) {
		parts := byLeader[address]
		fl := f.flights[address]
		if fl == nil {
			fl = &flights{}
			f.flights[address] = fl
		}
		short := fl.long
		if short {
			if fl.short {
				continue
			}
			parts = slices.DeleteFunc(parts, func(p *part) bool { return !p.eager })
			if len(parts) == 0 {
				continue
			}
		}
		slices.SortStableFunc(parts, func(a, b *part) int { return int(a.served - b.served) })
		if short {
			fl.short = true
		} else {
			fl.long = true
		}
		ask := make([]flight, len(parts))
		for i, p := range parts {
			p.inFlight = true
			ask[i] = flight{part: p, asked: asked{TopicPartition: p.TopicPartition, offset: p.position}, generation: p.generation}
		}
		f.wg.Add(1)
		go f.fetch(address, fl, short, ask)
	}
}

// look finds the leaders of the partitions that need one, with back-off.
func (f *Fetcher) look() {
	defer f.wg.Done()
	for attempt := 0; ; attempt++ {
		f.mu.Lock()
		var unled []TopicPartition
		for _, p := range f.parts {
			if !p.wanted() {
				continue
			}
			if _, ok := f.client.leader(p.TopicPartition); !ok {
				unled = append(unled, p.TopicPartition)
			}
		}
		if len(unled) == 0 || f.closed {
			f.looking = false
			f.launch()
			f.signal()
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		err := f.client.refresh(f.ctx, unled)
		if f.ctx.Err() != nil {
			continue // closed
		}
		f.mu.Lock()
		f.cause = err
		if err != nil && !retryable(err) {
			f.blame(err, unled)
			err = nil
		}
		f.launch() // leaders that were found are used at once
		f.mu.Unlock()
		if err != nil {
			f.client.retrying(err)
			f.client.backoff(f.ctx, attempt)
		}
	}
}

// blame puts a lasting failure where it belongs.
func (f *Fetcher) blame(err error, partitions []TopicPartition) {
	var pe *PartitionError
	named := errors.As(err, &pe)
	for _, name := range partitions {
		if p := f.find(name.Topic, name.Partition); p != nil && (!named || name == TopicPartition{pe.Topic, pe.Partition}) {
			p.err = err
		}
	}
}

// flight is one partition of a request under way, and what came of it.
type flight struct {
	part       *part
	asked      asked
	generation int
	result     *Fetched
	retry      error // passes by itself
	err        error // stays until Seek
}

// fetch does one request and takes its results in.
func (f *Fetcher) fetch(address string, fl *flights, short bool, ask []flight) {
	defer f.wg.Done()
	err := f.request(address, short, ask)
	if err != nil && f.ctx.Err() == nil && retryable(err) {
		for i := range ask {
			f.client.forget(ask[i].asked.TopicPartition)
			ask[i].retry = err
		}
		err = nil
	}
	var cause error
	for i := range ask {
		if e := ask[i].retry; e != nil && e != cause {
			cause = e
			f.client.retrying(e)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if cause != nil {
		f.cause = cause
		attempt := fl.failures
		fl.failures++
		f.mu.Unlock()
		f.client.backoff(f.ctx, attempt)
		f.mu.Lock()
	} else {
		fl.failures = 0
	}
	if short {
		fl.short = false
	} else {
		fl.long = false
	}
	f.turn++
	for i := range ask {
		a, p := &ask[i], ask[i].part
		p.inFlight = false
		if p.generation != a.generation {
			continue
		}
		p.eager = false
		switch {
		case err != nil:
			p.err = err
		case a.err != nil:
			p.err = a.err
		case a.result != nil:
			f.cause = nil
			if a.result.Next > p.position {
				p.eager, p.served = true, f.turn
			}
			p.position, p.waiting = a.result.Next, true
			f.ready = append(f.ready, &delivery{p, *a.result})
		}
	}
	f.launch()
	f.signal()
}

// request sends one fetch and reads its answer into ask. Partitions whose
// leader moved are left without a result and without an error.
func (f *Fetcher) request(address string, short bool, ask []flight) error {
	maxWait := f.cfg.MaxWait
	if short {
		maxWait = 0
	}
	partitions := make([]asked, len(ask))
	for i := range ask {
		partitions[i] = ask[i].asked
	}
	var body []byte
	err := f.client.with(f.ctx, address, maxWait, func(ctx context.Context, x *conn) (err error) {
		body, err = x.call(ctx, fetchKey, fetchVersion, func(b []byte) []byte {
			return appendFetch(b, partitions, int32(maxWait/time.Millisecond), f.cfg.PartitionMaxBytes)
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("source: fetch from %s: %w", address, err)
	}
	code, answers, err := parseFetch(body)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("source: fetch from %s: %w", address, kafka.Error(code))
	}
	for i := range answers {
		j := slices.IndexFunc(ask, func(a flight) bool { return a.asked.TopicPartition == answers[i].TopicPartition })
		if j >= 0 {
			f.take(&ask[j], &answers[i])
		}
	}
	return nil
}

// take reads one partition of a response.
func (f *Fetcher) take(a *flight, r *fetchedPartition) {
	name := a.asked.TopicPartition
	switch {
	case r.code == int16(kafka.OffsetOutOfRange):
		f.outOfRange(a)
		return
	case passing(r.code):
		if moved(r.code) {
			f.client.forget(name)
		}
		a.retry = &PartitionError{Op: "Fetch", Topic: name.Topic, Partition: name.Partition, Code: r.code}
		return
	case r.code != 0:
		a.err = &PartitionError{Op: "Fetch", Topic: name.Topic, Partition: name.Partition, Code: r.code}
		return
	case r.lastStable < 0 || r.highWatermark < 0:
		a.err = corrupt("fetch response for %s/%d with last stable offset %d, high watermark %d", name.Topic, name.Partition, r.lastStable, r.highWatermark)
		return
	}
	records, next, err := committedRecords(f.room(), r.records, a.asked.offset, r.lastStable, r.aborted, f.cfg.MaxBatchBytes)
	if err != nil && next == a.asked.offset {
		var be *BatchError
		if errors.As(err, &be) {
			be.Topic, be.Partition = name.Topic, name.Partition
		}
		a.err = err
		return
	}
	// What stands before a bad batch is delivered; the next fetch begins with it.
	a.result = &Fetched{Topic: name.Topic, Partition: name.Partition, Records: records, Next: next,
		LastStable: r.lastStable, HighWatermark: r.highWatermark, LogStart: r.logStart}
}

// outOfRange asks for the log's bounds, which real brokers leave out of the
// fetch response in this case. If they hold the offset after all, the broker
// that refused it was behind, and is asked again.
func (f *Fetcher) outOfRange(a *flight) {
	name := a.asked.TopicPartition
	e := &OffsetOutOfRangeError{Topic: name.Topic, Partition: name.Partition, Offset: a.asked.offset, LogStart: -1, End: -1}
	ctx, cancel := context.WithTimeout(f.ctx, f.cfg.RequestTimeout)
	defer cancel()
	if start, err := f.client.StartOffsets(ctx, []TopicPartition{name}); err == nil {
		e.LogStart = start[name]
	}
	if end, err := f.client.EndOffsets(ctx, []TopicPartition{name}, false); err == nil {
		e.End = end[name]
	}
	if e.LogStart >= 0 && e.LogStart <= e.Offset && e.Offset <= e.End {
		a.retry = e
		return
	}
	a.err = e
}
