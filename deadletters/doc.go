// Package deadletters reads the topic of that name and puts records back where
// they came from once the cause is gone.
//
// What it promises of a replay:
//
//   - The record goes back under its own key, value and headers, to the
//     partition of that key, with one header more: HeaderReplayed, the
//     dead_letter_id.
//   - Never twice for one id. The mark in the input topic is the authority, and
//     not a file beside the operator: it is there for every machine and every
//     operator. All replays of one app share two transactional ids; a Replayer
//     first takes them over, which ends whatever an earlier one left open, and
//     then reads the inputs to their very end for marks. Of two operators at the
//     same time the first is fenced before it can commit.
//   - A record that can only fail again (cut off, without a key, a schema that
//     the registry still lacks) is not sent unless forced; Plan says why.
//
// What it cannot promise: a mark that the input's retention has deleted is
// forgotten (Plan says so where that is possible). The event_id then still makes
// the repeat harmless within the playbook's horizon.
//
// It imports schemas, tail, sinks, processor/source and the names of the steps in
// processor/core, and logs nothing.
package deadletters
