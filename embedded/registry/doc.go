// Package registry is a small schema registry that speaks the REST API of the
// Confluent Schema Registry, for Avro, and keeps its state in a Kafka topic in
// that registry's own layout.
//
// What it promises:
//   - A write is answered with success only after it stands in the topic,
//     acknowledged by all replicas, and was read back from there.
//   - Start returns after the topic has been read to its end.
//   - One schema has one id, in every subject, also when it is registered
//     several times at once. An id never comes to mean another schema, also
//     after a hard delete and a restart.
//   - What is registered was parsed and checked as Avro. A schema that the
//     subject's compatibility level refuses is not registered.
//   - It listens on a loopback address only; there is no authentication.
//
// When are two schemas the same? When their canonical text and their
// references are. The canonical text is what Confluent compares and returns:
// white space, the order of Avro's own attributes and the way a name is
// qualified do not count; docs, defaults, aliases and other properties do. With
// normalize=true the order of other properties does not count either. It is
// not the Avro specification's Parsing Canonical Form, which drops defaults.
//
// One server writes to a topic. A second one is not kept out, but a server
// that sees a record which it did not write refuses every write from then on
// ([ErrOtherWriter]), until it is started again.
//
// What it leaves out: Protobuf and JSON Schema, metadata and rule sets,
// contexts, exporters, several nodes.
//
// # The topic
//
// One partition, compacted. Keys and values are JSON, fields in this order:
//
//	{"keytype":"SCHEMA","subject":S,"version":V,"magic":1}
//	  {"subject":S,"version":V,"id":ID,"references":[…],"schema":TEXT,"deleted":BOOL}
//	{"keytype":"DELETE_SUBJECT","subject":S,"magic":0}  {"subject":S,"version":V}
//	{"keytype":"CONFIG","subject":S or null,"magic":0}  {"compatibilityLevel":L}
//	{"keytype":"MODE","subject":S or null,"magic":0}    {"mode":M}
//	{"keytype":"NOOP","magic":0}                        {"maxId":ID}
//
// A SCHEMA key without a value is a hard delete; DELETE_SUBJECT is a soft
// delete of all versions up to V. The NOOP's value is this package's own: a
// hard delete writes it first, so that the largest id is known when the last
// record that bears it has been compacted away. Confluent's registry writes
// NOOPs without a value and does not read them. Keys of other types are passed over.
//
// The package must not know any other package of Tidemark, but for internal/loopback.
package registry
