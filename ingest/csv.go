package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"tidemark/schemas"
)

// csv turns a CSV file into events in two passes over sorted lines, so that
// memory is bounded by the budget and the lines of one customer: each line
// becomes a csvLine under (hash of the customer, line); then each customer's
// lines are grouped, linked and numbered together, and the events go to the
// sorter that orders the whole.
func (in *intake) csv(ctx context.Context, number int, s Source, r io.Reader) error {
	rows := newRowReader(r, s.Mapping)
	c := &csvIntake{
		in: in, source: number, name: s.Path, m: s.Mapping,
		lines:   newSorter(in.options.MemoryBytes/2, in.options.TempDir),
		skipped: make([]Skipped, len(s.Mapping.skip)),
	}
	defer c.lines.close()
	for i, rule := range s.Mapping.skip {
		c.skipped[i].Reason = rule.reason
	}
	before := len(in.report.Problems)
	if err := c.readLines(ctx, rows); err != nil {
		return err
	}
	in.report.Skipped = append(in.report.Skipped, c.skipped...)
	if err := c.customers(ctx); err != nil {
		return err
	}
	slices.SortStableFunc(in.report.Problems[before:], func(a, b Problem) int { return int(a.Line - b.Line) })
	if c.lines.spill != nil {
		in.report.SpilledBytes += c.lines.spill.end
	}
	return nil
}

type csvIntake struct {
	in      *intake
	source  int
	name    string
	m       *Mapping
	lines   *sorter
	skipped []Skipped

	width   int // columns of the header, or the largest column needed
	row     row
	scratch []byte
}

func (c *csvIntake) readLines(ctx context.Context, rows rowReader) error {
	if err := c.start(rows); err != nil {
		return err
	}
	var record []byte
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fields, number, err := rows.read()
		if err == io.EOF {
			return nil
		}
		var bad *rowError
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		c.in.report.Lines++
		var l csvLine
		rule := none
		if err == nil {
			rule, err = c.line(fields, &l)
		}
		switch {
		case err != nil:
			if err := c.in.problem(Problem{c.name, number, err.Error()}); err != nil {
				return err
			}
		case rule != none:
			c.skipped[rule].Lines++
		default:
			record = l.append(record[:0])
			key := sortKey{int64(xxhash.Sum64String(l.event.CustomerID)), uint64(number)}
			if err := c.lines.add(key, record); err != nil {
				return err
			}
		}
	}
}

// start reads the header, if there is one, and finds the columns.
func (c *csvIntake) start(rows rowReader) error {
	var header []string
	if c.m.header {
		fields, _, err := rows.read()
		if err == io.EOF {
			return errors.New("the file is empty; the mapping promises a header")
		}
		if err != nil {
			return fmt.Errorf("header: %w", err)
		}
		for _, f := range fields {
			header = append(header, strings.Clone(strings.TrimSpace(f)))
		}
	}
	bound, err := c.m.bind(c.name, header)
	if err != nil {
		return err
	}
	c.row = row{bound: bound, numbers: c.m.numbers}
	c.width = len(header)
	if !c.m.header {
		c.width = slices.Max(bound) + 1
	}
	return nil
}

// csvLine is one line on its way to an event.
type csvLine struct {
	event  schemas.Event // with at most one item
	refund bool
	total  bool   // event.AmountMinor is the order's own total
	order  string // of a refund: the refunded order's number as the file has it
	hash   [16]byte
	number int64 // of the line; not part of the record
}

func (l *csvLine) append(dst []byte) []byte {
	flags := byte(0)
	if l.refund {
		flags |= 1
	}
	if l.total {
		flags |= 2
	}
	dst = append(dst, flags)
	dst = append(dst, l.hash[:]...)
	dst = appendString(dst, l.order)
	return appendRecord(dst, &l.event)
}

func (l *csvLine) decode(d *recordDecoder, record []byte) error {
	if len(record) < 18 {
		return errTorn
	}
	l.refund, l.total = record[0]&1 != 0, record[0]&2 != 0
	copy(l.hash[:], record[1:])
	d.buf, d.bad = record[17:], false
	l.order = d.string()
	if d.bad {
		return errTorn
	}
	return d.decodeInto(&l.event, d.buf)
}

// line makes a csvLine of a row, or names the skip rule that takes it.
func (c *csvIntake) line(fields []string, l *csvLine) (rule int, err error) {
	m, r := c.m, &c.row
	if len(fields) != c.width && (m.header || len(fields) < c.width) {
		return none, fmt.Errorf("%d columns where %d were expected", len(fields), c.width)
	}
	for _, f := range fields {
		if !utf8.ValidString(f) {
			return none, fmt.Errorf("%.40q is not UTF-8; name the file's encoding in the mapping", f)
		}
	}
	r.fields = fields
	if m.refunds != nil {
		if l.refund, err = m.refunds.when.holds(r); err != nil {
			return none, err
		}
	}
	for i := range m.skip {
		s := &m.skip[i]
		if s.scope == orderLines && l.refund || s.scope == refundLines && !l.refund {
			continue
		}
		holds, err := s.when.holds(r)
		if err != nil {
			return none, err
		}
		if holds {
			return i, nil
		}
	}
	c.hash(l, fields)
	return none, c.eventOf(l)
}

// hash is what event ids are made of: SHA-256, of which 128 bits are kept, over
// the mapping's name and every field as it stands, each behind its length.
func (c *csvIntake) hash(l *csvLine, fields []string) {
	b := appendString(c.scratch[:0], c.m.name)
	for _, f := range fields {
		b = appendString(b, f)
	}
	sum := sha256.Sum256(b)
	copy(l.hash[:], sum[:])
	c.scratch = b
}

