package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/playbook"
	"tidemark/processor/runtime"
)

//go:embed starter.yaml
var starter []byte

type devCmd struct {
	Playbook    string `help:"The playbook; default: one to begin with, which is also written to the folder." type:"existingfile"`
	Dir         string `help:"Folder to keep broker and state in; default: a temporary one that is removed at the end."`
	Partitions  int32  `help:"Partitions of the input topics." default:"4"`
	App         string `help:"Name of the app; it names the internal topics." default:"dev"`
	NoProcessor bool   `help:"Only the broker and the registry. For a history: publish it, and start tidemark run when it is there."`

	FireFrom string `help:"Triggers effective before go to suppressed-triggers as history; counts at the first start in a folder." default:"beginning"`
	Format   string `help:"Of the addresses: text, or json (one object on stdout once all is up)." enum:"text,json" default:"text"`
	Kafka    string `help:"Address of the broker." default:"127.0.0.1:9092"`
	Registry string `help:"Address of the schema registry." default:"127.0.0.1:8081"`
	HTTP     string `help:"Address of /metrics, /healthz, /readyz." default:"127.0.0.1:9464"`
}

// devAddresses is what `dev --format json` prints.
type devAddresses struct {
	App        string `json:"app"`
	Kafka      string `json:"kafka"`
	Registry   string `json:"schema_registry"`
	Metrics    string `json:"metrics"`
	Connection string `json:"connection"` // a configuration file for the other verbs
	Playbook   string `json:"playbook_version"`
	Partitions int32  `json:"partitions"`
}

func (d *devCmd) Run(ctx context.Context) error {
	pb, err := d.playbook()
	if err != nil {
		return usageError{err}
	}
	from, err := parseInstant(d.FireFrom, pb.Zone)
	if err != nil {
		return usageError{fmt.Errorf("--fire-from: %w", err)}
	}
	cl, err := startCluster(ctx, clusterOptions{App: d.App, Dir: d.Dir, Partitions: d.Partitions, Kafka: d.Kafka, Registry: d.Registry, HTTP: d.HTTP})
	if err != nil {
		return fmt.Errorf("%w\nif an address is taken, choose another with --kafka, --registry or --http; port 0 is any free one", err)
	}
	defer cl.close()
	if d.NoProcessor {
		return d.serve(ctx, cl)
	}
	cfg := cl.config()
	prep, err := cl.prepare(ctx, cfg, runtime.PrepareOptions{Playbook: pb, FireFrom: &from})
	if err != nil {
		return err
	}
	prep.Apply(&cfg, pb.Clock)
	connect, err := d.write(cl)
	if err != nil {
		return err
	}
	m, stop, err := cl.process(ctx, cfg)
	if err != nil {
		return err
	}
	defer stop()
	go m.CommitOffsets(ctx, time.Second)

	cl.announce()
	say("Playbook         %s, clock %s", pb.Version, clockName(pb))
	say("\nAll is up; end with Ctrl-C. In another terminal, for example:")
	say("  tidemark publish --config %s FILE.jsonl", connect)
	say("  tidemark tail --config %s", connect)
	say("Orders that are older than the playbook's horizon come too late now; for a history start with --no-processor (docs/first-hour.md).")
	if d.Format == "json" {
		err := json.NewEncoder(os.Stdout).Encode(devAddresses{App: d.App, Kafka: cl.broker.Addr(), Registry: cl.registry.URL(),
			Metrics: "http://" + cl.tel.Addr() + "/metrics", Connection: connect, Playbook: pb.Version, Partitions: prep.Tasks})
		if err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// serve is dev without a processor: until ctx ends, others process.
func (d *devCmd) serve(ctx context.Context, cl *cluster) error {
	connect, err := d.write(cl)
	if err != nil {
		return err
	}
	cl.announce()
	say("\nNothing is processed here. %s is for --config of publish and tail; end with Ctrl-C.", connect)
	if d.Format == "json" {
		if err := json.NewEncoder(os.Stdout).Encode(devAddresses{App: d.App, Kafka: cl.broker.Addr(), Registry: cl.registry.URL(),
			Metrics: "http://" + cl.tel.Addr() + "/metrics", Connection: connect, Partitions: d.Partitions}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func (d *devCmd) playbook() (*playbook.Playbook, error) {
	if d.Playbook != "" {
		return playbook.Load(d.Playbook)
	}
	return playbook.Compile(starter, "starter.yaml")
}

// write puts into the folder what the other verbs and the developer start from.
// connection.yaml is made anew at each start, since free ports change.
func (d *devCmd) write(cl *cluster) (string, error) {
	path := filepath.Join(cl.dir, "connection.yaml")
	text := fmt.Sprintf("# Written by `tidemark dev` at each start, for --config of the other verbs.\napp: %s\nkafka:\n  brokers: [%q]\nschema_registry:\n  urls: [%q]\n",
		d.App, cl.broker.Addr(), cl.registry.URL())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", err
	}
	if d.Playbook != "" {
		return path, nil
	}
	return path, os.WriteFile(filepath.Join(cl.dir, "starter.yaml"), starter, 0o644)
}
