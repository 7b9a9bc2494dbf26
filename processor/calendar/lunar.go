package calendar

import "time"

const firstLunar, lastLunar = 1900, 2100

// lunar is a day of the Chinese calendar.
type lunar struct {
	year, month int
	leap        bool // in the repeated month
	dayOfMonth  int
}

// dayOf is the number of a Gregorian day; day 0 is 1970-01-01. It takes days and
// months out of range as time.Date does.
func dayOf(y, m, d int) int64 {
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

func civil(day int64) (y, m, d int) {
	yy, mm, dd := time.Unix(day*86400, 0).UTC().Date()
	return yy, int(mm), dd
}

func newYear(year int) int64 {
	return dayOf(year, 1, 1) + int64(lunarYears[year-firstLunar]>>17)
}

// months calls fn for each month of a lunar year with its first day and length,
// until fn says it is enough.
func months(year int, fn func(month int, leap bool, first int64, length int) bool) {
	w := lunarYears[year-firstLunar]
	repeated, n := int(w>>13&15), 12
	if repeated > 0 {
		n = 13
	}
	first := newYear(year)
	for i := range n {
		month, leap := i+1, false
		if repeated > 0 && i >= repeated {
			month, leap = i, i == repeated
		}
		length := 29 + int(w>>i&1)
		if fn(month, leap, first, length) {
			return
		}
		first += int64(length)
	}
}

// toLunar is a day in the Chinese calendar; false outside the table.
func toLunar(day int64) (lunar, bool) {
	year, _, _ := civil(day)
	if year < firstLunar || year > lastLunar {
		return lunar{}, false
	}
	if day < newYear(year) {
		year--
	}
	if year < firstLunar {
		return lunar{}, false
	}
	var out lunar
	months(year, func(month int, leap bool, first int64, length int) bool {
		if day < first+int64(length) {
			out = lunar{year, month, leap, int(day-first) + 1}
			return true
		}
		return false
	})
	return out, out.month != 0
}

// day is the inverse of toLunar; false where the year has no such day.
func (l lunar) day() (int64, bool) {
	first, length, ok := l.monthOf()
	if !ok || l.dayOfMonth > length {
		return 0, false
	}
	return first + int64(l.dayOfMonth) - 1, true
}

// monthOf is the first day and the length of the month of l; false where the
// year has no such month.
func (l lunar) monthOf() (first int64, length int, ok bool) {
	if l.year < firstLunar || l.year > lastLunar {
		return 0, 0, false
	}
	months(l.year, func(month int, leap bool, f int64, n int) bool {
		if month == l.month && leap == l.leap {
			first, length, ok = f, n, true
		}
		return ok
	})
	return first, length, ok
}
