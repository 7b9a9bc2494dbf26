package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"tidemark/playbook"
	"tidemark/processor/rights"
	"tidemark/topics"
)

type topicsCmd struct {
	Create topicsCreateCmd `cmd:"" help:"Create the topics that are missing; change none."`
	Check  topicsCheckCmd  `cmd:"" help:"Say what differs, and the command that mends it."`
}

type topicsCreateCmd struct {
	connection
	Partitions int32 `help:"Of input topics that do not exist yet." default:"0"`
	DryRun     bool  `help:"Print the commands of Kafka's own tool instead."`
}

type topicsCheckCmd struct {
	connection
	Partitions int32  `help:"Of input topics that do not exist yet." default:"0"`
	Format     string `help:"text, or json: one object." enum:"text,json" default:"text"`
}

// topicOptions also finds out whether the topics may be looked at: without the
// right to see it, a topic that is there looks as if it were missing.
func topicOptions(ctx context.Context, c *connection, partitions int32) (topics.Options, error) {
	conn, err := c.open(false)
	if err != nil {
		return topics.Options{}, err
	}
	access, names := conn.rights()
	if err := access.Check(ctx, rights.Look(names)); err != nil {
		return topics.Options{}, err
	}
	var looksBack time.Duration
	if path := conn.config.Playbook; path != "" {
		// The topics can be looked at from a machine that has no playbook.
		if pb, err := playbook.Load(path); err != nil {
			say("retention is not held against what rules look back: %v", err)
		} else {
			looksBack = time.Duration(pb.Horizon) * time.Millisecond
		}
	}
	k := &conn.config.Kafka
	return topics.Options{LooksBack: looksBack, Brokers: k.Brokers, Transport: conn.transport, Names: conn.topics, Partitions: partitions,
		ReplicationFactor: k.ReplicationFactor, MinInsync: k.MinInsyncReplicas}, nil
}

func (c *topicsCreateCmd) Run(ctx context.Context) error {
	o, err := topicOptions(ctx, &c.connection, c.Partitions)
	if err != nil {
		return err
	}
	if c.DryRun {
		r, err := topics.Check(ctx, o)
		if err != nil {
			return err
		}
		for _, f := range r.Findings {
			if f.Missing && f.Command != "" {
				fmt.Println(f.Command)
			} else if f.Missing {
				say("%s %s; %s", f.Topic, f.Problem, f.Cure)
			}
		}
		return nil
	}
	made, err := topics.Create(ctx, o)
	for _, name := range made {
		fmt.Println(name)
	}
	if err != nil {
		return c.explain(ctx, err)
	}
	say("%d topics created", len(made))
	if o, err = topicOptions(ctx, &c.connection, c.Partitions); err != nil {
		return err // rights on a topic show once it is there
	}
	r, err := topics.Check(ctx, o)
	if err != nil {
		return err
	}
	printFindings(r)
	return wrongTopics(r)
}

// explain names the right behind a topic that could not be made.
func (c *topicsCreateCmd) explain(ctx context.Context, err error) error {
	conn, openErr := c.open(false)
	if openErr != nil {
		return err
	}
	access, names := conn.rights()
	return access.Explain(ctx, err, rights.Creating(names))
}

func (c *topicsCheckCmd) Run(ctx context.Context) error {
	o, err := topicOptions(ctx, &c.connection, c.Partitions)
	if err != nil {
		return err
	}
	r, err := topics.Check(ctx, o)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		if r.Findings == nil {
			r.Findings = []topics.Finding{}
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
		return wrongTopics(r)
	}
	printFindings(r)
	if r.Brokers == 1 {
		say("%s", oneBroker)
	}
	say("%d topics are there, %d partitions of the inputs; %d wrong, %d to consider", r.Topics, r.Partitions, r.Wrong(), len(r.Findings)-r.Wrong())
	return wrongTopics(r)
}

func printFindings(r *topics.Report) {
	for _, f := range r.Findings {
		fmt.Printf("%s: %s: %s; %s\n", f.Topic, f.Level, f.Problem, f.Cure)
		if f.Command != "" {
			fmt.Println("  " + f.Command)
		}
	}
}

func wrongTopics(r *topics.Report) error {
	if n := r.Wrong(); n > 0 {
		return fmt.Errorf("%d things about the topics are wrong", n)
	}
	return nil
}
