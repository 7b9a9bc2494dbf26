// Package ledger says what a customer holds of points or credits (积分, 通证): what
// came in, what of it counts, what was used, and what ended, at any instant.
//
// # What it promises
//
//   - The state as of an instant is a pure function of the account as it was
//     closed, of the history kept since, and of the account's posts: the order in
//     which events came changes nothing, but for what came after it was closed.
//   - Units are neither made nor lost. What came in (earned, granted, adjusted,
//     received, forgiven) is always what is there (pending, claimable, open, less
//     what is owed) and what went (cancelled, lapsed, redeemed, expired, reversed,
//     sent). Balanced checks it.
//   - Units are used in the order in which they end, the first in first among
//     equals. What ends at an instant can't be used at it.
//   - A refund takes back at its own instant: what was pending is cancelled; of
//     what counted, what is left first; what was used is taken from other units,
//     and where there are none it is owed or forgiven, as the overdraft policy says.
//     What had expired is gone already. A redemption that was covered when it was
//     made stays made.
//
// Closing an account up to an instant folds its past into lots: from then on it
// does not read that past, and the rows of a customer stay small however long she
// collects.
//
// It keeps an account of what happened. It does not authorise: whether points may
// be spent is decided where they are spent, before the event is sent.
//
// The package is pure. It may import playbook, processor/award, processor/history,
// schemas and state.
package ledger
