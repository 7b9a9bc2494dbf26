package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"tidemark/embedded/broker"
	embedded "tidemark/embedded/registry"
	"tidemark/examples"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/group"
	"tidemark/processor/rfm"
	"tidemark/processor/runtime"
	"tidemark/publish"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/state"
	"tidemark/telemetry"
)

type demoCmd struct {
	Source     string `help:"Which real data: cdnow or online-retail." enum:"cdnow,online-retail" default:"cdnow"`
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
	"online-retail": {examples.OnlineRetail, examples.OnlineRetailMapping, "playbooks/online-retail.yaml", "GBP"},
}

func (d *demoCmd) Run(ctx context.Context) error {
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	dir := d.Dir
	if dir == "" {
		t, err := os.MkdirTemp("", "tidemark-demo-")
		if err != nil {
			return err
		}
		dir = t
		defer os.RemoveAll(t)
	}
	src := demoSources[d.Source]
	text, err := fs.ReadFile(examples.Data, src.playbook)
	if err != nil {
		return err
	}
	pb, err := playbook.Compile(text, src.playbook)
	if err != nil {
		return err
	}

	b, err := broker.Start(broker.Options{Dir: filepath.Join(dir, "broker"), Addr: d.Kafka})
	if err != nil {
		return err
	}
	defer b.Close()
	reg, err := embedded.Start(ctx, embedded.Options{Addr: d.Registry, Brokers: []string{b.Addr()}})
	if err != nil {
		return err
	}
	defer reg.Close()
	tel, err := telemetry.Start(ctx, telemetry.Options{ServiceVersion: version, App: "demo", HTTPAddr: d.HTTP})
	if err != nil {
		return err
	}
	defer tel.Shutdown(context.WithoutCancel(ctx))
	say("Kafka            %s   (any client; consumers: isolation.level=read_committed)", b.Addr())
	say("Schema registry  %s", reg.URL())
	say("Metrics          http://%s/metrics", tel.Addr())

	client, err := registry.NewClient(registry.Config{URLs: []string{reg.URL()}})
	if err != nil {
		return err
	}
	defer client.Close()
	topics := runtime.TopicsOf("demo", "")
	if err := b.CreateTopics(ctx, []broker.Topic{{Name: topics.Orders, Partitions: d.Partitions}, {Name: topics.Behaviors, Partitions: d.Partitions}}); err != nil {
		return err
	}

	count, last, err := d.publish(ctx, b.Addr(), client, src, pb, filepath.Join(dir, "published-"+d.Source), topics)
	if err != nil {
		return err
	}

	// The processor, on the same path that `run` takes.
	cfg := runtime.Config{App: "demo", Instance: "demo", DataDir: filepath.Join(dir, "state"), Brokers: []string{b.Addr()}, Topics: topics,
		Registry: client, Telemetry: tel, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Until: last}
	prep, err := runtime.Prepare(ctx, cfg, runtime.PrepareOptions{Create: true, Playbook: pb, By: "demo"})
	if err != nil {
		return err
	}
	cfg.Tasks = prep.Tasks
	c := newDemoCounter(prep.Tasks, count)
	cfg.OnCommit = c.commit
	m, err := runtime.NewManager(ctx, cfg)
	if err != nil {
		return err
	}
	tasks := group.Assignment{Member: "demo"}
	for i := range prep.Tasks {
		tasks.Tasks = append(tasks.Tasks, i)
	}
	began := time.Now()
	work, stop := context.WithCancel(ctx)
	defer func() { stop(); m.Wait() }()
	m.Assign(work, tasks)
	tel.Tasks.Process("")
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
	sum.Kafka, sum.Registry = b.Addr(), reg.URL()
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
	say("\nThe broker and the processor stay up; end with Ctrl-C. Read the triggers from %s, for example:", b.Addr())
	say("  kafka-console-consumer.sh --bootstrap-server %s --topic tier-changes --from-beginning --isolation-level read_committed", b.Addr())
	<-ctx.Done()
	return nil
}

// publish sends the real events through the real path, once for a folder.
func (d *demoCmd) publish(ctx context.Context, addr string, reg *registry.Client, src demoSource, pb *playbook.Playbook, marker string, topics runtime.Topics) (count int64, last schemas.EventTime, err error) {
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
	pub, err := publish.New(ctx, publish.Config{Brokers: []string{addr}, Orders: topics.Orders, Behaviors: topics.Behaviors, Partitions: d.Partitions, Registry: reg})
	if err != nil {
		return 0, 0, err
	}
	bar := progress(rep.Events, "publishing")
	for n := int64(1); ; n++ {
		e, err := events.Next()
		if err != nil {
			break
		}
		if err := pub.Event(ctx, e); err != nil {
			return 0, 0, err
		}
		if n%1000 == 0 {
			_ = bar.Set64(n)
		}
	}
	if err := pub.Flush(ctx); err != nil {
		return 0, 0, err
	}
	_ = bar.Finish()
	fmt.Fprintln(os.Stderr)
	return rep.Events, rep.Last, os.WriteFile(marker, fmt.Appendf(nil, "%d %d\n", rep.Events, rep.Last), 0o600)
}

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
		classes, _ := rfm.MapNamed(r.Classes)
		names := []string{"none"}
		for _, k := range classes.Classes {
			names = append(names, k.Key)
		}
		names = append(names, classes.Other.Key)
		s.order[r.Name] = append(names[1:len(names):len(names)], "none")
		label[r.Name] = func(p int32) { by[names[p]]++ }
	}
	for i := range pb.Churn {
		name := pb.Churn[i].Name
		s.Churn[name] = 0
		label[name] = func(p int32) { s.Churn[name] += int64(p) }
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
