package registry

import "testing"

// The Avro specification's schema resolution, case by case: does reader read what writer wrote?
func TestReads(t *testing.T) {
	enum := func(symbols, more string) string {
		return `{"type":"enum","name":"E","symbols":[` + symbols + `]` + more + `}`
	}
	node := func(more string) string {
		return `{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"],"default":null}` + more + `]}`
	}
	for _, c := range []struct {
		name, reader, writer string
		want                 bool
	}{
		{"promotion", `"double"`, `"int"`, true},
		{"no demotion", `"int"`, `"long"`, false},
		{"string and bytes", `"bytes"`, `"string"`, true},
		{"into a union", `["null","long"]`, `"int"`, true},
		{"out of a union", `"long"`, `["int","long"]`, true},
		{"out of a union with null", `"long"`, `["null","long"]`, false},
		{"union branch gone", `["null","int"]`, `["null","int","string"]`, false},
		{"symbol unknown", enum(`"A"`, ""), enum(`"A","B"`, ""), false},
		{"symbol unknown, default", enum(`"A"`, `,"default":"A"`), enum(`"A","B"`, ""), true},
		{"symbol unknown, only the writer has a default", enum(`"A"`, ""), enum(`"A","B"`, `,"default":"A"`), false},
		{"renamed with alias", rec(`{"name":"z","aliases":["a"],"type":"long"}`), rec(fieldA), true},
		{"renamed without alias", rec(`{"name":"z","type":"long"}`), rec(fieldA), false},
		{"default in the reader", rec(fieldA, fieldBDefault), rec(fieldA), true},
		{"default in the writer only", rec(fieldA, fieldB), rec(fieldA), false},
		{"another record's name", `{"type":"record","name":"Q","fields":[]}`, `{"type":"record","name":"R","fields":[]}`, false},
		{"fixed size", `{"type":"fixed","name":"F","size":2}`, `{"type":"fixed","name":"F","size":3}`, false},
		{"array items", `{"type":"array","items":"int"}`, `{"type":"array","items":"long"}`, false},
		{"map values", `{"type":"map","values":"long"}`, `{"type":"map","values":"int"}`, true},
		{"recursive", node(`,{"name":"v","type":"int","default":0}`), node(""), true},
		{"recursive, no default", node(`,{"name":"v","type":"int"}`), node(""), false},
	} {
		r, err := parse(c.reader, nil, false, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		w, err := parse(c.writer, nil, false, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := reads(r.avro, w.avro); (err == nil) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
