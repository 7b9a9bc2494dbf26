package playbook

import (
	"math/big"
	"math/bits"
	"sort"

	"tidemark/schemas"
)

// rateTable is the Rates of a playbook. Every conversion is exact up to one
// rounding, half to even, at the end.
type rateTable struct {
	currency string
	rates    map[string][]rate // ascending by from
}

// rate says that one minor unit of a currency is numerator/denominator minor
// units of the playbook's, from an instant on.
type rate struct {
	from                   schemas.EventTime
	numerator, denominator *big.Int
	n, d                   uint64 // the same, 0 where they do not fit
}

// newRate takes a positive decimal of digits / 10^scale units of the
// playbook's currency per unit of the foreign one, and both exponents.
func newRate(from schemas.EventTime, digits *big.Int, scale, foreign, own int) rate {
	r := new(big.Rat).SetFrac(
		new(big.Int).Mul(digits, power10(own)),
		new(big.Int).Mul(power10(scale), power10(foreign)))
	out := rate{from: from, numerator: r.Num(), denominator: r.Denom()}
	if out.numerator.IsUint64() && out.denominator.IsUint64() && out.denominator.BitLen() < 64 {
		out.n, out.d = out.numerator.Uint64(), out.denominator.Uint64()
	}
	return out
}

func power10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// Convert implements Rates. An amount in the playbook's own currency comes
// back as it is. A result that does not fit an int64 counts as without a rate.
func (t *rateTable) Convert(amountMinor int64, from string, at schemas.EventTime) (int64, bool) {
	if from == t.currency {
		return amountMinor, true
	}
	list := t.rates[from]
	i := sort.Search(len(list), func(i int) bool { return list[i].from > at })
	if i == 0 {
		return 0, false
	}
	return list[i-1].convert(amountMinor)
}

func (r *rate) convert(amount int64) (int64, bool) {
	if r.d == 0 || amount < -1<<62 {
		return r.convertBig(amount)
	}
	negative := amount < 0
	if negative {
		amount = -amount
	}
	hi, lo := bits.Mul64(uint64(amount), r.n)
	if hi >= r.d {
		return 0, false
	}
	quotient, remainder := bits.Div64(hi, lo, r.d)
	// d is below 2^63, so the doubled remainder does not overflow.
	if twice := remainder * 2; twice > r.d || twice == r.d && quotient&1 == 1 {
		quotient++
	}
	if quotient > 1<<63-1 {
		return 0, false
	}
	if negative {
		return -int64(quotient), true
	}
	return int64(quotient), true
}

func (r *rate) convertBig(amount int64) (int64, bool) {
	product := new(big.Int).Mul(big.NewInt(amount), r.numerator)
	negative := product.Sign() < 0
	product.Abs(product)
	quotient, remainder := new(big.Int).QuoRem(product, r.denominator, new(big.Int))
	switch remainder.Lsh(remainder, 1).Cmp(r.denominator) {
	case 1:
		quotient.Add(quotient, big.NewInt(1))
	case 0:
		if quotient.Bit(0) == 1 {
			quotient.Add(quotient, big.NewInt(1))
		}
	}
	if negative {
		quotient.Neg(quotient)
	}
	return quotient.Int64(), quotient.IsInt64()
}
