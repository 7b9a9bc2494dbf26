package clients

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz is franz-go as a driver. Its default partitioner is murmur2 as in Java.
type franz struct{}

func (franz) module() string { return "github.com/twmb/franz-go" }

func (franz) produce(ctx context.Context, broker, topic string, orders []keyed) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer c.Close()
	var records []*kgo.Record
	for _, o := range orders {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(o.key), Value: o.value})
	}
	return c.ProduceSync(ctx, records...).FirstErr()
}

func (franz) consume(ctx context.Context, broker, topic string, partitions int, each func(read) error) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	for partitions > 0 {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return err
		}
		for _, r := range f.Records() {
			if string(r.Key) == endKey {
				partitions--
			} else if err := each(read{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), value: r.Value}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (franz) member(ctx context.Context, broker, topic, group string) error {
	var mu sync.Mutex
	var mine []int32
	change := func(f func(int32)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range parts[topic] {
				f(p)
			}
			say(map[string]any{"assigned": append([]int32{}, mine...)})
		}
	}
	lose := change(func(p int32) { mine = slices.DeleteFunc(mine, func(q int32) bool { return q == p }) })
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(session), kgo.HeartbeatInterval(heartbeat),
		kgo.OnPartitionsAssigned(change(func(p int32) { mine = append(mine, p) })), kgo.OnPartitionsRevoked(lose), kgo.OnPartitionsLost(lose))
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	for {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := f.Err(); err != nil {
			return err
		}
		for _, r := range f.Records() {
			if err := c.CommitRecords(context.WithoutCancel(ctx), r); err != nil {
				return err
			}
			say(read{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key)})
		}
		c.AllowRebalance()
	}
}

func (franz) admin(ctx context.Context, broker, topic string) (a administered, err error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return a, err
	}
	defer c.Close()
	create := kmsg.NewCreateTopicsRequest()
	create.TimeoutMillis = 10_000
	ct := kmsg.NewCreateTopicsRequestTopic()
	ct.Topic, ct.NumPartitions, ct.ReplicationFactor = topic, 3, 1
	cc := kmsg.NewCreateTopicsRequestTopicConfig()
	cc.Name, cc.Value = "retention.ms", kmsg.StringPtr("3600000")
	ct.Configs = append(ct.Configs, cc)
	create.Topics = append(create.Topics, ct)
	made, err := create.RequestWith(ctx, c)
	if err != nil {
		return a, err
	}
	if err := kerr.ErrorForCode(made.Topics[0].ErrorCode); err != nil {
		return a, err
	}
	retention := func() (string, error) {
		req := kmsg.NewDescribeConfigsRequest()
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"retention.ms"}
		req.Resources = append(req.Resources, rr)
		res, err := req.RequestWith(ctx, c)
		if err != nil {
			return "", err
		}
		if len(res.Resources) != 1 || len(res.Resources[0].Configs) != 1 || res.Resources[0].Configs[0].Value == nil {
			return "", fmt.Errorf("describe configs: %+v", res.Resources)
		}
		return *res.Resources[0].Configs[0].Value, nil
	}
	if a.Retention, err = settled(ctx, retention, anything); err != nil {
		return a, err
	}
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, c) // without names: all
	if err != nil {
		return a, err
	}
	for _, t := range meta.Topics {
		if t.Topic != nil && *t.Topic == topic {
			a.Listed, a.Partitions = true, len(t.Partitions)
		}
	}
	alter := kmsg.NewIncrementalAlterConfigsRequest()
	ar := kmsg.NewIncrementalAlterConfigsRequestResource()
	ar.ResourceType, ar.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	ac := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	ac.Name, ac.Op, ac.Value = "retention.ms", kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr("7200000")
	ar.Configs = append(ar.Configs, ac)
	alter.Resources = append(alter.Resources, ar)
	altered, err := alter.RequestWith(ctx, c)
	if err != nil {
		return a, err
	}
	if err := kerr.ErrorForCode(altered.Resources[0].ErrorCode); err != nil {
		return a, err
	}
	if a.Altered, err = settled(ctx, retention, func(v string) bool { return v != a.Retention }); err != nil {
		return a, err
	}
	drop := kmsg.NewDeleteTopicsRequest()
	drop.TimeoutMillis, drop.TopicNames = 10_000, []string{topic}
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.Topic = kmsg.StringPtr(topic)
	drop.Topics = append(drop.Topics, dt)
	dropped, err := drop.RequestWith(ctx, c)
	if err != nil {
		return a, err
	}
	return a, kerr.ErrorForCode(dropped.Topics[0].ErrorCode)
}

// stdinEnds returns a context that ends when stdin does.
func stdinEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}
