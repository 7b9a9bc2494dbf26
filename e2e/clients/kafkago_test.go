package clients

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// kafkago is kafka-go as a driver.
type kafkago struct{}

func (kafkago) module() string { return "github.com/segmentio/kafka-go" }

func (kafkago) produce(ctx context.Context, broker, topic string, orders []keyed) error {
	w := &kafka.Writer{Addr: kafka.TCP(broker), Topic: topic, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 10 * time.Millisecond, Transport: &kafka.Transport{}}
	var messages []kafka.Message
	for _, o := range orders {
		messages = append(messages, kafka.Message{Key: []byte(o.key), Value: o.value})
	}
	return errors.Join(w.WriteMessages(ctx, messages...), w.Close())
}

// consume asks for read_committed. kafka-go's Reader passes that on to the
// broker and then hands over aborted records, and the markers that end
// transactions, as messages: what can't be decoded is told with an empty value.
func (kafkago) consume(ctx context.Context, broker, topic string, partitions int, each func(read) error) error {
	for p := range partitions {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: p, IsolationLevel: kafka.ReadCommitted,
			MaxWait: 100 * time.Millisecond})
		for done := false; !done; {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				return err
			}
			if done = string(m.Key) == endKey; done {
				continue
			}
			one := read{Partition: int32(p), Offset: m.Offset, Key: string(m.Key), value: m.Value}
			if err := each(one); err != nil {
				say(one)
			}
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (kafkago) member(ctx context.Context, broker, topic, group string) error {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: []string{broker}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout: session, HeartbeatInterval: heartbeat, JoinGroupBackoff: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	for {
		gen, err := g.Next(ctx)
		if ctx.Err() != nil {
			return g.Close()
		}
		if err != nil {
			return err
		}
		mine := []int{}
		for _, a := range gen.Assignments[topic] {
			mine = append(mine, a.ID)
			gen.Start(func(ctx context.Context) {
				if err := kafkagoPartition(ctx, gen, broker, topic, a); err != nil && ctx.Err() == nil {
					panic(err) // only a driver of a test
				}
			})
		}
		say(map[string]any{"assigned": mine})
	}
}

func kafkagoPartition(ctx context.Context, gen *kafka.Generation, broker, topic string, a kafka.PartitionAssignment) error {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: a.ID, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(a.Offset); err != nil {
		return err
	}
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return err
		}
		if err := gen.CommitOffsets(map[string]map[int]int64{topic: {a.ID: m.Offset + 1}}); err != nil {
			return err
		}
		say(read{Partition: int32(a.ID), Offset: m.Offset, Key: string(m.Key)})
	}
}

func (kafkago) admin(ctx context.Context, broker, topic string) (a administered, err error) {
	c := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 20 * time.Second, Transport: &kafka.Transport{MetadataTTL: 100 * time.Millisecond}}
	made, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 3, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "3600000"}}}}})
	if err = errors.Join(err, answer(made, func() error { return made.Errors[topic] })); err != nil {
		return a, err
	}
	retention := func() (string, error) {
		res, err := c.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
		if err != nil {
			return "", err
		}
		if len(res.Resources) != 1 || len(res.Resources[0].ConfigEntries) != 1 {
			return "", fmt.Errorf("describe configs: %+v", res.Resources)
		}
		return res.Resources[0].ConfigEntries[0].ConfigValue, nil
	}
	if a.Retention, err = settled(ctx, retention, anything); err != nil {
		return a, err
	}
	meta, err := c.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return a, err
	}
	for _, t := range meta.Topics {
		if t.Name == topic {
			a.Listed, a.Partitions = true, len(t.Partitions)
		}
	}
	altered, err := c.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "retention.ms", Value: "7200000", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err = errors.Join(err, answer(altered, func() error { return altered.Resources[0].Error })); err != nil {
		return a, err
	}
	if a.Altered, err = settled(ctx, retention, func(v string) bool { return v != a.Retention }); err != nil {
		return a, err
	}
	dropped, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	return a, errors.Join(err, answer(dropped, func() error { return dropped.Errors[topic] }))
}

// answer is what a response says, where there is one.
func answer[T any](response *T, of func() error) error {
	if response == nil {
		return nil
	}
	return of()
}
