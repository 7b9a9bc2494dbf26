package runtime

import (
	"time"

	"tidemark/schemas"
)

// gatherFor bounds, with the beat, how long a task that is far behind waits for a full batch.
const gatherFor = 100 * time.Millisecond

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

func (l *life) gathered() bool {
	l.gatherAt = time.Time{}
	return false
}
