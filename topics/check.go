package topics

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/rights"
	"tidemark/processor/runtime"
)

// Options say which cluster and what is wanted there.
type Options struct {
	Brokers           []string
	Transport         *kafka.Transport // nil: plain TCP
	Names             runtime.Topics
	Partitions        int32 // where no input topic says it; 0: they must exist
	ReplicationFactor int   // wanted; below 1: whatever the broker does
	MinInsync         int   // wanted; below 1: whatever the broker does
	// LooksBack is how far back the playbook's rules look; 0: not known.
	LooksBack time.Duration
}

// Level says how bad a finding is.
type Level string

const (
	Wrong  Level = "wrong"  // `run` refuses it, or data will be lost
	Advice Level = "advice" // allowed, and unwise in production
)

// Finding is one difference.
type Finding struct {
	Level   Level  `json:"level"`
	Topic   string `json:"topic"`
	Missing bool   `json:"missing"`
	Hidden  bool   `json:"hidden"` // it exists, and its configuration may not be looked at
	Problem string `json:"problem"`
	Cure    string `json:"cure"`
	Command string `json:"command"` // "" where none mends it
}

// Report is what Check found.
type Report struct {
	Partitions int32     `json:"partitions"` // of the inputs, so many tasks; 0: not known
	Topics     int       `json:"topics"`     // how many exist of those that are needed
	Findings   []Finding `json:"findings"`   // in the order of Need
	Brokers    int       `json:"brokers"`    // that the cluster has now

	missing []Topic
	split   string // why the inputs contradict each other; "" if they do not
}

// Wrong counts the findings of that level.
func (r *Report) Wrong() (n int) {
	for _, f := range r.Findings {
		if f.Level == Wrong {
			n++
		}
	}
	return n
}

type found struct {
	partitions int32
	replicas   int // of the partition with the fewest
	insync     int // likewise, of those that are in step
	config     map[string]string
	hidden     error // why its configuration could not be read
}

// Check compares; it changes nothing. The error is the cluster's.
func Check(ctx context.Context, o Options) (*Report, error) {
	c := o.client()
	r := &Report{}
	have, err := o.look(ctx, c, r)
	if err != nil {
		return nil, err
	}
	orders, behaviors := have[o.Names.Orders], have[o.Names.Behaviors]
	switch {
	case orders != nil:
		r.Partitions = orders.partitions
	case behaviors != nil:
		r.Partitions = behaviors.partitions
	default:
		r.Partitions = o.Partitions
	}
	for _, t := range Need(o.Names, r.Partitions) {
		f := have[t.Name]
		if f == nil {
			r.missing = append(r.missing, t)
			x := Finding{Level: Wrong, Topic: t.Name, Missing: true, Problem: "does not exist", Cure: "let `tidemark topics create` make it, or run the command"}
			if t.Partitions > 0 {
				x.Command = t.CreateCommand(o.Brokers, o.ReplicationFactor, o.MinInsync)
			} else {
				x.Cure = "say with --partitions how many the inputs shall have"
			}
			r.Findings = append(r.Findings, x)
			continue
		}
		r.Topics++
		if t.Role == Input && f.partitions != r.Partitions {
			r.split = fmt.Sprintf("%s has %d partitions and %s has %d; both need the same number", o.Names.Orders, r.Partitions, t.Name, f.partitions)
		}
		r.Findings = append(r.Findings, o.compare(t, f, r.Partitions)...)
	}
	return r, nil
}

func (o *Options) client() *kafka.Client {
	if o.Transport == nil {
		o.Transport = &kafka.Transport{ClientID: "tidemark-topics"}
	}
	return &kafka.Client{Addr: kafka.TCP(o.Brokers...), Transport: o.Transport, Timeout: 30 * time.Second}
}

// settings that are looked at.
var settings = []string{"cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type", "min.insync.replicas"}

