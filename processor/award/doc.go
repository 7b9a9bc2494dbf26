// Package award says what a customer's orders and behaviors earn by a growth
// rule (成长值) or a ledger (积分), and from when each award counts.
//
// # What it promises
//
//   - The awards as of an instant are a pure function of the history up to it: an
//     event that is not yet there earns nothing, a refund takes its part back
//     wherever it is asked.
//   - Each award is rounded down by itself. Caps hold per factor and local day of
//     earning, in order of time; days that were folded keep their day.
//   - An award counts from its Settled instant on. Before it is pending; one that
//     waits for a delivery that is not known has no such instant.
//
// The package is pure. It may import playbook, processor/history, schemas and state.
package award
