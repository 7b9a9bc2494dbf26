package rfm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrEncoding is wrapped by whatever is wrong with an encoded histogram.
var ErrEncoding = errors.New("rfm: encoded histogram")

const (
	version  = 1
	flagLog  = 1
	wideSize = 16
)

// AppendHeader appends all but the buckets, in the layout that FORMAT.md gives.
func (h *Histogram) AppendHeader(dst []byte) []byte {
	flags := byte(0)
	if h.log {
		flags = flagLog
	}
	dst = append(dst, version, flags)
	dst = binary.AppendUvarint(dst, uint64(h.limit))
	dst = binary.AppendUvarint(dst, uint64(h.total))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.sum.hi))
	return binary.BigEndian.AppendUint64(dst, h.sum.lo)
}

// AppendBinary appends the whole histogram; equal histograms give equal bytes.
// What was changed lately is not part of it.
func (h *Histogram) AppendBinary(dst []byte) []byte {
	dst = h.AppendHeader(dst)
	dst = binary.AppendUvarint(dst, uint64(len(h.counts)))
	last, first := int64(0), true
	h.Each(func(v, n int64) {
		if first {
			dst = binary.AppendVarint(dst, v)
		} else {
			dst = binary.AppendUvarint(dst, uint64(v)-uint64(last))
		}
		dst = binary.AppendUvarint(dst, uint64(n))
		last, first = v, false
	})
	return dst
}

// Decode reads what AppendBinary wrote, to the last byte.
func Decode(b []byte) (*Histogram, error) {
	l, rest, err := loadHeader(b)
	if err != nil {
		return nil, err
	}
	d := decoder{b: rest}
	n := d.uvarint()
	last := int64(0)
	for i := uint64(0); i < n && !d.bad; i++ {
		if i == 0 {
			last = d.varint()
		} else {
			step := d.uvarint()
			next := int64(uint64(last) + step)
			if next <= last {
				d.bad = true
			}
			last = next
		}
		count := d.uvarint()
		if d.bad || count > maxCount {
			return nil, fmt.Errorf("%w: bucket %d of %d", ErrEncoding, i, n)
		}
		if err := l.Load(last, int64(count)); err != nil {
			return nil, err
		}
	}
	if d.bad || len(d.b) != 0 {
		return nil, fmt.Errorf("%w: cut short or too long", ErrEncoding)
	}
	return l.Done()
}

// Loader puts a histogram together from its header and its buckets, for who
// stores a row per bucket.
type Loader struct {
	h     *Histogram
	total int64
	sum   int128
}

// NewLoader starts with what AppendHeader wrote, to the last byte.
func NewLoader(header []byte) (*Loader, error) {
	l, rest, err := loadHeader(header)
	if err == nil && len(rest) != 0 {
		return nil, fmt.Errorf("%w: header too long", ErrEncoding)
	}
	return l, err
}

// Load takes one bucket, in any order, each once.
func (l *Loader) Load(value, count int64) error {
	if count <= 0 || count > maxCount-l.total {
		return fmt.Errorf("%w: value %d counted %d times", ErrEncoding, value, count)
	}
	if l.h.bucket(value) != value {
		return fmt.Errorf("%w: %d is not the lower bound of a bucket", ErrEncoding, value)
	}
	if l.h.counts[value] != 0 {
		return fmt.Errorf("%w: value %d twice", ErrEncoding, value)
	}
	l.h.counts[value] = count
	l.total += count
	l.sum.addWide(mul(value, count))
	return nil
}

// Done checks the buckets against the header: the count, in exact mode the sum
// and the limit too.
func (l *Loader) Done() (*Histogram, error) {
	h := l.h
	switch {
	case l.total != h.total:
		return nil, fmt.Errorf("%w: buckets hold %d values, header says %d", ErrEncoding, l.total, h.total)
	case !h.log && l.sum != h.sum:
		return nil, fmt.Errorf("%w: sum differs from the header's", ErrEncoding)
	case !h.log && len(h.counts) > h.limit:
		return nil, fmt.Errorf("%w: %d distinct values, limit %d", ErrEncoding, len(h.counts), h.limit)
	}
	return h, nil
}

func loadHeader(b []byte) (*Loader, []byte, error) {
	if len(b) < 2 {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrEncoding, len(b))
	}
	if b[0] != version {
		return nil, nil, fmt.Errorf("%w: version %d, this program knows %d", ErrEncoding, b[0], version)
	}
	if b[1] > flagLog {
		return nil, nil, fmt.Errorf("%w: flags %#x", ErrEncoding, b[1])
	}
	d := decoder{b: b[2:]}
	limit, total := d.uvarint(), d.uvarint()
	if d.bad || limit > math.MaxInt32 || total > maxCount || len(d.b) < wideSize {
		return nil, nil, fmt.Errorf("%w: header", ErrEncoding)
	}
	h := NewHistogram(int(limit))
	h.log = h.log || b[1] == flagLog
	if h.log != (b[1] == flagLog) {
		return nil, nil, fmt.Errorf("%w: exact with limit 0", ErrEncoding)
	}
	h.total = int64(total)
	h.sum = int128{int64(binary.BigEndian.Uint64(d.b)), binary.BigEndian.Uint64(d.b[8:])}
	return &Loader{h: h}, d.b[wideSize:], nil
}

// decoder remembers that something went wrong, so that it is asked once.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 { // a longer form than needed would be a second encoding of one histogram
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}
