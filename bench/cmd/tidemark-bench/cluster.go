package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/bench/internal/proc"
	"tidemark/deploy/kafka"
)

// cluster is the broker and the registry that a measurement runs against, each
// outside the bench's own process.
type cluster struct {
	brokerAddrs
	name  string // for the record
	child *proc.Process
	node  *kafka.Node
	pid   int // of the broker; 0: not on this machine
}

// openCluster starts a broker: "embedded", "kafka" (a real one through
// deploy/kafka), or takes the one at an address.
func openCluster(ctx context.Context, broker, dir string) (*cluster, error) {
	c := &cluster{name: "embedded (kfake)"}
	args := []string{"broker"}
	switch broker {
	case "embedded":
		args = append(args, "--dir", filepath.Join(dir, "broker"))
	case "kafka":
		c.name = "Apache Kafka 4.1"
		node, err := kafka.Start(ctx, kafka.Options{})
		if err != nil {
			return nil, err
		}
		c.node = node
		args = append(args, "--kafka", node.Addr())
		if text, err := os.ReadFile(filepath.Join(node.Dir(), "pid")); err == nil {
			c.pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		}
	default:
		c.name = "at " + broker
		args = append(args, "--kafka", broker)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if c.child, err = proc.Start(filepath.Join(dir, "broker.log"), true, self, args...); err != nil {
		c.close()
		return nil, err
	}
	line, err := c.child.Line()
	if err == nil {
		err = json.Unmarshal(line, &c.brokerAddrs)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("the broker: %w", err)
	}
	if broker == "embedded" {
		c.pid = c.child.Pid()
	}
	return c, nil
}

// cpu is what the broker has used so far.
func (c *cluster) cpu() time.Duration {
	if c.pid == 0 {
		return 0
	}
	u, err := proc.Of(c.pid)
	if err != nil {
		return 0
	}
	return u.CPU()
}

func (c *cluster) close() {
	if c.child != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = c.child.Stop(ctx)
	}
	if c.node != nil {
		_ = c.node.Close()
	}
}

// createInputs makes the two input topics of a scenario.
func (c *cluster) createInputs(ctx context.Context, app string, partitions int32) error {
	return c.createTopics(ctx, partitions, ordersTopic(app), behaviorsTopic(app))
}

// createTopics makes topics with the broker's defaults.
func (c *cluster) createTopics(ctx context.Context, partitions int32, names ...string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 {
			return fmt.Errorf("create topic %s: code %d", t.Topic, t.ErrorCode)
		}
	}
	return nil
}

func ordersTopic(app string) string    { return app + "-order-events" }
func behaviorsTopic(app string) string { return app + "-behavior-events" }
