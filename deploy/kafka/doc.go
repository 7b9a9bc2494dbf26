// Package kafka runs a real Apache Kafka, one node of the release that pom.xml
// pins, for tests and for trying things out. It is a harness, not a product: the
// data of a node are worth nothing and are removed without asking.
//
// # What it promises
//
//   - Start returns when the node answers Metadata under the cluster id that it
//     was formatted with and names itself as an unfenced broker, so an answer from
//     some other program on that port is never taken for it. The coordinators of
//     groups and transactions may still answer 14, 15 or 16 for a moment, as they
//     do in production.
//   - A start, a stop and a wait end: with the context, with their own time limit,
//     or at once when the Java process dies. The error then carries the end of the log.
//   - Nothing outlives its owner for longer than until the next Start. The owner of
//     a private node holds a lock on a file in the node's folder; the kernel drops
//     it with the process, however that ended; the next Start kills the node and
//     removes the folder.
//   - A process is killed only if its command line names the folder of its node, so a
//     recycled process id hurts nobody.
//
// Options.Users makes a private node a secured one, see Secured: TLS on every
// listener with an authority of the node's own, SCRAM-SHA-512 and OAUTHBEARER for
// clients, a second listener that knows them by certificate, and StandardAuthorizer.
//
// A node is private (Start) or shared (StartShared). The shared one, of which a
// checkout has at most one, lives on after the process that started it, until StopShared.
//
// Everything lies under one cache folder, by default .cache/kafka beside go.mod:
//
//	jars-<hash of pom.xml>/   the class path; fetched once, whole or not at all
//	private/<n>/              nodes with an owner
//	shared/                   the node without one
//	lock                      held while the three above are changed
//
// A node's folder holds server.properties, pid, owner.lock, address (once it has
// answered), kafka.log, and data with the logs themselves.
//
// It needs Java 17, and Maven the first time; deploy/ci/install.sh installs both.
// It runs on Linux and other Unix systems. Only tests, benchmarks and the command
// in ./node may import it.
package kafka
