package sinks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The protocol against Apache Kafka itself, which answers 51, 14, 15, 16 and 19
// where the fake never does: TIDEMARK_TEST_KAFKA=host:port.
func TestAgainstARealBroker(t *testing.T) {
	address := os.Getenv("TIDEMARK_TEST_KAFKA")
	if address == "" {
		t.Skip("TIDEMARK_TEST_KAFKA is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(address), Transport: transport}
	topics := []string{"triggers-" + run, "journal-" + run}
	create := &kafka.CreateTopicsRequest{}
	for _, topic := range topics {
		create.Topics = append(create.Topics, kafka.TopicConfig{Topic: topic, NumPartitions: 1, ReplicationFactor: 1})
	}
	if _, err := client.CreateTopics(ctx, create); err != nil {
		t.Fatal(err)
	}
	var retries [1000]atomic.Int64
	var phases [4]time.Duration
	newProducer := func() *Producer {
		return NewProducer(ProducerConfig{Addr: kafka.TCP(address), Transport: transport, TransactionalIDs: [2]string{run + "-0", run + "-1"},
			Stats: Stats{Retry: func(_ Op, code int16) { retries[code].Add(1) }, Phase: func(op Op, took time.Duration, _ error) { phases[op] += took }}})
	}
	records := func(v string) []TopicPartition {
		return []TopicPartition{{Topic: topics[0], Records: []Record{{Value: []byte(v)}, {Value: []byte(v)}}}, {Topic: topics[1], Records: []Record{{Value: []byte(v)}}}}
	}
	first, second := newProducer(), newProducer()
	if err := first.Init(ctx); err != nil {
		t.Fatal(err)
	}
	var want []string
	for sequence := int64(1); sequence <= 300; sequence++ {
		p := first
		if sequence > 200 {
			p = second
		}
		if sequence == 201 {
			// A fence in the middle of a transaction.
			first.cfg.Stats.Phase = func(op Op, _ time.Duration, err error) {
				if op == OpProduce && err == nil {
					if err := second.Init(ctx); err != nil {
						t.Error(err)
					}
				}
			}
			if err := first.Commit(ctx, sequence, records("lost")); !errors.Is(err, ErrFenced) {
				t.Fatalf("commit of the former owner: %v", err)
			}
		}
		v := fmt.Sprint(sequence)
		if err := p.Commit(ctx, sequence, records(v)); err != nil {
			t.Fatalf("commit %d: %v", sequence, err)
		}
		want = append(want, v)
	}
	for code := range retries {
		if n := retries[code].Load(); n > 0 {
			t.Logf("code %d retried %d times", code, n)
		}
	}
	t.Logf("init, add, produce, end took %v", phases)
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topics[1]), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var got []string
	for len(got) < len(want) {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
