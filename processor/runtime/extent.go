package runtime

import (
	"context"
	"fmt"
	"time"

	"tidemark/processor/source"
	"tidemark/schemas"
)

// Extent is what stands in the input topics at the very first start.
type Extent struct {
	Orders, Behaviors int64 // offsets between the ends of the logs: aborted records and markers count too
	// From is the earliest occurred_at among the first records of the
	// partitions that can be read; 0: none can.
	From schemas.EventTime
	// Astray counts, of the records that were looked at, those on another partition
	// than murmur2 sends their key to.
	Looked, Astray int
}

// looked is how many records of a partition are looked at from its start.
const looked = 50

// extent looks at the first records of each partition and asks for all ends. It
// waits for no registry: a schema that cannot be had costs only the date.
func extent(ctx context.Context, cfg *Config, tasks int32) (x Extent, err error) {
	var parts []source.TopicPartition
	for i := range tasks {
		parts = append(parts, source.TopicPartition{Topic: cfg.Topics.Orders, Partition: i}, source.TopicPartition{Topic: cfg.Topics.Behaviors, Partition: i})
	}
	c := source.NewClient(source.Config{Brokers: cfg.Brokers, Transport: cfg.Transport})
	defer c.Close()
	ends, err := c.EndOffsets(ctx, parts, true)
	if err != nil {
		return x, err
	}
	starts, err := c.StartOffsets(ctx, parts)
	if err != nil {
		return x, err
	}
	var filled []source.TopicPartition
	for _, p := range parts {
		n := max(ends[p]-starts[p], 0)
		if n > 0 {
			filled = append(filled, p)
		}
		if p.Topic == cfg.Topics.Orders {
			x.Orders += n
		} else {
			x.Behaviors += n
		}
	}
	if len(filled) == 0 {
		return x, nil
	}
	compiled := map[int32]*schemas.Reader{}
	seen := map[source.TopicPartition]int{}
	err = readAll(ctx, cfg, filled, nil, func(f *source.Fetched) (bool, error) {
		p := source.TopicPartition{Topic: f.Topic, Partition: f.Partition}
		for i := range f.Records {
			r := &f.Records[i]
			if seen[p] == looked {
				return true, nil
			}
			seen[p]++
			x.Looked++
			if len(r.Key) > 0 && source.Partition(r.Key, tasks) != p.Partition {
				x.Astray++
			}
			if seen[p] > 1 {
				continue
			}
			if at := cfg.occurred(ctx, p.Topic, r.Value, compiled); at > 0 && (x.From == 0 || at < x.From) {
				x.From = at
			}
		}
		return seen[p] >= looked, nil
	})
	return x, err
}

// occurred decodes a record's occurred_at; 0 if it cannot be had.
func (c *Config) occurred(ctx context.Context, topic string, value []byte, compiled map[int32]*schemas.Reader) schemas.EventTime {
	kind := schemas.Order
	if topic == c.Topics.Behaviors {
		kind = schemas.Behavior
	}
	id, body, err := schemas.ParseWire(value)
	if err != nil {
		return 0
	}
	key := id*2 + int32(kind)
	rd, ok := compiled[key]
	if !ok {
		if text, refs, err := c.Registry.SchemaByID(ctx, id); err == nil {
			rd, _ = schemas.CompileReader(text, kind, refs...)
		}
		compiled[key] = rd
	}
	var e schemas.Event
	if rd == nil || rd.Decode(body, &e) != nil {
		return 0
	}
	return e.OccurredAt
}

// Strange says in words that producers send keys to other partitions; "" if not.
func (x Extent) Strange() string {
	if x.Astray == 0 {
		return ""
	}
	return fmt.Sprintf("%d of the first %d records stand on another partition than murmur2 sends their key to, and will be dead letters (wrong_partition); set the producer's partitioner: librdkafka (Python, Go, .NET, node) partitioner=murmur2_random, others see docs/kafka.md", x.Astray, x.Looked)
}

// instant is how messages write an event time.
func instant(t schemas.EventTime) string {
	if t == 0 {
		return "the beginning"
	}
	return time.UnixMilli(int64(t)).UTC().Format(time.RFC3339)
}
