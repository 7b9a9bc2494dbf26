package soak

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"unicode"
)

// longest is the length in bytes past which an input grows no more. Go's own
// fuzzing goes up to 100 MB; here short inputs, and many of them, are the point.
const longest = 4 << 10

// mutator changes arguments. It keeps some of what it made, so that changes add up.
type mutator struct {
	rng   *rand.Rand
	pool  [][]any // the corpus, then room for what was made from it
	fixed int     // how many of pool are the corpus
	words [][]byte
	buf   [2][]byte
}

const recent = 64

func newMutator(seed, stream uint64, corpus [][]any) *mutator {
	m := &mutator{rng: rand.New(rand.NewPCG(seed, stream)), pool: append([][]any{}, corpus...), fixed: len(corpus)}
	seen := map[string]bool{}
	for _, args := range corpus {
		for _, a := range args {
			for _, w := range strings.FieldsFunc(string(bytesOf(a)), func(r rune) bool {
				return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '.'
			}) {
				if len(w) > 1 && len(w) < 32 && !seen[w] && len(m.words) < 4096 {
					seen[w] = true
					m.words = append(m.words, []byte(w))
				}
			}
		}
	}
	for _, w := range []string{"-1", "0", "9223372036854775807", "-9223372036854775808", "1e309", "\x00", "\xff\xff", "\"", "{", "}", "[", "]", ":", ",", "\n", "\r\n", "%", "\\u0000", "é"} {
		m.words = append(m.words, []byte(w))
	}
	return m
}

