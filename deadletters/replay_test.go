package deadletters_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/deadletters"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/sinks"
	"tidemark/testkit"
)

// inputs makes two input topics; each letter is about a record that stands there.
func inputs(t *testing.T, letters int) (deadletters.Config, []*deadletters.Letter) {
	t.Helper()
	in := deadletters.Inputs{Orders: testkit.Topic(t, "orders", 2, nil), Behaviors: testkit.Topic(t, "behaviors", 2, nil), Partitions: 2}
	var list []*deadletters.Letter
	var records []*kgo.Record
	for i := range letters {
		key := fmt.Sprintf("c%d", i)
		r := &kgo.Record{Key: []byte(key), Value: []byte("value of " + key), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(key)}, {Key: "empty"}}}
		records = append(records, r)
		list = append(list, &deadletters.Letter{DeadLetter: schemas.DeadLetter{DeadLetterID: "id-" + key, Topic: in.Orders, Partition: source.Partition(r.Key, 2),
			Key: r.Key, Value: r.Value, Headers: []schemas.Header{{Key: "traceparent", Value: []byte(key)}, {Key: "empty"}}, Step: "validate", Reason: "no_rate"}})
	}
	testkit.Produce(t, in.Orders, records...)
	for i, r := range records {
		list[i].DeadLetter.Offset = r.Offset
	}
	return deadletters.Config{App: testkit.Unique(t, "shop"), Brokers: []string{testkit.Broker(t)}, Inputs: in}, list
}

func marked(t *testing.T, topic string) map[string][]*kgo.Record {
	t.Helper()
	out := map[string][]*kgo.Record{}
	for _, r := range testkit.ReadCommitted(t, topic) {
		for _, h := range r.Headers {
			if h.Key == deadletters.HeaderReplayed {
				out[string(h.Value)] = append(out[string(h.Value)], r)
			}
		}
	}
	return out
}

// Four operators at the same time, five times: each record goes back once, to
// its own partition, as it came.
func TestAtOnceSendsOnce(t *testing.T) {
	cfg, letters := inputs(t, 40)
	replay := func() error {
		_, err := deadletters.New(cfg).Replay(testkit.Context(t), letters)
		return err
	}
	for range 5 {
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = replay() })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, sinks.ErrFenced) && !errors.Is(err, sinks.ErrUnknownOutcome) {
				t.Error(err)
			}
		}
	}
	if err := replay(); err != nil { // alone: sends what the fenced ones left
		t.Fatal(err)
	}
	marks := marked(t, cfg.Inputs.Orders)
	for _, l := range letters {
		back := marks[l.DeadLetterID]
		if len(back) != 1 {
			t.Fatalf("%s was put back %d times", l.DeadLetterID, len(back))
		}
		r := back[0]
		if string(r.Key) != string(l.Key) || string(r.Value) != string(l.Value) || r.Partition != l.DeadLetter.Partition ||
			len(r.Headers) != 3 || string(r.Headers[0].Value) != string(l.Key) || r.Headers[1].Key != "empty" || r.Headers[1].Value != nil {
			t.Errorf("%s came back as %v", l.DeadLetterID, r)
		}
	}
}

func TestWhatIsNotSent(t *testing.T) {
	cfg, letters := inputs(t, 6)
	letters[0].Truncated = true
	letters[1].DeadLetter.Topic = "elsewhere"
	letters[2].Step, letters[2].Reason = "frame", "bad_frame"
	letters[3].DeadLetter.Partition = 1 - letters[3].DeadLetter.Partition // it came on the wrong one
	letters[4].DeadLetterID = letters[5].DeadLetterID
	want := []string{"cut off", "not an input", "nothing outside the record", "", "", ""}
	for _, dry := range []bool{true, false} {
		r := deadletters.New(cfg)
		do := r.Replay
		if dry {
			do = r.Plan
		}
		plan, err := do(testkit.Context(t), letters)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan) != 5 { // the last two are one
			t.Fatalf("%d outcomes", len(plan))
		}
		for i, o := range plan {
			if got := o.Why; o.Send != (want[i] == "") || !strings.Contains(got, want[i]) {
				t.Errorf("dry %v, letter %d: sent %v, %q; want %q", dry, i, o.Send, got, want[i])
			}
		}
		if n := len(marked(t, cfg.Inputs.Orders)); dry && n != 0 || !dry && n != 2 {
			t.Errorf("dry %v: %d records are marked", dry, n)
		}
	}
	if back := marked(t, cfg.Inputs.Orders)["id-c3"]; len(back) != 1 || back[0].Partition != source.Partition([]byte("c3"), 2) {
		t.Errorf("the one from the wrong partition: %v", back)
	}
	plan, err := deadletters.New(cfg).Plan(testkit.Context(t), letters[3:])
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range plan {
		if o.Send || !o.Before {
			t.Errorf("%s would be sent again", o.Letter.DeadLetterID)
		}
	}
}

func TestNames(t *testing.T) {
	l := &deadletters.Letter{Topic: "dead-letters", Partition: 1, Offset: 7, DeadLetter: schemas.DeadLetter{DeadLetterID: "abc", Topic: "order-events-2", Partition: 3, Offset: 9}}
	for s, want := range map[string]bool{"abc": true, "dead-letters-1-7": true, "order-events-2-3-9": true, "order-events-2/3/9": true,
		"dead-letters-1-8": false, "dead-letters-7": false, "ab": false, "order-events-2-9": false, "": false} {
		if got := deadletters.ParseName(s).Names(l); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}
