package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/testkit"
)

// client is a row of the matrix.
type client struct {
	name    string // as the page says it
	setting string // what the client must be told for murmur2; the drivers do
	command func(*testing.T) command
	// shows: with read_committed it shows aborted records all the same.
	shows bool
}

var matrix = []client{
	{name: "confluent-kafka (Python)", setting: "`partitioner=murmur2_random`", command: python},
	{name: "Java client", setting: "default", command: javaDriver},
	{name: "kafkajs (Node)", setting: "default since 2.0", command: node},
	{name: "Sarama (Go)", setting: "[custom hash](../examples/partitioner/murmur2.go)", command: golang("sarama")},
	{name: "franz-go (Go)", setting: "default", command: golang("franz")},
	{name: "kafka-go (Go)", setting: "`Balancer: kafka.Murmur2Balancer{}`", command: golang("kafkago"), shows: true},
}

const partitions = 4

// world is one app of Tidemark on the test's broker, with the playbook of `tidemark dev`.
type world struct {
	app    string
	broker string
	url    string // of the registry
	topics runtime.Topics
	schema string // file with the contract's order event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{app: testkit.Unique(t, "clients"), broker: testkit.Broker(t), url: testkit.Registry(t)}
	w.topics = runtime.TopicsOf(w.app, w.app+".")
	w.topics.Orders, w.topics.Behaviors = w.app+"-orders", w.app+"-behaviors"
	made := []string{w.topics.Journal, w.topics.Control, w.topics.Transfers}
	for _, topic := range schemas.OutTopics {
		made = append(made, w.topics.Out(topic))
	}
	testkit.DeleteAfter(t, made...)
	testkit.CreateTopic(t, w.topics.Orders, partitions, nil)
	testkit.CreateTopic(t, w.topics.Behaviors, partitions, nil)
	w.schema = write(t, "order_event.avsc", schemas.Text("OrderEvent"))
	return w
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// process starts `tidemark run`; stop ends it calmly.
func (w *world) process(t *testing.T) (stop func()) {
	t.Helper()
	config := write(t, "tidemark.yaml", fmt.Sprintf(`app: %s
data_dir: %s
playbook: %s
kafka:
  brokers: [%q]
  topics: {orders: %s, behaviors: %s}
  out_prefix: "%s"
schema_registry: {urls: [%q]}
history: {fire_from: beginning}
commit: {max_delay: 20ms}
http: {listen: "127.0.0.1:0"}
log: {level: warn}
`, w.app, t.TempDir(), starterPlaybook, w.broker, w.topics.Orders, w.topics.Behaviors, w.topics.OutPrefix, w.url))
	cmd := exec.Command(tidemark(t), "run", "--config", config)
	var log strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-gone:
			if err != nil {
				t.Errorf("tidemark run: %v\n%s", err, &log)
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("tidemark run did not end:\n%s", &log)
		}
	}
	t.Cleanup(stop)
	return stop
}

// starterPlaybook is the one that `tidemark dev` runs: a warning after an hour of silence.
const starterPlaybook = "../../cmd/tidemark/starter.yaml"

// customers are what each client publishes an order for. Their keys are of all
// lengths modulo four, and beyond ASCII.
const customers = 24

func orders(client int) (list []order, lines string) {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	for i := range customers {
		id := fmt.Sprintf("客户-%d-%s", client, strings.Repeat("x", i))
		list = append(list, order{EventID: "event-" + id, CustomerID: id, OrderID: "order-" + id, Type: "PAID",
			OccurredAt: time.Now().Add(-48 * time.Hour).UnixMilli(), AmountMinor: int64(12_000 + i), Currency: "USD", Channel: "app",
			Items: []orderItem{{SKU: "茶", Quantity: 2, AmountMinor: int64(12_000 + i)}}, Attributes: map[string]string{"source": "push"}})
		_ = enc.Encode(list[i])
	}
	return list, text.String()
}

