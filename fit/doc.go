// Package fit turns a history into parameters: of churn models, of the two
// inflection points, of tiers, of the golden conversion window.
//
// # What it promises
//
//   - A function of the events alone, in any order: the same history gives the
//     same report, on one machine. It reads no clock and draws nothing. The last
//     digits of fitted parameters may differ between processors, so a fit is
//     made once, and its file is what tasks read.
//   - It says what it does not know. Each fit carries whether it converged, the
//     standard errors of what is identified, and in words what is not: a
//     parameter at the bound of its range has no error and no meaning.
//   - What it claims of a model it has measured: parameters come from the days up
//     to a cut, precision from the days after it, which no fit has seen.
//   - Censoring is treated: who has not come back yet is not counted as one who
//     stayed away for good (Kaplan and Meier, 1958).
//
// # A history
//
// Days are the local days of one time zone. A customer-day is a day with at
// least one order of which something is left at the end of the history; a
// refunded order is as if it had not been. One currency counts, the commonest;
// orders in others count as days and not as money.
//
// The package imports schemas, playbook (for the form of parameters files and
// the exponents of currencies) and processor/churn, and gonum
// for optimisation and linear algebra. It reads no file and never logs.
package fit
