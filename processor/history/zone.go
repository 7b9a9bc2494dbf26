package history

import (
	"time"

	"tidemark/schemas"
)

// Zone turns instants into local days of one time zone.
type Zone struct {
	loc *time.Location
	utc bool
}

// NewZone returns the days of loc; nil is UTC.
func NewZone(loc *time.Location) Zone {
	return Zone{loc: loc, utc: loc == nil || loc == time.UTC || loc.String() == "UTC"}
}

// Day is the number of the local day that holds t; day 0 is 1970-01-01.
func (z Zone) Day(t schemas.EventTime) int64 {
	ms := int64(t)
	if !z.utc {
		_, off := time.UnixMilli(ms).In(z.loc).Zone()
		ms += int64(off) * 1000
	}
	d := ms / int64(schemas.Day)
	if ms%int64(schemas.Day) < 0 {
		d--
	}
	return d
}

// Midnight is the first instant of a local day. Where the zone skips midnight
// for summer time it is the first instant after the gap.
func (z Zone) Midnight(day int64) schemas.EventTime {
	if z.utc {
		return schemas.EventTime(day) * schemas.Day
	}
	y, m, d := time.Unix(day*86400, 0).UTC().Date()
	t := schemas.EventTime(time.Date(y, m, d, 0, 0, 0, 0, z.loc).UnixMilli())
	// time.Date may land before the gap or in the other of two equal readings.
	for z.Day(t) < day {
		t += 30 * schemas.Minute
	}
	return t
}

// Cycle returns the first start of a cycle (day, week from Monday, month,
// quarter, year; local midnights) strictly after t; false for an unknown name.
func (z Zone) Cycle(name string, t schemas.EventTime) (schemas.EventTime, bool) {
	loc := z.loc
	if loc == nil {
		loc = time.UTC
	}
	y, m, d := time.UnixMilli(int64(t)).In(loc).Date()
	var next time.Time
	switch name {
	case "day":
		return z.Midnight(z.Day(t) + 1), true
	case "week":
		day := z.Day(t)
		weekday := (day%7 + 7 + 3) % 7 // 1970-01-01 was a Thursday; Monday is 0
		return z.Midnight(day + 7 - weekday), true
	case "month":
		next = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
	case "quarter":
		next = time.Date(y, (m-1)/3*3+4, 1, 0, 0, 0, 0, time.UTC)
	case "year":
		next = time.Date(y+1, 1, 1, 0, 0, 0, 0, time.UTC)
	default:
		return 0, false
	}
	_ = d
	return z.Midnight(next.Unix() / 86400), true
}

// CycleStart is the first instant of the cycle (see Cycle) that holds t; false
// for an unknown name.
func (z Zone) CycleStart(name string, t schemas.EventTime) (schemas.EventTime, bool) {
	day := z.Day(t)
	y, m, _ := time.Unix(day*86400, 0).UTC().Date()
	var first time.Time
	switch name {
	case "day":
		return z.Midnight(day), true
	case "week":
		return z.Midnight(day - (day%7+7+3)%7), true
	case "month":
		first = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	case "quarter":
		first = time.Date(y, (m-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC)
	case "year":
		first = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
	default:
		return 0, false
	}
	return z.Midnight(first.Unix() / 86400), true
}
