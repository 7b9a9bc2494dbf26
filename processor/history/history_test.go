package history

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"tidemark/schemas"
	"tidemark/state"
)

func zone(t *testing.T, name string) Zone {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return NewZone(loc)
}

func at(s string) schemas.EventTime {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return schemas.EventTime(t.UnixMilli())
}

func TestDays(t *testing.T) {
	for _, c := range []struct{ zone, instant, day string }{
		{"UTC", "2024-02-29T23:59:59Z", "2024-02-29"},
		{"Asia/Shanghai", "2024-02-29T16:00:00Z", "2024-03-01"},
		{"America/New_York", "2024-03-10T04:59:59Z", "2024-03-09"},
		{"Europe/London", "1969-12-31T23:30:00Z", "1970-01-01"}, // it had summer time all year
		{"UTC", "1969-12-31T23:30:00Z", "1969-12-31"},
	} {
		want, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := zone(t, c.zone).Day(at(c.instant)); got != want.Unix()/86400 {
			t.Errorf("%s in %s: day %d, want %d", c.instant, c.zone, got, want.Unix()/86400)
		}
	}
}

// Midnight is the first instant of its day, in zones that skip or repeat it too.
func TestMidnight(t *testing.T) {
	for _, name := range []string{"UTC", "Asia/Shanghai", "Europe/London", "Asia/Beirut", "America/Sao_Paulo", "America/Havana", "Australia/Lord_Howe", "Africa/Cairo"} {
		z := zone(t, name)
		for day := int64(15_000); day < 20_500; day++ {
			m := z.Midnight(day)
			if z.Day(m) != day || z.Day(m-1) != day-1 {
				t.Fatalf("%s: midnight of day %d is %v: day %d, and %d a millisecond before", name, day, time.UnixMilli(int64(m)).UTC(), z.Day(m), z.Day(m-1))
			}
		}
	}
}

func TestCycle(t *testing.T) {
	z := zone(t, "Europe/London")
	for _, c := range []struct{ cycle, from, want string }{
		{"day", "2024-03-30T12:00:00Z", "2024-03-31T00:00:00Z"},
		{"day", "2024-03-31T00:00:00Z", "2024-03-31T23:00:00Z"}, // the day of 23 hours
		{"week", "2024-03-30T12:00:00Z", "2024-03-31T23:00:00Z"},
		{"week", "2024-03-31T23:00:00Z", "2024-04-07T23:00:00Z"},
		{"month", "2024-03-31T22:59:59Z", "2024-03-31T23:00:00Z"},
		{"month", "2024-12-05T00:00:00Z", "2025-01-01T00:00:00Z"},
		{"quarter", "2024-05-01T00:00:00Z", "2024-06-30T23:00:00Z"},
		{"year", "2024-05-01T00:00:00Z", "2025-01-01T00:00:00Z"},
	} {
		got, ok := z.Cycle(c.cycle, at(c.from))
		if !ok || got != at(c.want) {
			t.Errorf("the %s after %s: %v, want %s", c.cycle, c.from, time.UnixMilli(int64(got)).UTC(), c.want)
		}
	}
	if _, ok := z.Cycle("fortnight", 0); ok {
		t.Error("fortnight is a cycle")
	}
}

// FallsBelow and NextLeave against the sums themselves, instant by instant.
func TestWindowLetsGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &state.Customer{}
		for range rapid.IntRange(0, 3).Draw(t, "days") {
			c.Days = append(c.Days, state.DaySum{Last: schemas.EventTime(len(c.Days)*7 + 1), Count: 1, Sum: rapid.Int64Range(-5, 20).Draw(t, "sum")})
		}
		for i := range rapid.IntRange(0, 6).Draw(t, "orders") {
			o := state.Order{ID: uint64(i), At: schemas.EventTime(rapid.IntRange(1, 40).Draw(t, "at")), Paid: rapid.Int64Range(0, 20).Draw(t, "paid")}
			o.Refunded = rapid.Int64Range(0, max(o.Paid, 3)).Draw(t, "refunded")
			o.Omitted = rapid.Int64Range(0, o.Paid).Draw(t, "omitted")
			c.InsertOrder(o)
		}
		v := View{C: c}
		const window = 15
		now := schemas.EventTime(rapid.IntRange(1, 45).Draw(t, "now"))
		sum := v.Window(window, now).Growing
		limit := rapid.Int64Range(1, 30).Draw(t, "limit")
		if sum < limit {
			return
		}
		got, ok := v.FallsBelow(window, now, sum, limit)
		// Nothing comes any more: what lies after now is taken out.
		left := &state.Customer{}
		for _, d := range c.Days {
			if d.Last <= now {
				left.Days = append(left.Days, d)
			}
		}
		for _, o := range c.Orders {
			if o.At <= now {
				left.Orders = append(left.Orders, o)
			}
		}
		w := View{C: left}
		for at := now + 1; at < now+window+2; at++ {
			if w.Window(window, at).Growing >= limit {
				continue
			}
			// It may come too early, where something else leaves at the same instant, and is looked at again then; never too late.
			if !ok || got > at || got <= now {
				t.Fatalf("below %d at %d, FallsBelow says %d %v", limit, at, got, ok)
			}
			return
		}
		t.Fatalf("never below %d", limit)
	})
}
