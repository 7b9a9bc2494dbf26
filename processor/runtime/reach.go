package runtime

import (
	"fmt"
	"sync"
	"time"

	"tidemark/telemetry"
)

// reach knows whether the brokers answer. Short silences, as when a leader moves,
// are nobody's business; after awayAfter they are what the task waits for.
type reach struct {
	mu    sync.Mutex
	since time.Time // of the first failure with no answer after it; zero: there was one
	told  time.Time
	why   string
}

const (
	awayAfter = 2 * time.Second
	awayTells = 10 * time.Second // a log line at most so often
)

// failed notes a failure that is being retried, and says whether to log it.
func (r *reach) failed(err error) (tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.since.IsZero() {
		r.since = now
	}
	r.why = err.Error()
	if tell = now.Sub(r.told) >= awayTells; tell {
		r.told = now
	}
	return tell
}

func (r *reach) answered() {
	r.mu.Lock()
	r.since = time.Time{}
	r.mu.Unlock()
}

// away says what is waited for; "": nothing.
func (r *reach) away() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() || time.Since(r.since) < awayAfter {
		return ""
	}
	return fmt.Sprintf("the brokers, since %s: %s", r.since.UTC().Format(time.TimeOnly), r.why)
}

// retrying is told of each failure of reading that is being retried, from several goroutines.
func (l *life) retrying(err error) {
	if l.reach.failed(err) {
		l.cfg.Log.Warn("reading from Kafka, trying again", "task", l.task, "err", err)
	}
	if why := l.reach.away(); why != "" { // the loop may wait inside a call of its own
		l.shelf.told.Add(1)
		l.shelf.show(telemetry.Waiting, why)
	}
}

// awaits says what the task waits for, beside what the core does; "" if nothing.
func (l *life) awaits() string {
	if why := l.waits.Load(); why != nil && *why != "" {
		return *why
	}
	if why := l.reach.away(); why != "" {
		return why
	}
	if _, ok := l.core.FireFrom(); !ok || l.core.Playbook() == nil {
		return "the first playbook in the control topic"
	}
	return ""
}
