// Package numeric holds the few transcendental functions that a task's state
// may depend on, so that every processor computes the same bits.
//
// Go's math package can't promise that: some of its functions are assembly on
// some processors, and the compiler may fuse x*y + z into one operation where
// the processor has it. The Go specification (section "Floating-point
// operators") forbids that fusion where the product is converted explicitly:
//
//	float64(x*y) + z
//
// # Invariants
//
//   - Only + - * / and conversions touch a float. Every product stands in a
//     float64(...), also one that is only assigned or returned, since fusion
//     may reach across statements and inlined calls; so does a quotient by a
//     constant, which the compiler may turn into a product.
//     TestNoProductCanFuse reads the source of this package and of
//     processor/churn and fails on any other.
//   - No clock, no map, no state. From math only what is exact by definition:
//     bits, NaN, infinities, rounding to an integer.
//   - A changed bit is another engine version: testdata/golden.txt holds the
//     results bit by bit.
//
// Errors are given in ulp, units in the last place of the result, and are
// what the tests enforce. Whatever is compared with a limit or published goes
// through Round6 first.
//
// The package imports nothing of Tidemark.
package numeric
