package tail_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/tail"
	"tidemark/testkit"
)

func open(t *testing.T, cfg tail.Config) *tail.Reader {
	t.Helper()
	cfg.Brokers = []string{testkit.Broker(t)}
	r, err := tail.Open(testkit.Context(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// all reads to the end and returns the keys.
func all(t *testing.T, r *tail.Reader) (keys []string) {
	t.Helper()
	for {
		rec, err := r.Next(testkit.Context(t))
		if errors.Is(err, io.EOF) {
			return keys
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(rec.Key))
	}
}

func record(key string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte("v")} }

// What was aborted is not shown, and it does not hide the end.
func TestCommittedOnly(t *testing.T) {
	topic := testkit.Topic(t, "tail", 1, nil)
	testkit.Produce(t, topic, record("a"))
	testkit.ProduceTransaction(t, topic, testkit.Unique(t, "id"), testkit.Abort, record("no"))
	testkit.ProduceTransaction(t, topic, testkit.Unique(t, "id"), testkit.Commit, record("b"))
	testkit.ProduceTransaction(t, topic, testkit.Unique(t, "id"), testkit.Abort, record("no"))
	got := all(t, open(t, tail.Config{Topics: []string{topic}, From: tail.FromBeginning, ExitAtEnd: true}))
	if got, want := strings.Join(got, " "), "a b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An open transaction is the end, unless the settled end is asked for: then it is
// waited for, and what stands behind it is given too.
func TestSettled(t *testing.T) {
	topic, id := testkit.Topic(t, "tail", 1, nil), testkit.Unique(t, "id")
	testkit.Produce(t, topic, record("a"))
	testkit.ProduceTransaction(t, topic, id, testkit.LeaveOpen, record("no"))
	testkit.Produce(t, topic, record("behind"))
	cfg := tail.Config{Topics: []string{topic}, From: tail.FromBeginning, ExitAtEnd: true}
	if got := strings.Join(all(t, open(t, cfg)), " "); got != "a" {
		t.Errorf("got %s, want a", got)
	}
	cfg.Settled = true
	r := open(t, cfg)
	if rec, err := r.Next(testkit.Context(t)); err != nil || string(rec.Key) != "a" {
		t.Fatalf("%v, %v", rec, err)
	}
	waiting, cancel := context.WithTimeout(testkit.Context(t), 300*time.Millisecond)
	defer cancel()
	if rec, err := r.Next(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the transaction is open and Next gives %v, %v", rec, err)
	}
	testkit.ProduceTransaction(t, topic, id, testkit.Commit, record("later")) // aborts the open one
	if got := strings.Join(all(t, r), " "); got != "behind" {
		t.Errorf("got %s, want behind", got)
	}
}

// A value that can't be shown says why, and the rest goes on.
func TestProblems(t *testing.T) {
	topic := testkit.Topic(t, "tail", 1, nil)
	id := testkit.Register(t, topic, "Control")
	body := (&schemas.Control{Kind: "pause"}).AppendAvro(nil)
	for _, v := range [][]byte{nil, []byte("{}"), schemas.AppendWire(nil, 99_999, body), schemas.AppendWire(nil, id, body[1:]), schemas.AppendWire(nil, id, body)} {
		testkit.Produce(t, topic, &kgo.Record{Key: []byte("k"), Value: v})
	}
	c, err := registry.NewClient(registry.Config{URLs: []string{testkit.Registry(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := open(t, tail.Config{Topics: []string{topic}, From: tail.FromBeginning, ExitAtEnd: true, Schemas: c})
	for i, want := range []string{"null ", "zero byte", "no schema 99999", "schema " + fmt.Sprint(id), `"kind":"pause"`} {
		rec, err := r.Next(testkit.Context(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(rec.Value) + " " + rec.Problem; !strings.Contains(got, want) {
			t.Errorf("record %d: %s, want %s", i, got, want)
		}
	}
}

func TestWhereItBegins(t *testing.T) {
	topic := testkit.Topic(t, "tail", 3, nil)
	testkit.Produce(t, topic, record("old"))
	var missing *tail.MissingTopicsError
	if _, err := tail.Open(testkit.Context(t), tail.Config{Brokers: []string{testkit.Broker(t)}, Topics: []string{topic, "none"}}); !errors.As(err, &missing) || len(missing.Topics) != 1 {
		t.Errorf("a topic that is not there: %v", err)
	}
	follow := open(t, tail.Config{Topics: []string{topic}})
	testkit.Produce(t, topic, record("new"))
	if rec, err := follow.Next(testkit.Context(t)); err != nil || string(rec.Key) != "new" {
		t.Errorf("from the end: %v, %v", rec, err)
	}
	p := source.TopicPartition{Topic: topic, Partition: source.Partition([]byte("old"), 3)}
	for offset, want := range map[int64]string{0: "old", 1: ""} {
		got := all(t, open(t, tail.Config{At: map[source.TopicPartition]int64{p: offset}, ExitAtEnd: true}))
		if s := strings.Join(got, " "); !strings.HasPrefix(s, want) || want == "" && strings.Contains(s, "old") {
			t.Errorf("at %d: %s, want %s", offset, s, want)
		}
	}
	if got := all(t, open(t, tail.Config{Topics: []string{topic}, From: tail.FromTime, Since: schemas.EventTime(time.Now().Add(time.Hour).UnixMilli()), ExitAtEnd: true})); len(got) != 0 {
		t.Errorf("from an hour ahead: %v", got)
	}
}
