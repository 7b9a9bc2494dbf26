// Package recall (召回) decides whom a campaign treats, how, and what type of
// lost customer she is.
//
// The draw is a function of the campaign's salt and the customer alone: it
// never changes, needs no state, and is independent between campaigns with
// different salts. The holdout is drawn before anything else is looked at.
// The package is pure; it may import playbook and schemas.
package recall

import (
	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
)

// Holdout is the arm number of customers who are not treated.
const Holdout = -1

// Draw assigns a customer: Holdout, or an index into r.Arms in proportion to
// the weights.
func Draw(r *playbook.Recall, customer string) int {
	if int64(hash(r.Salt, "holdout", customer)%1_000_000) < r.HoldoutPPM {
		return Holdout
	}
	total := int64(0)
	for i := range r.Arms {
		total += r.Arms[i].Weight
	}
	if total <= 0 {
		return 0
	}
	x := int64(hash(r.Salt, "arm", customer) % uint64(total))
	for i := range r.Arms {
		if x -= r.Arms[i].Weight; x < 0 {
			return i
		}
	}
	return len(r.Arms) - 1
}

// hash is xxhash64 over salt, purpose and customer, joined by NUL bytes.
func hash(salt, purpose, customer string) uint64 {
	b := make([]byte, 0, 128)
	b = append(append(b, salt...), 0)
	b = append(append(b, purpose...), 0)
	b = append(b, customer...)
	return xxhash.Sum64(b)
}

// CustomerType is the first that holds of: one order (仅一次完单), more than one
// (大于一次完单). "" for who never bought: that is no recall type. Orders are net
// of full refunds. Lost to a competitor (流失竞品) needs a declared signal, which
// the engine does not take yet.
func CustomerType(orders int64) string {
	switch {
	case orders <= 0:
		return ""
	case orders == 1:
		return "one_order"
	}
	return "repeat"
}
