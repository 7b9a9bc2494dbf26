package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/state"
	"tidemark/telemetry"
	"tidemark/testkit"
)

const badPlaybook = `
playbook: bad
version: 1
clock: live
time_zone: UTC
currency: USD
max_event_bytes: 2048
horizon: 60d
dead_letters: {pause_after: %d}
growth:
  - {name: spend, per: {amount: "1.00", gives: 1}}
tiers:
  - name: member
    on: spend
    window: {rolling: 7d}
    correct_within: 7d
    levels: [{name: base, reach: 0}, {name: silver, reach: 50}]
`

// bad is one record that must be refused, and how.
type bad struct {
	name         string
	behavior     bool
	partition    int32 // -1: of its key
	record       *kgo.Record
	step, reason string
	cut          int // bytes of the value that the dead letter holds; 0: all
}

// badRecords are one of each kind. unknown is a schema id that the registry does
// not have, foreign one of a schema that is no order.
func badRecords(w *world, orders, behaviors, unknown, foreign int32, now schemas.EventTime) []bad {
	sound := func(id string, change func(*schemas.Event)) *kgo.Record {
		e := order(0, "cust-"+id, schemas.Paid, "o-"+id, now, 6000)
		e.EventID = "e-" + id
		if change != nil {
			change(e)
		}
		return testkit.EventRecord(orders, e)
	}
	with := func(r *kgo.Record, change func(*kgo.Record)) *kgo.Record { change(r); return r }
	other := func(key string) int32 { return (source.Partition([]byte(key), w.tasks) + 1) % w.tasks }
	visit := testkit.EventRecord(behaviors, &schemas.Event{Kind: schemas.Behavior, EventID: "b1", CustomerID: "cust-b", OccurredAt: now, Type: "page.viewed"})
	return []bad{
		{name: "truncated body", partition: -1, record: with(sound("cut", nil), func(r *kgo.Record) { r.Value = r.Value[:len(r.Value)-3] }), step: "decode", reason: "undecodable"},
		{name: "bytes after the body", partition: -1, record: with(sound("tail", nil), func(r *kgo.Record) { r.Value = append(r.Value, 1, 2) }), step: "decode", reason: "undecodable"},
		{name: "no wire format", partition: -1, record: with(sound("json", nil), func(r *kgo.Record) { r.Value = []byte(`{"order_id": 1}`) }), step: "frame", reason: "bad_frame"},
		{name: "too short", partition: -1, record: with(sound("short", nil), func(r *kgo.Record) { r.Value = []byte{0, 0} }), step: "frame", reason: "bad_frame"},
		{name: "unknown schema", partition: -1, record: with(sound("unknown", nil), func(r *kgo.Record) { r.Value = schemas.AppendWire(nil, unknown, r.Value[5:]) }), step: "schema", reason: "unknown_schema"},
		{name: "schema of something else", partition: -1, record: with(sound("foreign", nil), func(r *kgo.Record) { r.Value = schemas.AppendWire(nil, foreign, r.Value[5:]) }), step: "schema", reason: "bad_schema"},
		{name: "no key", partition: 0, record: with(sound("nokey", nil), func(r *kgo.Record) { r.Key = nil }), step: "key", reason: "key_missing"},
		{name: "another key", partition: -1, record: with(sound("other", nil), func(r *kgo.Record) { r.Key = []byte("somebody") }), step: "key", reason: "key_is_not_customer_id"},
		{name: "wrong partition", partition: other("cust-place"), record: sound("place", nil), step: "partition", reason: "wrong_partition"},
		{name: "negative amount", partition: -1, record: sound("neg", func(e *schemas.Event) { e.AmountMinor = -1 }), step: "validate", reason: "negative_amount"},
		{name: "currency without a rate", partition: -1, record: sound("eur", func(e *schemas.Event) { e.Currency = "EUR" }), step: "validate", reason: "no_rate"},
		{name: "before 1970", partition: -1, record: sound("old", func(e *schemas.Event) { e.OccurredAt = -1 }), step: "validate", reason: "before_1970"},
		{name: "far future", partition: -1, record: sound("future", func(e *schemas.Event) { e.OccurredAt = now + schemas.Day }), step: "validate", reason: "in_the_future"},
		{name: "too late", partition: -1, record: sound("late", func(e *schemas.Event) { e.OccurredAt = now - 61*schemas.Day }), step: "validate", reason: "too_late"},
		{name: "over the size limit", partition: -1, record: sound("large", func(e *schemas.Event) { e.Channel = strings.Repeat("x", 2048) }), step: "frame", reason: "too_large"},
		{name: "over what a dead letter holds", partition: -1, cut: 1, record: sound("huge", func(e *schemas.Event) { e.Channel = strings.Repeat("x", 950_000) }), step: "frame", reason: "too_large"},
		{name: "tombstone", partition: -1, record: with(sound("null", nil), func(r *kgo.Record) { r.Value = nil }), step: "frame", reason: "no_value"},
		{name: "no event id", partition: -1, record: sound("noid", func(e *schemas.Event) { e.EventID = "" }), step: "validate", reason: "bad_event_id"},
		{name: "no order id", partition: -1, record: sound("noorder", func(e *schemas.Event) { e.OrderID = "" }), step: "validate", reason: "bad_order_id"},
		{name: "refund over what was paid", partition: -1, record: sound("over", func(e *schemas.Event) { e.Order, e.AmountMinor, e.EventID = schemas.Refunded, 7000, "r-over" }), step: "apply", reason: "refund_exceeds_paid"},
		{name: "behavior, truncated body", behavior: true, partition: -1, record: &kgo.Record{Key: visit.Key, Value: visit.Value[:len(visit.Value)-2]}, step: "decode", reason: "undecodable"},
		{name: "behavior, tombstone", behavior: true, partition: -1, record: &kgo.Record{Key: visit.Key}, step: "frame", reason: "no_value"},
	}
}

