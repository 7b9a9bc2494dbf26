package source

import (
	"context"
	"fmt"
	"maps"
	"slices"

	kafka "github.com/segmentio/kafka-go"
)

// EndOffsets returns the offset after the last record of each partition: the
// last stable offset if committed, else the high watermark. It asks the leaders
// (ListOffsets version 5), so that what it says holds also right after a change
// of leader, when a fetch response may still tell an older end. Brokers that
// can't tell yet (78) and moved leaders are asked again until ctx ends.
func (c *Client) EndOffsets(ctx context.Context, partitions []TopicPartition, committed bool) (map[TopicPartition]int64, error) {
	isolation := byte(readUncommitted)
	if committed {
		isolation = readCommitted
	}
	return c.listOffsets(ctx, partitions, latestOffset, isolation)
}

// StartOffsets returns the first offset that each partition's log holds, with
// the retries of EndOffsets.
func (c *Client) StartOffsets(ctx context.Context, partitions []TopicPartition) (map[TopicPartition]int64, error) {
	return c.listOffsets(ctx, partitions, earliestOffset, readUncommitted)
}

func (c *Client) listOffsets(ctx context.Context, partitions []TopicPartition, timestamp int64, isolation byte) (map[TopicPartition]int64, error) {
	out := make(map[TopicPartition]int64, len(partitions))
	for attempt := 0; ; attempt++ {
		var unled []TopicPartition
		byLeader := map[string][]TopicPartition{}
		listed := map[TopicPartition]bool{}
		for _, p := range partitions {
			if _, ok := out[p]; ok || listed[p] {
				continue
			}
			listed[p] = true
			if address, ok := c.leader(p); ok {
				byLeader[address] = append(byLeader[address], p)
			} else {
				unled = append(unled, p)
			}
		}
		if len(listed) == 0 {
			return out, nil
		}
		var cause error
		for _, address := range slices.Sorted(maps.Keys(byLeader)) { // one order, so that a simulated run can be repeated
			if err := c.listFrom(ctx, address, byLeader[address], timestamp, isolation, out); err != nil {
				if ctx.Err() != nil || !retryable(err) {
					return nil, err
				}
				cause = err
			}
		}
		if len(unled) > 0 {
			err := c.refresh(ctx, unled)
			if err == nil {
				attempt = -1 // go on at once: only the leaders were missing
				continue
			}
			if ctx.Err() != nil || !retryable(err) {
				return nil, err
			}
			cause = err
		}
		if cause == nil {
			continue
		}
		c.retrying(cause)
		if err := c.backoff(ctx, attempt); err != nil {
			return nil, fmt.Errorf("%w, still after: %w", err, cause)
		}
	}
}

// listFrom asks one broker. It returns the failure of a partition that decides
// what to do; the answers for the others are in out all the same.
func (c *Client) listFrom(ctx context.Context, address string, group []TopicPartition, timestamp int64, isolation byte, out map[TopicPartition]int64) error {
	var answers []listedOffset
	err := c.with(ctx, address, 0, func(ctx context.Context, x *conn) error {
		body, err := x.call(ctx, listOffsetsKey, listOffsetsVersion, func(b []byte) []byte {
			return appendListOffsets(b, group, timestamp, isolation)
		})
		if err == nil {
			answers, err = parseListOffsets(body)
		}
		return err
	})
	if err != nil {
		for _, p := range group {
			c.forget(p)
		}
		return fmt.Errorf("source: ListOffsets from %s: %w", address, err)
	}
	answered := map[TopicPartition]bool{}
	var worst error
	for _, a := range answers {
		answered[a.TopicPartition] = true
		code := a.code
		if code == 0 && a.offset < 0 {
			code = int16(kafka.OffsetNotAvailable)
		}
		if code == 0 {
			out[a.TopicPartition] = a.offset
			continue
		}
		if moved(code) {
			c.forget(a.TopicPartition)
		}
		if worst == nil || retryable(worst) {
			worst = &PartitionError{Op: "ListOffsets", Topic: a.Topic, Partition: a.Partition, Code: code}
		}
	}
	for _, p := range group {
		if !answered[p] {
			return corrupt("ListOffsets response without %s/%d", p.Topic, p.Partition)
		}
	}
	return worst
}
