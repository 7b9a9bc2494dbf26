package ingest

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

// sortKey orders records; no two records of one sorter share a key, so the
// order does not depend on the sort algorithm or on how the runs were cut.
type sortKey struct {
	a int64
	b uint64
}

func (k sortKey) compare(o sortKey) int {
	if c := cmp.Compare(k.a, o.a); c != 0 {
		return c
	}
	return cmp.Compare(k.b, o.b)
}

// entry says where in the blocks a record lies. It holds no pointer, so that
// millions of them cost the garbage collector nothing.
type entry struct {
	sortKey
	block, offset uint32
}

const entrySize = 24

// sorter is an external merge sort of opaque records (Knuth, TAOCP 3, 5.4): it
// keeps records up to a budget, writes sorted runs to one temporary file beyond
// it, and merges. A run that begins at or after the end of the one before is
// appended to it, so sorted input stays one run whatever its size.
type sorter struct {
	budget int64 // bytes of blocks and entries held before a run is written
	dir    string

	blocks  [][]byte // records, each its length as uvarint and its bytes
	entries []entry
	held    int64
	sorted  bool // entries are in order as they stand

	spill *spillFile
	runs  []run
}

type run struct {
	start, end int64 // in the spill file
	last       sortKey
}

func newSorter(budget int64, dir string) *sorter {
	return &sorter{budget: max(budget, 1), dir: dir, sorted: true}
}

// blockSize is how much is gathered before it counts: small against the budget.
func blockSize(budget int64) int {
	return int(min(max(budget/16, 4<<10), 1<<20))
}

// add copies record in under key.
func (s *sorter) add(key sortKey, record []byte) error {
	need := len(record) + binary.MaxVarintLen32
	last := len(s.blocks) - 1
	if last < 0 || cap(s.blocks[last])-len(s.blocks[last]) < need {
		if err := s.makeRoom(); err != nil {
			return err
		}
		b := make([]byte, 0, max(blockSize(s.budget), need))
		s.blocks = append(s.blocks, b)
		s.held += int64(cap(b))
		last = len(s.blocks) - 1
	}
	b := s.blocks[last]
	s.append(entry{key, uint32(last), uint32(len(b))})
	s.blocks[last] = appendFramed(b, record)
	return nil
}

// adopt takes over a block and the entries that point into it (their block
// number is set here); the caller must not touch the block again.
func (s *sorter) adopt(block []byte, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := s.makeRoom(); err != nil {
		return err
	}
	n := uint32(len(s.blocks))
	s.blocks = append(s.blocks, block)
	s.held += int64(cap(block))
	for _, e := range entries {
		e.block = n
		s.append(e)
	}
	return nil
}

func (s *sorter) append(e entry) {
	if n := len(s.entries); n > 0 && s.sorted && e.compare(s.entries[n-1].sortKey) < 0 {
		s.sorted = false
	}
	s.entries = append(s.entries, e)
}

func appendFramed(dst, record []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(record)))
	return append(dst, record...)
}

func (s *sorter) makeRoom() error {
	if len(s.entries) == 0 || s.held+int64(cap(s.entries))*entrySize < s.budget {
		return nil
	}
	return s.writeRun()
}

func (s *sorter) order() {
	if !s.sorted {
		slices.SortFunc(s.entries, func(x, y entry) int { return x.compare(y.sortKey) })
		s.sorted = true
	}
}

func (s *sorter) record(e entry) []byte {
	b := s.blocks[e.block][e.offset:]
	n, w := binary.Uvarint(b)
	return b[w : w+int(n) : w+int(n)]
}

func (s *sorter) writeRun() error {
	s.order()
	if s.spill == nil {
		f, err := newSpillFile(s.dir)
		if err != nil {
			return err
		}
		s.spill = f
	}
	first, last := s.entries[0].sortKey, s.entries[len(s.entries)-1].sortKey
	r := run{start: s.spill.end, last: last}
	for _, e := range s.entries {
		if err := s.spill.write(e.sortKey, s.record(e)); err != nil {
			return err
		}
	}
	if err := s.spill.flush(); err != nil {
		return err
	}
	r.end = s.spill.end
	if n := len(s.runs); n > 0 && s.runs[n-1].last.compare(first) <= 0 {
		s.runs[n-1].end, s.runs[n-1].last = r.end, r.last
	} else {
		s.runs = append(s.runs, r)
	}
	s.blocks, s.entries, s.held = nil, s.entries[:0], 0
	return nil
}

