package registry

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/embedded/broker"
)

// refuseProduce makes the broker refuse the next produce request.
func (l *lab) refuseProduce() *atomic.Int32 {
	var seen atomic.Int32
	l.broker.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		seen.Add(1)
		req := kreq.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.PolicyViolation.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	return &seen
}

// A write that the topic refused is not a success, changes nothing, and its id is used up.
func TestRefusedWrite(t *testing.T) {
	l := newLab(t)
	seen := l.refuseProduce()
	l.fails("POST", "/subjects/s/versions", schemaBody(`"string"`), 50001)
	if got := seen.Load(); got != 1 {
		t.Fatalf("%d produce requests were refused, want 1", got)
	}
	l.ok("GET", "/subjects", "", `[]`)
	l.register("s", `"string"`, 2)
}

// Nothing is acknowledged before it was read back.
func TestAcknowledgedAfterReadBack(t *testing.T) {
	l := newLab(t)
	var open atomic.Bool
	cut := make(chan struct{}, 100)
	l.broker.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		if open.Load() {
			return nil, nil, false
		}
		l.broker.Cluster().KeepControl()
		select {
		case cut <- struct{}{}:
		default:
		}
		return nil, errors.New("cut the connection"), true
	})
	<-cut // no fetch of before is still waiting at the broker
	type result struct {
		body string
		err  error
	}
	done := make(chan result, 1)
	ctx, url := deadline(t), l.server.URL()
	go func() {
		_, body, err := send(ctx, url, "POST", "/subjects/s/versions", schemaBody(`"string"`))
		done <- result{body, err}
	}()
	for l.broker.Cluster().PartitionInfo(DefaultTopic, 0).HighWatermark == 0 {
		<-cut
	}
	<-cut
	select {
	case r := <-done:
		t.Fatalf("answered %v before the record was read back", r)
	default:
	}
	l.ok("GET", "/subjects", "", `[]`)
	open.Store(true)
	if r := <-done; r.err != nil || r.body != `{"id":1}` {
		t.Fatalf("got %v", r)
	}
}

func (l *lab) produce(topic string, recs ...*kgo.Record) {
	l.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(l.broker.Addr()), kgo.DefaultProduceTopic(topic))
	if err != nil {
		l.Fatal(err)
	}
	defer c.Close()
	if err := c.ProduceSync(deadline(l.T), recs...).FirstErr(); err != nil {
		l.Fatal(err)
	}
}

func asKafka(r record) *kgo.Record { return &kgo.Record{Key: r.key, Value: r.value} }

// A record of somebody else is taken in, and then every write is refused until a new start.
func TestOtherWriter(t *testing.T) {
	l := newLab(t)
	l.register("s", `"string"`, 1)
	l.produce(DefaultTopic, asKafka(schemaRecord(schemaValue{Subject: "theirs", Version: 1, ID: 2, Schema: `"int"`})))
	ctx := deadline(t)
	for { // until it has been read
		l.server.mu.RLock()
		broken, changed := l.server.broken, l.server.changed
		l.server.mu.RUnlock()
		if errors.Is(broken, ErrOtherWriter) {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("the other writer was not noticed")
		}
	}
	l.ok("GET", "/subjects", "", `["s","theirs"]`)
	l.fails("POST", "/subjects/s2/versions", schemaBody(`"long"`), 50001)
	l.fails("PUT", "/config", `{"compatibility":"NONE"}`, 50001)
	l.restart()
	l.register("s2", `"long"`, 3)
}

// What Confluent's registry writes is understood: fields that we do not know,
// null subjects, NOOPs without value, other key types.
func TestReadsTheRealRegistrysTopic(t *testing.T) {
	l := newLab(t)
	if err := l.server.Close(); err != nil {
		t.Fatal(err)
	}
	text := func(key, value string) *kgo.Record {
		r := &kgo.Record{Key: []byte(key)}
		if value != "" {
			r.Value = []byte(value)
		}
		return r
	}
	l.produce(DefaultTopic,
		text(`{"keytype":"NOOP","magic":0}`, ``),
		text(`{"keytype":"CONFIG","subject":null,"magic":0}`, `{"compatibilityLevel":"FULL"}`),
		text(`{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}`,
			`{"subject":"s","version":1,"id":7,"md5":"xyz","schema":"\"string\"","deleted":false}`),
		text(`{"keytype":"SCHEMA","subject":"p","version":1,"magic":1}`,
			`{"subject":"p","version":1,"id":8,"schemaType":"PROTOBUF","schema":"syntax = \"proto3\";","deleted":false}`),
		text(`{"keytype":"SCHEMA","subject":"d","version":1,"magic":1}`,
			`{"subject":"d","version":1,"id":9,"schema":"\"int\"","deleted":false}`),
		text(`{"keytype":"DELETE_SUBJECT","subject":"d","magic":0}`, `{"subject":"d","version":1}`),
		text(`{"keytype":"CLEAR_SUBJECT","subject":"x","magic":0}`, `{"subject":"x"}`),
		text(`{"keytype":"MODE","subject":"s","magic":0}`, `{"mode":"READONLY"}`),
	)
	l.startServer()
	l.ok("GET", "/config", "", `{"compatibilityLevel":"FULL"}`)
	l.ok("GET", "/mode/s", "", `{"mode":"READONLY"}`)
	l.ok("GET", "/subjects", "", `["p","s"]`)
	l.ok("GET", "/subjects/p/versions/1", "", `{"subject":"p","version":1,"id":8,"schemaType":"PROTOBUF","schema":"syntax = \"proto3\";"}`)
	l.ok("GET", "/schemas/ids/9", "", `{"schema":"\"int\""}`)
	l.fails("POST", "/subjects/p/versions", schemaBody(`"int"`), 42201)
	l.register("new", `"long"`, 10)
}

