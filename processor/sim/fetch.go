package sim

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"tidemark/sinks"
)

// reader reads the fixed encodings of the protocol; the requests are our own.
type reader struct{ b []byte }

func (d *reader) take(n int) []byte {
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}
func (d *reader) int8() int8   { return int8(d.take(1)[0]) }
func (d *reader) int16() int16 { return int16(binary.BigEndian.Uint16(d.take(2))) }
func (d *reader) int32() int32 { return int32(binary.BigEndian.Uint32(d.take(4))) }
func (d *reader) int64() int64 { return int64(binary.BigEndian.Uint64(d.take(8))) }
func (d *reader) string() string {
	return string(d.take(max(int(d.int16()), 0)))
}
func (d *reader) bytes() []byte { return d.take(max(int(d.int32()), 0)) }

type place struct {
	topic     string
	partition int32
}

type asked struct {
	place
	offset int64
	most   int32
}

// parked is a fetch that waits for data.
type parked struct {
	r        *request
	asks     []asked
	deadline time.Duration
	done     bool
}

// fetch reads a Fetch request, version 11, and answers it or parks it.
func (c *cluster) fetch(r *request) []byte {
	d := reader{b: r.frame[8:]}
	d.string()
	d.int32() // replica
	wait := time.Duration(d.int32()) * time.Millisecond
	d.int32()
	d.int32()
	d.int8() // always read_committed
	d.int32()
	d.int32()
	var asks []asked
	for range d.int32() {
		topic := d.string()
		for range d.int32() {
			a := asked{place: place{topic, d.int32()}}
			d.int32()
			a.offset = d.int64()
			d.int64()
			a.most = d.int32()
			asks = append(asks, a)
		}
	}
	out, data := c.fetched(r, asks)
	if data || wait <= 0 {
		return out
	}
	k := &parked{r: r, asks: asks, deadline: c.w.now() + wait}
	c.parked = append(c.parked, k)
	c.w.after(wait, r.key+" waited", func() {
		if !k.done {
			k.done = true
			out, _ := c.fetched(r, asks)
			c.w.answer(r, out)
		}
	})
	return nil
}

// grown looks at the fetches that wait.
func (c *cluster) grown() {
	kept := c.parked[:0]
	for _, k := range c.parked {
		if k.done {
			continue
		}
		if out, data := c.fetched(k.r, k.asks); data {
			k.done = true
			c.w.answer(k.r, out)
			continue
		}
		kept = append(kept, k)
	}
	c.parked = kept
}

// fetched lays out what a broker has for a fetch; data says that there is
// anything but silence in it.
func (c *cluster) fetched(r *request, asks []asked) (out []byte, data bool) {
	be := binary.BigEndian
	out = be.AppendUint32(out, 0)
	out = be.AppendUint16(out, 0)
	out = be.AppendUint32(out, 0)
	out = be.AppendUint32(out, uint32(len(asks)))
	for _, a := range asks {
		p := c.partition(a.topic, a.partition)
		code := int16(0)
		stable, end := int64(-1), int64(-1)
		switch {
		case p == nil:
			code = unknownTopic
		case p.leader != r.node:
			code = notLeader
		default:
			stable, end = p.stable(), p.end
			if p.stale > c.w.now() {
				stable, end = min(stable, p.staleEnd), min(end, p.staleEnd)
			}
			if a.offset < p.start && c.w.wrong == ResetInput {
				a.offset = p.start
			}
			if a.offset < p.start || a.offset > p.end {
				code, stable, end = offsetOutOfRange, -1, -1
			}
		}
		if r.fault != nil && r.fault.Kind == Refuse && code == 0 {
			code = int16(r.fault.N)
		}
		out = be.AppendUint16(out, uint16(len(a.topic)))
		out = append(out, a.topic...)
		out = be.AppendUint32(out, 1)
		out = be.AppendUint32(out, uint32(a.partition))
		out = be.AppendUint16(out, uint16(code))
		if code != 0 {
			data = true
			out = be.AppendUint64(out, ^uint64(0))
			out = be.AppendUint64(out, ^uint64(0))
			out = be.AppendUint64(out, ^uint64(0))
			out = be.AppendUint32(out, 0)
			out = be.AppendUint32(out, ^uint32(0))
			out = be.AppendUint32(out, 0)
			continue
		}
		var records []byte
		last := a.offset - 1
		for _, b := range p.log {
			if b.last < a.offset {
				continue
			}
			if b.base >= stable || len(records) > 0 && len(records)+len(b.raw) > int(a.most) {
				break
			}
			records = append(records, b.raw...)
			last = b.last
		}
		data = data || len(records) > 0
		var gone []aborted
		for _, x := range p.aborted {
			if x.last >= a.offset && x.first <= last {
				gone = append(gone, x)
			}
		}
		out = be.AppendUint64(out, uint64(end))
		out = be.AppendUint64(out, uint64(stable))
		out = be.AppendUint64(out, uint64(p.start))
		out = be.AppendUint32(out, uint32(len(gone)))
		for _, x := range gone {
			out = be.AppendUint64(out, uint64(x.pid))
			out = be.AppendUint64(out, uint64(x.first))
		}
		out = be.AppendUint32(out, ^uint32(0))
		out = be.AppendUint32(out, uint32(len(records)))
		out = append(out, records...)
	}
	return out, data
}

