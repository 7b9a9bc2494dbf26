package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"tidemark/embedded/broker"
	embedded "tidemark/embedded/registry"
	"tidemark/playbook"
	"tidemark/processor/group"
	"tidemark/processor/runtime"
	"tidemark/schemas/registry"
	"tidemark/sinks"
	"tidemark/telemetry"
)

// cluster is what demo and dev run inside the process: a Kafka broker, a schema
// registry, an endpoint for metrics, and the two input topics.
type cluster struct {
	app      string
	dir      string
	broker   *broker.Broker
	registry *embedded.Server
	client   *registry.Client // of registry
	tel      *telemetry.Telemetry
	topics   runtime.Topics
	undo     []func()
}

type clusterOptions struct {
	App                   string
	Dir                   string // "": a temporary folder that close removes
	Partitions            int32
	Kafka, Registry, HTTP string // addresses
}

func startCluster(ctx context.Context, o clusterOptions) (*cluster, error) {
	c := &cluster{app: o.App, dir: o.Dir, topics: runtime.TopicsOf(o.App, "")}
	if err := c.start(ctx, o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, o clusterOptions) (err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "tidemark-"+o.App+"-"); err != nil {
			return err
		}
		c.undo = append(c.undo, func() { os.RemoveAll(c.dir) })
	}
	if c.broker, err = broker.Start(broker.Options{Dir: filepath.Join(c.dir, "broker"), Addr: o.Kafka}); err != nil {
		return err
	}
	c.undo = append(c.undo, func() { c.broker.Close() })
	if c.registry, err = embedded.Start(ctx, embedded.Options{Addr: o.Registry, Brokers: []string{c.broker.Addr()}}); err != nil {
		return err
	}
	c.undo = append(c.undo, func() { c.registry.Close() })
	if c.tel, err = telemetry.Start(ctx, telemetry.Options{ServiceVersion: version, App: o.App, HTTPAddr: o.HTTP}); err != nil {
		return err
	}
	c.undo = append(c.undo, func() { _ = c.tel.Shutdown(context.WithoutCancel(ctx)) })
	if c.client, err = registry.NewClient(registry.Config{URLs: []string{c.registry.URL()}}); err != nil {
		return err
	}
	c.undo = append(c.undo, c.client.Close)
	return c.broker.CreateTopics(ctx, []broker.Topic{{Name: c.topics.Orders, Partitions: o.Partitions}, {Name: c.topics.Behaviors, Partitions: o.Partitions}})
}

func (c *cluster) close() {
	for i := len(c.undo) - 1; i >= 0; i-- {
		c.undo[i]()
	}
	c.undo = nil
}

// announce tells people where everything is.
func (c *cluster) announce() {
	say("Kafka            %s   (any client; consumers: isolation.level=read_committed)", c.broker.Addr())
	say("Schema registry  %s", c.registry.URL())
	say("Metrics          http://%s/metrics", c.tel.Addr())
}

// config is the processor's, on the same path that `run` takes.
func (c *cluster) config() runtime.Config {
	return runtime.Config{App: c.app, Instance: c.app, DataDir: filepath.Join(c.dir, "state"), Brokers: []string{c.broker.Addr()}, Topics: c.topics,
		Registry: c.client, Telemetry: c.tel, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

// prepare makes the topics that are missing and puts the playbook in force.
func (c *cluster) prepare(ctx context.Context, cfg runtime.Config, o runtime.PrepareOptions) (*runtime.Prepared, error) {
	o.Create, o.Switch, o.By = true, true, c.app
	return runtime.Prepare(ctx, cfg, o)
}

// process owns all tasks until stop, which waits for them.
func (c *cluster) process(ctx context.Context, cfg runtime.Config) (m *runtime.Manager, stop func(), err error) {
	if m, err = runtime.NewManager(ctx, cfg); err != nil {
		return nil, nil, err
	}
	tasks := group.Assignment{Member: c.app}
	for i := range cfg.Tasks {
		tasks.Tasks = append(tasks.Tasks, i)
	}
	work, cancel := context.WithCancel(ctx)
	m.Assign(work, tasks)
	c.tel.Tasks.Process("")
	return m, func() {
		cancel()
		if err := within(cmp.Or(cfg.TransactionTimeout, sinks.DefaultTransactionTimeout)+stopGrace, m.Wait); err != nil {
			say("%v", err)
		}
	}, nil
}

// clockName is the playbook's clock as configurations and people write it.
func clockName(pb *playbook.Playbook) string {
	if pb.Clock == playbook.Input {
		return "input"
	}
	return "live"
}
