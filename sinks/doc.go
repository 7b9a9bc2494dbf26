// Package sinks publishes what a task decided: it encodes record batches and
// drives Kafka transactions, one per commit of a task.
//
// What it promises:
//
//   - Commit answers nil only when the broker has confirmed the end of the
//     transaction. Every other answer leaves the outcome to be read from the
//     journal after Init; no error of this package means "not committed".
//   - EndTxn is sent at most once for a transaction, whatever the answer. A
//     repeated or late EndTxn can end the next transaction of the same producer
//     half way, and nothing in the journal would show it.
//   - A request is repeated only when the broker has answered that it did not
//     act on it (see Judge), and a repeated produce carries the same bytes and
//     the same sequence numbers.
//   - The transactional id of a commit is its sequence number modulo two, never
//     a turn that the process counts, so that two owners can't disagree on it.
//   - Records carry the time of publishing, not the time of what they tell:
//     brokers delete by record timestamp.
//
// It may import schemas and Kafka client libraries. It never imports the
// packages of the processor, never logs (see Stats), and starts goroutines only
// for the length of one produce round.
package sinks
