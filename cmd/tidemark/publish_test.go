package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/examples"
	"tidemark/playbook"
	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
)

// sample copies the CDNOW sample, its mapping and a playbook out of the binary.
func sample(t *testing.T) (data, mapping, book string) {
	t.Helper()
	dir := t.TempDir()
	out := make([]string, 3)
	for i, name := range []string{"data/cdnow/CDNOW_sample.txt.gz", "data/cdnow/cdnow-sample.mapping.yaml", "playbooks/cdnow.yaml"} {
		f, err := examples.Data.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(out[i], text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return out[0], out[1], out[2]
}

// line is what replay and tail have in common.
type line struct {
	Topic     string          `json:"topic"`
	Key       string          `json:"key"`
	Partition int32           `json:"partition"`
	Value     json.RawMessage `json:"value"`
}

// sequences gives the values of each partition of each topic, in order.
func sequences(t *testing.T, text string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, s := range strings.Split(strings.TrimSpace(text), "\n") {
		var l line
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		at := fmt.Sprintf("%s/%d", l.Topic, l.Partition)
		out[at] = append(out[at], l.Key+" "+string(l.Value))
	}
	return out
}

// From a file to the triggers through a broker: the same bytes as without one.
// A second publishing, with and without a state file, changes nothing.
func TestPublishedIsWhatReplayPrints(t *testing.T) {
	data, mapping, book := sample(t)
	c, conn := testCluster(t, "shop", 3)
	resume := filepath.Join(t.TempDir(), "resume.json")
	args := append([]string{"publish", "--mapping", mapping, "--resume", resume, data}, conn...)
	if r := good(t, args...); !strings.Contains(r.stderr, "published 6919 events, passed over 0") {
		t.Errorf("first run says\n%s", r.stderr)
	}
	if r := good(t, args...); !strings.Contains(r.stderr, "published 0 events, passed over 6919") {
		t.Errorf("second run says\n%s", r.stderr)
	}

	pb, err := playbook.Load(book)
	if err != nil {
		t.Fatal(err)
	}
	last := schemas.EventTime(time.Date(1998, 6, 30, 0, 0, 0, 0, time.UTC).UnixMilli())
	left := 3
	await(t, processing(t, c, pb, last), "the end of the history", func(k runtime.Commit) bool {
		if k.Finished {
			left--
		}
		return left == 0
	})
	want := sequences(t, good(t, "replay", "--playbook", book, "--mapping", mapping, "--partitions", "3", "--app", "shop", "--until", "1998-06-30", data).out)
	told := good(t, append([]string{"tail", "--exit-at-end"}, conn...)...).out
	got := sequences(t, told)
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d partitions with triggers by tail, %d by replay", len(got), len(want))
	}
	for at, list := range want {
		if strings.Join(got[at], "\n") != strings.Join(list, "\n") {
			t.Errorf("%s: tail has %d triggers, replay %d, or they differ", at, len(got[at]), len(list))
		}
	}

	// A customer's are those of her key, and the filters choose among them.
	var mine []string
	for _, s := range strings.Split(strings.TrimSpace(told), "\n") {
		if strings.Contains(s, `"key":"00004",`) {
			mine = append(mine, s)
		}
	}
	one := strings.Split(strings.TrimSpace(good(t, append([]string{"tail", "--exit-at-end", "--customer", "00004"}, conn...)...).out), "\n")
	if len(mine) == 0 || len(one) != len(mine) {
		t.Errorf("--customer gives %d triggers of %d", len(one), len(mine))
	}
	for _, s := range one {
		if !strings.Contains(s, fmt.Sprintf(`"partition":%d,`, source.Partition([]byte("00004"), 3))) {
			t.Errorf("another partition: %s", s)
		}
	}
	some := strings.TrimSpace(good(t, append([]string{"tail", "--exit-at-end", "--rule", "silent", "--status", "FIRED", "--max", "5", "churn-warnings"}, conn...)...).out)
	if n := strings.Count(some, `"rule":"silent"`); n != 5 || strings.Count(some, "\n") != 4 {
		t.Errorf("--rule and --max give\n%s", some)
	}
	table := good(t, append([]string{"tail", "--exit-at-end", "--format", "table", "--customer", "00004", "tier-changes"}, conn...)...).out
	if !strings.HasPrefix(table, "EFFECTIVE (UTC)") || !strings.Contains(table, "Listener -> ") {
		t.Errorf("table:\n%s", table)
	}
	for _, topic := range []string{"control", "journal"} {
		r := good(t, append([]string{"tail", "--exit-at-end", "--max", "1", topic}, conn...)...)
		if !strings.Contains(r.out, `"topic":"tidemark-shop-`+topic+`"`) || strings.Contains(r.out, "problem") {
			t.Errorf("%s: %s", topic, r.out)
		}
	}
	// All of it was published just now.
	recent := good(t, append([]string{"tail", "--exit-at-end", "--customer", "00004", "--since", "1h"}, conn...)...).out
	if got, want := strings.Count(recent, "\n"), len(one); got != want {
		t.Errorf("--since 1h gives %d triggers of %d", got, want)
	}
	if r := good(t, append([]string{"tail", "--exit-at-end", "--since", time.Now().Add(time.Hour).Format(time.RFC3339)}, conn...)...); r.out != "" {
		t.Errorf("--since in an hour gives %s", r.out)
	}
}

// A state file that does not fit the files, the topics or the cluster is refused.
func TestResumeIsHeldAgainstTheFiles(t *testing.T) {
	_, conn := testCluster(t, "shop", 2)
	event := func(id string, day int) string {
		return fmt.Sprintf(`{"event_id":"%s","customer_id":"c","type":"app.opened","occurred_at":"2026-01-%02dT00:00:00Z"}`+"\n", id, day)
	}
	resume := filepath.Join(t.TempDir(), "resume.json")
	run := func(text string) result {
		return tidemark(t, append([]string{"publish", "--resume", resume, write(t, "events.jsonl", text)}, conn...)...)
	}
	first := event("a", 1) + event("b", 3)
	if r := run(first); r.code != 0 || !strings.Contains(r.stderr, "published 2 events") {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	if r := run(first + event("c", 4)); r.code != 0 || !strings.Contains(r.stderr, "published 1 events, passed over 2") {
		t.Errorf("a longer file: exit %d\n%s", r.code, r.stderr)
	}
	if r := run(event("x", 2) + first + event("c", 4)); r.code != 1 || !strings.Contains(r.stderr, "the files have changed") {
		t.Errorf("an event in between: exit %d\n%s", r.code, r.stderr)
	}
	if r := run(event("a", 1) + event("y", 3) + event("c", 4)); r.code != 1 || !strings.Contains(r.stderr, "the files have changed") {
		t.Errorf("another event in the middle: exit %d\n%s", r.code, r.stderr)
	}
	if r := run(event("a", 1)); r.code != 1 || !strings.Contains(r.stderr, "the files have changed") {
		t.Errorf("a shorter file: exit %d\n%s", r.code, r.stderr)
	}
	text, err := os.ReadFile(resume)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"cluster":    {`"cluster": "`, `"cluster": "x`},
		"topic":      {`"orders": "`, `"orders": "x`},
		"made anew":  {`"events": 3`, `"events": 300`},
		"not a file": {`{`, `[`},
	} {
		bad := strings.Replace(string(text), change[0], change[1], 1)
		if bad == string(text) {
			t.Fatalf("%s: nothing to change in %s", name, text)
		}
		if err := os.WriteFile(resume, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := run(first); r.code == 0 || !strings.Contains(r.stderr, "state file") {
			t.Errorf("%s: exit %d\n%s", name, r.code, r.stderr)
		}
	}
	got := good(t, append([]string{"tail", "--exit-at-end", "behavior-events"}, conn...)...).out
	if n := strings.Count(got, "\n"); n != 3 {
		t.Errorf("the topic has %d records:\n%s", n, got)
	}
}

func TestPublishAtARate(t *testing.T) {
	_, conn := testCluster(t, "shop", 2)
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, `{"event_id":"e%d","customer_id":"c%d","type":"app.opened","occurred_at":%d}`+"\n", i, i, 1_767_225_600_000+i)
	}
	began := time.Now()
	good(t, append([]string{"publish", "--rate", "50", write(t, "events.jsonl", text.String())}, conn...)...)
	if took := time.Since(began); took < 550*time.Millisecond {
		t.Errorf("30 events at 50 a second took %v", took)
	}
}

