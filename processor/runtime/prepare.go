package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/rights"
	"tidemark/processor/source"
	"tidemark/schemas"
)

// PrepareOptions say how a process gets an app ready before its tasks run.
type PrepareOptions struct {
	Create            bool
	Partitions        int32 // of input topics that have to be made; 0: they must exist
	ReplicationFactor int   // -1: the broker's default
	MinInsync         int   // 0: the broker's default
	Playbook          *playbook.Playbook
	// FireFrom is used at the very first start only. Nil: that moment (live), or the beginning (clock: input).
	FireFrom *schemas.EventTime
	// Choose says that FireFrom was asked for in so many words: a later start
	// that asks for another one than the control topic has is refused.
	Choose bool
	// Switch puts Playbook in force in the place of another one, whatever the
	// state holds: for development. Else the one in force stays; see ApplyPlaybook.
	Switch bool
	By     string
}

// Prepared is what Prepare found and did.
type Prepared struct {
	Tasks    int32
	Created  []string
	Genesis  core.Genesis
	First    bool   // this was the very first start
	History  Extent // what stood in the inputs then; of the very first start alone
	Playbook string // version in force once the tasks take it
	// InForce is that playbook; PrepareOptions.Playbook only if none was before it, or with Switch.
	InForce *playbook.Playbook
}

// ErrTopics is wrapped by every complaint about topics.
var ErrTopics = errors.New("runtime: topics")

// ErrFireFrom says that an app that has begun cannot choose when it fires from.
var ErrFireFrom = errors.New("runtime: fire_from")

// Prepare makes or checks the topics of an app, and puts genesis and playbook
// into its control topic if they are not there.
func Prepare(ctx context.Context, cfg Config, o PrepareOptions) (*Prepared, error) {
	cfg.defaults()
	c := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: cfg.Transport, Timeout: 30 * time.Second}
	p := &Prepared{}
	access, names := cfg.Rights()
	if err := access.Check(ctx, rights.Run(names)); err != nil {
		return nil, err
	}
	have, err := partitions(ctx, c)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, t := range [...]string{cfg.Topics.Orders, cfg.Topics.Behaviors} {
		n, ok := have[t]
		switch {
		case !ok && (!o.Create || o.Partitions == 0 && p.Tasks == 0):
			problems = append(problems, fmt.Sprintf("the input topic %s does not exist; create it with the partitions that you want, or let tidemark do so with kafka.create_topics and run --partitions", t))
		case ok && p.Tasks != 0 && n != p.Tasks:
			problems = append(problems, fmt.Sprintf("%s has %d partitions and %s has %d; both need the same number", cfg.Topics.Orders, p.Tasks, t, n))
		case ok:
			p.Tasks = n
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrTopics, strings.Join(problems, "; "))
	}
	if p.Tasks == 0 {
		p.Tasks = o.Partitions
	}
	month := strconv.FormatInt((30 * 24 * time.Hour).Milliseconds(), 10)
	need := []struct {
		name       string
		partitions int32
		config     map[string]string
	}{
		{cfg.Topics.Orders, p.Tasks, map[string]string{"cleanup.policy": "delete"}},
		{cfg.Topics.Behaviors, p.Tasks, map[string]string{"cleanup.policy": "delete"}},
		{cfg.Topics.Journal, p.Tasks, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime"}},
		{cfg.Topics.Control, 1, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}},
		{cfg.Topics.Transfers, p.Tasks, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}},
	}
	for _, t := range schemas.OutTopics {
		need = append(need, struct {
			name       string
			partitions int32
			config     map[string]string
		}{cfg.Topics.Out(t), p.Tasks, map[string]string{"cleanup.policy": "delete", "retention.ms": month}})
	}
	var create []kafka.TopicConfig
	for _, t := range need {
		n, ok := have[t.name]
		if ok && n != t.partitions {
			problems = append(problems, fmt.Sprintf("%s has %d partitions and needs %d", t.name, n, t.partitions))
		}
		if ok {
			continue
		}
		tc := kafka.TopicConfig{Topic: t.name, NumPartitions: int(t.partitions), ReplicationFactor: o.ReplicationFactor}
		if o.ReplicationFactor == 0 {
			tc.ReplicationFactor = -1
		}
		for k, v := range t.config {
			tc.ConfigEntries = append(tc.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
		}
		if o.MinInsync > 0 {
			tc.ConfigEntries = append(tc.ConfigEntries, kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(o.MinInsync)})
		}
		if !o.Create {
			problems = append(problems, t.name+" does not exist and kafka.create_topics is false")
		}
		create = append(create, tc)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrTopics, strings.Join(problems, "; "))
	}
	if len(create) > 0 {
		r, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: create})
		if err != nil {
			return nil, fmt.Errorf("%w: create: %w", ErrTopics, err)
		}
		var failed []error
		for name, err := range r.Errors {
			if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
				failed = append(failed, fmt.Errorf("create %w", &rights.TopicError{Topic: name, Err: err}))
			}
		}
		if err := errors.Join(failed...); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTopics, access.Explain(ctx, err, rights.Creating(names)))
		}
		for _, t := range create {
			p.Created = append(p.Created, t.Topic)
		}
		if err := awaitTopics(ctx, c, need[len(need)-1].name); err != nil {
			return nil, err
		}
		// What may be done with a topic shows only once it is there.
		if err := access.Check(ctx, rights.Run(names)); err != nil {
			return nil, err
		}
	}
	if err := checkCleanup(ctx, c, cfg.Topics); err != nil {
		return nil, err
	}
	return p, prepareControl(ctx, &cfg, c, o, p)
}