// finish ends the adding and gives the records in order. The sorter's file is
// the merge's from then on, until close.
func (s *sorter) finish() (*merge, error) {
	s.order()
	m := &merge{}
	fan := int(min(max(s.budget/(128<<10), 2), 256))
	for len(s.runs) > fan {
		if err := s.mergeRuns(fan); err != nil {
			return nil, err
		}
	}
	buffer := int(min(max(s.budget/2/int64(len(s.runs)+1), 4<<10), 1<<20))
	for _, r := range s.runs {
		m.sources = append(m.sources, &runReader{file: s.spill.file, at: r.start, end: r.end, size: buffer})
	}
	if len(s.entries) > 0 {
		m.sources = append(m.sources, &heldReader{sorter: s})
	}
	return m, m.start()
}

// mergeRuns replaces the first n runs by one at the end of the list.
func (s *sorter) mergeRuns(n int) error {
	m := &merge{}
	buffer := int(min(max(s.budget/2/int64(n+1), 4<<10), 1<<20))
	for _, r := range s.runs[:n] {
		m.sources = append(m.sources, &runReader{file: s.spill.file, at: r.start, end: r.end, size: buffer})
	}
	if err := m.start(); err != nil {
		return err
	}
	out := run{start: s.spill.end}
	for {
		key, record, err := m.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := s.spill.write(key, record); err != nil {
			return err
		}
		out.last = key
	}
	if err := s.spill.flush(); err != nil {
		return err
	}
	out.end = s.spill.end
	s.runs = append(slices.Clone(s.runs[n:]), out)
	return nil
}

// close gives up the records and removes the temporary file.
func (s *sorter) close() error {
	s.blocks, s.entries = nil, nil
	if s.spill == nil {
		return nil
	}
	f := s.spill
	s.spill = nil
	return f.close()
}

// spillFile holds all runs one after another: keys as they are, 16 bytes, then
// the record behind its length.
type spillFile struct {
	file    *os.File
	out     *bufio.Writer
	end     int64
	scratch []byte
	linked  bool
}

func newSpillFile(dir string) (*spillFile, error) {
	f, err := os.CreateTemp(dir, "tidemark-sort-*")
	if err != nil {
		return nil, fmt.Errorf("ingest: temporary file for sorting: %w", err)
	}
	// Unlinked at once, so that a killed process leaves nothing behind; where
	// the system refuses that, close removes it.
	linked := os.Remove(f.Name()) != nil
	return &spillFile{file: f, out: bufio.NewWriterSize(f, 256<<10), linked: linked}, nil
}

func (f *spillFile) write(key sortKey, record []byte) error {
	f.scratch = binary.LittleEndian.AppendUint64(f.scratch[:0], uint64(key.a))
	f.scratch = binary.LittleEndian.AppendUint64(f.scratch, key.b)
	f.scratch = binary.AppendUvarint(f.scratch, uint64(len(record)))
	if _, err := f.out.Write(f.scratch); err != nil {
		return fmt.Errorf("ingest: write temporary run: %w", err)
	}
	if _, err := f.out.Write(record); err != nil {
		return fmt.Errorf("ingest: write temporary run: %w", err)
	}
	f.end += int64(len(f.scratch) + len(record))
	return nil
}

func (f *spillFile) flush() error {
	if err := f.out.Flush(); err != nil {
		return fmt.Errorf("ingest: write temporary run: %w", err)
	}
	return nil
}

func (f *spillFile) close() error {
	err := f.file.Close()
	if f.linked {
		if e := os.Remove(f.file.Name()); err == nil {
			err = e
		}
	}
	return err
}
