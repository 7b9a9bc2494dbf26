package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"tidemark/examples"
	"tidemark/examples/around"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/runtime"
	"tidemark/publish"
	"tidemark/schemas"
	"tidemark/state"
)

type demoCmd struct {
	Source     string `help:"Which real data: cdnow, cdnow-sample (a tenth of its customers) or online-retail." enum:"cdnow,cdnow-sample,online-retail" default:"cdnow"`
	Business   string `help:"With online-retail: make up what a retailer, bank, carmaker or community would have seen around the real orders, labelled generated, and run the example playbook of that name." enum:",retailer,bank,carmaker,community" default:""`
	Rate       int    `help:"Publish at most so many events a second; 0: no limit." default:"0"`
	Exit       bool   `help:"End after the summary instead of staying up."`
	Format     string `help:"Of the summary: text or json (one object on stdout)." enum:"text,json" default:"text"`
	Dir        string `help:"Folder to keep broker and state in; default: a temporary one that is removed at the end."`
	Partitions int32  `help:"Partitions of the input topics." default:"4"`
	Kafka      string `help:"Address of the embedded broker." default:"127.0.0.1:0"`
	Registry   string `help:"Address of the embedded schema registry." default:"127.0.0.1:0"`
	HTTP       string `help:"Address of /metrics, /healthz, /readyz." default:"127.0.0.1:0"`
}

// demoSource is one of the data sets that ship with the project.
type demoSource struct{ data, mapping, playbook, currency string }

var demoSources = map[string]demoSource{
	"cdnow":         {examples.CDNOW, examples.CDNOWMapping, "playbooks/cdnow.yaml", "USD"},
	"cdnow-sample":  {examples.CDNOWSample, examples.CDNOWSampleMapping, "playbooks/cdnow.yaml", "USD"},
	"online-retail": {examples.OnlineRetail, examples.OnlineRetailMapping, "playbooks/online-retail.yaml", "GBP"},
}

// demoBusinesses are the example playbooks; a retailer's is called shop.
var demoBusinesses = map[string]string{"retailer": "playbooks/shop.yaml", "bank": "playbooks/bank.yaml", "carmaker": "playbooks/carmaker.yaml", "community": "playbooks/community.yaml"}

