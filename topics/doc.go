// Package topics says which topics one app needs, what differs from that on a
// cluster, and the command that mends it; and it makes those that are missing.
//
// What it promises:
//
//   - What Create makes, runtime.Prepare accepts without creating anything, and
//     what runtime.Prepare makes, Check finds nothing wrong with; a test holds
//     the two together.
//   - Nothing that exists is ever changed: partitions and configurations of
//     other people's topics are theirs, so Findings carry the command instead.
//   - Nothing is written into the topics: the genesis of an app, which fixes its
//     fire_from, is the first `tidemark run`'s to write.
//
// It imports schemas, processor/runtime (for the names), processor/rights and a Kafka client
// library, and logs nothing.
package topics
