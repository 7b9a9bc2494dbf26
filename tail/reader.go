package tail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/source"
	"tidemark/schemas"
)

// From says where reading begins.
type From uint8

const (
	FromEnd       From = iota // what is published after Open
	FromBeginning             // the first record that the log holds
	FromTime                  // the first record with Config.Since or a later Kafka timestamp
)

// Config of a Reader.
type Config struct {
	Brokers   []string
	Transport *kafka.Transport // nil: plain TCP
	Topics    []string         // full names; each must exist
	Schemas   Schemas          // nil: values are not decoded
	From      From
	Since     schemas.EventTime // FromTime
	ExitAtEnd bool
	// Customer: only the partition of each topic to which murmur2 sends this key,
	// and only records with it. "": all.
	Customer string
	// At, if not nil, says which partitions to read and from which offset on, in
	// the place of Topics, From and Customer.
	At map[source.TopicPartition]int64
	// Settled makes the end that of the whole log at Open, open transactions
	// included: Next waits until they have ended and gives what they committed.
	Settled bool
}

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp schemas.EventTime // the Kafka record's own: when it was published
	Key       []byte
	Raw       []byte // the value as it stands; nil for none
	Headers   []schemas.Header
	Value     json.RawMessage // nil where Problem says why, or without Config.Schemas
	Problem   string
}

// MissingTopicsError names topics that do not exist.
type MissingTopicsError struct{ Topics []string }

func (e *MissingTopicsError) Error() string {
	return "tail: no such topic: " + strings.Join(e.Topics, ", ")
}

// Reader gives the records of several topics. It is for one goroutine.
type Reader struct {
	cfg     Config
	fetcher *source.Fetcher
	values  *Values
	ends    map[source.TopicPartition]int64 // of partitions not yet read to their end
	waiting []source.Fetched
}

// Open finds the partitions and where to begin. The error is a
// *MissingTopicsError or the cluster's.
func Open(ctx context.Context, cfg Config) (*Reader, error) {
	if cfg.Transport == nil {
		cfg.Transport = &kafka.Transport{ClientID: "tidemark-tail"}
	}
	var parts []source.TopicPartition
	var err error
	if cfg.At == nil {
		if parts, err = partitions(ctx, cfg); err != nil {
			return nil, err
		}
	}
	for p := range cfg.At {
		parts = append(parts, p)
	}
	r := &Reader{cfg: cfg, ends: map[source.TopicPartition]int64{}}
	if cfg.Schemas != nil {
		r.values = NewValues(cfg.Schemas)
	}
	r.fetcher = source.NewFetcher(source.Config{Brokers: cfg.Brokers, Transport: cfg.Transport, Partitions: parts})
	if err := r.seek(ctx, parts); err != nil {
		r.fetcher.Close()
		return nil, fmt.Errorf("tail: %w", err)
	}
	return r, nil
}

func partitions(ctx context.Context, cfg Config) ([]source.TopicPartition, error) {
	c := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: cfg.Transport, Timeout: 30 * time.Second}
	m, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: cfg.Topics})
	if err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	counts := map[string]int32{}
	for _, t := range m.Topics {
		if t.Error == nil {
			counts[t.Name] = int32(len(t.Partitions))
		} else if !errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			return nil, fmt.Errorf("tail: %s: %w", t.Name, t.Error)
		}
	}
	var parts []source.TopicPartition
	var missing []string
	for _, t := range cfg.Topics {
		n := counts[t]
		switch {
		case n == 0:
			missing = append(missing, t)
		case cfg.Customer != "":
			parts = append(parts, source.TopicPartition{Topic: t, Partition: source.Partition([]byte(cfg.Customer), n)})
		default:
			for i := range n {
				parts = append(parts, source.TopicPartition{Topic: t, Partition: i})
			}
		}
	}
	if len(missing) > 0 {
		return nil, &MissingTopicsError{missing}
	}
	return parts, nil
}

