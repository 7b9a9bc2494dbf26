package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tidemark/schemas"
)

// RowVersion is the version byte of a row whose sections its second byte lists,
// RowMore that of one that goes on with sections behind tags of their own.
const (
	RowVersion = 1
	RowMore    = 2
)

// ErrRow is wrapped by every error about bytes that are no row.
var ErrRow = errors.New("state: bad row")

// Section bits: a section that is empty costs nothing.
const (
	hasBase = 1 << iota
	hasDays
	hasOrders
	hasSeen
	hasWait
	hasRules
	hasSpill
	hasMarks
	hasAll = 1<<iota - 1
)

// Sections that came later follow the others in a RowMore row, each behind its
// tag, tags ascending, and after the last a 0.
const (
	moreAccounts byte = 1
)

const (
	orderForeign = 1 << iota
	orderRefunded
	orderVoided
	orderOmitted
	orderCancelled
	orderAll = 1<<iota - 1
)

const (
	firingEnded = 1 << iota
	firingWithheld
	firingAll = 1<<iota - 1
)

const (
	ruleDue = 1 << iota
	ruleAux
	ruleCounted
	ruleLog
	ruleSince
	ruleArmed
	ruleSent
	ruleAll = 1<<iota - 1
)

// AppendRow appends the row of c, its id apart, to dst. Times are written as
// differences to Latest or to their neighbour, so most take two to five bytes.
func AppendRow(dst []byte, c *Customer) []byte {
	version := len(dst)
	dst = append(dst, RowVersion)
	var has byte
	if c.Base != (Base{}) {
		has |= hasBase
	}
	if len(c.Days) > 0 {
		has |= hasDays
	}
	if len(c.Orders) > 0 {
		has |= hasOrders
	}
	if len(c.Seen) > 0 {
		has |= hasSeen
	}
	if len(c.Wait) > 0 {
		has |= hasWait
	}
	if len(c.Rules) > 0 {
		has |= hasRules
	}
	if c.Spilled != 0 {
		has |= hasSpill
	}
	if c.hasMarks() {
		has |= hasMarks
	}
	dst = append(dst, has)
	dst = binary.AppendVarint(dst, int64(c.Latest))
	dst = appendOptional(dst, c.Wake, c.Latest)
	if has&hasBase != 0 {
		b := &c.Base
		for _, v := range [...]int64{b.Count, b.Sum, b.Days, int64(b.First), int64(b.Last - b.First), b.Refunded, b.Omitted} {
			dst = binary.AppendVarint(dst, v)
		}
	}
	if has&hasDays != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.Days)))
		prev := c.Latest
		for i := len(c.Days) - 1; i >= 0; i-- {
			d := &c.Days[i]
			dst = binary.AppendVarint(dst, int64(prev-d.Last))
			dst = binary.AppendVarint(dst, d.Count)
			dst = binary.AppendVarint(dst, d.Sum)
			dst = binary.AppendVarint(dst, d.Omitted)
			dst = binary.AppendVarint(dst, d.Refunded)
			prev = d.Last
		}
	}
	if has&hasOrders != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.Orders)))
		prev := c.Latest
		for i := len(c.Orders) - 1; i >= 0; i-- {
			dst = appendOrder(dst, &c.Orders[i], prev)
			prev = c.Orders[i].At
		}
	}
	if has&hasSeen != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.Seen)))
		prev := UTCDay(c.Latest)
		for i := len(c.Seen) - 1; i >= 0; i-- {
			dst = binary.AppendVarint(dst, int64(prev-c.Seen[i].Day))
			dst = binary.LittleEndian.AppendUint64(dst, c.Seen[i].Hash)
			prev = c.Seen[i].Day
		}
	}
	if has&hasWait != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.Wait)))
		for i := range c.Wait {
			w := &c.Wait[i]
			dst = binary.LittleEndian.AppendUint64(dst, w.Order)
			dst = binary.LittleEndian.AppendUint64(dst, w.Event)
			dst = binary.AppendVarint(dst, int64(c.Latest-w.At))
			dst = binary.AppendVarint(dst, int64(w.Until-w.At))
			dst = binary.AppendVarint(dst, w.Amount)
			dst = append(dst, w.Code[:]...)
		}
	}
	if has&hasRules != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.Rules)))
		for i := range c.Rules {
			dst = appendRule(dst, &c.Rules[i], c.Latest)
		}
	}
	if has&hasSpill != 0 {
		dst = binary.AppendVarint(dst, int64(c.Spilled))
	}
	if has&hasMarks != 0 {
		dst = appendMarks(dst, c)
	}
	if more := len(c.Accounts) > 0; more {
		dst[version] = RowMore
		dst = append(appendAccounts(append(dst, moreAccounts), c), 0)
	}
	return dst
}

