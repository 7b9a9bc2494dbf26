package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/schemas/registry"
)

// readers compiles writer schemas once and keeps them. It is shared by all
// tasks of a process.
type readers struct {
	reg   Registry
	mu    sync.RWMutex
	byID  map[readerKey]reader
	waits func(why string) // told while the registry gives no answer; "" when it does again
}

type readerKey struct {
	id   int32
	kind schemas.Kind
}

type reader struct {
	r   *schemas.Reader
	bad string // the schema is there and can't be read
}

// get returns the reader of a writer schema. It waits for a registry that gives
// no answer for as long as ctx lives; what it returns is definite.
func (s *readers) get(ctx context.Context, id int32, kind schemas.Kind, waits func(string)) (reader, *core.Dead, error) {
	k := readerKey{id, kind}
	s.mu.RLock()
	r, ok := s.byID[k]
	s.mu.RUnlock()
	for backoff := 200 * time.Millisecond; !ok; backoff = min(backoff*2, 5*time.Second) {
		text, refs, err := s.reg.SchemaByID(ctx, id)
		switch {
		case err == nil:
			r = reader{}
			if c, cerr := schemas.CompileReader(text, kind, refs...); cerr != nil {
				r.bad = cerr.Error()
			} else {
				r.r = c
			}
			s.mu.Lock()
			s.byID[k] = r
			s.mu.Unlock()
			ok = true
			waits("")
		case errors.Is(err, registry.ErrNotFound):
			return r, &core.Dead{Step: core.StepSchema, Reason: core.ReasonUnknownSchema, Detail: fmt.Sprintf("the registry has no schema %d", id)}, nil
		case errors.Is(err, registry.ErrUnsupported):
			return r, &core.Dead{Step: core.StepSchema, Reason: core.ReasonBadSchema, Detail: err.Error()}, nil
		default:
			waits("the schema registry: " + err.Error())
			select {
			case <-ctx.Done():
				return r, nil, ctx.Err()
			case <-time.After(backoff):
			}
		}
	}
	if r.bad != "" {
		return r, &core.Dead{Step: core.StepSchema, Reason: core.ReasonBadSchema, Detail: r.bad}, nil
	}
	return r, nil, nil
}

// decoder turns fetched records of one task into the core's.
type decoder struct {
	cfg     *Config
	readers *readers
	task    int32
	waits   func(string)
	lastID  int32
	lastK   schemas.Kind
	last    *schemas.Reader
	spare   <-chan *slab // slabs that may be used again; nil: none ever
}

// chunk is one input's part of a fetch, decoded.
type chunk struct {
	input schemas.Input
	recs  []core.Record
	slab  *slab // what the records of events lie in; nil: memory of their own
	next  schemas.Offset
	end   schemas.Offset // last stable offset, as the response says
	wall  schemas.EventTime
}

// decode turns what was fetched of one input into a chunk. Events, raw records
// and lines live in a slab, one that was used before where there is one.
func (d *decoder) decode(ctx context.Context, in schemas.Input, f *source.Fetched) (chunk, error) {
	c := chunk{input: in, next: schemas.Offset(f.Next), end: schemas.Offset(f.LastStable), wall: d.cfg.wall()}
	n := len(f.Records)
	if in == schemas.ControlInput || in == schemas.TransferInput {
		c.recs = make([]core.Record, n)
		for i := range f.Records {
			r := &f.Records[i]
			out := &c.recs[i]
			out.Input, out.Offset = in, schemas.Offset(r.Offset)
			_, body, err := schemas.ParseWire(r.Value)
			if err == nil {
				if in == schemas.ControlInput {
					out.Control, err = schemas.DecodeControl(body)
				} else {
					out.Transfer, err = schemas.DecodeTransfer(body)
				}
			}
			if err != nil {
				out.Dead = &core.Dead{Step: core.StepDecode, Reason: core.ReasonUndecodable, Detail: err.Error()}
				out.Raw = rawOf(f, r)
			}
		}
		return c, nil
	}
	kind := schemas.Order
	if in == schemas.BehaviorEvents {
		kind = schemas.Behavior
	}
	c.slab = d.slab(n)
	c.recs = c.slab.recs
	events, raws, items := c.slab.events, c.slab.raws, c.slab.items[:0]
	for i := range f.Records {
		r := &f.Records[i]
		out := &c.recs[i]
		*out = core.Record{Input: in, Offset: schemas.Offset(r.Offset)}
		raws[i] = core.Raw{Topic: f.Topic, Partition: f.Partition, Timestamp: schemas.EventTime(r.Timestamp), Key: r.Key, Value: r.Value}
		out.Raw = &raws[i]
		if r.HasHeaders() {
			raws[i].Headers = r.Headers
			if v, ok := r.Header("traceparent"); ok {
				out.Trace = v
			}
		}
		if cap(items)-len(items) < eventItems {
			items = make([]schemas.Item, 0, max(eventItems, 2*n))
			c.slab.items = items // the longest; what is before in it stays with its events
		}
		at := len(items)
		events[i] = schemas.Event{Items: items[at : at : at+eventItems]}
		dead, err := d.event(ctx, kind, r, &events[i])
		if err != nil {
			return c, err
		}
		if dead != nil {
			out.Dead = dead
			continue
		}
		out.Event = &events[i]
		if k := len(events[i].Items); k <= eventItems { // more went elsewhere
			items = items[:at+k]
		}
	}
	return c, nil
}

// eventItems is the room that an event is given for the lines of its order
// before it needs memory of its own.
const eventItems = 8

func rawOf(f *source.Fetched, r *source.Record) *core.Raw {
	return &core.Raw{Topic: f.Topic, Partition: f.Partition, Timestamp: schemas.EventTime(r.Timestamp), Key: r.Key, Value: r.Value, Headers: r.Headers}
}

func (d *decoder) event(ctx context.Context, kind schemas.Kind, r *source.Record, e *schemas.Event) (*core.Dead, error) {
	switch {
	case r.Value == nil:
		return &core.Dead{Step: core.StepFrame, Reason: core.ReasonNoValue, Detail: "the record has no value"}, nil
	case len(r.Key) == 0:
		return &core.Dead{Step: core.StepKey, Reason: core.ReasonKeyMissing, Detail: "the key must be the customer_id"}, nil
	}
	id, body, err := schemas.ParseWire(r.Value)
	if err != nil {
		return &core.Dead{Step: core.StepFrame, Reason: core.ReasonBadFrame, Detail: err.Error()}, nil
	}
	if d.last == nil || d.lastID != id || d.lastK != kind {
		rd, dead, err := d.readers.get(ctx, id, kind, d.waits)
		if dead != nil || err != nil {
			return dead, err
		}
		d.last, d.lastID, d.lastK = rd.r, id, kind
	}
	if err := d.last.Decode(body, e); err != nil {
		return &core.Dead{Step: core.StepDecode, Reason: core.ReasonUndecodable, Detail: err.Error()}, nil
	}
	if e.CustomerID != string(r.Key) {
		return &core.Dead{Step: core.StepKey, Reason: core.ReasonKeyMismatch, Detail: fmt.Sprintf("the key is %q", r.Key)}, nil
	}
	if p := source.Partition(r.Key, d.cfg.Tasks); p != d.task {
		return &core.Dead{Step: core.StepPartition, Reason: core.ReasonWrongPartition,
			Detail: fmt.Sprintf("murmur2 puts this key on partition %d and it came on %d; set the producer's partitioner (librdkafka: partitioner=murmur2_random)", p, d.task)}, nil
	}
	return nil, nil
}
