// Package tail reads topics as a consumer of Tidemark does: committed records
// only, decoded by the writer's schema, shown as JSON.
//
// What it promises:
//
//   - Next gives each committed record of the partitions once, in order within a
//     partition; partitions are merged as they come.
//   - With ExitAtEnd the end is the last stable offset of each partition when
//     Open was called, so a topic that goes on being written does end.
//   - A value that cannot be shown is no error: Record.Problem says why, and the
//     bytes are there. Only a registry that gives no answer stops Next.
//   - Nothing is written: no group, no offsets.
//
// It imports schemas, processor/source and a Kafka client library, and logs
// nothing.
package tail
