package calendar

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/6tail/lunar-go/calendar"
)

// wordOf is a lunar year as the table has it, by the library.
func wordOf(year int) uint32 {
	y := calendar.NewLunarYear(year)
	var w uint32
	i := 0
	for e := y.GetMonthsInYear().Front(); e != nil; e = e.Next() {
		m := e.Value.(*calendar.LunarMonth)
		if m.GetDayCount() == 30 {
			w |= 1 << i
		}
		i++
	}
	w |= uint32(y.GetLeapMonth()) << 13
	first := calendar.NewLunarFromYmd(year, 1, 1).GetSolar()
	day := time.Date(first.GetYear(), time.Month(first.GetMonth()), first.GetDay(), 0, 0, 0, 0, time.UTC).YearDay() - 1
	return w | uint32(day)<<17
}

var remake = flag.Bool("lunar", false, "write the table of lunar years anew")

// TestLunarTable holds the table against the library for every year; -lunar writes it.
func TestLunarTable(t *testing.T) {
	if *remake {
		var b strings.Builder
		b.WriteString("package calendar\n\n// lunarYears holds the lunar years from firstLunar on, made by lunar_test.go from\n// github.com/6tail/lunar-go: bits 0 to 12 say which months have 30 days, in order, 13 to 16\n// the month that is repeated (0: none), 17 on the day of the year of new year, from 0.\nvar lunarYears = [...]uint32{")
		for y := firstLunar; y <= lastLunar; y++ {
			if (y-firstLunar)%8 == 0 {
				b.WriteString("\n\t")
			}
			fmt.Fprintf(&b, "%#x, ", wordOf(y))
		}
		b.WriteString("\n}\n")
		if err := os.WriteFile("lunar_table.go", []byte(strings.ReplaceAll(b.String(), ", \n", ",\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for y := firstLunar; y <= lastLunar; y++ {
		if got, want := lunarYears[y-firstLunar], wordOf(y); got != want {
			t.Errorf("%d: got %#x, want %#x", y, got, want)
		}
	}
	if got, want := len(lunarYears), lastLunar-firstLunar+1; got != want {
		t.Errorf("got %d years, want %d", got, want)
	}
}

// Every day of two centuries goes to the lunar calendar and back, as in the library.
func TestLunarDays(t *testing.T) {
	for d := dayOf(1901, 3, 1); d < dayOf(2099, 12, 1); d += 1 {
		l, ok := toLunar(d)
		if !ok {
			t.Fatalf("day %d is not known", d)
		}
		if back, ok := l.day(); !ok || back != d {
			t.Fatalf("day %d is %+v is %d", d, l, back)
		}
		if d%97 != 0 {
			continue
		}
		y, m, dd := civil(d)
		x := calendar.NewSolarFromYmd(y, m, dd).GetLunar()
		month := l.month
		if l.leap {
			month = -month
		}
		if x.GetYear() != l.year || x.GetMonth() != month || x.GetDay() != l.dayOfMonth {
			t.Fatalf("%d-%d-%d: got %+v, want %d %d %d", y, m, dd, l, x.GetYear(), x.GetMonth(), x.GetDay())
		}
	}
}
