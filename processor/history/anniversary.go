package history

import (
	"time"

	"tidemark/schemas"
)

// Anniversary is the year, counted from base, that holds t: from the first
// instant of the local day of base's last anniversary up to t, to that of the
// next. Somebody of 29 February has her day on the 28th in other years. n is 0 in
// the first year; false before base's day.
func (z Zone) Anniversary(base, t schemas.EventTime) (start, next schemas.EventTime, n int, ok bool) {
	first := z.Day(base)
	y, m, d := time.Unix(first*86400, 0).UTC().Date()
	of := func(n int) int64 {
		date := time.Date(y+n, m, d, 0, 0, 0, 0, time.UTC)
		if date.Month() != m { // 29 February
			date = date.AddDate(0, 0, -1)
		}
		return date.Unix() / 86400
	}
	day := z.Day(t)
	if day < first {
		return 0, 0, 0, false
	}
	n = max(time.Unix(day*86400, 0).UTC().Year()-y-1, 0)
	for of(n+1) <= day {
		n++
	}
	return z.Midnight(of(n)), z.Midnight(of(n + 1)), n, true
}
