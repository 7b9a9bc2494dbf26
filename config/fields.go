package config

import (
	"fmt"
	"strings"
	"time"
)

// field is one row of the table: all that is known of one key.
type field struct {
	path     string
	value    any // *string, *bool, *int, *int64, *time.Duration, *[]string, *Secret, *FireFrom or *time.Time, in the Config
	kind     kind
	required bool
	min, max int64    // number; size in bytes; duration in nanoseconds
	words    []string // choice
	form     string   // text and list: what is allowed
	pattern  string   // text and list: the same for the JSON Schema, "" for none
	check    check    // text and list: nil if everything goes
	about    string   // for the example and the schema
	sample   string   // for a required field: what the example has
}

type kind uint8

const (
	textKind kind = iota
	flagKind
	numberKind
	durationKind
	sizeKind
	choiceKind
	listKind
	secretKind
	instantKind
	fireFromKind
)

// check says what is wrong with a text that is not empty, and the cure where
// it is not plain from what is allowed; "" for nothing.
type check func(string) (problem, cure string)

const (
	pathForm   = "a path"
	topicForm  = "1 to 249 letters, digits, dots, dashes and underscores"
	addrForm   = "a list of host:port, ports 1 to 65535"
	hostForm   = "a host name"
	groupForm  = "1 to 200 printable characters without spaces"
	secretForm = "the value, file:PATH or env:NAME"
)

// blocks are the paths above the fields, with what is said about them.
var blocks = []struct{ path, about string }{
	{"kafka", "The cluster that events are read from and triggers are published to."},
	{"kafka.topics", "The inputs. Both have the same number of partitions."},
	{"kafka.tls", ""},
	{"kafka.sasl", ""},
	{"kafka.sasl.oauth", "For the mechanism oauthbearer: client credentials from a token endpoint."},
	{"kafka.fetch", ""},
	{"schema_registry", "Where schemas come from: urls or folder, exactly one of them."},
	{"schema_registry.tls", "For https addresses."},
	{"store", "Memory, shared by all tasks of the process unless it says otherwise."},
	{"checkpoint", "Copies of the stores, from which a lost disk and another machine are restored."},
	{"standby", "Processes that follow tasks of others, so that they take over at once."},
	{"commit", "A transaction ends at whichever of these comes first."},
	{"http", "Metrics and health: /metrics, /healthz, /readyz. Without tokens and client certificates nobody is asked who they are."},
	{"http.tls", "HTTPS, and client certificates."},
	{"log", "Logs go to standard error."},
	{"history", "What becomes of events from before the first start."},
	{"restart", "How long a failed task waits before it is tried again; doubles from min to max."},
}

