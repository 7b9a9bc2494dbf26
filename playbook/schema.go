package playbook

import _ "embed"

//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema (draft 2020-12) of playbooks, for editors and
// for the reference pages. It describes the form; what hangs on several values
// at once, names above all, only Compile can tell.
func Schema() []byte { return append([]byte(nil), schemaJSON...) }
