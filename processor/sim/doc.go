// Package sim runs whole processors in one process, from one seed: the real
// runtime, core, sinks, source and Kafka client over a network of its own, a
// real Pebble store on a disk that loses what was not synced, and a model of a
// Kafka cluster that does what a broker may do and a test broker seldom does.
//
// A run is a Script: a seed, sizes, a list of faults. Everything else follows
// from the seed by hashing: what is published when, how long each request
// takes, how long a transaction marker is on its way. One scheduler delivers one
// thing at a time (a request, an answer, a fault) and waits until every
// goroutine of the processors is blocked before the next, under the clock of
// testing/synctest. A fault taken out of the script leaves the others as they
// are, so that a failing script can be made short; see Shrink.
//
// What is checked, by the auditor of package e2e, from outside: what a
// read_committed consumer sees is what a pure replay of the journals gives, byte
// for byte and in order per partition; the runs cover every committed input
// record exactly once; clocks never go back; the chain of hashes is whole. And
// once the faults are over: all that was published is taken within a minute.
//
// What is not the real thing: brokers (topics, leaders, transactions and their
// markers, producer epochs and sequences, the last stable offset, after the
// Java broker 4.1), group membership (assignments come when and to whom the
// script says), the registry.
//
// The goroutines of the processors are scheduled by Go. With one delivery at a
// time and GOMAXPROCS 1 most seeds give the very same history twice, and the
// others part late; what a select with two ready cases picks is Go's. A test
// counts how many. So a seed that fails is run again, and shrunk, a few times.
//
// Nobody helps: a store that is damaged, or half made, must be made anew by the
// processor itself. A bubble ends only when every goroutine in it has, so a run
// also shows that no life of a processor or store leaves one behind.
//
// Half of the scripts have a blob store, of which requests are lost, late, done
// twice or torn, which is away or slow, and loses or damages what it holds; half of
// those with several processes have standbys, which are promoted first. A task that
// stops since its input is gone is in order only if no whole checkpoint in the blob
// store would have let it go on. A full disk takes no write until there is room.
//
// Not in it: the collection of old checkpoints (nothing gets a day old here), a
// journal that was cut.
//
// Only tests may import it: it runs inside a test's bubble.
package sim
