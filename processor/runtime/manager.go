package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"tidemark/processor/core"
	"tidemark/processor/group"
	"tidemark/schemas"
	"tidemark/state"
	"tidemark/state/checkpoint"
	"tidemark/telemetry"
)

// Manager runs the tasks that are assigned to this process.
type Manager struct {
	cfg     Config
	ids     *schemaIDs
	readers *readers
	halted  atomic.Pointer[error] // why no task may run any more; nil: they may

	mu      sync.Mutex
	tasks   map[int32]*runner
	shelves map[int32]*shelf
	saving  chan struct{}
	uploads *rate.Limiter
	warm    map[int32]int64 // positions of the stores on this disk; nil: not looked yet
	assign  group.Assignment
	offsets map[int32][schemas.Inputs]schemas.Offset
}

type runner struct {
	cancel context.CancelFunc
	done   chan struct{}
	role   role               // of the life that it lives
	end    context.CancelFunc // ends that life; nil: between two
}

// role is what this process does for a task.
type role uint8

const (
	none role = iota
	own
	follow
)

// NewManager registers the schemas of all topics and is ready for assignments.
// The topics exist already; see Prepare.
func NewManager(ctx context.Context, cfg Config) (*Manager, error) {
	cfg.defaults()
	ids, err := register(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	return &Manager{cfg: cfg, ids: ids, tasks: map[int32]*runner{}, shelves: map[int32]*shelf{}, saving: make(chan struct{}, 1), uploads: checkpoint.NewLimit(cfg.CheckpointRate), offsets: map[int32][schemas.Inputs]schemas.Offset{},
		readers: &readers{reg: cfg.Registry, byID: map[readerKey]reader{}}}, nil
}

// Owned lists the tasks that run here; standbys are not among them.
func (m *Manager) Owned() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int32
	for t, r := range m.tasks {
		if r.role == own {
			out = append(out, t)
		}
	}
	return out
}

// Warm says where the copies of stores on this disk stand, those of tasks that
// run here included. The group places tasks and standbys by it.
func (m *Manager) Warm() map[int32]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.warm == nil {
		m.warm = map[int32]int64{}
		for task := range m.cfg.Tasks {
			dir := storeDir(&m.cfg, task)
			if _, err := m.cfg.FS.Stat(dir); err != nil || m.shelves[task] != nil {
				continue
			}
			// What can't be read is no copy; opening it will say so.
			if p, err := state.PositionOf(dir, state.Options{FS: m.cfg.FS, Cache: m.cfg.BlockCache}); err == nil {
				m.warm[task] = p.Sequence
			}
		}
	}
	out := maps.Clone(m.warm)
	for task, sh := range m.shelves {
		out[task] = sh.at.Load()
	}
	return out
}

// roleOf must be called with mu held.
func (m *Manager) roleOf(task int32) role {
	if slices.Contains(m.assign.Tasks, task) {
		return own
	}
	if slices.Contains(m.assign.Standbys, task) {
		return follow
	}
	return none
}