func TestRefusesToStart(t *testing.T) {
	l := newLab(t)
	ctx := deadline(t)
	start := func(o Options) error {
		t.Helper()
		if o.Brokers == nil {
			o.Brokers = []string{l.broker.Addr()}
		}
		s, err := Start(ctx, o)
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	if err := start(Options{Addr: "0.0.0.0:0"}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("got %v, want ErrNotLoopback", err)
	}
	if err := start(Options{Brokers: []string{}}); err == nil {
		t.Error("started without a broker")
	}
	if err := l.broker.CreateTopics(ctx, []broker.Topic{
		{Name: "wide", Partitions: 2, Config: map[string]string{"cleanup.policy": "compact"}},
		{Name: "forgets", Partitions: 1},
		{Name: "garbage", Partitions: 1, Config: map[string]string{"cleanup.policy": "compact"}},
		{Name: "twice", Partitions: 1, Config: map[string]string{"cleanup.policy": "compact"}},
	}); err != nil {
		t.Fatal(err)
	}
	l.produce("garbage", &kgo.Record{Key: []byte("k"), Value: []byte("v")})
	l.produce("twice", asKafka(schemaRecord(schemaValue{Subject: "a", Version: 1, ID: 1, Schema: `"int"`})),
		asKafka(schemaRecord(schemaValue{Subject: "b", Version: 1, ID: 1, Schema: `"long"`})))
	for topic, want := range map[string]string{"wide": "2 partitions", "forgets": "cleanup.policy=delete",
		"garbage": "offset 0", "twice": "id 1"} {
		if err := start(Options{Topic: topic}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("topic %s: %v, want an error that says %q", topic, err, want)
		}
	}
}

// The log may begin after offset 0, and end with offsets that hold no record.
func TestGapsAtBothEnds(t *testing.T) {
	l := newLab(t)
	for i, schema := range []string{`"int"`, `"long"`, `"string"`} {
		l.register("s"+string(rune('a'+i)), schema, i+1)
	}
	if err := l.server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.broker.Cluster().DeleteRecords(DefaultTopic, 0, 2); err != nil {
		t.Fatal(err)
	}
	// A transaction ends with a marker: an offset that never gives a record.
	c, err := kgo.NewClient(kgo.SeedBrokers(l.broker.Addr()), kgo.DefaultProduceTopic(DefaultTopic), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := asKafka(settingRecord(keyConfig, "", configValue{levelFull}))
	if err := c.ProduceSync(deadline(t), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := c.EndTransaction(deadline(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	l.startServer()
	l.ok("GET", "/subjects", "", `["sc"]`)
	l.register("sd", `"bytes"`, 4)
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr := b.Addr()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := Start(short, Options{Brokers: []string{addr}}); err == nil || ctx.Err() != nil {
		t.Fatalf("got %v", err)
	}
}

// Compaction can leave offsets at the end of a log that hold nothing at all, and
// then no batch says that the end was reached. kfake keeps the last batch, so
// the broker's answer is made up.
func TestNothingUpToTheEnd(t *testing.T) {
	l := newLab(t)
	l.register("s", `"string"`, 1)
	if err := l.server.Close(); err != nil {
		t.Fatal(err)
	}
	answered := 0
	l.broker.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		req := kreq.(*kmsg.FetchRequest)
		if req.Topics[0].Partitions[0].FetchOffset > 0 {
			return nil, nil, false
		}
		l.broker.Cluster().KeepControl()
		answered++
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark = 1
		rt.Topic, rt.TopicID, rt.Partitions = req.Topics[0].Topic, req.Topics[0].TopicID, append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	l.startServer()
	if answered != 1 {
		t.Fatalf("%d fetches were answered with nothing, want 1", answered)
	}
	l.register("s", `"int"`, 1) // the record was hidden, so its id is free
}
