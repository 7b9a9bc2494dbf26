package schemas

// Input numbers the inputs of a task. The numbers stand in journals: they never change.
type Input int32

const (
	OrderEvents Input = iota
	BehaviorEvents
	ControlInput
	TransferInput
	Inputs // how many there are
)

func (i Input) String() string {
	switch i {
	case OrderEvents:
		return "order-events"
	case BehaviorEvents:
		return "behavior-events"
	case ControlInput:
		return "control"
	case TransferInput:
		return "transfers"
	}
	return "unknown"
}

// Offset is a position in one partition of one topic: the offset of the next record to take.
type Offset int64

// ItemKind says what a journal item is. The numbers stand in journals: they never change.
type ItemKind int32

const (
	// RunItem: Count records of Input were taken, and the position moved to End.
	RunItem ItemKind = 1
	// TickItem: the clock was moved toward To. If Place is empty it got there; else
	// it stopped on the way after so many units of work (a timer fired, a customer
	// swept, a duty of the task done) as the unsigned varint in Place says, and the
	// tick goes on later.
	TickItem ItemKind = 2
	// SweepItem: the running sweep was moved on by as many customers as the
	// unsigned varint in Place says.
	SweepItem ItemKind = 3
	// MergeItem: like RunItem, but its records were merged by (occurred_at, input) with
	// those of the items that follow it, up to and with the next RunItem; records
	// without an event time (dead ones, control, transfers) come as soon as they
	// stand first.
	MergeItem ItemKind = 4
)

// JournalItem is one thing that a task took, in the order in which it took it.
type JournalItem struct {
	Kind  ItemKind  `json:"kind"`
	Input Input     `json:"input"` // RunItem
	End   Offset    `json:"end"`   // RunItem
	Count int64     `json:"count"` // RunItem: records handed to the core, dead ones included, control batches not
	Wall  EventTime `json:"wall"`  // RunItem: wall time of the fetch; TickItem: wall time at which the tick was allowed
	To    EventTime `json:"to"`    // TickItem
	Place []byte    `json:"place"`
}

// DeadMark is a record that was refused before it reached the core's own
// checks; a replay takes the verdict from here and does not decode again.
type DeadMark struct {
	Input  Input  `json:"input"`
	Offset Offset `json:"offset"`
	Step   string `json:"step"`
	Reason string `json:"reason"`
}

// InputOffset is a position on one input.
type InputOffset struct {
	Input  Input  `json:"input"`
	Offset Offset `json:"offset"`
}

// Journal is one commit of one task.
type Journal struct {
	Format          int32         `json:"format"` // of this record
	Generation      int32         `json:"generation"`
	Engine          int32         `json:"engine"` // changes whenever the same input would give other output
	Task            int32         `json:"task"`
	Sequence        int64         `json:"sequence"`      // 1, 2, 3, ...
	PreviousHash    int64         `json:"previous_hash"` // xxhash64 of the previous record's Avro bytes; 0 for the first
	PlaybookVersion string        `json:"playbook_version"`
	Starts          []InputOffset `json:"starts"` // position of every input before this commit
	Items           []JournalItem `json:"items"`
	Dead            []DeadMark    `json:"dead"`
	Clock           EventTime     `json:"clock"`        // after this commit
	Triggers        int64         `json:"triggers"`     // records published with it, journal apart
	TriggerHash     int64         `json:"trigger_hash"` // xxhash64 over topic, key and body of each, in order
	Epoch           int32         `json:"epoch"`        // producer epoch of the writer
	Writer          string        `json:"writer"`       // which process, for people
}

// Control is one decision that holds for every task: fire_from, a playbook version, new cuts.
type Control struct {
	ControlID   string    `json:"control_id"`
	Kind        string    `json:"kind"` // genesis, playbook, cuts, pause, resume, ...
	Name        string    `json:"name"`
	Version     int64     `json:"version"`
	EffectiveAt EventTime `json:"effective_at"`
	Body        []byte    `json:"body"`
	IssuedBy    string    `json:"issued_by"`
	IssuedAt    EventTime `json:"issued_at"`
}

// Transfer is a message from one task to another, exactly once by (FromTask, Sequence).
type Transfer struct {
	FromTask   int32     `json:"from_task"`
	ToTask     int32     `json:"to_task"`
	Sequence   int64     `json:"sequence"`
	Kind       string    `json:"kind"` // partial, merge, points, reward, budget
	Name       string    `json:"name"`
	CustomerID string    `json:"customer_id"`
	At         EventTime `json:"at"`
	Chunk      int32     `json:"chunk"` // 0-based
	Chunks     int32     `json:"chunks"`
	Body       []byte    `json:"body"`
}
