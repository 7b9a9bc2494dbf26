// Package experiment (实验) draws who is held out and which arm the others get, and
// adds up what became of them.
//
// # What it promises
//
//   - A draw is a function of salt and customer alone: it never changes, needs no
//     state, and is independent of every draw with another salt.
//   - The global control group is drawn from another number than any experiment, anew
//     for every cycle.
//   - Sums are integers, and Merge is commutative and associative, so tasks may be
//     merged in any order. What was added can be removed again.
//
// The package is pure; it may import playbook and schemas.
package experiment
