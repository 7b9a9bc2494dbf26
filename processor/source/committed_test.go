package source

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// marker encodes the control batch that ends a transaction.
func marker(offset, producerID int64, abort bool) []byte {
	kind := byte(1)
	if abort {
		kind = 0
	}
	return sample{base: offset, attributes: controlBit | transactionalBit, producerID: producerID,
		records: []kmsg.Record{{Key: []byte{0, 0, 0, kind}, Value: []byte{0, 0, 0, 0, 0, 0}}}}.encode()
}

func data(offset, producerID int64, transactional bool, n int) []byte {
	s := sample{base: offset, producerID: producerID, records: make([]kmsg.Record, n)}
	if transactional {
		s.attributes = transactionalBit
	}
	return s.encode()
}

func offsets(records []Record) []int64 {
	out := []int64{}
	for _, r := range records {
		out = append(out, r.Offset)
	}
	return out
}

func TestReadCommitted(t *testing.T) {
	join := func(batches ...[]byte) []byte { return slices.Concat(batches...) }
	for _, c := range []struct {
		name       string
		raw        []byte
		from       int64
		lastStable int64
		aborted    []abortedTxn
		want       []int64
		next       int64
	}{
		{"no transactions", join(data(0, -1, false, 2), data(2, 7, false, 1)), 0, 3, nil, []int64{0, 1, 2}, 3},
		{"committed", join(data(0, 7, true, 2), marker(2, 7, false)), 0, 3, nil, []int64{0, 1}, 3},
		{"aborted", join(data(0, 7, true, 2), marker(2, 7, true)), 0, 3, []abortedTxn{{7, 0}}, []int64{}, 3},
		{"aborted, then committed by the same producer",
			join(data(0, 7, true, 1), marker(1, 7, true), data(2, 7, true, 1), marker(3, 7, false)), 0, 4, []abortedTxn{{7, 0}}, []int64{2}, 4},
		{"from between the last aborted record and its marker",
			join(marker(1, 7, true), data(2, 7, true, 1), marker(3, 7, false)), 1, 4, []abortedTxn{{7, 0}}, []int64{2}, 4},
		{"from inside an aborted batch",
			join(data(0, 7, true, 3), marker(3, 7, true), data(4, 7, true, 1), marker(5, 7, false)), 2, 6, []abortedTxn{{7, 0}}, []int64{4}, 6},
		{"committed, then aborted by the same producer",
			join(data(0, 7, true, 1), marker(1, 7, false), data(2, 7, true, 1), marker(3, 7, true)), 0, 4, []abortedTxn{{7, 2}}, []int64{0}, 4},
		{"two aborts by one producer, list not in order",
			join(data(0, 7, true, 1), marker(1, 7, true), data(2, 7, true, 1), marker(3, 7, true), data(4, 7, true, 1), marker(5, 7, false)),
			0, 6, []abortedTxn{{7, 2}, {7, 0}}, []int64{4}, 6},
		{"interleaved",
			join(data(0, 7, true, 1), data(1, 8, true, 1), data(2, 9, false, 1), marker(3, 7, true), data(4, 8, true, 1), marker(5, 8, false)),
			0, 6, []abortedTxn{{7, 0}}, []int64{1, 2, 4}, 6},
		{"not transactional records of a producer that aborts",
			join(data(0, 7, true, 1), data(1, 7, false, 1), marker(2, 7, true)), 0, 3, []abortedTxn{{7, 0}}, []int64{1}, 3},
		{"marker of another producer ends nothing",
			join(data(0, 7, true, 1), marker(1, 8, true), data(2, 7, true, 1), marker(3, 7, true)), 0, 4, []abortedTxn{{7, 0}}, []int64{}, 4},
		{"commit marker ends no abort", // can't happen in a log; the Java client keeps skipping
			join(data(0, 7, true, 1), marker(1, 7, false), data(2, 7, true, 1)), 0, 3, []abortedTxn{{7, 0}}, []int64{}, 3},
		{"not past the last stable offset", join(data(0, -1, false, 1), data(1, 7, true, 2)), 0, 1, nil, []int64{0}, 1},
		{"last stable offset inside a batch", data(0, -1, false, 3), 0, 2, nil, []int64{0, 1}, 2},
		{"last stable offset before from", data(5, -1, false, 3), 6, 2, nil, []int64{}, 6},
		{"control batch alone", marker(4, 7, false), 4, 5, nil, []int64{}, 5},
		{"nothing", nil, 4, 5, nil, []int64{}, 4},
	} {
		records, next, err := committedRecords(nil, c.raw, c.from, c.lastStable, c.aborted, 1<<20)
		if got := offsets(records); err != nil || !slices.Equal(got, c.want) || next != c.next {
			t.Errorf("%s: %v, next %d, error %v; want %v, next %d", c.name, got, next, err, c.want, c.next)
		}
	}
}

