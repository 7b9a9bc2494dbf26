package runtime

import (
	"tidemark/processor/core"
	"tidemark/schemas"
)

// slab is the memory that the events of one chunk are decoded into. It goes
// round: the reader fills it, the queue holds it, and once the core has taken the
// last of its records the reader fills it again. The core keeps nothing of a
// record that it took but bytes and strings, which point into the fetch response
// and never into a slab.
type slab struct {
	recs   []core.Record
	events []schemas.Event
	raws   []core.Raw
	items  []schemas.Item // cut up for the events
	left   int            // records that are not taken yet; the queue's
}

// spareSlabs is how many slabs of a task wait for the reader: with the queue's
// bound of 32 k records and chunks of 8 k, as many as it ever holds, and one.
const spareSlabs = 6

// slab returns one with room for n records.
func (d *decoder) slab(n int) *slab {
	s := &slab{}
	select {
	case s = <-d.spare:
	default:
	}
	if cap(s.recs) < n {
		room := n + n/8 // chunks are nearly alike
		*s = slab{recs: make([]core.Record, room), events: make([]schemas.Event, room), raws: make([]core.Raw, room), items: s.items}
	}
	s.recs, s.events, s.raws = s.recs[:n], s.events[:n], s.raws[:n]
	return s
}

// spent gives slabs whose records were all taken back to the reader.
func (l *life) spent() {
	for i := range l.q {
		q := &l.q[i]
		for len(q.slabs) > 0 && q.slabs[0].left == 0 {
			s := q.slabs[0]
			q.slabs[0] = nil
			q.slabs = q.slabs[1:]
			select {
			case l.spare <- s:
			default:
			}
		}
	}
}
