package testkit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"tidemark/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func numbered(prefix string, n int) (records []*kgo.Record) {
	for i := range n {
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "c%d", i), Value: fmt.Appendf(nil, "%s%d", prefix, i)})
	}
	return records
}

func values(records []*kgo.Record) map[string]int {
	seen := map[string]int{}
	for _, r := range records {
		seen[string(r.Value)]++
	}
	return seen
}

func TestWhatIsProducedIsRead(t *testing.T) {
	topic := Topic(t, "plain", 4, map[string]string{"cleanup.policy": "delete"})
	Produce(t, topic, numbered("v", 500)...)
	got := ReadCommitted(t, topic)
	if got, want := len(values(got)), 500; got != want {
		t.Errorf("%d different values, want %d", got, want)
	}
	for i := 1; i < len(got); i++ {
		a, b := got[i-1], got[i]
		if a.Partition > b.Partition || a.Partition == b.Partition && a.Offset >= b.Offset {
			t.Fatalf("record %d (partition %d offset %d) follows %d/%d", i, b.Partition, b.Offset, a.Partition, a.Offset)
		}
	}
}

// Java's own partitions for these keys of four: murmur2, first bit cleared, modulo 4
// (org.apache.kafka.common.utils.Utils, whose test gives the hashes of "21" and "foobar").
func TestKeysGoWhereJavaSendsThem(t *testing.T) {
	topic := Topic(t, "murmur2", 4, nil)
	for key, hash := range map[string]int32{"21": -973932308, "foobar": -790332482} {
		Produce(t, topic, &kgo.Record{Key: []byte(key), Value: []byte(key)})
		want := (hash & 0x7fffffff) % 4
		found := 0
		for _, r := range ReadCommitted(t, topic) {
			if string(r.Key) != key {
				continue
			}
			found++
			if got := r.Partition; got != want {
				t.Errorf("key %q is in partition %d, want %d", key, got, want)
			}
		}
		if got, want := found, 1; got != want {
			t.Errorf("key %q stands %d times, want %d", key, got, want)
		}
	}
}

func TestProduceToIgnoresKeys(t *testing.T) {
	topic := Topic(t, "manual", 3, nil)
	ProduceTo(t, topic, 2, numbered("v", 10)...)
	for _, r := range ReadCommitted(t, topic) {
		if got, want := r.Partition, int32(2); got != want {
			t.Errorf("partition %d, want %d", got, want)
		}
	}
}

// The log ends with an abort marker after aborted records: a reader that waits for
// a last record would wait for ever.
func TestAbortedRecordsAtTheEndOfTheLog(t *testing.T) {
	topic := Topic(t, "aborted", 1, nil)
	id := Unique(t, "writer")
	ProduceTransaction(t, topic, id, Commit, numbered("yes", 3)...)
	ProduceTransaction(t, topic, id, Abort, numbered("no", 2)...)
	if got, want := fmt.Sprint(values(ReadCommitted(t, topic))), "map[yes0:1 yes1:1 yes2:1]"; got != want {
		t.Errorf("committed: %s, want %s", got, want)
	}
	if got, want := len(ReadUncommitted(t, topic)), 5; got != want {
		t.Errorf("uncommitted: %d records, want %d", got, want)
	}
}

func TestOpenTransactionHidesWhatFollows(t *testing.T) {
	topic := Topic(t, "open", 1, nil)
	id := Unique(t, "writer")
	Produce(t, topic, numbered("before", 1)...)
	ProduceTransaction(t, topic, id, LeaveOpen, numbered("open", 1)...)
	Produce(t, topic, numbered("after", 1)...)
	if got, want := fmt.Sprint(values(ReadCommitted(t, topic))), "map[before0:1]"; got != want {
		t.Errorf("with the transaction open: %s, want %s", got, want)
	}
	// The same id fences the one that was left open, which aborts it.
	ProduceTransaction(t, topic, id, Commit, numbered("next", 1)...)
	if got, want := fmt.Sprint(values(AwaitCommitted(t, topic, 3))), "map[after0:1 before0:1 next0:1]"; got != want {
		t.Errorf("after the fence: %s, want %s", got, want)
	}
}

