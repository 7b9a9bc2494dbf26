package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"tidemark/config"
	"tidemark/playbook"
	"tidemark/processor/rights"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/topics"
)

const (
	// clockLimit is how far this host's clock may be from the broker's.
	clockLimit = 5 * time.Second
	// partitionsBeat is how often the partition counts of the inputs are looked at.
	partitionsBeat = 30 * time.Second

	oneBroker = "the cluster has one broker: if its disk is lost, so are the journal and every position; three with kafka.replication_factor 3 and kafka.min_insync_replicas 2 lose nothing"
)

// checkTopics looks at what the topics are like before anything is written. What
// is wrong ends `run`, what is unwise is logged. Missing topics are Prepare's.
func checkTopics(ctx context.Context, c *config.Config, rc runtime.Config, pb *playbook.Playbook, log *slog.Logger) (*bool, error) {
	access, names := rc.Rights()
	// Without the right to see a topic, it looks as if it were missing.
	if err := access.Check(ctx, rights.Run(names)); err != nil {
		return nil, err
	}
	r, err := topics.Check(ctx, topics.Options{Brokers: rc.Brokers, Transport: rc.Transport, Names: rc.Topics,
		ReplicationFactor: c.Kafka.ReplicationFactor, MinInsync: c.Kafka.MinInsyncReplicas,
		LooksBack: time.Duration(pb.Horizon) * time.Millisecond})
	if err != nil {
		return nil, err
	}
	if r.Brokers == 1 {
		log.Warn("topics", "unwise", oneBroker)
	}
	var wrong []string
	for _, f := range r.Findings {
		text := fmt.Sprintf("%s %s; %s", f.Topic, f.Problem, f.Cure)
		if f.Command != "" {
			text += ": " + f.Command
		}
		switch {
		case f.Missing:
		case f.Level == topics.Wrong:
			wrong = append(wrong, text)
		case !f.Hidden: // out topics may be written without being looked at
			log.Warn("topics", "unwise", text)
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", runtime.ErrTopics, strings.Join(wrong, "\n"))
	}
	ok := true
	return &ok, nil
}

// chosenFireFrom reads --fire-from.
func chosenFireFrom(s string, now time.Time) (*schemas.EventTime, error) {
	var t schemas.EventTime
	switch s {
	case "beginning":
	case "now":
		t = schemas.EventTime(now.UnixMilli())
	default:
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil, fmt.Errorf("--fire-from = %q: want an instant as RFC 3339 has it, such as 2024-01-31T00:00:00Z, or beginning, or now", s)
		}
		t = schemas.EventTime(at.UnixMilli())
	}
	return &t, nil
}

// tellStart says what the app begins with, and at the very first start what it
// will do with the history that it found.
func tellStart(log *slog.Logger, p *runtime.Prepared) {
	if !p.First {
		log.Info("going on", "fire_from", instant(p.Genesis.FireFrom), "tasks", p.Tasks, "playbook", p.Playbook)
		return
	}
	log.Info("the very first start of this app", "fire_from", instant(p.Genesis.FireFrom), "tasks", p.Tasks, "playbook", p.Playbook)
	h := p.History
	if h.Orders+h.Behaviors == 0 {
		log.Info("history", "found", "no events yet")
		return
	}
	from := "unknown: their schema cannot be had yet"
	if h.From > 0 {
		from = instant(h.From)
	}
	meaning := "all of it is read; a trigger that became true before fire_from goes to suppressed-triggers with reason history, and nobody is mailed for it"
	if p.Genesis.FireFrom == 0 {
		meaning = "all of it is read, and every trigger in it is sent, however old, as far as a rule's max_age allows"
	}
	log.Info("history", "orders", h.Orders, "behaviors", h.Behaviors, "earliest", from, "meaning", meaning,
		"to_choose", "run --fire-from at the very first start; it cannot be changed later")
	if s := h.Strange(); s != "" {
		log.Warn("history", "partitioner", s)
	}
}

// instant is how people read an event time.
func instant(t schemas.EventTime) string {
	if t == 0 {
		return "the beginning"
	}
	return time.UnixMilli(int64(t)).UTC().Format(time.RFC3339)
}
