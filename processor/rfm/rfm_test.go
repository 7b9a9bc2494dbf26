package rfm

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/golden.txt anew; a changed byte needs a new version of the format")

func TestScoresAtTheEdges(t *testing.T) {
	c := Cuts{R: []int64{10, 20, 20, 40}, F: []int64{2, 3, 4, 5}, M: []int64{100, 200, 300, 400}}
	for _, e := range []struct {
		r, f, m int64
		want    Scores
	}{
		{0, 1, -5, Scores{5, 1, 1}},
		{9, 2, 99, Scores{5, 2, 1}},
		{10, 3, 100, Scores{4, 3, 2}},
		{19, 4, 299, Scores{4, 4, 3}},
		{20, 5, 300, Scores{2, 5, 4}}, // a cut that stands twice: score 3 is unused
		{39, 6, 399, Scores{2, 5, 4}},
		{40, 9, 400, Scores{1, 5, 5}},
	} {
		if got := ScoreOf(&c, e.r, e.f, e.m); got != e.want {
			t.Errorf("%d %d %d: got %v, want %v", e.r, e.f, e.m, got, e.want)
		}
	}
	for _, e := range []struct {
		at, want int64
		ok       bool
	}{{-1, 10, true}, {9, 10, true}, {10, 20, true}, {20, 40, true}, {39, 40, true}, {40, 0, false}} {
		if got, ok := NextRecencyBoundary(&c, e.at); got != e.want || ok != e.ok {
			t.Errorf("boundary after %d: got %d %v, want %d %v", e.at, got, ok, e.want, e.ok)
		}
	}
}

// Walking day by day finds each boundary and nothing else.
func TestBoundaryIsWhereTheScoreChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cuts := rapid.SliceOfN(rapid.Int64Range(0, 60), 1, 6).Draw(t, "cuts")
		slices.Sort(cuts)
		c := Cuts{R: cuts, F: []int64{1}, M: []int64{1}}
		for d := int64(0); d < 70; d++ {
			next, ok := NextRecencyBoundary(&c, d)
			now := ScoreOf(&c, d, 0, 0).R
			want, found := int64(0), false
			for e := d + 1; e < 70 && !found; e++ {
				if ScoreOf(&c, e, 0, 0).R != now {
					want, found = e, true
				}
			}
			if next != want || ok != found {
				t.Fatalf("after %d: got %d %v, want %d %v", d, next, ok, want, found)
			}
		}
	})
}

func fill(t testing.TB, limit int, values []int64) *Histogram {
	t.Helper()
	h := NewHistogram(limit)
	for _, v := range values {
		if err := h.Add(v); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// An integer is at or above a cut exactly where it is at or above the fraction.
func TestCutsAgainstFractions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0, 1, -1, 255, 256})
		values := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-20, 20), rapid.Int64(), edge), 1, 30).Draw(t, "values")
		h := NewHistogram(100)
		for _, v := range values {
			if err := h.Add(v); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(values)
		check := func(name string, cut int64, q *big.Rat) {
			ceil := new(big.Int).Div(new(big.Int).Add(q.Num(), new(big.Int).Sub(q.Denom(), big.NewInt(1))), q.Denom())
			if !ceil.IsInt64() || ceil.Int64() != cut {
				t.Fatalf("%s of %v: got %d, want %v", name, values, cut, ceil)
			}
		}
		den := rapid.Int64Range(1, 1000).Draw(t, "den")
		num := rapid.Int64Range(0, den).Draw(t, "num")
		at := big.NewRat(int64(len(values)-1)*num, den)
		i := int(new(big.Int).Quo(at.Num(), at.Denom()).Int64())
		rest := new(big.Rat).Sub(at, big.NewRat(int64(i), 1))
		lo, hi := new(big.Rat).SetInt64(values[i]), new(big.Rat).SetInt64(values[min(i+1, len(values)-1)])
		q := new(big.Rat).Add(lo, new(big.Rat).Mul(rest, new(big.Rat).Sub(hi, lo)))
		cuts, err := h.QuantileCuts([]Fraction{{num, den}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("quantile %d/%d", num, den), cuts[0], q)
		sum := new(big.Rat)
		for _, v := range values {
			sum.Add(sum, new(big.Rat).SetInt64(v))
		}
		mean, err := h.MeanCut()
		if err != nil {
			t.Fatal(err)
		}
		check("mean", mean, sum.Quo(sum, big.NewRat(int64(len(values)), 1)))
	})
}

