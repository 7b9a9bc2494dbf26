package ingest

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"tidemark/schemas"
)

// errTorn means that a record in a temporary run is not what was written there:
// the disk or another process changed it.
var errTorn = errors.New("ingest: temporary run is damaged")

// A record is the form in which an event waits for its place in the order. It
// lives in memory and in temporary files of this process only and is never read
// by another one, so it carries no version:
//
//	flags       1 byte: bit 0 behavior, bits 1-3 order type
//	occurred_at zigzag varint, milliseconds
//	event_id, customer_id, channel            strings
//	order:    order_id, currency strings; amount zigzag varint; count of items,
//	          each sku, category strings; quantity, amount zigzag varints
//	behavior: type string
//	count of attributes, each key, value strings
//
// A string is its length as uvarint and its bytes; a count is a uvarint.
func appendRecord(dst []byte, e *schemas.Event) []byte {
	dst = append(dst, byte(e.Kind)&1|byte(e.Order)<<1)
	dst = binary.AppendVarint(dst, int64(e.OccurredAt))
	dst = appendString(dst, e.EventID)
	dst = appendString(dst, e.CustomerID)
	dst = appendString(dst, e.Channel)
	if e.Kind == schemas.Order {
		dst = appendString(dst, e.OrderID)
		dst = appendString(dst, e.Currency)
		dst = binary.AppendVarint(dst, e.AmountMinor)
		dst = binary.AppendUvarint(dst, uint64(len(e.Items)))
		for i := range e.Items {
			it := &e.Items[i]
			dst = appendString(dst, it.SKU)
			dst = appendString(dst, it.Category)
			dst = binary.AppendVarint(dst, int64(it.Quantity))
			dst = binary.AppendVarint(dst, it.AmountMinor)
		}
	} else {
		dst = appendString(dst, e.Type)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Attributes)))
	for i := range e.Attributes {
		dst = appendString(dst, e.Attributes[i].Key)
		dst = appendString(dst, e.Attributes[i].Value)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// recordDecoder turns records back into events whose strings are views of the
// record. Events, items and attributes are cut from slabs, since one allocation
// per event would cost more than the decoding; a slab is never used twice.
type recordDecoder struct {
	events     []schemas.Event
	items      []schemas.Item
	attributes []schemas.Attribute

	buf []byte
	bad bool
}

const slab = 256

func (d *recordDecoder) decode(record []byte) (*schemas.Event, error) {
	if len(d.events) == 0 {
		d.events = make([]schemas.Event, slab)
	}
	e := &d.events[0]
	if err := d.decodeInto(e, record); err != nil {
		return nil, err
	}
	d.events = d.events[1:]
	return e, nil
}

func (d *recordDecoder) decodeInto(e *schemas.Event, record []byte) error {
	d.buf, d.bad = record, len(record) == 0
	if d.bad {
		return errTorn
	}
	flags := d.buf[0]
	d.buf = d.buf[1:]
	e.Kind = schemas.Kind(flags & 1)
	e.Order = schemas.OrderType(flags >> 1)
	e.OccurredAt = schemas.EventTime(d.varint())
	e.EventID = d.string()
	e.CustomerID = d.string()
	e.Channel = d.string()
	if e.Kind == schemas.Order {
		e.OrderID = d.string()
		e.Currency = d.string()
		e.AmountMinor = d.varint()
		if n := d.count(); n > 0 {
			if n > len(d.items) {
				d.items = make([]schemas.Item, max(n, slab))
			}
			e.Items, d.items = d.items[:n:n], d.items[n:]
			for i := range e.Items {
				it := &e.Items[i]
				it.SKU, it.Category = d.string(), d.string()
				it.Quantity, it.AmountMinor = int32(d.varint()), d.varint()
			}
		}
	} else {
		e.Type = d.string()
	}
	if n := d.count(); n > 0 {
		if n > len(d.attributes) {
			d.attributes = make([]schemas.Attribute, max(n, slab))
		}
		e.Attributes, d.attributes = d.attributes[:n:n], d.attributes[n:]
		for i := range e.Attributes {
			e.Attributes[i] = schemas.Attribute{Key: d.string(), Value: d.string()}
		}
	}
	if d.bad || len(d.buf) != 0 {
		return errTorn
	}
	return nil
}

func (d *recordDecoder) varint() int64 {
	v, n := binary.Varint(d.buf)
	if n <= 0 {
		d.bad, d.buf = true, nil
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// count reads a number of things, each at least two bytes long.
func (d *recordDecoder) count() int {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || v > uint64(len(d.buf)-n)/2 {
		d.bad, d.buf = true, nil
		return 0
	}
	d.buf = d.buf[n:]
	return int(v)
}

func (d *recordDecoder) string() string {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || v > uint64(len(d.buf)-n) {
		d.bad, d.buf = true, nil
		return ""
	}
	s := view(d.buf[n : n+int(v)])
	d.buf = d.buf[n+int(v):]
	return s
}

// view gives bytes that nobody changes any more as a string, without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
