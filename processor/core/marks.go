package core

import (
	"sort"
	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
	"unicode/utf8"
)

// streams are the streams of the playbook in force, bound to the dictionary.
type streams struct {
	ids     []history.Stream // by index into Playbook.Streams
	byType  map[string][]int
	byOrder [5][]int // by schemas.OrderType
	any     bool
}

// bindStreams looks up which streams are read, and by which events. A stream
// that nothing reads keeps nothing.
func (c *Core) bindStreams() {
	pb := c.pb
	s := streams{ids: make([]history.Stream, len(pb.Streams)), byType: map[string][]int{}}
	read := make([]bool, len(pb.Streams))
	for i := range pb.Facts {
		f := &pb.Facts[i]
		read[f.Stream] = true
		if f.Other >= 0 {
			read[f.Other] = true
		}
	}
	for i := range pb.Growth {
		for k := range pb.Growth[i].Factors {
			read[pb.Growth[i].Factors[k].Stream] = true
		}
		read[pb.Growth[i].Settle.Stream] = true
	}
	for i := range pb.Tiers {
		read[pb.Tiers[i].Grants], read[pb.Tiers[i].Member], read[pb.Tiers[i].Told] = true, true, true
		for _, b := range pb.Tiers[i].Bought {
			read[b.Stream] = true
		}
	}
	for i := range pb.Ledgers {
		l := &pb.Ledgers[i]
		for k := range l.Earn.Factors {
			read[l.Earn.Factors[k].Stream] = true
		}
		read[l.Earn.Settle.Stream], read[l.Redeemed], read[l.Claimed], read[l.Adjusted], read[l.Refunds] = true, true, true, true, true
	}
	for i := range pb.RFM {
		read[pb.RFM[i].Stream] = true
	}
	for i := range pb.Churn {
		read[pb.Churn[i].Stream] = true
	}
	for i := range pb.Tasks {
		t := &pb.Tasks[i]
		read[t.Stream], read[max(t.Opens, 0)] = true, true
		for k := range t.Steps {
			read[t.Steps[k].Stream], read[max(t.Steps[k].MakeUp, 0)] = true, true
		}
		for k := range t.Rewards {
			if l := t.Rewards[k].Lock; l != nil {
				read[l.Stream] = true
			}
		}
	}
	for i := 1; i < len(pb.Streams); i++ {
		if !read[i] {
			continue
		}
		d := &pb.Streams[i]
		s.any = true
		s.ids[i] = history.Stream{ID: c.name("stream/" + d.Name), Net: d.Net}
		for _, t := range d.Types {
			s.byType[t] = append(s.byType[t], i)
		}
		for _, t := range d.Order {
			s.byOrder[t] = append(s.byOrder[t], i)
		}
	}
	c.streams = s
}

// marks keeps an event for the streams that read it, and says whether one did.
func (c *Core) marks(e *entry, ev *schemas.Event, hash uint64, ch *change) bool {
	list := c.streams.byOrder[ev.Order]
	if ev.Kind == schemas.Behavior {
		list = c.streams.byType[ev.Type]
	}
	kept := false
	for _, i := range list {
		d := &c.pb.Streams[i]
		if !d.When.Holds(ev) {
			continue
		}
		m := state.Mark{Stream: c.streams.ids[i].ID, At: ev.OccurredAt, Event: hash}
		if !c.measure(d, ev, &m) {
			continue
		}
		fresh := ch.tc < 0 || ch.fresh && ch.tc == m.At
		if d.Net {
			fresh = c.instalment(e, &m) && fresh
		}
		ch.granted = ch.granted || d.Value == playbook.TierGranted
		e.InsertMark(m)
		kept = true
		if ch.tc < 0 || m.At < ch.tc {
			ch.tc = m.At
		}
		ch.fresh = fresh
	}
	ch.marks = ch.marks || kept
	return kept
}