// logged is one batch of a simulated log.
type logged struct {
	raw        []byte
	base, last int64
	committed  bool // its records are to be seen
	data       bool
}

type endedTxn struct {
	abortedTxn
	marker int64
}

// A broker is simulated from the rules by which it answers: it begins with the
// batch that holds the asked offset, cuts anywhere, never goes past the last
// stable offset, and lists the aborted transactions that overlap what it gives.
// However it cuts, the reader must see every committed record once.
func TestReadCommittedOverAllCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log []logged
		var aborted []endedTxn
		type open struct{ first, at int64 }
		opened := map[int64]*open{}
		index := map[int64][]int{} // batches of the open transaction
		end := int64(0)
		add := func(l logged, n int64) {
			l.base, l.last = end, end+n-1
			log = append(log, l)
			end += n
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := rapid.Int64Range(1, 4).Draw(t, "producer")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n := rapid.IntRange(1, 4).Draw(t, "records")
				if opened[id] == nil {
					opened[id] = &open{first: end}
				}
				index[id] = append(index[id], len(log))
				add(logged{raw: data(end, id, true, n), data: true}, int64(n))
			case 2:
				n := rapid.IntRange(1, 3).Draw(t, "records")
				add(logged{raw: data(end, -1, false, n), data: true, committed: true}, int64(n))
			case 3:
				abort := rapid.Bool().Draw(t, "abort")
				if o := opened[id]; o != nil {
					if abort {
						aborted = append(aborted, endedTxn{abortedTxn{id, o.first}, end})
					}
					for _, i := range index[id] {
						log[i].committed = !abort
					}
					delete(opened, id)
					delete(index, id)
					add(logged{raw: marker(end, id, abort)}, 1)
				}
			}
		}
		lastStable := end
		for _, o := range opened {
			lastStable = min(lastStable, o.first)
		}
		start := rapid.Int64Range(0, lastStable).Draw(t, "start")
		var want []int64
		for _, l := range log {
			for o := l.base; o <= l.last; o++ {
				if l.data && l.committed && o >= start && o < lastStable {
					want = append(want, o)
				}
			}
		}
		var got []int64
		for position := start; position < lastStable; {
			at := slices.IndexFunc(log, func(l logged) bool { return l.last >= position })
			upto := at
			var raw []byte
			for upto < len(log) && log[upto].base < lastStable && (upto == at || rapid.Bool().Draw(t, "more")) {
				raw = append(raw, log[upto].raw...)
				upto++
			}
			if upto < len(log) && log[upto].base < lastStable {
				raw = append(raw, log[upto].raw[:rapid.IntRange(0, len(log[upto].raw)-1).Draw(t, "partial")]...)
			}
			var list []abortedTxn
			for _, a := range aborted {
				if a.marker >= position && a.firstOffset <= log[upto-1].last {
					list = append(list, a.abortedTxn)
				}
			}
			records, next, err := committedRecords(nil, raw, position, lastStable, list, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if next <= position {
				t.Fatalf("no progress at %d", position)
			}
			got = append(got, offsets(records)...)
			position = next
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
