// Package schemas is the contract with the programs around Tidemark, as Go
// types: the two input events, the records of the eight out topics, the records
// of the three internal topics, and the Avro schemas of them all.
//
// # What it promises
//
//   - The struct of a record, its JSON names and its .avsc file say the same
//     thing, field by field and in the same order. NameOf and Text lead from a
//     record to its schema.
//   - AppendAvro gives equal bytes for equal records: maps are written sorted by
//     key, every array and map in one block without its size. No bytes depend on
//     a clock, a random number or the order of a map. Checksums in journals are
//     taken over these bytes, so a change to them is a change of the engine.
//   - A schema changes only so that today's can read everything that was ever
//     written (the registry's level BACKWARD): a new field has a default.
//     testdata/released keeps what was released, and a test compares.
//   - CompileReader resolves a writer's schema against the contract as the Avro
//     1.12 specification says, and Reader.Decode fills an Event from hostile
//     bytes without a panic, without allocating in the steady state, and without
//     accepting what is not exactly one record.
//   - ParseWire and AppendWire are the Confluent wire format.
//
// # Where decoding is stricter than it need be
//
// A number longer than its type, a string that is not UTF-8, and a block whose
// size in bytes is not that of its entries are errors, and so is nesting beyond
// 512 levels in fields that the contract does not know. A number that is merely
// written with more bytes than it needs is accepted.
//
// # Lifetimes
//
// An Event's strings point into the body that it was decoded from. The decoders
// of internal records copy what they keep.
//
// # What it must not do
//
// It imports the standard library and an Avro schema parser, and no other
// package of Tidemark. It reads no clock, file or network, starts no goroutine,
// logs nothing. Whether an event makes sense (an amount below zero, a time in the
// future, an empty customer id) is not decided here.
//
// Package registry, below it, finds schemas by id.
package schemas