func (d *demoCmd) Run(ctx context.Context) error {
	src := demoSources[d.Source]
	if d.Business != "" {
		if d.Source != "online-retail" {
			return usageError{fmt.Errorf("--business %s: it is made around the orders of --source online-retail", d.Business)}
		}
		src.playbook = demoBusinesses[d.Business]
	}
	pb, err := playbook.LoadFS(examples.Data, src.playbook)
	if err != nil {
		return err
	}
	cl, err := startCluster(ctx, clusterOptions{App: "demo", Dir: d.Dir, Partitions: d.Partitions, Kafka: d.Kafka, Registry: d.Registry, HTTP: d.HTTP})
	if err != nil {
		return err
	}
	defer cl.close()
	cl.announce()
	count, last, err := d.publish(ctx, cl, src, pb)
	if err != nil {
		return err
	}

	cfg := cl.config()
	cfg.Until = last
	prep, err := cl.prepare(ctx, cfg, runtime.PrepareOptions{Playbook: pb})
	if err != nil {
		return err
	}
	prep.Apply(&cfg, pb.Clock)
	c := newDemoCounter(prep.Tasks, count)
	cfg.OnCommit = c.commit
	began := time.Now()
	m, stop, err := cl.process(ctx, cfg)
	if err != nil {
		return err
	}
	defer stop()
	select {
	case <-c.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	took := time.Since(began)
	_ = c.bar.Finish()
	fmt.Fprintln(os.Stderr)
	sum, err := c.summary(m, pb, d.Source, took)
	if err != nil {
		return err
	}
	sum.Kafka, sum.Registry = cl.broker.Addr(), cl.registry.URL()
	if d.Format == "json" {
		if err := json.NewEncoder(os.Stdout).Encode(sum); err != nil {
			return err
		}
	} else {
		sum.print(os.Stdout)
	}
	if d.Exit {
		return nil
	}
	say("\nThe broker and the processor stay up; end with Ctrl-C. Read the triggers from %s, for example:", cl.broker.Addr())
	say("  kafka-console-consumer.sh --bootstrap-server %s --topic tier-changes --from-beginning --isolation-level read_committed", cl.broker.Addr())
	<-ctx.Done()
	return nil
}

// publish sends the real events through the real path, once for a folder.
func (d *demoCmd) publish(ctx context.Context, cl *cluster, src demoSource, pb *playbook.Playbook) (count int64, last schemas.EventTime, err error) {
	name := d.Source
	if d.Business != "" {
		name += "-" + d.Business
	}
	marker := filepath.Join(cl.dir, "published-"+name)
	if b, err := os.ReadFile(marker); err == nil {
		if n, _ := fmt.Sscan(string(b), &count, &last); n == 2 {
			return count, last, nil
		}
	}
	mapping, err := ingest.ReadMapping(examples.Data, src.mapping)
	if err != nil {
		return 0, 0, err
	}
	events, err := ingest.Open(ctx, []ingest.Source{{Path: src.data, FS: examples.Data, Mapping: mapping}}, ingest.Options{Zone: pb.Zone})
	if err != nil {
		return 0, 0, err
	}
	defer events.Close()
	rep := events.Report()
	for _, s := range rep.Skipped {
		fmt.Fprintf(os.Stderr, "left out: %d lines, %s\n", s.Lines, s.Reason)
	}
	// After a kill the next start on the folder goes on where brokers had acknowledged.
	how := publishCmd{Rate: d.Rate, Resume: filepath.Join(cl.dir, "publishing-"+name+".json")}
	state, err := publish.ReadState(how.Resume)
	if err != nil {
		return 0, 0, err
	}
	pub, err := publish.New(ctx, publish.Config{Brokers: []string{cl.broker.Addr()}, Orders: cl.topics.Orders, Behaviors: cl.topics.Behaviors, Partitions: d.Partitions,
		Registry: cl.client, Resume: state})
	if err != nil {
		return 0, 0, err
	}
	next, count, last := events.Next, rep.Events, rep.Last
	if d.Business != "" {
		orders, err := firstOrders(events, math.MaxInt)
		if err != nil {
			return 0, 0, err
		}
		if next, count, last, err = aroundOrders(d.Business, orders); err != nil {
			return 0, 0, err
		}
	}
	if err := how.send(ctx, pub, next, count, clusterID); err != nil {
		return 0, 0, err
	}
	return count, last, os.WriteFile(marker, fmt.Appendf(nil, "%d %d\n", count, last), 0o600)
}

// firstOrders reads so many orders, which are few enough to be held at once.
func firstOrders(events *ingest.Events, n int) ([]schemas.Event, error) {
	var orders []schemas.Event
	for len(orders) < n {
		e, err := events.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		keep := *e
		keep.Items, keep.Attributes = slices.Clone(e.Items), slices.Clone(e.Attributes)
		orders = append(orders, keep)
	}
	return orders, nil
}

// aroundOrders gives the events of a business around orders.
func aroundOrders(business string, orders []schemas.Event) (next func() (*schemas.Event, error), count int64, last schemas.EventTime, err error) {
	all, err := around.Events(business, orders)
	if err != nil {
		return nil, 0, 0, err
	}
	i := 0
	return func() (*schemas.Event, error) {
		if i == len(all) {
			return nil, io.EOF
		}
		i++
		return &all[i-1], nil
	}, int64(len(all)), all[len(all)-1].OccurredAt, nil
}

// clusterID is the embedded broker's, as its own default says.
const clusterID = "tidemark-embedded"

func progress(n int64, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(n, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(fmt.Sprintf("%-11s", what)),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true))
}

// demoCounter follows the commits of all tasks.
type demoCounter struct {
	mu       sync.Mutex
	bar      *progressbar.ProgressBar
	events   int64
	kinds    map[runtime.Kind]int
	finished map[int32]bool
	tasks    int32
	commits  []time.Duration
	done     chan struct{}
}

func newDemoCounter(tasks int32, events int64) *demoCounter {
	return &demoCounter{bar: progress(events, "processing"), kinds: map[runtime.Kind]int{}, finished: map[int32]bool{}, tasks: tasks, done: make(chan struct{})}
}

