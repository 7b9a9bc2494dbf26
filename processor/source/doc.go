// Package source reads Kafka topics at the level of the wire: fetch responses
// are read into one slice of bytes and record batches are parsed in place.
//
// What it promises:
//
//   - Only committed records are handed out, each once and in offset order, and
//     none at or past the partition's last stable offset.
//   - A position never moves but forward by what was handed out or skipped
//     (control batches, aborted records, gaps), or by Seek. An offset out of
//     range is an error that carries the log's start; nothing is ever reset.
//   - Keys, values and headers are views into the response (or into the
//     decompressed batch). That memory is never written again, so a view stays
//     valid for as long as it is held; holding one keeps its whole response alive.
//   - Every batch's CRC is checked before anything of it is used.
//   - Broken connections, moved leaders and loading brokers are retried with
//     back-off, and told to Config.OnRetry; everything else is returned.
//
// It may import schemas and Kafka client libraries. It knows no rules, no
// state and no merge order, reads no clock but for deadlines and back-off, and
// never logs. Goroutines live only while a request is under way; Close waits for them.
package source
