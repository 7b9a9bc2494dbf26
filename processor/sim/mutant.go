package sim

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"tidemark/processor/core"
	"tidemark/processor/internal/seam"
	"tidemark/schemas"
)

// Mutant is a way to have the commit protocol wrong. The simulator must see each.
type Mutant string

const (
	Sound Mutant = "" // as it is
	// StoreFirst writes the store before the transaction.
	StoreFirst Mutant = "store-first"
	// NoInit goes on with the producer ids and epochs that are there.
	NoInit Mutant = "no-init"
	// OneInit initialises only the first of the two transactional ids.
	OneInit Mutant = "one-init"
	// EndRetried sends EndTxn again where the first seems to be lost; at times it was not.
	EndRetried Mutant = "end-retried"
	// EndBeforeInit reads the journal's end before InitProducerID.
	EndBeforeInit Mutant = "end-before-init"
	// NoTicks leaves ticks out of the journal.
	NoTicks Mutant = "no-ticks"
	// NoDead leaves the verdicts on dead letters out of the journal.
	NoDead Mutant = "no-dead"
	// ResetInput reads on at the log's start where the next record is gone.
	ResetInput Mutant = "reset-input"
)

// Mutants lists them all.
func Mutants() []Mutant {
	return []Mutant{StoreFirst, NoInit, OneInit, EndRetried, EndBeforeInit, NoTicks, NoDead, ResetInput}
}

// commit gives what is wrong inside the processor.
func (m Mutant) commit() *seam.Commit {
	c := &seam.Commit{StoreFirst: m == StoreFirst}
	switch m {
	case NoTicks:
		c.Ready = func(rd *core.Ready) []byte {
			var kept []schemas.JournalItem
			for _, it := range rd.Journal.Items {
				if it.Kind != schemas.TickItem {
					kept = append(kept, it)
				}
			}
			rd.Journal.Items = kept
			return rd.Journal.AppendAvro(nil)
		}
	case NoDead:
		c.Ready = func(rd *core.Ready) []byte {
			rd.Journal.Dead = nil
			return rd.Journal.AppendAvro(nil)
		}
	}
	return c
}

// The others are wrong on the wire: what the processor asks for is not what the
// broker is asked for. That is the same as a processor that asks wrongly.

// transactionalID finds the id that a request names.
var transactionalID = regexp.MustCompile(`tidemark-` + app + `-[0-9]+-[01]`)

// mutateRequest reports whether it has dealt with the request.
func (w *world) mutateRequest(r *request) bool {
	switch {
	case w.wrong == EndRetried && r.name() == "EndTxn":
		d := w.chance(r.key + " retried")
		if d.IntN(4) > 0 {
			return false
		}
		// The first is slow, the client asks again and is answered; then the first
		// arrives, while the next transaction of the id is open.
		w.after(time.Duration(d.Int64N(int64(2*time.Millisecond))), r.key, func() { w.cluster.handle(r) })
		first := *r
		first.fault, first.muted, first.key = nil, true, r.key+" first"
		w.slow[transactionalID.FindString(string(r.frame))] = &first
		return true
	case w.wrong == EndRetried && r.name() == "AddPartitionsToTxn":
		id := transactionalID.FindString(string(r.frame))
		if first := w.slow[id]; first != nil {
			delete(w.slow, id)
			d := w.chance(first.key)
			w.after(time.Duration(d.Int64N(int64(6*time.Millisecond))), first.key, func() { w.cluster.handle(first) })
		}
	case w.wrong == EndBeforeInit && r.name() == "InitProducerID":
		for task := range w.script.Tasks {
			key := fmt.Sprintf("%d.%d.%d", r.proc, r.conn.link.life, task)
			if _, ok := w.ends[key]; !ok && strings.Contains(string(r.frame), fmt.Sprintf("tidemark-%s-%d-0", app, task)) {
				w.ends[key] = w.cluster.partition(topics.Journal, task).stable()
			}
		}
	}
	return false
}

// mutateInit says that an InitProducerID is not to be done, and what to answer.
func (w *world) mutateInit(_ *request, t *txn) (int64, int16, bool) {
	skip := t.epoch >= 0 && (w.wrong == NoInit || w.wrong == OneInit && strings.HasSuffix(t.id, "-1"))
	return t.pid, t.epoch, skip
}

// mutateEnd gives the end of a partition that the processor is told.
func (w *world) mutateEnd(r *request, p *partition, offset int64) int64 {
	if w.wrong == EndBeforeInit && p.topic == topics.Journal {
		key := fmt.Sprintf("%d.%d.%d", r.proc, r.conn.link.life, p.number)
		if end, ok := w.ends[key]; ok {
			delete(w.ends, key)
			return end
		}
	}
	return offset
}
