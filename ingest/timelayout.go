package ingest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	// Zones are IANA names; a machine without a zone database knows them too.
	_ "time/tzdata"

	"tidemark/schemas"
)

// timeLayout reads dates the way strptime (POSIX) does. The conversions:
//
//	%Y year, four digits      %m month, %d day, %H hour, %M minute, %S second:
//	%y year of 1969 to 2068     one or two digits, two where they stand
//	%b month's English name     side by side, as in %Y%m%d
//	   or its first three letters
//	%I hour of twelve, %p AM or PM
//	%f fraction of a second, one digit or more; beyond milliseconds it is cut off
//	%z offset as +0800, +08:00 or Z; without it the mapping's zone holds
//	%% a percent sign         %F = %Y-%m-%d    %T = %H:%M:%S
//
// A space matches one or more spaces. In the place of a layout stand the words
// epoch_ms, epoch_s and rfc3339. What a layout does not name is 0, the month and
// the day 1. A local time that a change of clocks skips or repeats is taken as
// time.Date takes it.
type timeLayout struct {
	text  string
	parts []layoutPart
}

type layoutPart struct {
	conversion byte // 0: literal
	literal    byte
	fixed      bool // two digits exactly
}

func (p layoutPart) isNumber() bool {
	return p.conversion != 0 && strings.IndexByte("YymdHMSIf", p.conversion) >= 0
}

const layoutConversions = "YymdHMSbIpfz%"

func parseTimeLayout(text string) (*timeLayout, error) {
	l := &timeLayout{text: text}
	switch text {
	case "epoch_ms", "epoch_s", "rfc3339":
		return l, nil
	}
	expanded := strings.NewReplacer("%%", "%%", "%F", "%Y-%m-%d", "%T", "%H:%M:%S", "%B", "%b").Replace(text)
	have := map[byte]bool{}
	for i := 0; i < len(expanded); i++ {
		p := layoutPart{literal: expanded[i]}
		if p.literal == '%' {
			i++
			if i == len(expanded) || strings.IndexByte(layoutConversions, expanded[i]) < 0 {
				return nil, fmt.Errorf("layout %q: unknown conversion at %q; known are %%Y %%y %%m %%d %%H %%I %%p %%M %%S %%f %%b %%z %%F %%T %%%%, or the words epoch_ms, epoch_s, rfc3339", text, expanded[i-1:])
			}
			if expanded[i] != '%' {
				p = layoutPart{conversion: expanded[i]}
				if have[p.conversion] {
					return nil, fmt.Errorf("layout %q: %%%c stands twice", text, p.conversion)
				}
				have[p.conversion] = true
			}
		}
		if n := len(l.parts); n > 0 && p.isNumber() && l.parts[n-1].isNumber() {
			l.parts[n-1].fixed, p.fixed = true, true
		}
		l.parts = append(l.parts, p)
	}
	if !have['Y'] && !have['y'] {
		return nil, fmt.Errorf("layout %q names no year; layouts are written as for strptime, for instance %%Y-%%m-%%d %%H:%%M:%%S", text)
	}
	if have['I'] != have['p'] {
		return nil, fmt.Errorf("layout %q: %%I and %%p go together", text)
	}
	return l, nil
}

// parse reads s; zone holds where the text names no offset.
func (l *timeLayout) parse(s string, zone *time.Location) (schemas.EventTime, error) {
	switch l.text {
	case "epoch_ms", "epoch_s":
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("time %.40q is not a whole number", s)
		}
		if l.text == "epoch_s" {
			if n > int64(maxInstant)/1000 || n < int64(minInstant)/1000 {
				return 0, fmt.Errorf("time %.40q lies outside the years 0000 to 9999", s)
			}
			n *= 1000
		}
		if t := schemas.EventTime(n); t >= minInstant && t <= maxInstant {
			return t, nil
		}
		return 0, fmt.Errorf("time %.40q lies outside the years 0000 to 9999", s)
	case "rfc3339":
		if t, ok := quickRFC3339(s); ok {
			return t, nil
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return 0, fmt.Errorf("time %.40q is not RFC 3339", s)
		}
		return inRange(schemas.EventTime(t.UnixMilli()))
	}
	c := clockTime{month: 1, day: 1}
	rest := s
	for _, p := range l.parts {
		var ok bool
		if rest, ok = c.take(p, rest); !ok {
			return 0, fmt.Errorf("time %.40q does not have the form %s", s, l.text)
		}
	}
	if rest != "" {
		return 0, fmt.Errorf("time %.40q goes on behind the form %s", s, l.text)
	}
	if c.month < 1 || c.month > 12 || c.day < 1 || c.day > daysIn(c.year, c.month) ||
		c.hour > 23 || c.minute > 59 || c.second > 59 {
		return 0, fmt.Errorf("time %.40q is no date of the calendar", s)
	}
	if c.offset != nil {
		seconds := epochDays(c.year, c.month, c.day)*86400 + int64(c.hour*3600+c.minute*60+c.second-*c.offset)
		return inRange(schemas.EventTime(seconds*1000 + int64(c.millis)))
	}
	return inRange(schemas.EventTime(c.in(zone).UnixMilli()))
}

