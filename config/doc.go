// Package config reads how one Tidemark process is set up: one YAML file, and
// environment variables that go over it.
//
// What it promises:
//
//   - Load finds every mistake at once. Each Problem names the field, its value,
//     where it stands (file:line:column or the variable), what is allowed there
//     and how to cure it. Unknown keys are mistakes, with
//     the nearest right word, and so are TIDEMARK_ variables that are near a known
//     one or under a block; any other TIDEMARK_ variable is a warning.
//   - Every field has one row in the table of fields.go, and only there: its
//     name in the file, its variable, its limits and what is said about it.
//     schema.json, tidemark.example.yaml, Show and the checks come from that
//     table; tests hold it against the structs and their defaults.
//   - A secret never appears in a message, in Show, in any fmt verb, in slog, or
//     in JSON, YAML or text; only Reveal gives it.
//   - Nothing here decides what a trigger says: that stands in the playbook or
//     in the control topic. FireFrom counts at the very first start only.
//
// A variable is TIDEMARK_ and the field's path in capitals, two underscores for
// each dot: TIDEMARK_KAFKA__BROKERS=host:1,host:2. A variable goes over the
// file; an empty one counts as not there, as compose files and orchestrators
// write what was left out that way. Relative paths are relative to the working
// directory of the process, in the file as in variables.
//
// YAML is read with goccy/go-yaml into its tree, and nothing lies between the
// tree and the table: a merging layer such as koanf hands over a map without
// places, and a message without its line is of no use; what it would do for the
// environment is a page here.
//
// It may import the standard library and the YAML parser. It must not import
// Kafka, the playbook or the registry (kafkaconn, beside it, makes the Kafka
// transport), start goroutines or log. It reads files only where a field names
// one: the file itself, file: secrets, certificates.
package config