func TestMedianAndPlus(t *testing.T) {
	h := fill(t, 10, []int64{1, 2, 3, 10})
	if got, err := h.MedianCut(); got != 3 || err != nil { // 2.5
		t.Errorf("got %d %v, want 3", got, err)
	}
	got, err := h.QuantileCuts([]Fraction{{0, 1}, {1, 2}, {1, 1}}, 1)
	if want := []int64{2, 4, 11}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v %v, want %v", got, err, want)
	}
	top := fill(t, 10, []int64{math.MaxInt64})
	if got, err := top.QuantileCuts([]Fraction{{1, 2}}, 1); err != nil || got[0] != math.MaxInt64 {
		t.Errorf("got %v %v: plus must not wrap", got, err)
	}
	for _, p := range []Fraction{{-1, 2}, {3, 2}, {1, 0}, {1, 2_000_000}} {
		if _, err := h.QuantileCuts([]Fraction{p}, 0); !errors.Is(err, ErrFraction) {
			t.Errorf("%v: %v", p, err)
		}
	}
	empty := NewHistogram(10)
	if _, err := empty.MedianCut(); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := empty.MeanCut(); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
}

// One customer after another changes: the histogram is what a fresh count of the
// current values gives, in either mode.
func TestAddRemoveAgainstRecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 12).Draw(t, "limit")
		h := NewHistogram(limit)
		stored := map[int64]int64{} // rows, kept from EachChanged only
		var values []int64
		most := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			v := rapid.OneOf(rapid.Int64Range(-5, 5), rapid.Int64Range(200, 5000), rapid.Int64()).Draw(t, "v")
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op == 0 && len(values) > 0:
				i := rapid.IntRange(0, len(values)-1).Draw(t, "i")
				if err := h.Remove(values[i]); err != nil {
					t.Fatal(err)
				}
				values = slices.Delete(values, i, i+1)
			case op == 1 && len(values) > 0:
				i := rapid.IntRange(0, len(values)-1).Draw(t, "i")
				if err := h.Move(values[i], v); err != nil {
					t.Fatal(err)
				}
				values[i] = v
			default:
				if err := h.Add(v); err != nil {
					t.Fatal(err)
				}
				values = append(values, v)
			}
			distinct := map[int64]bool{}
			for _, v := range values {
				distinct[v] = true
			}
			most = max(most, len(distinct))
			if rapid.Bool().Draw(t, "flush") {
				h.EachChanged(func(v, n int64) {
					if n == 0 {
						delete(stored, v)
					} else {
						stored[v] = n
					}
				})
				h.ClearChanged()
			}
		}
		if got, want := h.Exact(), limit > 0 && most <= limit; got != want {
			t.Fatalf("exact: got %v, want %v (limit %d, most %d)", got, want, limit, most)
		}
		fresh := NewHistogram(limit)
		if !h.Exact() {
			fresh.toLog()
		}
		for _, v := range values {
			if err := fresh.Add(v); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := h.AppendBinary(nil), fresh.AppendBinary(nil); !bytes.Equal(got, want) {
			t.Fatalf("got  %x\nwant %x", got, want)
		}
		h.EachChanged(func(v, n int64) {
			if n == 0 {
				delete(stored, v)
			} else {
				stored[v] = n
			}
		})
		l, err := NewLoader(h.AppendHeader(nil))
		if err != nil {
			t.Fatal(err)
		}
		for v, n := range stored {
			if err := l.Load(v, n); err != nil {
				t.Fatal(err)
			}
		}
		loaded, err := l.Done()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := loaded.AppendBinary(nil), h.AppendBinary(nil); !bytes.Equal(got, want) {
			t.Fatalf("from rows %x\nwant      %x", got, want)
		}
		back, err := Decode(h.AppendBinary(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := back.AppendBinary(nil), h.AppendBinary(nil); !bytes.Equal(got, want) {
			t.Fatalf("decoded %x\nwant    %x", got, want)
		}
	})
}

// Tasks merged in any order are the histogram of everything.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		whole := NewHistogram(limit)
		var tasks []*Histogram
		for range rapid.IntRange(1, 5).Draw(t, "tasks") {
			task := NewHistogram(limit)
			for _, v := range rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 9), rapid.Int64Range(0, 1e6)), 0, 15).Draw(t, "values") {
				if err := errors.Join(task.Add(v), whole.Add(v)); err != nil {
					t.Fatal(err)
				}
			}
			tasks = append(tasks, task)
		}
		for _, order := range [][]*Histogram{tasks, rapid.Permutation(tasks).Draw(t, "order")} {
			merged := NewHistogram(limit)
			for _, task := range order {
				if err := merged.Merge(task); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := merged.AppendBinary(nil), whole.AppendBinary(nil); !bytes.Equal(got, want) {
				t.Fatalf("got  %x\nwant %x", got, want)
			}
		}
	})
	a := NewHistogram(1)
	if err := a.Merge(NewHistogram(2)); !errors.Is(err, ErrLimits) {
		t.Error(err)
	}
}

