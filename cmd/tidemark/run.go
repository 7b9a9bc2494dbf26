package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/blobs"
	"tidemark/config"
	"tidemark/config/kafkaconn"
	"tidemark/playbook"
	"tidemark/processor/group"
	"tidemark/processor/rights"
	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/schemas/registry"
	"tidemark/state"
	"tidemark/telemetry"
)

type runCmd struct {
	Config     string `required:"" help:"The configuration; every value can be given by environment too."`
	Standalone bool   `help:"Own all tasks without asking the group; for a single process."`
	Drain      bool   `help:"Bring the stores to the end of the journal and stop: before another engine version takes over. Stop all other processes first."`
	FireFrom   string `help:"At the very first start: what became true earlier goes to suppressed-triggers. RFC 3339, beginning, or now; in the place of history.fire_from. Later it is refused unless it is the same." placeholder:"INSTANT"`
	Partitions int32  `help:"Partitions of input topics that do not exist yet and may be created." default:"6"`

	BlockProfile time.Duration `hidden:"" help:"Sample waits of goroutines for /debug/pprof/block, one for so much time waited."`
}

func (r *runCmd) Run(ctx context.Context) (err error) {
	goruntime.SetBlockProfileRate(int(r.BlockProfile.Nanoseconds()))
	c, err := config.Load(r.Config, os.Environ(), "playbook")
	if err != nil {
		return usageError{err}
	}
	pb, err := playbook.Load(c.Playbook)
	if err != nil {
		return usageError{err}
	}
	clock := "live"
	if pb.Clock == playbook.Input {
		clock = "input"
	}
	if err := c.CheckClock(clock); err != nil {
		return usageError{err}
	}
	log, err := telemetry.NewLogger(os.Stderr, c.Log.Format, c.Log.SlogLevel())
	if err != nil {
		return usageError{err}
	}
	slog.SetDefault(log)
	transport, err := kafkaconn.Transport(c)
	if err != nil {
		return err
	}
	dialer, err := kafkaconn.Dialer(c)
	if err != nil {
		return err
	}
	reg, closeReg, err := openRegistry(c)
	if err != nil {
		return err
	}
	defer closeReg()
	to, err := endpoint(c, log)
	if err != nil {
		return usageError{err}
	}
	tel := telemetry.Discard()
	if c.HTTP.Listen != "off" {
		if tel, err = telemetry.Start(ctx, to); err != nil {
			return err
		}
		defer func() {
			sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = tel.Shutdown(sctx)
		}()
		scheme := "http://"
		if to.TLS != nil {
			scheme = "https://"
		}
		log.Info("http", "metrics", scheme+tel.Addr()+"/metrics", "ready", scheme+tel.Addr()+"/readyz", "asks_who", to.Access.Asks())
	}

	topics := runtime.TopicsOf(c.App, c.Kafka.OutPrefix)
	topics.Orders, topics.Behaviors = c.Kafka.Topics.Orders, c.Kafka.Topics.Behaviors
	if os.Getenv("GOGC") == "" {
		// Most of the heap is what batches under way hold, and an event leaves less
		// than a kilobyte to be collected: frequent collections cost little and keep a
		// process with a million customers at a gigabyte.
		debug.SetGCPercent(40)
	}
	cache := state.Shared(c.Store.Cache)
	defer cache.Unref()
	rc := runtime.Config{
		App: c.App, Instance: c.Instance, DataDir: c.DataDir, Brokers: c.Kafka.Brokers, Transport: transport, Principal: kafkaconn.Principal(c), Topics: topics,
		Group: c.Kafka.Group, Registry: reg, Telemetry: tel, Log: log,
		TransactionTimeout: c.Kafka.TransactionTimeout, FetchMaxWait: c.Kafka.Fetch.MaxWait, PartitionMaxBytes: int32(c.Kafka.Fetch.PartitionMaxBytes),
		MaxDelay: c.Commit.MaxDelay, IdleDelay: c.Commit.IdleDelay, BackoffMin: c.Restart.BackoffMin, BackoffMax: c.Restart.BackoffMax,
		MaxEvents: c.Commit.MaxEvents, MaxTriggers: c.Commit.MaxTriggers, MaxBytes: int(c.Commit.MaxBytes),
		BlockCache: cache, MemTable: uint64(c.Store.Memtable),
	}
	if !c.History.Until.IsZero() {
		rc.Until = schemas.EventTime(c.History.Until.UnixMilli())
	}
	rc.CheckpointEvery, rc.CheckpointRate, rc.CheckpointKeep = c.Checkpoint.Interval, c.Checkpoint.Rate, c.Checkpoint.Keep
	bucket, err := openCheckpoints(ctx, c)
	if err != nil {
		return err
	}
	if bucket != nil {
		defer bucket.Close()
		rc.Checkpoints = bucket
		log.Info("checkpoints", "at", bucket.String(), "every", c.Checkpoint.Interval)
	}
	po := runtime.PrepareOptions{Create: c.Kafka.CreateTopics, Partitions: r.Partitions, ReplicationFactor: c.Kafka.ReplicationFactor,
		MinInsync: c.Kafka.MinInsyncReplicas, Playbook: pb, By: c.Instance, FireFrom: fireFrom(c, pb)}
	if r.FireFrom != "" {
		if po.FireFrom, err = chosenFireFrom(r.FireFrom, time.Now()); err != nil {
			return usageError{err}
		}
		po.Choose = true
	}
	for _, w := range c.Warnings() {
		log.Warn("configuration", "unwise", w)
	}
	if pb.Clock != playbook.Input {
		rc.ClockLimit = clockLimit
	}
	if ok, err := patiently(ctx, log, func() (*bool, error) { return checkTopics(ctx, c, rc, pb, log) }); err != nil || ok == nil {
		return err
	}
	prep, err := patiently(ctx, log, func() (*runtime.Prepared, error) { return runtime.Prepare(ctx, rc, po) })
	if err != nil || prep == nil {
		return err
	}
	if prep.Playbook != pb.Version {
		log.Warn("another playbook is in force than the configured one; it stays in force", "in_force", prep.Playbook, "configured", pb.Version,
			"to_change_it", "tidemark playbook apply --config "+r.Config+" "+c.Playbook)
	}
	pb = prep.InForce
	prep.Apply(&rc, pb.Clock)
	rc.QueueBytes = int(max(c.Kafka.Fetch.Buffer/int64(prep.Tasks)/2, 256<<10)) // of orders and of behaviors
	rc.CacheBytes = max(c.Store.CustomerCache/int64(prep.Tasks), 1<<20)
	tellStart(log, prep)
	drained := make(chan error, 1)
	if r.Drain {
		rc.Drain, rc.OnState = true, drain(prep.Tasks, drained)
	}
	m, err := patiently(ctx, log, func() (*runtime.Manager, error) { return runtime.NewManager(ctx, rc) })
	if err != nil || m == nil {
		return err
	}
	tel.Metrics.DataDir(c.DataDir)
	work, stop := context.WithCancel(ctx)
	letGo := func() error {
		tel.Tasks.Process("its end: the tasks let go")
		stop()
		return within(c.Kafka.TransactionTimeout+stopGrace, m.Wait)
	}
	defer func() { err = errors.Join(err, letGo()) }()
	go m.CommitOffsets(work, time.Second)
	go m.WatchPartitions(work, partitionsBeat)
	if r.Standalone || r.Drain {
		a := group.Assignment{Member: c.Instance, Commit: offsetsOf(c.Kafka.Group, c.Kafka.Brokers, transport)}
		for i := range prep.Tasks {
			a.Tasks = append(a.Tasks, i)
		}
		m.Assign(work, a)
		tel.Tasks.Process("")
		select {
		case <-ctx.Done():
			if r.Drain {
				return errors.New("ended before every store stood at the end of its journal; run --drain again")
			}
			return nil
		case err := <-drained:
			if err != nil {
				return err
			}
		}
		if err := letGo(); err != nil {
			return err
		}
		return told(ctx, c, bucket, prep.Tasks)
	}
	tel.Tasks.Process("the consumer group's first assignment")
	access, names := rc.Rights()
	// A calm end is in order: every task commits what it has decided, then this
	// process leaves the group, and only then does another begin with what it left.
	member, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	go func() {
		<-ctx.Done()
		_ = within(c.Kafka.TransactionTimeout+stopGrace, m.Wait) // told below
		leave()
	}()
	host, _ := os.Hostname() // "" if there is none: standbys are then placed by process alone
	return group.Run(member, group.Config{
		Brokers: c.Kafka.Brokers, Group: c.Kafka.Group, Topics: []string{topics.Orders, topics.Behaviors}, Dialer: dialer,
		Session: c.Kafka.SessionTimeout, Heartbeat: c.Kafka.HeartbeatInterval, Rebalance: c.Kafka.RebalanceTimeout, JoinBackoff: time.Second,
		Owned: m.Owned, Warm: m.Warm, Host: host, Journal: topics.Journal, Standbys: c.Standby.Copies,
		OnError: func(err error) { log.Warn("group", "err", access.Explain(ctx, err, rights.Run(names))) },
	}, func(a group.Assignment) {
		m.Assign(work, a)
		tel.Tasks.Process("")
	})
}

