package clients

import (
	"context"
	"errors"
	"fmt"
	"hash"

	"github.com/IBM/sarama"

	"tidemark/examples/partitioner"
)

// saramaClient is Sarama as a driver.
type saramaClient struct{}

func (saramaClient) module() string { return "github.com/IBM/sarama" }

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Partitioner = sarama.NewCustomPartitioner(sarama.WithAbsFirst(), sarama.WithCustomHashFunction(func() hash.Hash32 { return partitioner.New() }))
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = session
	c.Consumer.Group.Heartbeat.Interval = heartbeat
	return c
}

func (saramaClient) produce(_ context.Context, broker, topic string, orders []keyed) error {
	p, err := sarama.NewSyncProducer([]string{broker}, saramaConfig())
	if err != nil {
		return err
	}
	defer p.Close()
	var messages []*sarama.ProducerMessage
	for _, o := range orders {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(o.key), Value: sarama.ByteEncoder(o.value)})
	}
	return p.SendMessages(messages)
}

func (saramaClient) consume(ctx context.Context, broker, topic string, partitions int, each func(read) error) error {
	c, err := sarama.NewConsumer([]string{broker}, saramaConfig())
	if err != nil {
		return err
	}
	defer c.Close()
	for p := range int32(partitions) {
		pc, err := c.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		for done := false; !done; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case m := <-pc.Messages():
				if done = string(m.Key) == endKey; done {
					continue
				}
				if err := each(read{Partition: p, Offset: m.Offset, Key: string(m.Key), value: m.Value}); err != nil {
					return err
				}
			}
		}
		if err := pc.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (saramaClient) member(ctx context.Context, broker, topic, group string) error {
	g, err := sarama.NewConsumerGroup([]string{broker}, group, saramaConfig())
	if err != nil {
		return err
	}
	defer g.Close()
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{topic}, saramaMember(topic)); err != nil {
			return err
		}
	}
	return nil
}

type saramaMember string

func (m saramaMember) Setup(s sarama.ConsumerGroupSession) error {
	say(map[string]any{"assigned": append([]int32{}, s.Claims()[string(m)]...)})
	return nil
}

func (m saramaMember) Cleanup(sarama.ConsumerGroupSession) error {
	say(map[string]any{"assigned": []int32{}})
	return nil
}

func (m saramaMember) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for r := range claim.Messages() {
		s.MarkMessage(r, "")
		s.Commit()
		say(read{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key)})
	}
	return nil
}

func (saramaClient) admin(ctx context.Context, broker, topic string) (a administered, err error) {
	c, err := sarama.NewClusterAdmin([]string{broker}, saramaConfig())
	if err != nil {
		return a, err
	}
	defer c.Close()
	text := func(s string) *string { return &s }
	if err := c.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": text("3600000")}}, false); err != nil {
		return a, err
	}
	retention := func() (string, error) {
		entries, err := c.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
		if err != nil || len(entries) != 1 {
			return "", errors.Join(fmt.Errorf("%d entries", len(entries)), err)
		}
		return entries[0].Value, nil
	}
	if a.Retention, err = settled(ctx, retention, anything); err != nil {
		return a, err
	}
	topics, err := c.ListTopics()
	if err != nil {
		return a, err
	}
	found, ok := topics[topic]
	a.Listed, a.Partitions = ok, int(found.NumPartitions)
	if err := c.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: text("7200000")}}, false); err != nil {
		return a, err
	}
	if a.Altered, err = settled(ctx, retention, func(v string) bool { return v != a.Retention }); err != nil {
		return a, err
	}
	return a, c.DeleteTopic(topic)
}
