package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// defaultRetention is Kafka's: log.retention.hours=168.
const defaultRetention = 168 * time.Hour

// retention deletes expired records. It stands in for kfake's own pass, which
// also removes a partition's last record; the partition's offsets then begin
// at 0 again after a restart, and every position that anybody kept is wrong.
// One record, the last, therefore always stays.
//
// retention.bytes is not applied.
type retention struct {
	client *kgo.Client
	broker *Broker
}

func newRetention(b *Broker) (*retention, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ClientID("tidemark-retention"),
		kgo.DisableClientMetrics())
	if err != nil {
		return nil, err
	}
	return &retention{client: client, broker: b}, nil
}

// apply deletes, in every topic that is not only compacted, what is older than
// retention.ms before now. A record goes only when all before it go too.
func (r *retention) apply(ctx context.Context, now time.Time) error {
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, r.client) // nil topics: all
	if err != nil {
		return fmt.Errorf("broker: retention: %w", err)
	}
	var errs []error
	for _, t := range meta.Topics {
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		keep, limited := r.retentionOf(*t.Topic)
		if !limited {
			continue
		}
		if err := r.applyTopic(ctx, *t.Topic, now.Add(-keep)); err != nil {
			errs = append(errs, fmt.Errorf("broker: retention of %s: %w", *t.Topic, err))
		}
	}
	return errors.Join(errs...)
}

func (r *retention) retentionOf(topic string) (keep time.Duration, limited bool) {
	info := r.broker.cluster.TopicInfo(topic)
	if info == nil { // deleted meanwhile
		return 0, false
	}
	if p := info.Configs["cleanup.policy"]; p != nil && !strings.Contains(*p, "delete") {
		return 0, false
	}
	ms := info.Configs["retention.ms"]
	if ms == nil {
		return defaultRetention, true
	}
	n, err := strconv.ParseInt(*ms, 10, 64)
	// Beyond what a Duration holds, 292 years, is for ever too.
	if err != nil || n < 0 || n > int64(1<<63-1)/int64(time.Millisecond) {
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}

func (r *retention) applyTopic(ctx context.Context, topic string, before time.Time) error {
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	ends := make(map[int32]int64)
	for _, p := range r.broker.cluster.PartitionInfos(topic) {
		end := min(p.HighWatermark, p.LastStableOffset)
		if end-1 <= p.LogStartOffset { // at most one record, and that stays
			continue
		}
		ends[p.Partition] = end
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, before.UnixMilli()
		rt.Partitions = append(rt.Partitions, rp)
	}
	if len(ends) == 0 {
		return nil
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			to := ends[p.Partition] - 1
			if p.Offset >= 0 { // -1: every record is older
				to = min(to, p.Offset)
			}
			if err := r.broker.cluster.DeleteRecords(topic, p.Partition, to); err != nil && !errors.Is(err, kerr.OffsetOutOfRange) {
				return err
			}
		}
	}
	return nil
}
