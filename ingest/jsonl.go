package ingest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"tidemark/schemas"
)

// parsed is what a worker made of a block: records ready for the sorter, and
// what the report needs, in the order of the lines.
type parsed struct {
	records   []byte
	entries   []entry
	customers []uint64
	problems  []Problem
	strange   strange
	lines     int64
}

// jsonLines parses blocks of lines on several goroutines and takes the results
// in the order of the file, so that nothing depends on which was ready first.
func (in *intake) jsonLines(ctx context.Context, source int, name string, r io.Reader) error {
	type job struct {
		block lineBlock
		done  chan parsed
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	jobs := make(chan job)
	queue := make(chan job, in.options.Workers) // bounds the blocks in flight
	for range in.options.Workers {
		wg.Go(func() {
			p := eventParser{strict: in.options.Strict}
			for j := range jobs {
				j.done <- parseBlock(&p, j.block, source, name)
			}
		})
	}
	var readErr error
	wg.Go(func() {
		defer close(jobs)
		defer close(queue)
		blocks := &blockReader{in: r, size: blockSize(in.options.MemoryBytes), line: 1}
		for {
			b, err := blocks.next()
			if err != nil {
				if err != io.EOF {
					readErr = err
				}
				return
			}
			j := job{b, make(chan parsed, 1)}
			select {
			case queue <- j:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
		}
	})
	for j := range queue {
		var p parsed
		select {
		case p = <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := in.take(name, p); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return readErr // written before queue was closed
}

// strange adds the unknown keys of a block, which comes behind those before it.
func (in *intake) strange(source string, found strange) {
	for _, key := range slices.Sorted(maps.Keys(found)) {
		r := &in.report
		i := slices.IndexFunc(r.Unknown, func(k UnknownKey) bool { return k.Source == source && k.Key == key })
		if i < 0 {
			if len(r.Unknown) >= moreKeys {
				continue
			}
			names, rest := eventNames, key
			if k, ok := strings.CutPrefix(key, inItems); ok {
				names, rest = itemNames, k
			}
			i = len(r.Unknown)
			r.Unknown = append(r.Unknown, UnknownKey{Source: source, Key: key, Line: found[key].Line, Meant: meant(rest, names)})
		}
		r.Unknown[i].Times += found[key].Times
	}
}

func (in *intake) take(name string, p parsed) error {
	in.report.Lines += p.lines
	for _, problem := range p.problems {
		if err := in.problem(problem); err != nil {
			return err
		}
	}
	in.strange(name, p.strange)
	for _, h := range p.customers {
		in.customers.add(h)
	}
	for i := range p.entries {
		in.count(schemas.Kind(p.entries[i].b>>63), schemas.EventTime(p.entries[i].a))
	}
	return in.sorter.adopt(p.records, p.entries)
}

func parseBlock(p *eventParser, b lineBlock, source int, name string) parsed {
	if b.long {
		return parsed{lines: 1, problems: []Problem{{name, b.line, errLongLine.Error()}}}
	}
	// Records come out a little smaller than JSON; where they do not, append grows.
	out := parsed{records: make([]byte, 0, len(b.data)/4*3)}
	out.entries = make([]entry, 0, len(b.data)/160)
	out.customers = make([]uint64, 0, len(b.data)/160)
	var record []byte
	for line := b.line; len(b.data) > 0; line++ {
		text := b.data
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text, b.data = text[:i], b.data[i+1:]
		} else {
			b.data = nil
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		out.lines++
		e, err := p.parse(text)
		for _, key := range p.unknown {
			if out.strange == nil {
				out.strange = strange{}
			}
			out.strange.add(key, line)
		}
		if err != nil {
			out.problems = append(out.problems, Problem{name, line, err.Error()})
			continue
		}
		record = appendRecord(record[:0], e)
		out.entries = append(out.entries, entry{
			sortKey: sortKey{int64(e.OccurredAt), rank(e.Kind, source, line)},
			offset:  uint32(len(out.records)),
		})
		out.records = appendFramed(out.records, record)
		out.customers = append(out.customers, xxhash.Sum64String(e.CustomerID))
	}
	return out
}