// TestMatrix is the table of docs/clients.md: each client against this run's broker.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	// One customer per client is published from here, so that there are triggers
	// to read whatever tool chains there are.
	id := testkit.Register(t, w.topics.Orders, "OrderEvent")
	var own []*kgo.Record
	for i := range customers {
		e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: fmt.Sprint("e", i), CustomerID: fmt.Sprint("c", i), OrderID: fmt.Sprint("o", i),
			OccurredAt: schemas.EventTime(time.Now().Add(-48 * time.Hour).UnixMilli()), AmountMinor: 100, Currency: "USD"}
		own = append(own, testkit.EventRecord(id, &e))
	}
	testkit.Produce(t, w.topics.Orders, own...)

	rows := newResults(matrix)
	each := func(name string, cell func(t *testing.T, i int, c client)) {
		t.Run(name, func(t *testing.T) {
			for i, c := range matrix {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					cell(t, i, c)
					rows.passed(t, c.name, name)
				})
			}
		})
	}
	each("version", func(t *testing.T, _ int, c client) {
		rows.version(c.name, one[struct{ Version string }](t, c.command(t), "", "version").Version)
	})
	each("produce", func(t *testing.T, i int, c client) { w.produce(t, i, c.command(t)) })

	stop := w.process(t)
	warnings := w.topics.Out(schemas.ChurnWarnings)
	testkit.AwaitTopic(t, warnings, partitions)
	testkit.AwaitCommitted(t, warnings, len(testkit.ReadCommitted(t, w.topics.Orders)))
	stop()
	for _, topic := range []schemas.Topic{schemas.DeadLetters, schemas.SuppressedTriggers} {
		for _, r := range testkit.ReadCommitted(t, w.topics.Out(topic)) {
			t.Errorf("%s: %q", topic, r.Value)
		}
	}
	want := spoil(t, warnings)
	each("consume", func(t *testing.T, _ int, c client) {
		got := run[read](t, c.command(t), "", "consume", w.broker, w.url, warnings, fmt.Sprint(partitions))
		sortReads(got)
		if c.shows {
			if len(got) <= len(want) {
				t.Errorf("%d triggers of %d: it no longer shows aborted records; docs/clients.md must say so", len(got), len(want))
			}
			return
		}
		if d := difference(got, want); d != "" {
			t.Errorf("%d triggers, want %d; the first that differs:\n%s", len(got), len(want), d)
		}
	})
	each("group", func(t *testing.T, _ int, c client) { w.group(t, c.command(t)) })
	each("admin", func(t *testing.T, _ int, c client) {
		topic := testkit.Unique(t, "admin")
		got := one[administered](t, c.command(t), "", "admin", w.broker, topic)
		if want := (administered{Partitions: 3, Retention: "3600000", Listed: true, Altered: "7200000"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		gone(t, topic)
	})
	rows.hold(t)
}

// produce: what the client's own Avro serializer makes is read as the contract's
// event, under the schema id that everybody gets, on murmur2's partition.
func (w *world) produce(t *testing.T, client int, c command) {
	list, lines := orders(client)
	if got, want := one[struct{ Taken int }](t, c, lines, "produce", w.broker, w.url, w.topics.Orders, w.schema).Taken, len(list); got != want {
		t.Fatalf("taken: %d, want %d", got, want)
	}
	id := testkit.Register(t, w.topics.Orders, "OrderEvent")
	reader, err := schemas.CompileReader(schemas.Text("OrderEvent"), schemas.Order)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range testkit.ReadCommitted(t, w.topics.Orders) {
		key := string(r.Key)
		if !strings.HasPrefix(key, fmt.Sprintf("客户-%d-", client)) {
			continue
		}
		if got, want := r.Partition, source.Partition(r.Key, partitions); got != want {
			t.Errorf("%s is on partition %d, murmur2 says %d", key, got, want)
		}
		its, body, err := schemas.ParseWire(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if its != id {
			t.Errorf("schema id %d, want %d", its, id)
		}
		var e schemas.Event
		if err := reader.Decode(body, &e); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if _, twice := got[key]; twice {
			t.Errorf("%s stands twice", key)
		}
		got[key] = fmt.Sprintf("%+v", e)
	}
	if len(got) != len(list) {
		t.Errorf("%d records, want %d", len(got), len(list))
	}
	for _, o := range list {
		e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: o.EventID, CustomerID: o.CustomerID, OrderID: o.OrderID, OccurredAt: schemas.EventTime(o.OccurredAt),
			AmountMinor: o.AmountMinor, Currency: o.Currency, Channel: o.Channel, Attributes: []schemas.Attribute{{Key: "source", Value: "push"}},
			Items: []schemas.Item{{SKU: "茶", Quantity: 2, AmountMinor: o.AmountMinor}}}
		if got, want := got[o.CustomerID], fmt.Sprintf("%+v", e); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// spoil adds to a topic of triggers, on each partition, an aborted transaction
// with copies of real triggers and then the record at which readers end. It
// returns what a read_committed reader must see before that.
func spoil(t *testing.T, topic string) (want []read) {
	t.Helper()
	all := testkit.ReadCommitted(t, topic)
	reader := newTriggers(t)
	byPartition := map[int32]*kgo.Record{}
	for _, r := range all {
		want = append(want, read{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: reader.decode(t, r.Value)})
		byPartition[r.Partition] = r
	}
	sortReads(want)
	if len(byPartition) != partitions {
		t.Fatalf("triggers on %d partitions only", len(byPartition))
	}
	for _, r := range byPartition {
		c := producer(t, kgo.TransactionalID(testkit.Unique(t, "aborts")))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		put(t, c, topic, r.Partition, &kgo.Record{Key: r.Key, Value: r.Value})
		if err := c.EndTransaction(testkit.Context(t), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	}
	c := producer(t)
	for p := range int32(partitions) {
		put(t, c, topic, p, &kgo.Record{Key: []byte(endKey)})
	}
	if seen, hidden := len(testkit.ReadUncommitted(t, topic)), len(testkit.ReadCommitted(t, topic)); seen != hidden+partitions {
		t.Fatalf("%d records with the aborted ones and %d without: nothing to hide", seen, hidden)
	}
	return want
}

// producer compresses nothing, as Tidemark does: of the codecs kafkajs has gzip
// only by itself.
func producer(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	return testkit.Client(t, append(options, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
}

func put(t *testing.T, c *kgo.Client, topic string, partition int32, records ...*kgo.Record) {
	t.Helper()
	for _, r := range records {
		r.Topic, r.Partition = topic, partition
	}
	if err := c.ProduceSync(testkit.Context(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func sortReads(list []read) {
	slices.SortFunc(list, func(a, b read) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	for i := range list {
		list[i].value = nil
	}
}

func difference(got, want []read) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			return "one is longer"
		}
		if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
			return fmt.Sprintf("got  %s\nwant %s", g, w)
		}
	}
	return ""
}

// heard is a line of a member of a group.
type heard struct {
	Assigned  *[]int32 `json:"assigned"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       string   `json:"key"`
}

// owns is the last assignment that a member told.
func owns(t testing.TB, lines [][]byte) (parts []int32) {
	for _, line := range lines {
		if h := decode[heard](t, line); h.Assigned != nil {
			parts = slices.Sorted(slices.Values(*h.Assigned))
		}
	}
	return parts
}

func keys(t testing.TB, all ...[][]byte) map[string]int {
	out := map[string]int{}
	for _, lines := range all {
		for _, line := range lines {
			if h := decode[heard](t, line); h.Assigned == nil {
				out[h.Key]++
			}
		}
	}
	return out
}

// group: one member has all, a second takes half, the first leaves, all leave,
// and whoever comes next goes on where they stopped.
func (w *world) group(t *testing.T, c command) {
	topic, group := testkit.Topic(t, "group", partitions, nil), testkit.Unique(t, "group")
	const records = 5
	writer := producer(t)
	batch := func(name string) (want map[string]int) {
		want = map[string]int{}
		for p := range int32(partitions) {
			var list []*kgo.Record
			for i := range records {
				key := fmt.Sprintf("%s-%d-%d", name, p, i)
				want[key] = 1
				list = append(list, &kgo.Record{Key: []byte(key), Value: []byte("x")})
			}
			put(t, writer, topic, p, list...)
		}
		return want
	}
	has := func(want map[string]int, got map[string]int) bool {
		for k := range want {
			if got[k] == 0 {
				return false
			}
		}
		return true
	}
	join := func() *process { return c.start(t, "member", w.broker, topic, group) }
	owned := func(p *process, n int) {
		p.until(fmt.Sprintf("assignment of %d partitions", n), func(lines [][]byte) bool { return len(owns(t, lines)) == n })
	}
	leave := func(p *process) {
		_ = p.stdin.Close()
		p.wait()
	}

	a := join()
	owned(a, partitions)
	first := batch("first")
	a.until("first batch", func(lines [][]byte) bool { return has(first, keys(t, lines)) })
	b := join()
	owned(b, partitions/2)
	owned(a, partitions/2)
	if both := slices.Sorted(slices.Values(slices.Concat(owns(t, a.printed()), owns(t, b.printed())))); len(slices.Compact(both)) != partitions {
		t.Errorf("both have %v", both)
	}
	second := batch("second")
	b.until("second batch", func([][]byte) bool {
		// b's half; a's is waited for below.
		n := 0
		for k := range keys(t, b.printed()) {
			if strings.HasPrefix(k, "second") {
				n++
			}
		}
		return n >= len(second)/2
	})
	a.until("its half of the second batch", func(lines [][]byte) bool { return has(second, keys(t, lines, b.printed())) })
	leave(a)
	owned(b, partitions)
	third := batch("third")
	b.until("third batch", func(lines [][]byte) bool { return has(third, keys(t, lines)) })
	leave(b)
	for k, n := range keys(t, a.printed(), b.printed()) {
		if n != 1 {
			t.Errorf("%s was read %d times", k, n)
		}
	}
	d := join()
	owned(d, partitions)
	fourth := batch("fourth")
	d.until("fourth batch", func(lines [][]byte) bool { return has(fourth, keys(t, lines)) })
	leave(d)
	if got := keys(t, d.printed()); !maps.Equal(got, fourth) {
		t.Errorf("after all had left the next one read %v, want %v", got, fourth)
	}
}
