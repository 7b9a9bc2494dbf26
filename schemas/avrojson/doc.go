// Package avrojson shows Avro bodies of any schema as JSON, for people and for
// pipes: what `tidemark tail` and `tidemark dlq` print.
//
// What it promises:
//
//   - Append writes one object, its fields in the order of the writer's schema,
//     no white space. For the records of package schemas, written under their
//     own schema, it gives the very bytes of schemas.AppendJSON; a test compares.
//   - The forms: numbers as they stand, instants as epoch milliseconds (logical
//     types are not looked at), bytes and fixed as base64, an enum as its symbol,
//     a map as an object sorted by key (the last of a repeated key holds), a
//     union as the value of its branch, < > & unescaped, a number that JSON does
//     not have (NaN, infinities) as a string.
//   - Hostile bytes give an error and never a panic. What one body may cost is
//     bounded by MaxDepth, MaxValues and the body's own length.
//
// A Schema is immutable and safe for concurrent use. The package shows; it does
// not resolve a writer's schema against the contract (package schemas does), so
// a record of an older writer lacks the fields that it lacked then.
//
// It imports the standard library and an Avro schema parser only.
package avrojson
