package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"tidemark/bench/internal/report"
	"tidemark/playbook"
)

type suiteCmd struct {
	load
	Tidemark        string        `help:"The binary that is measured." default:"bin/tidemark"`
	Playbook        string        `help:"With clock: input." default:"bench/playbook.yaml" type:"existingfile"`
	Broker          string        `help:"embedded, kafka (a real one of deploy/kafka), or host:port." default:"embedded"`
	Customers       []count       `help:"Sizes, each measured by itself." default:"100k,1m"`
	Partitions      int32         `help:"Of the input topics: the number of tasks." default:"4"`
	Rates           []int         `help:"Events a second of the latency runs." default:"1000"`
	LatencySeconds  int           `help:"Length of a latency run." default:"30"`
	ReplayEvents    int           `help:"Events of the replayed file, after the warm-up." default:"1000000"`
	Only            []string      `help:"Scenarios: throughput, and after it restart, takeover and restore; latency, replay, profile; and peers, scale and silence, which are not among the default ones." enum:"throughput,restart,takeover,restore,latency,replay,profile,peers,scale,silence" default:"throughput,restart,takeover,restore,latency,replay,profile"`
	ScalePartitions []int32       `help:"Of scale." default:"1,4,16,64"`
	Processes       []int         `help:"Of scale: members of one group; 1 is alone." default:"1"`
	Silences        int           `help:"Of silence: timers that are due within one second." default:"10000"`
	SilenceWait     time.Duration `help:"Of silence: how far ahead that second is." default:"60s"`
	Rounds          int           `help:"Rounds of peers; they alternate who goes first." default:"2"`
	PeerCommit      int           `help:"Commit interval of Kafka Streams in ms; its own default with exactly-once is 100." default:"100"`
	PeerFolder      string        `help:"The peers' sources." default:"bench/peers" type:"existingdir"`
	Every           time.Duration `help:"How often a running process is looked at." default:"100ms"`
	Note            string        `help:"What else the machine did; kept with the record."`
	Out             string        `help:"Folder of the records; profiles go beside it." default:"bench/results"`
	Dir             string        `help:"Folder for broker and stores; default: a temporary one that is removed."`

	profiling chan error
}

func (s *suiteCmd) wants(scenario string) bool { return slices.Contains(s.Only, scenario) }

func (s *suiteCmd) Run(ctx context.Context) error {
	text, err := os.ReadFile(s.Playbook)
	if err != nil {
		return err
	}
	pb, err := playbook.Compile(text, s.Playbook)
	if err != nil {
		return err
	}
	if pb.Clock != playbook.Input {
		return fmt.Errorf("%s: want clock: input", s.Playbook)
	}
	if s.Tidemark, err = exec.LookPath(s.Tidemark); err != nil {
		return fmt.Errorf("%w; make build makes it", err)
	}
	dir := s.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "tidemark-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	now := time.Now().UTC()
	b := &bench{suiteCmd: s, dir: dir, playbook: text, stamp: now.Format("2006-01-02-150405"), rec: &report.Record{
		Date: now.Format(time.RFC3339), Version: report.Version(), Note: s.Note, Machine: report.ThisMachine(), Playbook: pb.Version, Settings: report.Settings()}}
	err = b.all(ctx)
	if werr := b.write(); err == nil {
		err = werr
	}
	return err
}

// all runs the scenarios, each size on a broker of its own when that is embedded.
func (b *bench) all(ctx context.Context) error {
	type step struct {
		name string
		do   func() error
	}
	var steps []step
	for _, c := range b.Customers {
		if b.wants("throughput") {
			steps = append(steps, step{fmt.Sprint("throughput-", c), func() error { return b.throughput(ctx, int(c), false) }})
		}
		if b.wants("peers") {
			steps = append(steps, step{fmt.Sprint("peers-", c), func() error { return b.peers(ctx, int(c)) }})
		}
		if b.wants("silence") {
			steps = append(steps, step{fmt.Sprint("silence-", c), func() error { return b.silence(ctx, int(c)) }})
		}
		if b.wants("scale") {
			for _, partitions := range b.ScalePartitions {
				for _, n := range b.Processes {
					steps = append(steps, step{fmt.Sprintf("scale-%s-%d-%d", c, partitions, n), func() error { return b.scale(ctx, int(c), partitions, n) }})
				}
			}
		}
		if b.wants("profile") {
			steps = append(steps, step{fmt.Sprint("profile-", c), func() error { return b.throughput(ctx, int(c), true) }})
		}
	}
	if b.wants("latency") {
		for _, r := range b.Rates {
			steps = append(steps, step{fmt.Sprint("latency-", r), func() error { return b.latency(ctx, r) }})
		}
	}
	if b.wants("replay") {
		for _, c := range b.Customers {
			steps = append(steps, step{fmt.Sprint("replay-", c), func() error { return b.replay(ctx, int(c)) }})
		}
	}
	root := b.dir
	for _, s := range steps {
		b.dir = filepath.Join(root, s.name)
		err := os.MkdirAll(b.dir, 0o755)
		if err == nil && b.c == nil {
			b.c, err = openCluster(ctx, b.Broker, b.dir)
		}
		if err == nil {
			b.rec.Broker = b.c.name
			err = s.do()
		}
		if b.c != nil && (b.Broker == "embedded" || err != nil) {
			b.c.close()
			b.c = nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if b.Dir == "" {
			os.RemoveAll(b.dir)
		}
	}
	if b.c != nil {
		b.c.close()
	}
	return nil
}

// write keeps what was measured, also of a suite that failed on its way.
func (b *bench) write() error {
	text, err := json.MarshalIndent(b.rec, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return err
	}
	name := filepath.Join(b.Out, fmt.Sprintf("%s-%s.json", b.stamp, b.Broker[:min(8, len(b.Broker))]))
	if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
		return err
	}
	say("record: %s", name)
	return report.Table(os.Stdout, b.rec)
}

type tableCmd struct {
	Records []string `arg:"" help:"Files of bench/results." type:"existingfile"`
}

func (t *tableCmd) Run(context.Context) error {
	for _, name := range t.Records {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var rec report.Record
		if err := json.Unmarshal(text, &rec); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := report.Table(os.Stdout, &rec); err != nil {
			return err
		}
	}
	return nil
}
