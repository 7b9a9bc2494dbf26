package config

import (
	"log/slog"
	"time"
)

// Config is everything one process is told. The zero Config is not usable: take
// Default, or Load. Durations are whole milliseconds, sizes are bytes. What is
// said of production is advice; the defaults fit a laptop.
type Config struct {
	// App names this installation: it is part of the internal topics, the
	// transactional ids and every trigger_id, so it must never change. Required,
	// 1 to 40 of a-z, 0-9 and dashes.
	App string
	// Instance is the writer's name in the journal. Load fills in HOSTNAME-PID.
	// Production: a name that stays, such as the pod's.
	Instance string
	// DataDir holds the stores. Production: a local SSD with room for the state.
	DataDir string
	// Playbook is the path of the playbook; `run` needs it.
	Playbook string

	Kafka          Kafka
	SchemaRegistry SchemaRegistry
	Store          Store
	Checkpoint     Checkpoint
	Standby        Standby
	Commit         Commit
	HTTP           HTTP
	Log            Log
	History        History
	Restart        Restart

	file    string           // as given to Load
	origins map[string]place // field path: where its value was given
	strays  []string         // variables that set nothing, in words
}

// Kafka says which cluster, as whom, and with which limits.
type Kafka struct {
	// Brokers to ask first, host:port. Required. Production: three of them.
	Brokers []string
	// ClientID is what brokers log and count quotas by. Load fills in tidemark-APP.
	ClientID string
	// Group says who should own a task. Load fills in tidemark-APP. All processes
	// of one app share it.
	Group  string
	Topics Topics
	// OutPrefix stands before the names of all out topics.
	OutPrefix string
	// ReplicationFactor of topics that Tidemark creates; -1 for the broker's own
	// default. Production: 3.
	ReplicationFactor int
	// MinInsyncReplicas of topics that Tidemark creates, 1 or more. Production: 2.
	MinInsyncReplicas int
	// CreateTopics lets `run` create what is missing. Production: false where
	// topics are made by others; they are checked in any case.
	CreateTopics bool
	// Partitioner of the producers of the input topics; only murmur2 for now.
	Partitioner string
	TLS         KafkaTLS
	SASL        SASL
	// DialTimeout bounds connecting: TCP, TLS and SASL together.
	DialTimeout time.Duration
	// SessionTimeout after which the group takes a silent member's tasks away.
	// The broker's group.min.session.timeout.ms (6 s) and its maximum bound it.
	SessionTimeout time.Duration
	// HeartbeatInterval must be below a third of SessionTimeout.
	HeartbeatInterval time.Duration
	// RebalanceTimeout is how long a hand-over may take.
	RebalanceTimeout time.Duration
	Fetch            Fetch
	// TransactionTimeout is how long an orphaned transaction may block readers.
	TransactionTimeout time.Duration
}

// Topics are the inputs. Both need the same partition count.
type Topics struct {
	Orders    string
	Behaviors string
}

// TLS is a client's side of TLS. Files are PEM.
type TLS struct {
	// CAFile holds the authorities that are trusted; "" for the system's.
	CAFile string
	// CertFile and KeyFile are the client's own, for mTLS; both or none.
	CertFile string
	KeyFile  string
	// ServerName is what the server's certificate must be for; "" for the host
	// that was dialled.
	ServerName string
	// InsecureSkipVerify accepts any certificate. Production: never.
	InsecureSkipVerify bool
}

// KafkaTLS is TLS that has to be switched on.
type KafkaTLS struct {
	Enabled bool
	TLS
}

// Fetch bounds what is asked of a broker at once.
type Fetch struct {
	// MaxWait is how long a broker holds a fetch without data.
	MaxWait time.Duration
	// PartitionMaxBytes bounds what one response gives of one partition.
	PartitionMaxBytes int64
	// Buffer bounds what is read ahead and not taken yet, of all tasks together.
	Buffer int64
}

// SchemaRegistry says where schemas come from: URLs or Folder, exactly one.
type SchemaRegistry struct {
	// URLs of one registry, asked in this order.
	URLs []string
	// Folder of .avsc files, instead of a registry.
	Folder string
	// Username and Password for basic authentication, or BearerToken.
	Username    string
	Password    Secret
	BearerToken Secret
	// AutoRegister lets Tidemark register its own schemas. Production: false
	// where a pipeline does that.
	AutoRegister bool
	// Subjects is the naming strategy for Tidemark's own schemas: topic, record or
	// topic-record.
	Subjects string
	TLS      TLS // for https addresses
}

// Store is memory that the tasks of a process share, in bytes.
type Store struct {
	// Cache for blocks read from disk. Production: as much as can be spared.
	Cache int64
	// Memtable for what is not yet on disk, per task.
	Memtable int64
	// CustomerCache for decoded rows of customers seen lately.
	CustomerCache int64
}

