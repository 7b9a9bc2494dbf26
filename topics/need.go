package topics

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"tidemark/processor/runtime"
	"tidemark/schemas"
)

// Role says what a topic is for.
type Role uint8

const (
	Input Role = iota
	Internal
	Out
)

func (r Role) String() string { return [...]string{"input", "internal", "out"}[r%3] }

// Topic is one topic that an app needs.
type Topic struct {
	Name       string
	Role       Role
	Partitions int32
	Config     map[string]string // that it is created with
}

// month is how long out topics keep what they say (the contract's 30 days).
const month = 30 * 24 * time.Hour

// Need lists the topics of an app, inputs first, then journal, control and
// transfers, then the out topics in the order of the contract.
func Need(names runtime.Topics, partitions int32) []Topic {
	forever := func(more ...string) map[string]string {
		m := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	list := []Topic{
		{names.Orders, Input, partitions, map[string]string{"cleanup.policy": "delete"}},
		{names.Behaviors, Input, partitions, map[string]string{"cleanup.policy": "delete"}},
		{names.Journal, Internal, partitions, forever("message.timestamp.type", "LogAppendTime")},
		{names.Control, Internal, 1, forever()},
		{names.Transfers, Internal, partitions, forever()},
	}
	for _, t := range schemas.OutTopics {
		list = append(list, Topic{names.Out(t), Out, partitions,
			map[string]string{"cleanup.policy": "delete", "retention.ms": strconv.FormatInt(month.Milliseconds(), 10)}})
	}
	return list
}

// CreateCommand is the command line that makes the topic. A replication factor
// below 1 leaves it to the broker, and so does a minInsync below 1.
func (t Topic) CreateCommand(brokers []string, replication, minInsync int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d", strings.Join(brokers, ","), t.Name, t.Partitions)
	if replication > 0 {
		fmt.Fprintf(&b, " --replication-factor %d", replication)
	}
	for _, kv := range t.settings(minInsync) {
		fmt.Fprintf(&b, " --config %s=%s", kv[0], kv[1])
	}
	return b.String()
}

// settings is the configuration to create the topic with, sorted by name.
func (t Topic) settings(minInsync int) [][2]string {
	var out [][2]string
	for k, v := range t.Config {
		out = append(out, [2]string{k, v})
	}
	if minInsync > 0 {
		out = append(out, [2]string{"min.insync.replicas", strconv.Itoa(minInsync)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i][0] < out[j][0] })
	return out
}
