// Package checkpoint moves the store of a task through a place for blobs: it
// saves a copy, finds the copies that there are, brings one back, and removes
// what nobody needs any more. FORMAT.md has every name and byte.
//
// What it promises:
//
//   - A file of the store lies under the hash of its bytes (SHA-256), so what did
//     not change between two checkpoints is uploaded once. Small files stand in
//     the manifest itself.
//   - A manifest is written last, under a name that says its task, position,
//     engine, epoch and its own hash, and never changes. A checkpoint of which
//     anything is missing has none.
//   - Whatever is read is checked against its hash before it is used; what differs
//     is a CorruptError and never part of a store.
//   - A restored folder appears under its name as a whole, synced, or not at all.
//   - Collect deletes only what no kept manifest needs, nothing younger than
//     MinAge, and asks May before every single deletion.
//
// Why an owner that was fenced and does not know it can do no harm: what it
// saves is the state at a committed position, which is the same whoever writes
// it, and its names differ from the new owner's. What it may delete was not
// referenced when it looked and is older than MinAge. A Saver takes an object for
// uploaded only if a manifest that is kept refers to it or it put it there itself,
// which makes it young; so such an owner would have to sleep for MinAge between
// May and the deletion.
//
// The package starts goroutines for parallel downloads, which end before the call
// does. It may import state and schemas. It reads no clock but the ones that it
// is given, and logs nothing.
package checkpoint