// Checkpoint says where copies of the stores go, and how fast.
type Checkpoint struct {
	// URL of the folder or bucket, see package blobs; "off": none; "": a folder
	// named checkpoints in DataDir. Production: a bucket that all processes share.
	URL string
	// Interval between two checkpoints of a task.
	Interval time.Duration
	// Rate in bytes a second that all tasks of the process upload together.
	Rate int64
	// Keep is how many positions of a task are never collected.
	Keep int
}

// Standby says how many processes beside the owner follow each task.
type Standby struct {
	// Copies of each task; 0: none. Production: 1. The same in all processes.
	Copies int
}

// Commit says when a task ends a transaction: at whichever limit comes first.
type Commit struct {
	// MaxDelay is how long triggers may wait for company; 1 ms: not at all. While a
	// commit is under way they wait for it in any case.
	MaxDelay time.Duration
	// IdleDelay is the same for events that triggered nothing.
	IdleDelay time.Duration
	// MaxEvents, MaxTriggers and MaxBytes (of triggers) bound one transaction.
	MaxEvents   int
	MaxTriggers int
	MaxBytes    int64
}

// HTTP is the endpoint for metrics, health and operation.
type HTTP struct {
	// Listen is host:port, or "off".
	Listen string
	// AllowRemote must be true for a Listen that is not loopback and has neither
	// tokens nor client certificates.
	AllowRemote bool
	// ReadToken and OperateToken let their bearers in; 16 bytes or more. Operate
	// includes read.
	ReadToken    Secret
	OperateToken Secret
	TLS          HTTPTLS
}

// Asks reports whether anybody has to say who they are.
func (h *HTTP) Asks() bool {
	return h.ReadToken.IsSet() || h.OperateToken.IsSet() || h.TLS.ClientCAFile != ""
}

// HTTPTLS is a server's side of TLS. Files are PEM.
type HTTPTLS struct {
	// CertFile and KeyFile are the server's own; both or none. With them the
	// endpoint speaks HTTPS alone.
	CertFile string
	KeyFile  string
	// ClientCAFile holds the authorities whose client certificates may read.
	ClientCAFile string
	// Operators are the names in client certificates that may operate too: common
	// name, DNS name or URI.
	Operators []string
}

// Log is what goes to standard error.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json. Production: json
}

// SlogLevel is Level for log/slog; info where Level is none of its words.
func (l Log) SlogLevel() slog.Level {
	switch l.Level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// History says what becomes of events from before the first start.
type History struct {
	// FireFrom: what took effect earlier is suppressed, not sent. It counts at the
	// very first start; from then on the control topic has it.
	FireFrom FireFrom
	// Until is where a run over history ends; the zero time: it does not end.
	// Only for playbooks with `clock: input`, see CheckClock.
	Until time.Time
}

// Restart is how long a task that failed waits before it is tried again; the
// wait doubles from BackoffMin up to BackoffMax.
type Restart struct {
	BackoffMin time.Duration
	BackoffMax time.Duration
}

// Default returns what holds where nothing is said. It lacks what has no
// default: App, Kafka.Brokers, and a registry or a folder. Instance, ClientID
// and Group are empty: Load derives them.
func Default() *Config {
	return &Config{
		DataDir: "./tidemark-data",
		Kafka: Kafka{
			Topics:             Topics{Orders: "order-events", Behaviors: "behavior-events"},
			ReplicationFactor:  1,
			MinInsyncReplicas:  1,
			CreateTopics:       true,
			Partitioner:        "murmur2",
			SASL:               SASL{Mechanism: SASLNone},
			DialTimeout:        5 * time.Second,
			SessionTimeout:     10 * time.Second,
			HeartbeatInterval:  3 * time.Second,
			RebalanceTimeout:   30 * time.Second,
			Fetch:              Fetch{MaxWait: 250 * time.Millisecond, PartitionMaxBytes: 1 << 20, Buffer: 256 << 20},
			TransactionTimeout: 10 * time.Second,
		},
		SchemaRegistry: SchemaRegistry{AutoRegister: true, Subjects: "topic"},
		Store:          Store{Cache: 64 << 20, Memtable: 16 << 20, CustomerCache: 64 << 20},
		Checkpoint:     Checkpoint{Interval: 10 * time.Minute, Rate: 32 << 20, Keep: 3},
		Commit: Commit{MaxDelay: time.Millisecond, IdleDelay: time.Second,
			MaxEvents: 150_000, MaxTriggers: 20_000, MaxBytes: 8 << 20},
		HTTP:    HTTP{Listen: "127.0.0.1:9464"},
		Log:     Log{Level: "info", Format: "text"},
		History: History{FireFrom: FireFrom{Kind: FireNow}},
		Restart: Restart{BackoffMin: 100 * time.Millisecond, BackoffMax: 10 * time.Second},
	}
}
