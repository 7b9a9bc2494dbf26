package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"tidemark/schemas"
)

// Mapping says how the lines of a CSV file become events. It is made by
// ParseMapping or ReadMapping, does not change afterwards, and may be shared.
// MAPPING.md beside this file describes the language.
type Mapping struct {
	file string
	name string

	separator  rune
	whitespace bool
	encoding   string
	header     bool
	columns    []string // names where there is no header; may be empty
	numbers    numberStyle
	zone       *time.Location // nil: the zone of Options
	refs       []columnRef    // every column that is read; a slot is an index into it

	kind       schemas.Kind
	customer   int
	eventID    int // slot, or none
	times      []int
	layout     *timeLayout
	channel    *textRule
	attributes []attributeRule
	skip       []skipRule

	behaviorType *textRule
	order        *orderRule
	refunds      *refundRule
}

// none is the slot of a column that the mapping does not name.
const none = -1

// columnRef is a column as the mapping names it.
type columnRef struct {
	name  string
	index int // from 1; 0: by name
	place
}

func (c columnRef) String() string {
	if c.index > 0 {
		return fmt.Sprintf("%d", c.index)
	}
	return fmt.Sprintf("%q", c.name)
}

type attributeRule struct {
	key  string
	text *textRule
}

// lineScope says which lines a skip rule looks at.
type lineScope uint8

const (
	allLines lineScope = iota
	orderLines
	refundLines
)

type skipRule struct {
	reason string
	scope  lineScope
	when   condition
}

type orderRule struct {
	id       int // slot, or none
	group    bool
	kind     *textRule
	currency *textRule
	amount   int // slot of the order's own total, or none
	round    bool

	sku, quantity, price, itemAmount int // slots, or none
	category                         *textRule
}

func (o *orderRule) hasItems() bool { return o.sku != none }

type refundRule struct {
	when      condition
	latestSKU bool // link to the customer's latest earlier order of that SKU
	order     int  // slot of the refunded order's number, or none
}

// Name stands in the hash of every event id that the mapping makes.
func (m *Mapping) Name() string { return m.name }

// Kind says which of the two inputs the events belong to.
func (m *Mapping) Kind() schemas.Kind { return m.kind }

// place is a line and a column of the mapping's file, from 1; 0 where unknown.
type place struct{ Line, Column int }

// MappingFault is one thing wrong with a mapping.
type MappingFault struct {
	Line, Column int // from 1; 0 where the fault has no place
	Reason       string
}

// MappingError lists all that is wrong with a mapping, or where it does not fit
// the file that it is used for.
type MappingError struct {
	File   string
	Faults []MappingFault
}

func (e *MappingError) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
		}
		b.WriteString(": ")
		b.WriteString(f.Reason)
	}
	return b.String()
}

// ReadMapping reads a mapping file from fsys, or from the operating system
// where fsys is nil.
func ReadMapping(fsys fs.FS, path string) (*Mapping, error) {
	var text []byte
	var err error
	if fsys != nil {
		text, err = fs.ReadFile(fsys, path)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("ingest: mapping: %w", err)
	}
	return ParseMapping(path, text)
}

// bind finds the mapping's columns in a file: from slots to fields of a row.
// header is nil for a file without one.
func (m *Mapping) bind(file string, header []string) ([]int, error) {
	names := m.columns
	if m.header {
		names = header
	}
	bound := make([]int, len(m.refs))
	var faults []MappingFault
	for slot, c := range m.refs {
		at, reason := c.index-1, ""
		if c.index == 0 {
			at = slices.Index(names, c.name)
			switch {
			case at < 0 && m.header:
				reason = fmt.Sprintf("no column %q in %s; its columns are %s", c.name, file, quoteAll(names))
			case at < 0:
				reason = fmt.Sprintf("no column %q under columns", c.name)
			case slices.Contains(names[at+1:], c.name):
				reason = fmt.Sprintf("column %q stands twice in %s; name it by its number", c.name, file)
			}
		} else if m.header && c.index > len(header) {
			reason = fmt.Sprintf("no column %d in %s; it has %d", c.index, file, len(header))
		}
		if reason != "" {
			faults = append(faults, MappingFault{c.Line, c.Column, reason})
		}
		bound[slot] = at
	}
	if faults != nil {
		return nil, &MappingError{m.file, faults}
	}
	return bound, nil
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ")
}

// row is one line of a file under its mapping.
type row struct {
	fields  []string
	bound   []int
	numbers numberStyle
}

// text gives a column without the space around it; "" for none.
func (r *row) text(slot int) string {
	if slot == none {
		return ""
	}
	return strings.TrimSpace(r.fields[r.bound[slot]])
}

// number gives a column that must hold one.
func (r *row) number(slot int, what string) (decimal, error) {
	s := r.text(slot)
	if s == "" {
		return decimal{}, fmt.Errorf("%s is empty", what)
	}
	d, err := r.numbers.parse(s)
	if err != nil {
		return decimal{}, fmt.Errorf("%s: %w", what, err)
	}
	return d, nil
}

// textRule gives a text for a line: a column's, the same for all, a column's
// translated, or the first case that holds.
type textRule struct {
	slot     int
	constant string            // where slot is none and there are no cases
	values   map[string]string // of the column; nil: as it stands
	cases    []textCase
	other    *string // no value and no case fits; nil: a problem
}

type textCase struct {
	when condition
	is   string
}

var errNoCase = errors.New("no case fits the line")

func (t *textRule) of(r *row) (string, error) {
	switch {
	case t == nil:
		return "", nil
	case t.cases != nil:
		for i := range t.cases {
			holds, err := t.cases[i].when.holds(r)
			if err != nil || holds {
				return t.cases[i].is, err
			}
		}
		if t.other == nil {
			return "", errNoCase
		}
		return *t.other, nil
	case t.slot == none:
		return t.constant, nil
	case t.values == nil:
		return r.text(t.slot), nil
	}
	s := r.text(t.slot)
	if v, ok := t.values[s]; ok {
		return v, nil
	}
	if t.other == nil {
		return "", fmt.Errorf("%.40q is not among its values", s)
	}
	return *t.other, nil
}

// outcomes lists every text that the rule can give, and false if a column's own
// text is one of them.
func (t *textRule) outcomes() ([]string, bool) {
	var all []string
	switch {
	case t.cases != nil:
		for _, c := range t.cases {
			all = append(all, c.is)
		}
	case t.slot == none:
		return []string{t.constant}, true
	case t.values == nil:
		return nil, false
	default:
		for _, v := range t.values {
			all = append(all, v)
		}
		slices.Sort(all)
	}
	if t.other != nil {
		all = append(all, *t.other)
	}
	return all, true
}

// condition is tests that must all hold.
type condition []test

// test compares one column's text, or its number.
type test struct {
	slot   int
	column string // for problems
	text   func(string) bool
	number func(compare int) bool // of the column's number with limit
	limit  decimal
}

func (c condition) holds(r *row) (bool, error) {
	for i := range c {
		t := &c[i]
		s := r.text(t.slot)
		if t.text != nil {
			if !t.text(s) {
				return false, nil
			}
			continue
		}
		d, err := r.number(t.slot, "column "+t.column)
		if err != nil {
			return false, err
		}
		if !t.number(d.compare(t.limit)) {
			return false, nil
		}
	}
	return true, nil
}
