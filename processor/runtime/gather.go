package runtime

import (
	"time"

	"tidemark/schemas"
)

// gatherFor bounds, with the beat, how long a task that is far behind waits for a full batch.
const gatherFor = 500 * time.Millisecond

// gathering says that the task is far behind and its queues do not hold a full
// batch yet, while more is on its way: taken by the handful, each record costs a
// multiple of what it costs among many.
func (l *life) gathering(now time.Time) bool {
	room := min(takeAtOnce, l.cfg.QueueRecords)
	waiting, far := 0, false
	for i := range l.q {
		q := &l.q[i]
		waiting += q.waiting()
		if q.held || q.need > 0 {
			return l.gathered()
		}
		far = far || q.end-q.next > schemas.Offset(takeAtOnce)
	}
	if !far || waiting >= room {
		return l.gathered()
	}
	if l.gatherAt.IsZero() {
		l.gatherAt = now
	}
	if now.Sub(l.gatherAt) >= gatherFor {
		return l.gathered()
	}
	return true
}

// A commit of a task that is far behind costs by the rows that it writes, and a
// customer who was touched many times meanwhile is one row. So it is made when it
// is full, or after IdleDelay, and not as soon as there is something to publish.
// The customers that wait for it stay in memory: they bound it where few come twice.
const (
	farBehind  = 2 * takeAtOnce // records of one input that wait here and on the broker
	mostToKeep = 28 * 1024      // customers changed by one commit of a task that is far behind
	patience   = 4 * time.Second
)

// far says that so much waits that throughput counts and latency is lost already.
func (l *life) far() bool {
	for i := range l.q {
		if q := &l.q[i]; schemas.Offset(q.waiting())+q.end-q.next > farBehind {
			return true
		}
	}
	return false
}

// filled says that a commit holds as much as it may.
func (l *life) filled() bool {
	taken, _ := l.core.Pending()
	return taken >= l.cfg.MaxEvents || l.core.Touched() >= mostToKeep
}

func (l *life) gathered() bool {
	l.gatherAt = time.Time{}
	return false
}