// fields is the table, in the order of the example.
func (c *Config) fields() []field {
	k, r := &c.Kafka, &c.SchemaRegistry
	list := []field{
		{path: "app", value: &c.App, required: true, check: isApp, form: "1 to 40 of a-z, 0-9 and dashes", pattern: "^[a-z0-9-]{1,40}$", sample: "my-shop",
			about: "Name of this installation. It is part of internal topics, transactional ids and every trigger_id: never change it."},
		{path: "instance", value: &c.Instance, check: isName(128), form: "1 to 128 letters, digits, dots, dashes and underscores", pattern: "^[A-Za-z0-9._-]{0,128}$",
			about: "Name of this process in the journal. Empty: HOSTNAME-PID. Production: a name that stays, such as the pod's."},
		{path: "data_dir", value: &c.DataDir, form: pathForm,
			about: "Folder of the stores. Production: a local SSD; what is lost here is rebuilt from the journal."},
		{path: "playbook", value: &c.Playbook, form: pathForm,
			about: "Path of the playbook; `tidemark run` needs it."},

		{path: "kafka.brokers", value: &k.Brokers, kind: listKind, required: true, check: isBroker, form: addrForm, pattern: `^[^\s,/@]+:[0-9]{1,5}$`, sample: "localhost:9092",
			about: "Brokers to ask first, host:port. Production: three of them."},
		{path: "kafka.client_id", value: &k.ClientID, check: isGroup, form: groupForm,
			about: "What brokers log and count quotas by. Empty: tidemark-APP."},
		{path: "kafka.group", value: &k.Group, check: isGroup, form: groupForm,
			about: "Consumer group, the same for all processes of one app. Empty: tidemark-APP."},
		{path: "kafka.topics.orders", value: &k.Topics.Orders, check: isTopic, form: topicForm, pattern: topicPattern,
			about: "Topic of order events."},
		{path: "kafka.topics.behaviors", value: &k.Topics.Behaviors, check: isTopic, form: topicForm, pattern: topicPattern,
			about: "Topic of behavior events."},
		{path: "kafka.out_prefix", value: &k.OutPrefix, check: isPrefix, form: "up to 200 letters, digits, dots, dashes and underscores", pattern: "^[A-Za-z0-9._-]{0,200}$",
			about: "Stands before the names of all out topics."},
		number("kafka.replication_factor", &k.ReplicationFactor, -1, 100, "Of topics that Tidemark creates; -1: the broker's own default. Production: 3."),
		number("kafka.min_insync_replicas", &k.MinInsyncReplicas, 1, 100, "Of topics that Tidemark creates. Production: 2."),
		boolean("kafka.create_topics", &k.CreateTopics, "Create missing topics at the start. Production: false where others make them; they are checked in any case."),
		choice("kafka.partitioner", &k.Partitioner, "How producers choose partitions; librdkafka needs partitioner=murmur2_random to agree.", "murmur2"),
		boolean("kafka.tls.enabled", &k.TLS.Enabled, "Speak TLS to the brokers. Production: true."),
	}
	list = append(list, tlsFields("kafka.tls.", &k.TLS.TLS)...)
	list = append(list, saslFields(&k.SASL)...)
	list = append(list,
		duration("kafka.dial_timeout", &k.DialTimeout, 100*time.Millisecond, time.Minute, "Bounds connecting: TCP, TLS and SASL together."),
		duration("kafka.session_timeout", &k.SessionTimeout, time.Second, 30*time.Minute, "A process silent for so long loses its tasks. Brokers refuse less than 6s and more than 30m unless told otherwise."),
		duration("kafka.heartbeat_interval", &k.HeartbeatInterval, 50*time.Millisecond, 10*time.Minute, "Less than a third of session_timeout."),
		duration("kafka.rebalance_timeout", &k.RebalanceTimeout, time.Second, time.Hour, "How long a hand-over of tasks may take; not below session_timeout and transaction_timeout."),
		duration("kafka.fetch.max_wait", &k.Fetch.MaxWait, time.Millisecond, 5*time.Second, "How long a broker holds a fetch that finds nothing."),
		size("kafka.fetch.partition_max_bytes", &k.Fetch.PartitionMaxBytes, 64<<10, 256<<20, "Of one partition in one response. Memory: this times the partitions of a process."),
		size("kafka.fetch.buffer", &k.Fetch.Buffer, 1<<20, 1<<40, "Records read and decoded ahead of the tasks, shared by all; an input over its share is not fetched until half of it is taken."),
		duration("kafka.transaction_timeout", &k.TransactionTimeout, time.Second, 15*time.Minute, "An orphaned transaction blocks readers for so long. At least 3 times max_delay and idle_delay of commit."),

		field{path: "schema_registry.urls", value: &r.URLs, kind: listKind, check: isURL, form: "a list of http:// or https:// addresses", pattern: "^https?://[^\\s,@]+$", sample: "http://localhost:8081",
			about: "Addresses of one registry, asked in this order. Production: https, all of its nodes."},
		field{path: "schema_registry.folder", value: &r.Folder, form: pathForm,
			about: "Folder of .avsc files, instead of urls."},
		field{path: "schema_registry.username", value: &r.Username, form: "a user name",
			about: "With password for basic authentication; or bearer_token."},
		field{path: "schema_registry.password", value: &r.Password, kind: secretKind},
		field{path: "schema_registry.bearer_token", value: &r.BearerToken, kind: secretKind},
		boolean("schema_registry.auto_register", &r.AutoRegister, "Register Tidemark's own schemas. Production: false where a pipeline does that."),
		choice("schema_registry.subjects", &r.Subjects, "Naming strategy of the subjects that Tidemark registers or looks up; reading goes by id alone.", "topic", "record", "topic-record"),
	)
	list = append(list, tlsFields("schema_registry.tls.", &r.TLS)...)
	return append(list,
		size("store.cache", &c.Store.Cache, 1<<20, 1<<40, "Blocks read from disk. Production: as much as can be spared, 1GiB and up."),
		size("store.memtable", &c.Store.Memtable, 1<<20, 1<<30, "Not yet on disk, per task. Production: 64MiB."),
		size("store.customer_cache", &c.Store.CustomerCache, 1<<20, 1<<40, "Decoded rows of customers seen lately. Production: 512MiB for a million active customers."),
		field{path: "checkpoint.url", value: &c.Checkpoint.URL, check: isBucket, form: "file:///PATH, s3://BUCKET?region=REGION, s3://BUCKET?endpoint=http://HOST:PORT or off", pattern: `^(off|file:///\S+|file://\./\S+|s3://\S+)?$`,
			about: "Folder or bucket. Empty: the folder checkpoints in data_dir; off: none. Credentials of S3 come as for all programs: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, the machine's role. Production: a bucket that all processes share."},
		duration("checkpoint.interval", &c.Checkpoint.Interval, 100*time.Millisecond, 7*24*time.Hour, "Between two checkpoints of a task. The retention of the inputs must be longer."),
		size("checkpoint.rate", &c.Checkpoint.Rate, 64<<10, 1<<40, "Bytes a second that all tasks of the process upload together."),
		number("checkpoint.keep", &c.Checkpoint.Keep, 1, 1000, "Positions of a task that stay whatever their age; nothing younger than a day is removed in any case."),
		number("standby.copies", &c.Standby.Copies, 0, 10, "Other processes that follow each task; the same in all processes. Production: 1."),
		duration("commit.max_delay", &c.Commit.MaxDelay, time.Millisecond, time.Minute, "How long triggers wait for company, 1 ms: not at all. While a commit is under way they wait for it in any case."),
		duration("commit.idle_delay", &c.Commit.IdleDelay, time.Millisecond, time.Hour, "The same for events that triggered nothing; not below max_delay."),
		number("commit.max_events", &c.Commit.MaxEvents, 1, 10_000_000, "Events in one transaction."),
		number("commit.max_triggers", &c.Commit.MaxTriggers, 1, 25_000, "Triggers in one transaction. More might not fit into one record of the journal."),
		size("commit.max_bytes", &c.Commit.MaxBytes, 64<<10, 256<<20, "Bytes of triggers in one transaction."),
		field{path: "http.listen", value: &c.HTTP.Listen, check: isListen, form: "host:port or off", pattern: `^(off|\S*:[0-9]{1,5})$`,
			about: "host:port, or off. Production: :9464 with tokens or client certificates, and tls."},
		boolean("http.allow_remote", &c.HTTP.AllowRemote, "Must be true for an address that is not loopback where nobody is asked who they are. Production: false."),
		field{path: "http.read_token", value: &c.HTTP.ReadToken, kind: secretKind,
			about: "Who bears it may read metrics and what tasks wait for; 16 bytes or more. Production: file: or env:."},
		field{path: "http.operate_token", value: &c.HTTP.OperateToken, kind: secretKind,
			about: "Who bears it may operate too, and read. Not the same as read_token."},
		field{path: "http.tls.cert_file", value: &c.HTTP.TLS.CertFile, form: pathForm, about: "The endpoint's own certificate, PEM; with key_file. Production: set."},
		field{path: "http.tls.key_file", value: &c.HTTP.TLS.KeyFile, form: pathForm, about: "Readable by Tidemark's user alone."},
		field{path: "http.tls.client_ca_file", value: &c.HTTP.TLS.ClientCAFile, form: pathForm, about: "Authorities, PEM, whose client certificates may read."},
		field{path: "http.tls.operators", value: &c.HTTP.TLS.Operators, kind: listKind, check: isOperator, form: "a list of names as they stand in certificates", pattern: "^[^,]{1,256}$",
			about: "Names in client certificates (common name, DNS name or URI) that may operate too."},
		choice("log.level", &c.Log.Level, "", "debug", "info", "warn", "error"),
		choice("log.format", &c.Log.Format, "Production: json.", "text", "json"),
		field{path: "history.fire_from", value: &c.History.FireFrom, kind: fireFromKind,
			about: "Triggers that took effect earlier are suppressed, not sent: now, beginning or an instant such as 2024-01-31T00:00:00Z. Counts at the very first start only."},
		field{path: "history.until", value: &c.History.Until, kind: instantKind,
			about: "Where a run over history ends; empty: it does not. Only for playbooks with clock: input."},
		duration("restart.backoff_min", &c.Restart.BackoffMin, time.Millisecond, time.Hour, ""),
		duration("restart.backoff_max", &c.Restart.BackoffMax, time.Millisecond, time.Hour, ""),
	)
}

