package core

import (
	"encoding/binary"
	"slices"
	"strings"
)

// warmed is how many customers are looked at before the first of them is worked on.
const warmed = 16

// warm reads what the work on these customers will read, and nothing else: of
// customers all over the memory each first look waits for it, and these looks do
// not depend on each other, so the processor has many of them under way at
// once. The sum keeps the compiler from leaving the reads out.
func warm(es []*entry) (sum uint64) {
	for _, e := range es {
		if e != nil {
			sum += uint64(e.Wake) + uint64(len(e.Orders)) + uint64(e.seq)
		}
	}
	for _, e := range es {
		if e == nil {
			continue
		}
		for i := range e.Orders {
			sum += e.Orders[i].ID
		}
		for i := range e.Rules {
			sum += uint64(e.Rules[i].ID) + uint64(len(e.Rules[i].Log))
		}
	}
	for _, e := range es {
		if e == nil {
			continue
		}
		for i := range e.Rules {
			if log := e.Rules[i].Log; len(log) > 0 {
				sum += uint64(log[len(log)-1].At)
			}
		}
	}
	return sum
}

// sorter sorts by customer id. Ids of one business begin alike; the eight bytes
// after what all have in common decide nearly every comparison as one number.
type sorter struct {
	es  []keyed[*entry]
	ids []keyed[string]
}

type keyed[T any] struct {
	key uint64
	of  T
}

func (s *sorter) entries(es []*entry) {
	s.es = sortBy(s.es, es, func(e *entry) string { return e.ID })
}

func (s *sorter) strings(ids []string) {
	s.ids = sortBy(s.ids, ids, func(id string) string { return id })
}

func sortBy[T any](buf []keyed[T], list []T, id func(T) string) []keyed[T] {
	if len(list) < 2 {
		return buf
	}
	first := id(list[0])
	same := len(first)
	for _, x := range list[1:] {
		s := id(x)
		n := min(same, len(s))
		for same = 0; same < n && s[same] == first[same]; {
			same++
		}
	}
	buf = buf[:0]
	for _, x := range list {
		var b [8]byte
		copy(b[:], id(x)[same:])
		buf = append(buf, keyed[T]{binary.BigEndian.Uint64(b[:]), x})
	}
	slices.SortFunc(buf, func(a, b keyed[T]) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return strings.Compare(id(a.of), id(b.of))
	})
	for i := range buf {
		list[i] = buf[i].of
	}
	clear(buf)
	return buf
}
