package churn

import (
	"tidemark/schemas"
)

// Memo is DueTime for one set of parameters, one horizon and one limit, that
// remembers what it found. The instant of a crossing follows from x and tx
// alone, of which a task's customers have a few thousand pairs: t0 only says
// whether it lies behind already. A lookup takes a twentieth of a solution.
//
// What Memo answers is a function of its arguments, whatever it was asked before.
// It may differ from DueTime by milliseconds only where one millisecond moves the
// probability by less than its rounding error. Not safe for concurrent use.
type Memo struct {
	p       Params
	horizon schemas.EventTime
	limit   float64
	slots   []crossing
}

// crossing is what stands at one place of a Memo: the last pair that fell there.
type crossing struct {
	tx, due schemas.EventTime // due: not before tx
	x       int32             // one more than the pair's; 0: empty
	found   Solution          // for t0 = tx
}

const (
	memoBits = 13 // 8192 places of 24 bytes
	// memoReach bounds what is remembered: DueTime looks MaxSilence beyond t0,
	// which for later t0 is farther than for tx.
	memoReach = MaxSilence / 4
)

// NewMemo returns an empty one. It takes its memory with the first question.
func NewMemo(p Params, horizon schemas.EventTime, limit float64) *Memo {
	return &Memo{p: p, horizon: horizon, limit: limit}
}

// DueTime is the function DueTime with the Memo's parameters.
func (m *Memo) DueTime(x int, tx, t0 schemas.EventTime) (due schemas.EventTime, st Solution) {
	if x < 0 || x >= 1<<31-1 || tx < 0 || tx > t0 || t0 > memoReach {
		return DueTime(m.p, x, tx, t0, m.horizon, m.limit)
	}
	if m.slots == nil {
		m.slots = make([]crossing, 1<<memoBits)
	}
	h := uint64(tx)*0x9e3779b97f4a7c15 ^ uint64(x)*0xc2b2ae3d27d4eb4f
	h ^= h >> 32
	s := &m.slots[h*0x9e3779b97f4a7c15>>(64-memoBits)]
	if s.x != int32(x)+1 || s.tx != tx {
		*s = crossing{tx: tx, x: int32(x) + 1}
		s.due, s.found = DueTime(m.p, x, tx, tx, m.horizon, m.limit)
	}
	switch {
	case s.found == Already, s.found == Crosses && s.due <= t0:
		return t0, Already
	case s.found == Crosses && s.due < memoReach:
		return s.due, Crosses
	}
	return DueTime(m.p, x, tx, t0, m.horizon, m.limit)
}
