// Package rights says what a program may have to do on a secured cluster, finds
// out what its principal may not, and names it: operation, resource, principal,
// and the command that grants it.
//
// What it promises:
//
//   - Check changes nothing on the cluster and takes nobody's turn: it asks for
//     the authorized operations of topics and of the group (KIP-430), and for the
//     coordinator of a transactional id, which takes Describe on it.
//   - What a broker does not tell is no complaint: one without an authorizer
//     allows everything, and so does the answer of a broker before 2.3.
//   - The lists (Run, Publish, …) are those of docs/kafka.md; a test holds the
//     two together, and one against a real authorizer takes away each in turn.
//
// What Check can't see: Write on a transactional id beyond Describe, and Create
// before a topic is made. Explain names these when they have failed.
//
// Read and Write imply Describe, as Kafka's authorizer has it, so the lists
// don't repeat it. It imports processor/source for its connections, and does
// not log.
package rights
