package experiment

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
	"tidemark/schemas"
)

// Arm numbers of customers who are not treated.
const (
	Holdout       = -1
	GlobalControl = -2
)

// Draw assigns a customer: Holdout, or an index into x.Arms in proportion to the
// weights.
func Draw(x *playbook.Experiment, customer string) int {
	if Number(x, customer) < x.HoldoutPPM {
		return Holdout
	}
	return Arm(x, customer)
}

// Number is what the holdout's share is compared with, from 0 to 999,999.
func Number(x *playbook.Experiment, customer string) int64 {
	return int64(hash(x.Salt, "holdout", customer) % 1_000_000)
}

// Arm is the arm of a customer who is not held out.
func Arm(x *playbook.Experiment, customer string) int {
	total := int64(0)
	for i := range x.Arms {
		total += x.Arms[i].Weight
	}
	if total <= 0 {
		return 0
	}
	n := int64(hash(x.Salt, "arm", customer) % uint64(total))
	for i := range x.Arms {
		if n -= x.Arms[i].Weight; n < 0 {
			return i
		}
	}
	return len(x.Arms) - 1
}

// InGlobal says whether a customer is in the global control group of the cycle that
// begins at an instant.
func InGlobal(g *playbook.GlobalControl, cycle schemas.EventTime, customer string) bool {
	return int64(hash(g.Salt, "global/"+strconv.FormatInt(int64(cycle), 10), customer)%1_000_000) < g.PPM
}

// hash is xxhash64 over salt, purpose and customer, joined by NUL bytes.
func hash(salt, purpose, customer string) uint64 {
	b := make([]byte, 0, 128)
	b = append(append(b, salt...), 0)
	b = append(append(b, purpose...), 0)
	b = append(b, customer...)
	return xxhash.Sum64(b)
}
