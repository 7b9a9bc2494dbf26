package calendar

import (
	"time"

	"tidemark/playbook"
	"tidemark/schemas"
)

// Dated is one day that moments are counted from, and while it is known.
type Dated struct {
	Item        string
	Key         uint64            // of the item; 0: there is but one
	Day         int64             // 0 is 1970-01-01
	Month, Date int               // instead of Day, where the year is not known; Date 0: Day it is
	From, Until schemas.EventTime // known after From and, unless it is 0, before Until
}

// Found is one moment.
type Found struct {
	At     schemas.EventTime
	Of     int   // index of the Dated
	Day    int64 // the local day it is about, before the offset
	Offset int
}

// Next is the first moment after an instant; false: there is none. Of several at
// one instant it is that of the least index.
func Next(m *playbook.Moment, dates []Dated, loc *time.Location, after schemas.EventTime) (Found, bool) {
	if m.Kind == playbook.MemberDay {
		return nextMemberDay(m, loc, after)
	}
	var best Found
	ok := false
	for i := range dates {
		d := &dates[i]
		each(m, d, loc, max(after, d.From), func(f Found) {
			if f.At > max(after, d.From) && (d.Until == 0 || f.At < d.Until) && (!ok || f.At < best.At) {
				best, ok = f, true
				best.Of = i
			}
		})
	}
	return best, ok
}

// At lists the moments of one instant, by index.
func At(m *playbook.Moment, dates []Dated, loc *time.Location, at schemas.EventTime) []Found {
	var out []Found
	if m.Kind == playbook.MemberDay {
		if f, ok := nextMemberDay(m, loc, at-1); ok && f.At == at {
			out = append(out, f)
		}
		return out
	}
	for i := range dates {
		if f, ok := Next(m, dates[i:i+1], loc, at-1); ok && f.At == at && at > dates[i].From {
			f.Of = i
			out = append(out, f)
		}
	}
	return out
}

// instant is a local minute of a local day.
func instant(day int64, minute int, loc *time.Location) schemas.EventTime {
	y, m, d := civil(day)
	return schemas.EventTime(time.Date(y, time.Month(m), d, minute/60, minute%60, 0, 0, loc).UnixMilli())
}

func localDay(t schemas.EventTime, loc *time.Location) int64 {
	y, m, d := time.UnixMilli(int64(t)).In(loc).Date()
	return dayOf(y, int(m), d)
}

// each calls fn for the moments of one date that may be the first after an instant.
func each(m *playbook.Moment, d *Dated, loc *time.Location, after schemas.EventTime, fn func(Found)) {
	tell := func(day int64) {
		for _, o := range m.Offsets {
			fn(Found{At: instant(day+int64(o), m.At, loc), Day: day, Offset: o})
		}
	}
	if !m.EveryYear {
		if d.Date == 0 {
			tell(d.Day)
		}
		return
	}
	if m.Kind == playbook.FromDates && d.Date == 0 {
		tell(d.Day) // the day itself, and then every year
	}
	now, _, _ := civil(localDay(after, loc))
	first := now - 2 - m.Offsets[len(m.Offsets)-1]/365
	for year := first; year <= now+10; year++ {
		if day, ok := inYear(m, d, year); ok && (d.Date != 0 || day > d.Day) {
			tell(day)
		}
	}
}

// inYear is the yearly day of a date in a year, of the calendar that the moment goes by.
func inYear(m *playbook.Moment, d *Dated, year int) (int64, bool) {
	month, date := d.Month, d.Date
	if m.Lunar {
		l := lunar{year, month, false, date}
		if d.Date == 0 {
			born, ok := toLunar(d.Day)
			if !ok {
				return 0, false
			}
			l = lunar{year, born.month, born.leap && m.LeapMonth, born.dayOfMonth}
			if _, _, ok := l.monthOf(); !ok {
				l.leap = false
			}
		}
		first, length, ok := l.monthOf()
		if !ok {
			return 0, false
		}
		return missing(m, first, length, l.dayOfMonth)
	}
	if date == 0 {
		_, month, date = civil(d.Day)
	}
	first := dayOf(year, month, 1)
	return missing(m, first, int(dayOf(year, month+1, 1)-first), date)
}

// missing is a day of a month that may be too short for it.
func missing(m *playbook.Moment, first int64, length, date int) (int64, bool) {
	if date <= length {
		return first + int64(date) - 1, true
	}
	switch m.Missing {
	case playbook.MissingNext:
		return first + int64(length), true
	case playbook.MissingSkip:
		return 0, false
	}
	return first + int64(length) - 1, true
}

func nextMemberDay(m *playbook.Moment, loc *time.Location, after schemas.EventTime) (Found, bool) {
	day := localDay(after, loc)
	if len(m.YearDays) > 0 {
		now, _, _ := civil(day)
		var best Found
		ok := false
		for year := now - 1; year <= now+10; year++ {
			for _, x := range m.YearDays {
				if on, there := inYear(m, &Dated{Month: x[0], Date: x[1]}, year); there {
					if at := instant(on, m.At, loc); at > after && (!ok || at < best.At) {
						best, ok = Found{At: at, Day: on}, true
					}
				}
			}
		}
		return best, ok
	}
	if len(m.Days) > 0 {
		var best Found
		ok := false
		for _, on := range m.Days {
			if at := instant(on, m.At, loc); at > after && (!ok || at < best.At) {
				best, ok = Found{At: at, Day: on}, true
			}
		}
		return best, ok
	}
	for d := day - 1; d < day+64; d++ { // a month's 31st comes within two months
		_, _, date := civil(d)
		holds := m.Weekdays[(d%7+7+4)%7] // 1970-01-01 was a Thursday
		for _, x := range m.MonthDays {
			holds = holds || x == date
		}
		if holds {
			if at := instant(d, m.At, loc); at > after {
				return Found{At: at, Day: d}, true
			}
		}
	}
	return Found{}, false
}
