package replay_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"tidemark/examples"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/corpus.txt anew")

func compile(t testing.TB, text []byte) *playbook.Playbook {
	t.Helper()
	pb, err := playbook.Compile(text, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

func example(t testing.TB, name string) *playbook.Playbook {
	t.Helper()
	text, err := examples.Data.ReadFile("playbooks/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, text)
}

// dataset opens one of the data sets that ship with the project.
func dataset(t testing.TB, data, mapping string) func() (*schemas.Event, error) {
	t.Helper()
	m, err := ingest.ReadMapping(examples.Data, mapping)
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingest.Open(context.Background(), []ingest.Source{{FS: examples.Data, Path: data, Mapping: m}}, ingest.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := events.Close(); err != nil {
			t.Error(err)
		}
	})
	return events.Next
}

func date(s string) schemas.EventTime {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return schemas.EventTime(t.UnixMilli())
}

// never is a wall time after all data.
const never = schemas.EventTime(4_000_000_000_000)

func run(t testing.TB, o replay.Options, next func() (*schemas.Event, error)) *replay.Result {
	t.Helper()
	o.App, o.Wall = "golden", never
	res, err := replay.Run(context.Background(), o, next)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// classes follows lifecycle-changes and counts customers by their latest class.
func classes(rule string, latest map[string]string) func(int32, *core.Out) error {
	return func(_ int32, o *core.Out) error {
		c, ok := o.Record.(*schemas.LifecycleChange)
		if !ok || c.Rule != rule {
			return nil
		}
		if c.Status == schemas.Retracted {
			return fmt.Errorf("%s: retracted", c.CustomerID)
		}
		latest[c.CustomerID] = c.To
		return nil
	}
}

func counted(latest map[string]string) map[string]int {
	n := map[string]int{}
	for _, class := range latest {
		n[class]++
	}
	return n
}

// The golden set of the R package rfm, through the whole engine: histograms,
// partials, cuts through the control topic, sweep.
func TestPutlerClasses(t *testing.T) {
	raw, err := examples.Data.ReadFile("data/rfm/rfm_data_orders.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(raw))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var events []*schemas.Event
	for i, row := range rows[1:] {
		var amount int64
		fmt.Sscan(row[2], &amount)
		id := fmt.Sprintf("row-%d", i+1)
		events = append(events, &schemas.Event{Order: schemas.Paid, EventID: id, OrderID: id, CustomerID: row[0],
			OccurredAt: date(row[1]), AmountMinor: amount, Currency: "XTS"})
	}
	slices.SortStableFunc(events, func(a, b *schemas.Event) int { return int(a.OccurredAt/schemas.Day - b.OccurredAt/schemas.Day) })
	want := map[string]int{"loyal": 278, "potential_loyalist": 229, "champions": 158, "lost": 111, "at_risk": 86,
		"about_to_sleep": 50, "others": 48, "need_attention": 35}
	for _, partitions := range []int32{1, 3} {
		latest := map[string]string{}
		res := run(t, replay.Options{Playbook: example(t, "rfm-golden.yaml"), Partitions: partitions, Partition: spread,
			Until: date("2006-12-31"), Emit: classes("golden", latest)}, slice(events))
		if res.Dead != 0 {
			t.Errorf("%d dead letters", res.Dead)
		}
		if got := counted(latest); !maps.Equal(got, want) {
			t.Errorf("%d partitions: got %v, want %v", partitions, got, want)
		}
	}
}

// evidence must be true in every trigger, whatever its status.
func evidence(t *testing.T, o *core.Out) {
	tr, ok := o.Record.(schemas.Trigger)
	if !ok || t.Failed() {
		return
	}
	h := tr.TriggerHead()
	if len(h.Evidence) == 0 {
		t.Errorf("%s of %s has no evidence", o.Topic, o.Key)
	}
	for _, e := range h.Evidence {
		a, errA := strconv.ParseFloat(e.Value, 64)
		b, errB := strconv.ParseFloat(e.Limit, 64)
		numbers := errA == nil && errB == nil
		ok := false
		switch e.Comparison {
		case ">=":
			ok = numbers && a >= b
		case "<":
			ok = numbers && a < b
		case "==":
			ok = e.Value == e.Limit
		}
		if !ok {
			t.Errorf("%s %s %s of %s at %d: evidence %s %s %s %s", o.Topic, h.Rule, h.Status, o.Key, h.EffectiveAt, e.Fact, e.Value, e.Comparison, e.Limit)
		}
	}
}

func slice(events []*schemas.Event) func() (*schemas.Event, error) {
	i := 0
	return func() (*schemas.Event, error) {
		if i == len(events) {
			return nil, io.EOF
		}
		i++
		return events[i-1], nil
	}
}

func spread(key []byte, n int32) int32 { return int32(xxhash.Sum64(key) % uint64(n)) }

// The eight Chinese classes on the clean lines of Online Retail (no refunds),
// as of 10 December 2011, cut at the mean.
func TestEightClasses(t *testing.T) {
	pb := compile(t, []byte(`
playbook: eight
clock: input
time_zone: Europe/London
currency: GBP
rfm:
  - name: eight
    window: lifetime
    cuts: {by: mean, refresh: {at: [2011-12-10]}, delay: 0s}
    classes: eight
`))
	next := dataset(t, examples.OnlineRetail, examples.OnlineRetailMapping)
	latest := map[string]string{}
	run(t, replay.Options{Playbook: pb, Partitions: 2, Partition: spread, Until: date("2011-12-10"), Emit: classes("eight", latest)},
		func() (*schemas.Event, error) {
			for {
				e, err := next()
				if err != nil || e.Order == schemas.Paid {
					return e, err
				}
			}
		})
	want := map[string]int{"important_value": 689, "important_develop": 117, "important_keep": 27, "important_retain": 38,
		"general_value": 358, "general_develop": 1750, "general_keep": 40, "general_retain": 1319}
	if got := counted(latest); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestCorpus holds the engine to its number: the same input gives the same
// bytes, or core.Engine is another. Where output changed on purpose, change
// core.Engine and run this test with -rewrite.
//
// On the way it looks at what must be true of every trigger.
func TestCorpus(t *testing.T) {
	var lines []string
	for _, c := range []struct {
		name, playbook, data, mapping string
	}{
		{"cdnow", "cdnow.yaml", examples.CDNOW, examples.CDNOWMapping},
		{"online-retail", "online-retail.yaml", examples.OnlineRetail, examples.OnlineRetailMapping},
	} {
		type sum struct {
			n int
			h *xxhash.Digest
		}
		topics := map[string]*sum{}
		orders := map[string][]schemas.EventTime{}
		next := dataset(t, c.data, c.mapping)
		observe := func() (*schemas.Event, error) {
			e, err := next()
			if err == nil && e.Order == schemas.Paid {
				orders[e.CustomerID] = append(orders[e.CustomerID], e.OccurredAt)
			}
			return e, err
		}
		early := 0
		_, err := replay.Run(context.Background(), replay.Options{App: "golden", Wall: never, Playbook: example(t, c.playbook),
			Emit: func(_ int32, o *core.Out) error {
				s := topics[string(o.Topic)]
				if s == nil {
					s = &sum{h: xxhash.New()}
					topics[string(o.Topic)] = s
				}
				s.n++
				evidence(t, o)
				s.h.WriteString(o.Key + "\x00")
				s.h.Write(o.Body)
				if w, ok := o.Record.(*schemas.ChurnWarning); ok && c.name == "cdnow" && w.Status == schemas.Fired {
					for _, at := range orders[w.CustomerID] {
						if d := w.EffectiveAt - at; d >= 0 && d < 7*schemas.Day {
							early++
						}
					}
				}
				return nil
			}}, observe)
		if err != nil {
			t.Fatal(err)
		}
		if early > 0 {
			t.Errorf("%s: %d warnings within 7 days of an order", c.name, early)
		}
		for _, topic := range slices.Sorted(maps.Keys(topics)) {
			lines = append(lines, fmt.Sprintf("engine %d %s %s %d %016x", core.Engine, c.name, topic, topics[topic].n, topics[topic].h.Sum64()))
		}
	}
	const path = "testdata/corpus.txt"
	if *rewrite {
		text := "# One line a topic: engine, data set, topic, records, xxhash64 over key, NUL, body of each in order.\n" + strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			want = append(want, s.Text())
		}
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the output for known input is another:\n%s\nwant\n%s\nIf that is on purpose, change core.Engine, and run this test with -rewrite.",
			strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