// listOffsets answers a ListOffsets request, version 5.
func (c *cluster) listOffsets(r *request) []byte {
	d := reader{b: r.frame[8:]}
	d.string()
	d.int32()
	isolation := d.int8()
	be := binary.BigEndian
	out := be.AppendUint32(nil, 0)
	n := d.int32()
	out = be.AppendUint32(out, uint32(n))
	for range n {
		topic := d.string()
		out = be.AppendUint16(out, uint16(len(topic)))
		out = append(out, topic...)
		m := d.int32()
		out = be.AppendUint32(out, uint32(m))
		for range m {
			number := d.int32()
			d.int32()
			when := d.int64()
			code, offset := int16(0), int64(-1)
			p := c.partition(topic, number)
			switch {
			case p == nil:
				code = unknownTopic
			case p.leader != r.node:
				code = notLeader
			case r.fault != nil && r.fault.Kind == Refuse:
				code = int16(r.fault.N)
			case when == -2:
				offset = p.start
			case p.stale > c.w.now():
				code = offsetNotAvailable
			case isolation == 1:
				offset = p.stable()
			default:
				offset = p.end
			}
			if code == 0 && when != -2 {
				offset = c.w.mutateEnd(r, p, offset)
			}
			out = be.AppendUint32(out, uint32(number))
			out = be.AppendUint16(out, uint16(code))
			out = be.AppendUint64(out, ^uint64(0))
			out = be.AppendUint64(out, uint64(offset))
			out = be.AppendUint32(out, ^uint32(0))
		}
	}
	return out
}

// controlBatch is a transaction marker as a broker writes it.
func controlBatch(pid int64, epoch int16, key, value []byte, now time.Time) []byte {
	b := sinks.AppendBatch(nil, sinks.BatchHeader{ProducerID: pid, Epoch: epoch, BaseSequence: -1, Transactional: true, Timestamp: now.UnixMilli()},
		[]sinks.Record{{Key: key, Value: value}})
	be := binary.BigEndian
	be.PutUint16(b[21:], be.Uint16(b[21:])|0x20)
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

// content is one record as a consumer sees it.
type content struct {
	offset     int64
	timestamp  int64
	key, value []byte
	headers    [][2]string
}

// contents reads the records of a batch that is not compressed.
func (b *batch) contents() []content {
	be := binary.BigEndian
	at := int64(be.Uint64(b.raw[27:]))
	if be.Uint16(b.raw[21:])&0x08 != 0 {
		at = int64(be.Uint64(b.raw[35:]))
	}
	rest := b.raw[61:]
	varint := func() int64 {
		v, n := binary.Varint(rest)
		rest = rest[n:]
		return v
	}
	field := func() []byte {
		n := varint()
		if n < 0 {
			return nil
		}
		v := rest[:n:n]
		rest = rest[n:]
		return v
	}
	var all []content
	for range be.Uint32(b.raw[57:]) {
		varint()
		rest = rest[1:]
		c := content{timestamp: at + varint()}
		c.offset = b.base + varint()
		c.key, c.value = field(), field()
		for range varint() {
			k := string(field())
			c.headers = append(c.headers, [2]string{k, string(field())})
		}
		all = append(all, c)
	}
	return all
}
