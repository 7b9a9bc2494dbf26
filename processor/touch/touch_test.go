package touch

import (
	"testing"
	"time"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

func at(t *testing.T, loc *time.Location, s string) schemas.EventTime {
	t.Helper()
	x, err := time.ParseInLocation("2006-01-02T15:04", s, loc)
	if err != nil {
		t.Fatal(err)
	}
	return schemas.EventTime(x.UnixMilli())
}

// London's clock goes from 01:00 to 02:00 on 31 March 2024 and from 02:00 back to
// 01:00 on 27 October.
func TestQuietEnd(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	utc := time.UTC
	for _, x := range []struct {
		from, to  int
		now, want schemas.EventTime
	}{
		{21 * 60, 9 * 60, at(t, utc, "2024-01-10T20:59"), at(t, utc, "2024-01-10T20:59")},
		{21 * 60, 9 * 60, at(t, utc, "2024-01-10T21:00"), at(t, utc, "2024-01-11T09:00")},
		{21 * 60, 9 * 60, at(t, utc, "2024-01-10T08:59"), at(t, utc, "2024-01-10T09:00")},
		{21 * 60, 9 * 60, at(t, utc, "2024-01-10T09:00"), at(t, utc, "2024-01-10T09:00")},
		{12 * 60, 14 * 60, at(t, utc, "2024-01-10T13:00"), at(t, utc, "2024-01-10T14:00")},
		{21 * 60, 9 * 60, at(t, utc, "2024-03-30T22:00"), at(t, utc, "2024-03-31T08:00")},    // nine in summer time
		{21 * 60, 9 * 60, at(t, utc, "2024-10-26T21:00"), at(t, utc, "2024-10-27T09:00")},    // nine in winter time
		{23 * 60, 1*60 + 30, at(t, utc, "2024-03-31T00:10"), at(t, utc, "2024-03-31T01:00")}, // half past one is skipped
	} {
		if got := QuietEnd(playbook.Quiet{From: x.from, To: x.to}, london, x.now); got != x.want {
			t.Errorf("quiet %d-%d at %d: got %d, want %d", x.from, x.to, x.now, got, x.want)
		}
	}
	// Whatever the hours, the end is not quiet, and nothing before it is not.
	for q := (playbook.Quiet{}); q.From < 24*60; q.From += 37 {
		for q.To = 0; q.To < 24*60; q.To += 53 {
			for now := at(t, utc, "2024-10-26T20:00"); now < at(t, utc, "2024-10-27T06:00"); now += 17 * schemas.Minute {
				end := time.UnixMilli(int64(QuietEnd(q, london, now))).In(london)
				if end.UnixMilli() < int64(now) || q.From != q.To && quiet(q, end.Hour()*60+end.Minute()) {
					t.Fatalf("quiet %v at %d ends at %s", q, now, end)
				}
			}
		}
	}
}

func TestCount(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	zone := history.NewZone(shanghai)
	sent := []Sent{
		{At: at(t, shanghai, "2024-01-07T23:59"), Channel: 0, Purpose: "a"}, // a Sunday
		{At: at(t, shanghai, "2024-01-08T00:00"), Channel: 1, Purpose: "b"},
		{At: at(t, shanghai, "2024-01-10T10:00"), Channel: 0, Purpose: "b"},
	}
	now := at(t, shanghai, "2024-01-10T10:00")
	for _, x := range []struct {
		cap     playbook.Cap
		n, last int
	}{
		{playbook.Cap{Channel: -1, Window: playbook.Window{Cycle: "day"}}, 1, 2},
		{playbook.Cap{Channel: -1, Window: playbook.Window{Cycle: "week"}}, 2, 2},
		{playbook.Cap{Channel: -1, Window: playbook.Window{Cycle: "month"}}, 3, 2},
		{playbook.Cap{Channel: 0, Window: playbook.Window{Cycle: "month"}}, 2, 2},
		{playbook.Cap{Channel: 1, Purpose: "a", Window: playbook.Window{Cycle: "month"}}, 0, -1},
		{playbook.Cap{Channel: -1, Purpose: "b", Window: playbook.Window{Rolling: 58 * schemas.Hour}}, 1, 2},
		{playbook.Cap{Channel: -1, Purpose: "b", Window: playbook.Window{Rolling: 58*schemas.Hour + 1}}, 2, 2},
	} {
		if n, last := Count(x.cap, zone, sent, now); n != x.n || last != x.last {
			t.Errorf("%+v: got %d, %d, want %d, %d", x.cap, n, last, x.n, x.last)
		}
	}
}
