// Command go publishes one order and waits for the trigger that follows from it.
//
//	tidemark dev                  (in another terminal)
//	go run ./examples/snippets/go
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/registry"
	"github.com/twmb/franz-go/pkg/kgo"
)

// orderEvent has the fields of schemas/avro/order_event.avsc.
type orderEvent struct {
	EventID     string            `avro:"event_id"`
	CustomerID  string            `avro:"customer_id"`
	OrderID     string            `avro:"order_id"`
	Type        string            `avro:"type"`
	OccurredAt  time.Time         `avro:"occurred_at"`
	AmountMinor int64             `avro:"amount_minor"`
	Currency    string            `avro:"currency"`
	Channel     string            `avro:"channel"`
	Items       []struct{}        `avro:"items"`
	Attributes  map[string]string `avro:"attributes"`
}

// trigger has the fields of a trigger that this program looks at; the rest is skipped.
type trigger struct {
	ID         string `avro:"trigger_id"`
	CustomerID string `avro:"customer_id"`
	Rule       string `avro:"rule"`
	Status     string `avro:"status"`
}

func env(name, or string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return or
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	orders, triggers := env("ORDERS", "order-events"), env("TRIGGERS", "churn-warnings")
	schemas, err := registry.NewClient(env("REGISTRY", "http://127.0.0.1:8081"))
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(env("KAFKA", "127.0.0.1:9092")), // partitions as the Java client does
		kgo.ConsumerGroup("snippet-"+rand.Text()),       // yours is one that stays
		kgo.ConsumeTopics(triggers),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // what is not committed is not true
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		return err
	}
	defer client.Close()

	// An order of two hours ago: the playbook of `tidemark dev` warns after one hour of silence.
	customer := "go-" + rand.Text()
	value, err := encode(ctx, schemas, orders, orderEvent{
		EventID: rand.Text(), CustomerID: customer, OrderID: "order-1", Type: "PAID", OccurredAt: time.Now().Add(-2 * time.Hour),
		AmountMinor: 12000, Currency: "USD", Channel: "web",
	})
	if err != nil {
		return err
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: orders, Key: []byte(customer), Value: value}).FirstErr(); err != nil {
		return err
	}

	decoder := registry.NewDecoder(schemas)
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return errors.Join(errors.New("no trigger"), err)
		}
		for _, r := range fetches.Records() {
			var t trigger
			if err := decoder.Decode(ctx, r.Value, &t); err != nil {
				return fmt.Errorf("%s/%d, offset %d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			if t.CustomerID == customer {
				fmt.Println(r.Topic, t.CustomerID, t.Rule, t.Status, t.ID)
				return client.CommitRecords(ctx, r) // after you have acted on it
			}
		}
	}
}

// encode registers the schema for the topic and writes v in the Confluent wire
// format: a zero byte, the schema's id, Avro.
func encode(ctx context.Context, schemas *registry.Client, topic string, v orderEvent) ([]byte, error) {
	text, err := os.ReadFile(env("SCHEMA", "schemas/avro/order_event.avsc"))
	if err != nil {
		return nil, err
	}
	id, schema, err := schemas.CreateSchema(ctx, topic+"-value", string(text))
	if err != nil {
		return nil, err
	}
	body, err := avro.Marshal(schema, v)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), body...), err
}