// AppendSpilledOrder appends an order that moved to a sub-key.
func AppendSpilledOrder(dst []byte, o *Order) []byte { return appendOrder(dst, o, 0) }

// DecodeSpilledOrder is the inverse of AppendSpilledOrder.
func DecodeSpilledOrder(b []byte) (Order, error) {
	d := decoder{b: b}
	o := d.order(0)
	return o, d.end()
}

func appendOrder(dst []byte, o *Order, prev schemas.EventTime) []byte {
	var f byte
	if o.Base != 0 {
		f |= orderForeign
	}
	if o.Refunded != 0 {
		f |= orderRefunded
	}
	if o.Voided != 0 {
		f |= orderVoided
	}
	if o.Omitted != 0 {
		f |= orderOmitted
	}
	if o.Cancelled != 0 {
		f |= orderCancelled
	}
	dst = append(dst, f)
	dst = binary.LittleEndian.AppendUint64(dst, o.ID)
	dst = binary.LittleEndian.AppendUint64(dst, o.Event)
	dst = binary.AppendVarint(dst, int64(prev-o.At))
	dst = binary.AppendUvarint(dst, uint64(o.Paid))
	if f&orderForeign != 0 {
		dst = binary.AppendUvarint(dst, uint64(o.Base))
	}
	if f&orderRefunded != 0 {
		dst = binary.AppendUvarint(dst, uint64(o.Refunded))
	}
	if f&orderVoided != 0 {
		dst = binary.AppendUvarint(dst, uint64(o.Voided))
	}
	if f&orderOmitted != 0 {
		dst = binary.AppendUvarint(dst, uint64(o.Omitted))
	}
	if f&orderCancelled != 0 {
		dst = binary.AppendVarint(dst, int64(o.Cancelled-o.At))
	}
	return dst
}

func appendRule(dst []byte, r *Rule, latest schemas.EventTime) []byte {
	var f byte
	if r.Due != 0 {
		f |= ruleDue
	}
	if r.Aux != 0 {
		f |= ruleAux
	}
	if r.Counted {
		f |= ruleCounted
	}
	if len(r.Log) > 0 {
		f |= ruleLog
	}
	if r.Since != 0 {
		f |= ruleSince
	}
	if r.Armed != 0 {
		f |= ruleArmed
	}
	if r.Sent != 0 {
		f |= ruleSent
	}
	dst = append(dst, f)
	dst = binary.AppendUvarint(dst, uint64(r.ID))
	dst = binary.AppendVarint(dst, int64(r.Phase))
	dst = binary.AppendUvarint(dst, uint64(r.Episode))
	if f&ruleSince != 0 {
		dst = binary.AppendVarint(dst, int64(latest-r.Since))
	}
	if f&ruleArmed != 0 {
		dst = binary.AppendVarint(dst, int64(latest-r.Armed))
	}
	if f&ruleSent != 0 {
		dst = binary.AppendVarint(dst, int64(latest-r.Sent))
	}
	if f&ruleDue != 0 {
		dst = binary.AppendVarint(dst, int64(r.Due-latest))
	}
	if f&ruleAux != 0 {
		dst = binary.AppendVarint(dst, r.Aux)
	}
	if f&ruleCounted != 0 {
		for _, v := range r.Vals {
			dst = binary.AppendVarint(dst, v)
		}
	}
	if f&ruleLog != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(r.Log)))
		for i := range r.Log {
			l := &r.Log[i]
			var lf byte
			if l.Ended != 0 {
				lf |= firingEnded
			}
			if l.Withheld != 0 {
				lf |= firingWithheld
			}
			dst = append(dst, lf)
			dst = binary.AppendUvarint(dst, uint64(r.Episode-l.Episode))
			dst = binary.AppendUvarint(dst, uint64(l.Revision))
			dst = binary.AppendVarint(dst, int64(latest-l.At))
			if lf&firingEnded != 0 {
				dst = binary.AppendVarint(dst, int64(l.Ended-l.At))
			}
			dst = binary.AppendVarint(dst, int64(l.From))
			dst = binary.AppendVarint(dst, int64(l.To))
			dst = binary.LittleEndian.AppendUint32(dst, l.Hash)
			if l.Withheld != 0 {
				dst = append(dst, l.Withheld)
			}
		}
	}
	return dst
}

