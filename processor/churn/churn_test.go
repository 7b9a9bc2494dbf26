package churn

import (
	"bufio"
	"compress/gzip"
	"errors"
	"flag"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/processor/numeric"
	"tidemark/schemas"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/golden.txt anew; a changed bit needs a new engine version")

// The published fit for the CDNOW sample: Fader, Hardie and Lee (2005), table 2.
var cdnow = Params{R: .243, Alpha: 4.414, A: .793, B: 2.426, Unit: Week}

// readCDNOW summarises the sample's first 39 weeks.
func readCDNOW(t testing.TB) []Summary {
	t.Helper()
	file, err := os.Open("../../examples/data/cdnow/CDNOW_sample.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)
	days := map[string]map[int]bool{}
	var order []string
	for s := bufio.NewScanner(z); s.Scan(); {
		f := strings.Fields(s.Text())
		at, err := time.Parse("20060102", f[2])
		if err != nil {
			t.Fatal(err)
		}
		day := int(at.Sub(start).Hours()/24) + 1
		if day > 273 {
			continue
		}
		if days[f[0]] == nil {
			days[f[0]] = map[int]bool{}
			order = append(order, f[0])
		}
		days[f[0]][day] = true
	}
	out := make([]Summary, 0, len(order))
	for _, id := range order {
		first, last := 1000, 0
		for d := range days[id] {
			first, last = min(first, d), max(last, d)
		}
		out = append(out, Summary{X: len(days[id]) - 1, Tx: float64(last-first) / 7, T: float64(273-first) / 7, Weight: 1})
	}
	return out
}

func TestCDNOWLogLikelihood(t *testing.T) {
	all := readCDNOW(t)
	if got, want := len(all), 2357; got != want {
		t.Fatalf("got %d customers, want %d", got, want)
	}
	got := LogLikelihood(cdnow, all)
	if want := -9582.43; math.Abs(got-want) > .005 {
		t.Errorf("got %.4f, want %.2f", got, want)
	}
	// It is the published optimum: every step away from it is downhill.
	for _, f := range []float64{.95, 1.05} {
		for i, p := range []Params{cdnow, cdnow, cdnow, cdnow} {
			*[]*float64{&p.R, &p.Alpha, &p.A, &p.B}[i] *= f
			if away := LogLikelihood(p, all); away >= got {
				t.Errorf("parameter %d times %v: %.4f is not below %.4f", i, f, away, got)
			}
		}
	}
	// A weight stands for that many customers.
	twice := append(append([]Summary{}, all[:500]...), all[:500]...)
	weighed := append([]Summary{}, all[:500]...)
	for i := range weighed {
		weighed[i].Weight = 2
	}
	if a, b := LogLikelihood(cdnow, twice), LogLikelihood(cdnow, weighed); math.Abs(a-b) > 1e-9 {
		t.Errorf("500 customers twice: %v, with weight 2: %v", a, b)
	}
}

func TestPublishedFigures(t *testing.T) {
	// The worked example of Fader, Hardie and Lee's spreadsheet note.
	if got, want := Expected(cdnow, 2, 30.43, 38.86, 39), 1.226; math.Abs(got-want) > 5e-4 {
		t.Errorf("Expected: got %.6f, want %.3f", got, want)
	}
	for _, c := range []struct {
		x                    int
		tx                   float64
		alive, expected, non float64
	}{
		{0, 0, 1, .195098, .855449},
		{1, 30, .697077, .667781, .616569},
		{7, 29.43, .641756, 3.337053, .364358},
		{29, 37, .913922, 18.611268, .086078},
	} {
		for _, f := range []struct {
			name      string
			got, want float64
		}{
			{"PAlive", PAlive(cdnow, c.x, c.tx, 38.86), c.alive},
			{"Expected", Expected(cdnow, c.x, c.tx, 38.86, 39), c.expected},
			{"PNoPurchase", PNoPurchase(cdnow, c.x, c.tx, 38.86, 39), c.non},
		} {
			if got := numeric.Round6(f.got); got != f.want {
				t.Errorf("%s x=%d: got %v, want %v", f.name, c.x, got, f.want)
			}
		}
	}
	if got := numeric.Round6(PNoPurchase(cdnow, 0, 0, 0, 39)); math.Abs(got-.574) > 5e-4 {
		t.Errorf("newest customer, 39 weeks: %v", got)
	}
	if got := numeric.Round6(PNoPurchase(cdnow, 0, 0, 0, 13)); math.Abs(got-.716) > 5e-4 {
		t.Errorf("newest customer, 13 weeks: %v", got)
	}
}

func drawParams(t *rapid.T) Params {
	between := func(name string, lo, hi float64) float64 {
		return math.Exp(rapid.Float64Range(math.Log(lo), math.Log(hi)).Draw(t, name))
	}
	return Params{R: between("r", .05, 5), Alpha: between("alpha", .2, 60), A: between("a", .02, 5), B: between("b", .1, 30), Unit: Week}
}

// Expected against the paper's own form (equation 10) where that does not overflow.
func TestExpectedIsThePapersForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		x := rapid.IntRange(0, 40).Draw(t, "x")
		T := rapid.Float64Range(.5, 150).Draw(t, "T")
		tx := 0.0
		if x > 0 {
			tx = T * rapid.Float64Range(0, 1).Draw(t, "tx/T")
		}
		horizon := rapid.Float64Range(.5, 60).Draw(t, "t")
		if math.Abs(p.A-1) < 1e-3 || math.Abs(p.A+p.B+float64(x)-1) < 1e-3 {
			t.Skip("the paper's form cancels")
		}
		n := float64(x)
		c := p.A + p.B + n - 1
		z := horizon / (p.Alpha + T + horizon)
		f := numeric.Hyp2F1(p.R+n, p.B+n, c, z)
		want := c / (p.A - 1) * (1 - math.Pow((p.Alpha+T)/(p.Alpha+T+horizon), p.R+n)*f)
		if x > 0 {
			want /= 1 + p.A/(p.B+n-1)*math.Pow((p.Alpha+T)/(p.Alpha+tx), p.R+n)
		}
		got := Expected(p, x, tx, T, horizon)
		if math.Abs(got-want) > 1e-7*math.Max(1e-3, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
	// Where the paper's form is 0/0, its neighbours say what to expect.
	for _, p := range []Params{{R: .3, Alpha: 5, A: 1, B: 2}, {R: .3, Alpha: 5, A: .4, B: .6}} {
		near := p
		near.A += 1e-7
		if a, b := Expected(p, 0, 0, 10, 20), Expected(near, 0, 0, 10, 20); !(math.Abs(a-b) < 1e-6) || a <= 0 {
			t.Errorf("%+v: %v, next to it %v", p, a, b)
		}
	}
}

func TestLongHistoriesStayFinite(t *testing.T) {
	for _, x := range []int{300, 1000, 100_000} {
		for _, c := range [][2]float64{{500, 500}, {499, 500}, {1, 520}, {0, 5000}} {
			alive, non := PAlive(cdnow, x, c[0], c[1]), PNoPurchase(cdnow, x, c[0], c[1], 13)
			if !(alive >= 0 && alive <= 1 && non >= 0 && non <= 1) {
				t.Errorf("x=%d tx=%v T=%v: P(alive) %v, P(no purchase) %v", x, c[0], c[1], alive, non)
			}
			if e := Expected(cdnow, x, c[0], c[1], 39); !(e >= 0 && e < 39*float64(x)) {
				t.Errorf("x=%d tx=%v T=%v: expected %v", x, c[0], c[1], e)
			}
		}
	}
	// 100,000 purchases up to today: next week's are about as many a week as before.
	if got, want := Expected(cdnow, 100_000, 500, 500, 1), 100_000/504.; math.Abs(got/want-1) > .01 {
		t.Errorf("got %v purchases, want about %v", got, want)
	}
	if got := LogLikelihood(cdnow, []Summary{{X: 100_000, Tx: 1, T: 5000, Weight: 1}}); math.IsNaN(got) || math.IsInf(got, 0) {
		t.Errorf("log-likelihood %v", got)
	}
	for name, v := range map[string]float64{"PAlive": PAlive(cdnow, -1, 0, 1), "PNoPurchase": PNoPurchase(cdnow, -1, 0, 1, 1),
		"Expected": Expected(cdnow, -1, 0, 1, 1), "LogLikelihood": LogLikelihood(cdnow, []Summary{{X: -1, T: 1, Weight: 1}})} {
		if !math.IsNaN(v) {
			t.Errorf("%s with x = -1: %v", name, v)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := cdnow.Validate(); err != nil {
		t.Error(err)
	}
	err := Params{R: math.NaN(), Alpha: -1, A: 0, B: math.Inf(1)}.Validate()
	if !errors.Is(err, ErrParams) {
		t.Fatal(err)
	}
	for _, name := range []string{"r is", "alpha is", "a is", "b is", "unit is"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not named in %v", name, err)
		}
	}
}

// A slow reference: the first millisecond by bisection over the whole range,
// with the public functions.
func dueByBisection(p Params, x int, tx, t0, h schemas.EventTime, limit float64) (schemas.EventTime, Solution) {
	reached := func(t schemas.EventTime) bool {
		return numeric.Round6(PNoPurchase(p, x, p.Units(tx), p.Units(t), p.Units(h))) >= limit
	}
	if reached(t0) {
		return t0, Already
	}
	lo, hi := t0, t0+MaxSilence
	if !reached(hi) {
		return 0, Never
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; reached(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi, Crosses
}

func TestDueTimeIsTheFirstMillisecond(t *testing.T) {
	found := map[Solution]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		for range 20 {
			x := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 60), rapid.IntRange(0, 100_000)).Draw(t, "x")
			tx := schemas.EventTime(0)
			if x > 0 {
				tx = schemas.EventTime(rapid.Int64Range(0, int64(500*Week)).Draw(t, "tx"))
			}
			t0 := tx + schemas.EventTime(rapid.Int64Range(0, int64(40*Week)).Draw(t, "since"))
			h := schemas.EventTime(rapid.Int64Range(int64(schemas.Day), int64(60*Week)).Draw(t, "h"))
			limit := float64(rapid.IntRange(1, 999_999).Draw(t, "limit")) / 1e6
			got, gotS := DueTime(p, x, tx, t0, h, limit)
			want, wantS := dueByBisection(p, x, tx, t0, h, limit)
			if gotS != wantS {
				t.Fatalf("x %d tx %d t0 %d h %d limit %v: got %v %v, want %v %v", x, tx, t0, h, limit, got, gotS, want, wantS)
			}
			found[gotS]++
			if got == want {
				continue
			}
			// Only where a millisecond weighs less than rounding may they differ.
			a, b := PNoPurchase(p, x, p.Units(tx), p.Units(got), p.Units(h)), PNoPurchase(p, x, p.Units(tx), p.Units(want), p.Units(h))
			if math.Abs(a-b) > 4e-15 {
				t.Fatalf("x %d tx %d t0 %d h %d limit %v: got %d, want %d (P %v, %v)", x, tx, t0, h, limit, got, want, a, b)
			}
			found[Undefined]++ // counts these
		}
	})
	t.Logf("already %d, crosses %d, never %d; in the flat %d", found[Already], found[Crosses], found[Never], found[Undefined])
	for _, s := range []Solution{Already, Crosses, Never} {
		if found[s] == 0 {
			t.Errorf("no case of %v", s)
		}
	}
	if found[Undefined] > found[Crosses]/100 {
		t.Errorf("%d of %d crossings differ from the reference", found[Undefined], found[Crosses])
	}
}

// With realistic limits there is no flat part: the answer is the reference's
// for every customer of the sample.
func TestDueTimeOnCDNOW(t *testing.T) {
	for _, s := range readCDNOW(t) {
		tx := schemas.EventTime(math.Round(s.Tx*7)) * schemas.Day
		for _, limit := range []float64{.5, .7, .9} {
			for _, since := range []schemas.EventTime{0, 14 * schemas.Day} {
				got, gotS := DueTime(cdnow, s.X, tx, tx+since, 13*Week, limit)
				want, wantS := dueByBisection(cdnow, s.X, tx, tx+since, 13*Week, limit)
				if got != want || gotS != wantS {
					t.Fatalf("x %d tx %d limit %v: got %v %v, want %v %v", s.X, tx, limit, got, gotS, want, wantS)
				}
			}
		}
	}
}

func TestDueTimeCases(t *testing.T) {
	h := 39 * Week
	for _, c := range []struct {
		name   string
		x      int
		tx, t0 schemas.EventTime
		h      schemas.EventTime
		limit  float64
		want   Solution
	}{
		{"newest is above a half at once", 0, 0, 0, h, .5, Already},
		{"one-time buyer crosses later", 0, 0, 0, h, .9, Crosses},
		{"one-time buyer, a limit past a century", 0, 0, 0, h, .9999, Never},
		{"repeat buyer", 5, 20 * Week, 20 * Week, h, .5, Crosses},
		{"limit 1 is reached by rounding", 300, 100 * Week, 100 * Week, h, 1, Crosses},
		{"no probability is above 1", 5, 20 * Week, 20 * Week, h, 1.000001, Never},
		{"limit 0", 5, 20 * Week, 20 * Week, h, 0, Already},
		{"limit below 0", 5, 20 * Week, 20 * Week, h, -1, Already},
		{"x below 0", -1, 0, 0, h, .5, Undefined},
		{"t0 before tx", 1, 2, 1, h, .5, Undefined},
		{"no horizon", 1, 1, 2, 0, .5, Undefined},
		{"limit NaN", 1, 1, 2, h, math.NaN(), Undefined},
		{"t0 past all time", 1, 1, math.MaxInt64, h, .5, Undefined},
	} {
		due, got := DueTime(cdnow, c.x, c.tx, c.t0, c.h, c.limit)
		if got != c.want {
			t.Errorf("%s: got %v at %d, want %v", c.name, got, due, c.want)
		}
		if got == Crosses && due <= c.t0 || got == Already && due != c.t0 {
			t.Errorf("%s: %v at %d with t0 %d", c.name, got, due, c.t0)
		}
	}
}

// The answer does not depend on where the search began, as long as that is
// before it: a timer that fires early and asks again finds the same moment.
func TestDueTimeAskedAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.IntRange(1, 50).Draw(t, "x")
		tx := schemas.EventTime(rapid.Int64Range(0, int64(100*Week)).Draw(t, "tx"))
		limit := float64(rapid.IntRange(50, 95).Draw(t, "limit")) / 100
		due, st := DueTime(cdnow, x, tx, tx, 13*Week, limit)
		if st != Crosses {
			t.Skip()
		}
		t0 := tx + schemas.EventTime(rapid.Int64Range(0, int64(due-tx-1)).Draw(t, "t0"))
		if again, st := DueTime(cdnow, x, tx, t0, 13*Week, limit); again != due || st != Crosses {
			t.Fatalf("first %d, from %d: %d %v", due, t0, again, st)
		}
	})
}

