package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"
)

// Why a body is not what its schema says. They are wrapped in a *DecodeError.
var (
	ErrTruncated  = errors.New("the bytes end too early")
	ErrVarint     = errors.New("a number is longer than its type allows")
	ErrLength     = errors.New("a length or count is negative or larger than the bytes that are left")
	ErrTrailing   = errors.New("bytes are left over")
	ErrDepth      = errors.New("nested too deep")
	ErrSymbol     = errors.New("an enum symbol that the contract does not know")
	ErrBranch     = errors.New("a union branch that does not exist")
	ErrUnresolved = errors.New("a union branch that the contract's type cannot take")
	ErrUTF8       = errors.New("a string is not UTF-8")
	ErrBlockSize  = errors.New("a block's size in bytes is not the size of its items")
	ErrBoolean    = errors.New("a boolean is neither 0 nor 1")
)

// DecodeError says which field of a body could not be decoded.
type DecodeError struct {
	Record string // the record that was to be decoded, for example OrderEvent
	Field  string // path of the field in the writer's names, for example items[].sku; "" for the whole
	Offset int    // bytes into the body at which decoding stopped
	Err    error  // one of the sentinels of this package
}

func (e *DecodeError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("decode %s at byte %d: %v", e.Record, e.Offset, e.Err)
	}
	return fmt.Sprintf("decode %s, field %s, at byte %d: %v", e.Record, e.Field, e.Offset, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }

// cursor reads Avro binary. The first error sticks: everything after it reads
// as zero, so a caller checks once per field or loop and not after each number.
type cursor struct {
	b   []byte
	p   int
	err error
	at  int // where err happened
}

// fail keeps the first error and moves to the end, so that nothing more is read.
func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err, c.at = err, c.p
	}
	c.p = len(c.b)
}

func (c *cursor) left() int { return len(c.b) - c.p }

func (c *cursor) long() int64 {
	if c.p < len(c.b) {
		if x := c.b[c.p]; x < 0x80 {
			c.p++
			return int64(x>>1) ^ -int64(x&1)
		}
	}
	return c.longSlow()
}

func (c *cursor) longSlow() int64 {
	b := c.b[c.p:]
	var v uint64
	for i := range min(len(b), binary.MaxVarintLen64) {
		x := b[i]
		if x < 0x80 {
			if i == binary.MaxVarintLen64-1 && x > 1 {
				break // more than 64 bits
			}
			v |= uint64(x) << (7 * i)
			c.p += i + 1
			return int64(v>>1) ^ -int64(v&1)
		}
		v |= uint64(x&0x7f) << (7 * i)
	}
	if len(b) < binary.MaxVarintLen64 {
		c.fail(ErrTruncated)
	} else {
		c.fail(ErrVarint)
	}
	return 0
}

func (c *cursor) int() int32 {
	v := c.long()
	if v < math.MinInt32 || v > math.MaxInt32 {
		c.fail(ErrVarint)
		return 0
	}
	return int32(v)
}

// raw returns the next length-prefixed bytes, which stay part of the input.
func (c *cursor) raw() []byte {
	n := c.long()
	if uint64(n) > uint64(c.left()) {
		c.fail(ErrLength)
		return nil
	}
	b := c.b[c.p : c.p+int(n) : c.p+int(n)]
	c.p += int(n)
	return b
}

// view returns the next string without copying it.
func (c *cursor) view() string {
	b, p := c.b, c.p
	if p < len(b) && b[p]&0x81 == 0 { // a length of 0 to 63, in one byte
		n := int(b[p] >> 1)
		p++
		if n <= len(b)-p {
			b = b[p : p+n]
			c.p = p + n
			if n == 0 {
				return ""
			}
			if isASCII(b) {
				return unsafe.String(&b[0], n)
			}
			c.p = p - 1
		}
	}
	return c.viewSlow()
}

func (c *cursor) viewSlow() string {
	b := c.raw()
	if len(b) == 0 {
		return ""
	}
	s := unsafe.String(&b[0], len(b))
	if !utf8.ValidString(s) {
		c.fail(ErrUTF8)
		return ""
	}
	return s
}

// isASCII looks at 8 bytes at a time; the last look may overlap the one before.
// b is not empty.
func isASCII(b []byte) bool {
	const high = 0x8080808080808080
	n := len(b)
	if n < 8 {
		if n >= 4 {
			return (binary.LittleEndian.Uint32(b)|binary.LittleEndian.Uint32(b[n-4:]))&(high>>32) == 0
		}
		return b[0]|b[n/2]|b[n-1] < 0x80
	}
	x := binary.LittleEndian.Uint64(b[n-8:])
	for ; len(b) > 8; b = b[8:] {
		x |= binary.LittleEndian.Uint64(b)
	}
	return x&high == 0
}

// text returns a copy of the next string.
func (c *cursor) text() string {
	b := c.raw()
	if !utf8.Valid(b) {
		c.fail(ErrUTF8)
		return ""
	}
	return string(b)
}

// bytes returns a copy of the next bytes, nil for none.
func (c *cursor) bytes() []byte { return append([]byte(nil), c.raw()...) }

func (c *cursor) time() EventTime { return EventTime(c.long()) }

// block reads the head of the next block of an array or a map, whose entries
// take at least size bytes each: how many entries follow (0: the end), and at
// which position the block ends if the writer said so (else -1). With a size of
// 0 the number is not bounded by anything: the caller must not walk it.
func (c *cursor) block(size int) (n, end int) {
	count := c.long()
	end = -1
	if count < 0 {
		bytes := c.long()
		if bytes < 0 || bytes > int64(c.left()) {
			c.fail(ErrBlockSize)
			return 0, -1
		}
		if count == math.MinInt64 {
			c.fail(ErrLength)
			return 0, -1
		}
		count, end = -count, c.p+int(bytes)
	}
	if size > 0 && count > int64(c.left()/size) {
		c.fail(ErrLength)
		return 0, -1
	}
	return int(count), end
}

// closeBlock checks that a block was as long as its head said.
func (c *cursor) closeBlock(end int) {
	if end >= 0 && c.p != end && c.err == nil {
		c.fail(ErrBlockSize)
	}
}

// finish returns the error so far, or ErrTrailing if bytes are left.
func (c *cursor) finish(record, field string) error {
	if c.err == nil {
		if c.p == len(c.b) {
			return nil
		}
		c.fail(ErrTrailing)
		field = ""
	}
	return &DecodeError{Record: record, Field: field, Offset: c.at, Err: c.err}
}
