package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"time"

	"tidemark/schemas"
)

// Source is one file. Compressed with gzip or not is told by its content.
type Source struct {
	Path string // in FS, or of the operating system where FS is nil
	FS   fs.FS

	// Reader is read in the place of a file, for instance standard input; Path
	// then only names it in problems. It is not closed.
	Reader io.Reader

	// Mapping describes a CSV file; without one the file is JSON Lines.
	Mapping *Mapping
}

// Options tune Open; the zero value is good for most uses.
type Options struct {
	// MemoryBytes bounds what is held before runs go to the temporary file;
	// 0 means 256 MiB. A few blocks of at most 1 MiB (a sixteenth of the budget)
	// per worker come on top, and for grouped CSV the lines of one customer.
	MemoryBytes int64

	// TempDir holds the temporary file; "" means os.TempDir().
	TempDir string

	// Zone is the time zone of mappings that name none; nil means UTC.
	Zone *time.Location

	// MaxProblems is how many bad lines are passed over and reported; the next
	// one fails Open with *ProblemsError. 0 stops at the first, -1 never stops.
	MaxProblems int

	// Strict makes an unknown key of JSON Lines a problem.
	Strict bool

	// Now is what Report.Future is counted from; 0: it is not.
	Now schemas.EventTime

	// Workers parse JSON Lines side by side; 0 means GOMAXPROCS. The result
	// does not depend on it.
	Workers int
}

func (o Options) withDefaults() Options {
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = 256 << 20
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return o
}

// maxSources keeps the source's number in 15 bits of the sort key.
const maxSources = 1 << 15

// rank orders events of one instant: orders before behaviors, then the place in
// the files. Lines are counted in 48 bits.
func rank(kind schemas.Kind, source int, line int64) uint64 {
	return uint64(kind)<<63 | uint64(source)<<48 | uint64(line)
}

// Events is a stream of sorted events. It is for one goroutine.
type Events struct {
	merge   *merge
	sorter  *sorter
	decoder recordDecoder
	report  Report
	err     error
}

// Open reads all sources to their end, sorts, and gives the events. It fails
// with *ProblemsError for lines that are no events, with *MappingError where a
// mapping does not fit its file, and with the file's or ctx's own error
// otherwise, and leaves nothing behind then. A Reader that blocks is waited for
// even when ctx has ended.
func Open(ctx context.Context, sources []Source, options Options) (*Events, error) {
	options = options.withDefaults()
	if len(sources) > maxSources {
		return nil, fmt.Errorf("ingest: %d sources, at most %d", len(sources), maxSources)
	}
	budget := options.MemoryBytes
	if slices.ContainsFunc(sources, func(s Source) bool { return s.Mapping != nil }) {
		budget /= 2 // the other half sorts a CSV file's lines by customer
	}
	in := &intake{
		options: options,
		sorter:  newSorter(budget, options.TempDir),
	}
	for i, s := range sources {
		if err := in.source(ctx, i, s); err != nil {
			in.sorter.close()
			return nil, err
		}
	}
	m, err := in.sorter.finish()
	if err != nil {
		in.sorter.close()
		return nil, err
	}
	in.report.Customers = in.customers.count()
	if in.sorter.spill != nil {
		in.report.SpilledBytes += in.sorter.spill.end
	}
	return &Events{merge: m, sorter: in.sorter, report: in.report}, nil
}

// Next gives the next event, and io.EOF at the end. Events are not reused: each
// stays as it is for as long as it is wanted. Its strings are views of a buffer
// shared with its neighbours, so whoever keeps a few of many clones them.
func (e *Events) Next() (*schemas.Event, error) {
	if e.err != nil {
		return nil, e.err
	}
	_, record, err := e.merge.next()
	if err != nil {
		e.err = err
		return nil, err
	}
	event, err := e.decoder.decode(record)
	e.err = err
	return event, err
}

// Report is complete as soon as Open has returned.
func (e *Events) Report() Report { return e.report }

// Close removes the temporary file. Events handed out stay valid.
func (e *Events) Close() error {
	e.err = ErrClosed
	return e.sorter.close()
}

// ErrClosed is what Next returns after Close.
var ErrClosed = errors.New("ingest: events are closed")

// intake gathers the records of all sources.
type intake struct {
	options   Options
	sorter    *sorter
	customers customerSet
	report    Report
}

func (in *intake) source(ctx context.Context, number int, s Source) error {
	r, err := openSource(s)
	if err != nil {
		return err
	}
	defer r.Close()
	if s.Mapping == nil {
		err = in.jsonLines(ctx, number, s.Path, r)
	} else {
		err = in.csv(ctx, number, s, r)
	}
	// A file's own faults carry its name here; problems name it themselves.
	var problems *ProblemsError
	var mapping *MappingError
	if err == nil || errors.As(err, &problems) || errors.As(err, &mapping) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("ingest: %s: %w", s.Path, err)
}

func (in *intake) problem(p Problem) error {
	in.report.ProblemLines++
	if limit := in.options.MaxProblems; limit >= 0 && int(in.report.ProblemLines) > limit {
		return &ProblemsError{Problems: append(in.report.Problems, p), Limit: limit}
	}
	if len(in.report.Problems) < listedProblems {
		in.report.Problems = append(in.report.Problems, p)
	}
	return nil
}

func (in *intake) count(kind schemas.Kind, at schemas.EventTime) {
	r := &in.report
	if r.Events == 0 || at < r.First {
		r.First = at
	}
	if r.Events == 0 || at > r.Last {
		r.Last = at
	}
	r.Events++
	if at < 0 {
		r.Before1970++
	} else if now := in.options.Now; now != 0 && at > now {
		r.Future++
	}
	if kind == schemas.Order {
		r.Orders++
	}
}
