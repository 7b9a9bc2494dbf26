// Package runtime drives the task machine against Kafka. It is the only package
// that starts goroutines for a task's work.
//
// A task has four of them: one that fetches and decodes (reader), one that owns
// the core (loop), one that commits (committer), and one that asks for the ends
// of the inputs (prober). They share nothing but channels; the core is touched by
// loop alone, the store is read by loop and written by committer.
//
//	fetch → decode → [queue per input] → merge → core.Take/Tick → core.Ready
//	      → transaction (out topics, transfers, control, journal) → store
//
// What it promises:
//
//   - A transaction that did not definitely succeed ends this life of the
//     task: everything in memory is dropped, both transactional ids are
//     initialised again, the journal is read to its end, the store is brought
//     there by replay, and only then new records are taken.
//   - Nothing is applied to the store before its journal record is committed.
//   - A task whose journal does not fit its store (lost, gap, other hash) stops
//     and says so; it never starts from the beginning by itself.
//   - Membership only says who should own a task; the epoch decides.
//
// It may import everything under processor, and schemas, state, sinks, telemetry.
package runtime