// measure fills what a stream keeps of an event; false: the event has nothing of it.
func (c *Core) measure(d *playbook.Stream, ev *schemas.Event, m *state.Mark) bool {
	switch {
	case ev.Kind == schemas.Order:
		m.Key = c.hash('o', ev.OrderID)
		amount := ev.AmountMinor
		if d.Category != "" {
			amount = 0
			there := false
			for i := range ev.Items {
				if it := &ev.Items[i]; it.Category == d.Category {
					amount += it.AmountMinor
					there = true
				}
			}
			if !there {
				return false
			}
		}
		if d.Value == "amount" {
			m.Value, _ = c.convert(max(amount, 0), ev.Currency, ev.OccurredAt)
		}
	case d.Same != "":
		v, ok := ev.Attribute(d.Same)
		if !ok || v == "" {
			return false
		}
		m.Key = c.hash('o', v)
	}
	switch d.Value {
	case "", "amount":
	case playbook.RefundMade:
		if m.Value = -1; ev.Order == schemas.Refunded {
			m.Value, _ = c.convert(ev.AmountMinor, ev.Currency, ev.OccurredAt)
		}
	case playbook.PointsMoved:
		points(ev, m)
		return true
	case playbook.BenefitMoved:
		quantity(ev, m)
		return true
	case playbook.TierGranted:
		if ev.Type == "tier.revoked" {
			m.Value = -1
			return true
		}
		if v, ok := ev.Attribute("until"); ok && v != "" {
			t, err := playbook.ParseInstant(v, c.pb.Zone)
			if err != nil || t <= 0 {
				return false
			}
			m.Value = int64(t)
		}
	case playbook.TagAdded:
		if ev.Type == playbook.TagAdded {
			m.Value = 1
		}
	case playbook.DatedItem:
		if m.Value = -1; ev.Type == d.Types[0] {
			m.Value = 1
		}
	case playbook.StepReport:
		m.Value = playbook.StepValue(ev.Type)
	case playbook.ConsentGranted, playbook.ChannelBound:
		if m.Value = -1; ev.Type == d.Value {
			m.Value = 1
		}
	default:
		v, ok := ev.Attribute(d.Value)
		if !ok {
			return false
		}
		if m.Value, ok = playbook.DecimalMinor(v, d.Decimals); !ok {
			return false
		}
	}
	if d.Text != "" {
		v, ok := ev.Attribute(d.Text)
		if d.Value == playbook.DatedItem {
			item, _ := ev.Attribute(d.Same)
			v, ok = v+" "+item, true
		}
		if !ok {
			return false
		}
		for len(v) > state.MarkText {
			_, n := utf8.DecodeLastRuneInString(v)
			v = v[:len(v)-n]
		}
		m.Text = string(append([]byte(nil), v...)) // v points into the record
	}
	return true
}

// instalment adds what was paid before for the same order to its one mark, which
// stands at the first payment; true: it is the first.
func (c *Core) instalment(e *entry, m *state.Mark) bool {
	for i := range e.Marks {
		o := &e.Marks[i]
		if o.Stream != m.Stream || o.Key != m.Key {
			continue
		}
		m.Value += o.Value
		if o.At <= m.At {
			m.At, m.Event = o.At, o.Event
		}
		e.Marks = append(e.Marks[:i], e.Marks[i+1:]...)
		return false
	}
	return true
}

// A row keeps at most so many marks singly; the oldest of more move to days,
// and of those to the base of their stream.
const (
	rowMarks    = 64
	rowMarkDays = 128
)

// foldMarks drops what left the horizon and moves what is too much for the row.
func (c *Core) foldMarks(e *entry, edge schemas.EventTime) {
	n := 0
	for n < len(e.MarkDays) && e.MarkDays[n].Last < edge {
		c.baseDay(e, e.MarkDays[n])
		n++
	}
	e.MarkDays = append(e.MarkDays[:0], e.MarkDays[n:]...)
	kept := c.keepMarks(e)
	defer func() { c.giveBack(e, kept) }()
	for n = 0; n < len(e.Marks) && e.Marks[n].At < edge; n++ {
		m := &e.Marks[n]
		b := e.EnsureMarkBase(m.Stream)
		if b.Count == 0 || m.At < b.First {
			b.FirstText = m.Text
		}
		if b.Count == 0 || m.At >= b.Last {
			b.Text = m.Text
		}
		c.baseDay(e, state.MarkDay{Stream: m.Stream, Last: m.At, Count: 1, Sum: m.Value, Value: m.Value})
	}
	if n > 0 {
		e.Marks = append(e.Marks[:0], e.Marks[n:]...)
	}
	for len(e.Marks) > rowMarks {
		m := e.Marks[0]
		e.Marks = append(e.Marks[:0], e.Marks[1:]...)
		b := c.spillBucket(e, state.UTCDay(m.At))
		c.spill(state.SpillKey(nil, e.ID, state.SpillEvent, b, m.Event), []byte{})
		c.markDay(e, &m)
	}
	for len(e.MarkDays) > rowMarkDays {
		c.baseDay(e, e.MarkDays[0])
		e.MarkDays = append(e.MarkDays[:0], e.MarkDays[1:]...)
	}
}

