package source

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// cluster starts a fake of a Kafka 4.1 cluster with topics of three partitions.
func cluster(t testing.TB, brokers int, topics []string, more ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	v := kversion.V4_1_0()
	v.SetMaxKeyVersion(19, 4)
	for _, key := range []int16{48, 49, 71, 72, 75, 76, 77, 78, 79, 90, 91, 92} {
		v.SetMaxKeyVersion(key, -1)
	}
	c, err := kfake.NewCluster(append(more, kfake.NumBrokers(brokers), kfake.MaxVersions(v), kfake.SeedTopics(3, topics...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func franz(t testing.TB, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func send(t testing.TB, cl *kgo.Client, topic string, partition int32, values ...string) []*kgo.Record {
	t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k"), Value: []byte(v),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v)}}})
	}
	if err := cl.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return records
}

func fetcher(t testing.TB, c *kfake.Cluster, cfg Config, from ...TopicPartition) *Fetcher {
	t.Helper()
	cfg.Brokers = c.ListenAddrs()
	cfg.Partitions = from
	if cfg.MaxWait == 0 {
		cfg.MaxWait = 20 * time.Millisecond
	}
	if cfg.RetryBackoff == 0 {
		cfg.RetryBackoff = time.Millisecond
	}
	f := NewFetcher(cfg)
	t.Cleanup(f.Close)
	for _, p := range from {
		f.Seek(p.Topic, p.Partition, 0)
	}
	return f
}

// drain polls until every partition's position has reached its read_committed end.
func drain(t testing.TB, f *Fetcher) map[TopicPartition][]Record {
	t.Helper()
	ctx := testContext(t)
	var all []TopicPartition
	f.mu.Lock()
	for _, p := range f.parts {
		all = append(all, p.TopicPartition)
	}
	f.mu.Unlock()
	ends, err := f.Client().EndOffsets(ctx, all, true)
	if err != nil {
		t.Fatal(err)
	}
	got := map[TopicPartition][]Record{}
	next := map[TopicPartition]int64{}
	behind := func() bool {
		for p, end := range ends {
			if at, ok := next[p]; !ok || at < end {
				return true
			}
		}
		return false
	}
	for behind() {
		fetched, err := f.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range fetched {
			p := TopicPartition{x.Topic, x.Partition}
			if last := next[p]; x.Next < last {
				t.Fatalf("%v: position went from %d to %d", p, last, x.Next)
			}
			checkEntry(t, x)
			next[p] = x.Next
			got[p] = append(got[p], x.Records...)
		}
	}
	for p, end := range ends {
		if next[p] > end {
			t.Fatalf("%v: position %d past the end %d", p, next[p], end)
		}
	}
	return got
}

func checkEntry(t testing.TB, x Fetched) {
	t.Helper()
	for i, r := range x.Records {
		if r.Offset >= x.Next || r.Offset >= x.LastStable || i > 0 && r.Offset <= x.Records[i-1].Offset {
			t.Fatalf("offset %d, next %d, last stable %d", r.Offset, x.Next, x.LastStable)
		}
	}
	if x.Next > x.LastStable || x.LastStable > x.HighWatermark || x.LogStart > x.HighWatermark {
		t.Fatalf("%+v", x)
	}
}

func values(records []Record) []string {
	v := []string{}
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	return v
}

func numbers(n int) []string {
	v := make([]string, n)
	for i := range v {
		v[i] = strconv.Itoa(i)
	}
	return v
}

var orders0 = TopicPartition{"orders", 0}

func TestAllCompressions(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, 1, []string{"orders"})
			send(t, franz(t, c, kgo.ProducerBatchCompression(codec)), "orders", 0, numbers(500)...)
			got := drain(t, fetcher(t, c, Config{}, orders0))[orders0]
			if !slices.Equal(values(got), numbers(500)) {
				t.Fatalf("got %v", values(got))
			}
			r := got[499]
			if h := r.Headers(); string(r.Key) != "k" || r.Offset != 499 || len(h) != 1 || h[0].Key != "h" || string(h[0].Value) != "499" {
				t.Errorf("%+v with headers %+v", r, h)
			}
			if age := time.Since(time.UnixMilli(r.Timestamp)); age < 0 || age > time.Minute {
				t.Errorf("timestamp %d", r.Timestamp)
			}
		})
	}
}

