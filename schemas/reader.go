package schemas

import "fmt"

// Reader decodes the bodies of one writer's schema straight into an Event. It
// is made once per schema id by CompileReader, does not change afterwards and
// may be used by any number of goroutines.
type Reader struct {
	kind   Kind
	fields []op // in the writer's order
}

// Kind returns the kind of event that the reader fills in.
func (r *Reader) Kind() Kind { return r.kind }

// opcode says where the next value of the body goes.
type opcode uint8

const (
	opSkip  opcode = iota // a field that the contract does not have
	opFail                // a union branch that cannot be resolved
	opUnion               // the body says which branch follows

	// Fields of both records.
	opEventID
	opCustomerID
	opOccurredAt
	opChannel
	opAttributes

	// Fields of an order event.
	opOrderID
	opOrderType
	opAmount
	opCurrency
	opItems

	// The field of a behavior event.
	opBehaviorType

	// Below items and attributes.
	opItem
	opSKU
	opCategory
	opQuantity
	opItemAmount
	opMapValue
)

// op reads one value of the writer.
type op struct {
	code     opcode
	narrow   bool        // the writer's type is int: a longer number is malformed
	field    string      // path, for errors
	branches []op        // opUnion
	symbols  []OrderType // opOrderType: by the writer's index; OrderUnknown for a foreign symbol
	entry    *op         // opItems: the item; opAttributes: the value
	size     int         // opItems, opAttributes: the fewest bytes that an entry takes
	fields   []op        // opItem
	skip     *skip       // opSkip
	fail     error       // opFail
}

// Decode fills e from body, which holds exactly one record without wire header.
//
// The strings of e point into body: it must not change while e is in use. The
// capacity of e.Items and e.Attributes is used again, every other field is set
// anew. After an error, which is a *DecodeError, e holds parts
// of the record. Decode never panics, and what it allocates is bounded by a
// small multiple of len(body).
//
// An instant is the writer's long as it stands: the specification's resolution
// looks at logical types no more than at their absence, so a writer that puts
// timestamp-micros where the contract has timestamp-millis is a thousand times
// in the future, and is found by whoever checks times.
func (r *Reader) Decode(body []byte, e *Event) error {
	*e = Event{Kind: r.kind, Items: e.Items[:0], Attributes: e.Attributes[:0]}
	c := cursor{b: body}
	for i := range r.fields {
		f := &r.fields[i]
		c.field(f, e)
		if c.err != nil {
			return &DecodeError{Record: r.kind.Record(), Field: f.field, Offset: c.at, Err: c.err}
		}
	}
	if c.p != len(body) {
		return &DecodeError{Record: r.kind.Record(), Offset: c.p,
			Err: fmt.Errorf("%w: %d", ErrTrailing, len(body)-c.p)}
	}
	return nil
}

// branch follows a union to the branch that the body names.
func (c *cursor) branch(o *op) *op {
	for o.code == opUnion {
		i := c.long()
		if uint64(i) >= uint64(len(o.branches)) {
			c.fail(ErrBranch)
			return &failed
		}
		o = &o.branches[i]
	}
	if o.code == opFail {
		c.fail(o.fail)
	}
	return o
}

// failed stands for a branch after an error: nothing is read for it.
var failed = op{code: opFail}

// number reads a long, or an int that is promoted to one.
func (c *cursor) number(o *op) int64 {
	if o.narrow {
		return int64(c.int())
	}
	return c.long()
}

// field reads one field of the event.
func (c *cursor) field(o *op, e *Event) {
	if o.code <= opUnion {
		if o.code == opSkip {
			c.skip(o.skip, 0)
			return
		}
		o = c.branch(o)
	}
	switch o.code {
	case opEventID:
		e.EventID = c.view()
	case opCustomerID:
		e.CustomerID = c.view()
	case opOccurredAt:
		e.OccurredAt = EventTime(c.number(o))
	case opChannel:
		e.Channel = c.view()
	case opAttributes:
		c.attributes(o, e)
	case opOrderID:
		e.OrderID = c.view()
	case opOrderType:
		i := c.long()
		if uint64(i) >= uint64(len(o.symbols)) || o.symbols[i] == OrderUnknown {
			c.fail(ErrSymbol)
			return
		}
		e.Order = o.symbols[i]
	case opAmount:
		e.AmountMinor = c.number(o)
	case opCurrency:
		e.Currency = c.view()
	case opItems:
		c.items(o, e)
	case opBehaviorType:
		e.Type = c.view()
	}
}

func (c *cursor) items(o *op, e *Event) {
	for {
		n, end := c.block(o.size)
		if n == 0 {
			return
		}
		for range n {
			entry := o.entry
			if entry.code != opItem {
				entry = c.branch(entry)
			}
			e.Items = append(e.Items, Item{})
			item := &e.Items[len(e.Items)-1]
			for i := range entry.fields {
				c.itemField(&entry.fields[i], item)
			}
			if c.err != nil {
				return
			}
		}
		c.closeBlock(end)
	}
}

func (c *cursor) itemField(o *op, item *Item) {
	if o.code <= opUnion {
		if o.code == opSkip {
			c.skip(o.skip, 0)
			return
		}
		o = c.branch(o)
	}
	switch o.code {
	case opSKU:
		item.SKU = c.view()
	case opCategory:
		item.Category = c.view()
	case opQuantity:
		item.Quantity = c.int()
	case opItemAmount:
		item.AmountMinor = c.number(o)
	}
}

func (c *cursor) attributes(o *op, e *Event) {
	for {
		n, end := c.block(o.size)
		if n == 0 {
			return
		}
		for range n {
			a := Attribute{Key: c.view()}
			if o.entry.code != opMapValue {
				c.branch(o.entry)
			}
			a.Value = c.view()
			if c.err != nil {
				return
			}
			e.Attributes = append(e.Attributes, a)
		}
		c.closeBlock(end)
	}
}
