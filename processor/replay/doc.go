// Package replay runs the task machine over a finite, sorted history in
// memory: no Kafka, no store, no clock. It is the same core that `run` drives,
// with the same partitions, transfers and control records, so what it says is
// what a broker with the same input gives under `clock: input`.
//
// Promises
//
//   - The same history, playbook and options give the same triggers in the same
//     order, whatever the machine.
//   - The triggers of one customer do not depend on the number of partitions.
//   - It starts no goroutine, and works on several tasks at once only through
//     Options.Together; one pass; memory grows with the customers, not the events.
//
// It may import core and what core may import.
package replay
