// Package state keeps what a task knows of its customers: the customer's row
// and its codec, the keyspace, timers, the task's position, and the Pebble
// store under them.
//
// The store is a cache of the task's state at a position of its journal. What
// it promises:
//
//   - A batch is whole: rows, timers and the position that they belong to are
//     written by one Pebble batch, so after any crash the store is the state
//     after some journal record and never between two.
//   - It is never ahead: the caller applies a batch only after the journal
//     record of that batch is committed.
//   - It may be behind: commits are not synced. After a kill it has what
//     Pebble's log writer had handed to the operating system, which is the last
//     commit or one of the last; after power loss an earlier one. The task replays
//     what lies between. Sync makes all survive.
//   - A disk that fails ends no process. A full one makes writing wait, and the
//     caller hears of it; any other failed write and all damage break this one
//     store, which then says ErrBroken or ErrCorrupt to everything and touches its
//     folder no more; see guard.
//   - Formats carry versions. A store of an unknown version is refused, never
//     guessed at. FORMAT.md has every byte.
//
// The package knows no rule, no trigger and no Kafka. It may import schemas
// and Pebble. Its times are schemas.EventTime, its money is in minor units.
package state
