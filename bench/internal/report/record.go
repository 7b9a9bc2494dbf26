// Package report is the record of a bench: JSON that is kept, and the table
// that people read. Units stand in the names of the fields.
package report

// Record is one run of the bench. Fields are only added.
type Record struct {
	Date     string   `json:"date"` // RFC 3339, UTC
	Version  string   `json:"version"`
	Note     string   `json:"note,omitempty"` // what else ran
	Machine  Machine  `json:"machine"`
	Broker   string   `json:"broker"`
	Playbook string   `json:"playbook_version"`
	Settings []string `json:"settings,omitempty"` // TIDEMARK_* of the environment

	Throughput []Throughput `json:"throughput,omitempty"`
	Latency    []Latency    `json:"latency,omitempty"`
	Replay     []Replay     `json:"replay,omitempty"`
	Restart    []Restart    `json:"restart,omitempty"`
	Restore    []Restore    `json:"restore,omitempty"`
	Peers      []Peer       `json:"peers,omitempty"`
	Scale      []Scale      `json:"scale,omitempty"`
	Silence    []Silence    `json:"silence,omitempty"`
	TakeOver   []TakeOver   `json:"take_over,omitempty"`
}

// TakeOver is what follows kill -9 of one of two members of a group that follow
// each other's tasks, under load.
type TakeOver struct {
	Customers      int     `json:"customers"`
	Rate           int     `json:"events_per_second"`
	SessionTimeout float64 `json:"session_timeout_seconds"`
	Tasks          int     `json:"tasks"`                   // of the killed member
	Ready          float64 `json:"seconds_to_ready"`        // from the kill until the other has all tasks running
	FirstCommit    float64 `json:"seconds_to_first_commit"` // until each of these tasks has committed
	OthersCores    float64 `json:"others_cores"`
}

// Machine is where it ran.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	Kernel      string `json:"kernel"`
	Go          string `json:"go"`
	LoadBefore  string `json:"load_average_before"`
}

// Load is the events of a measurement.
type Load struct {
	Customers  int     `json:"customers"`
	Events     int     `json:"events"`      // measured
	WarmEvents int     `json:"warm_events"` // before them: one order of each customer
	Zipf       float64 `json:"zipf,omitempty"`
	Partitions int32   `json:"partitions"`
	Seed       uint64  `json:"seed"`
}

// Phase is a stretch of a run.
type Phase struct {
	Events               float64 `json:"events"`
	Seconds              float64 `json:"seconds"`
	EventsPerSecond      float64 `json:"events_per_second"`
	CPUSeconds           float64 `json:"cpu_seconds"`
	CPUSecondsPerMillion float64 `json:"cpu_seconds_per_million_events"`
	TriggersPerEvent     float64 `json:"triggers_per_event"`
	AllocsPerEvent       float64 `json:"allocs_per_event"`
	AllocBytesPerEvent   float64 `json:"alloc_bytes_per_event"`
	// BrokerCPUSeconds is the broker's alone; OthersCores how many cores
	// everybody else on the machine kept busy meanwhile, the bench included.
	BrokerCPUSeconds float64 `json:"broker_cpu_seconds"`
	OthersCores      float64 `json:"others_cores"`
}

// Throughput is a backlog worked off by one process.
type Throughput struct {
	Load
	Whole  Phase `json:"whole"`  // from exec to the last event's commit
	Steady Phase `json:"steady"` // after the warm-up
	// CPU of the whole, by kind: what rusage counts for that process alone.
	CPUUserSeconds   float64            `json:"cpu_user_seconds"`
	CPUSystemSeconds float64            `json:"cpu_system_seconds"`
	PeakRSSBytes     int64              `json:"peak_rss_bytes"`
	Triggers         map[string]float64 `json:"triggers_by_topic"`
	Suppressed       float64            `json:"suppressed"`
	DeadLetters      float64            `json:"dead_letters"`
	Commits          float64            `json:"commits"`
	TimersFired      float64            `json:"timers_fired"`
	StoredCustomers  int64              `json:"stored_customers"`
	Orders           int64              `json:"stored_orders"`
	Timers           int64              `json:"stored_timers"`
	RowBytes         int64              `json:"stored_row_bytes"`
	DiskRunningBytes int64              `json:"disk_bytes_running"`
	DiskStoppedBytes int64              `json:"disk_bytes_stopped"`
	DiskGoalBytes    int64              `json:"disk_bytes_goal"` // 100 a customer, 25 an order, 12 a timer
	JournalRecords   int64              `json:"journal_records"`
	JournalBytes     int64              `json:"journal_bytes"`
	JournalPerEvent  float64            `json:"journal_bytes_per_event"`
	PublishSeconds   float64            `json:"publish_seconds"`
	PublishBrokerCPU float64            `json:"publish_broker_cpu_seconds"`
	Profiles         []string           `json:"profiles,omitempty"`
}