func (o *Options) look(ctx context.Context, c *kafka.Client, r *Report) (map[string]*found, error) {
	var names []string
	for _, t := range Need(o.Names, 1) {
		names = append(names, t.Name)
	}
	m, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return nil, fmt.Errorf("topics: %w", err)
	}
	r.Brokers = len(m.Brokers)
	have := map[string]*found{}
	var ask []kafka.DescribeConfigRequestResource
	for _, t := range m.Topics {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			continue
		}
		if t.Error != nil {
			return nil, fmt.Errorf("topics: %s: %w", t.Name, t.Error)
		}
		f := &found{partitions: int32(len(t.Partitions)), config: map[string]string{}}
		for i, p := range t.Partitions {
			if n := len(p.Replicas); i == 0 || n < f.replicas {
				f.replicas = n
			}
			if n := len(p.Isr); i == 0 || n < f.insync {
				f.insync = n
			}
		}
		have[t.Name] = f
		ask = append(ask, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: t.Name, ConfigNames: settings})
	}
	if len(ask) == 0 {
		return have, nil
	}
	d, err := c.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: ask})
	if err != nil {
		return nil, fmt.Errorf("topics: %w", err)
	}
	for _, x := range d.Resources {
		f := have[x.ResourceName]
		if f == nil {
			continue
		}
		f.hidden = x.Error
		for _, e := range x.ConfigEntries {
			f.config[e.ConfigName] = e.ConfigValue
		}
	}
	return have, nil
}

func (o *Options) compare(t Topic, f *found, partitions int32) (out []Finding) {
	add := func(level Level, problem, cure, command string) {
		out = append(out, Finding{Level: level, Topic: t.Name, Problem: problem, Cure: cure, Command: command})
	}
	server := strings.Join(o.Brokers, ",")
	set := func(name, value string) string {
		return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s", server, t.Name, name, value)
	}
	keeps := func(least time.Duration, why string) {
		n, err := strconv.ParseInt(f.config["retention.ms"], 10, 64)
		if err != nil || n < 0 || n >= least.Milliseconds() {
			return
		}
		add(Advice, fmt.Sprintf("keeps records for %s: %s", time.Duration(n)*time.Millisecond, why),
			fmt.Sprintf("raise retention.ms to %d days or more", int(least.Hours()/24)), set("retention.ms", strconv.FormatInt(least.Milliseconds(), 10)))
	}
	if f.partitions != t.Partitions {
		problem := fmt.Sprintf("has %d partitions and needs %d, as %s has", f.partitions, t.Partitions, o.Names.Orders)
		if t.Name == o.Names.Control {
			problem = fmt.Sprintf("has %d partitions and needs 1", f.partitions)
		}
		grow := fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --alter --topic %s --partitions %d", server, t.Name, t.Partitions)
		switch {
		case f.partitions < t.Partitions && t.Role == Input:
			add(Wrong, problem, "both inputs need the same number; growing moves keys, so do it only while the topic is empty, before the app's first start", grow)
		case f.partitions < t.Partitions && t.Role == Out:
			add(Wrong, problem, "grow it before the app's first start", grow)
		default:
			add(Wrong, problem, "a topic cannot shrink, and an internal one does not grow: use another app name (another kafka.out_prefix for out topics), or delete the topic if nothing has run yet", "")
		}
	}
	if f.replicas > 0 && o.ReplicationFactor > f.replicas {
		add(Advice, fmt.Sprintf("has %d replicas and kafka.replication_factor is %d", f.replicas, o.ReplicationFactor), "reassign it with kafka-reassign-partitions.sh", "")
	}
	if f.hidden != nil {
		add(Advice, fmt.Sprintf("its configuration cannot be looked at: %v", f.hidden), "allow DescribeConfigs on the topic, or check it by hand", "")
		out[len(out)-1].Hidden = true
		return out
	}
	if v := f.config["cleanup.policy"]; strings.Contains(v, "compact") {
		add(Wrong, "has cleanup.policy="+v+": compaction loses records", "set cleanup.policy=delete", set("cleanup.policy", "delete"))
	}
	switch t.Role {
	case Internal:
		for _, name := range []string{"retention.ms", "retention.bytes"} {
			if v, ok := f.config[name]; ok && v != "-1" {
				add(Wrong, "has "+name+"="+v+": it is the only authority on positions and must keep everything", "set "+name+"=-1", set(name, "-1"))
			}
		}
	case Input:
		keeps(7*24*time.Hour, "a rebuild, a replay and `simulate` reach no further back")
		if o.LooksBack > 7*24*time.Hour {
			keeps(o.LooksBack, fmt.Sprintf("rules of the playbook look back %d days; a new rule, or a store that is lost without a checkpoint, knows no more than the topic holds", int(o.LooksBack.Hours()/24)))
		}
	case Out:
		keeps(month, "a consumer that is down for longer misses triggers")
	}
	if want := t.Config["message.timestamp.type"]; want != "" {
		if v, ok := f.config["message.timestamp.type"]; ok && v != want {
			add(Wrong, "has message.timestamp.type="+v+": the host's clock is checked against the broker's by it", "set message.timestamp.type="+want, set("message.timestamp.type", want))
		}
	}
	if n, err := strconv.Atoi(f.config["min.insync.replicas"]); err == nil {
		switch {
		case f.replicas > 0 && n > f.replicas:
			add(Wrong, fmt.Sprintf("has min.insync.replicas=%d and %d replicas: no write is ever taken", n, f.replicas), "lower it", set("min.insync.replicas", strconv.Itoa(max(1, f.replicas-1))))
		case f.insync > 0 && n > f.insync:
			add(Advice, fmt.Sprintf("has min.insync.replicas=%d and %d of %d replicas in step: writes wait until more are", n, f.insync, f.replicas), "look at the brokers that are behind or down", "")
		case n < o.MinInsync:
			add(Advice, fmt.Sprintf("has min.insync.replicas=%d and kafka.min_insync_replicas is %d", n, o.MinInsync), "raise it", set("min.insync.replicas", strconv.Itoa(o.MinInsync)))
		}
	}
	return out
}

