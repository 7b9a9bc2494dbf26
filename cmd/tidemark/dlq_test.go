package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/deadletters"
	"tidemark/playbook"
	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/tail"
)

// unknownID is a schema id that no registry here hands out by itself.
const unknownID = 5000

// produceOne writes one record under a key of its own, as a producer app would.
func produceOne(t *testing.T, c *cluster, topic, key string, value []byte, headers ...kafka.Header) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(c.broker.Addr())}
	r, err := client.Produce(t.Context(), &kafka.ProduceRequest{Topic: topic, Partition: int(source.Partition([]byte(key), 2)), RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte(key)), Value: kafka.NewBytes(value), Headers: headers})})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

func paid(customer, order string, cents int64) []byte {
	e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: "event-" + order, CustomerID: customer, OrderID: order,
		OccurredAt: 1_767_225_600_000, AmountMinor: cents, Currency: "USD"}
	return schemas.AppendOrderAvro(schemas.AppendWireHeader(nil, unknownID), &e)
}

// importSchema puts the contract's order event into the registry under unknownID.
func importSchema(t *testing.T, c *cluster) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"schema": schemas.Text("OrderEvent"), "id": unknownID, "version": 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]string{{"PUT", "/mode/partner-value", `{"mode":"IMPORT"}`}, {"POST", "/subjects/partner-value/versions", string(body)}} {
		req, err := http.NewRequestWithContext(t.Context(), r[0], c.registry.URL()+r[1], strings.NewReader(r[2]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %s", r[0], r[1], res.Status, text)
		}
	}
}

func lines[T any](t *testing.T, text string) (out []T) {
	t.Helper()
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		out = append(out, v)
	}
}

