// Package soak runs a fuzz target's own function very often inside one process.
//
// Go's fuzzing finds new code by its coverage, but hands each input to a worker
// process over shared memory: some ten thousand executions a second at best. A
// soak has no coverage to go by. It changes the inputs that fuzzing has kept,
// blindly, hundreds of thousands of times a second where the target is as fast.
// The two find different mistakes and are counted apart.
//
// # What it promises
//
//   - A run is a function of the seed, the number of executions and the corpus
//     (the target's own seeds in their order, then testdata/fuzz by file name):
//     the same three give the same inputs. Sum says which corpus it was.
//   - Each execution has arguments of its own: nothing that a target does to them
//     reaches the corpus or the next execution.
//   - An input that fails, panics or takes longer than Limit is written to
//     testdata/fuzz of the package, where it is a test from then on.
//   - Without the environment variable TIDEMARK_TEST_SOAK, the number of
//     executions of each target, it does nothing. TIDEMARK_TEST_SOAK_SEED is the
//     seed, 1 if absent; TIDEMARK_TEST_SOAK_ONLY chooses targets by a regular expression.
//
// A target is written against F, so that one function serves both:
//
//	func FuzzRow(f *testing.F) { fuzzRow(f) }
//	func fuzzRow(f soak.F)     { f.Add(…); f.Fuzz(func(t *testing.T, b []byte) { … }) }
//	func TestSoak(t *testing.T) { soak.Run(t, soak.Targets{"FuzzRow": fuzzRow}) }
//
// Only tests may import it.
package soak
