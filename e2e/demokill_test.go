package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/embedded/broker"
	"tidemark/schemas"
	"tidemark/testkit"
)

// `tidemark demo` is killed while it publishes, again and again on one folder,
// with a client beside it that produces and registers schemas. In the end: each
// record that anybody had acknowledged is there, each schema id means what it
// meant, and the out topics hold what an undisturbed demo's hold.
//
// TIDEMARK_TEST_DEMO_KILLS says how often (3), TIDEMARK_TEST_SEED when; with 10
// kills or more it is the whole of CDNOW and not the sample.
func TestKilledDemo(t *testing.T) {
	if testkit.Real() {
		t.Skip("it is about the embedded broker")
	}
	kills, seed := number(t, "TIDEMARK_TEST_DEMO_KILLS", 3), number(t, "TIDEMARK_TEST_SEED", time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	source, events := "cdnow-sample", int64(6919)
	if kills >= 10 {
		source, events = "cdnow", 69659
	}
	d := &demo{t: t, dir: t.TempDir(), undisturbedDir: t.TempDir(), source: source, kafka: freeAddr(t), registry: freeAddr(t), rate: events * 4 / kills, ids: map[int32]string{}}
	phases := map[string]int{}
	for n := range kills {
		phases[d.life(chance, int(n))]++
	}
	if phases["publishing"] < int(kills)/2 {
		t.Errorf("only %v of %d kills came while it published", phases, kills)
	}
	if log := finishDemo(tidemark(t), d.dir, source); log != "" {
		t.Fatal(log)
	}
	if log := finishDemo(tidemark(t), d.undisturbedDir, source); log != "" {
		t.Fatal(log)
	}
	t.Logf("%d kills: %v; %d records of a client acknowledged, %d schemas", kills, phases, len(d.acked), len(d.ids))
	d.compare()
}

func number(t *testing.T, variable string, or int64) int64 {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return or
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// freeAddr is an address that is free now: clients outlive the process.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// finishDemo lets a demo run to its end and returns its log if that went wrong.
func finishDemo(binary, dir, source string) (log string) {
	cmd := exec.Command(binary, "demo", "--exit", "--source", source, "--dir", dir)
	cmd.SysProcAttr = dieWithParent()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %v\n%s", cmd, err, out)
	}
	return ""
}

type demo struct {
	t               *testing.T
	dir, source     string
	kafka, registry string
	rate            int64
	acked           []string         // values of the topic canary that the broker has acknowledged, in order
	ids             map[int32]string // schema ids that the registry has answered with
	undisturbedDir  string
}

const canary = "canary"

// life starts the demo, works with it and kills it. It returns what the demo did then.
func (d *demo) life(chance *rand.Rand, n int) (phase string) {
	t := d.t
	log := &lines{}
	cmd := exec.Command(tidemark(t), "demo", "--source", d.source, "--dir", d.dir, "--kafka", d.kafka, "--registry", d.registry, "--rate", fmt.Sprint(d.rate))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dieWithParent()
	var err error
	spawn()(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	for deadline := time.Now().Add(testkit.Limit); !log.has("publishing") && !log.has("processing"); {
		select {
		case err := <-gone:
			t.Fatalf("demo ended by itself in life %d: %v\n%s", n, err, log.last(30))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Signal(syscall.SIGQUIT) // it says where its goroutines are
			select {
			case <-gone:
			case <-time.After(5 * time.Second):
				_ = cmd.Process.Kill()
			}
			t.Fatalf("demo does not begin to publish in life %d:\n%s", n, log.last(2000))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(100+chance.IntN(500))*time.Millisecond)
	d.stable()
	d.register(n)
	d.produce(ctx, n)
	cancel()
	phase = "publishing"
	if log.has("processing") {
		phase = "processing"
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-gone
	return phase
}

// produce writes to the canary, one record after the other, until ctx ends.
func (d *demo) produce(ctx context.Context, life int) {
	c, err := kgo.NewClient(kgo.SeedBrokers(d.kafka), kgo.DefaultProduceTopic(canary), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	if life == 0 {
		req := kmsg.NewPtrCreateTopicsRequest()
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = canary, 3, 1
		req.Topics, req.TimeoutMillis = append(req.Topics, rt), 5000
		res, err := req.RequestWith(d.t.Context(), c)
		if err == nil {
			err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	for i := 0; ; i++ {
		v := fmt.Sprintf("%d-%d", life, i)
		if c.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr() != nil {
			return
		}
		d.acked = append(d.acked, v)
	}
}

// register adds a version to a subject of its own; the demo's own are looked up.
func (d *demo) register(life int) {
	text := fmt.Sprintf(`{"type":"record","name":"Canary","fields":[{"name":"life%d","type":"int","default":0}]}`, life)
	body, _ := json.Marshal(map[string]string{"schema": text})
	res, err := http.Post("http://"+d.registry+"/subjects/canary-value/versions", "application/vnd.schemaregistry.v1+json", bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ ID int32 }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %v", res.Status, err)
	}
	for id, known := range map[int32]string{answer.ID: d.schema(answer.ID), 1: d.schema(1), 2: d.schema(2)} {
		if before, ok := d.ids[id]; ok && before != known {
			d.t.Errorf("life %d: schema %d was %s and is %s", life, id, before, known)
		}
		d.ids[id] = known
	}
}

// stable holds every id of earlier lives against the registry.
func (d *demo) stable() {
	for id, before := range d.ids {
		if now := d.schema(id); now != before {
			d.t.Errorf("schema %d was %s and is %s", id, before, now)
		}
	}
}

func (d *demo) schema(id int32) string {
	res, err := http.Get(fmt.Sprintf("http://%s/schemas/ids/%d", d.registry, id))
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.Status + string(text)
}

// content reads topics from a demo's folder: of each partition the values in
// order, with the key before and without the schema's id, and the ids.
func content(t *testing.T, dir string, topics ...string) (out map[string][]string, ids map[string][]int32) {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: filepath.Join(dir, "broker")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords()) // the end of a log may be a marker
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ends := map[string]int64{}
	for _, topic := range topics {
		for p := range int32(16) {
			if end := lastStable(ctx, t, c, topic, p); end > 0 {
				ends[fmt.Sprint(topic, "/", p)] = end
			}
		}
	}
	out, ids = map[string][]string{}, map[string][]int32{}
	for len(ends) > 0 {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("%v; not at the end of %v", err, ends)
		}
		f.EachRecord(func(r *kgo.Record) {
			at := fmt.Sprint(r.Topic, "/", r.Partition)
			if r.Offset+1 >= ends[at] {
				delete(ends, at)
			}
			if r.Attrs.IsControl() {
				return
			}
			value := r.Value
			if r.Topic != canary {
				id, body, err := schemas.ParseWire(r.Value)
				if err != nil {
					t.Fatal(err)
				}
				value = body
				if !slices.Contains(ids[r.Topic], id) {
					ids[r.Topic] = append(ids[r.Topic], id)
				}
			}
			out[at] = append(out[at], string(r.Key)+"\x00"+string(value))
		})
	}
	return out, ids
}

// lastStable is where the committed records of a partition end; 0 without one.
func lastStable(ctx context.Context, t *testing.T, c *kgo.Client, topic string, p int32) int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, 1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, -1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(ctx, c)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return 0 // there are fewer partitions
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.Topics[0].Partitions[0].Offset
}

// compare holds the killed demo's folder against the undisturbed one's.
func (d *demo) compare() {
	t := d.t
	topics := []string{"order-events"}
	for _, topic := range schemas.OutTopics {
		topics = append(topics, string(topic))
	}
	want, _ := content(t, d.undisturbedDir, topics...)
	got, ids := content(t, d.dir, append(topics, canary)...)
	for topic, list := range ids {
		if len(list) != 1 {
			t.Errorf("%s has records of the schemas %v", topic, list)
		}
	}
	// Every acknowledged record of the client beside it.
	there := map[string]bool{}
	for at, list := range got {
		if strings.HasPrefix(at, canary+"/") {
			for _, v := range list {
				there[strings.TrimPrefix(v, "\x00")] = true
			}
			delete(got, at)
		}
	}
	lost := slices.DeleteFunc(slices.Clone(d.acked), func(v string) bool { return there[v] })
	if len(lost) > 0 || len(d.acked) == 0 {
		t.Errorf("lost %d of %d acknowledged records: %v", len(lost), len(d.acked), lost[:min(len(lost), 10)])
	}
	// The demo's own: an order may stand twice, and its first place counts.
	repeats, triggers := 0, 0
	for at, list := range got {
		if strings.HasPrefix(at, "order-events/") {
			seen := map[string]bool{}
			repeats += len(list)
			got[at] = slices.DeleteFunc(list, func(v string) bool { twice := seen[v]; seen[v] = true; return twice })
			repeats -= len(seen)
		} else {
			triggers += len(list)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d partitions have records, %d in an undisturbed run", len(got), len(want))
	}
	for at, list := range want {
		if !slices.Equal(got[at], list) {
			t.Errorf("%s: %d records, %d in an undisturbed run, or others", at, len(got[at]), len(list))
		}
	}
	t.Logf("%d triggers are those of an undisturbed run; %d orders stood twice in the input", triggers, repeats)
}