func tlsFields(at string, t *TLS) []field {
	return []field{
		{path: at + "ca_file", value: &t.CAFile, form: pathForm, about: "Authorities to trust, PEM. Empty: the system's."},
		{path: at + "cert_file", value: &t.CertFile, form: pathForm, about: "The client's own certificate, PEM, for mTLS; with key_file."},
		{path: at + "key_file", value: &t.KeyFile, form: pathForm, about: "Readable by Tidemark's user alone."},
		{path: at + "server_name", value: &t.ServerName, form: hostForm, about: "What the server's certificate must be for. Empty: the host that was dialled."},
		boolean(at+"insecure_skip_verify", &t.InsecureSkipVerify, "Accept any certificate. Production: never."),
	}
}

func boolean(path string, value *bool, about string) field {
	return field{path: path, value: value, kind: flagKind, about: about}
}

func number(path string, value *int, min, max int64, about string) field {
	return field{path: path, value: value, kind: numberKind, min: min, max: max, about: about}
}

func duration(path string, value *time.Duration, min, max time.Duration, about string) field {
	return field{path: path, value: value, kind: durationKind, min: int64(min), max: int64(max), about: about}
}

func size(path string, value *int64, min, max int64, about string) field {
	return field{path: path, value: value, kind: sizeKind, min: min, max: max, about: about}
}

