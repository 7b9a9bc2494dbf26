package source

import (
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// The values of Kafka's own UtilsTest.
func TestMurmur2Vectors(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(Murmur2([]byte(key))); got != want {
			t.Errorf("Murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionAgreesWithOtherClients(t *testing.T) {
	franz := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "key")
		n := rapid.IntRange(1, 200).Draw(t, "partitions")
		got := int(Partition(key, int32(n)))
		if want := franz.Partition(&kgo.Record{Key: key}, n); got != want {
			t.Fatalf("got %d, franz-go %d", got, want)
		}
		numbers := make([]int, n)
		for i := range numbers {
			numbers[i] = i
		}
		if want := (kafka.Murmur2Balancer{}).Balance(kafka.Message{Key: key}, numbers...); got != want {
			t.Fatalf("got %d, kafka-go %d", got, want)
		}
	})
}
