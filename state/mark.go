package state

import (
	"encoding/binary"
	"sort"

	"tidemark/schemas"
)

// Mark is one event that a fact of the playbook reads: a step of a stream. It
// is its own trace: while it stands in the row, a repeat of its event is known
// by it.
type Mark struct {
	Stream uint32            // in the store's dictionary of names
	At     schemas.EventTime // occurred_at
	Event  uint64            // keyed hash of event_id
	Key    uint64            // keyed hash of what pairs it with others, such as order_id; 0: nothing
	Value  int64             // what the stream measures, scaled as it says
	Text   string            // what the stream remembers, at most MarkText bytes
}

// MarkText bounds the text of a mark, in bytes.
const MarkText = 64

// MarkDay is the marks of one stream on one local day, of a customer with too
// many to keep singly.
type MarkDay struct {
	Stream uint32
	Last   schemas.EventTime // occurred_at of the day's last mark
	Count  int64
	Sum    int64
	Value  int64 // of the last mark
}

// MarkBase is the marks of one stream that left the horizon.
type MarkBase struct {
	Stream      uint32
	Count       int64
	Sum         int64
	Days        int64 // distinct local days among them
	First, Last schemas.EventTime
	Value       int64  // of the last mark
	FirstText   string // of the first mark
	Text        string // of the last mark
}

func markLess(a, b *Mark) bool {
	if a.At != b.At {
		return a.At < b.At
	}
	if a.Stream != b.Stream {
		return a.Stream < b.Stream
	}
	return a.Event < b.Event
}

// InsertMark puts m in its place by (At, Stream, Event).
func (c *Customer) InsertMark(m Mark) {
	i := len(c.Marks)
	for i > 0 && markLess(&m, &c.Marks[i-1]) {
		i--
	}
	c.Marks = append(c.Marks, Mark{})
	copy(c.Marks[i+1:], c.Marks[i:])
	c.Marks[i] = m
}

// MarkBase returns the base of a stream, nil if nothing of it left the horizon.
func (c *Customer) MarkBase(stream uint32) *MarkBase {
	for i := range c.MarkBases {
		if c.MarkBases[i].Stream == stream {
			return &c.MarkBases[i]
		}
	}
	return nil
}

// EnsureMarkBase is MarkBase, made if missing. The pointer holds until the next.
func (c *Customer) EnsureMarkBase(stream uint32) *MarkBase {
	i := sort.Search(len(c.MarkBases), func(i int) bool { return c.MarkBases[i].Stream >= stream })
	if i < len(c.MarkBases) && c.MarkBases[i].Stream == stream {
		return &c.MarkBases[i]
	}
	c.MarkBases = append(c.MarkBases, MarkBase{})
	copy(c.MarkBases[i+1:], c.MarkBases[i:])
	c.MarkBases[i] = MarkBase{Stream: stream}
	return &c.MarkBases[i]
}

const (
	markKey = 1 << iota
	markValue
	markText
	markAll = 1<<iota - 1
)

func (c *Customer) hasMarks() bool {
	return len(c.Marks) > 0 || len(c.MarkDays) > 0 || len(c.MarkBases) > 0
}

// appendMarks writes singly kept marks, days and bases, each behind its number.
func appendMarks(dst []byte, c *Customer) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.Marks)))
	prev := c.Latest
	for i := len(c.Marks) - 1; i >= 0; i-- {
		m := &c.Marks[i]
		var f byte
		if m.Key != 0 {
			f |= markKey
		}
		if m.Value != 0 {
			f |= markValue
		}
		if m.Text != "" {
			f |= markText
		}
		dst = append(dst, f)
		dst = binary.AppendUvarint(dst, uint64(m.Stream))
		dst = binary.AppendVarint(dst, int64(prev-m.At))
		dst = binary.LittleEndian.AppendUint64(dst, m.Event)
		if f&markKey != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, m.Key)
		}
		if f&markValue != 0 {
			dst = binary.AppendVarint(dst, m.Value)
		}
		if f&markText != 0 {
			dst = appendText(dst, m.Text)
		}
		prev = m.At
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.MarkDays)))
	prev = c.Latest
	for i := len(c.MarkDays) - 1; i >= 0; i-- {
		d := &c.MarkDays[i]
		dst = binary.AppendUvarint(dst, uint64(d.Stream))
		for _, v := range [...]int64{int64(prev - d.Last), d.Count, d.Sum, d.Value} {
			dst = binary.AppendVarint(dst, v)
		}
		prev = d.Last
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.MarkBases)))
	for i := range c.MarkBases {
		b := &c.MarkBases[i]
		dst = binary.AppendUvarint(dst, uint64(b.Stream))
		for _, v := range [...]int64{b.Count, b.Sum, b.Days, int64(b.First), int64(b.Last - b.First), b.Value} {
			dst = binary.AppendVarint(dst, v)
		}
		dst = appendText(dst, b.FirstText)
		dst = appendText(dst, b.Text)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func (d *decoder) marks(c *Customer) {
	if n := d.count(11); n > 0 {
		c.Marks = make([]Mark, n, n+1)
		prev := c.Latest
		for i := n - 1; i >= 0; i-- {
			m := &c.Marks[i]
			f := d.flags(markAll)
			m.Stream = uint32(d.uvarint())
			m.At = prev - schemas.EventTime(d.varint())
			m.Event = d.fixed64()
			if f&markKey != 0 {
				m.Key = d.fixed64()
			}
			if f&markValue != 0 {
				m.Value = d.varint()
			}
			if f&markText != 0 {
				m.Text = d.text()
			}
			prev = m.At
		}
	}
	if n := d.count(5); n > 0 {
		c.MarkDays = make([]MarkDay, n)
		prev := c.Latest
		for i := n - 1; i >= 0; i-- {
			x := &c.MarkDays[i]
			x.Stream = uint32(d.uvarint())
			x.Last = prev - schemas.EventTime(d.varint())
			x.Count, x.Sum, x.Value = d.varint(), d.varint(), d.varint()
			prev = x.Last
		}
	}
	if n := d.count(9); n > 0 {
		c.MarkBases = make([]MarkBase, n)
		for i := range c.MarkBases {
			b := &c.MarkBases[i]
			b.Stream = uint32(d.uvarint())
			b.Count, b.Sum, b.Days = d.varint(), d.varint(), d.varint()
			b.First = schemas.EventTime(d.varint())
			b.Last = b.First + schemas.EventTime(d.varint())
			b.Value = d.varint()
			b.FirstText, b.Text = d.text(), d.text()
		}
	}
}

func (d *decoder) text() string {
	n := d.count(1)
	if n == 0 {
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
