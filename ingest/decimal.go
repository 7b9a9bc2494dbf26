package ingest

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// decimal is coef / 10^scale, exactly; scale is 0 to 18.
type decimal struct {
	coef  int64
	scale int
}

// numberStyle is how a file writes numbers.
type numberStyle struct {
	mark      byte // between whole and fraction: '.' or ','
	thousands byte // between groups of the whole part; 0 for none
}

var pow10 = func() (p [19]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// parse takes groups as 1.234.567 and as 12.34.567: three digits in the last,
// two or three in the others.
func (st numberStyle) parse(s string) (decimal, error) {
	bad := func() (decimal, error) { return decimal{}, fmt.Errorf("%.40q is not a number", s) }
	t := s
	negative := strings.HasPrefix(t, "-")
	if negative || strings.HasPrefix(t, "+") {
		t = t[1:]
	}
	var d decimal
	fraction, digits := false, 0
	// Where thousands are marked, 1.00 beside a decimal comma is a price written
	// the other way: taking the point away would make it a hundred times as much.
	marked, group := false, 0 // digits behind the last thousands mark
	for i := 0; i < len(t); i++ {
		c := t[i]
		switch {
		case c-'0' <= 9:
			if d.coef > (math.MaxInt64-9)/10 || fraction && d.scale == len(pow10)-1 {
				return decimal{}, fmt.Errorf("%.40q has too many digits", s)
			}
			d.coef = d.coef*10 + int64(c-'0')
			digits++
			if fraction {
				d.scale++
			} else {
				group++
			}
		case c == st.mark && !fraction:
			fraction = true
		case c == st.thousands && st.thousands != 0 && !fraction && group > 0 && group <= 3 && (!marked || group > 1):
			marked, group = true, 0
		default:
			return bad()
		}
	}
	if digits == 0 {
		return bad()
	}
	if marked && group != 3 {
		return decimal{}, fmt.Errorf("%.40q has %d digits behind the thousands mark %q, where three belong", s, group, st.thousands)
	}
	if negative {
		d.coef = -d.coef
	}
	return d, nil
}

func (d decimal) compare(o decimal) int {
	if sd, so := sign(d.coef), sign(o.coef); sd != so || sd == 0 {
		return cmp.Compare(sd, so)
	}
	// Same sign: compare |d|·10^(o.scale-common) with |o|·10^(d.scale-common).
	common := min(d.scale, o.scale)
	h1, l1 := bits.Mul64(abs(d.coef), pow10[o.scale-common])
	h2, l2 := bits.Mul64(abs(o.coef), pow10[d.scale-common])
	c := 0
	switch {
	case h1 < h2 || h1 == h2 && l1 < l2:
		c = -1
	case h1 != h2 || l1 != l2:
		c = 1
	}
	return c * sign(d.coef)
}

// whole gives the value as an integer, if it is one.
func (d decimal) whole() (int64, bool) {
	p := int64(pow10[d.scale])
	return d.coef / p, d.coef%p == 0
}

// minor gives d × quantity in units of 10^-exponent. A value between two units
// is rounded to the nearest, the even one of two as near (half-even), and
// exact is false then; ok is false where the result does not fit.
func (d decimal) minor(quantity int64, exponent int) (value int64, exact, ok bool) {
	hi, lo := bits.Mul64(abs(d.coef), abs(quantity))
	exact = true
	if d.scale <= exponent {
		if hi != 0 {
			return 0, true, false
		}
		hi, lo = bits.Mul64(lo, pow10[exponent-d.scale])
	} else {
		by := pow10[d.scale-exponent]
		if hi >= by {
			return 0, true, false
		}
		quotient, rest := bits.Div64(hi, lo, by)
		exact = rest == 0
		if rest > by-rest || rest == by-rest && quotient&1 == 1 {
			quotient++
		}
		hi, lo = 0, quotient
	}
	if hi != 0 || lo > math.MaxInt64 {
		return 0, exact, false
	}
	value = int64(lo)
	if sign(d.coef)*sign(quantity) < 0 {
		value = -value
	}
	return value, exact, true
}

func sign(v int64) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}

func abs(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}