// markDay adds a mark to the sum of its stream's local day.
func (c *Core) markDay(e *entry, m *state.Mark) {
	if m.Text != "" { // a text has no sum; the base remembers the first and the last
		b := e.EnsureMarkBase(m.Stream)
		if b.FirstText == "" {
			b.FirstText = m.Text
		}
		b.Text = m.Text
	}
	day := c.zone.Day(m.At)
	for i := len(e.MarkDays) - 1; i >= 0; i-- {
		x := &e.MarkDays[i]
		if x.Stream == m.Stream && c.zone.Day(x.Last) == day {
			x.Count++
			x.Sum += m.Value
			if m.At >= x.Last {
				d := *x
				d.Last, d.Value = m.At, m.Value
				e.MarkDays = append(e.MarkDays[:i], e.MarkDays[i+1:]...)
				insertDay(e, d)
			}
			return
		}
	}
	insertDay(e, state.MarkDay{Stream: m.Stream, Last: m.At, Count: 1, Sum: m.Value, Value: m.Value})
}

func insertDay(e *entry, d state.MarkDay) {
	i := len(e.MarkDays)
	for i > 0 && (e.MarkDays[i-1].Last > d.Last || e.MarkDays[i-1].Last == d.Last && e.MarkDays[i-1].Stream > d.Stream) {
		i--
	}
	e.MarkDays = append(e.MarkDays, state.MarkDay{})
	copy(e.MarkDays[i+1:], e.MarkDays[i:])
	e.MarkDays[i] = d
}

func (c *Core) baseDay(e *entry, d state.MarkDay) {
	b := e.EnsureMarkBase(d.Stream)
	day := c.zone.Day(d.Last)
	if b.Count == 0 {
		b.First, b.Last, b.Days, b.Value = d.Last, d.Last, 1, d.Value
	} else {
		if day > c.zone.Day(b.Last) || day < c.zone.Day(b.First) {
			b.Days++
		}
		if d.Last >= b.Last {
			b.Value = d.Value
		}
		b.First, b.Last = min(b.First, d.Last), max(b.Last, d.Last)
	}
	b.Count += d.Count
	b.Sum += d.Sum
}

// datedItems bounds the items of one stream of dates in a row.
const datedItems = 32

// keepMarks takes the latest mark of each item out of the row while it is folded,
// so that it stays.
func (c *Core) keepMarks(e *entry) []state.Mark {
	if c.keptStreams == nil {
		return nil
	}
	var kept []state.Mark
	rest := e.Marks[:0]
	for i := range e.Marks {
		m := e.Marks[i]
		last := c.keptStreams[m.Stream]
		for j := i + 1; last && j < len(e.Marks); j++ {
			last = e.Marks[j].Stream != m.Stream || e.Marks[j].Key != m.Key
		}
		if last {
			kept = append(kept, m)
		} else {
			rest = append(rest, m)
		}
	}
	if n := len(kept) - datedItems; n > 0 {
		rest = append(rest, kept[:n]...)
		kept = kept[n:]
		sort.SliceStable(rest, func(i, j int) bool { return rest[i].At < rest[j].At })
	}
	e.Marks = rest
	return kept
}

func (c *Core) giveBack(e *entry, kept []state.Mark) {
	for i := range kept {
		e.InsertMark(kept[i])
	}
}
