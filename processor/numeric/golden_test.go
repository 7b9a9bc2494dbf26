package numeric

import (
	"bytes"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/golden.txt anew; every changed bit needs a new engine version")

// The bits themselves, on whatever processor this runs: single results to
// read, and a hash over many more.
func TestGolden(t *testing.T) {
	var out bytes.Buffer
	fmt.Fprintln(&out, "# function, bits of the argument, bits of the result; then a hash of 200,000 results")
	all := functions
	for _, fn := range all {
		next := uint64(0x9e3779b97f4a7c15)
		h := fnv.New64a()
		for i := range 200_000 {
			// xorshift64, seed above
			next ^= next << 13
			next ^= next >> 7
			next ^= next << 17
			x := argument(fn.name, next, i)
			y := fn.f(x)
			if i < 40 {
				fmt.Fprintf(&out, "%s %016x %016x\n", fn.name, math.Float64bits(x), math.Float64bits(y))
			}
			var b [8]byte
			for k := range b {
				b[k] = byte(math.Float64bits(y) >> (8 * k))
			}
			h.Write(b[:])
		}
		fmt.Fprintf(&out, "%s hash %016x\n", fn.name, h.Sum64())
	}
	for _, a := range [][4]float64{{0.243, 2.426, 2.219, 0.474}, {29.243, 31.426, 31.219, 0.73}, {1, 1, 2, -0.9}, {-3, 2.5, 1.25, 0.7}} {
		fmt.Fprintf(&out, "hyp2f1 %v %016x\n", a, math.Float64bits(Hyp2F1(a[0], a[1], a[2], a[3])))
	}
	for _, a := range [][2]float64{{0.3, 7.7}, {1234.5, -3.25}, {1e-9, 0.243}} {
		fmt.Fprintf(&out, "pow %v %016x\n", a, math.Float64bits(Pow(a[0], a[1])))
	}
	const path = "testdata/golden.txt"
	if *rewrite {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.Split(out.Bytes(), []byte("\n"))
	for i, w := range bytes.Split(want, []byte("\n")) {
		if i >= len(got) || !bytes.Equal(got[i], w) {
			t.Fatalf("line %d: got %q, want %q", i+1, got[min(i, len(got)-1)], w)
		}
	}
}

// argument spreads 64 random bits over where the function is defined; the
// arithmetic is exact enough to be the same everywhere (no sums of products).
func argument(name string, u uint64, i int) float64 {
	unit := float64(u>>11) / (1 << 53)
	scale := float64(int64(1) << (i % 11)) // 1 ... 1024
	switch name {
	case "exp":
		return (unit - 0.5) * scale
	case "expm1":
		return (unit - 0.5) * scale / 16
	case "log1p":
		return unit*scale - 0.5
	}
	return unit * scale
}
