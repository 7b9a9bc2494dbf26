package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"tidemark/processor/core"
	"tidemark/processor/source"
)

// ErrClock says that the clocks of this host and of the broker differ.
var ErrClock = errors.New("runtime: this host's clock is not the broker's")

// skew compares the clocks by the append times of the journal, which are the
// broker's. A batch is appended between our request and the answer to it, so
// its time must lie there too, give or take the limit.
type skew struct {
	limit   time.Duration
	journal string
	fault   atomic.Pointer[error]
}

func (s *skew) appended(topic string, at, sent, answered time.Time) {
	if s.limit <= 0 || topic != s.journal {
		return
	}
	var by time.Duration
	var which string
	switch {
	case sent.Sub(at) > s.limit:
		by, which = sent.Sub(at), "ahead of"
	case at.Sub(answered) > s.limit:
		by, which = at.Sub(answered), "behind"
	default:
		return
	}
	err := fmt.Errorf("%w: at %s by the broker's it said %s, %v %s it; more than %v would fire silences at the wrong time; set the clock (NTP, chrony) of whichever is wrong and start again",
		ErrClock, at.UTC().Format(time.RFC3339), sent.UTC().Format(time.RFC3339), by.Round(time.Second), which, s.limit)
	s.fault.CompareAndSwap(nil, &err)
}

// err is what was found, nil for nothing.
func (s *skew) err() error {
	if e := s.fault.Load(); e != nil {
		return *e
	}
	return nil
}

// WatchPartitions looks every so often whether the inputs still have the
// partitions that the app began with, until ctx ends. If not, it stops all tasks
// of the process for good, with core.ErrPartitions: new partitions would hold
// customers whose state another task has.
func (m *Manager) WatchPartitions(ctx context.Context, every time.Duration) {
	c := source.NewClient(source.Config{Brokers: m.cfg.Brokers, Transport: m.cfg.Transport})
	defer c.Close()
	t := time.NewTicker(every)
	defer t.Stop()
	for seen := 0; ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		answer, err := c.Ask(ctx, &metadata.Request{TopicNames: []string{m.cfg.Topics.Orders, m.cfg.Topics.Behaviors}})
		if err != nil {
			m.cfg.Log.Debug("asking for the partitions of the inputs failed", "err", err)
			continue
		}
		err = m.miscounted(answer.(*metadata.Response))
		if err == nil {
			seen = 0
			continue
		}
		// A broker that has just come up may tell an old count once.
		if seen++; seen > 1 {
			m.cfg.Log.Error("all tasks stop until an operator acts", "err", err)
			m.halt(err)
			return
		}
	}
}

func (m *Manager) miscounted(r *metadata.Response) error {
	for _, t := range r.Topics {
		if kafka.Error(t.ErrorCode) != 0 || len(t.Partitions) == int(m.cfg.Tasks) {
			continue // a topic that cannot be seen is told by who reads it
		}
		return fmt.Errorf("%w: %s has %d partitions now, and this app began with %d; keys have moved, so nothing more is taken: give the events to new topics and begin under another app name", core.ErrPartitions, t.Name, len(t.Partitions), m.cfg.Tasks)
	}
	return nil
}

// halt ends every life of a task and begins no other.
func (m *Manager) halt(err error) {
	m.halted.CompareAndSwap(nil, &err)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.tasks {
		if r.end != nil { // else it is between two lives, and looks before the next
			r.end()
		}
	}
}
