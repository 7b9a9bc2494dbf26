package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"tidemark/examples"
	"tidemark/schemas"
)

// TestMinorAgainstBigRat holds the integer arithmetic of money against exact fractions.
func TestMinorAgainstBigRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,13}(\.[0-9]{0,5})?`).Draw(t, "text")
		quantity := rapid.Int64Range(-1<<31, 1<<31).Draw(t, "quantity")
		exponent := rapid.SampledFrom([]int{0, 2, 3, 4}).Draw(t, "exponent")
		d, err := numberStyle{mark: '.'}.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, exact, ok := d.minor(quantity, exponent)
		want, _ := new(big.Rat).SetString(strings.TrimSuffix(text, "."))
		want.Mul(want, new(big.Rat).SetInt64(quantity))
		want.Mul(want, new(big.Rat).SetInt64(int64(pow10[exponent])))
		// Half-even: the nearest integer, the even one of two.
		rounded := new(big.Int)
		twice := new(big.Int).Mul(want.Num(), big.NewInt(2))
		rounded.Div(twice.Add(twice, want.Denom()), new(big.Int).Mul(want.Denom(), big.NewInt(2)))
		if want.Denom().Cmp(big.NewInt(2)) == 0 && rounded.Bit(0) == 1 {
			rounded.Sub(rounded, big.NewInt(1))
		}
		if !ok {
			if rounded.IsInt64() && d.scale <= exponent+5 && new(big.Int).Abs(rounded).Cmp(big.NewInt(1<<62)) < 0 {
				t.Fatalf("%s × %d is said not to fit", text, quantity)
			}
			return
		}
		if exact != want.IsInt() || rounded.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("%s × %d at %d: %d (exact %v), want %v", text, quantity, exponent, got, exact, rounded)
		}
	})
}

func TestDecimalCompareAgainstBigRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`-?[0-9]{1,9}(\.[0-9]{1,9})?`)
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		da, _ := numberStyle{mark: '.'}.parse(a)
		db, _ := numberStyle{mark: '.'}.parse(b)
		ra, _ := new(big.Rat).SetString(a)
		rb, _ := new(big.Rat).SetString(b)
		if got, want := da.compare(db), ra.Cmp(rb); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
	})
}

func TestNumberStyles(t *testing.T) {
	comma := numberStyle{mark: ',', thousands: '.'}
	for _, c := range []struct {
		style numberStyle
		text  string
		want  decimal
		bad   bool
	}{
		{numberStyle{mark: '.'}, "12.340", decimal{12340, 3}, false},
		{numberStyle{mark: '.'}, ".5", decimal{5, 1}, false},
		{numberStyle{mark: '.'}, "+7", decimal{7, 0}, false},
		{comma, "1.234.567,89", decimal{123456789, 2}, false},
		{numberStyle{mark: '.', thousands: ','}, "-1,234.5", decimal{-12345, 1}, false},
		{numberStyle{mark: '.'}, "1,5", decimal{}, true},
		{comma, ",", decimal{}, true},
		{comma, "1,2.3", decimal{}, true},
		{comma, "12.34.567", decimal{1234567, 0}, false},
		{comma, "1.000", decimal{1000, 0}, false},
		{comma, "1.00", decimal{}, true},
		{comma, "12.5", decimal{}, true},
		{comma, "12.50,00", decimal{}, true},
		{comma, "1.", decimal{}, true},
		{comma, "1..000", decimal{}, true},
		{comma, "1234.567", decimal{}, true},
		{comma, "1.2.345", decimal{}, true},
		{comma, "1.0000", decimal{}, true},
		{comma, ".5", decimal{}, true},
		{numberStyle{mark: '.'}, "1e3", decimal{}, true},
		{numberStyle{mark: '.'}, "9223372036854775807", decimal{}, true},
		{numberStyle{mark: '.'}, "--1", decimal{}, true},
	} {
		got, err := c.style.parse(c.text)
		if (err != nil) != c.bad || got != c.want && !c.bad {
			t.Errorf("%q: %v, %v", c.text, got, err)
		}
	}
}

func TestTimeLayouts(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ layout, text, want string }{
		{"%Y%m%d", "19970101", "1997-01-01T00:00:00+08:00"},
		{"%Y%m%d", "1997101", ""},
		{"%Y-%m-%d %H:%M", "2024-1-5 9:05", "2024-01-05T09:05:00+08:00"},
		{"%F %T", "2024-02-29   23:59:59", "2024-02-29T23:59:59+08:00"},
		{"%F", "2023-02-29", ""},
		{"%F", "2024-01-05 ", ""},
		{"%d %b %y", "5 january 68", "2068-01-05T00:00:00+08:00"},
		{"%b %d, %Y %I:%M %p", "May 5, 2024 12:30 AM", "2024-05-05T00:30:00+08:00"},
		{"%p %I %Y", "pm 12 2024", "2024-01-01T12:00:00+08:00"},
		{"%p %I %Y", "pm 13 2024", ""},
		{"%FT%T.%f%z", "2024-01-05T10:00:00.1239-0330", "2024-01-05T10:00:00.123-03:30"},
		{"%FT%T%z", "2024-01-05T10:00:00Z", "2024-01-05T10:00:00Z"},
		{"%FT%T%z", "2024-01-05T10:00:00+5", ""},
		{"%Y 100%%", "2024 100%", "2024-01-01T00:00:00+08:00"},
		{"epoch_ms", "1704448800123", "2024-01-05T10:00:00.123Z"},
		{"epoch_s", "1704448800", "2024-01-05T10:00:00Z"},
		{"epoch_s", "1704448800000", ""},
		{"rfc3339", "2024-01-05T10:00:00+08:00", "2024-01-05T10:00:00+08:00"},
	} {
		l, err := parseTimeLayout(c.layout)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.parse(c.text, shanghai)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s reads %q as %d", c.layout, c.text, got)
			}
			continue
		}
		want, _ := time.Parse(time.RFC3339, c.want)
		if err != nil || int64(got) != want.UnixMilli() {
			t.Errorf("%s, %q: %d (%v), want %d", c.layout, c.text, got, err, want.UnixMilli())
		}
	}
}

func TestHoursShownTwiceOrNever(t *testing.T) {
	l, err := parseTimeLayout("%F %H:%M")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ zone, text, want string }{
		{"Europe/Berlin", "2025-03-30 01:59", "2025-03-30T01:59:00+01:00"},
		{"Europe/Berlin", "2025-03-30 02:30", "2025-03-30T03:30:00+02:00"},
		{"Europe/Berlin", "2025-03-30 03:00", "2025-03-30T03:00:00+02:00"},
		{"Europe/Berlin", "2025-10-26 01:59", "2025-10-26T01:59:00+02:00"},
		{"Europe/Berlin", "2025-10-26 02:00", "2025-10-26T02:00:00+02:00"},
		{"Europe/Berlin", "2025-10-26 02:59", "2025-10-26T02:59:00+02:00"},
		{"Europe/Berlin", "2025-10-26 03:00", "2025-10-26T03:00:00+01:00"},
		{"America/New_York", "2025-03-09 02:30", "2025-03-09T03:30:00-04:00"},
		{"America/New_York", "2025-11-02 01:30", "2025-11-02T01:30:00-04:00"},
		{"America/New_York", "2025-11-02 02:00", "2025-11-02T02:00:00-05:00"},
		// A day whose midnight was skipped begins at one o'clock, not on the day before.
		{"America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04T01:00:00-02:00"},
		{"Pacific/Apia", "2011-12-30 10:00", "2011-12-31T10:00:00+14:00"},
		{"Asia/Shanghai", "2025-03-30 02:30", "2025-03-30T02:30:00+08:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := time.Parse(time.RFC3339, c.want)
		if got, err := l.parse(c.text, zone); err != nil || int64(got) != want.UnixMilli() {
			t.Errorf("%s, %s: %s (%v), want %s", c.text, c.zone, time.UnixMilli(int64(got)).In(zone).Format(time.RFC3339), err, c.want)
		}
	}
}

func TestCDNOWSample(t *testing.T) {
	_, report := drain(t, example(t, "data/cdnow/CDNOW_sample.txt.gz", "data/cdnow/cdnow-sample.mapping.yaml"), Options{})
	if report.Events != 6919 || report.Customers != 2357 {
		t.Errorf("%d events of %d customers, want 6919 of 2357", report.Events, report.Customers)
	}
}

const plainMapping = `
version: 1
name: plain
kind: order
customer: c
time: {column: t, layout: "%F"}
order: {id: o, group: true, type: {constant: PAID}, currency: {constant: CNY}}
items: {sku: s, amount: a}
`

func csvIDs(t *testing.T, text string) map[string]string {
	t.Helper()
	m, err := ParseMapping("plain.yaml", []byte(plainMapping))
	if err != nil {
		t.Fatal(err)
	}
	events, _ := drain(t, []Source{{Path: "x.csv", Reader: strings.NewReader("c,t,o,s,a\n" + text), Mapping: m}}, Options{})
	ids := map[string]string{}
	for _, e := range events {
		ids[e.OrderID] = e.EventID
	}
	return ids
}

// TestIDsComeFromContent: a longer export with its lines in another order names
// its old orders as before, and an order whose lines changed anew.
func TestIDsComeFromContent(t *testing.T) {
	short := csvIDs(t, "1,2024-01-05,A,x,1\n1,2024-01-05,A,y,2\n2,2024-01-05,B,x,1\n")
	long := csvIDs(t, "0,2024-01-04,C,x,1\n2,2024-01-05,B,x,1\n2,2024-01-05,B,x,1\n1,2024-01-05,A,y,2\n1,2024-01-05,A,x,1\n")
	if got, want := long["A"], short["A"]; got != want {
		t.Errorf("order A is %s, was %s", got, want)
	}
	if long["B"] == short["B"] {
		t.Error("order B has another line and the same id")
	}
	// The id's form is a promise to those who published before.
	if got, want := short["B"], "bbe6063811914e9a5e5b670fd7fb05a3"; got != want {
		t.Errorf("order B is %s, want %s", got, want)
	}
}

func TestCustomersThatShareAHashStayApart(t *testing.T) {
	var batch []csvLine
	for i, id := range []string{"a", "b", "a", "c", "b"} {
		batch = append(batch, csvLine{number: int64(i), event: schemas.Event{CustomerID: id}})
	}
	var got []string
	for _, part := range splitCustomers(batch) {
		s := part[0].event.CustomerID
		for _, l := range part {
			if l.event.CustomerID != s {
				t.Fatal("customers are mixed")
			}
			got = append(got, s+string(rune('0'+l.number)))
		}
	}
	if got, want := strings.Join(got, " "), "a0 a2 b1 b4 c3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSourcesByContent(t *testing.T) {
	line := `{"event_id":"e","customer_id":"c","type":"t","occurred_at":1}`
	var packed bytes.Buffer
	// Two members one after another, as appended logs are.
	for range 2 {
		z := gzip.NewWriter(&packed)
		z.Write([]byte("\n" + line + "\n"))
		z.Close()
	}
	files := fstest.MapFS{
		"packed": {Data: packed.Bytes()},
		"bom":    {Data: []byte("\xef\xbb\xbf" + line)},
		"empty":  {},
		"torn":   {Data: packed.Bytes()[:packed.Len()-5]},
	}
	for name, want := range map[string]int{"packed": 2, "bom": 1, "empty": 0} {
		if events, _ := drain(t, []Source{{FS: files, Path: name}}, Options{}); len(events) != want {
			t.Errorf("%s: %d events, want %d", name, len(events), want)
		}
	}
	if _, err := Open(context.Background(), []Source{{FS: files, Path: "torn"}}, Options{}); err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("a torn gzip file: %v", err)
	}
	if _, err := Open(context.Background(), []Source{{FS: files, Path: "missing"}}, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLongLineIsAProblem(t *testing.T) {
	line := `{"event_id":"e","customer_id":"c","type":"t","occurred_at":1}` + "\n"
	text := line + strings.Repeat("x", 40<<20) + "\n" + line + "{}\n" + line
	events, report := drain(t, []Source{{Path: "x", Reader: strings.NewReader(text)}}, Options{MaxProblems: 2})
	if got, want := len(events), 3; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	if p := report.Problems; len(p) != 2 || p[0].Line != 2 || !strings.Contains(p[0].Reason, "longer than") || p[1].Line != 4 {
		t.Errorf("problems %v", p)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, sources := range [][]Source{
		{{Path: "x", Reader: bytes.NewReader(jsonLinesOf(100, 1))}},
		example(t, examples.CDNOW, examples.CDNOWMapping),
	} {
		if _, err := Open(ctx, sources, Options{TempDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", sources[0].Path, err)
		}
	}
}
