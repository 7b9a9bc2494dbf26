package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/config"
	"tidemark/config/kafkaconn"
	"tidemark/processor/rights"
	"tidemark/processor/runtime"
)

// connection is how a verb that is not `run` says where the cluster is: the same
// configuration, or flags for the few values that a quick look needs. Flags go
// over variables, variables over the file.
type connection struct {
	Config   string   `short:"c" help:"The configuration of the process; every value can be given by environment too." placeholder:"FILE"`
	Brokers  []string `help:"Kafka, host:port; in the place of kafka.brokers." placeholder:"HOST:PORT"`
	Registry []string `help:"Schema registry; in the place of schema_registry.urls." placeholder:"URL"`
	App      string   `help:"Name of the app; it names the internal topics." placeholder:"NAME"`
}

// opened is a connection with its clients.
type opened struct {
	config    *config.Config
	transport *kafka.Transport
	registry  runtime.Registry
	topics    runtime.Topics
	close     func()
}

// given lists the flags as the variables that they stand for.
func (c *connection) given() []struct{ flag, variable, value string } {
	return []struct{ flag, variable, value string }{
		{"--brokers", "TIDEMARK_KAFKA__BROKERS", strings.Join(c.Brokers, ",")},
		{"--registry", "TIDEMARK_SCHEMA_REGISTRY__URLS", strings.Join(c.Registry, ",")},
		{"--app", "TIDEMARK_APP", c.App},
	}
}

// load reads the configuration. A verb that asks no registry can do without one.
func (c *connection) load(needRegistry bool) (*config.Config, error) {
	environ := os.Environ()
	if c.Config == "" {
		environ = append([]string{"TIDEMARK_APP=tidemark"}, environ...) // only the internal topics hang on it
	}
	for _, g := range c.given() {
		if g.value != "" {
			environ = append(environ, g.variable+"="+g.value)
		}
	}
	conf, err := config.Load(c.Config, environ)
	if problems := new(config.Errors); !needRegistry && errors.As(err, &problems) {
		if p := problems.Problems; len(p) == 1 && p[0].Field == "schema_registry.urls" && p[0].Value == "" {
			conf, err = config.Load(c.Config, append(environ, "TIDEMARK_SCHEMA_REGISTRY__URLS=http://127.0.0.1:1"))
		}
	}
	if err == nil {
		return conf, nil
	}
	text := err.Error()
	for _, g := range c.given() {
		if g.value != "" {
			text = strings.ReplaceAll(text, "environment variable "+g.variable+":", g.flag+":")
		}
	}
	if c.Config == "" {
		text += "\ngive --config FILE, or --brokers HOST:PORT and --registry URL"
	}
	return nil, usageError{errors.New(text)}
}

// open makes the connection's clients; none of them dials yet.
func (c *connection) open(needRegistry bool) (*opened, error) {
	conf, err := c.load(needRegistry)
	if err != nil {
		return nil, err
	}
	o := &opened{config: conf, close: func() {}}
	if o.transport, err = kafkaconn.Transport(conf); err != nil {
		return nil, usageError{err}
	}
	if needRegistry {
		if o.registry, o.close, err = openRegistry(conf); err != nil {
			return nil, usageError{err}
		}
	}
	o.topics = runtime.TopicsOf(conf.App, conf.Kafka.OutPrefix)
	o.topics.Orders, o.topics.Behaviors = conf.Kafka.Topics.Orders, conf.Kafka.Topics.Behaviors
	return o, nil
}

// rights is whom to ask what the verb may do on the cluster.
func (o *opened) rights() (rights.Access, rights.Names) {
	rc := runtime.Config{App: o.config.App, Brokers: o.config.Kafka.Brokers, Transport: o.transport, Principal: kafkaconn.Principal(o.config), Topics: o.topics}
	return rc.Rights()
}

// mayRead finds out whether topics may be read, and names the right that is missing.
func mayRead(ctx context.Context, o *opened, topics []string) error {
	access, _ := o.rights()
	return access.Check(ctx, rights.Tail(topics...))
}

// say is for people.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
