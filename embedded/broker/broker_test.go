package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const limit = 20 * time.Second

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o Options) *Broker {
	t.Helper()
	b, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// restart closes b and starts a broker on the same directory and port.
func restart(t *testing.T, b *Broker, dir string) *Broker {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return start(t, Options{Dir: dir, Addr: b.Addr()})
}

func create(t *testing.T, b *Broker, name string, config map[string]string) {
	t.Helper()
	if err := b.CreateTopics(deadline(t), []Topic{{Name: name, Partitions: 1, Config: config}}); err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// committed reads values of partition 0 under read_committed until it has n.
func committed(t *testing.T, b *Broker, topic string, n int) []string {
	t.Helper()
	c := client(t, b, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer c.Close()
	ctx := deadline(t)
	var got []string
	for len(got) < n {
		fs := c.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func transact(t *testing.T, c *kgo.Client, topic, value string, how kgo.TransactionEndTry) {
	t.Helper()
	ctx := deadline(t)
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := c.EndTransaction(ctx, how); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestTransactionsUnderReadCommitted(t *testing.T) {
	b := start(t, Options{})
	create(t, b, "orders", nil)
	c := client(t, b, kgo.TransactionalID("tx"))
	transact(t, c, "orders", "first", kgo.TryCommit)
	transact(t, c, "orders", "undone", kgo.TryAbort)
	transact(t, c, "orders", "second", kgo.TryCommit)
	same(t, committed(t, b, "orders", 2), []string{"first", "second"})
}

// kafka-go writes, reads in a group and commits; a restart on the same
// directory and port keeps the records and the group's position, and the
// clients of before go on.
func TestRestartKeepsRecordsAndGroups(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	create(t, b, "orders", map[string]string{"retention.ms": "-1"})
	ctx := deadline(t)

	w := &kafka.Writer{Addr: kafka.TCP(b.Addr()), Topic: "orders", BatchSize: 1, RequiredAcks: kafka.RequireAll}
	defer w.Close()
	var all []string
	write := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			v := fmt.Sprint("v", i)
			all = append(all, v)
			if err := w.WriteMessages(ctx, kafka.Message{Value: []byte(v)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(b *Broker, n int) (got []string) {
		t.Helper()
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.Addr()}, GroupID: "g", Topic: "orders",
			StartOffset: kafka.FirstOffset, MaxWait: 100 * time.Millisecond})
		defer r.Close()
		for range n {
			m, err := r.FetchMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.CommitMessages(ctx, m); err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Value))
		}
		return got
	}
	write(0, 10)
	same(t, read(b, 4), all[:4])

	again := restart(t, b, dir)
	if got, want := again.Addr(), b.Addr(); got != want {
		t.Fatalf("address %s after the restart, want %s", got, want)
	}
	write(10, 12)
	same(t, committed(t, again, "orders", 12), all)
	same(t, read(again, 8), all[4:])
}

// A transaction that is open at a restart stays open; the next
// InitProducerID on its id aborts it, under the same producer id and a later
// epoch, so the old owner is fenced.
func TestRestartKeepsTransactionalState(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	create(t, b, "orders", nil)
	ctx := deadline(t)

	old := client(t, b, kgo.TransactionalID("task-0"), kgo.TransactionTimeout(10*time.Minute))
	transact(t, old, "orders", "kept", kgo.TryCommit)
	if err := old.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := old.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	pid, epoch, err := old.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}

	b = restart(t, b, dir)
	if i := b.Cluster().PartitionInfo("orders", 0); i.LastStableOffset >= i.HighWatermark {
		t.Fatalf("no transaction is open after the restart: stable %d, end %d", i.LastStableOffset, i.HighWatermark)
	}
	owner := client(t, b, kgo.TransactionalID("task-0"))
	newPID, newEpoch, err := owner.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if newPID != pid || newEpoch <= epoch {
		t.Fatalf("producer %d epoch %d after the restart, before it %d epoch %d", newPID, newEpoch, pid, epoch)
	}
	transact(t, owner, "orders", "next", kgo.TryCommit)
	same(t, committed(t, b, "orders", 2), []string{"kept", "next"})

	err = old.EndTransaction(ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Fatalf("the old owner's commit: %v, want a fence", err)
	}
}

func TestCreateTopics(t *testing.T) {
	b := start(t, Options{})
	ctx := deadline(t)
	want := []Topic{{Name: "a", Partitions: 3}, {Name: "b", Partitions: 1, Config: map[string]string{"retention.ms": "1000"}}}
	for range 2 { // the second time all is there
		if err := b.CreateTopics(ctx, want); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(b.Cluster().PartitionInfos("a")); got != 3 {
		t.Fatalf("%d partitions, want 3", got)
	}
	var pe *PartitionsError
	if err := b.CreateTopics(ctx, []Topic{{Name: "a", Partitions: 4}}); !errors.As(err, &pe) || *pe != (PartitionsError{"a", 4, 3}) {
		t.Fatalf("got %v, want a PartitionsError for a, 4, 3", err)
	}
	var ce *ConfigError
	err := b.CreateTopics(ctx, []Topic{{Name: "c", Partitions: 1}, {Name: "d", Partitions: 1, Config: map[string]string{"retention.milliseconds": "1"}}})
	if !errors.As(err, &ce) || *ce != (ConfigError{"d", "retention.milliseconds"}) {
		t.Fatalf("got %v, want a ConfigError", err)
	}
	if b.Cluster().TopicInfo("c") != nil {
		t.Fatal("c was created although the call was refused")
	}
	for _, bad := range []Topic{{Name: "x", Partitions: 0}, {Name: "a/b", Partitions: 1}, {Name: "..", Partitions: 1}} {
		if err := b.CreateTopics(ctx, []Topic{bad}); err == nil {
			t.Fatalf("%+v was created", bad)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.CreateTopics(ctx, want); !errors.Is(err, ErrClosed) {
		t.Fatalf("after Close: %v, want ErrClosed", err)
	}
}

// What a client sends is held to the same names, again and again, and a topic
// that nobody created is not there.
func TestClientsCreateTopics(t *testing.T) {
	b := start(t, Options{})
	ctx := deadline(t)
	kc := &kafka.Client{Addr: kafka.TCP(b.Addr())}
	make := func(name, config string) error {
		t.Helper()
		resp, err := kc.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
			Topic: name, NumPartitions: 2, ReplicationFactor: 1,
			ConfigEntries: []kafka.ConfigEntry{{ConfigName: config, ConfigValue: "1000"}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Errors[name]
	}
	for range 2 {
		if err := make("typo", "retention.milis"); !errors.Is(err, kafka.InvalidConfiguration) || !strings.Contains(err.Error(), "retention.milis") {
			t.Fatalf("got %v, want INVALID_CONFIG that names the configuration", err)
		}
		if b.Cluster().TopicInfo("typo") != nil {
			t.Fatal("the topic was created")
		}
	}
	if err := make("fine", "segment.ms"); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "nobody", Value: []byte("v")}).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("produced to a topic that nobody created: %v", err)
	}
}

func TestAnnouncedVersions(t *testing.T) {
	b := start(t, Options{})
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(deadline(t), client(t, b))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range resp.ApiKeys {
		if k.ApiKey == 19 && k.MaxVersion != 4 {
			t.Errorf("CreateTopics up to v%d, want 4", k.MaxVersion)
		}
		if slices.Contains([]int16{48, 49, 71, 72, 75, 76, 77, 78, 79, 90, 91, 92}, k.ApiKey) {
			t.Errorf("request kind %d is announced", k.ApiKey)
		}
	}
}

func TestRefusesToStart(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:9092", "example.com:9092"} {
		if _, err := Start(Options{Addr: addr}); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v, want ErrNotLoopback", addr, err)
		}
	}
	if _, err := Start(Options{Addr: "127.0.0.1"}); err == nil {
		t.Error("an address without a port was taken")
	}
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	if _, err := Start(Options{Dir: dir}); !errors.Is(err, ErrDirInUse) {
		t.Errorf("second broker on a directory: %v, want ErrDirInUse", err)
	}
	other := t.TempDir()
	var op *net.OpError
	if _, err := Start(Options{Dir: other, Addr: b.Addr()}); !errors.As(err, &op) {
		t.Errorf("second broker on a port: %v", err)
	}
	start(t, Options{Dir: other}) // the failed start let go of the directory
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	create(t, b, "short", map[string]string{"retention.ms": "60000"})
	create(t, b, "default", nil)
	create(t, b, "forever", map[string]string{"retention.ms": "-1"})
	create(t, b, "compacted", map[string]string{"cleanup.policy": "compact"})
	ctx := deadline(t)
	c := client(t, b)
	base := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	topics := []string{"short", "default", "forever", "compacted"}
	for _, topic := range topics {
		for i := range 5 { // one a minute
			r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("v"), Timestamp: base.Add(time.Duration(i) * time.Minute)}
			if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	starts := func() (got [4]int64) {
		for i, topic := range topics {
			got[i] = b.Cluster().PartitionInfo(topic, 0).LogStartOffset
		}
		return got
	}
	apply := func(after time.Duration) {
		t.Helper()
		if err := b.retention.apply(ctx, base.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	apply(3*time.Minute + time.Second)
	if got, want := starts(), [4]int64{3, 0, 0, 0}; got != want {
		t.Fatalf("log starts %v after 3 minutes, want %v", got, want)
	}
	apply(30 * 24 * time.Hour)
	if got, want := starts(), [4]int64{4, 4, 0, 0}; got != want {
		t.Fatalf("log starts %v after 30 days, want %v", got, want)
	}
	b = restart(t, b, dir)
	for _, topic := range topics {
		if got := b.Cluster().PartitionInfo(topic, 0).HighWatermark; got != 5 {
			t.Fatalf("%s ends at %d after the restart, want 5", topic, got)
		}
	}
}

// Faults that a test puts in see a CreateTopics request after the broker's own check.
func TestControlKey(t *testing.T) {
	b := start(t, Options{})
	seen := 0
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		seen++
		return nil, errors.New("cut the connection"), true
	})
	create(t, b, "orders", nil)
	if err := client(t, b).ProduceSync(deadline(t), &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if seen != 1 {
		t.Fatalf("the fault was injected %d times, want once", seen)
	}
	same(t, committed(t, b, "orders", 1), []string{"v"})
}

// kafka-consumer-groups asks for groups of the types "Classic" and "Consumer",
// and Kafka does not mind the capitals.
func TestGroupsAreListedByTypeAsJavaWritesIt(t *testing.T) {
	b := start(t, Options{})
	create(t, b, "orders", nil)
	if err := client(t, b).ProduceSync(deadline(t), &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("orders"))
	if err := c.PollFetches(deadline(t)).Err(); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"first", "again"} {
		req := kmsg.NewPtrListGroupsRequest()
		req.TypesFilter = []string{"Classic", "Consumer"}
		res, err := req.RequestWith(deadline(t), c)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Groups) != 1 || res.Groups[0].Group != "readers" {
			t.Errorf("%s: %+v", again, res.Groups)
		}
	}
}
