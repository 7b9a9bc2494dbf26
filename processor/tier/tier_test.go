package tier

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
)

// The level is decided in growth value, the day of the fall in money: needed
// must be the smallest sum whose growth reaches, and growth must not overflow.
func TestNeededIsTheEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &playbook.Growth{Numerator: rapid.Int64Range(1, 1e12).Draw(t, "numerator"), Denominator: rapid.Int64Range(1, 1e12).Draw(t, "denominator")}
		reach := rapid.Int64Range(1, 1e12).Draw(t, "reach")
		n := needed(g, reach)
		if n == 1<<63-1 {
			return // more than any sum
		}
		if growth(g, n) < reach || growth(g, n-1) >= reach {
			t.Fatalf("needed %d for %d: growth %d, and %d one below", n, reach, growth(g, n), growth(g, n-1))
		}
		sum := rapid.Int64Range(0, 1<<62).Draw(t, "sum")
		want := new(big.Int).Mul(big.NewInt(sum), big.NewInt(g.Numerator))
		want.Div(want, big.NewInt(g.Denominator))
		if !want.IsInt64() {
			want.SetInt64(1<<63 - 1)
		}
		if got := growth(g, sum); got != want.Int64() {
			t.Fatalf("growth of %d by %d/%d is %d, want %v", sum, g.Numerator, g.Denominator, got, want)
		}
	})
}