// appendOptional writes a 0 byte for none, else a 1 byte and t's difference to ref.
func appendOptional(dst []byte, t, ref schemas.EventTime) []byte {
	if t == 0 {
		return append(dst, 0)
	}
	return binary.AppendVarint(append(dst, 1), int64(t-ref))
}

// DecodeRow fills c, of which only the ID is set, from a row. It keeps no part of
// b. Orders and Rules of length 0 give the memory that they have.
func DecodeRow(c *Customer, b []byte) error {
	if len(b) < 2 {
		return fmt.Errorf("%w: %d bytes", ErrRow, len(b))
	}
	if b[0] != RowVersion && b[0] != RowMore {
		return fmt.Errorf("%w: version %d, this engine reads %d and %d", ErrRow, b[0], RowVersion, RowMore)
	}
	more := b[0] == RowMore
	d := decoder{b: b[1:]}
	has := d.flags(hasAll)
	c.Latest = schemas.EventTime(d.varint())
	if d.flags(1) != 0 {
		c.Wake = c.Latest + schemas.EventTime(d.varint())
	}
	if has&hasBase != 0 {
		c.Base.Count, c.Base.Sum, c.Base.Days = d.varint(), d.varint(), d.varint()
		c.Base.First = schemas.EventTime(d.varint())
		c.Base.Last = c.Base.First + schemas.EventTime(d.varint())
		c.Base.Refunded, c.Base.Omitted = d.varint(), d.varint()
	}
	if has&hasDays != 0 {
		n := d.count(5)
		c.Days = make([]DaySum, n)
		prev := c.Latest
		for i := n - 1; i >= 0; i-- {
			prev -= schemas.EventTime(d.varint())
			c.Days[i] = DaySum{Last: prev, Count: d.varint(), Sum: d.varint(), Omitted: d.varint(), Refunded: d.varint()}
		}
	}
	if has&hasOrders != 0 {
		n := d.count(19)
		if c.Orders = c.Orders[:0]; cap(c.Orders) > n { // one more is about to come
			c.Orders = c.Orders[:n]
		} else {
			c.Orders = make([]Order, n, n+1)
		}
		prev := c.Latest
		for i := n - 1; i >= 0; i-- {
			c.Orders[i] = d.order(prev)
			prev = c.Orders[i].At
		}
	}
	if has&hasSeen != 0 {
		n := d.count(9)
		c.Seen = make([]Seen, n, n+1)
		prev := UTCDay(c.Latest)
		for i := n - 1; i >= 0; i-- {
			prev -= int32(d.varint())
			c.Seen[i] = Seen{Day: prev, Hash: d.fixed64()}
		}
	}
	if has&hasWait != 0 {
		n := d.count(22)
		c.Wait = make([]Waiting, n)
		for i := range c.Wait {
			w := &c.Wait[i]
			w.Order, w.Event = d.fixed64(), d.fixed64()
			w.At = c.Latest - schemas.EventTime(d.varint())
			w.Until = w.At + schemas.EventTime(d.varint())
			w.Amount = d.varint()
			for j := range w.Code {
				w.Code[j] = d.byte()
			}
		}
	}
	if has&hasRules != 0 {
		n := d.count(4)
		if c.Rules = c.Rules[:0]; cap(c.Rules) >= n {
			c.Rules = c.Rules[:n]
			clear(c.Rules)
		} else {
			c.Rules = make([]Rule, n)
		}
		for i := range c.Rules {
			d.rule(&c.Rules[i], c.Latest)
		}
	}
	if has&hasSpill != 0 {
		c.Spilled = int32(d.varint())
	}
	if has&hasMarks != 0 {
		d.marks(c)
	}
	if more {
		d.more(c)
	}
	return d.end()
}

