package clients

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/processor/source"
	"tidemark/testkit"
)

// consoleTools is the row of Kafka's command line tools, which know no Avro.
var consoleTools = client{name: "Kafka's console tools", setting: "default"}

func (c client) toolsSay(cell string) string {
	return map[string]string{"produce": "text", "consume": "yes, undecoded", "group": "yes", "admin": "yes"}[cell]
}

// The main classes behind the scripts in Kafka's bin folder.
const (
	kafkaTopics         = "org.apache.kafka.tools.TopicCommand"
	kafkaConfigs        = "kafka.admin.ConfigCommand"
	kafkaProducer       = "org.apache.kafka.tools.ConsoleProducer"
	kafkaConsumer       = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	kafkaConsumerGroups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
)

// tool runs one of them to its end and gives what it printed.
func tool(t *testing.T, stdin, class string, args ...string) string {
	t.Helper()
	jars := need(t, toolsEnv, "Kafka's console tools")
	c := command{args: append(java(filepath.Join(jars, "*")), "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", class)}
	p := c.start(t, append(args, "--bootstrap-server", testkit.Broker(t))...)
	_, _ = p.stdin.Write([]byte(stdin))
	_ = p.stdin.Close()
	var out strings.Builder
	for _, line := range p.wait() {
		out.Write(append(line, '\n'))
	}
	return out.String()
}

func TestConsoleTools(t *testing.T) {
	need(t, toolsEnv, "Kafka's console tools")
	testkit.Broker(t)
	rows := newResults(nil)
	cell := func(t *testing.T, name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t)
			rows.passed(t, consoleTools.name, name)
		})
	}
	t.Run("all", func(t *testing.T) {
		cell(t, "version", func(t *testing.T) {
			rows.version(consoleTools.name, strings.Fields(tool(t, "", kafkaTopics, "--version"))[0])
		})
		cell(t, "produce", toolsProduce)
		cell(t, "consume", toolsConsume)
		cell(t, "group", toolsGroup)
		cell(t, "admin", toolsAdmin)
	})
	for _, c := range append(cells, "version") {
		if !rows.done[consoleTools.name+"/"+c] {
			return
		}
	}
	holdRow(t, consoleTools.row(rows.versions[consoleTools.name], consoleTools.toolsSay))
}

func toolsProduce(t *testing.T) {
	topic := testkit.Topic(t, "console", partitions, nil)
	var lines strings.Builder
	for i := range customers {
		fmt.Fprintf(&lines, "c-%d-%s\tv%d\n", i, strings.Repeat("x", i), i)
	}
	tool(t, lines.String(), kafkaProducer, "--topic", topic, "--property", "parse.key=true", "--sync")
	all := testkit.ReadCommitted(t, topic)
	if got, want := len(all), customers; got != want {
		t.Errorf("%d records, want %d", got, want)
	}
	for _, r := range all {
		if got, want := r.Partition, source.Partition(r.Key, partitions); got != want {
			t.Errorf("%s is on partition %d, murmur2 says %d", r.Key, got, want)
		}
	}
}

func toolsConsume(t *testing.T) {
	topic := testkit.Topic(t, "console", 1, nil)
	id := testkit.Unique(t, "writer")
	record := func(key string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte("v")} }
	testkit.ProduceTransaction(t, topic, id, testkit.Commit, record("yes"))
	testkit.ProduceTransaction(t, topic, id, testkit.Abort, record("no"))
	testkit.ProduceTransaction(t, topic, id, testkit.Commit, record("yes too"))
	testkit.Produce(t, topic, record("end"))
	got := tool(t, "", kafkaConsumer, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--max-messages", "3", "--timeout-ms", "60000",
		"--property", "print.key=true", "--property", "print.value=false")
	if want := "yes\nyes too\nend\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// toolsGroup: a consumer of a group commits, the next goes on, and the group's
// own tool shows the offsets, moves them and deletes the group.
func toolsGroup(t *testing.T) {
	topic, group := testkit.Topic(t, "console", 1, nil), testkit.Unique(t, "group")
	consume := func(n int) string {
		return tool(t, "", kafkaConsumer, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", fmt.Sprint(n), "--timeout-ms", "60000")
	}
	testkit.Produce(t, topic, kgo.StringRecord("one"), kgo.StringRecord("two"))
	if got, want := consume(2), "one\ntwo\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	testkit.Produce(t, topic, kgo.StringRecord("three"))
	if got, want := consume(1), "three\n"; got != want {
		t.Errorf("the group goes on with %q, want %q", got, want)
	}
	has := func(text string, words ...string) bool {
		for _, line := range strings.Split(text, "\n") {
			if f := strings.Fields(line); len(f) >= len(words) && slices.Equal(f[:len(words)], words) {
				return true
			}
		}
		return false
	}
	if got := tool(t, "", kafkaConsumerGroups, "--describe", "--group", group); !has(got, group, topic, "0", "3", "3", "0") {
		t.Errorf("describe:\n%s", got)
	}
	if got := tool(t, "", kafkaConsumerGroups, "--reset-offsets", "--to-offset", "1", "--execute", "--group", group, "--topic", topic); !has(got, group, topic, "0", "1") {
		t.Errorf("reset:\n%s", got)
	}
	if got := tool(t, "", kafkaConsumerGroups, "--list"); !has(got, group) {
		t.Errorf("list:\n%s", got)
	}
	if got := tool(t, "", kafkaConsumerGroups, "--delete", "--group", group); !strings.Contains(got, "successful") {
		t.Errorf("delete:\n%s", got)
	}
}

func toolsAdmin(t *testing.T) {
	topic := testkit.Unique(t, "console")
	tool(t, "", kafkaTopics, "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=3600000")
	if got := tool(t, "", kafkaTopics, "--describe", "--topic", topic); !strings.Contains(got, "PartitionCount: 3") || !strings.Contains(got, "retention.ms=3600000") {
		t.Errorf("describe:\n%s", got)
	}
	tool(t, "", kafkaConfigs, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", "retention.ms=7200000")
	if got := tool(t, "", kafkaConfigs, "--describe", "--entity-type", "topics", "--entity-name", topic); !strings.Contains(got, "retention.ms=7200000") {
		t.Errorf("describe:\n%s", got)
	}
	if got := tool(t, "", kafkaTopics, "--list"); !slices.Contains(strings.Fields(got), topic) {
		t.Errorf("list:\n%s", got)
	}
	tool(t, "", kafkaTopics, "--delete", "--topic", topic)
	gone(t, topic)
}

// gone waits until the broker knows the topic no more.
func gone(t *testing.T, topic string) {
	t.Helper()
	c, ctx := testkit.Client(t), testkit.Context(t)
	for {
		req := kmsg.NewPtrMetadataRequest()
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &topic
		req.Topics = append(req.Topics, rt)
		res, err := req.RequestWith(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if errors.Is(kerr.ErrorForCode(res.Topics[0].ErrorCode), kerr.UnknownTopicOrPartition) {
			return
		}
		wait, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		<-wait.Done()
		cancel()
		if ctx.Err() != nil {
			t.Fatalf("the topic %s is still there", topic)
		}
	}
}
