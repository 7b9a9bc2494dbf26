package numeric

import (
	"math/big"
	"testing"
)

const precision = 300

func bigOf(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

func nearest(x *big.Float) float64 {
	f, _ := x.Float64()
	return f
}

// bigLog is 2 atanh((x-1)/(x+1)) by its series, for x near 1.
func bigLog(x *big.Float) *big.Float {
	one := bigOf(1)
	q := new(big.Float).Quo(new(big.Float).Sub(x, one), new(big.Float).Add(x, one))
	q2 := new(big.Float).Mul(q, q)
	sum, power := bigOf(0), new(big.Float).Set(q)
	for n := 1; n < 400; n += 2 {
		sum.Add(sum, new(big.Float).Quo(power, bigOf(float64(n))))
		power.Mul(power, q2)
	}
	return sum.Mul(sum, bigOf(2))
}

// bigZeta is Borwein's algorithm for the alternating series ("An efficient
// algorithm for the Riemann zeta function", 2000, algorithm 2), good to about
// 5.8^-n.
func bigZeta(s int) *big.Float {
	const n = 70
	// d_k = n sum_{i<=k} (n+i-1)! 4^i / ((n-i)! (2i)!), built term by term.
	var d [n + 1]*big.Float
	term, sum := bigOf(1), bigOf(1)
	d[0] = bigOf(1)
	for i := 1; i <= n; i++ {
		term.Mul(term, bigOf(float64(4*(n+i-1)*(n-i+1))))
		if i == 1 {
			term = bigOf(2 * n * n) // n (n)! 4 / ((n-1)! 2!)
		} else {
			term.Quo(term, bigOf(float64((2*i)*(2*i-1))))
		}
		sum.Add(sum, term)
		d[i] = new(big.Float).Set(sum)
	}
	eta := bigOf(0)
	for k := range n {
		t := new(big.Float).Sub(d[k], d[n])
		for range s {
			t.Quo(t, bigOf(float64(k+1)))
		}
		if k%2 == 1 {
			t.Neg(t)
		}
		eta.Add(eta, t)
	}
	eta.Quo(eta, d[n]).Neg(eta)
	// zeta = eta / (1 - 2^(1-s))
	return eta.Quo(eta, new(big.Float).Sub(bigOf(1), new(big.Float).SetMantExp(bigOf(1), 1-s)))
}

func TestTables(t *testing.T) {
	for j, e := range exp2Table {
		x := new(big.Float).SetMantExp(bigOf(1), j)
		for range 7 {
			x.Sqrt(x)
		}
		if got, want := e.hi, nearest(x); got != want {
			t.Errorf("2^(%d/128): got %x, want %x", j, got, want)
		}
		if got, want := e.lo, nearest(new(big.Float).Sub(x, bigOf(e.hi))); got != want {
			t.Errorf("2^(%d/128) low part: got %x, want %x", j, got, want)
		}
	}
	split := func(name string, x *big.Float, hi, lo float64) {
		t.Helper()
		if s := hi * (1 << 42); s != float64(int64(s)) {
			t.Errorf("%s: %x is no multiple of 2^-42", name, hi)
		}
		if got, want := lo, nearest(new(big.Float).Sub(x, bigOf(hi))); got != want || lo > 0x1p-43 || lo < -0x1p-43 {
			t.Errorf("%s low part: got %x, want %x", name, got, want)
		}
	}
	for i, e := range logTable {
		c := bigOf(float64(logFirst+i) / 128)
		if got, want := e.inv, nearest(new(big.Float).Quo(bigOf(1), c)); got != want {
			t.Errorf("128/%d: got %x, want %x", logFirst+i, got, want)
		}
		split("log", bigLog(c), e.hi, e.lo)
	}
	ln2 := bigLog(bigOf(2))
	split("ln2", ln2, ln2Hi, ln2Lo)
	split("ln2/128", new(big.Float).Quo(ln2, bigOf(128)), ln2By128Hi, ln2By128Lo)
	for i, got := range lgammaTaylor {
		k := i + 2
		x := bigZeta(k)
		x.Sub(x, bigOf(1)).Quo(x, bigOf(float64(k)))
		if k%2 == 1 {
			x.Neg(x)
		}
		if want := nearest(x); got != want {
			t.Errorf("(zeta(%d)-1)/%d: got %x, want %x", k, k, got, want)
		}
	}
}