func partitions(ctx context.Context, c *kafka.Client) (map[string]int32, error) {
	m, err := c.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", ErrTopics, err)
	}
	have := map[string]int32{}
	for _, t := range m.Topics {
		if t.Error == nil {
			have[t.Name] = int32(len(t.Partitions))
		}
	}
	return have, nil
}

// awaitTopics waits until the topics have leaders.
func awaitTopics(ctx context.Context, c *kafka.Client, last string) error {
	for {
		m, err := c.Metadata(ctx, &kafka.MetadataRequest{})
		if err == nil {
			for _, t := range m.Topics {
				if t.Name == last && t.Error == nil && len(t.Partitions) > 0 && t.Partitions[0].Error == nil {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkCleanup refuses compacted inputs: they lose events.
func checkCleanup(ctx context.Context, c *kafka.Client, t Topics) error {
	var res []kafka.DescribeConfigRequestResource
	for _, name := range [...]string{t.Orders, t.Behaviors, t.Journal, t.Control, t.Transfers} {
		res = append(res, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: name, ConfigNames: []string{"cleanup.policy", "retention.ms", "message.timestamp.type"}})
	}
	r, err := c.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: res})
	if err != nil {
		return fmt.Errorf("%w: describe: %w", ErrTopics, err)
	}
	var problems []string
	for _, x := range r.Resources {
		if x.Error != nil {
			continue // the right to look may be missing; it is no reason to stop
		}
		internal := x.ResourceName == t.Journal || x.ResourceName == t.Control || x.ResourceName == t.Transfers
		for _, e := range x.ConfigEntries {
			switch {
			case e.ConfigName == "cleanup.policy" && strings.Contains(e.ConfigValue, "compact"):
				problems = append(problems, x.ResourceName+" is compacted, which loses records; set cleanup.policy=delete")
			case e.ConfigName == "retention.ms" && internal && e.ConfigValue != "-1":
				problems = append(problems, x.ResourceName+" has retention.ms="+e.ConfigValue+"; set -1")
			}
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %s", ErrTopics, strings.Join(problems, "; "))
	}
	return nil
}

// prepareControl publishes genesis and playbook where they are missing.
func prepareControl(ctx context.Context, cfg *Config, c *kafka.Client, o PrepareOptions, p *Prepared) error {
	records, err := readControl(ctx, cfg)
	if err != nil {
		return fmt.Errorf("read the control topic: %w", err)
	}
	f, err := inForce(records)
	if err != nil {
		return err
	}
	p.Genesis = f.genesis
	var out []*schemas.Control
	now := cfg.wall()
	if !f.begun {
		p.First = true
		if p.History, err = extent(ctx, cfg, p.Tasks); err != nil {
			return fmt.Errorf("look at the history: %w", err)
		}
		g := core.Genesis{FireFrom: now, Start: now, Partitions: p.Tasks}
		if o.Playbook.Clock == playbook.Input {
			g.FireFrom = 0
			if err := history(ctx, cfg, &g); err != nil {
				return fmt.Errorf("look at the history: %w", err)
			}
		}
		if o.FireFrom != nil {
			g.FireFrom = *o.FireFrom
		}
		p.Genesis = g
		out = append(out, core.NewGenesis(g, o.By, now))
	} else if o.Choose && o.FireFrom != nil && *o.FireFrom != p.Genesis.FireFrom {
		return fmt.Errorf("%w: --fire-from says %s, and this app began with %s, which stands in %s and cannot change: triggers were published or suppressed by it; leave --fire-from out, or begin under another app name",
			ErrFireFrom, instant(*o.FireFrom), instant(p.Genesis.FireFrom), cfg.Topics.Control)
	} else if p.Genesis.Partitions != p.Tasks {
		return fmt.Errorf("%w: the app began with %d partitions and the input topics now have %d; growing is a rebuild into a new app name", ErrTopics, p.Genesis.Partitions, p.Tasks)
	}
	p.InForce = f.playbook
	if p.InForce == nil || o.Switch && p.InForce.Version != o.Playbook.Version {
		p.InForce = o.Playbook
		out = append(out, core.NewPlaybook(o.Playbook, o.By, now))
	}
	p.Playbook = p.InForce.Version
	if len(out) == 0 {
		return nil
	}
	return writeControl(ctx, cfg, c, out)
}

// writeControl appends records to the control topic, all or none of them.
func writeControl(ctx context.Context, cfg *Config, c *kafka.Client, out []*schemas.Control) error {
	id, err := cfg.Registry.Register(ctx, schemas.Subject(cfg.Topics.Control), schemas.Text("Control"))
	if err != nil {
		return fmt.Errorf("register the schema of %s: %w", cfg.Topics.Control, err)
	}
	var rs []kafka.Record
	for _, r := range out {
		rs = append(rs, kafka.Record{Key: kafka.NewBytes([]byte(r.Kind + "/" + r.Name)), Value: kafka.NewBytes(schemas.AppendWire(nil, id, r.AppendAvro(nil)))})
	}
	res, err := c.Produce(ctx, &kafka.ProduceRequest{Topic: cfg.Topics.Control, Partition: 0, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(rs...)})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("write the control topic: %w", err)
	}
	return nil
}

// readControl reads the whole control topic.
func readControl(ctx context.Context, cfg *Config) ([]*schemas.Control, error) {
	tp := source.TopicPartition{Topic: cfg.Topics.Control}
	var out []*schemas.Control
	err := readAll(ctx, cfg, []source.TopicPartition{tp}, nil, func(f *source.Fetched) (bool, error) {
		for i := range f.Records {
			_, body, err := schemas.ParseWire(f.Records[i].Value)
			if err != nil {
				continue // a dead letter of every task; not ours to judge
			}
			if r, err := schemas.DecodeControl(body); err == nil {
				out = append(out, r)
			}
		}
		return false, nil
	})
	return out, err
}

// Apply puts into a configuration what Prepare found.
func (p *Prepared) Apply(cfg *Config, clock playbook.Clock) {
	cfg.Tasks = p.Tasks
	if clock != playbook.Input {
		return
	}
	cfg.HistoryEnds = p.Genesis.Ends
	cfg.NoClosing = true
	for _, e := range p.Genesis.Ends {
		if e[0] > 0 || e[1] > 0 {
			cfg.NoClosing = false
		}
	}
	cfg.Until = max(cfg.Until, p.Genesis.Until)
}

// lastRecords is how many records at the end of a partition are looked at for
// its last event; a sorted history needs one, transactions leave gaps.
const lastRecords = 1000

// history finds the extent of what stands in the inputs: their ends, the
// earliest of the first events and the latest of the last.
func history(ctx context.Context, cfg *Config, g *core.Genesis) error {
	var parts []source.TopicPartition
	for i := range g.Partitions {
		parts = append(parts, source.TopicPartition{Topic: cfg.Topics.Orders, Partition: i}, source.TopicPartition{Topic: cfg.Topics.Behaviors, Partition: i})
	}
	c := source.NewClient(source.Config{Brokers: cfg.Brokers, Transport: cfg.Transport})
	defer c.Close()
	ends, err := c.EndOffsets(ctx, parts, true)
	if err != nil {
		return err
	}
	g.Ends = make([][2]schemas.Offset, g.Partitions)
	for i := range g.Partitions {
		g.Ends[i] = [2]schemas.Offset{schemas.Offset(ends[parts[2*i]]), schemas.Offset(ends[parts[2*i+1]])}
	}
	rd := &readers{reg: cfg.Registry, byID: map[readerKey]reader{}}
	each := func(f *source.Fetched, fn func(schemas.EventTime) bool) (bool, error) {
		kind := schemas.Order
		if f.Topic == cfg.Topics.Behaviors {
			kind = schemas.Behavior
		}
		d := &decoder{cfg: &Config{Tasks: g.Partitions}, readers: rd, task: f.Partition, waits: func(string) {}}
		for i := range f.Records {
			var e schemas.Event
			dead, err := d.event(ctx, kind, &f.Records[i], &e)
			if err != nil {
				return false, err
			}
			if dead == nil && e.OccurredAt >= 0 && e.OccurredAt <= cfg.wall() && fn(e.OccurredAt) {
				return true, nil
			}
		}
		return false, nil
	}
	found := false
	err = readAll(ctx, cfg, parts, nil, func(f *source.Fetched) (bool, error) {
		return each(f, func(t schemas.EventTime) bool {
			if !found || t < g.Start {
				g.Start, found = t, true
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	from := map[source.TopicPartition]int64{}
	for tp, end := range ends {
		from[tp] = end - lastRecords
	}
	return readAll(ctx, cfg, parts, from, func(f *source.Fetched) (bool, error) {
		return each(f, func(t schemas.EventTime) bool {
			g.Until = max(g.Until, t)
			return false
		})
	})
}

// readAll reads partitions from their starts, or from where from says, to their ends, until each is read
// or fn says that it has enough of one.
func readAll(ctx context.Context, cfg *Config, parts []source.TopicPartition, from map[source.TopicPartition]int64, fn func(*source.Fetched) (bool, error)) error {
	sc := source.Config{Brokers: cfg.Brokers, Transport: cfg.Transport, Partitions: parts, MaxWait: 50 * time.Millisecond, PartitionMaxBytes: 256 << 10}
	f := source.NewFetcher(sc)
	defer f.Close()
	ends, err := f.Client().EndOffsets(ctx, parts, true)
	if err != nil {
		return err
	}
	starts, err := f.Client().StartOffsets(ctx, parts)
	if err != nil {
		return err
	}
	left := map[source.TopicPartition]bool{}
	for _, p := range parts {
		if starts[p] >= ends[p] {
			f.Remove(p.Topic, p.Partition)
			continue
		}
		left[p] = true
		f.Seek(p.Topic, p.Partition, max(starts[p], from[p]))
	}
	for len(left) > 0 {
		got, err := f.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range got {
			p := source.TopicPartition{Topic: got[i].Topic, Partition: got[i].Partition}
			if !left[p] {
				continue
			}
			enough, err := fn(&got[i])
			if err != nil {
				return err
			}
			if enough || got[i].Next >= ends[p] {
				delete(left, p)
				f.Remove(p.Topic, p.Partition)
			}
		}
	}
	return nil
}