// Latency is from the instant at which an event should have been published to
// the instant at which a read_committed consumer holds the trigger.
type Latency struct {
	EventsPerSecond int     `json:"events_per_second"`
	Marked          int     `json:"marked"` // events whose trigger is waited for
	Received        int     `json:"received"`
	Twice           int     `json:"received_twice"`
	Seconds         float64 `json:"seconds"`
	P50             float64 `json:"p50_ms"`
	P90             float64 `json:"p90_ms"`
	P99             float64 `json:"p99_ms"`
	P999            float64 `json:"p99_9_ms"`
	Max             float64 `json:"max_ms"`
	// PublishP99 is the same clock up to the broker's acknowledgement of the event.
	PublishP50           float64 `json:"publish_p50_ms"`
	PublishP99           float64 `json:"publish_p99_ms"`
	CPUSecondsPerMillion float64 `json:"cpu_seconds_per_million_events"`
	CPUCores             float64 `json:"cpu_cores"`
	BrokerCores          float64 `json:"broker_cores"`
	JournalBytesPerEvent float64 `json:"journal_bytes_per_event"`
	OthersCores          float64 `json:"others_cores"`
}

// Replay is files in, triggers counted.
type Replay struct {
	Customers       int     `json:"customers"`
	Events          int     `json:"events"`
	FileBytes       int64   `json:"file_bytes"`
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"events_per_second"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	CPUPerMillion   float64 `json:"cpu_seconds_per_million_events"`
	PeakRSSBytes    int64   `json:"peak_rss_bytes"`
	Triggers        float64 `json:"triggers"`
	OthersCores     float64 `json:"others_cores"`
}

// Restart is what follows a kill -9 under load.
type Restart struct {
	Customers   int     `json:"customers"`
	KilledAt    float64 `json:"events_when_killed"`
	FirstEvent  float64 `json:"seconds_to_first_event"` // exec to the first commit seen that takes new events
	Ready       float64 `json:"seconds_to_ready"`       // exec to /readyz 200
	CaughtUp    float64 `json:"seconds_to_caught_up"`
	Behind      float64 `json:"events_behind"`
	OthersCores float64 `json:"others_cores"`
}

// Restore is what follows the loss of a disk: a new process, an empty folder,
// checkpoints in a folder of the same machine or where Address says.
type Restore struct {
	Customers      int     `json:"customers"`
	Address        string  `json:"checkpoint_url,omitempty"` // without what follows the bucket
	Bytes          int64   `json:"checkpoint_bytes"`         // of all tasks
	CheckpointTook float64 `json:"seconds_to_checkpoint"`    // until all tasks had one, under the limit of checkpoint.rate
	Ready          float64 `json:"seconds_to_ready"`         // exec to /readyz 200
	OthersCores    float64 `json:"others_cores"`
}

// Peer is a backlog worked off by Tidemark or by another program that does the
// same job, on the same topic of the same broker, one after the other.
type Peer struct {
	Load
	Program      string  `json:"program"`
	Settings     string  `json:"program_settings,omitempty"`
	Round        int     `json:"round"` // rounds alternate who goes first
	Whole        Phase   `json:"whole"`
	Steady       Phase   `json:"steady"`
	Second       Phase   `json:"second_half"` // of the measured events: a JVM is warm by then
	Triggers     float64 `json:"triggers"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
	DiskBytes    int64   `json:"disk_bytes"`
}

// Scale is a backlog worked off by several processes of one group, or by one
// alone. CPU, memory and disk are the sums of all.
type Scale struct {
	Load
	Processes    int   `json:"processes"`
	Whole        Phase `json:"whole"`
	Steady       Phase `json:"steady"`
	PeakRSSBytes int64 `json:"peak_rss_bytes"`
	DiskBytes    int64 `json:"disk_bytes"`
}

// Silence is from the instant at which a silence may be told, its due time and
// the playbook's publish_delay, to when a read_committed consumer holds it.
type Silence struct {
	Armed       int     `json:"timers_armed"`
	Due         int     `json:"due_within_one_second"`
	Received    int     `json:"received"`
	Twice       int     `json:"received_twice"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
	OthersCores float64 `json:"others_cores"`
}
