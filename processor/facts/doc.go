// Package facts evaluates what a playbook knows of a customer: counts, sums,
// gauges, streaks, open pairs, remembered texts.
//
// # What it promises
//
//   - A fact is a pure function of the customer's kept history as of an instant
//     (history.View): Eval reads nothing that happened later, so the same rules
//     may be run again over a past that changed.
//   - Next is the first instant after at at which time alone (a window that lets
//     go, a local midnight, an average that crosses) may bring the value out of
//     [lo, hi). It may be early, never late; 0 says never. What comes by an event
//     is not in it.
//   - Averages are exact: sums of value × milliseconds in 128 bits, divided once,
//     rounded down.
//   - A Table holds conditions over facts so that a change costs what it changes:
//     each comparison with a constant is a threshold of its fact, and only
//     conditions with a threshold between the old and the new value are told
//     (Changed). 500 conditions cost little more than 50.
//
// The package is pure. It may import playbook, processor/history, schemas and state.
package facts
