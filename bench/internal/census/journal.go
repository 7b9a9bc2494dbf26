package census

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/schemas"
)

// Journal is what the journal topic holds.
type Journal struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`  // of the values, without Kafka's framing
	Events  int64 `json:"events"` // that the records say were taken from the inputs
}

// ReadJournal reads the whole topic, read_committed.
func ReadJournal(ctx context.Context, broker, topic string) (*Journal, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	left, err := ends(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	var j Journal
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			return nil, fmt.Errorf("read %s: %w", topic, err)
		}
		var bad error
		fs.EachRecord(func(r *kgo.Record) {
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
			if r.Attrs.IsControl() {
				return
			}
			j.Records++
			j.Bytes += int64(len(r.Value))
			_, body, err := schemas.ParseWire(r.Value)
			if err == nil {
				var rec *schemas.Journal
				if rec, err = schemas.DecodeJournal(body); err == nil {
					for i := range rec.Items {
						if it := &rec.Items[i]; it.Input == schemas.OrderEvents || it.Input == schemas.BehaviorEvents {
							j.Events += it.Count
						}
					}
				}
			}
			if err != nil && bad == nil {
				bad = err
			}
		})
		if bad != nil {
			return nil, bad
		}
	}
	return &j, nil
}

func ends(ctx context.Context, cl *kgo.Client, topic string) (map[int32]int64, error) {
	m := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	m.Topics = append(m.Topics, t)
	meta, err := m.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = 1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, p := range meta.Topics[0].Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	left := map[int32]int64{}
	for _, p := range resp.Topics[0].Partitions {
		if p.Offset > 0 {
			left[p.Partition] = p.Offset
		}
	}
	return left, nil
}