// Transactions of several producers, interleaved, some aborted; read in small
// responses from every offset, against what the producers were told.
func TestInterleavedTransactions(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, seed))
	c := cluster(t, 1, []string{"orders"})
	ctx := testContext(t)
	plain := franz(t, c, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()))
	var producers []*kgo.Client
	for i := range 3 {
		producers = append(producers, franz(t, c, kgo.TransactionalID(fmt.Sprint("p", i))))
	}
	open := make([]bool, len(producers))
	held := make([][]*kgo.Record, len(producers))
	want := map[int64]string{}
	settle := func(records []*kgo.Record) {
		for _, r := range records {
			want[r.Offset] = string(r.Value)
		}
	}
	aborts := 0
	for i := range 150 {
		p := random.IntN(len(producers) + 1)
		if p == len(producers) {
			settle(send(t, plain, "orders", 0, fmt.Sprint("plain ", i)))
			continue
		}
		cl := producers[p]
		switch {
		case !open[p]:
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			open[p] = true
			held[p] = send(t, cl, "orders", 0, fmt.Sprint("first ", i))
		case random.IntN(3) > 0:
			held[p] = append(held[p], send(t, cl, "orders", 0, fmt.Sprint("more ", i))...)
		default:
			commit := kgo.TransactionEndTry(random.IntN(2) == 0)
			if commit == kgo.TryAbort {
				aborts++
			}
			if err := cl.EndTransaction(ctx, commit); err != nil {
				t.Fatal(err)
			}
			if commit == kgo.TryCommit {
				settle(held[p])
			}
			open[p], held[p] = false, nil
		}
	}
	if aborts < 5 {
		t.Fatalf("only %d aborts", aborts)
	}
	client := NewClient(Config{Brokers: c.ListenAddrs()})
	t.Cleanup(client.Close)
	ends, err := client.EndOffsets(ctx, []TopicPartition{orders0}, true)
	if err != nil {
		t.Fatal(err)
	}
	high, err := client.EndOffsets(ctx, []TopicPartition{orders0}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(open, true) || ends[orders0] >= high[orders0] {
		t.Fatalf("no transaction is open at the end: %v, %v", ends, high)
	}
	end := ends[orders0]
	for from := int64(0); from <= end; from++ {
		f := fetcher(t, c, Config{PartitionMaxBytes: int32(1 + random.IntN(1000))}, orders0)
		f.Seek("orders", 0, from)
		got := map[int64]string{}
		for _, r := range drain(t, f)[orders0] {
			got[r.Offset] = string(r.Value)
		}
		f.Close()
		expect := map[int64]string{}
		for o, v := range want {
			if o >= from && o < end {
				expect[o] = v
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(expect) {
			t.Fatalf("from %d: got %v, want %v", from, got, expect)
		}
	}
}

// The position goes on over control batches and aborted records at the end.
func TestPositionReachesTheEndOverAbortedRecords(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	cl := franz(t, c, kgo.TransactionalID("x"))
	for range 2 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		send(t, cl, "orders", 0, "a", "b")
		if err := cl.EndTransaction(testContext(t), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	}
	f := fetcher(t, c, Config{}, orders0)
	if got := drain(t, f)[orders0]; len(got) != 0 {
		t.Errorf("got %v", values(got))
	}
}

func TestSeveralLeadersInOneStream(t *testing.T) {
	c := cluster(t, 3, []string{"orders", "events"})
	cl := franz(t, c)
	var all []TopicPartition
	leaders := map[int32]bool{}
	for _, topic := range []string{"orders", "events"} {
		for p := range int32(3) {
			all = append(all, TopicPartition{topic, p})
			send(t, cl, topic, p, numbers(50)...)
			leaders[c.LeaderFor(topic, p)] = true
		}
	}
	if len(leaders) < 2 {
		t.Fatal("one broker leads everything")
	}
	got := drain(t, fetcher(t, c, Config{PartitionMaxBytes: 300}, all...))
	for _, p := range all {
		if !slices.Equal(values(got[p]), numbers(50)) {
			t.Errorf("%v: %v", p, values(got[p]))
		}
	}
}

func TestLeadersMoveWhileReading(t *testing.T) {
	c := cluster(t, 3, []string{"orders"})
	cl := franz(t, c)
	var retries atomic.Int64
	f := fetcher(t, c, Config{PartitionMaxBytes: 200, OnRetry: func(error) { retries.Add(1) }}, orders0)
	var got, want []string
	for i := range 5 {
		batch := []string{fmt.Sprint(i, "a"), fmt.Sprint(i, "b")}
		send(t, cl, "orders", 0, batch...)
		want = append(want, batch...)
		got = append(got, values(drain(t, f)[orders0])...)
		if err := c.MoveTopicPartition("orders", 0, (c.LeaderFor("orders", 0)+1)%3); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if retries.Load() == 0 {
		t.Error("no retry was told of")
	}
}

func TestBrokenConnectionsAreDialledAgain(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	cl := franz(t, c)
	for _, v := range numbers(30) {
		send(t, cl, "orders", 0, v) // a batch each
	}
	var cut atomic.Int64
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if cut.Add(1)%2 == 1 {
			return nil, errors.New("connection lost"), true
		}
		return nil, nil, false
	})
	var dials atomic.Int64
	transport := &kafka.Transport{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	f := fetcher(t, c, Config{PartitionMaxBytes: 1, Transport: transport}, orders0)
	if got := drain(t, f)[orders0]; !slices.Equal(values(got), numbers(30)) {
		t.Errorf("got %v", values(got))
	}
	if cut.Load() < 2 || dials.Load() < 3 {
		t.Errorf("%d fetches, %d dials", cut.Load(), dials.Load())
	}
}

func TestOffsetOutOfRangeIsNeverReset(t *testing.T) {
	c := cluster(t, 1, []string{"orders", "events"})
	cl := franz(t, c)
	for _, v := range numbers(10) {
		send(t, cl, "orders", 0, v) // a batch each
	}
	send(t, cl, "events", 0, "e")
	del := kmsg.NewPtrDeleteRecordsRequest()
	dt := kmsg.NewDeleteRecordsRequestTopic()
	dt.Topic = "orders"
	dp := kmsg.NewDeleteRecordsRequestTopicPartition()
	dp.Partition, dp.Offset = 0, 4
	dt.Partitions = append(dt.Partitions, dp)
	del.Topics = append(del.Topics, dt)
	if _, err := del.RequestWith(testContext(t), cl); err != nil {
		t.Fatal(err)
	}
	client := NewClient(Config{Brokers: c.ListenAddrs()})
	t.Cleanup(client.Close)
	starts, err := client.StartOffsets(testContext(t), []TopicPartition{orders0, {"events", 0}})
	if err != nil || starts[orders0] != 4 || starts[TopicPartition{"events", 0}] != 0 {
		t.Fatalf("starts %v, error %v", starts, err)
	}
	f := fetcher(t, c, Config{}, orders0, TopicPartition{"events", 0})
	for _, bad := range []int64{0, 3, 11} {
		f.Seek("orders", 0, bad)
		f.Seek("events", 0, 0)
		sawEvent := false
		ctx := testContext(t)
		for {
			fetched, err := f.Poll(ctx)
			for _, x := range fetched {
				if x.Topic == "orders" {
					t.Fatalf("from %d: got %+v", bad, x)
				}
				sawEvent = sawEvent || len(x.Records) == 1
			}
			if ctx.Err() == nil && (err == nil || !sawEvent) {
				continue // the error stays; what else there is comes first
			}
			var e *OffsetOutOfRangeError
			if !errors.Is(err, ErrOffsetOutOfRange) || !errors.As(err, &e) || *e != (OffsetOutOfRangeError{"orders", 0, bad, 4, 10}) {
				t.Fatalf("from %d: %v", bad, err)
			}
			break
		}
	}
	f.Seek("orders", 0, 4)
	f.Seek("events", 0, 1)
	if got, want := values(drain(t, f)[orders0]), numbers(10)[4:]; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A batch over PartitionMaxBytes comes whole, also when another partition
// always has more to give.
func TestLargeRecordComesThrough(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	cl := franz(t, c, kgo.ProducerBatchMaxBytes(1_000_000))
	orders1 := TopicPartition{"orders", 1}
	for _, v := range numbers(200) {
		send(t, cl, "orders", 0, v)
	}
	send(t, cl, "orders", 1, "small", string(bytes.Repeat([]byte("x"), 300_000)), "last")
	f := fetcher(t, c, Config{PartitionMaxBytes: 100}, orders0, orders1)
	ctx := testContext(t)
	var large []string
	before := 0 // records of the other partition that came first
	for len(large) < 3 {
		fetched, err := f.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range fetched {
			if x.Partition == 1 {
				large = append(large, values(x.Records)...)
			} else {
				before += len(x.Records)
			}
		}
	}
	if len(large[1]) != 300_000 || large[2] != "last" || before > 20 {
		t.Errorf("%d bytes after %d records of the neighbour", len(large[1]), before)
	}
}

func TestSeekDropsWhatWasFetched(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	send(t, franz(t, c), "orders", 0, numbers(10)...)
	f := fetcher(t, c, Config{}, orders0)
	drain(t, f)
	f.Seek("orders", 0, 3)
	if got, want := values(drain(t, f)[orders0]), numbers(10)[3:]; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A paused partition gives at most what was under way; the others go on, and
// after Resume it does not have to wait for the long request of its neighbours.
func TestPauseAndResume(t *testing.T) {
	c := cluster(t, 1, []string{"orders", "events"})
	cl := franz(t, c)
	events0 := TopicPartition{"events", 0}
	f := fetcher(t, c, Config{MaxWait: 20 * time.Second, PartitionMaxBytes: 1}, orders0, events0)
	f.Pause("orders", 0)
	ctx := testContext(t)
	for _, v := range numbers(5) {
		send(t, cl, "orders", 0, v)
	}
	send(t, cl, "events", 0, "e")
	for seen := false; !seen; {
		fetched, err := f.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range fetched {
			if x.Topic == "orders" {
				t.Fatalf("paused, but got %+v", x)
			}
			seen = seen || len(x.Records) > 0
		}
	}
	// The next request for events alone now waits at the broker for 20 s.
	began := time.Now()
	f.Resume("orders", 0)
	var got []string
	for len(got) < 5 {
		fetched, err := f.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range fetched {
			got = append(got, values(x.Records)...)
		}
	}
	if !slices.Equal(got, numbers(5)) {
		t.Errorf("got %v", got)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v: waited for the long request", took)
	}
}

func TestPollKeepsWhatItsContextCutOff(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	f := fetcher(t, c, Config{}, orders0)
	send(t, franz(t, c), "orders", 0, "a")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var got []string
	for len(got) == 0 {
		fetched, err := f.Poll(ended)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for _, x := range fetched {
			got = append(got, values(x.Records)...)
		}
	}
	if !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v", got)
	}
}

func TestPollErrors(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	f := NewFetcher(Config{Brokers: c.ListenAddrs(), Partitions: []TopicPartition{orders0}})
	if _, err := f.Poll(testContext(t)); !errors.Is(err, ErrNoPosition) {
		t.Errorf("without Seek: %v", err)
	}
	f.Close()
	if _, err := f.Poll(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	f = fetcher(t, c, Config{}, orders0)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.TopicAuthorizationFailed})
	ctx := testContext(t)
	for {
		_, err := f.Poll(ctx)
		if err == nil {
			continue
		}
		if !errors.Is(err, kafka.TopicAuthorizationFailed) {
			t.Errorf("error %v", err)
		}
		break
	}
	// A topic that is not there is waited for; the reason is in the error.
	f = fetcher(t, c, Config{}, TopicPartition{"nowhere", 0})
	ctx, cancel := context.WithCancel(ctx)
	f.mu.Lock()
	f.client.cfg.OnRetry = func(error) { cancel() }
	f.mu.Unlock()
	if _, err := f.Poll(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("error %v", err)
	}
}

func TestOffsetsAreAskedAgain(t *testing.T) {
	c := cluster(t, 3, []string{"orders"})
	send(t, franz(t, c), "orders", 0, numbers(7)...)
	var retries atomic.Int64
	client := NewClient(Config{Brokers: c.ListenAddrs(), RetryBackoff: time.Millisecond, OnRetry: func(error) { retries.Add(1) }})
	t.Cleanup(client.Close)
	ask := func() {
		t.Helper()
		ends, err := client.EndOffsets(testContext(t), []TopicPartition{orders0, orders0, {"orders", 1}, {"orders", 2}}, true)
		if err != nil || len(ends) != 3 || ends[orders0] != 7 || ends[TopicPartition{"orders", 1}] != 0 {
			t.Fatalf("ends %v, error %v", ends, err)
		}
	}
	ask()
	for _, e := range []*kerr.Error{kerr.OffsetNotAvailable, kerr.NotLeaderForPartition, kerr.UnknownServerError} {
		before := retries.Load()
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Err: e, Count: 2})
		ask()
		if fault.Hits() != 2 || retries.Load() == before {
			t.Errorf("%s: %d faults, %d retries", e.Message, fault.Hits(), retries.Load()-before)
		}
	}
	if err := c.MoveTopicPartition("orders", 0, (c.LeaderFor("orders", 0)+1)%3); err != nil {
		t.Fatal(err)
	}
	ask()
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Err: kerr.TopicAuthorizationFailed})
	var pe *PartitionError
	if _, err := client.EndOffsets(testContext(t), []TopicPartition{orders0}, true); !errors.As(err, &pe) || !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("error %v", err)
	}
}

