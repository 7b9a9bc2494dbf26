package experiment

import (
	"math/big"
	"math/bits"
)

// Outcome is what a customer did in the time from her assignment to a horizon.
type Outcome struct {
	Orders  int64 // net of full refunds
	Revenue int64 // net of refunds, minor units, at most the declared cap
}

// Sums are integers over customers, from which means and variances follow.
type Sums struct {
	Customers int64 `json:"customers"` // whose horizon is over
	Active    int64 `json:"active"`    // of them, with at least one order
	Orders    int64 `json:"orders"`
	Revenue   int64 `json:"revenue"`
	// The sum of the squares of Revenue, 128 bits: it would overflow 64 with a
	// thousand customers at a cap of a million.
	SquareHi uint64 `json:"square_hi"`
	SquareLo uint64 `json:"square_lo"`
}

// Add counts a customer in.
func (s *Sums) Add(o Outcome) {
	s.shift(o, 1)
	hi, lo := square(o.Revenue)
	var carry uint64
	s.SquareLo, carry = bits.Add64(s.SquareLo, lo, 0)
	s.SquareHi, _ = bits.Add64(s.SquareHi, hi, carry)
}

// Remove takes out what Add counted in.
func (s *Sums) Remove(o Outcome) {
	s.shift(o, -1)
	hi, lo := square(o.Revenue)
	var borrow uint64
	s.SquareLo, borrow = bits.Sub64(s.SquareLo, lo, 0)
	s.SquareHi, _ = bits.Sub64(s.SquareHi, hi, borrow)
}

func (s *Sums) shift(o Outcome, n int64) {
	s.Customers += n
	if o.Orders > 0 {
		s.Active += n
	}
	s.Orders += n * o.Orders
	s.Revenue += n * o.Revenue
}

func square(v int64) (hi, lo uint64) {
	u := uint64(v)
	if v < 0 {
		u = -u
	}
	return bits.Mul64(u, u)
}

// Merge adds the sums of another task.
func (s *Sums) Merge(o Sums) {
	s.Customers += o.Customers
	s.Active += o.Active
	s.Orders += o.Orders
	s.Revenue += o.Revenue
	var carry uint64
	s.SquareLo, carry = bits.Add64(s.SquareLo, o.SquareLo, 0)
	s.SquareHi, _ = bits.Add64(s.SquareHi, o.SquareHi, carry)
}

// Square is the sum of the squares of Revenue as a decimal number.
func (s *Sums) Square() string {
	n := new(big.Int).SetUint64(s.SquareHi)
	n.Lsh(n, 64)
	return n.Or(n, new(big.Int).SetUint64(s.SquareLo)).String()
}