func (r *Reader) seek(ctx context.Context, parts []source.TopicPartition) error {
	ends, err := r.fetcher.Client().EndOffsets(ctx, parts, !r.cfg.Settled)
	if err != nil {
		return err
	}
	begin := ends
	if r.cfg.From != FromEnd || r.cfg.At != nil {
		if begin, err = r.fetcher.Client().StartOffsets(ctx, parts); err != nil {
			return err
		}
	}
	if r.cfg.From == FromTime {
		at, err := offsetsAt(ctx, r.cfg.Brokers, r.cfg.Transport, parts, r.cfg.Since)
		if err != nil {
			return err
		}
		for p, o := range at {
			if o < 0 { // nothing so young: whatever comes from now on
				o = ends[p]
			}
			begin[p] = max(begin[p], o)
		}
	}
	for p, o := range r.cfg.At {
		begin[p] = max(begin[p], o)
	}
	for _, p := range parts {
		if r.cfg.ExitAtEnd && begin[p] >= ends[p] {
			r.fetcher.Remove(p.Topic, p.Partition)
			continue
		}
		r.ends[p] = ends[p]
		r.fetcher.Seek(p.Topic, p.Partition, begin[p])
	}
	return nil
}

// offsetsAt returns the offset of the first record of each partition whose
// Kafka timestamp is at or after an instant; -1 where there is none.
func offsetsAt(ctx context.Context, brokers []string, transport *kafka.Transport, parts []source.TopicPartition, at schemas.EventTime) (map[source.TopicPartition]int64, error) {
	c := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: 30 * time.Second}
	req := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{}}
	for _, p := range parts {
		req.Topics[p.Topic] = append(req.Topics[p.Topic], kafka.TimeOffsetOf(int(p.Partition), time.UnixMilli(int64(at))))
	}
	res, err := c.ListOffsets(ctx, req)
	if err != nil {
		return nil, err
	}
	out := map[source.TopicPartition]int64{}
	for topic, answers := range res.Topics {
		for _, a := range answers {
			p := source.TopicPartition{Topic: topic, Partition: int32(a.Partition)}
			if a.Error != nil {
				return nil, fmt.Errorf("offsets of %s/%d by time: %w", topic, a.Partition, a.Error)
			}
			out[p] = -1
			for o := range a.Offsets {
				out[p] = max(out[p], o)
			}
		}
	}
	return out, nil
}

// Next waits for the next record. It returns io.EOF at the end with ExitAtEnd,
// else ctx's error or the cluster's.
func (r *Reader) Next(ctx context.Context) (*Record, error) {
	for {
		for len(r.waiting) > 0 {
			f := &r.waiting[0]
			p := source.TopicPartition{Topic: f.Topic, Partition: f.Partition}
			end, live := r.ends[p]
			if len(f.Records) == 0 || !live {
				if live && r.cfg.ExitAtEnd && f.Next >= end {
					r.leave(p)
				}
				r.waiting = r.waiting[1:]
				continue
			}
			rec := &f.Records[0]
			f.Records = f.Records[1:]
			if r.cfg.ExitAtEnd && rec.Offset >= end {
				r.leave(p)
				continue
			}
			if r.cfg.Customer != "" && string(rec.Key) != r.cfg.Customer {
				continue
			}
			return r.record(ctx, p, rec)
		}
		if len(r.ends) == 0 {
			return nil, io.EOF
		}
		got, err := r.fetcher.Poll(ctx)
		if err != nil {
			return nil, fmt.Errorf("tail: %w", err)
		}
		r.waiting = slices.Clone(got)
	}
}

func (r *Reader) leave(p source.TopicPartition) {
	delete(r.ends, p)
	r.fetcher.Remove(p.Topic, p.Partition)
}

func (r *Reader) record(ctx context.Context, p source.TopicPartition, rec *source.Record) (*Record, error) {
	out := &Record{Topic: p.Topic, Partition: p.Partition, Offset: rec.Offset, Timestamp: schemas.EventTime(rec.Timestamp),
		Key: rec.Key, Raw: rec.Value, Headers: rec.Headers()}
	if r.values == nil {
		return out, nil
	}
	value, err := r.values.JSON(ctx, rec.Value)
	var unreadable *UnreadableError
	switch {
	case errors.As(err, &unreadable):
		out.Problem = err.Error()
	case err != nil:
		return nil, fmt.Errorf("tail: %w", err)
	}
	out.Value = value
	return out, nil
}

// Waiting reports whether Next has something at hand; a writer may flush before
// a Next that has not.
func (r *Reader) Waiting() bool { return len(r.waiting) > 0 }

// Close ends the connections.
func (r *Reader) Close() { r.fetcher.Close() }
