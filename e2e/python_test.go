package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/examples"
	"tidemark/schemas"
	"tidemark/testkit"
)

// interpreter names the Python of the environment that `make python-venv` creates.
const interpreter = "TIDEMARK_TEST_PYTHON"

// python runs a verb of deploy/python/events.py.
func python(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	p := os.Getenv(interpreter)
	if p == "" {
		t.Skip("needs confluent-kafka for Python; make test-kafka runs it")
	}
	script, err := filepath.Abs("../deploy/python/events.py")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p, append([]string{script}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("events.py %s: %v\n%s", args[0], err, &stderr)
	}
	return out
}

// fact is what a trigger says, as far as both JSON of ours and Python print it alike.
type fact struct {
	Topic, Key, ID, Rule, Status, Kind, CausedBy string
	Partition                                    int32
	Episode                                      int64
}

func factOf(t *testing.T, topic, key string, partition int32, value map[string]any) fact {
	t.Helper()
	text := func(k string) string {
		s, _ := value[k].(string)
		return s
	}
	n, _ := value["episode"].(json.Number).Int64()
	return fact{Topic: topic, Key: key, Partition: partition, ID: text("trigger_id"), Rule: text("rule"), Status: text("status"),
		Kind: text("kind"), CausedBy: text("caused_by"), Episode: n}
}

// A client of another maker publishes orders through its own Avro serializer and
// reads the triggers: what `tidemark replay` gives for the same events as JSON
// Lines, none missing, none twice, in order for each customer.
func TestAnotherMakersClient(t *testing.T) {
	if os.Getenv(interpreter) == "" {
		t.Skip("needs confluent-kafka for Python; make test-kafka runs it")
	}
	_, all := cdnow(t)
	var events []*schemas.Event
	var file bytes.Buffer
	enc := json.NewEncoder(&file)
	for _, e := range all {
		if n, err := strconv.Atoi(strings.TrimLeft(e.CustomerID, "0")); e.Kind != schemas.Order || err != nil || n%10 != 1 {
			continue
		}
		events = append(events, e)
		err := enc.Encode(map[string]any{"event_id": e.EventID, "customer_id": e.CustomerID, "order_id": e.OrderID, "type": e.Order.String(),
			"occurred_at": e.OccurredAt, "amount_minor": e.AmountMinor, "currency": e.Currency, "channel": "", "attributes": map[string]string{}, "items": []any{}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(events) < 5000 {
		t.Fatalf("only %d events", len(events))
	}
	w := newWorld(t, 4)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, err := examples.Data.ReadFile("playbooks/cdnow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pb, jsonl := write("cdnow.yaml", text), write("orders.jsonl", file.Bytes())
	avsc := write("order_event.avsc", []byte(schemas.Text("OrderEvent")))
	python(t, file.Bytes(), "produce", "--bootstrap", w.broker, "--topic", w.topics.Orders, "--registry", w.url, "--schema", avsc)

	last := events[len(events)-1].OccurredAt
	until := time.UnixMilli(int64(last)).UTC().Format(time.RFC3339)
	more := fmt.Sprintf("history: {until: %q}\n", until)
	var procs []*child
	for _, name := range []string{"one", "two"} {
		procs = append(procs, w.spawn(name, w.runConfig(name, t.TempDir(), pb, more)))
	}
	w.log = procs[0].log
	testkit.AwaitTopic(t, w.topics.Journal, int(w.tasks))
	w.covered(testkit.Limit)
	w.clock(last)
	for _, p := range procs {
		p.died(t)
		p.end(t)
		if s := p.loud(); s != "" {
			t.Errorf("%s: %s", p.name, s)
		}
	}

	got := map[string][]fact{}
	n := 0
	for _, topic := range schemas.OutTopics {
		out := python(t, nil, "consume", "--bootstrap", w.broker, "--topic", w.topics.Out(topic), "--registry", w.url)
		for line := range bytes.Lines(out) {
			var r struct {
				Partition int32
				Key       string
				Value     map[string]any
			}
			d := json.NewDecoder(bytes.NewReader(line))
			d.UseNumber()
			if err := d.Decode(&r); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			k := string(topic) + "/" + r.Key
			got[k] = append(got[k], factOf(t, string(topic), r.Key, r.Partition, r.Value))
			n++
		}
	}
	cmd := exec.CommandContext(testkit.Context(t), tidemark(t), "replay", "--playbook", pb, "--partitions", "4", "--app", w.app,
		"--until", fmt.Sprint(int64(last)), jsonl)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("replay: %v\n%s", err, &stderr)
	}
	want := map[string][]fact{}
	m := 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			Topic, Key string
			Partition  int32
			Value      map[string]any
		}
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		k := r.Topic + "/" + r.Key
		want[k] = append(want[k], factOf(t, r.Topic, r.Key, r.Partition, r.Value))
		m++
	}
	if n != m || m < 10_000 {
		t.Errorf("the client read %d triggers, the files give %d", n, m)
	}
	wrong := 0
	for k := range want {
		if g, w := fmt.Sprint(got[k]), fmt.Sprint(want[k]); g != w {
			if wrong++; wrong <= 3 {
				t.Errorf("%s:\ngot  %s\nwant %s", k, g, w)
			}
		}
	}
	if len(got) != len(want) || wrong > 3 {
		t.Errorf("%d customers and topics differ; %d were read, the files give %d", wrong, len(got), len(want))
	}
	w.audit()
	t.Logf("%d orders, %d triggers of %d customers and topics", len(events), n, len(got))
}
