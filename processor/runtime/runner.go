package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/core"
	"tidemark/processor/rights"
	"tidemark/sinks"
	"tidemark/state"
	"tidemark/telemetry"
)

// fatal says whether an error needs an operator.
func fatal(err error) bool {
	for _, e := range []error{ErrJournal, ErrJournalLost, ErrReplay, ErrInputLost, ErrDeadLetters, ErrClock, core.ErrEngine, core.ErrControl, core.ErrInvariant, core.ErrPartitions, core.ErrNoGenesis, core.ErrNoPlaybook, state.ErrStoreVersion, state.ErrRow} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// enter begins a life: it says in which role, and under which context. The role
// is none when the task is to be let go.
func (m *Manager) enter(ctx context.Context, task int32) (context.Context, context.CancelFunc, role) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lctx, end := context.WithCancel(ctx)
	r := m.roleOf(task)
	m.tasks[task].role, m.tasks[task].end = r, end
	return lctx, end, r
}

// runTask runs a task, life after life, until ctx ends or the task is somebody else's.
func (m *Manager) runTask(ctx context.Context, task int32) {
	log := m.cfg.Log.With("task", task)
	show := func(s telemetry.State, detail string) {
		m.cfg.Telemetry.Tasks.Set(task, telemetry.TaskStatus{State: s, Detail: detail, Since: m.cfg.Now()})
		if m.cfg.OnState != nil {
			m.cfg.OnState(task, fmt.Sprint(s), detail)
		}
	}
	defer m.cfg.Telemetry.DropTask(task)
	defer m.cfg.Telemetry.Tasks.Remove(task)
	sh := &shelf{cfg: &m.cfg, task: task, dir: storeDir(&m.cfg, task), log: log, show: show, quit: ctx.Done()}
	m.mu.Lock()
	m.shelves[task] = sh
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.shelves, task)
		if m.warm != nil {
			m.warm[task] = sh.at.Load()
		}
		m.mu.Unlock()
		sh.close()
	}()
	ph := &phases{}
	clocks := &skew{limit: m.cfg.ClockLimit, journal: m.cfg.Topics.Journal}
	prod := sinks.NewProducer(sinks.ProducerConfig{
		Addr: kafka.TCP(m.cfg.Brokers...), Transport: m.cfg.Transport,
		TransactionalIDs:   [2]string{fmt.Sprintf("tidemark-%s-%d-0", m.cfg.App, task), fmt.Sprintf("tidemark-%s-%d-1", m.cfg.App, task)},
		TransactionTimeout: m.cfg.TransactionTimeout, Now: m.cfg.Now,
		Stats: sinks.Stats{Phase: ph.note, Appended: clocks.appended},
	})
	backoff := m.cfg.BackoffMin
	sought := false // a checkpoint newer than the store was looked for
	seek := false   // and is to be in the next life
	for ctx.Err() == nil {
		lctx, end, is := m.enter(ctx, task)
		if is == own {
			m.vouched(lctx)
			m.mu.Lock()
			is = m.roleOf(task)
			m.mu.Unlock()
		}
		if is == none {
			end()
			log.Info("the task has a new owner")
			return
		}
		if halted := m.halted.Load(); halted != nil {
			show(telemetry.Paused, (*halted).Error())
			<-lctx.Done()
			end()
			continue
		}
		if lctx.Err() != nil || !sh.open(lctx) {
			end()
			continue
		}
		began := time.Now()
		l := &life{cfg: &m.cfg, task: task, ids: m.ids, readers: m.readers, shelf: sh, store: sh.store, prod: prod, phases: ph,
			chunks: make(chan chunk, 1), spare: make(chan *slab, spareSlabs), failed: make(chan error, 1), commits: make(chan job, 1),
			results: make(chan result, 1), probes: make(chan probe), nudge: make(chan struct{}, 1), committed: m.note, ranBefore: m.ranBefore,
			skew: clocks, seek: seek, saving: m.saving, uploads: m.uploads}
		var err error
		if is == follow {
			err = l.follow(lctx)
		} else {
			err = l.run(lctx)
		}
		seek = l.seek && !l.looked // it could not look: the place of the checkpoints may have been away
		ended := lctx.Err() != nil
		wait := func(d time.Duration) {
			select {
			case <-lctx.Done():
			case <-sh.failed():
			case <-time.After(d):
			}
		}
		if time.Since(began) > 10*time.Second {
			backoff, sought = m.cfg.BackoffMin, false
		}
		switch broken := sh.err(); {
		case ctx.Err() != nil:
		case broken != nil:
			sh.lost(broken) // opened again by the next life
			wait(backoff)
		case errors.Is(err, errRewrite):
			show(telemetry.Restoring, "rewriting the store without erased customers")
			backoff = m.cfg.BackoffMin
			if err := sh.rewrite(lctx); err != nil && lctx.Err() == nil {
				log.Error("the store could not be rewritten without erased customers", "err", err, "again_after", m.cfg.BackoffMax)
				wait(m.cfg.BackoffMax)
			}
		case ended: // the other role
		case (errors.Is(err, ErrInputLost) || errors.Is(err, core.ErrEngine)) && m.cfg.Checkpoints != nil && !sought:
			// What the store needs next is gone, or is another engine's; a checkpoint
			// beyond it does not need it.
			log.Error("the store can't be brought to the journal's end; looking for a newer checkpoint", "err", err)
			sought, seek = true, true
		case is == follow:
			// Nobody waits for a standby: it never stops for good, and says what it lacks.
			log.Warn("the standby begins again", "err", err, "after", m.cfg.BackoffMax)
			show(telemetry.Standby, fmt.Sprint("beginning again after: ", err))
			wait(m.cfg.BackoffMax)
			sought = false // its owner may save one meanwhile
		case fatal(err):
			log.Error("the task stops until an operator acts", "err", err)
			show(telemetry.Paused, err.Error())
			select {
			case <-lctx.Done():
			case <-sh.failed(): // opened anew, and stopped again
			}
		case rights.Denied(err):
			access, names := m.cfg.Rights()
			err = access.Explain(ctx, err, rights.Run(names))
			log.Error("the task waits for a right on the cluster", "err", err, "again_after", backoff)
			show(telemetry.Waiting, err.Error())
			wait(backoff)
		default:
			log.Warn("beginning again from the journal", "err", err, "after", backoff)
			show(telemetry.Restoring, fmt.Sprint("beginning again after: ", err))
			wait(backoff)
		}
		backoff = min(backoff*2, m.cfg.BackoffMax)
		end()
	}
}

// heed ends what it returns with ctx, and when the store breaks: whoever waits for
// a broker or for the next journal record would not notice, and Pebble tries to
// read the statistics of a damaged table again and again, without a pause, until
// the store is given up.
func (l *life) heed(ctx context.Context) (context.Context, context.CancelFunc) {
	whole, cancel := context.WithCancel(ctx)
	l.watch = func() {
		failed := l.store.Failed()
		go func() {
			select {
			case <-failed:
				cancel()
			case <-whole.Done():
			}
		}()
	}
	l.watch()
	return whole, cancel
}