// ErrCreate is matched by topics that could not be made.
var ErrCreate = errors.New("topics: create")

// Create makes the topics that are missing and returns their names. It makes
// none while the inputs' partition counts contradict each other or are unknown.
func Create(ctx context.Context, o Options) (created []string, err error) {
	r, err := Check(ctx, o)
	if err != nil {
		return nil, err
	}
	if r.Partitions <= 0 {
		return nil, fmt.Errorf("%w: neither %s nor %s exists; say with --partitions how many they shall have", ErrCreate, o.Names.Orders, o.Names.Behaviors)
	}
	if r.split != "" {
		return nil, fmt.Errorf("%w: %s", ErrCreate, r.split)
	}
	if len(r.missing) == 0 {
		return nil, nil
	}
	c := o.client()
	req := &kafka.CreateTopicsRequest{}
	for _, t := range r.missing {
		tc := kafka.TopicConfig{Topic: t.Name, NumPartitions: int(t.Partitions), ReplicationFactor: o.ReplicationFactor}
		if tc.ReplicationFactor < 1 {
			tc.ReplicationFactor = -1
		}
		for _, kv := range t.settings(o.MinInsync) {
			tc.ConfigEntries = append(tc.ConfigEntries, kafka.ConfigEntry{ConfigName: kv[0], ConfigValue: kv[1]})
		}
		req.Topics = append(req.Topics, tc)
	}
	res, err := c.CreateTopics(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCreate, err)
	}
	var failed []error
	for _, t := range r.missing {
		if err := res.Errors[t.Name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			failed = append(failed, fmt.Errorf("%w: %w", ErrCreate, &rights.TopicError{Topic: t.Name, Err: err}))
			continue
		}
		created = append(created, t.Name)
	}
	if err := errors.Join(failed...); err != nil {
		return created, err
	}
	return created, o.await(ctx, c, created)
}

// await waits until metadata knows a leader of every partition.
func (o *Options) await(ctx context.Context, c *kafka.Client, names []string) error {
	for {
		ready := 0
		m, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
		if err == nil {
			for _, t := range m.Topics {
				ok := t.Error == nil && len(t.Partitions) > 0
				for _, p := range t.Partitions {
					ok = ok && p.Error == nil
				}
				if ok {
					ready++
				}
			}
		}
		if ready == len(names) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topics: waiting for leaders: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
