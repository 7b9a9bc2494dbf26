package ingest

import (
	"fmt"
	"strings"

	"tidemark/schemas"
)

// Problem is a line that could not become an event, or a part of one.
type Problem struct {
	Source string
	Line   int64 // from 1, header included; of several lines the first
	Reason string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.Source, p.Line, p.Reason) }

// ProblemsError is what Open returns when there were more problems than
// Options.MaxProblems. Lines after the last problem listed were not looked at.
type ProblemsError struct {
	Problems []Problem
	Limit    int // Options.MaxProblems
}

func (e *ProblemsError) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0].String()
	}
	const shown = 10
	var b strings.Builder
	fmt.Fprintf(&b, "more than %d lines with problems:", e.Limit)
	for i, p := range e.Problems {
		if i == shown {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-shown)
			break
		}
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// listedProblems bounds Report.Problems when any number is allowed.
const listedProblems = 1000

// Skipped counts the lines that one skip rule of a mapping took.
type Skipped struct {
	Reason string
	Lines  int64
}

// Report says what became of the input. Lines = lines that made events +
// the sum of Skipped + ProblemLines.
type Report struct {
	Lines  int64 // lines with content; CSV records without the header, JSON Lines without blank lines
	Events int64
	Orders int64 // of Events, order events

	Skipped      []Skipped // by source and then in the order of the mapping's rules; rules that took nothing too
	Problems     []Problem // in the order of the sources and their lines; at most 1,000 are listed
	ProblemLines int64     // all lines lost to problems, listed or not

	// Refunds: lines and events that a mapping's refunds block made, with and
	// without the order that they take from.
	RefundLinesLinked, RefundLinesUnlinked   int64
	RefundEventsLinked, RefundEventsUnlinked int64

	// Unknown are keys of JSON Lines that set nothing, by source; at most
	// 100. With Options.Strict each is a Problem too.
	Unknown []UnknownKey

	// Events that no task will take: their dates lie before 1970, or after
	// Options.Now. Whether the latter is too far is the playbook's to say (future).
	Before1970, Future int64

	Rounded int64 // amounts that a mapping's rounding changed

	First, Last schemas.EventTime // of the events; 0 without events

	// Customers is the number of different customer ids, -1 once it exceeds 2^20:
	// counting on would cost more memory than the number is worth.
	Customers int64

	SpilledBytes int64 // written to the temporary file
}

// UnknownKey is a key that no event has.
type UnknownKey struct {
	Source string
	Key    string // items[].KEY inside items
	Line   int64  // the first
	Times  int64
	Meant  string // the known key that it may stand for, "" if there is none
}

func (k UnknownKey) String() string {
	text := fmt.Sprintf("%s:%d: %.60q is no key of an event and sets nothing", k.Source, k.Line, k.Key)
	if k.Meant != "" {
		text += fmt.Sprintf(", did you mean %q?", k.Meant)
	}
	if k.Times > 1 {
		text += fmt.Sprintf(" (%d times)", k.Times)
	}
	return text
}

// customerSet counts different customers by a 64-bit hash of their ids: of
// 2^20 ids two share one with probability 3e-8.
type customerSet struct {
	seen map[uint64]struct{}
	over bool
}

const countedCustomers = 1 << 20

func (c *customerSet) add(hash uint64) {
	if c.over {
		return
	}
	if c.seen == nil {
		c.seen = make(map[uint64]struct{})
	}
	c.seen[hash] = struct{}{}
	if len(c.seen) > countedCustomers {
		c.seen, c.over = nil, true
	}
}

func (c *customerSet) count() int64 {
	if c.over {
		return -1
	}
	return int64(len(c.seen))
}
