// Package broker runs one Kafka broker inside the process, on franz-go's
// kfake, for trying Tidemark out, for development, for tests and for small use.
//
// What it promises:
//   - It listens on a loopback address only. There is no authentication.
//   - With [Options.Dir] topics, records, consumer groups, producer ids and
//     transactional state are there again after [Broker.Close] and after
//     kill -9; the directory is locked, a second broker on it is refused.
//     Power loss is untested, with or without [Options.Sync].
//   - Topics exist only when somebody created them. A metadata request for an
//     unknown name creates nothing: an auto-created topic would be forgotten by
//     kill -9 and its name would then give old records.
//   - A CreateTopics request, whoever sends it, may name only the topic
//     configurations that Apache Kafka 4.1 knows. kfake itself would take a
//     misspelled retention.ms and keep quiet.
//   - It answers as Apache Kafka 4.1 does, less share groups, quotas, client
//     telemetry and delegation tokens, which it does not announce.
//
// Some of kfake's ways are worked around here, so don't undo this:
//   - Its log cleaner removes a partition's files before it writes the new
//     ones, so kill -9 during a pass loses a compacted topic, and it lets a
//     record of an open transaction hide the one it replaces, which is then
//     lost when that transaction aborts. So the cleaner never runs by itself:
//     log.cleaner.backoff.ms is set out of reach. A compacted topic keeps all
//     its records; consumers of compacted topics must bear that anyway.
//   - The same timer drives its retention, which applies the default of seven
//     days to topics that are only compacted, and which can empty a partition:
//     after a restart the partition's offsets then begin at 0 again. So
//     retention is applied from here, see the type retention. What is left: a
//     client that deletes all records of a partition with DeleteRecords resets
//     its offsets at the next restart.
//   - It announces request kinds which make the Java admin client and the
//     command line tools fail; see apiVersions.
//
// The package must not know any other package of Tidemark, but for internal/loopback.
package broker