// openCheckpoints opens the place of checkpoints; nil: there is none.
func openCheckpoints(ctx context.Context, c *config.Config) (*blobs.Bucket, error) {
	address := c.Checkpoint.URL
	switch address {
	case "off":
		return nil, nil
	case "":
		dir, err := filepath.Abs(filepath.Join(c.DataDir, "checkpoints"))
		if err != nil {
			return nil, err
		}
		address = (&url.URL{Scheme: "file", Path: dir}).String()
	}
	b, err := blobs.Open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("checkpoint.url: %w", err)
	}
	return b, nil
}

// endpoint is what the configuration says of http.
func endpoint(c *config.Config, log *slog.Logger) (telemetry.Options, error) {
	h := &c.HTTP
	o := telemetry.Options{ServiceVersion: version, App: c.App, HTTPAddr: h.Listen, AllowRemote: h.AllowRemote, Logger: log}
	var err error
	if o.TLS, err = h.TLS.ServerConfig(); err != nil {
		return o, fmt.Errorf("http.tls: %w", err)
	}
	if o.Access, err = telemetry.NewAccess(h.ReadToken.Reveal(), h.OperateToken.Reveal(), h.TLS.ClientCAFile != "", h.TLS.Operators...); err != nil {
		return o, fmt.Errorf("http: %w", err)
	}
	return o, nil
}