// vouched waits until the group vouches for an assignment again; a process
// that was cut off from it must not take tasks back from their new owners.
func (m *Manager) vouched(ctx context.Context) {
	for ctx.Err() == nil {
		m.mu.Lock()
		done := m.assign.Done
		m.mu.Unlock()
		select {
		case <-done: // ended; a nil channel never is
		default:
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Assign starts what is new and lets go of what is gone. It does not block.
func (m *Manager) Assign(ctx context.Context, a group.Assignment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assign = a
	for t, r := range m.tasks {
		switch want := m.roleOf(t); {
		case want == none:
			r.cancel()
		case want != r.role && r.end != nil:
			r.end() // the next life has the other role, and the same open store
		}
	}
	for _, t := range slices.Concat(a.Tasks, a.Standbys) {
		// The group gives out partitions that were added to a topic since; they
		// are no tasks, see WatchPartitions.
		if m.tasks[t] == nil && t < m.cfg.Tasks {
			m.start(ctx, t)
		}
	}
	m.cfg.Log.Info("assignment", "generation", a.Generation, "tasks", a.Tasks, "standbys", a.Standbys)
}

// start must be called with mu held.
func (m *Manager) start(ctx context.Context, task int32) {
	tctx, cancel := context.WithCancel(ctx)
	r := &runner{cancel: cancel, done: make(chan struct{})}
	m.tasks[task] = r
	// Here and not in the goroutine: a process that has just been given tasks is not ready.
	m.cfg.Telemetry.Tasks.Set(task, telemetry.TaskStatus{State: telemetry.Restoring, Since: m.cfg.Now()})
	go func() {
		defer close(r.done)
		m.runTask(tctx, task)
		cancel()
		m.mu.Lock()
		delete(m.tasks, task)
		// It may have come back while it was being let go.
		if m.roleOf(task) != none && ctx.Err() == nil {
			m.start(ctx, task)
		}
		m.mu.Unlock()
	}()
}

// Wait waits until no task runs.
func (m *Manager) Wait() {
	for {
		m.mu.Lock()
		var one *runner
		for _, r := range m.tasks {
			one = r
		}
		m.mu.Unlock()
		if one == nil {
			return
		}
		<-one.done
	}
}

// note keeps the positions for the group's offsets.
func (m *Manager) note(task int32, in [schemas.Inputs]schemas.Offset) {
	m.mu.Lock()
	m.offsets[task] = in
	m.mu.Unlock()
}

// CommitOffsets stores the positions in the group every so often, until ctx
// ends. Only lag tools read them; resetting them has no effect.
func (m *Manager) CommitOffsets(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		m.mu.Lock()
		commit := m.assign.Commit
		all := map[string]map[int]int64{}
		for _, task := range m.assign.Tasks {
			in, ok := m.offsets[task]
			if !ok {
				continue
			}
			for _, i := range [...]schemas.Input{schemas.OrderEvents, schemas.BehaviorEvents} {
				topic := m.cfg.Topics.input(i)
				if all[topic] == nil {
					all[topic] = map[int]int64{}
				}
				all[topic][int(task)] = int64(in[i])
			}
		}
		clear(m.offsets)
		m.mu.Unlock()
		if commit == nil || len(all) == 0 {
			continue
		}
		if err := commit(all); err != nil {
			m.cfg.Log.Debug("offsets for lag tools not stored", "err", err)
		}
	}
}

// ranBefore says whether the group knows that a task ran before, "" if not.
func (m *Manager) ranBefore(ctx context.Context, task int32) (string, error) {
	if m.cfg.Group == "" {
		return "", nil
	}
	c := &kafka.Client{Addr: kafka.TCP(m.cfg.Brokers...), Transport: m.cfg.Transport}
	r, err := c.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: m.cfg.Group, Topics: map[string][]int{m.cfg.Topics.Orders: {int(task)}, m.cfg.Topics.Behaviors: {int(task)}}})
	if err != nil {
		return "", fmt.Errorf("the group's offsets: %w", err)
	}
	if errors.Is(r.Error, kafka.GroupIdNotFound) {
		return "", nil // nobody ever joined it
	}
	if r.Error != nil {
		return "", fmt.Errorf("the group's offsets: %w", r.Error)
	}
	for topic, ps := range r.Topics {
		for _, p := range ps {
			if p.CommittedOffset > 0 {
				return fmt.Sprintf("the group %s has offset %d for %s", m.cfg.Group, p.CommittedOffset, topic), nil
			}
		}
	}
	return "", nil
}

// EachCustomer calls fn with every customer in the stores of the tasks that this
// process owns, as of their last commits, and the names of the rules by id. The
// customer is valid during the call only. No lock is held during it: a task that
// is let go meanwhile is left out from there on.
func (m *Manager) EachCustomer(fn func(task int32, names []string, c *state.Customer) error) error {
	m.mu.Lock()
	shelves := map[int32]*shelf{}
	for _, t := range m.assign.Tasks {
		if sh := m.shelves[t]; sh != nil {
			shelves[t] = sh
		}
	}
	m.mu.Unlock()
	for task, sh := range shelves {
		var names []string
		for from, first := "", true; ; first = false {
			var some []state.Customer
			err := sh.with(func(store *state.Store) (err error) {
				if names, err = core.RuleNames(store); err != nil {
					return err
				}
				ids, err := store.Customers(nil, from, first, 512)
				if err != nil {
					return err
				}
				some = make([]state.Customer, len(ids))
				return store.Rows(ids, func(i int, row []byte) error {
					some[i].ID = ids[i]
					if row == nil {
						return nil // gone since
					}
					return state.DecodeRow(&some[i], row)
				})
			})
			if errors.Is(err, errGone) || err == nil && len(some) == 0 {
				break
			}
			if err != nil {
				return err
			}
			for i := range some {
				if err := fn(task, names, &some[i]); err != nil {
					return err
				}
			}
			from = some[len(some)-1].ID
		}
	}
	return nil
}