const shopMapping = `version: 1
name: shop
kind: order
customer: customer
time: {column: time, layout: "%Y-%m-%d %H:%M"}
zone: Asia/Shanghai
skip:
  - {reason: no customer, when: {column: customer, empty: true}}
order:
  id: invoice
  group: true
  type: {constant: PAID}
  currency: {constant: CNY}
items: {sku: sku, quantity: quantity, price: price}
refunds:
  when: {column: quantity, less_than: 0}
  link: latest_order_with_sku
`

const shopOrders = `invoice,customer,time,sku,quantity,price
1,ann,2026-01-05 10:00,tea,2,12.50
1,ann,2026-01-05 10:00,cup,1,30
2,bob,2026-01-05 09:30,tea,1,12.50
3,,2026-01-06 10:00,tea,1,12.50
4,ann,2026-01-07 10:00,tea,-1,12.50
5,bob,2026-01-08 10:00,pot,-1,80
6,cem,2026-13-08 10:00,pot,1,80
7,cem,2026-01-09 10:00,pot,1,80.001
`

// A dry run names every problem and what becomes of every line, and writes nothing.
func TestDryRun(t *testing.T) {
	mapping, data := write(t, "shop.mapping.yaml", shopMapping), write(t, "orders.csv", shopOrders)
	r := tidemark(t, "publish", "--dry-run", "--mapping", mapping, data)
	if r.code != 1 {
		t.Errorf("exit %d, want 1: there are problems", r.code)
	}
	golden(t, "dry-run.txt", r.out+"---\n"+strings.ReplaceAll(r.stderr, data, "orders.csv"))
	if r := tidemark(t, "publish", "--dry-run", "--problems", "2", "--mapping", mapping, data); r.code != 0 {
		t.Errorf("with two problems allowed: exit %d\n%s", r.code, r.stderr)
	}

	// Without problems it says what a real run then does, to the event.
	text := shopOrders[:strings.Index(shopOrders, "6,cem")]
	data = write(t, "orders.csv", text)
	dry := good(t, "publish", "--dry-run", "--mapping", mapping, data).out
	_, conn := testCluster(t, "shop", 1)
	good(t, append([]string{"publish", "--mapping", mapping, data}, conn...)...)
	sent := good(t, append([]string{"tail", "--exit-at-end", "order-events"}, conn...)...).out
	if got, want := strings.Count(sent, "\n"), strings.Count(dry, "\n"); got != want {
		t.Errorf("%d events published, %d shown", got, want)
	}
	for i, s := range strings.Split(strings.TrimSpace(dry), "\n") {
		var e struct {
			ID string `json:"event_id"`
		}
		if err := json.Unmarshal([]byte(s), &e); err != nil || !strings.Contains(strings.Split(sent, "\n")[i], e.ID) {
			t.Errorf("event %d is not the one shown: %s", i, s)
		}
	}
}