func (c *demoCounter) commit(task int32, k runtime.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events += k.Events
	for kind, n := range k.Kinds {
		c.kinds[kind] += n
	}
	c.commits = append(c.commits, k.Took)
	triggers := 0
	for _, n := range c.kinds {
		triggers += n
	}
	c.bar.Describe(fmt.Sprintf("processing, %d triggers", triggers))
	_ = c.bar.Set64(c.events)
	if k.Finished && !c.finished[task] {
		c.finished[task] = true
		if int32(len(c.finished)) == c.tasks {
			close(c.done)
		}
	}
}

// demoSummary is what `demo --format json` prints.
type demoSummary struct {
	Source    string                      `json:"source"`
	Playbook  string                      `json:"playbook_version"`
	Kafka     string                      `json:"kafka"`
	Registry  string                      `json:"schema_registry"`
	Events    int64                       `json:"events"`
	Customers int64                       `json:"customers"`
	Tiers     map[string]map[string]int64 `json:"customers_by_tier"`
	Classes   map[string]map[string]int64 `json:"customers_by_rfm_class"`
	Churn     map[string]int64            `json:"customers_under_warning"`
	Triggers  []demoTriggers              `json:"triggers"`
	Total     int64                       `json:"triggers_total"`
	Seconds   float64                     `json:"seconds"`
	PerSecond float64                     `json:"events_per_second"`
	Commits   int                         `json:"commits"`
	CommitP50 float64                     `json:"commit_ms_p50"`
	CommitP99 float64                     `json:"commit_ms_p99"`

	order map[string][]string
}

type demoTriggers struct {
	Topic  string `json:"topic"`
	Kind   string `json:"kind"`
	Status string `json:"status"`
	Count  int    `json:"count"`
}

func (c *demoCounter) summary(m *runtime.Manager, pb *playbook.Playbook, source string, took time.Duration) (*demoSummary, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &demoSummary{Source: source, Playbook: pb.Version, Events: c.events, Seconds: took.Seconds(), PerSecond: float64(c.events) / took.Seconds(),
		Commits: len(c.commits), Tiers: map[string]map[string]int64{}, Classes: map[string]map[string]int64{}, Churn: map[string]int64{}, order: map[string][]string{}}
	for k, n := range c.kinds {
		s.Triggers = append(s.Triggers, demoTriggers{string(k.Topic), k.Kind, k.Status, n})
		s.Total += int64(n)
	}
	sort.Slice(s.Triggers, func(i, j int) bool {
		a, b := s.Triggers[i], s.Triggers[j]
		return a.Topic+a.Kind+a.Status < b.Topic+b.Kind+b.Status
	})
	sort.Slice(c.commits, func(i, j int) bool { return c.commits[i] < c.commits[j] })
	if n := len(c.commits); n > 0 {
		s.CommitP50 = float64(c.commits[n/2].Microseconds()) / 1000
		s.CommitP99 = float64(c.commits[n*99/100].Microseconds()) / 1000
	}
	label := map[string]func(phase int32){}
	for i := range pb.Tiers {
		t := &pb.Tiers[i]
		by := map[string]int64{}
		s.Tiers[t.Name] = by
		for _, l := range t.Levels {
			s.order[t.Name] = append(s.order[t.Name], l.Name)
		}
		label[t.Name] = func(p int32) { by[t.Levels[p].Name]++ }
	}
	for i := range pb.RFM {
		r := &pb.RFM[i]
		by := map[string]int64{}
		s.Classes[r.Name] = by
		classes := core.ClassMap(r)
		names := []string{"none"}
		for _, k := range classes.Classes {
			names = append(names, k.Key)
		}
		names = append(names, classes.Other.Key)
		shown := names[1:]
		if classes.Other.Key == "" { // a map of the playbook's own that leaves nothing over
			shown = shown[:len(shown)-1]
		}
		s.order[r.Name] = append(shown[:len(shown):len(shown)], "none")
		label[r.Name] = func(p int32) { by[names[p]]++ }
	}
	for i := range pb.Churn {
		name := pb.Churn[i].Name
		s.Churn[name] = 0
		label[name] = func(p int32) { s.Churn[name] += int64(min(p, 1)) }
	}
	err := m.EachCustomer(func(_ int32, names []string, cu *state.Customer) error {
		s.Customers++
		for i := range cu.Rules {
			r := &cu.Rules[i]
			if f := label[names[r.ID-1]]; f != nil {
				f(r.Phase)
			}
		}
		return nil
	})
	return s, err
}
