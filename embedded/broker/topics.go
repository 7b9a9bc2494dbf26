package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is a topic to create.
type Topic struct {
	Name       string
	Partitions int32             // at least 1
	Config     map[string]string // names as Apache Kafka 4.1 has them
}

// PartitionsError reports a topic that exists with another number of
// partitions. Nothing is changed: keys would move to other partitions.
type PartitionsError struct {
	Topic     string
	Want, Got int32
}

func (e *PartitionsError) Error() string {
	return fmt.Sprintf("broker: topic %s exists with %d partitions, wanted %d", e.Topic, e.Got, e.Want)
}

// ConfigError reports a topic configuration that Apache Kafka 4.1 does not know.
type ConfigError struct {
	Topic, Name string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("broker: topic %s: unknown topic configuration %q; Apache Kafka 4.1 knows %s",
		e.Topic, e.Name, strings.Join(topicConfigs, ", "))
}

// topicConfigs are the names that LogConfig.configNames of Apache Kafka 4.1.0
// returns, less internal.segment.bytes, which is for Kafka's own tests.
var topicConfigs = []string{
	"cleanup.policy",
	"compression.gzip.level",
	"compression.lz4.level",
	"compression.type",
	"compression.zstd.level",
	"delete.retention.ms",
	"file.delete.delay.ms",
	"flush.messages",
	"flush.ms",
	"follower.replication.throttled.replicas",
	"index.interval.bytes",
	"leader.replication.throttled.replicas",
	"local.retention.bytes",
	"local.retention.ms",
	"max.compaction.lag.ms",
	"max.message.bytes",
	"message.timestamp.after.max.ms",
	"message.timestamp.before.max.ms",
	"message.timestamp.type",
	"min.cleanable.dirty.ratio",
	"min.compaction.lag.ms",
	"min.insync.replicas",
	"preallocate",
	"remote.log.copy.disable",
	"remote.log.delete.on.disable",
	"remote.storage.enable",
	"retention.bytes",
	"retention.ms",
	"segment.bytes",
	"segment.index.bytes",
	"segment.jitter.ms",
	"segment.ms",
	"unclean.leader.election.enable",
}

func checkConfigName(topic, name string) error {
	if _, known := slices.BinarySearch(topicConfigs, name); !known {
		return &ConfigError{Topic: topic, Name: name}
	}
	return nil
}

// CreateTopics creates the topics that are not there yet, in order. A topic
// that exists with the same number of partitions is left as it is, its
// configuration too.
//
// It fails with a [*ConfigError] before anything is created, with a
// [*PartitionsError], or with the broker's own refusal of a name. After a
// failure the topics before it exist; calling again is safe.
func (b *Broker) CreateTopics(ctx context.Context, topics []Topic) error {
	for _, t := range topics {
		if t.Partitions < 1 {
			return fmt.Errorf("broker: topic %s: %d partitions, at least 1 is needed", t.Name, t.Partitions)
		}
		if !validName(t.Name) {
			return fmt.Errorf("broker: topic %q: %w", t.Name, kerr.InvalidTopicException)
		}
		for name := range t.Config {
			if err := checkConfigName(t.Name, name); err != nil {
				return err
			}
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	for _, t := range topics {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := b.cluster.CreateTopic(t.Name, t.Partitions, t.Config)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			if got := int32(len(b.cluster.PartitionInfos(t.Name))); got != t.Partitions {
				return &PartitionsError{Topic: t.Name, Want: t.Partitions, Got: got}
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("broker: create topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// validName is Kafka's rule for topic names (Topic.validate).
func validName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 249 {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
}

// screenCreateTopics sees every CreateTopics request of a client before kfake
// does. A request with one unknown configuration is refused as a whole, unlike
// Kafka's, which would create its other topics.
func (b *Broker) screenCreateTopics(kreq kmsg.Request) (kmsg.Response, error, bool) {
	req, ok := kreq.(*kmsg.CreateTopicsRequest)
	if !ok {
		return nil, nil, false
	}
	refused := make(map[string]error)
	for _, t := range req.Topics {
		if !validName(t.Topic) {
			refused[t.Topic] = kerr.InvalidTopicException
		}
		for _, c := range t.Configs {
			if err := checkConfigName(t.Topic, c.Name); err != nil {
				refused[t.Topic] = err
			}
		}
	}
	if len(refused) == 0 {
		return nil, nil, false
	}
	b.cluster.KeepControl() // else kfake drops a function that has answered
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic = t.Topic
		rt.ErrorCode = kerr.InvalidRequest.Code
		msg := "another topic of this request was refused"
		if err := refused[t.Topic]; err != nil {
			rt.ErrorCode = kerr.InvalidConfig.Code
			if errors.Is(err, kerr.InvalidTopicException) {
				rt.ErrorCode = kerr.InvalidTopicException.Code
			}
			msg = err.Error()
		}
		rt.ErrorMessage = &msg
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil, true
}