// What a dry run of JSON Lines flags beside lines that make no event: keys that set
// nothing, with what may have been meant, and dates that no task will take.
func TestDryRunFlags(t *testing.T) {
	future := time.Now().Add(72 * time.Hour).UTC().Format(time.RFC3339)
	data := write(t, "events.jsonl", `{"event_id":"1","customer_id":"ann","order_id":"o1","type":"PAID","occurred_at":"2024-01-05T10:00:00Z","amount_minor":1200,"currency":"EUR","chanel":"web","shop":"x"}
{"event_id":"2","customer_id":"ann","type":"page.viewed","occurred_at":"1969-12-31T23:59:59Z","chanel":"app"}
{"event_id":"3","customer_id":"ann","type":"page.viewed","occurred_at":"`+future+`"}
{"event_id":"4","customer_id":"ann","order_id":"o4","type":"PAID","occurred_at":"2024-01-06T10:00:00Z","amount_minor":1,"currency":"EUR","items":[{"sku":"a","quantity":1,"amount_minor":1,"catgory":"tea"}]}
`)
	r := good(t, "publish", "--dry-run", data)
	for _, want := range []string{
		`:1: "chanel" is no key of an event and sets nothing, did you mean "channel"? (2 times)`,
		`:1: "shop" is no key of an event and sets nothing` + "\n",
		`:4: "items[].catgory" is no key of an event and sets nothing, did you mean "category"?`,
		"before 1970: 1 events; they will be dead letters",
		"in the future: 1 events, the last of " + future,
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("it does not say %s:\n%s", want, r.stderr)
		}
	}
	if strings.Count(r.out, "\n") != 4 {
		t.Errorf("it shows\n%s", r.out)
	}
	r = tidemark(t, "publish", "--dry-run", "--strict", data)
	if r.code != 1 || !strings.Contains(r.stderr, `:2: "chanel" is no key of it, did you mean "channel"?`) || strings.Count(r.out, "\n") != 1 {
		t.Errorf("strict: exit %d\n%s%s", r.code, r.out, r.stderr)
	}
	data = write(t, "more.jsonl", `{"event_id":"1","customer_id":"ann","order_id":"o1","type":"PAID","occurred_at":"2024-01-05T10:00:00Z","amount":"12.00","currency":"EUR"}`+"\n")
	if r = tidemark(t, "publish", "--dry-run", data); !strings.Contains(r.stderr, `:1: amount_minor is missing ("amount" is no key of it, did you mean "amount_minor"?)`) {
		t.Errorf("a missing key beside an unknown one:\n%s", r.stderr)
	}
}
