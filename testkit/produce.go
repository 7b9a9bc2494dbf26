package testkit

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/schemas"
)

// Produce writes records to topic and returns when the broker has all of them. Where a
// record goes is decided by its key and murmur2, as the Java client does it; a
// record's own Topic and Partition count for nothing.
func Produce(t testing.TB, topic string, records ...*kgo.Record) {
	t.Helper()
	produce(t, topic, kgo.StickyKeyPartitioner(nil), records)
}

// ProduceTo writes records to one partition, whatever their keys.
func ProduceTo(t testing.TB, topic string, partition int32, records ...*kgo.Record) {
	t.Helper()
	for _, r := range records {
		r.Partition = partition
	}
	produce(t, topic, kgo.ManualPartitioner(), records)
}

func produce(t testing.TB, topic string, by kgo.Partitioner, records []*kgo.Record) {
	t.Helper()
	for _, r := range records {
		r.Topic = topic
	}
	client := Client(t, kgo.RecordPartitioner(by))
	if err := client.ProduceSync(Context(t), records...).FirstErr(); err != nil {
		t.Fatalf("producing to %s: %v", topic, err)
	}
}

// Outcome says how ProduceTransaction ends its transaction.
type Outcome int

const (
	Commit Outcome = iota
	Abort
	// LeaveOpen lets the transaction stand; the broker aborts it when its timeout has
	// passed, or a producer with the same transactional id does.
	LeaveOpen
)

// ProduceTransaction writes records to topic, by key, in one transaction of
// transactional id and ends it as outcome says.
func ProduceTransaction(t testing.TB, topic, id string, outcome Outcome, records ...*kgo.Record) {
	t.Helper()
	ctx := Context(t)
	client := Client(t, kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err := client.BeginTransaction(); err != nil {
		t.Fatalf("beginning a transaction of %s: %v", id, err)
	}
	for _, r := range records {
		r.Topic = topic
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("producing to %s as %s: %v", topic, id, err)
	}
	if outcome == LeaveOpen {
		return
	}
	if err := client.EndTransaction(ctx, kgo.TransactionEndTry(outcome == Commit)); err != nil {
		t.Fatalf("ending a transaction of %s: %v", id, err)
	}
}

// EventRecord returns e as a producer upstream would send it: keyed by customer, in
// Confluent's wire format under the schema id of the contract's own schema for its kind.
func EventRecord(schemaID int32, e *schemas.Event) *kgo.Record {
	value := schemas.AppendWireHeader(nil, schemaID)
	if e.Kind == schemas.Order {
		value = schemas.AppendOrderAvro(value, e)
	} else {
		value = schemas.AppendBehaviorAvro(value, e)
	}
	return &kgo.Record{Key: []byte(e.CustomerID), Value: value}
}
