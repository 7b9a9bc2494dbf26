package runtime

import (
	"fmt"
	"math"

	"tidemark/processor/core"
	"tidemark/schemas"
)

// queue holds the decoded records of one input that are not taken yet.
type queue struct {
	recs  []core.Record
	at    int
	next  schemas.Offset    // where the next chunk begins
	end   schemas.Offset    // the end that is known: from a response, or asked for
	bytes int               // of the values that wait
	need  int               // records that a replay waits for: no pausing below
	wall  schemas.EventTime // of the latest fetch
	held  bool              // its fetching is paused
	slabs []*slab           // of recs, in their order

	screened int // of recs: up to here their sizes were looked at
}

func (q *queue) empty() bool  { return q.at == len(q.recs) }
func (q *queue) waiting() int { return len(q.recs) - q.at }

// atEnd says that everything up to the known end was taken.
func (q *queue) atEnd() bool { return q.empty() && q.next >= q.end }

func (q *queue) add(c *chunk) {
	if q.at > 0 && q.at >= len(q.recs)/2 { // what was taken makes room
		n := copy(q.recs, q.recs[q.at:])
		clear(q.recs[n:])
		q.recs, q.screened, q.at = q.recs[:n], max(q.screened-q.at, 0), 0
	}
	q.recs = append(q.recs, c.recs...)
	if c.slab != nil && len(c.recs) > 0 {
		c.slab.left = len(c.recs)
		q.slabs = append(q.slabs, c.slab)
	}
	for i := range c.recs {
		q.bytes += c.recs[i].Size()
	}
	q.next, q.wall = c.next, c.wall
	q.end = max(q.end, c.end)
}

// full says whether as much waits as may.
func (q *queue) full(records, bytes int) bool {
	return q.waiting() > max(records, q.need) || q.bytes > bytes && q.waiting() > q.need
}

// screen refuses what is over the size that the playbook allows. It is done
// here and not where records are decoded: only the state knows which playbook is
// in force, and a replay takes the verdict from the journal.
func (q *queue) screen(limit int) {
	for i := max(q.screened, q.at); i < len(q.recs); i++ {
		r := &q.recs[i]
		if n := len(r.Raw.Value); n > limit {
			r.Dead = &core.Dead{Step: core.StepFrame, Reason: core.ReasonTooLarge, Detail: fmt.Sprintf("%d bytes, %d are allowed", n, limit)}
			r.Event = nil
		}
	}
	q.screened = len(q.recs)
}

// mergeKey is the event time by which inputs are merged. What has none comes as
// soon as it stands first.
func mergeKey(r *core.Record) schemas.EventTime {
	if r.Event == nil {
		return math.MinInt64
	}
	return r.Event.OccurredAt
}

// queues are the inputs of one task.
type queues [schemas.Inputs]queue

// merge appends up to limit records to dst in the order in which they are to
// be taken, and leaves them in their queues. It stops where an input that must
// be waited for has run dry: all but transfers, which come when they come. Until
// a playbook is in force only the control topic is read.
func (q *queues) merge(dst []core.Record, limit int, playbook bool) []core.Record {
	var at [schemas.Inputs]int
	for i := range q {
		at[i] = q[i].at
	}
	for len(dst) < limit {
		best, key := -1, schemas.EventTime(0)
		for i := range q {
			if !playbook && i != int(schemas.ControlInput) {
				continue
			}
			if at[i] == len(q[i].recs) {
				if i != int(schemas.TransferInput) && q[i].next < q[i].end {
					return dst // its next record may be the earliest
				}
				continue
			}
			if k := mergeKey(&q[i].recs[at[i]]); best < 0 || k < key {
				best, key = i, k
			}
		}
		if best < 0 {
			return dst
		}
		dst = append(dst, q[best].recs[at[best]])
		at[best]++
	}
	return dst
}

// took removes records that were taken from their queues. The records themselves
// may be used until the slabs are spent.
func (q *queues) took(recs []core.Record) {
	var n [schemas.Inputs]int
	for i := range recs {
		k := &q[recs[i].Input]
		k.at++
		k.bytes -= recs[i].Size()
		n[recs[i].Input]++
	}
	for i := range q {
		for _, s := range q[i].slabs {
			k := min(n[i], s.left)
			s.left -= k
			if n[i] -= k; n[i] == 0 {
				break
			}
		}
	}
}

// mergeGroup is merge over exactly counts records of each input, as a journal item tells.
func (q *queues) mergeGroup(dst []core.Record, counts [schemas.Inputs]int64) []core.Record {
	var at [schemas.Inputs]int
	for {
		best, key := -1, schemas.EventTime(0)
		for i := range q {
			if int64(at[i]) == counts[i] {
				continue
			}
			if k := mergeKey(&q[i].recs[q[i].at+at[i]]); best < 0 || k < key {
				best, key = i, k
			}
		}
		if best < 0 {
			return dst
		}
		dst = append(dst, q[best].recs[q[best].at+at[best]])
		at[best]++
	}
}