func TestBitsAreGolden(t *testing.T) {
	var out strings.Builder
	for _, x := range []int{0, 1, 2, 7, 29, 300, 100_000} {
		tx := schemas.EventTime(30) * Week
		if x == 0 {
			tx = 0
		}
		for _, f := range []float64{PAlive(cdnow, x, cdnow.Units(tx), 38.86), PNoPurchase(cdnow, x, cdnow.Units(tx), 38.86, 13),
			Expected(cdnow, x, cdnow.Units(tx), 38.86, 39), LogLikelihood(cdnow, []Summary{{x, cdnow.Units(tx), 38.86, 1}})} {
			out.WriteString(strconv.FormatUint(math.Float64bits(f), 16) + " ")
		}
		for _, limit := range []float64{.5, .8, .95} {
			due, st := DueTime(cdnow, x, tx, tx, 13*Week, limit)
			out.WriteString(strconv.FormatInt(int64(due), 10) + " " + st.String() + " ")
		}
		out.WriteString("\n")
	}
	const path = "testdata/golden.txt"
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != string(want) {
		t.Errorf("got\n%swant\n%sa changed bit needs a new engine version", got, want)
	}
}

func BenchmarkDueTime(b *testing.B) {
	all := readCDNOW(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		s := &all[i%len(all)]
		tx := schemas.EventTime(s.Tx*7) * schemas.Day
		DueTime(cdnow, s.X, tx, tx, 13*Week, .8)
	}
}

func BenchmarkDueTimeRepeat(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		tx := schemas.EventTime(1+i%97) * Week
		DueTime(cdnow, 1+i%30, tx, tx, 13*Week, .6)
	}
}

func BenchmarkPNoPurchase(b *testing.B) {
	for i := range b.N {
		PNoPurchase(cdnow, 1+i%30, 30, 38.86, 13)
	}
}

func BenchmarkExpected(b *testing.B) {
	for i := range b.N {
		Expected(cdnow, 1+i%30, 30, 38.86, 39)
	}
}

func BenchmarkLogLikelihood(b *testing.B) {
	all := readCDNOW(b)
	b.ResetTimer()
	for range b.N {
		LogLikelihood(cdnow, all)
	}
}
