// Package blobs is a place for large immutable things: a folder, or a bucket of
// S3 or of a store that speaks its protocol. Checkpoints of the state lie there.
//
// What it promises:
//
//   - Put is all or nothing: a key shows the whole of what was put, or what it
//     showed before. A folder takes a temporary file and a rename, S3 a request
//     or a multipart upload. A folder does not sync: after a loss of power a key
//     may show less, so whoever reads checks a hash.
//   - Get of a key that is not there wraps ErrNotFound.
//   - List gives keys in order, each with its size and the time of its last Put.
//   - What is said of a bucket, in errors too, holds no secret.
//
// It may import gocloud.dev, which carries one interface over folders, S3 and
// memory. It knows no checkpoint, no task and no configuration.
package blobs
