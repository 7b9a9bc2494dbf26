package ingest

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"tidemark/schemas"
)

// customers takes the lines back customer by customer and makes the events.
func (c *csvIntake) customers(ctx context.Context) error {
	m, err := c.lines.finish()
	if err != nil {
		return err
	}
	var d recordDecoder
	var batch []csvLine // the lines of one hash: nearly always one customer
	var at int64
	flush := func() error {
		for _, lines := range splitCustomers(batch) {
			if err := c.customer(lines); err != nil {
				return err
			}
		}
		batch = batch[:0]
		return nil
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, record, err := m.next()
		if err == io.EOF {
			return flush()
		}
		if err != nil {
			return err
		}
		if len(batch) > 0 && key.a != at {
			if err := flush(); err != nil {
				return err
			}
		}
		at = key.a
		batch = append(batch, csvLine{number: int64(key.b)})
		if err := batch[len(batch)-1].decode(&d, record); err != nil {
			return err
		}
	}
}

// splitCustomers parts the lines of customers whose ids share a hash.
func splitCustomers(batch []csvLine) [][]csvLine {
	var parts [][]csvLine
	for len(batch) > 0 {
		id := batch[0].event.CustomerID
		other := func(l csvLine) bool { return l.event.CustomerID != id }
		if !slices.ContainsFunc(batch, other) {
			return append(parts, batch)
		}
		var mine, others []csvLine
		for _, l := range batch {
			if other(l) {
				others = append(others, l)
			} else {
				mine = append(mine, l)
			}
		}
		parts, batch = append(parts, mine), others
	}
	return parts
}

// customer makes the events of one customer's lines, which are in file order.
func (c *csvIntake) customer(lines []csvLine) error {
	c.in.customers.add(xxhash.Sum64String(lines[0].event.CustomerID))
	if c.m.refunds != nil {
		c.link(lines)
	}
	repeats := map[string]int{}
	for _, group := range c.groups(lines) {
		e, err := c.merge(group)
		if err != nil {
			if err := c.in.problem(Problem{c.name, group[0].number, err.Error()}); err != nil {
				return err
			}
			c.in.report.ProblemLines += int64(len(group) - 1)
			continue
		}
		if e.EventID == "" {
			hashes := make([][16]byte, len(group))
			for i, l := range group {
				hashes[i] = l.hash
			}
			first := eventID(hashes, 0)
			e.EventID = first
			if n := repeats[first]; n > 0 {
				e.EventID = eventID(hashes, n)
			}
			repeats[first]++
		}
		c.identify(e, group[0])
		c.countRefund(group)
		c.in.count(e.Kind, e.OccurredAt)
		c.scratch = appendRecord(c.scratch[:0], e)
		key := sortKey{int64(e.OccurredAt), rank(e.Kind, c.source, group[0].number)}
		if err := c.in.sorter.add(key, c.scratch); err != nil {
			return err
		}
	}
	return nil
}

// identify gives an order event its order id: the file's; for a linked refund
// the refunded order's; and without either the event's own, which no other has.
func (c *csvIntake) identify(e *schemas.Event, first *csvLine) {
	if e.Kind != schemas.Order {
		return
	}
	if first.refund && first.order != "" {
		e.OrderID = first.order
	}
	if e.OrderID == "" {
		e.OrderID = e.EventID
	}
}

func (c *csvIntake) countRefund(group []*csvLine) {
	r := &c.in.report
	switch first := group[0]; {
	case !first.refund:
	case first.order != "":
		r.RefundLinesLinked += int64(len(group))
		r.RefundEventsLinked++
	default:
		r.RefundLinesUnlinked += int64(len(group))
		r.RefundEventsUnlinked++
	}
}

// link gives each refund line without an order number the customer's latest
// earlier order of the same SKU; earlier is by time, and by line where the times
// are equal, so that files with dates only can be linked too.
func (c *csvIntake) link(lines []csvLine) {
	if !c.m.refunds.latestSKU {
		return
	}
	byTime := make([]*csvLine, len(lines))
	for i := range lines {
		byTime[i] = &lines[i]
	}
	slices.SortStableFunc(byTime, func(a, b *csvLine) int {
		switch {
		case a.event.OccurredAt < b.event.OccurredAt:
			return -1
		case a.event.OccurredAt > b.event.OccurredAt:
			return 1
		}
		return 0
	})
	latest := map[string]string{}
	for _, l := range byTime {
		sku := l.event.Items[0].SKU
		switch {
		case l.refund && l.order == "":
			l.order = latest[sku]
		case !l.refund && (l.event.Order == schemas.Paid || l.event.Order == schemas.Placed):
			latest[sku] = l.event.OrderID
		}
	}
}

// groups puts the lines of one event together, in the order of their first lines.
func (c *csvIntake) groups(lines []csvLine) [][]*csvLine {
	type key struct {
		order, refundOf string
		kind            schemas.OrderType
		refund          bool
	}
	at := map[key]int{}
	groups := make([][]*csvLine, 0, len(lines))
	for i := range lines {
		l := &lines[i]
		if c.m.order == nil || !c.m.order.group {
			groups = append(groups, []*csvLine{l})
			continue
		}
		k := key{l.event.OrderID, l.order, l.event.Order, l.refund}
		if g, ok := at[k]; ok {
			groups[g] = append(groups[g], l)
			continue
		}
		at[k] = len(groups)
		groups = append(groups, []*csvLine{l})
	}
	return groups
}

// merge makes one event of a group's lines. It stands at the earliest time of
// its lines; channel and attributes are those of the first.
func (c *csvIntake) merge(group []*csvLine) (*schemas.Event, error) {
	first := group[0]
	e := &first.event
	if e.Kind == schemas.Behavior {
		return e, nil
	}
	sum, total := int64(0), first.total
	for i, l := range group {
		if l.event.Currency != e.Currency {
			return nil, fmt.Errorf("line %d has the currency %s, line %d of the same order %s",
				l.number, l.event.Currency, first.number, e.Currency)
		}
		if l.total && i > 0 {
			if total && l.event.AmountMinor != e.AmountMinor {
				return nil, fmt.Errorf("line %d has another total than a line before of the same order", l.number)
			}
			e.AmountMinor, total = l.event.AmountMinor, true
		}
		if i > 0 {
			e.Items = append(e.Items, l.event.Items...)
			e.OccurredAt = min(e.OccurredAt, l.event.OccurredAt)
		}
	}
	for _, it := range e.Items {
		if it.AmountMinor > 0 && sum > math.MaxInt64-it.AmountMinor {
			return nil, fmt.Errorf("the amounts of order %.40q do not fit 64 bits", e.OrderID)
		}
		sum += it.AmountMinor
	}
	if !total {
		if c.m.order.price == none && c.m.order.itemAmount == none {
			return nil, fmt.Errorf("no line of order %.40q has an amount", e.OrderID)
		}
		e.AmountMinor = sum
	}
	if e.AmountMinor < 0 {
		return nil, fmt.Errorf("the amount %s is negative; what is a refund says the mapping's refunds block, what to leave out its skip rules",
			minorText(e.AmountMinor, e.Currency))
	}
	return e, nil
}

// minorText writes an amount for people.
func minorText(v int64, currency string) string {
	exponent := currencyExponent(currency)
	digits := fmt.Sprintf("%0*d", exponent+1, abs(v))
	s := digits[:len(digits)-exponent]
	if exponent > 0 {
		s += "." + digits[len(digits)-exponent:]
	}
	if v < 0 {
		s = "-" + s
	}
	return strings.Join([]string{s, currency}, " ")
}