func (w *world) place(r *kgo.Record, partition int32, behavior bool) {
	w.t.Helper()
	topic := w.topics.Orders
	if behavior {
		topic = w.topics.Behaviors
	}
	if partition < 0 {
		partition = source.Partition(r.Key, w.tasks)
	}
	testkit.ProduceTo(w.t, topic, partition, r)
}

// fixedNow is a wall that stands still unless the test moves it: dates that are
// wrong by a margin stay so however slow the machine is.
func fixedNow(w *world) *atomic.Int64 {
	var wall atomic.Int64
	wall.Store(time.Now().Add(-time.Minute).UnixMilli())
	w.now = func() time.Time { return time.UnixMilli(wall.Load()) }
	return &wall
}

// Whatever is wrong with a record, it goes to the dead letters as it came, with
// place, step and reason, in the transaction of its journal record; everything
// around it is taken as ever; and what was decided stays decided.
func TestBadInput(t *testing.T) {
	w := newWorld(t, 3)
	wall := fixedNow(w)
	now := schemas.EventTime(wall.Load())
	w.prepare(compile(t, fmt.Sprintf(badPlaybook, 1000)), nil)
	first := w.start(t.TempDir(), "first", nil)
	orders, behaviors := testkit.Register(t, w.topics.Orders, "OrderEvent"), testkit.Register(t, w.topics.Behaviors, "BehaviorEvent")
	foreign, err := w.reg.Register(testkit.Context(t), testkit.Unique(t, "foreign")+"-value", `{"type":"record","name":"Invoice","fields":[{"name":"number","type":"long"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	unknown := foreign + 1

	// The clock must have begun, or nothing can be too late.
	warm := order(1, "warm", schemas.Paid, "o-warm", now, 100)
	w.publish([]*schemas.Event{warm})
	w.covered(testkit.Limit)
	w.clock(schemas.EventTime(wall.Add(5000)) - 2000)

	sound := func(id, customer string, kind schemas.OrderType, orderID string, minor int64) *schemas.Event {
		e := order(0, customer, kind, orderID, now, minor)
		e.EventID = id
		return e
	}
	all := badRecords(w, orders, behaviors, unknown, foreign, now)
	w.publish([]*schemas.Event{sound("e-paid-over", "cust-over", schemas.Paid, "o-over", 6000)})
	for i := range all {
		b := &all[i]
		b.record.Headers = []kgo.RecordHeader{{Key: "source", Value: []byte(b.name)}, {Key: "empty"}}
		w.place(b.record, b.partition, b.behavior)
		// A sound order of its own behind each: the task goes on.
		w.publish([]*schemas.Event{sound(fmt.Sprint("e-after-", i), fmt.Sprint("after-", i), schemas.Paid, fmt.Sprint("o-after-", i), 5000)})
	}
	// A repeat changes nothing: 30 dollars twice are no 50.
	twice := sound("e-twice", "twice", schemas.Paid, "o-twice", 3000)
	w.publish([]*schemas.Event{twice, twice})
	// A refund before its order waits: 60 less 20 are no 50.
	w.publish([]*schemas.Event{sound("e-r", "refund-first", schemas.Refunded, "o-r", 2000)})
	w.publish([]*schemas.Event{sound("e-o", "refund-first", schemas.Paid, "o-r", 6000)})
	// What an upstream transaction took back never was.
	aborted := testkit.EventRecord(orders, sound("e-aborted", "upstream", schemas.Paid, "o-aborted", 9000))
	kept := testkit.EventRecord(orders, sound("e-kept", "upstream-kept", schemas.Paid, "o-kept", 9000))
	txn := testkit.Unique(t, "upstream")
	testkit.ProduceTransaction(t, w.topics.Orders, txn, testkit.Abort, aborted)
	testkit.ProduceTransaction(t, w.topics.Orders, txn, testkit.Commit, kept)
	testkit.ProduceTransaction(t, w.topics.Orders, txn, testkit.Abort, testkit.EventRecord(orders, sound("e-aborted-2", "upstream", schemas.Paid, "o-aborted-2", 9000)))
	w.publish([]*schemas.Event{sound("e-last", "last", schemas.Paid, "o-last", 5000)})
	w.covered(testkit.Limit)
	before := customers(t, first)
	first.stop()
	r := w.audit()

	letters := deadLetters(t, w)
	for i := range all {
		b := &all[i]
		topic := w.topics.Orders
		if b.behavior {
			topic = w.topics.Behaviors
		}
		place := fmt.Sprintf("%s/%d/%d", topic, b.record.Partition, b.record.Offset)
		d := letters[place]
		if d == nil {
			t.Errorf("%s: no dead letter for %s", b.name, place)
			continue
		}
		delete(letters, place)
		if got, want := fmt.Sprint(d["step"], " ", d["reason"]), b.step+" "+b.reason; got != want {
			t.Errorf("%s: refused for %q, want %q", b.name, got, want)
		}
		if d["error"] == "" {
			t.Errorf("%s: no words for people", b.name)
		}
		value, key := branch(d["value"]), branch(d["key"])
		if b.cut > 0 {
			if d["truncated"] != true || len(value) < 800_000 || !bytes.HasPrefix(b.record.Value, value) {
				t.Errorf("%s: %d bytes, truncated %v", b.name, len(value), d["truncated"])
			}
		} else if !bytes.Equal(value, b.record.Value) || (value == nil) != (b.record.Value == nil) || d["truncated"] != false {
			t.Errorf("%s: the value is not as it came: %x, want %x", b.name, value, b.record.Value)
		}
		if !bytes.Equal(key, b.record.Key) || (key == nil) != (b.record.Key == nil) {
			t.Errorf("%s: key %q, want %q", b.name, key, b.record.Key)
		}
		if got, want := fmt.Sprint(d["headers"]), fmt.Sprintf("[map[key:source value:map[bytes:%v]] map[key:empty value:<nil>]]", []byte(b.name)); got != want {
			t.Errorf("%s: headers %s, want %s", b.name, got, want)
		}
	}
	for place, d := range letters {
		t.Errorf("a dead letter that nobody expects: %s %v", place, d)
	}
	silver := map[string]bool{}
	for _, rec := range testkit.ReadCommitted(t, w.topics.Out(schemas.TierChanges)) {
		silver[string(rec.Key)] = true
	}
	for i := range all {
		if !silver[fmt.Sprint("after-", i)] {
			t.Errorf("the order after %q did not count", all[i].name)
		}
	}
	for customer, want := range map[string]bool{"last": true, "upstream-kept": true, "upstream": false, "twice": false, "refund-first": false, "cust-future": false, "cust-late": false} {
		if silver[customer] != want {
			t.Errorf("%s reached silver: %v, want %v", customer, silver[customer], want)
		}
	}

	// The registry learns the schema, and the state is lost: what was decided stands.
	text := strings.Replace(schemas.Text("OrderEvent"), "One change", "Known by now. One change", 1)
	id, err := w.reg.Register(testkit.Context(t), testkit.Unique(t, "late")+"-value", text)
	if err != nil || id != unknown {
		t.Fatalf("the unknown schema got id %d (%v), want %d: choose better", id, err, unknown)
	}
	second := w.start(t.TempDir(), "second", nil)
	w.publish([]*schemas.Event{sound("e-more", "more", schemas.Paid, "o-more", 5000)})
	w.covered(testkit.Limit)
	w.ready(second)
	after := customers(t, second)
	second.stop()
	delete(after, "more")
	if len(after) != len(before) {
		t.Errorf("%d customers after a replay, %d before", len(after), len(before))
	}
	for id := range before {
		if after[id] != before[id] {
			t.Errorf("the state of %s after a replay is another:\n%v\n%v", id, after[id], before[id])
		}
	}
	again := w.audit()
	if again.Published <= r.Published || again.ByTopic[schemas.DeadLetters] != int64(len(all)) {
		t.Errorf("published %d, then %d; %d dead letters", r.Published, again.Published, again.ByTopic[schemas.DeadLetters])
	}
}

// branch is the bytes in an Avro union of null and bytes as goavro gives it.
func branch(v any) []byte {
	if m, ok := v.(map[string]any); ok {
		return slices.Concat([]byte{}, m["bytes"].([]byte))
	}
	return nil
}

// deadLetters are the values of the topic, by where the refused record stands.
func deadLetters(t *testing.T, w *world) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, r := range testkit.ReadCommitted(t, w.topics.Out(schemas.DeadLetters)) {
		d, err := Native(schemas.Text("DeadLetter"), r.Value[schemas.WireHeader:])
		if err != nil {
			t.Fatal(err)
		}
		place := fmt.Sprintf("%v/%v/%v", d["topic"], d["partition"], d["offset"])
		if out[place] != nil {
			t.Errorf("two dead letters for %s", place)
		}
		out[place] = d
		if r.Partition != d["partition"] {
			t.Errorf("the dead letter of %s stands on partition %d", place, r.Partition)
		}
	}
	return out
}

// customers are the rows of all tasks as texts.
func customers(t *testing.T, p *process) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := p.m.EachCustomer(func(task int32, _ []string, c *state.Customer) error {
		out[c.ID] = fmt.Sprintf("%d %+v", task, *c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// So many refused records in a row that something must be wrong with the
// producer: the task keeps what it decided and stops, and says so.
func TestTooManyDeadLettersPause(t *testing.T) {
	w := newWorld(t, 1)
	now := schemas.EventTime(fixedNow(w).Load())
	w.prepare(compile(t, fmt.Sprintf(badPlaybook, 5)), nil)
	id := 0
	send := func(n int, amount int64) {
		var events []*schemas.Event
		for range n {
			id++
			events = append(events, order(id, fmt.Sprint("c", id), schemas.Paid, fmt.Sprint("o", id), now, amount))
		}
		w.publish(events)
	}
	send(4, -1)
	send(1, 5000)
	send(4, -1)
	send(1, 5000)
	dir := t.TempDir()
	p := w.start(dir, "one", nil)
	w.covered(testkit.Limit)
	w.ready(p) // four in a row did not pause it

	send(8, -1)
	send(1, 5000)
	w.await(testkit.Limit, "the pause", func() bool {
		r := p.tel.Tasks.Readiness()
		return len(r.Tasks) == 1 && r.Tasks[0].State == telemetry.Paused
	})
	if got, want := len(testkit.ReadCommitted(t, w.topics.Out(schemas.DeadLetters))), 4+4+5; got != want {
		t.Errorf("%d dead letters, want %d: those that were decided and no more", got, want)
	}
	answer := httptest.NewRecorder()
	p.tel.Tasks.ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
	var ready telemetry.Readiness
	if err := json.Unmarshal(answer.Body.Bytes(), &ready); err != nil {
		t.Fatal(err)
	}
	if got, want := answer.Code, http.StatusServiceUnavailable; got != want {
		t.Errorf("/readyz answers %d, want %d", got, want)
	}
	for _, want := range []string{"5 records in a row", "negative_amount", "dead-letters", "restart"} {
		if !strings.Contains(ready.Tasks[0].Detail, want) {
			t.Errorf("/readyz does not say %q: %s", want, ready.Tasks[0].Detail)
		}
	}
	if !w.log.has("level=ERROR") {
		t.Errorf("the log is not loud:\n%s", w.log.last(10))
	}
	p.stop()

	// A restart goes on, and counts anew: three are left, then a sound one.
	q := w.start(dir, "two", nil)
	w.covered(testkit.Limit)
	w.ready(q)
	q.stop()
	if r := w.audit(); r.ByTopic[schemas.DeadLetters] != 16 || r.ByTopic[schemas.TierChanges] != 3 {
		t.Errorf("by topic %v, want 16 dead letters and 3 tier changes", r.ByTopic)
	}
}

// A registry that gives no answer is waited for; nothing is refused meanwhile.
func TestRegistryAway(t *testing.T) {
	w := newWorld(t, 2)
	target, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(rw, "away", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	defer front.Close()
	w.prepare(compile(t, fmt.Sprintf(badPlaybook, 5)), nil)
	direct := w.reg
	through, err := registry.NewClient(registry.Config{URLs: []string{front.URL}, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	p := w.start(t.TempDir(), "one", func(c *runtime.Config) { c.Registry = through })
	w.ready(p)
	away.Store(true)
	w.reg = direct
	now := schemas.EventTime(time.Now().UnixMilli())
	var events []*schemas.Event
	for i := range 20 {
		events = append(events, order(i, fmt.Sprint("c", i), schemas.Paid, fmt.Sprint("o", i), now, 6000))
	}
	w.publish(events)
	w.await(testkit.Limit, "both tasks to wait", func() bool {
		n := 0
		for _, s := range p.tel.Tasks.Readiness().Tasks {
			if s.State == telemetry.Waiting && strings.Contains(s.Detail, "registry") {
				n++
			}
		}
		return n == 2
	})
	if n := len(testkit.ReadCommitted(t, w.topics.Out(schemas.TierChanges))); n != 0 {
		t.Errorf("%d tier changes out of records that nobody could read", n)
	}
	away.Store(false)
	w.covered(testkit.Limit)
	w.ready(p)
	p.stop()
	if r := w.audit(); r.ByTopic[schemas.TierChanges] != 20 || r.ByTopic[schemas.DeadLetters] != 0 {
		t.Errorf("by topic %v, want 20 tier changes and no dead letter", r.ByTopic)
	}
}
