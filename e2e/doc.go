// Package e2e tests the whole path: events into Kafka, the processor, triggers
// out, against the embedded broker or, with TIDEMARK_KAFKA, a real one.
//
// Its centre is an auditor (Log.Audit) that shares no code with the runtime. It
// reads what a read_committed consumer sees of an app's topics with franz-go and
// holds it against the journal:
//
//   - the journal's records are 1, 2, 3, …, each with the hash of the one before;
//   - its runs cover every committed record of every input once and in order;
//   - its clock never goes back, and every item is well formed;
//   - the state machine, fed in memory with just what the journal says, gives
//     each record that was published, in order, none more and none less, and each
//     came from the producer that wrote its journal record.
//
// Only tests may import it.
package e2e
