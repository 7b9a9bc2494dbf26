package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// span is one JSON value inside a line, checked for syntax and not decoded yet.
// Decoding waits until the whole object was seen, because a later duplicate of
// a key takes the place of an earlier one.
type span struct {
	start, end int  // quotes included
	kind       byte // 's' string, 'n' number, 't' true, 'f' false, '0' null, 'o' object, 'a' array; 0: absent
	plain      bool // a string without escapes whose bytes are the text
}

// scanner checks JSON by the grammar of RFC 8259, as strictly as encoding/json:
// no raw control characters in strings, no leading zeros, nesting to 10,000.
type scanner struct {
	buf   []byte
	pos   int
	depth int
	text  []byte // unescaped strings; one that was handed out is never written again
}

const maxDepth = 10000

// syntaxError is a fault at a byte of the line, counted from 1.
type syntaxError struct {
	at   int
	what string
}

func (s *scanner) space() {
	if s.pos < len(s.buf) && s.buf[s.pos] > ' ' {
		return // nearly always: programs write JSON Lines without spaces
	}
	for s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) fail(what string) *syntaxError {
	if s.pos >= len(s.buf) {
		return &syntaxError{s.pos + 1, "the line ends too early"}
	}
	return &syntaxError{s.pos + 1, what}
}

// value skips one value.
func (s *scanner) value() (span, *syntaxError) {
	if s.pos >= len(s.buf) {
		return span{}, s.fail("")
	}
	start := s.pos
	switch c := s.buf[s.pos]; {
	case c == '"':
		return s.string()
	case c == '-' || c >= '0' && c <= '9':
		err := s.number()
		return span{start, s.pos, 'n', false}, err
	case c == '{':
		err := s.object(func(span, span) {})
		return span{start, s.pos, 'o', false}, err
	case c == '[':
		err := s.array(func(span) {})
		return span{start, s.pos, 'a', false}, err
	case c == 't':
		return s.literal("true", 't')
	case c == 'f':
		return s.literal("false", 'f')
	case c == 'n':
		return s.literal("null", '0')
	}
	return span{}, s.fail("a value was expected")
}

func (s *scanner) literal(word string, kind byte) (span, *syntaxError) {
	start := s.pos
	for i := 0; i < len(word); i++ {
		if s.pos >= len(s.buf) || s.buf[s.pos] != word[i] {
			return span{}, s.fail("a value was expected")
		}
		s.pos++
	}
	return span{start, s.pos, kind, false}, nil
}

func (s *scanner) object(member func(key, value span)) *syntaxError {
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	s.pos++
	s.space()
	if s.pos < len(s.buf) && s.buf[s.pos] == '}' {
		s.pos++
		s.depth--
		return nil
	}
	for {
		s.space()
		if s.pos >= len(s.buf) || s.buf[s.pos] != '"' {
			return s.fail("a key in quotes was expected")
		}
		key, err := s.string()
		if err != nil {
			return err
		}
		s.space()
		if s.pos >= len(s.buf) || s.buf[s.pos] != ':' {
			return s.fail("a colon was expected")
		}
		s.pos++
		s.space()
		value, err := s.value()
		if err != nil {
			return err
		}
		member(key, value)
		s.space()
		if s.pos < len(s.buf) && s.buf[s.pos] == ',' {
			s.pos++
			continue
		}
		if s.pos < len(s.buf) && s.buf[s.pos] == '}' {
			s.pos++
			s.depth--
			return nil
		}
		return s.fail("a comma or } was expected")
	}
}

func (s *scanner) array(element func(span)) *syntaxError {
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	s.pos++
	s.space()
	if s.pos < len(s.buf) && s.buf[s.pos] == ']' {
		s.pos++
		s.depth--
		return nil
	}
	for {
		s.space()
		value, err := s.value()
		if err != nil {
			return err
		}
		element(value)
		s.space()
		if s.pos < len(s.buf) && s.buf[s.pos] == ',' {
			s.pos++
			continue
		}
		if s.pos < len(s.buf) && s.buf[s.pos] == ']' {
			s.pos++
			s.depth--
			return nil
		}
		return s.fail("a comma or ] was expected")
	}
}

func (s *scanner) number() *syntaxError {
	if s.buf[s.pos] == '-' {
		s.pos++
	}
	digits := func() bool {
		from := s.pos
		for s.pos < len(s.buf) && s.buf[s.pos]-'0' <= 9 {
			s.pos++
		}
		return s.pos > from
	}
	if s.pos < len(s.buf) && s.buf[s.pos] == '0' {
		s.pos++
	} else if !digits() {
		return s.fail("a digit was expected")
	}
	if s.pos < len(s.buf) && s.buf[s.pos] == '.' {
		s.pos++
		if !digits() {
			return s.fail("a digit was expected")
		}
	}
	if s.pos < len(s.buf) && s.buf[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.buf) && (s.buf[s.pos] == '+' || s.buf[s.pos] == '-') {
			s.pos++
		}
		if !digits() {
			return s.fail("a digit was expected")
		}
	}
	return nil
}

func (s *scanner) string() (span, *syntaxError) {
	start := s.pos
	plain, high := true, byte(0)
	b := s.buf
	for i := s.pos + 1; i < len(b); i++ {
		// Eight bytes at a time while none of them is special: a borrow or a
		// high bit marks a quote, a backslash, a control character or non-ASCII.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			if special := ((quote - ones) | (slash - ones) | (w - ones*0x20) | w) & (ones * 0x80); special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			break
		}
		switch c := b[i]; {
		case c == '"':
			s.pos = i + 1
			if high >= utf8.RuneSelf && plain {
				plain = utf8.Valid(b[start+1 : i])
			}
			return span{start, i + 1, 's', plain}, nil
		case c == '\\':
			plain = false
			i++
			if i >= len(b) {
				break
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(b, i+1); !ok {
					s.pos = min(i, len(b)-1)
					return span{}, s.fail(`\u wants four hexadecimal digits`)
				}
				i += 4
			default:
				s.pos = i
				return span{}, s.fail("unknown escape")
			}
		case c < 0x20:
			s.pos = i
			return span{}, s.fail("control character in a string")
		default:
			high |= c
		}
	}
	s.pos = len(b)
	return span{}, s.fail("")
}

const ones = 0x0101010101010101 // times a byte: that byte eight times

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// unquote gives the text of a string; where it can it is a view of the line.
// Bytes that are not UTF-8 and lone surrogates become U+FFFD, as in encoding/json.
func (s *scanner) unquote(v span) string {
	b := s.buf[v.start+1 : v.end-1]
	if v.plain {
		return view(b)
	}
	from := len(s.text)
	t := s.text
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == '\\':
			i++
			switch b[i] {
			case 'b':
				t = append(t, '\b')
			case 'f':
				t = append(t, '\f')
			case 'n':
				t = append(t, '\n')
			case 'r':
				t = append(t, '\r')
			case 't':
				t = append(t, '\t')
			case 'u':
				r, _ := hex4(b, i+1)
				i += 4
				if utf16.IsSurrogate(r) {
					low, ok := rune(0), false
					if i+2 < len(b) && b[i+1] == '\\' && b[i+2] == 'u' {
						low, ok = hex4(b, i+3)
					}
					if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
						r = pair
						i += 6
					} else {
						r = utf8.RuneError
					}
				}
				t = utf8.AppendRune(t, r)
			default:
				t = append(t, b[i])
			}
			i++
		case c < utf8.RuneSelf:
			t = append(t, c)
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			t = utf8.AppendRune(t, r)
			i += n
		}
	}
	s.text = t
	return view(t[from:])
}