// in gives the instant at which clocks of the zone showed this. What they
// showed twice is the first of the two; what they skipped is as much later as
// they skipped, as RFC 5545 section 3.3.5 has it. time.Date promises neither:
// west of Greenwich a skipped midnight would be a sale of the day before.
func (c *clockTime) in(zone *time.Location) time.Time {
	t := time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.millis*1e6, zone)
	start, end := t.ZoneBounds()
	const near = 48 * time.Hour // twice what any zone has ever moved its clocks by
	var change time.Time
	switch {
	case !start.IsZero() && t.Sub(start) < near:
		change = start
	case !end.IsZero() && end.Sub(t) < near:
		change = end
	default:
		return t
	}
	_, before := change.Add(-time.Second).Zone()
	_, after := change.Zone()
	shown := time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.millis*1e6, time.UTC)
	first := shown.Add(-time.Duration(before) * time.Second)
	second := shown.Add(-time.Duration(after) * time.Second)
	if first.Before(change) || second.Before(change) {
		return first
	}
	return second
}

type clockTime struct {
	year, month, day, hour, minute, second, millis int
	offset                                         *int // seconds east of UTC
}

// take reads one part off s.
func (c *clockTime) take(p layoutPart, s string) (rest string, ok bool) {
	number := func(to *int, most int) (string, bool) {
		n := 0
		for n < most && n < len(s) && s[n]-'0' <= 9 {
			*to = *to*10 + int(s[n]-'0')
			n++
		}
		return s[n:], n > 0 && (n == most || most == 2 && !p.fixed)
	}
	switch p.conversion {
	case 0:
		if p.literal == ' ' {
			rest = strings.TrimLeft(s, " ")
			return rest, rest != s
		}
		if s == "" || s[0] != p.literal {
			return s, false
		}
		return s[1:], true
	case 'Y':
		return number(&c.year, 4)
	case 'y':
		if rest, ok = number(&c.year, 2); c.year < 69 {
			c.year += 100
		}
		c.year += 1900
		return rest, ok
	case 'm':
		c.month = 0
		return number(&c.month, 2)
	case 'd':
		c.day = 0
		return number(&c.day, 2)
	case 'H':
		return number(&c.hour, 2)
	case 'M':
		return number(&c.minute, 2)
	case 'S':
		return number(&c.second, 2)
	case 'I':
		past := c.hour // %p came first
		c.hour = 0
		if rest, ok = number(&c.hour, 2); c.hour < 1 || c.hour > 12 {
			return s, false
		}
		c.hour = c.hour%12 + past
		return rest, ok
	case 'p':
		if len(s) < 2 || !strings.EqualFold(s[1:2], "M") || !strings.ContainsAny(s[:1], "aApP") {
			return s, false
		}
		if s[0]|0x20 == 'p' {
			c.hour += 12
		}
		return s[2:], true
	case 'b':
		for m := time.January; m <= time.December; m++ {
			for _, name := range []string{m.String(), m.String()[:3]} {
				if len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) {
					c.month = int(m)
					return s[len(name):], true
				}
			}
		}
		return s, false
	case 'f':
		n, unit := 0, 100
		for ; n < len(s) && s[n]-'0' <= 9; n++ {
			c.millis += int(s[n]-'0') * unit
			unit /= 10
		}
		return s[n:], n > 0
	}
	return c.takeOffset(s)
}

func (c *clockTime) takeOffset(s string) (rest string, ok bool) {
	c.offset = new(int)
	if strings.HasPrefix(s, "Z") {
		return s[1:], true
	}
	if len(s) < 5 || s[0] != '+' && s[0] != '-' {
		return s, false
	}
	minutes := 3
	if s[3] == ':' {
		minutes = 4
	}
	if len(s) < minutes+2 {
		return s, false
	}
	h, ok1 := digits2(s, 1)
	m, ok2 := digits2(s, minutes)
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return s, false
	}
	*c.offset = (h*60 + m) * 60
	if s[0] == '-' {
		*c.offset = -*c.offset
	}
	return s[minutes+2:], true
}