func TestResponseOverTheLimit(t *testing.T) {
	c := cluster(t, 1, []string{"orders"})
	send(t, franz(t, c, kgo.ProducerBatchCompression(kgo.NoCompression())), "orders", 0, string(make([]byte, 10_000)))
	f := fetcher(t, c, Config{MaxResponseBytes: 5_000}, orders0)
	ctx := testContext(t)
	for {
		_, err := f.Poll(ctx)
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("error %v", err)
		}
		return
	}
}

func TestTLSAndSASL(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	c := cluster(t, 1, []string{"orders"}, kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "secret"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}))
	ask := func(user, password string) error {
		var last error
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		client := NewClient(Config{Brokers: c.ListenAddrs(), Transport: &kafka.Transport{
			TLS: &tls.Config{RootCAs: pool}, SASL: plain.Mechanism{Username: user, Password: password},
		}, OnRetry: func(err error) { last = err; cancel() }})
		defer client.Close()
		if _, err := client.EndOffsets(ctx, []TopicPartition{orders0}, true); err != nil {
			return errors.Join(err, last)
		}
		return nil
	}
	if err := ask("user", "secret"); err != nil {
		t.Error(err)
	}
	// This broker hangs up where Kafka answers with an error code.
	if err := ask("user", "wrong"); err == nil || !strings.Contains(err.Error(), "SASL mechanism PLAIN") {
		t.Errorf("wrong password: %v", err)
	}
}

func BenchmarkFetch(b *testing.B) {
	c := cluster(b, 1, []string{"orders"})
	cl := franz(b, c, kgo.ProducerBatchCompression(kgo.NoCompression()))
	v := string(bytes.Repeat([]byte("x"), 131))
	const n = 50_000
	values := make([]string, n/10)
	for i := range values {
		values[i] = v
	}
	for range 10 {
		send(b, cl, "orders", 0, values...)
	}
	f := fetcher(b, c, Config{PartitionMaxBytes: 4 << 20}, orders0)
	b.ReportAllocs()
	for b.Loop() {
		f.Seek("orders", 0, 0)
		if got := drain(b, f)[orders0]; len(got) != n {
			b.Fatal(len(got))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
