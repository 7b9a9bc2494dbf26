package config

import _ "embed"

//go:embed schema.json
var schemaJSON []byte

//go:embed tidemark.example.yaml
var exampleYAML []byte

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors. It
// knows the form of each value; relations between them, only Load knows.
func Schema() []byte { return append([]byte(nil), schemaJSON...) }

// Example returns a file with every key, its default and what production wants.
func Example() []byte { return append([]byte(nil), exampleYAML...) }
