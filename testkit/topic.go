package testkit

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic creates a topic under a new name that begins with name, and returns the
// name once its partitions have leaders. config holds topic settings and may be
// nil. The topic goes with the test.
func Topic(t testing.TB, name string, partitions int, config map[string]string) string {
	t.Helper()
	topic := Unique(t, name)
	CreateTopic(t, topic, partitions, config)
	return topic
}

// CreateTopic is Topic for a test that must have the very name.
func CreateTopic(t testing.TB, topic string, partitions int, config map[string]string) {
	t.Helper()
	ctx, client := Context(t), Client(t)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(Limit.Milliseconds())
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, int32(partitions), 1
	for k, v := range config {
		rc := kmsg.NewCreateTopicsRequestTopicConfig()
		rc.Name, rc.Value = k, &v
		rt.Configs = append(rt.Configs, rc)
	}
	req.Topics = append(req.Topics, rt)
	response, err := req.RequestWith(ctx, client)
	if err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
	t.Cleanup(func() { deleteTopic(t, client, topic) })
	awaitLeaders(t, ctx, client, topic, partitions)
}

// DeleteAfter deletes topics that something else creates when the test ends, those
// that are there then.
func DeleteAfter(t testing.TB, topics ...string) {
	client := Client(t)
	t.Cleanup(func() {
		for _, topic := range topics {
			deleteTopic(t, client, topic)
		}
	})
}

// deleteTopic keeps a real broker that many runs share from filling up. The topic of an
// embedded one goes with the broker.
func deleteTopic(t testing.TB, client *kgo.Client, topic string) {
	if !Real() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(Limit.Milliseconds())
	req.TopicNames = []string{topic}
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	// Its loss is no failure of the test: the test may have deleted it, or killed the broker.
	if _, err := req.RequestWith(ctx, client); err != nil {
		t.Logf("deleting topic %s: %v", topic, err)
	}
}

// AwaitTopic waits until a topic that something else creates has its partitions.
func AwaitTopic(t testing.TB, topic string, partitions int) {
	t.Helper()
	awaitLeaders(t, Context(t), Client(t), topic, partitions)
}

// awaitLeaders waits until metadata names a leader for every partition: on a real
// broker CreateTopics answers before the topic can be written to.
func awaitLeaders(t testing.TB, ctx context.Context, client *kgo.Client, topic string, partitions int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := partitionLeaders(ctx, client, topic)
		if err == nil && len(n) == partitions {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("topic %s: %d of %d partitions have a leader (%v)", topic, len(n), partitions, err)
		case <-tick.C:
		}
	}
}

// partitionLeaders returns the node id of each partition's leader, by partition.
func partitionLeaders(ctx context.Context, client *kgo.Client, topic string) (map[int32]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	response, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		return nil, err
	}
	leaders := map[int32]int32{}
	for _, p := range response.Topics[0].Partitions {
		if p.ErrorCode == 0 && p.Leader >= 0 {
			leaders[p.Partition] = p.Leader
		}
	}
	return leaders, nil
}
