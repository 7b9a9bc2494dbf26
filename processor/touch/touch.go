package touch

import (
	"time"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// quiet says whether a local minute of the day lies in q.
func quiet(q playbook.Quiet, minute int) bool {
	if q.From <= q.To {
		return minute >= q.From && minute < q.To
	}
	return minute >= q.From || minute < q.To
}

// QuietEnd is t if it is not quiet then, else the first instant at which it no
// longer is. Where the clock skips the end for summer time it is the first
// instant after the gap.
func QuietEnd(q playbook.Quiet, loc *time.Location, t schemas.EventTime) schemas.EventTime {
	now := time.UnixMilli(int64(t)).In(loc)
	if !quiet(q, now.Hour()*60+now.Minute()) {
		return t
	}
	y, m, d := now.Date()
	end := time.Date(y, m, d, q.To/60, q.To%60, 0, 0, loc)
	if !end.After(now) {
		end = time.Date(y, m, d+1, q.To/60, q.To%60, 0, 0, loc)
	}
	// Of a reading that the clock skips time.Date gives an instant before the gap, or
	// some way after it.
	for quiet(q, end.Hour()*60+end.Minute()) {
		end = end.Add(time.Minute)
	}
	for {
		before := end.Add(-time.Minute)
		if !before.After(now) || quiet(q, before.Hour()*60+before.Minute()) {
			break
		}
		end = before
	}
	return schemas.EventTime(end.UnixMilli())
}

// Sent is one touch that was sent.
type Sent struct {
	At      schemas.EventTime
	Channel int
	Purpose string
}

// Count is how many of sent a cap counts at an instant, and the latest of them
// by index; -1: none.
func Count(k playbook.Cap, zone history.Zone, sent []Sent, at schemas.EventTime) (n, last int) {
	from := at - k.Window.Rolling + 1
	if k.Window.Cycle != "" {
		from, _ = zone.CycleStart(k.Window.Cycle, at)
	}
	last = -1
	for i := range sent {
		s := &sent[i]
		if s.At < from || s.At > at || k.Channel >= 0 && s.Channel != k.Channel || k.Purpose != "" && s.Purpose != k.Purpose {
			continue
		}
		n, last = n+1, i
	}
	return n, last
}

// Longest is the longest span that the policy looks back.
func Longest(p *playbook.TouchPolicy) schemas.EventTime {
	d := p.MinDistance
	for i := range p.Caps {
		w := p.Caps[i].Window
		d = max(d, w.Rolling, map[string]schemas.EventTime{"day": 2, "week": 8, "month": 32}[w.Cycle]*schemas.Day)
	}
	return d
}