// offsetsOf stores offsets in a group without being its member.
func offsetsOf(id string, brokers []string, transport *kafka.Transport) func(map[string]map[int]int64) error {
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: 10 * time.Second}
	return func(offsets map[string]map[int]int64) error {
		req := &kafka.OffsetCommitRequest{GroupID: id, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{}}
		for topic, parts := range offsets {
			for p, o := range parts {
				req.Topics[topic] = append(req.Topics[topic], kafka.OffsetCommit{Partition: p, Offset: o})
			}
		}
		r, err := client.OffsetCommit(context.Background(), req)
		if err != nil {
			return err
		}
		for _, parts := range r.Topics {
			for _, p := range parts {
				if p.Error != nil {
					return p.Error
				}
			}
		}
		return nil
	}
}

// patiently waits for a cluster or a registry that is not there yet; what is
// wrong with the topics is final. It returns nil and no error if it is told to
// end meanwhile.
func patiently[T any](ctx context.Context, log *slog.Logger, try func() (*T, error)) (*T, error) {
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		v, err := try()
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		if !passing(err) {
			return nil, refused(err)
		}
		log.Warn("waiting for the cluster", "err", err, "again_after", wait)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(wait):
		}
	}
}

// passing says whether what failed may work in a while: no answer from the
// cluster or the registry. A clear refusal (rights, passwords, topics) is final.
func passing(err error) bool {
	var token *kafkaconn.TokenError
	if errors.As(err, &token) {
		return token.Waited
	}
	var ke kafka.Error // has a Timeout method too, so it is asked about first
	if errors.As(err, &ke) {
		// A broker that is just coming up says that none is available.
		return (ke.Temporary() || ke == kafka.BrokerNotAvailable || ke == kafka.ReplicaNotAvailable) && !errors.Is(err, rights.ErrMissing)
	}
	// A connection that ends in the middle of an answer is no answer either.
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return true
	}
	var network interface{ Timeout() bool }
	return errors.Is(err, registry.ErrUnavailable) || errors.As(err, &network)
}

// refused says what to look at when the brokers do not know who we are.
func refused(err error) error {
	if errors.Is(err, kafka.SASLAuthenticationFailed) {
		return fmt.Errorf("the brokers refuse who this says it is; look at kafka.sasl.mechanism, and at the user or client and the secret under kafka.sasl: %w", err)
	}
	return err
}

// fireFrom is what the configuration says, nil for the default of the clock.
func fireFrom(c *config.Config, pb *playbook.Playbook) *schemas.EventTime {
	var t schemas.EventTime
	switch c.History.FireFrom.Kind {
	case config.FireBeginning:
		return &t
	case config.FireAt:
		t = schemas.EventTime(c.History.FireFrom.At.UnixMilli())
		return &t
	}
	return nil
}

// openRegistry opens the registry or the folder that stands in for one.
func openRegistry(c *config.Config) (runtime.Registry, func(), error) {
	s := &c.SchemaRegistry
	if s.Folder != "" {
		f, err := registry.OpenFolder(s.Folder)
		return f, func() {}, err
	}
	rc := registry.Config{URLs: s.URLs, User: s.Username, Password: s.Password.Reveal(), Token: s.BearerToken.Reveal(), Naming: registry.Naming(s.Subjects)}
	if s.TLS != (config.TLS{}) {
		t, err := s.TLS.ClientConfig()
		if err != nil {
			return nil, nil, fmt.Errorf("schema_registry.tls: %w", err)
		}
		rc.TLS = t
	}
	cl, err := registry.NewClient(rc)
	if err != nil {
		return nil, nil, err
	}
	if !s.AutoRegister {
		return lookupOnly{cl}, cl.Close, nil
	}
	return cl, cl.Close, nil
}

// lookupOnly is a registry in which somebody else registers our schemas.
type lookupOnly struct{ *registry.Client }

func (l lookupOnly) Register(ctx context.Context, subject, schema string) (int32, error) {
	id, _, err := l.Lookup(ctx, subject, schema)
	if err != nil {
		return 0, fmt.Errorf("schema_registry.auto_register is false and the schema of %s is not there: %w", subject, err)
	}
	return id, nil
}