// more reads the sections behind their tags.
func (d *decoder) more(c *Customer) {
	before := byte(0)
	for tag := d.byte(); tag != 0; tag = d.byte() {
		if tag <= before {
			d.fail() // each once and in order, so that a row has one form
		}
		switch before = tag; tag {
		case moreAccounts:
			d.accounts(c)
		default:
			d.fail()
		}
	}
	if before == 0 {
		d.fail()
	}
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) order(prev schemas.EventTime) Order {
	var o Order
	f := d.flags(orderAll)
	o.ID, o.Event = d.fixed64(), d.fixed64()
	o.At = prev - schemas.EventTime(d.varint())
	o.Paid = int64(d.uvarint())
	if f&orderForeign != 0 {
		o.Base = int64(d.uvarint())
	}
	if f&orderRefunded != 0 {
		o.Refunded = int64(d.uvarint())
	}
	if f&orderVoided != 0 {
		o.Voided = int64(d.uvarint())
	}
	if f&orderOmitted != 0 {
		o.Omitted = int64(d.uvarint())
	}
	if f&orderCancelled != 0 {
		o.Cancelled = o.At + schemas.EventTime(d.varint())
	}
	return o
}

func (d *decoder) rule(r *Rule, latest schemas.EventTime) {
	f := d.flags(ruleAll)
	r.ID = uint32(d.uvarint())
	r.Phase = int32(d.varint())
	r.Episode = uint32(d.uvarint())
	if f&ruleSince != 0 {
		r.Since = latest - schemas.EventTime(d.varint())
	}
	if f&ruleArmed != 0 {
		r.Armed = latest - schemas.EventTime(d.varint())
	}
	if f&ruleSent != 0 {
		r.Sent = latest - schemas.EventTime(d.varint())
	}
	if f&ruleDue != 0 {
		r.Due = latest + schemas.EventTime(d.varint())
	}
	if f&ruleAux != 0 {
		r.Aux = d.varint()
	}
	if f&ruleCounted != 0 {
		r.Counted = true
		for i := range r.Vals {
			r.Vals[i] = d.varint()
		}
	}
	if f&ruleLog != 0 {
		n := d.count(10)
		r.Log = make([]Firing, n)
		for i := range r.Log {
			l := &r.Log[i]
			lf := d.flags(firingAll)
			l.Episode = r.Episode - uint32(d.uvarint())
			l.Revision = uint32(d.uvarint())
			l.At = latest - schemas.EventTime(d.varint())
			if lf&firingEnded != 0 {
				l.Ended = l.At + schemas.EventTime(d.varint())
			}
			l.From, l.To = int32(d.varint()), int32(d.varint())
			l.Hash = d.fixed32()
			if lf&firingWithheld != 0 {
				l.Withheld = d.byte()
			}
		}
	}
}

// count reads a length and refuses one that the bytes left could not hold at
// least bytes each, so hostile bytes allocate no more than they are long.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/least) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// flags reads a byte of which this version knows the bits of all.
func (d *decoder) flags(all byte) byte {
	f := d.byte()
	if f&^all != 0 {
		d.fail()
	}
	return f
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) fixed64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) fixed32() uint32 {
	if len(d.b) < 4 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) end() error {
	if d.bad {
		return fmt.Errorf("%w: it ends early or is damaged", ErrRow)
	}
	if len(d.b) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrRow, len(d.b))
	}
	return nil
}