func TestBuckets(t *testing.T) {
	for _, e := range [][2]int64{{0, 0}, {1, 1}, {255, 255}, {256, 256}, {257, 256}, {258, 258}, {511, 510}, {512, 512}, {515, 512},
		{-255, -255}, {-257, -256}, {math.MaxInt64, 255 << 55}, {math.MinInt64, math.MinInt64}, {math.MinInt64 + 1, -255 << 55}} {
		if got := bucketOf(e[0]); got != e[1] {
			t.Errorf("bucketOf(%d): got %d, want %d", e[0], got, e[1])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(0, math.MaxInt64).Draw(t, "v")
		k := bucketOf(v)
		if k > v || (v-k) > k/128 || bucketOf(k) != k || bucketOf(-v) != -k {
			t.Fatalf("%d: bucket %d", v, k)
		}
		if v < math.MaxInt64 && bucketOf(v+1) < k {
			t.Fatalf("%d: buckets don't ascend", v)
		}
	})
}

func TestRemoveWhatIsNotThere(t *testing.T) {
	h := fill(t, 10, []int64{5})
	before := h.AppendBinary(nil)
	for _, err := range []error{h.Remove(6), h.Move(6, 7)} {
		if !errors.Is(err, ErrNotCounted) {
			t.Error(err)
		}
	}
	if got := h.AppendBinary(nil); !bytes.Equal(got, before) {
		t.Errorf("got %x, want %x", got, before)
	}
	if sum, ok := h.Sum(); sum != 5 || !ok || h.Count() != 1 || h.Distinct() != 1 || h.Limit() != 10 {
		t.Errorf("sum %d %v, count %d, distinct %d", sum, ok, h.Count(), h.Distinct())
	}
	// In logarithmic mode another value of the bucket can be taken off; the mean
	// then may have no meaning, but must not panic.
	l := fill(t, 0, []int64{1 << 62, 1<<62 + 1<<54, 1<<62 + 1<<54, 1<<62 + 1<<54})
	for range 3 {
		if err := l.Remove(1 << 62); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.MeanCut(); err != nil && !errors.Is(err, ErrNotCounted) {
		t.Error(err)
	}
	corrupt := NewHistogram(0)
	if err := corrupt.Add(3); err != nil {
		t.Fatal(err)
	}
	corrupt.sum = int128{hi: 7}
	if _, err := corrupt.MeanCut(); !errors.Is(err, ErrNotCounted) {
		t.Error(err)
	}
}

func TestGoldenBytes(t *testing.T) {
	var out strings.Builder
	for _, c := range []struct {
		name   string
		limit  int
		values []int64
	}{
		{"empty", 1000, nil},
		{"exact", 1000, []int64{5, 5, 0, 300, -7, math.MaxInt64, math.MinInt64}},
		{"logarithmic", 3, []int64{5, 5, 0, 300, 301, -7, -1000, 123456789}},
	} {
		fmt.Fprintf(&out, "%s %x\n", c.name, fill(t, c.limit, c.values).AppendBinary(nil))
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
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Every cut and every changed byte of a valid encoding is refused or gives a
// histogram whose own encoding is those very bytes.
func TestDecodeRefuses(t *testing.T) {
	for _, limit := range []int{3, 1000} {
		good := fill(t, limit, []int64{5, 5, 0, 300, 301, -7, -1000, 123456789}).AppendBinary(nil)
		for n := range good {
			if _, err := Decode(good[:n]); !errors.Is(err, ErrEncoding) {
				t.Errorf("first %d bytes: %v", n, err)
			}
		}
		if _, err := Decode(append(slices.Clone(good), 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("a byte too many: %v", err)
		}
		for i := range good {
			for b := range 256 {
				bad := slices.Clone(good)
				bad[i] = byte(b)
				h, err := Decode(bad)
				if err != nil {
					if !errors.Is(err, ErrEncoding) {
						t.Fatalf("byte %d = %#x: %v", i, b, err)
					}
					continue
				}
				if got := h.AppendBinary(nil); !bytes.Equal(got, bad) {
					t.Fatalf("byte %d = %#x: read as %x", i, b, got)
				}
			}
		}
	}
}

func TestBuiltInMaps(t *testing.T) {
	for _, name := range Maps() {
		m, ok := MapNamed(name)
		if !ok || m.Name != name {
			t.Fatalf("%q: %v %v", name, m, ok)
		}
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
		for _, c := range append(slices.Clone(m.Classes), m.Other) {
			if c.Name == "" || c.Chinese == "" {
				t.Errorf("%s: %q has no names", name, c.Key)
			}
		}
		if got := m.Class(Scores{}); got != m.Other.Key {
			t.Errorf("%s: not scored is %q", name, got)
		}
	}
	if _, ok := MapNamed("seven"); ok {
		t.Error("there is no map seven")
	}
	// Each of the eight classes has one combination, and they cover all.
	m, _ := MapNamed("eight")
	got := map[string]bool{}
	for s := range 8 {
		got[m.Class(Scores{R: int32(1 + s>>2), F: int32(1 + s>>1&1), M: int32(1 + s&1)})] = true
	}
	if len(got) != 8 || got[m.Other.Key] {
		t.Errorf("got %v", got)
	}
	// exact_125 lists each of the 125 codes once; the maps of six leave none over.
	exact, _ := MapNamed("exact_125")
	listed := map[int32]string{}
	for _, c := range exact.Classes {
		for _, code := range c.Codes {
			if listed[code] != "" {
				t.Errorf("%d is %s and %s", code, listed[code], c.Key)
			}
			listed[code] = c.Key
		}
	}
	if got, want := len(listed), 125; got != want {
		t.Errorf("%d codes, want %d", got, want)
	}
	for _, name := range []string{"exact_125", "six", "six_thirds"} {
		m, _ := MapNamed(name)
		got := map[string]int{}
		for i := range m.Scores * m.Scores * m.Scores {
			n := m.Scores
			got[m.Class(Scores{R: i/(n*n) + 1, F: i/n%n + 1, M: i%n + 1})]++
		}
		if got[m.Other.Key] != 0 || len(got) != len(m.Classes) {
			t.Errorf("%s: %v", name, got)
		}
	}
	sum := Map{Name: "sum", Scores: 3, Weights: [3]int32{1, 2, 3}, Other: Class{Key: "rest"},
		Classes: []Class{{Key: "top", R: Range{1, 3}, F: Range{1, 3}, M: Range{1, 3}, Weighted: Range{17, 18}}}}
	for _, x := range []struct {
		s    Scores
		want string
	}{{Scores{R: 3, F: 3, M: 3}, "top"}, {Scores{R: 2, F: 3, M: 3}, "top"}, {Scores{R: 3, F: 2, M: 3}, "rest"}} {
		if got := sum.Class(x.s); got != x.want {
			t.Errorf("%v, sum %d: %s, want %s", x.s, sum.Weighted(x.s), got, x.want)
		}
	}
	// A map handed out is a copy.
	m.Classes[0].Key = "mine"
	if again, _ := MapNamed("eight"); again.Classes[0].Key != "important_value" {
		t.Error("a changed map has changed the built-in one")
	}
}

func TestValidateNamesEverything(t *testing.T) {
	c := Cuts{R: []int64{2, 1}, M: make([]int64, 100)}
	err := c.Validate()
	for _, want := range []string{"r is not in ascending order", "f has 0", "m has 100"} {
		if !errors.Is(err, ErrCuts) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	m := Map{Name: "x", Scores: 1, Classes: []Class{{Key: "a", R: Range{0, 9}}, {Key: "a"}}}
	err = m.Validate()
	for _, want := range []string{"1 scores", "no class for the rest", "stands twice", "r from 0 to 9"} {
		if !errors.Is(err, ErrMap) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	p, _ := MapNamed("putler")
	if err := p.Fits(&Cuts{R: []int64{1}, F: []int64{1}, M: []int64{1}}); !errors.Is(err, ErrMap) {
		t.Error(err)
	}
}

func BenchmarkMove(b *testing.B) {
	h := NewHistogram(100)
	for v := range int64(10_000) {
		if err := h.Add(v * v); err != nil {
			b.Fatal(err)
		}
	}
	h.ClearChanged()
	b.ResetTimer()
	for i := range b.N {
		if err := h.Move(int64(i)%10_000*(int64(i)%10_000), int64(i)%10_000*(int64(i)%10_000)+1); err != nil {
			b.Fatal(err)
		}
		if err := h.Move(int64(i)%10_000*(int64(i)%10_000)+1, int64(i)%10_000*(int64(i)%10_000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScoreAndClass(b *testing.B) {
	c := Cuts{R: []int64{115, 181, 298, 482}, F: []int64{4, 5, 6, 8}, M: []int64{256, 382, 507, 666}}
	m, _ := MapNamed("putler")
	for i := range b.N {
		m.Class(ScoreOf(&c, int64(i)%600, int64(i)%10, int64(i)%800))
	}
}
