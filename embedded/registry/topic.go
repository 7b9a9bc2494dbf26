package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// writerHeader marks the records of one server, so that it knows another's.
	writerHeader = "tidemark-registry"
	// writeLimit bounds how long a write may wait for the topic.
	writeLimit = 30 * time.Second
	// fetchWait is how long the broker may hold a fetch while nothing comes.
	fetchWait = 500 * time.Millisecond
	// retryEvery is the pause after a failed request.
	retryEvery = 200 * time.Millisecond
)

// topic is the schemas topic. It reads by position, not by records: the end of
// a log can be a gap that compaction left, where no record ever comes.
type topic struct {
	client   *kgo.Client
	name     string
	id       [16]byte // fetches from version 13 on name topics by id
	instance string
}

func openTopic(ctx context.Context, brokers []string, name, instance string) (*topic, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("tidemark-registry"),
		kgo.DefaultProduceTopic(name), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(writeLimit), kgo.DisableClientMetrics())
	if err != nil {
		return nil, fmt.Errorf("registry: client: %w", err)
	}
	t := &topic{client: client, name: name, instance: instance}
	if err := t.ensure(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return t, nil
}

// ensure creates the topic, or checks that the one that exists can hold the
// state: one partition, compacted and never cut off by retention.
func (t *topic) ensure(ctx context.Context) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(writeLimit.Milliseconds())
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.name, 1, -1
	for _, kv := range [][2]string{{"cleanup.policy", "compact"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}} {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = kv[0], kmsg.StringPtr(kv[1])
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return fmt.Errorf("registry: create topic %s: %w", t.name, err)
	}
	err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("registry: create topic %s: %w", t.name, err)
	}
	existed := err != nil
	var meta *kmsg.MetadataResponseTopic
	for {
		if meta, err = t.metadata(ctx); err == nil {
			break
		}
		// A topic that has just been created is not known at once.
		if !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) {
			return fmt.Errorf("registry: topic %s: %w", t.name, err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if len(meta.Partitions) != 1 {
		return fmt.Errorf("registry: topic %s has %d partitions, 1 is needed", t.name, len(meta.Partitions))
	}
	if existed {
		return t.checkPolicy(ctx)
	}
	return nil
}

func (t *topic) metadata(ctx context.Context) (*kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(t.name)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return nil, err
	}
	m := &resp.Topics[0]
	if err := kerr.ErrorForCode(m.ErrorCode); err != nil {
		return nil, err
	}
	t.id = m.TopicID
	return m, nil
}

func (t *topic) checkPolicy(ctx context.Context) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, t.name, []string{"cleanup.policy"}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return fmt.Errorf("registry: configuration of topic %s: %w", t.name, err)
	}
	for _, res := range resp.Resources {
		if err := kerr.ErrorForCode(res.ErrorCode); err != nil {
			return fmt.Errorf("registry: configuration of topic %s: %w", t.name, err)
		}
		for _, c := range res.Configs {
			if c.Name == "cleanup.policy" && c.Value != nil && strings.Contains(*c.Value, "delete") {
				return fmt.Errorf("registry: topic %s has cleanup.policy=%s and would forget schemas; set it to compact", t.name, *c.Value)
			}
		}
	}
	return nil
}

// Which offset to ask for, as ListOffsets has it.
const (
	earliestOffset = -2
	latestOffset   = -1
)

// offset asks the partition's leader for the first offset or for the one after
// the last record, until ctx ends: a leader that was elected a moment ago may
// not know its end yet and says so.
func (t *topic) offset(ctx context.Context, which int64) (int64, error) {
	for {
		req := kmsg.NewPtrListOffsetsRequest()
		rt := kmsg.NewListOffsetsRequestTopic()
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp = which
		rt.Topic, rt.Partitions = t.name, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(ctx, t.client)
		if err == nil {
			p := resp.Topics[0].Partitions[0]
			if err = kerr.ErrorForCode(p.ErrorCode); err == nil {
				return p.Offset, nil
			}
		}
		if stop := pause(ctx); stop != nil {
			return 0, fmt.Errorf("registry: offsets of topic %s: %w", t.name, errors.Join(err, stop))
		}
	}
}

// read fetches from a position. It returns the records and the next position,
// which is past the records, or at the end if there is nothing before it.
func (t *topic) read(ctx context.Context, from int64) ([]*kgo.Record, int64, error) {
	meta, err := t.metadata(ctx)
	if err != nil {
		return nil, from, err
	}
	for {
		recs, next, err := t.fetch(ctx, meta.Partitions[0].Leader, from)
		if err != nil || len(recs) > 0 || next > from {
			return recs, next, err
		}
	}
}

func (t *topic) fetch(ctx context.Context, leader int32, from int64) ([]*kgo.Record, int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(fetchWait.Milliseconds()), 1, 64<<20
	rt := kmsg.NewFetchRequestTopic()
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = from, 8<<20
	rt.Topic, rt.TopicID, rt.Partitions = t.name, t.id, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	kresp, err := t.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, from, err
	}
	resp := kresp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, from, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, from, nil
	}
	p := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return nil, from, err
	}
	if len(p.RecordBatches) == 0 {
		return nil, max(from, p.HighWatermark), nil
	}
	parsed, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: from, Topic: t.name}, p, kgo.DefaultDecompressor(), nil)
	return parsed.Records, next, parsed.Err
}

// write appends records in order and returns the offset after the last. When
// it fails, some of them may stand in the topic nevertheless.
func (t *topic) write(ctx context.Context, recs []record) (int64, error) {
	out := make([]*kgo.Record, len(recs))
	for i, r := range recs {
		out[i] = &kgo.Record{Key: r.key, Value: r.value,
			Headers: []kgo.RecordHeader{{Key: writerHeader, Value: []byte(t.instance)}}}
	}
	if err := t.client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return 0, err
	}
	return out[len(out)-1].Offset + 1, nil
}

func (t *topic) isOwn(r *kgo.Record) bool {
	for _, h := range r.Headers {
		if h.Key == writerHeader && string(h.Value) == t.instance {
			return true
		}
	}
	return false
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
