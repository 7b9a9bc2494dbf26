// Package python holds the programs in Python that stand for an upstream and a
// downstream of Tidemark in tests, and the tests that Tidemark's brokers serve
// confluent-kafka. There is no Go code in it but the tests.
package python

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/schemas"
	"tidemark/testkit"
)

// interpreter names the Python of the environment that `make python-venv` creates;
// `make python-test` sets it.
const interpreter = "TIDEMARK_TEST_PYTHON"

func events(t *testing.T, stdin, verb, topic string, more ...string) string {
	t.Helper()
	python := os.Getenv(interpreter)
	if python == "" {
		t.Skip("needs confluent-kafka for Python; make python-test runs it")
	}
	args := append([]string{"events.py", verb, "--bootstrap", testkit.Broker(t), "--topic", topic}, more...)
	cmd := exec.CommandContext(testkit.Context(t), python, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("events.py %s: %v\n%s", verb, err, &stderr)
	}
	return string(out)
}

// One customer's events meet in one task only if Python and Go agree on partitions.
func TestPythonPutsCustomersWhereGoDoes(t *testing.T) {
	const customers = 200
	python, golang := testkit.Topic(t, "python", 7, nil), testkit.Topic(t, "go", 7, nil)
	var lines strings.Builder
	var records []*kgo.Record
	for i := range customers {
		id := fmt.Sprintf("客户-%d", i)
		fmt.Fprintf(&lines, "{\"customer_id\": %q}\n", id)
		records = append(records, &kgo.Record{Key: []byte(id)})
	}
	testkit.Produce(t, golang, records...)
	if got, want := strings.TrimSpace(events(t, lines.String(), "produce", python)), fmt.Sprint(customers); got != want {
		t.Fatalf("taken: %s, want %s", got, want)
	}
	if got, want := places(testkit.ReadCommitted(t, python)), places(testkit.ReadCommitted(t, golang)); got != want {
		t.Errorf("Python's partitions differ from Go's:\n%s\n%s", got, want)
	}
}

func places(records []*kgo.Record) string {
	at := map[string]int32{}
	for _, r := range records {
		at[string(r.Key)] = r.Partition
	}
	return fmt.Sprint(len(at), at) // a map is printed in the order of its keys
}

func TestPythonReadsCommittedRecordsOnly(t *testing.T) {
	topic := testkit.Topic(t, "mixed", 1, nil)
	id := testkit.Unique(t, "writer")
	record := func(value string) *kgo.Record {
		return &kgo.Record{Key: []byte("c1"), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(value)}}}
	}
	testkit.ProduceTransaction(t, topic, id, testkit.Commit, record("yes"))
	testkit.ProduceTransaction(t, topic, id, testkit.Abort, record("no"))
	testkit.ProduceTransaction(t, topic, id, testkit.Commit, record("yes too"))
	testkit.ProduceTransaction(t, topic, id, testkit.Abort, record("no"))

	var got []string
	for _, line := range strings.Split(strings.TrimSpace(events(t, "", "consume", topic)), "\n") {
		var r struct {
			Key, Value string
			Headers    [][2]string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, fmt.Sprintf("%s %s %v", r.Key, r.Value, r.Headers))
	}
	if got, want := strings.Join(got, "; "), "c1 yes [[ce_id yes]]; c1 yes too [[ce_id yes too]]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

const order = `{"event_id": "e1", "customer_id": "客户", "order_id": "o1", "type": "PAID", "occurred_at": 1704448800000,
"amount_minor": 12000, "currency": "CNY", "channel": "app", "attributes": {"source": "push"},
"items": [{"sku": "s", "category": "", "quantity": 2, "amount_minor": 12000}]}`

func TestAvroFromPythonIsReadInGo(t *testing.T) {
	topic := testkit.Topic(t, "order-events", 3, nil)
	file := filepath.Join(t.TempDir(), "order_event.avsc")
	if err := os.WriteFile(file, []byte(schemas.Text("OrderEvent")), 0o644); err != nil {
		t.Fatal(err)
	}
	line := strings.ReplaceAll(order, "\n", " ") + "\n"
	events(t, line, "produce", topic, "--registry", testkit.Registry(t), "--schema", file)

	records := testkit.ReadCommitted(t, topic)
	if got, want := len(records), 1; got != want {
		t.Fatalf("%d records, want %d", got, want)
	}
	id, body, err := schemas.ParseWire(records[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	// The same schema has the same id, whoever registers it.
	if got, want := id, testkit.Register(t, topic, "OrderEvent"); got != want {
		t.Errorf("schema id %d, want %d", got, want)
	}
	reader, err := schemas.CompileReader(schemas.Text("OrderEvent"), schemas.Order)
	if err != nil {
		t.Fatal(err)
	}
	var e schemas.Event
	if err := reader.Decode(body, &e); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", orderInGo()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func orderInGo() schemas.Event {
	return schemas.Event{
		Kind: schemas.Order, Order: schemas.Paid, EventID: "e1", CustomerID: "客户", OrderID: "o1", OccurredAt: 1704448800000,
		AmountMinor: 12000, Currency: "CNY", Channel: "app",
		Attributes: []schemas.Attribute{{Key: "source", Value: "push"}},
		Items:      []schemas.Item{{SKU: "s", Quantity: 2, AmountMinor: 12000}},
	}
}

func TestAvroFromGoIsReadInPython(t *testing.T) {
	topic := testkit.Topic(t, "order-events", 3, nil)
	e := orderInGo()
	testkit.Produce(t, topic, testkit.EventRecord(testkit.Register(t, topic, "OrderEvent"), &e))
	var got struct{ Value map[string]any }
	out := events(t, "", "consume", topic, "--registry", testkit.Registry(t))
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(order), &want); err != nil {
		t.Fatal(err)
	}
	// Python reads timestamp-millis as a datetime.
	want["occurred_at"] = "2024-01-05 10:00:00+00:00"
	if got, want := fmt.Sprint(got.Value), fmt.Sprint(want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