// records reads a topic to its end, as it stands.
func records(t *testing.T, c *cluster, topic string) (out []*tail.Record) {
	t.Helper()
	r, err := tail.Open(t.Context(), tail.Config{Brokers: []string{c.broker.Addr()}, Topics: []string{topic}, From: tail.FromBeginning, ExitAtEnd: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
}

// An order whose schema the registry did not have: refused, looked at, put back
// once the schema is there, accepted, and not put back a second time.
func TestDeadLetterRoundTrip(t *testing.T) {
	c, conn := testCluster(t, "shop", 2)
	pb, err := playbook.Compile(starter, "starter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	commits := processing(t, c, pb, 0)
	counts := map[runtime.Kind]int{}
	seen := func(topic schemas.Topic, n int) func(runtime.Commit) bool {
		return func(k runtime.Commit) bool {
			for kind, m := range k.Kinds {
				counts[kind] += m
			}
			sum := 0
			for kind, m := range counts {
				if kind.Topic == topic {
					sum += m
				}
			}
			return sum >= n
		}
	}
	trace := kafka.Header{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}
	produceOne(t, c, c.topics.Orders, "ann", paid("ann", "1", 15_000), trace)
	produceOne(t, c, c.topics.Orders, "bob", []byte("{}"))
	await(t, commits, "two dead letters", seen(schemas.DeadLetters, 2))

	list := lines[dlqLine](t, good(t, append([]string{"dlq", "list", "--format", "json"}, conn...)...).out)
	if len(list) != 2 {
		t.Fatalf("%d dead letters", len(list))
	}
	only := lines[dlqLine](t, good(t, append([]string{"dlq", "list", "--format", "json", "--reason", "unknown_schema"}, conn...)...).out)
	if len(only) != 1 || only[0].Step != "schema" {
		t.Fatalf("by reason: %+v", only)
	}
	for _, verb := range []string{"list", "replay"} {
		r := tidemark(t, append([]string{"dlq", verb, "--reason", "unknown_shema"}, conn...)...)
		if r.code != 2 || !strings.Contains(r.stderr, "no dead letter has it and no version gives it; did you mean unknown_schema?") {
			t.Errorf("%s with a misspelt reason: exit %d, %s", verb, r.code, r.stderr)
		}
	}
	if r := good(t, append([]string{"dlq", "list", "--reason", "too_late"}, conn...)...); !strings.Contains(r.stderr, "0 dead letters") {
		t.Errorf("a reason that no dead letter has: %s", r.stderr)
	}
	bad := list[0]
	if bad.ID == only[0].ID {
		bad = list[1]
	}
	show := good(t, append([]string{"dlq", "show", only[0].Place}, conn...)...).out
	if !strings.Contains(show, "the registry has no schema 5000") || !strings.Contains(show, "traceparent: 00-0af") || !strings.Contains(show, "00000000  00 00 00 13 88") {
		t.Errorf("show:\n%s", show)
	}

	replay := append([]string{"dlq", "replay", "--format", "json"}, conn...)
	early := tidemark(t, append(replay, "--reason", "unknown_schema")...)
	if early.code != 1 || !strings.Contains(early.out, "the cause is still there") {
		t.Errorf("before the cause is gone: exit %d, %s%s", early.code, early.out, early.stderr)
	}
	importSchema(t, c)
	detail := lines[dlqDetail](t, good(t, append([]string{"dlq", "show", "--format", "json", only[0].ID}, conn...)...).out)[0]
	if !strings.Contains(string(detail.Decoded), `"amount_minor":15000`) {
		t.Errorf("decoded: %s", detail.Decoded)
	}
	before := len(records(t, c, c.topics.Orders))
	for _, verb := range []string{"--dry-run", "", "", "--force"} { // the later two change nothing
		r := good(t, append(append(replay, "--reason", "unknown_schema"), strings.Fields(verb)...)...)
		if first := verb == ""; first && strings.Contains(r.stderr, "1 sent") {
			await(t, commits, "the customer's rise", seen(schemas.TierChanges, 1))
		}
	}
	after := records(t, c, c.topics.Orders)
	if got, want := len(after)-before, 1; got != want {
		t.Errorf("%d records put back, want %d", got, want)
	}
	var back *tail.Record
	for _, r := range after {
		for _, h := range r.Headers {
			if h.Key == deadletters.HeaderReplayed && string(h.Value) == only[0].ID {
				back = r
			}
		}
	}
	if back == nil {
		t.Fatal("no record is marked")
	}
	if string(back.Key) != "ann" || string(back.Raw) != string(paid("ann", "1", 15_000)) || back.Headers[0].Key != trace.Key || string(back.Headers[0].Value) != string(trace.Value) {
		t.Errorf("put back under key %q with %v", back.Key, back.Headers)
	}

	// What can only be refused again goes back by force alone, and only once too.
	hopeless := append(replay, "--id", bad.ID)
	if r := tidemark(t, hopeless...); r.code != 1 || !strings.Contains(r.out, "nothing outside the record can cure that") {
		t.Errorf("a wrong frame: exit %d, %s", r.code, r.out)
	}
	good(t, append(hopeless, "--force")...)
	await(t, commits, "the third dead letter", seen(schemas.DeadLetters, 3))
	if r := good(t, append(hopeless, "--force")...); !strings.Contains(r.out, "put back before") {
		t.Errorf("forced twice: %s", r.out)
	}
	var again []dlqLine
	for _, l := range lines[dlqLine](t, good(t, append([]string{"dlq", "list", "--format", "json", "--since", "1h"}, conn...)...).out) {
		if l.ReplayOf == bad.ID {
			again = append(again, l)
		}
	}
	if len(again) != 1 || again[0].ID == bad.ID {
		t.Errorf("refused again: %+v", again)
	}
	if r := tidemark(t, append([]string{"dlq", "show", "none"}, conn...)...); r.code != 1 {
		t.Errorf("showing what is not there: exit %d", r.code)
	}
	if r := tidemark(t, replay...); r.code != 2 {
		t.Errorf("replay of nothing in particular: exit %d", r.code)
	}
}
