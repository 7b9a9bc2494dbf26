package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/core"
	"tidemark/processor/rights"
	"tidemark/publish"
	"tidemark/schemas"
)

type stateEraseCmd struct {
	connection
	Customer string `required:"" help:"customer_id of whom to forget; - reads it from standard input, so that no list of processes shows it."`
	Reason   string `help:"Why; it stands in the event."`
	Operator string `help:"Who asked for it; it stands in the event. Default: the user of this process."`
	Now      bool   `help:"Rewrite the task's store at once instead of within 24 hours; the task stands still meanwhile, about a second for 200,000 customers."`
	Format   string `help:"text, or json." enum:"text,json" default:"text"`
}

// receipt is what the operator keeps: it names nobody.
type receipt struct {
	EventID  string    `json:"event_id"`
	Topic    string    `json:"topic"`
	Asked    time.Time `json:"asked_at"` // what occurred up to here is forgotten
	Operator string    `json:"operator,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Remains  []remains `json:"remains"`
}

// remains is one place that still holds something of a customer.
type remains struct {
	Where string     `json:"where"`
	What  string     `json:"what"`
	Until *time.Time `json:"until"` // at the latest; null: see how
	How   string     `json:"how"`
}

func (c *stateEraseCmd) Run(ctx context.Context) error {
	id := c.Customer
	if id == "-" {
		if _, err := fmt.Fscanln(os.Stdin, &id); err != nil {
			return usageError{fmt.Errorf("--customer -: standard input holds no customer_id: %w", err)}
		}
	}
	if id == "" || len(id) > 1024 || strings.ContainsRune(id, 0) {
		return usageError{fmt.Errorf("--customer: a customer_id has 1 to 1024 bytes and no NUL")}
	}
	o, err := c.open(true)
	if err != nil {
		return err
	}
	defer o.close()
	access, names := o.rights()
	if err := access.Check(ctx, rights.Publish(names)); err != nil {
		return err
	}
	target, err := publish.Inspect(ctx, o.config.Kafka.Brokers, o.transport, o.topics.Orders, o.topics.Behaviors)
	if err != nil {
		return err
	}
	r := receipt{EventID: "erased-" + strings.ToLower(rand.Text()), Topic: o.topics.Behaviors, Asked: time.Now().UTC().Truncate(time.Millisecond),
		Operator: cmp.Or(c.Operator, os.Getenv("USER")), Reason: c.Reason}
	e := &schemas.Event{Kind: schemas.Behavior, Type: core.ErasedType, EventID: r.EventID, CustomerID: id, OccurredAt: schemas.EventTime(r.Asked.UnixMilli())}
	for _, a := range []schemas.Attribute{{Key: "operator", Value: r.Operator}, {Key: "reason", Value: r.Reason}} {
		if a.Value != "" {
			e.Attributes = append(e.Attributes, a)
		}
	}
	if c.Now {
		e.Attributes = append(e.Attributes, schemas.Attribute{Key: core.CompactNow, Value: "now"})
	}
	pub, err := publish.New(ctx, publish.Config{Brokers: o.config.Kafka.Brokers, Transport: o.transport, Orders: o.topics.Orders, Behaviors: o.topics.Behaviors,
		Partitions: target.Partitions, Registry: o.registry})
	if err != nil {
		return err
	}
	if err := pub.Event(ctx, e); err != nil {
		return err
	}
	if err := pub.Finish(ctx); err != nil {
		return err
	}
	c.remains(ctx, o, &r)
	return c.print(&r)
}

// remains lists what still holds the customer, and until when at the latest.
func (c *stateEraseCmd) remains(ctx context.Context, o *opened, r *receipt) {
	at := func(d time.Duration) *time.Time { t := r.Asked.Add(d); return &t }
	add := func(where, what string, until *time.Time, how string) {
		r.Remains = append(r.Remains, remains{where, what, until, how})
	}
	add("state", "row, timer, open triggers", nil, "until the task takes the event: seconds, while it runs")
	if c.Now {
		add("store", "deleted keys in files that were not rewritten", nil, "the task rewrites its store as soon as it has taken the event; each standby does so too")
	} else {
		add("store", "deleted keys in files that were not rewritten", at(24*time.Hour), "each owner and standby rewrites its store within 24 hours of running; --now asks for it at once")
	}
	add("stores left on other hosts", "an old copy of the task", nil, "until the task comes back to that host, or the folder is removed by hand")
	if u := o.config.Checkpoint.URL; u != "off" {
		add("checkpoints", "copies of the store from before", at(49*time.Hour), "collected once they are 24 hours old and a newer one of the rewritten store is there")
	}
	topics := []string{o.topics.Orders, o.topics.Behaviors}
	for _, t := range schemas.OutTopics {
		topics = append(topics, o.topics.Out(t))
	}
	kept := retention(ctx, o, topics)
	for i, t := range topics {
		what := "triggers that were published"
		switch {
		case t == o.topics.Behaviors:
			what = "her events, and the one that asks for this"
		case i == 0:
			what = "her events"
		case t == o.topics.Out(schemas.DeadLetters):
			what = "her events that were refused"
		}
		k, known := kept[t]
		switch {
		case !known:
			add(t, what, nil, "by the topic's retention, which the cluster does not tell")
		case k < 0:
			add(t, what, nil, "for ever: the topic has no retention by time")
		default:
			add(t, what, at(k), "by the topic's retention of "+short(k)+"; brokers delete whole segments, so up to one segment later")
		}
	}
	add(o.topics.Transfers, "if she was ever merged with another: her state then, and her events since", nil, "for ever; after a checkpoint of every task an operator may delete the records before it")
	add("systems that read the triggers", "what they kept", nil, "theirs to erase: nothing is published about an erasure")
}

func short(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	}
	return d.String()
}

// retention asks the cluster how long topics keep records; negative: for ever.
func retention(ctx context.Context, o *opened, topics []string) map[string]time.Duration {
	client := &kafka.Client{Addr: kafka.TCP(o.config.Kafka.Brokers...), Transport: o.transport, Timeout: 10 * time.Second}
	var ask []kafka.DescribeConfigRequestResource
	for _, t := range topics {
		ask = append(ask, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: t, ConfigNames: []string{"retention.ms"}})
	}
	out := map[string]time.Duration{}
	d, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: ask})
	if err != nil {
		return out
	}
	for _, x := range d.Resources {
		if x.Error != nil {
			continue
		}
		for _, e := range x.ConfigEntries {
			n, err := strconv.ParseInt(e.ConfigValue, 10, 64)
			if e.ConfigName != "retention.ms" || err != nil {
				continue
			}
			out[x.ResourceName] = -1
			if n >= 0 && n < int64(100*365*24*time.Hour/time.Millisecond) {
				out[x.ResourceName] = time.Duration(n) * time.Millisecond
			}
		}
	}
	return out
}

func (c *stateEraseCmd) print(r *receipt) error {
	if c.Format == "json" {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Printf("event %s stands in %s\nforgotten: what occurred up to %s; what occurs later makes a new customer\nremains:\n", r.EventID, r.Topic, r.Asked.Format(time.RFC3339))
	for _, x := range r.Remains {
		until := ""
		if x.Until != nil {
			until = "until " + x.Until.Format("2006-01-02 15:04Z") + ", "
		}
		fmt.Printf("  %s: %s; %s%s\n", x.Where, x.What, until, x.How)
	}
	return nil
}
