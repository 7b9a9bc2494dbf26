package avrojson

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of one body.
const (
	MaxDepth  = 128
	MaxValues = 4 << 20 // entries of arrays and maps, fields, and what is inside them

	// What takes no bytes (nulls, records of nothing) costs all the same, so the
	// values of a body are bounded by its length too.
	freeValues    = 1 << 16
	valuesPerByte = 64
)

// What can be wrong with a body; wrapped with the path of the field.
var (
	ErrTruncated = errors.New("avrojson: the bytes end too early")
	ErrMalformed = errors.New("avrojson: the bytes are not what the schema says")
	ErrTrailing  = errors.New("avrojson: bytes are left over")
	ErrLimit     = errors.New("avrojson: over the limit of depth or of values")
)

// Append appends body, exactly one value without a wire header, as JSON. After
// an error dst is returned as it was.
func (s *Schema) Append(dst, body []byte) ([]byte, error) {
	r := reader{body: body, most: min(MaxValues, freeValues+valuesPerByte*len(body))}
	out, err := r.value(dst, s.root, 0)
	if err == nil && len(r.body) > 0 {
		err = fmt.Errorf("%w: %d", ErrTrailing, len(r.body))
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

type reader struct {
	body   []byte
	values int
	most   int
}

func (r *reader) long() (int64, error) {
	v, n := binary.Varint(r.body)
	switch {
	case n == 0:
		return 0, ErrTruncated
	case n < 0:
		return 0, fmt.Errorf("%w: a number of more than 64 bits", ErrMalformed)
	}
	r.body = r.body[n:]
	return v, nil
}

func (r *reader) take(n int64) ([]byte, error) {
	if n < 0 {
		return nil, fmt.Errorf("%w: a length of %d", ErrMalformed, n)
	}
	if n > int64(len(r.body)) {
		return nil, ErrTruncated
	}
	b := r.body[:n]
	r.body = r.body[n:]
	return b, nil
}

func (r *reader) bytes() ([]byte, error) {
	n, err := r.long()
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

func (r *reader) text() (string, error) {
	b, err := r.bytes()
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("%w: a string is not UTF-8", ErrMalformed)
	}
	return string(b), nil
}

func (r *reader) value(dst []byte, n *node, depth int) ([]byte, error) {
	if r.values++; depth > MaxDepth || r.values > r.most {
		return dst, ErrLimit
	}
	switch n.kind {
	case kNull:
		return append(dst, "null"...), nil
	case kBool:
		b, err := r.take(1)
		if err != nil {
			return dst, err
		}
		if b[0] > 1 {
			return dst, fmt.Errorf("%w: a boolean of %d", ErrMalformed, b[0])
		}
		return strconv.AppendBool(dst, b[0] == 1), nil
	case kInt, kLong:
		v, err := r.long()
		if err == nil && n.kind == kInt && (v < math.MinInt32 || v > math.MaxInt32) {
			err = fmt.Errorf("%w: %d is no int", ErrMalformed, v)
		}
		return strconv.AppendInt(dst, v, 10), err
	case kFloat:
		b, err := r.take(4)
		if err != nil {
			return dst, err
		}
		return number(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))), nil
	case kDouble:
		b, err := r.take(8)
		if err != nil {
			return dst, err
		}
		return number(dst, math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
	case kString:
		s, err := r.text()
		if err != nil {
			return dst, err
		}
		return quoted(dst, s), nil
	case kBytes, kFixed:
		size, err := int64(n.size), error(nil)
		if n.kind == kBytes {
			size, err = r.long()
		}
		if err != nil {
			return dst, err
		}
		b, err := r.take(size)
		if err != nil {
			return dst, err
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), b)
		return append(dst, '"'), nil
	case kEnum:
		i, err := r.long()
		if err == nil && uint64(i) >= uint64(len(n.symbols)) {
			err = fmt.Errorf("%w: symbol %d of %d", ErrMalformed, i, len(n.symbols))
		}
		if err != nil {
			return dst, err
		}
		return append(dst, n.symbols[i]...), nil
	case kUnion:
		i, err := r.long()
		if err == nil && uint64(i) >= uint64(len(n.items)) {
			err = fmt.Errorf("%w: branch %d of %d", ErrMalformed, i, len(n.items))
		}
		if err != nil {
			return dst, err
		}
		return r.value(dst, n.items[i], depth+1)
	case kArray:
		return r.array(dst, n.items[0], depth)
	case kMap:
		return r.object(dst, n.items[0], depth)
	}
	dst = append(dst, '{')
	for i, f := range n.items {
		var err error
		if dst, err = r.value(append(dst, n.labels[i]...), f, depth+1); err != nil {
			return dst, fmt.Errorf("%s: %w", n.names[i], err)
		}
	}
	return append(dst, '}'), nil
}

// block reads the head of the next block of an array or a map; 0 is the end.
func (r *reader) block() (int64, error) {
	n, err := r.long()
	if err == nil && n < 0 { // the block's size in bytes follows
		if _, err = r.long(); n == math.MinInt64 {
			err = fmt.Errorf("%w: a block of %d entries", ErrMalformed, n)
		}
		n = -n
	}
	return n, err
}

func (r *reader) array(dst []byte, item *node, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for first := true; ; {
		n, err := r.block()
		if err != nil || n == 0 {
			return append(dst, ']'), err
		}
		for range n { // entries without bytes are bounded by most
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if dst, err = r.value(dst, item, depth+1); err != nil {
				return dst, err
			}
		}
	}
}

type entry struct {
	key   string
	value []byte
}

func (r *reader) object(dst []byte, value *node, depth int) ([]byte, error) {
	var entries []entry
	for {
		n, err := r.block()
		if err != nil {
			return dst, err
		}
		if n == 0 {
			break
		}
		for range n {
			var e entry
			if e.key, err = r.text(); err != nil {
				return dst, err
			}
			if e.value, err = r.value(nil, value, depth+1); err != nil {
				return dst, fmt.Errorf("%q: %w", e.key, err)
			}
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	dst = append(dst, '{')
	first := true
	for i, e := range entries {
		if i+1 < len(entries) && entries[i+1].key == e.key {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(quoted(dst, e.key), ':'), e.value...)
	}
	return append(dst, '}'), nil
}

// number writes a float as encoding/json does.
func number(dst []byte, v float64) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return quoted(dst, strconv.FormatFloat(v, 'g', -1, 64))
	}
	return append(dst, b...)
}