func choice(path string, value *string, about string, words ...string) field {
	return field{path: path, value: value, kind: choiceKind, words: words, about: about}
}

// optional reports whether an empty text means that nothing is said. A field
// with a default is not optional: empty would be neither.
func (f *field) optional() bool {
	switch f.kind {
	case textKind:
		return !f.required && (f.path == "kafka.out_prefix" || f.shown(Default()) == "")
	case secretKind, instantKind:
		return true
	case listKind:
		return !f.required
	}
	return false
}

// shown returns what f's field holds in another Config.
func (f *field) shown(c *Config) string {
	for _, g := range c.fields() {
		if g.path == f.path {
			return g.text()
		}
	}
	return ""
}

// allowed says what may stand there.
func (f *field) allowed() string {
	switch f.kind {
	case flagKind:
		return "true or false"
	case numberKind:
		return fmt.Sprintf("a whole number from %d to %d", f.min, f.max)
	case durationKind:
		return fmt.Sprintf("a duration from %s to %s", formatDuration(time.Duration(f.min)), formatDuration(time.Duration(f.max)))
	case sizeKind:
		return fmt.Sprintf("a size from %s to %s", formatSize(f.min), formatSize(f.max))
	case choiceKind:
		return strings.Join(f.words, ", ")
	case secretKind:
		return secretForm
	case instantKind:
		return "an instant such as 2024-01-31T00:00:00Z"
	case fireFromKind:
		return "now, beginning or an instant such as 2024-01-31T00:00:00Z"
	}
	return f.form
}

// variable returns the name of the environment variable for a path.
func variable(path string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "__"))
}

const prefix = "TIDEMARK_"
