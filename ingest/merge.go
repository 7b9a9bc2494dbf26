package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// runSource gives one run's records in order, then io.EOF.
type runSource interface {
	next() (sortKey, []byte, error)
}

// merge gives the records of several runs in one order, by a binary heap of
// their heads. A record's bytes are never written again.
type merge struct {
	sources []runSource
	heap    []head
}

type head struct {
	key    sortKey
	record []byte
	source runSource
}

func (m *merge) start() error {
	for _, s := range m.sources {
		key, record, err := s.next()
		if err == io.EOF {
			continue
		}
		if err != nil {
			return err
		}
		m.heap = append(m.heap, head{key, record, s})
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return nil
}

func (m *merge) next() (sortKey, []byte, error) {
	if len(m.heap) == 0 {
		return sortKey{}, nil, io.EOF
	}
	top := &m.heap[0]
	key, record := top.key, top.record
	var err error
	top.key, top.record, err = top.source.next()
	switch {
	case err == io.EOF:
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	case err != nil:
		return sortKey{}, nil, err
	}
	m.down(0)
	return key, record, nil
}

func (m *merge) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(m.heap); c++ {
			if m.heap[c].key.compare(m.heap[least].key) < 0 {
				least = c
			}
		}
		if least == i {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}

// heldReader reads what the sorter still has in memory.
type heldReader struct {
	sorter *sorter
	i      int
}

func (h *heldReader) next() (sortKey, []byte, error) {
	if h.i == len(h.sorter.entries) {
		return sortKey{}, nil, io.EOF
	}
	e := h.sorter.entries[h.i]
	h.i++
	return e.sortKey, h.sorter.record(e), nil
}

// runReader reads a run from the spill file in pieces of size bytes. Each piece
// is a new buffer, because the events that are handed out point into it.
type runReader struct {
	file    *os.File
	at, end int64 // what of the run is not in buf yet
	size    int
	buf     []byte
}

func (r *runReader) next() (sortKey, []byte, error) {
	for {
		if len(r.buf) > 16 {
			if n, w := binary.Uvarint(r.buf[16:]); w > 0 && n <= uint64(len(r.buf)-16-w) {
				key := sortKey{int64(binary.LittleEndian.Uint64(r.buf)), binary.LittleEndian.Uint64(r.buf[8:])}
				stop := 16 + w + int(n)
				record := r.buf[16+w : stop : stop]
				r.buf = r.buf[stop:]
				return key, record, nil
			}
		}
		if r.at == r.end {
			if len(r.buf) > 0 {
				return sortKey{}, nil, errTorn
			}
			return sortKey{}, nil, io.EOF
		}
		if err := r.fill(); err != nil {
			return sortKey{}, nil, err
		}
	}
}

// fill adds at least one byte; a record larger than a piece makes it grow.
func (r *runReader) fill() error {
	room := int64(max(r.size, 2*len(r.buf)) - len(r.buf))
	n := int(min(room, r.end-r.at))
	buf := make([]byte, len(r.buf)+n)
	copy(buf, r.buf)
	if _, err := r.file.ReadAt(buf[len(r.buf):], r.at); err != nil {
		if errors.Is(err, io.EOF) {
			return errTorn
		}
		return fmt.Errorf("ingest: read temporary run: %w", err)
	}
	r.at += int64(n)
	r.buf = buf
	return nil
}
