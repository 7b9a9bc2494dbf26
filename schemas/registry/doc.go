// Package registry finds and registers Avro schemas by the ids of the Confluent
// wire format.
//
// There are two places for schemas: Client speaks the Confluent REST API to one
// registry behind one or more addresses, Folder keeps .avsc files in a folder.
// Both have the same two methods,
//
//	SchemaByID(ctx, id) (schema string, refs []string, err error)
//	Register(ctx, subject, schema) (id int32, err error)
//
// so that whoever needs one declares an interface with what it needs.
//
// What an error means decides whether a record may be given up:
//
//   - ErrNotFound is definite: every address of the registry said, in the
//     registry's own words, that there is no such schema. The record is a dead
//     letter.
//   - ErrUnsupported is definite too: the id is there and is not Avro.
//   - ErrUnavailable is everything else that keeps the answer from us: no
//     connection, a time-out, 5xx, 401 and 403, 429, a page that is not the
//     registry's. Wait and ask again; never give a record up for it.
//   - ErrIncompatible and ErrInvalid refuse a registration.
//
// A schema, once found, is kept for ever: the id of a schema never changes its
// meaning. An absence is never kept.
//
// The package uses schemas for the built-in texts, and the standard library. It
// does not log, and starts no goroutine.
package registry
