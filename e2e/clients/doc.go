// Package clients holds what Kafka clients of other makers are tried with: each
// client and each thing that it must be able to do is one test, against the
// embedded broker or, with TIDEMARK_KAFKA, a real one. docs/clients.md shows
// the result as a table, which these tests hold true: a row stands there only
// if all of its cells passed, under the version that the client itself names.
//
// A client is a driver: a program of its own with these verbs. Go's clients are
// this package's test binary, started once more.
//
//	version                                   {"version"}
//	produce BROKER REGISTRY TOPIC SCHEMAFILE  orders as JSON Lines from stdin; {"taken"}
//	consume BROKER REGISTRY TOPIC PARTITIONS  read_committed, from the beginning, until a record
//	                                          with the key "end" of each partition;
//	                                          {"partition","offset","key","value"} for the others
//	member BROKER TOPIC GROUP                 {"assigned":[…]} after each change, and
//	                                          {"partition","offset","key"} of each record once it is
//	                                          committed; ends when stdin does
//	admin BROKER TOPIC                        creates TOPIC with three partitions, looks at it,
//	                                          changes its retention, deletes it;
//	                                          {"partitions","retention","listed","altered"}
//
// Drivers use each client's own serializer and its own defaults, apart from the
// settings that docs/clients.md names. The snippets under examples/snippets and
// the page docs/first-hour.md are run here too.
//
// `make test-clients` fetches what is needed and runs everything against both
// brokers. Without a tool chain its tests are skipped and say so.
package clients