func bytesOf(a any) []byte {
	switch v := a.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

// next gives the arguments of the next execution.
func (m *mutator) next(args []any) {
	r := m.rng
	from := m.pool[r.IntN(m.fixed)]
	if len(m.pool) > m.fixed && r.IntN(4) == 0 {
		from = m.pool[m.fixed+r.IntN(len(m.pool)-m.fixed)]
	}
	// One argument is changed for certain, the others now and then.
	sure := r.IntN(len(from))
	for i, a := range from {
		change := i == sure || r.IntN(4) == 0
		switch v := a.(type) {
		case []byte:
			args[i] = m.fresh(v, i, change)
		case string:
			args[i] = string(m.fresh([]byte(v), i, change))
		default:
			args[i] = a
			if change {
				args[i] = m.number(a)
			}
		}
	}
	if r.IntN(32) == 0 {
		kept := make([]any, len(args))
		for i, a := range args {
			if b, ok := a.([]byte); ok {
				a = append([]byte{}, b...)
			}
			kept[i] = a
		}
		if len(m.pool) < m.fixed+recent {
			m.pool = append(m.pool, kept)
		} else {
			m.pool[m.fixed+r.IntN(recent)] = kept
		}
	}
}

// fresh gives a copy, changed or not, with no room behind it.
func (m *mutator) fresh(v []byte, argument int, change bool) []byte {
	b := append(m.buf[0][:0], v...)
	if change {
		for {
			b = m.change(b, argument)
			if m.rng.IntN(5) < 3 {
				break
			}
		}
	}
	m.buf[0] = b[:0]
	out := make([]byte, len(b))
	copy(out, b)
	return out
}

var odd = []uint64{0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ^uint64(0), ^uint64(1)}

// change does one thing to b and returns it.
func (m *mutator) change(b []byte, argument int) []byte {
	r := m.rng
	if len(b) == 0 {
		return m.insert(b, 0, m.other(argument))
	}
	at := r.IntN(len(b))
	span := func() int { return 1 + r.IntN(min(len(b)-at, 1<<r.IntN(9))) }
	switch r.IntN(16) {
	case 0, 1: // a bit
		b[at] ^= 1 << r.IntN(8)
	case 2: // a byte
		b[at] = byte(r.Uint32())
	case 3: // truncated
		b = b[:at]
	case 4: // a hole
		n := span()
		b = append(b[:at], b[at+n:]...)
	case 5: // a part again
		n := span()
		b = m.insert(b, at, append(m.buf[1][:0], b[at:at+n]...))
	case 6: // a part over another
		n := span()
		copy(b[r.IntN(len(b)):], b[at:at+n])
	case 7: // random bytes
		part := m.buf[1][:0]
		for range 1 + r.IntN(16) {
			part = append(part, byte(r.Uint32()))
		}
		b = m.insert(b, at, part)
	case 8: // the head of this and the tail of another
		o := m.other(argument)
		if len(o) > 0 {
			b = append(b[:at], o[r.IntN(len(o)):]...)
		}
	case 9: // a part of another
		o := m.other(argument)
		if len(o) > 0 {
			i := r.IntN(len(o))
			o = o[i : i+1+r.IntN(min(len(o)-i, 64))]
			if r.IntN(2) == 0 {
				copy(b[at:], o)
			} else {
				b = m.insert(b, at, o)
			}
		}
	case 10: // a number of a fixed length, a length field perhaps
		width := 1 << r.IntN(4)
		if at+width > len(b) {
			at = max(0, len(b)-width)
		}
		var w [8]byte
		order := binary.ByteOrder(binary.BigEndian)
		if r.IntN(2) == 0 {
			order = binary.LittleEndian
		}
		v := odd[r.IntN(len(odd))]
		if r.IntN(2) == 0 { // a little more or less than it was
			switch n := copy(w[:], b[at:min(at+width, len(b))]); {
			case n >= 8:
				v = order.Uint64(w[:])
			case n >= 4:
				v = uint64(order.Uint32(w[:]))
			case n >= 2:
				v = uint64(order.Uint16(w[:]))
			default:
				v = uint64(w[0])
			}
			v += uint64(r.IntN(33)) - 16
		}
		switch width {
		case 1:
			w[0] = byte(v)
		case 2:
			order.PutUint16(w[:], uint16(v))
		case 4:
			order.PutUint32(w[:], uint32(v))
		case 8:
			order.PutUint64(w[:], v)
		}
		copy(b[at:], w[:width])
	case 11: // a number of a varying length, zigzag or not
		v := odd[r.IntN(len(odd))]
		switch r.IntN(3) {
		case 0:
			v = uint64(r.IntN(len(b) + 3))
		case 1:
			v = uint64(r.IntN(2*len(b)+3)) << 1
		}
		part := binary.AppendUvarint(m.buf[1][:0], v)
		if r.IntN(2) == 0 {
			copy(b[at:], part)
		} else {
			b = m.insert(append(b[:at], b[at+1:]...), at, part)
		}
	case 12, 13: // a word
		w := m.words[r.IntN(len(m.words))]
		if r.IntN(2) == 0 {
			copy(b[at:], w)
		} else {
			b = m.insert(b, at, w)
		}
	case 14: // the same byte often
		n := span()
		v := b[at]
		if r.IntN(2) == 0 {
			v = byte(r.Uint32())
		}
		for i := range n {
			b[at+i] = v
		}
	case 15: // two parts change places
		n := span()
		to := r.IntN(len(b))
		for i := 0; i < n && to+i < len(b); i++ {
			b[at+i], b[to+i] = b[to+i], b[at+i]
		}
	}
	return b
}

// other is the same argument of another input.
func (m *mutator) other(argument int) []byte {
	o := m.pool[m.rng.IntN(len(m.pool))][argument]
	return bytesOf(o)
}

func (m *mutator) insert(b []byte, at int, part []byte) []byte {
	if len(b)+len(part) > longest {
		return b
	}
	n := len(b)
	part = append(m.buf[1][:0], part...) // it may lie in b
	m.buf[1] = part[:0]
	b = append(b, part...)
	copy(b[at+len(part):], b[at:n])
	copy(b[at:], part)
	return b
}

func (m *mutator) number(a any) any {
	r := m.rng
	v := r.Uint64() >> r.IntN(64)
	if r.IntN(2) == 0 {
		v = odd[r.IntN(len(odd))]
	}
	switch a.(type) {
	case bool:
		return v&1 == 1
	case int:
		return int(v)
	case int8:
		return int8(v)
	case int16:
		return int16(v)
	case int32:
		return int32(v)
	case int64:
		return int64(v)
	case uint:
		return uint(v)
	case uint8:
		return uint8(v)
	case uint16:
		return uint16(v)
	case uint32:
		return uint32(v)
	case uint64:
		return v
	}
	return a
}
