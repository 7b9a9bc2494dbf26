package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The reader against Apache Kafka itself: TIDEMARK_TEST_KAFKA=host:port.
func TestAgainstARealBroker(t *testing.T) {
	address := os.Getenv("TIDEMARK_TEST_KAFKA")
	if address == "" {
		t.Skip("TIDEMARK_TEST_KAFKA is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	topic := "orders-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(address), Transport: transport}
	if _, err := admin.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 2, ReplicationFactor: 1}}}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec), kgo.TransactionalID(fmt.Sprint(topic, i)))
		if err != nil {
			t.Fatal(err)
		}
		for j := range 6 {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			var records []*kgo.Record
			for k := range 20 {
				v := fmt.Sprint(i, " ", j, " ", k)
				records = append(records, &kgo.Record{Topic: topic, Value: []byte(v)})
				if j%2 == 0 {
					want = append(want, v)
				}
			}
			if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(j%2 == 0)); err != nil {
				t.Fatal(err)
			}
		}
		cl.Close()
	}
	p := TopicPartition{topic, 0}
	client := NewClient(Config{Brokers: []string{address}})
	defer client.Close()
	ends, err := client.EndOffsets(ctx, []TopicPartition{p, {topic, 1}}, true)
	if err != nil || ends[p] < 600 || ends[TopicPartition{topic, 1}] != 0 {
		t.Fatalf("ends %v, error %v", ends, err)
	}
	var all map[int64]string
	for from := int64(0); from <= ends[p]; from += 7 { // begins before, inside and behind aborted transactions
		f := NewFetcher(Config{Brokers: []string{address}, Partitions: []TopicPartition{p, {topic, 1}}, PartitionMaxBytes: 700, MaxWait: 50 * time.Millisecond})
		f.Seek(topic, 0, from)
		f.Seek(topic, 1, 0)
		got := map[int64]string{}
		var order []string
		for next := int64(-1); next < ends[p]; {
			fetched, err := f.Poll(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range fetched {
				checkEntry(t, x)
				for _, r := range x.Records {
					got[r.Offset] = string(r.Value)
					order = append(order, string(r.Value))
				}
				if x.Partition == 0 {
					next = x.Next
				}
			}
		}
		f.Close()
		if from == 0 {
			all = got
			if !slices.Equal(order, want) {
				t.Fatalf("%d records, want %d: %v", len(order), len(want), order)
			}
		}
		for o, v := range all {
			if (got[o] == v) != (o >= from) {
				t.Fatalf("from %d: offset %d is %q", from, o, got[o])
			}
		}
	}
	f := NewFetcher(Config{Brokers: []string{address}, Partitions: []TopicPartition{p}})
	defer f.Close()
	f.Seek(topic, 0, ends[p]+5)
	for {
		_, err := f.Poll(ctx)
		if err == nil {
			continue
		}
		var e *OffsetOutOfRangeError
		if !errors.As(err, &e) || e.LogStart != 0 || e.End != ends[p] {
			t.Errorf("error %v", err)
		}
		return
	}
}
