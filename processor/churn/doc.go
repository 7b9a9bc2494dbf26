// Package churn says how likely it is that a customer who has fallen silent
// will not come back in time, and at which millisecond that becomes too likely.
//
// The model is BG/NBD: P. S. Fader, B. G. S. Hardie and K. L. Lee, "'Counting
// Your Customers' the Easy Way: An Alternative to the Pareto/NBD Model",
// Marketing Science 24(2), 2005, 275-284 (equation numbers below are theirs).
// While active a customer buys at a Poisson rate, gamma distributed over
// customers (r, alpha); after every purchase she drops out with a probability
// that is beta distributed (a, b).
//
// MBG/NBD (Params.Modified) lets her drop out after the very first purchase as
// well: E. P. Batislam, M. Denizel and A. Filiztekin, "Empirical validation and
// comparison of models for customer base analysis", International Journal of
// Research in Marketing 24(3), 2007, 201-209.
//
// Beside these stand three that need no distribution: Cycle, a multiple of the
// customer's own mean gap; Curve, the chance of a return read off a table of how
// long customers stayed away (Kaplan-Meier, made by package fit); and for what
// is at stake Spend, the Gamma-Gamma model.
//
// # A history
//
// Three numbers say all of a customer's history, counted in customer-days (the
// days of the tenant's time zone on which she bought at least once):
//
//	x    repeat purchases: customer-days less the first
//	tx   from the first to the last customer-day; 0 if x is 0
//	T    from the first customer-day to now
//
// with x >= 0 and 0 <= tx <= T. Float arguments are in units of Params.Unit (a
// week, as a rule), EventTime arguments in milliseconds.
//
// # What to warn on
//
// P(alive) is 1 for everyone who bought once, so it can't find the customers
// who are lost most often. What a warning asks is PNoPurchase, the probability
// of no purchase within the next H, which also rises with T alone while x and
// tx stand still: the moment at which it reaches a limit is one timer, DueTime.
//
// # Invariants
//
//   - The same bits on every processor: arithmetic as in package numeric.
//   - "Reached" is one question only, numeric.Round6(PNoPurchase) >= limit, for
//     DueTime and for whoever looks again when the timer fires.
//   - No overflow up to 10^5 purchases and a hundred years: powers are sums of
//     logarithms until the last step.
//
// The package imports schemas (for EventTime) and numeric; it reads no clock,
// file or map.
package churn