func (c *csvIntake) eventOf(l *csvLine) error {
	m, r, e := c.m, &c.row, &l.event
	e.Kind = m.kind
	if e.CustomerID = r.text(m.customer); e.CustomerID == "" {
		return errors.New("the customer is empty")
	}
	if m.eventID != none {
		if e.EventID = r.text(m.eventID); e.EventID == "" {
			return errors.New("the event id is empty")
		}
	}
	var err error
	if e.OccurredAt, err = c.instant(); err != nil {
		return err
	}
	if e.Channel, err = m.channel.of(r); err != nil {
		return fmt.Errorf("channel: %w", err)
	}
	for _, a := range m.attributes {
		v, err := a.text.of(r)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", a.key, err)
		}
		if v != "" {
			e.Attributes = append(e.Attributes, schemas.Attribute{Key: a.key, Value: v})
		}
	}
	if m.kind == schemas.Behavior {
		if e.Type, err = m.behaviorType.of(r); err != nil {
			return fmt.Errorf("type: %w", err)
		}
		if e.Type == "" {
			return errors.New("the type is empty")
		}
		return nil
	}
	return c.orderOf(l)
}

func (c *csvIntake) instant() (schemas.EventTime, error) {
	zone := c.m.zone
	if zone == nil {
		zone = c.in.options.Zone
	}
	text := c.row.text(c.m.times[0])
	for _, slot := range c.m.times[1:] {
		text += " " + c.row.text(slot)
	}
	if text == "" {
		return 0, errors.New("the time is empty")
	}
	return c.m.layout.parse(text, zone)
}

func (c *csvIntake) orderOf(l *csvLine) error {
	o, r, e := c.m.order, &c.row, &l.event
	if o.id != none {
		if e.OrderID = r.text(o.id); e.OrderID == "" {
			return errors.New("the order id is empty")
		}
	}
	kind, err := o.kind.of(r)
	if err != nil {
		return fmt.Errorf("type: %w", err)
	}
	if e.Order = schemas.ParseOrderType(kind); l.refund {
		e.Order = schemas.Refunded
		l.order = r.text(c.m.refunds.order)
	}
	if e.Order == schemas.OrderUnknown {
		return fmt.Errorf("type %.40q is none of PLACED, PAID, CANCELLED, REFUNDED", kind)
	}
	if e.Currency, err = o.currency.of(r); err != nil {
		return fmt.Errorf("currency: %w", err)
	}
	if !isCurrency(e.Currency) {
		return fmt.Errorf("currency %.40q is not an ISO 4217 code", e.Currency)
	}
	if r.text(o.amount) != "" || o.amount != none && !o.group {
		if e.AmountMinor, err = c.money(o.amount, "amount", 1, l); err != nil {
			return err
		}
		l.total = true
	}
	return c.itemOf(l)
}

func (c *csvIntake) itemOf(l *csvLine) error {
	o, r, e := c.m.order, &c.row, &l.event
	if !o.hasItems() {
		return nil
	}
	it := schemas.Item{SKU: r.text(o.sku), Quantity: 1}
	var err error
	if it.Category, err = o.category.of(r); err != nil {
		return fmt.Errorf("category: %w", err)
	}
	if o.quantity != none {
		d, err := r.number(o.quantity, "quantity")
		if err != nil {
			return err
		}
		n, ok := d.whole()
		if !ok || n < -math.MaxInt32 || n > math.MaxInt32 {
			return fmt.Errorf("quantity %s is not a whole number of 32 bits", r.text(o.quantity))
		}
		it.Quantity = int32(n)
	}
	switch {
	case o.price != none:
		it.AmountMinor, err = c.money(o.price, "price", int64(it.Quantity), l)
	case o.itemAmount != none:
		it.AmountMinor, err = c.money(o.itemAmount, "amount", 1, l)
	default:
		it.AmountMinor = e.AmountMinor
	}
	if err != nil {
		return err
	}
	if l.refund && it.Quantity < 0 {
		it.Quantity = -it.Quantity
	}
	e.Items = []schemas.Item{it}
	return nil
}

// money reads a column × quantity in minor units. A refund's sign is dropped:
// files write refunds as negative amounts, the contract has a type for them.
func (c *csvIntake) money(slot int, what string, quantity int64, l *csvLine) (int64, error) {
	d, err := c.row.number(slot, what)
	if err != nil {
		return 0, err
	}
	currency := l.event.Currency
	v, exact, ok := d.minor(quantity, currencyExponent(currency))
	if !ok {
		return 0, fmt.Errorf("%s %s × %d does not fit 64 bits", what, c.row.text(slot), quantity)
	}
	if !exact {
		if !c.m.order.round {
			return 0, fmt.Errorf("%s %s × %d is no whole number of %s's minor unit; rounding: half_even would allow it",
				what, c.row.text(slot), quantity, currency)
		}
		c.in.report.Rounded++
	}
	if l.refund && v < 0 {
		v = -v
	}
	return v, nil
}

// eventID names an event by the rows it is made of, whatever order they stand
// in, and by how many events before it were made of rows just like them.
func eventID(hashes [][16]byte, repeat int) string {
	slices.SortFunc(hashes, func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) })
	h := sha256.New()
	for i := range hashes {
		h.Write(hashes[i][:])
	}
	h.Write(binary.AppendUvarint(nil, uint64(repeat)))
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}
