// Package history reads a customer's retained orders as they stood at an
// instant: sums over windows, counts, first and last, local days.
//
// Every question takes the instant at and sees only what counted by then, so
// a rule that is evaluated again at an earlier instant, because a late event
// changed the past, sees what it would have seen had all come in order.
// What was refunded is known now and is left out at every instant: a refund
// counts at its order's occurred_at.
//
// The package is pure. It may import schemas and state.
package history
