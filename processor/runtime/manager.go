package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/core"
	"tidemark/processor/group"
	"tidemark/processor/rights"
	"tidemark/schemas"
	"tidemark/sinks"
	"tidemark/state"
	"tidemark/telemetry"
)

// Manager runs the tasks that are assigned to this process.
type Manager struct {
	cfg     Config
	ids     *schemaIDs
	readers *readers

	mu      sync.Mutex
	tasks   map[int32]*runner
	stores  map[int32]*state.Store
	assign  group.Assignment
	offsets map[int32][schemas.Inputs]schemas.Offset
}

type runner struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// NewManager registers the schemas of all topics and is ready for assignments.
// The topics exist already; see Prepare.
func NewManager(ctx context.Context, cfg Config) (*Manager, error) {
	cfg.defaults()
	ids, err := register(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	return &Manager{cfg: cfg, ids: ids, tasks: map[int32]*runner{}, stores: map[int32]*state.Store{}, offsets: map[int32][schemas.Inputs]schemas.Offset{},
		readers: &readers{reg: cfg.Registry, byID: map[readerKey]reader{}}}, nil
}

// Owned lists the tasks that run here.
func (m *Manager) Owned() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int32
	for t := range m.tasks {
		out = append(out, t)
	}
	return out
}

func (m *Manager) owns(task int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.assign.Tasks {
		if t == task {
			return true
		}
	}
	return false
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
	want := map[int32]bool{}
	for _, t := range a.Tasks {
		want[t] = true
	}
	for t, r := range m.tasks {
		if !want[t] {
			r.cancel()
		}
	}
	for _, t := range a.Tasks {
		if m.tasks[t] == nil {
			m.start(ctx, t)
		}
	}
	m.cfg.Log.Info("assignment", "generation", a.Generation, "tasks", a.Tasks)
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
		again := false
		for _, t := range m.assign.Tasks {
			again = again || t == task
		}
		if again && ctx.Err() == nil {
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

// fatal says whether an error needs an operator.
func fatal(err error) bool {
	for _, e := range []error{ErrJournal, ErrJournalLost, ErrReplay, ErrInputLost, ErrDeadLetters, core.ErrEngine, core.ErrControl, core.ErrInvariant, core.ErrPartitions, core.ErrNoGenesis, core.ErrNoPlaybook, state.ErrStoreVersion, state.ErrRow} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// runTask runs a task, life after life, until ctx ends.
func (m *Manager) runTask(ctx context.Context, task int32) {
	log := m.cfg.Log.With("task", task)
	dir := storeDir(&m.cfg, task)
	show := func(s telemetry.State, detail string) {
		m.cfg.Telemetry.Tasks.Set(task, telemetry.TaskStatus{State: s, Detail: detail, Since: m.cfg.Now()})
		if m.cfg.OnState != nil {
			m.cfg.OnState(task, fmt.Sprint(s), detail)
		}
	}
	defer m.cfg.Telemetry.DropTask(task)
	defer m.cfg.Telemetry.Tasks.Remove(task)
	backoff := m.cfg.BackoffMin
	sleep := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	var store *state.Store
	for store == nil && ctx.Err() == nil {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			store, err = state.Open(dir, state.Options{Cache: m.cfg.BlockCache, MemTable: m.cfg.MemTable})
		}
		if err != nil {
			log.Error("the store can't be opened", "dir", dir, "err", err)
			show(telemetry.Paused, err.Error())
			sleep(5 * time.Second)
		}
	}
	if store == nil {
		return
	}
	m.mu.Lock()
	m.stores[task] = store
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.stores, task)
		m.mu.Unlock()
		store.Close()
	}()
	ph := &phases{}
	prod := sinks.NewProducer(sinks.ProducerConfig{
		Addr: kafka.TCP(m.cfg.Brokers...), Transport: m.cfg.Transport,
		TransactionalIDs:   [2]string{fmt.Sprintf("tidemark-%s-%d-0", m.cfg.App, task), fmt.Sprintf("tidemark-%s-%d-1", m.cfg.App, task)},
		TransactionTimeout: m.cfg.TransactionTimeout, Now: m.cfg.Now,
		Stats: sinks.Stats{Phase: ph.note},
	})
	for ctx.Err() == nil {
		if m.vouched(ctx); ctx.Err() != nil {
			return
		}
		if !m.owns(task) {
			log.Info("the task has a new owner")
			return
		}
		began := time.Now()
		l := &life{cfg: &m.cfg, task: task, ids: m.ids, readers: m.readers, store: store, prod: prod, phases: ph,
			chunks: make(chan chunk, 1), failed: make(chan error, 1), commits: make(chan job, 1),
			results: make(chan result, 1), probes: make(chan probe), nudge: make(chan struct{}, 1), committed: m.note, ranBefore: m.ranBefore}
		err := l.run(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case fatal(err):
			log.Error("the task stops until an operator acts", "err", err)
			show(telemetry.Paused, err.Error())
			<-ctx.Done()
			return
		}
		if time.Since(began) > 10*time.Second {
			backoff = m.cfg.BackoffMin
		}
		if rights.Denied(err) {
			access, names := m.cfg.Rights()
			err = access.Explain(ctx, err, rights.Run(names))
			log.Error("the task waits for a right on the cluster", "err", err, "again_after", backoff)
			show(telemetry.Waiting, err.Error())
		} else {
			log.Warn("beginning again from the journal", "err", err, "after", backoff)
			show(telemetry.Restoring, fmt.Sprint("beginning again after: ", err))
		}
		sleep(backoff)
		backoff = min(backoff*2, m.cfg.BackoffMax)
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

// EachCustomer calls fn with every customer in the stores of the tasks that run
// here, as of their last commits, and the names of the rules by id. The customer
// is valid during the call only.
func (m *Manager) EachCustomer(fn func(task int32, names []string, c *state.Customer) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for task, store := range m.stores {
		names, err := core.RuleNames(store)
		if err != nil {
			return err
		}
		err = store.EachRow(func(id, row []byte) error {
			c := state.Customer{ID: string(id)}
			if err := state.DecodeRow(&c, row); err != nil {
				return err
			}
			return fn(task, names, &c)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
