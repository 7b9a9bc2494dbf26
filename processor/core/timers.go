package core

import (
	"slices"

	"tidemark/schemas"
	"tidemark/state"
)

// timer is one armed wake.
type timer struct {
	due schemas.EventTime
	id  string
}

func (t timer) less(u timer) bool {
	if t.due != u.due {
		return t.due < u.due
	}
	return t.id < u.id
}

// timerHeap is a binary heap, the first timer at 0. (container/heap would
// allocate each timer that goes in.)
type timerHeap []timer

func (h *timerHeap) push(t timer) {
	s := append(*h, t)
	*h = s
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !t.less(s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = t
}

func (h *timerHeap) pop() timer {
	s := *h
	first, n := s[0], len(s)-1
	t := s[n]
	s[n] = timer{}
	s = s[:n]
	*h = s
	if n == 0 {
		return first
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && s[down+1].less(s[down]) {
			down++
		}
		if !s[down].less(t) {
			break
		}
		s[i] = s[down]
		i = down
	}
	s[i] = t
	return first
}

const (
	timerChunk = 16 * 1024 // timers read from the store at once; each time all unapplied customers are looked at
	timerLimit = 64 * 1024 // timers held in memory
)

// timers holds the next timers in memory: every armed timer that is not after
// far is in the heap; later ones are in the store, or in unapplied customers.
// Entries are checked against the customer's row when they come up, so the
// heap may hold ones that were moved since.
type timers struct {
	heap timerHeap
	far  timer // the last loaded
	all  bool  // nothing lies beyond far in the store: the heap holds everything

	chunk, limit int // timerChunk and timerLimit, smaller in tests
}

// add tells of a timer that was armed.
func (t *timers) add(due schemas.EventTime, id string) {
	n := timer{due, id}
	if !t.all && t.far.less(n) {
		return // it is found in the store, or among the unapplied, when its turn comes
	}
	t.heap.push(n)
}

// shrink gives memory back when too many timers are held.
func (t *timers) shrink() {
	if len(t.heap) <= t.limit {
		return
	}
	kept := make(timerHeap, 0, t.chunk)
	for len(kept) < t.chunk {
		kept = append(kept, t.heap.pop())
	}
	t.far, t.all = kept[len(kept)-1], false
	t.heap = kept // sorted, so it is a heap
}

// fill loads timers until the heap's first is the task's next.
func (c *Core) fillTimers() error {
	t := &c.timers
	for len(t.heap) == 0 && !t.all {
		var from []byte
		if t.far != (timer{}) {
			from = state.TimerKey(nil, t.far.due, t.far.id)
		}
		keys, err := c.rd.Timers(nil, from, t.chunk)
		if err != nil {
			return err
		}
		old := t.far
		if len(keys) < t.chunk {
			t.all = true
		}
		for _, k := range keys {
			due, id, ok := state.ParseTimerKey(k)
			if !ok {
				return errBadTimer
			}
			n := timer{due, string(id)}
			t.heap.push(n)
			t.far = n
		}
		far, all := t.far, t.all
		c.cache.unappliedAny(func(e *entry) {
			if e.Wake == 0 {
				return
			}
			n := timer{e.Wake, e.ID}
			if (old == (timer{}) || old.less(n)) && (all || !far.less(n)) {
				t.heap.push(n)
			}
		})
	}
	return nil
}

// nextTimer returns the task's next armed timer without taking it. One after
// to is returned as it is, though it may have been moved: none is due by then.
func (c *Core) nextTimer(to schemas.EventTime) (timer, bool, error) {
	for {
		if err := c.fillTimers(); err != nil {
			return timer{}, false, err
		}
		if len(c.timers.heap) == 0 {
			return timer{}, false, nil
		}
		t := c.timers.heap[0]
		if t.due > to {
			return t, true, nil
		}
		// A moved timer is known by the row in memory; one of a customer not in
		// memory is found out when it fires.
		if e := c.cache.get(t.id); e != nil && e.Wake != t.due {
			c.timers.heap.pop()
			continue
		}
		return t, true, nil
	}
}

// dueTogether bounds the customers read for timers at once.
const dueTogether = 2048

// dueCustomer is the customer of the next timer, which is due by to. If it is
// not in memory it is read in one pass with those of timers that come up soon.
func (c *Core) dueCustomer(t timer, to schemas.EventTime) (*entry, error) {
	if e := c.cache.get(t.id); e != nil {
		return e, nil
	}
	to = max(to, c.work.upTo)
	ids := append(c.work.ids[:0], t.id)
	for i := range c.timers.heap {
		if n := &c.timers.heap[i]; n.due <= to && n.id != t.id && c.cache.get(n.id) == nil {
			if ids = append(ids, n.id); len(ids) == dueTogether {
				break
			}
		}
	}
	c.work.sorter.strings(ids)
	ids = slices.Compact(ids)
	c.work.ids = ids
	if err := c.load(ids); err != nil {
		return nil, err
	}
	return c.cache.get(t.id), nil
}
