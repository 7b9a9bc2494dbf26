package source

import (
	"encoding/binary"
	"slices"
)

// committedFilter says of each batch of one fetch response whether its records
// are committed. It follows the Java consumer (Fetcher with
// isolation.level=read_committed; KIP-98, "Discarding Aborted Transactions"):
// the broker lists the transactions that were aborted and overlap what it
// gives, by producer and first offset. A producer's transactional batches are
// skipped from the listed offset on, up to its abort marker.
//
// It starts anew with every response. A fetch may begin between the last
// aborted record and its marker; the producer then stands in the list, and the
// marker inside the response must take it out again before the producer's next,
// perhaps committed, transaction.
type committedFilter struct {
	aborted []abortedTxn // not begun yet, by first offset
	skip    []int64      // producers inside an aborted transaction; few at a time
}

func newCommittedFilter(aborted []abortedTxn) committedFilter {
	byOffset := func(a, b abortedTxn) int {
		switch {
		case a.firstOffset < b.firstOffset:
			return -1
		case a.firstOffset > b.firstOffset:
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(aborted, byOffset) {
		aborted = slices.Clone(aborted)
		slices.SortStableFunc(aborted, byOffset)
	}
	return committedFilter{aborted: aborted}
}

// admits reports whether the records of b are data of a committed transaction,
// or of none. Batches must come in offset order.
func (f *committedFilter) admits(b *batch) (bool, error) {
	if b.producerID >= 0 {
		last := b.next() - 1
		for len(f.aborted) > 0 && f.aborted[0].firstOffset <= last {
			if id := f.aborted[0].producerID; !slices.Contains(f.skip, id) {
				f.skip = append(f.skip, id)
			}
			f.aborted = f.aborted[1:]
		}
	}
	if b.control() {
		if at := slices.Index(f.skip, b.producerID); at >= 0 {
			aborts, err := b.aborts()
			if err != nil {
				return false, err
			}
			if aborts {
				f.skip = slices.Delete(f.skip, at, at+1)
			}
		}
		return false, nil
	}
	return !b.transactional() || !slices.Contains(f.skip, b.producerID), nil
}

// committedRecords reads the record batches of one partition's fetch response
// into room, if that is enough. It returns the committed records with from <= offset < lastStable, and the
// position after everything that the response settles: control batches, aborted
// records and gaps included, but never past lastStable. Where a batch can't be
// read, it returns what stands before it, the position of that batch, and the error.
func committedRecords(room []Record, raw []byte, from, lastStable int64, aborted []abortedTxn, limit int) (records []Record, next int64, err error) {
	next = from
	filter := newCommittedFilter(aborted)
	if records = room[:0]; cap(records) < countRecords(raw) {
		records = make([]Record, 0, countRecords(raw))
	}
	for {
		b, rest, ok, err := nextBatch(raw)
		if err != nil {
			return records, next, err
		}
		if !ok || b.base >= lastStable {
			return records, next, nil
		}
		admit, err := filter.admits(&b)
		if err != nil {
			return records, next, err
		}
		if admit && b.next() > next {
			// next, not from: a batch that comes twice gives its records once.
			n := len(records)
			if records, err = b.appendRecords(records, next, lastStable, limit); err != nil {
				return records[:n], next, err
			}
		}
		next = max(next, min(b.next(), lastStable))
		raw = rest
	}
}

// countRecords guesses how many records a response holds, from the headers of
// its batches alone. What a header claims counts for no more than its bytes can
// hold (or, compressed, might), so that it can't ask for memory out of nothing.
func countRecords(raw []byte) (n int) {
	for len(raw) >= batchOverhead {
		length := int(int32(binary.BigEndian.Uint32(raw[8:])))
		if length < batchOverhead-batchPrefix || length > len(raw)-batchPrefix {
			break
		}
		claimed, most := int(int32(binary.BigEndian.Uint32(raw[57:]))), (length+batchPrefix-batchOverhead)/minRecord
		n += max(0, min(claimed, most))
		raw = raw[batchPrefix+length:]
	}
	return n
}