func TestAwaitSeesWhatComesLater(t *testing.T) {
	topic := Topic(t, "later", 2, nil)
	client := Client(t)
	later := make(chan error, 1)
	go func() {
		var records []*kgo.Record
		for _, r := range append(numbered("a", 10), numbered("b", 10)...) {
			r.Topic = topic
			records = append(records, r)
		}
		later <- client.ProduceSync(t.Context(), records...).FirstErr()
	}()
	if got, want := len(values(AwaitCommitted(t, topic, 20))), 20; got != want {
		t.Errorf("%d values, want %d", got, want)
	}
	if err := <-later; err != nil {
		t.Error(err)
	}
}

// More than one response may hold.
func TestALargeTopicIsReadToItsEnd(t *testing.T) {
	topic := Topic(t, "large", 1, nil)
	random := rand.NewChaCha8([32]byte{1}) // what compresses would fit into one
	var records []*kgo.Record
	for range 12 {
		value := make([]byte, 900_000)
		random.Read(value)
		records = append(records, &kgo.Record{Value: value})
	}
	Produce(t, topic, records...)
	if got, want := len(values(ReadCommitted(t, topic))), len(records); got != want {
		t.Errorf("%d values, want %d", got, want)
	}
}

func TestAnEmptyTopicReadsAsNothing(t *testing.T) {
	if got := ReadCommitted(t, Topic(t, "empty", 3, nil)); len(got) != 0 {
		t.Errorf("%d records", len(got))
	}
}

func TestSubtestsShareTheirTestsBroker(t *testing.T) {
	addr := Broker(t)
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			if got, want := Broker(t), addr; got != want {
				t.Errorf("broker %s, want %s", got, want)
			}
		})
	}
}

func TestNoTopicWithoutCreating(t *testing.T) {
	client := Client(t, kgo.UnknownTopicRetries(0))
	err := client.ProduceSync(Context(t), &kgo.Record{Topic: Unique(t, "nobody-made-me"), Value: []byte("x")}).FirstErr()
	if err == nil {
		t.Error("a topic that nobody created took a record")
	}
}

func TestEventsAreReadAsTheyWereWritten(t *testing.T) {
	for _, c := range []struct {
		record string
		event  schemas.Event
	}{
		{"OrderEvent", schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: "e1", CustomerID: "客户", OccurredAt: 1704448800000,
			OrderID: "o1", AmountMinor: 12000, Currency: "CNY", Items: []schemas.Item{{SKU: "s", Quantity: 2, AmountMinor: 12000}}}},
		{"BehaviorEvent", schemas.Event{Kind: schemas.Behavior, Type: "app.opened", EventID: "e2", CustomerID: "c2", OccurredAt: 1704448800001,
			Attributes: []schemas.Attribute{{Key: "source", Value: "push"}}}},
	} {
		topic := Topic(t, "events", 2, nil)
		id := Register(t, topic, c.record)
		Produce(t, topic, EventRecord(id, &c.event))
		records := ReadCommitted(t, topic)
		if got, want := len(records), 1; got != want {
			t.Fatalf("%d records, want %d", got, want)
		}
		if got, want := string(records[0].Key), c.event.CustomerID; got != want {
			t.Errorf("key %q, want %q", got, want)
		}
		wireID, body, err := schemas.ParseWire(records[0].Value)
		if err != nil || wireID != id {
			t.Fatalf("schema id %d (%v), want %d", wireID, err, id)
		}
		reader, err := schemas.CompileReader(schemas.Text(c.record), c.event.Kind)
		if err != nil {
			t.Fatal(err)
		}
		var back schemas.Event
		if err := reader.Decode(body, &back); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%+v", back), fmt.Sprintf("%+v", c.event); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestFollowGivesEachRecordOnce(t *testing.T) {
	topic := Topic(t, "followed", 2, nil)
	f := Follow(t, topic)
	if got := f.Next(); len(got) != 0 {
		t.Fatalf("%d records of an empty topic", len(got))
	}
	Produce(t, topic, numbered("a", 20)...)
	if got, want := len(values(f.Next())), 20; got != want {
		t.Errorf("first: %d records, want %d", got, want)
	}
	ProduceTransaction(t, topic, Unique(t, "writer"), Abort, numbered("no", 5)...)
	Produce(t, topic, numbered("b", 7)...)
	got := values(f.Next())
	if len(got) != 7 || got["b3"] != 1 {
		t.Errorf("then: %v", got)
	}
	if got := f.Next(); len(got) != 0 {
		t.Errorf("%d records come twice", len(got))
	}
	var end int64
	for _, e := range f.Ends() {
		end += e
	}
	if end < 27+5 { // the aborted ones and control batches take offsets too
		t.Errorf("the ends add up to %d", end)
	}
}
