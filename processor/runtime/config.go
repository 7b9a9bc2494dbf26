package runtime

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/internal/seam"
	"tidemark/processor/rights"
	"tidemark/schemas"
	"tidemark/state/checkpoint"
	"tidemark/telemetry"
)

// Registry finds writer schemas and registers Tidemark's own.
type Registry interface {
	SchemaByID(ctx context.Context, id int32) (schema string, refs []string, err error)
	Register(ctx context.Context, subject, schema string) (id int32, err error)
}

// Topics are the full names of all topics of one app.
type Topics struct {
	Orders, Behaviors           string
	Journal, Control, Transfers string
	OutPrefix                   string
}

// TopicsOf gives the default names of an app.
func TopicsOf(app, prefix string) Topics {
	return Topics{Orders: "order-events", Behaviors: "behavior-events",
		Journal: "tidemark-" + app + "-journal", Control: "tidemark-" + app + "-control", Transfers: "tidemark-" + app + "-transfers",
		OutPrefix: prefix}
}

// Out is the full name of an out topic.
func (t Topics) Out(topic schemas.Topic) string { return t.OutPrefix + string(topic) }

// input is the topic of an input.
func (t Topics) input(i schemas.Input) string {
	switch i {
	case schemas.OrderEvents:
		return t.Orders
	case schemas.BehaviorEvents:
		return t.Behaviors
	case schemas.ControlInput:
		return t.Control
	}
	return t.Transfers
}

// Rights is whom to ask what this process may do, and the names that it is about.
func (c *Config) Rights() (rights.Access, rights.Names) {
	n := rights.Names{App: c.App, Orders: c.Topics.Orders, Behaviors: c.Topics.Behaviors,
		Journal: c.Topics.Journal, Control: c.Topics.Control, Transfers: c.Topics.Transfers,
		DeadLetters: c.Topics.Out(schemas.DeadLetters), Group: c.Group}
	for _, t := range schemas.OutTopics {
		n.Out = append(n.Out, c.Topics.Out(t))
	}
	return rights.Access{Brokers: c.Brokers, Transport: c.Transport, Principal: c.Principal}, n
}

// Config of all tasks of one process.
type Config struct {
	App      string
	Instance string // names this process in journals and logs
	DataDir  string
	FS       vfs.FS // where DataDir lies; nil: the disk
	Brokers  []string
	// Transport is shared by all clients; it carries TLS and SASL.
	Transport *kafka.Transport
	Principal string // who we are to the cluster's authorizer, for messages; "" if not known
	Topics    Topics
	Tasks     int32
	Group     string // consumer group whose offsets show lag; "": none
	Registry  Registry
	Telemetry *telemetry.Telemetry
	Log       *slog.Logger

	TransactionTimeout time.Duration // default 10 s
	FetchMaxWait       time.Duration // default 250 ms
	PartitionMaxBytes  int32         // default 1 MiB
	QueueRecords       int           // decoded records that may wait per input; default 32,000
	MaxDelay           time.Duration // triggers wait so long for company; up to 1 ms, the default: not at all
	QueueBytes         int           // and their bytes, in memory; default 32 MiB
	IdleDelay          time.Duration // commit at least so often while records are taken; default 1 s
	BeatDelay          time.Duration // and so often when only the clock moves; default 10 s
	ProbeEvery         time.Duration // how often the ends of the inputs are asked for; default 100 ms
	MaxEvents          int           // records of one commit; default 150,000
	MaxTriggers        int           // records published in one commit; default 20,000
	MaxBytes           int           // bytes published in one commit; default 8 MiB
	CacheBytes         int64         // decoded customers, per task; default 64 MiB / tasks owned is the caller's
	BlockCache         *pebble.Cache // shared; nil: each store its own
	MemTable           uint64
	// Checkpoints is where copies of the stores go and come from; nil: nowhere.
	Checkpoints            checkpoint.Bucket
	CheckpointEvery        time.Duration // default 10 min
	CheckpointRate         int64         // bytes a second that all tasks upload together; 0: no limit
	CheckpointKeep         int           // positions that are never collected; default 3
	CollectEvery           time.Duration // default 1 h
	BackoffMin, BackoffMax time.Duration // between two lives of a task; default 100 ms and 10 s
	// Until is where the closing tick of a history goes (clock: input); 0: each task's last event.
	Until schemas.EventTime
	// Drain brings every store to the end of its journal, and takes nothing more:
	// a task that is running then is at the end, and stays there.
	Drain bool
	// HistoryEnds are, by task, the ends of orders and behaviors that the history
	// has to reach before it is closed; nil: what is there when it is read to its end.
	HistoryEnds [][2]schemas.Offset
	// NoClosing: there was no history at the very first start, so nothing closes it.
	NoClosing bool
	// ClockLimit is how far the wall clock may be from the broker's before tasks
	// pause; 0: it is not compared.
	ClockLimit time.Duration
	// Now is the wall clock. Default time.Now.
	Now func() time.Time
	// OnCommit is told after each commit; for progress bars and tests. May be nil.
	OnCommit func(task int32, c Commit)
	// OnState is told when a task's state changes. May be nil.
	OnState func(task int32, state, detail string)

	seam *seam.Commit // the simulator's; nil but there
}

// Seam lets the simulator into the path of a commit.
func (c *Config) Seam(s *seam.Commit) { c.seam = s }

// Commit is what one commit did.
type Commit struct {
	Sequence  int64
	Events    int64
	Taken     int
	Triggers  map[schemas.Topic]int
	Kinds     map[Kind]int
	Clock     schemas.EventTime
	CaughtUp  bool // every input was read to the end that was last asked for
	Finished  bool // and, under clock: input, the closing tick is done
	Took      time.Duration
	Customers int
}

// Kind is what triggers are counted by.
type Kind struct {
	Topic        schemas.Topic
	Kind, Status string
}

func (c *Config) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(d *int, v int) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.TransactionTimeout, 10*time.Second)
	def(&c.FetchMaxWait, 250*time.Millisecond)
	def(&c.IdleDelay, time.Second)
	def(&c.BeatDelay, 10*time.Second)
	def(&c.BackoffMin, 100*time.Millisecond)
	def(&c.BackoffMax, 10*time.Second)
	def(&c.ProbeEvery, 100*time.Millisecond)
	num(&c.QueueRecords, 32_000)
	num(&c.QueueBytes, 32<<20)
	num(&c.MaxEvents, 150_000)
	num(&c.MaxTriggers, 20_000)
	num(&c.MaxBytes, 8<<20)
	if c.PartitionMaxBytes == 0 {
		c.PartitionMaxBytes = 1 << 20
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	if c.seam == nil {
		c.seam = &seam.Commit{}
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	def(&c.CheckpointEvery, 10*time.Minute)
	def(&c.CollectEvery, time.Hour)
	num(&c.CheckpointKeep, 3)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Telemetry == nil {
		c.Telemetry = telemetry.Discard()
	}
	if c.Transport == nil {
		c.Transport = &kafka.Transport{ClientID: "tidemark"}
	}
}

func (c *Config) wall() schemas.EventTime { return schemas.EventTime(c.Now().UnixMilli()) }
