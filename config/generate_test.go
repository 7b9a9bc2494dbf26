package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// generated compares an embedded file with what the table gives. -rewrite (of
// datadriven) writes it.
func generated(t *testing.T, name string, have []byte, want string) {
	t.Helper()
	if string(have) == want {
		return
	}
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s rewritten; run the tests again", name)
		return
	}
	t.Errorf("%s is not what the table of fields.go gives; run go test ./config -rewrite twice and read the difference", name)
}

func TestSchemaIsTheTable(t *testing.T) { generated(t, "schema.json", schemaJSON, schemaFromTable(t)) }
func TestExampleIsTheTable(t *testing.T) {
	generated(t, "tidemark.example.yaml", exampleYAML, exampleFromTable())
}

type object struct {
	keys   []string
	values map[string]any
}

func (o *object) set(key string, value any) *object {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
	return o
}

func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(k) + ":")
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(o.values[k]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

const (
	durationPattern = "^([0-9]{1,15}d)?([0-9]{1,15}h)?([0-9]{1,15}m)?([0-9]{1,15}s)?([0-9]{1,15}ms)?$"
	sizePattern     = "^[0-9]{1,18}(GiB|MiB|KiB|B)$"
	instantPattern  = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$`
)

// valueSchema describes one value. A word of digits is a number to YAML where
// text is meant, and both are taken.
func valueSchema(f *field) *object {
	s := &object{}
	switch f.kind {
	case flagKind:
		s.set("type", "boolean")
	case numberKind:
		s.set("type", "integer").set("minimum", f.min).set("maximum", f.max)
	case durationKind:
		s.set("type", "string").set("pattern", durationPattern).set("minLength", 2)
	case sizeKind:
		s.set("type", "string").set("pattern", sizePattern)
	case choiceKind:
		s.set("enum", f.words)
	case secretKind:
		s.set("type", []string{"string", "number", "boolean"})
	case instantKind:
		s.set("type", "string").set("pattern", "^$|"+instantPattern)
	case fireFromKind:
		s.set("type", "string").set("pattern", "^(now|beginning)$|"+instantPattern)
	case textKind:
		s.set("type", []string{"string", "number", "boolean"})
		if !f.optional() {
			s.set("minLength", 1)
		}
		if f.pattern != "" {
			s.set("pattern", f.pattern)
		}
	case listKind:
		list := (&object{}).set("type", "array").set("items", (&object{}).set("type", "string").set("pattern", f.pattern)).
			set("maxItems", maxItems).set("uniqueItems", true)
		if f.required {
			list.set("minItems", 1)
		}
		s.set("anyOf", []any{list, (&object{}).set("type", "string")})
	}
	return s
}

func schemaFromTable(t *testing.T) string {
	root := (&object{}).set("$schema", "https://json-schema.org/draft/2020-12/schema").
		set("title", "tidemark.yaml").set("description", "How one Tidemark process is set up. Every key can be set by environment variable too.")
	objects := map[string]*object{"": root}
	open := func(o *object) {
		o.set("additionalProperties", false).set("properties", &object{})
	}
	root.set("type", "object")
	open(root)
	parent := func(path string) *object {
		at := ""
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			at = path[:i]
		}
		return objects[at].values["properties"].(*object)
	}
	for _, b := range blocks {
		o := &object{}
		if b.about != "" {
			o.set("description", b.about)
		}
		o.set("type", []string{"object", "null"})
		open(o)
		objects[b.path] = o
		parent(b.path).set(last(b.path), o)
	}
	c := Default()
	fields := c.fields()
	for i := range fields {
		f := &fields[i]
		about := strings.TrimSpace(f.about + " Allowed: " + f.allowed() + ". Variable: " + variable(f.path) + ".")
		s := (&object{}).set("description", about)
		v := valueSchema(f)
		for _, k := range v.keys {
			s.set(k, v.values[k])
		}
		if !f.required {
			s.set("default", jsonValue(f))
		}
		parent(f.path).set(last(f.path), s)
	}
	compact, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	// Marshal escapes <, > and & again on the way out of MarshalJSON.
	text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(b.String())
	return text + "\n"
}

func jsonValue(f *field) any {
	switch v := f.value.(type) {
	case *bool:
		return *v
	case *int:
		return *v
	case *[]string:
		return []string{}
	}
	return f.text()
}

func exampleFromTable() string {
	var b strings.Builder
	b.WriteString(`# tidemark.yaml: every key with its default, which fits a laptop, and what
# production wants. Only app, kafka.brokers and a registry have to be set.
#
# Every key can be set by environment too, and goes over the file then:
# TIDEMARK_ and the path in capitals, two underscores for each dot, commas
# between the entries of a list: TIDEMARK_KAFKA__BROKERS=a:9092,b:9092.
# Durations: 30d 12h 10m 2s 500ms. Sizes: 64KiB 64MiB 1GiB.
# Relative paths are relative to the working directory of the process.
# Secrets: the value, file:PATH or env:NAME.

# yaml-language-server: $schema=./schema.json

`)
	about := map[string]string{}
	for _, x := range blocks {
		about[x.path] = x.about
	}
	comment := func(indent, text string) {
		line := indent + "#"
		for _, w := range strings.Fields(text) {
			if len(line)+1+len(w) > 80 {
				b.WriteString(line + "\n")
				line = indent + "#"
			}
			line += " " + w
		}
		b.WriteString(line + "\n")
	}
	c := Default()
	fields := c.fields()
	var above []string
	for i := range fields {
		f := &fields[i]
		if f.required || f.path == "schema_registry.urls" {
			f.read(f.sample, os.LookupEnv)
		}
		parts := strings.Split(f.path, ".")
		for i := range len(parts) - 1 {
			if i < len(above) && above[i] == parts[i] {
				continue
			}
			above = nil
			if i == 0 {
				b.WriteString("\n")
			}
			indent := strings.Repeat("  ", i)
			if text := about[strings.Join(parts[:i+1], ".")]; text != "" {
				comment(indent, text)
			}
			b.WriteString(indent + parts[i] + ":\n")
		}
		above = parts[:len(parts)-1]
		indent := strings.Repeat("  ", len(parts)-1)
		text := f.about
		if f.kind == choiceKind && len(f.words) > 1 {
			text = strings.TrimSpace("One of " + f.allowed() + ". " + text)
		}
		if text != "" {
			comment(indent, text)
		}
		b.WriteString(indent + parts[len(parts)-1] + ": " + f.yaml() + "\n")
	}
	return b.String()
}

// TestPatternsAgree holds the schema's patterns against the readers.
func TestPatternsAgree(t *testing.T) {
	d, s, at := regexp.MustCompile(durationPattern), regexp.MustCompile(sizePattern), regexp.MustCompile(instantPattern)
	for _, x := range []string{"30d", "12h", "10m", "2s", "500ms", "1d12h", "1m30s", "1h5ms", "5s1m", "1.5s", "-2s", "10", "2 s", "1w", "s", "0s", "9M"} {
		_, err := parseDuration(x)
		if got, want := d.MatchString(x), err == nil; got != want {
			t.Errorf("duration %q: pattern %v, reader %v (%v)", x, got, want, err)
		}
	}
	for _, x := range []string{"64MiB", "1GiB", "5KiB", "0B", "64MB", "64", "1.5MiB", "-1B", "MiB", " 1B", "64mib"} {
		_, err := parseSize(x)
		if got, want := s.MatchString(x), err == nil; got != want {
			t.Errorf("size %q: pattern %v, reader %v (%v)", x, got, want, err)
		}
	}
	for _, x := range []string{"2024-01-31T00:00:00Z", "2024-01-31T00:00:00.123Z", "2024-01-31T00:00:00+08:00", "2024-01-31", "2024-01-31 00:00:00", "2024-01-31T00:00Z", "yesterday"} {
		_, err := parseInstant(x)
		if got, want := at.MatchString(x), err == nil; got != want {
			t.Errorf("instant %q: pattern %v, reader %v (%v)", x, got, want, err)
		}
	}
}

// TestFormsComeBack: what is shown is read as the same.
func TestFormsComeBack(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 90 * time.Second, 36 * time.Hour, 30*24*time.Hour + 5*time.Millisecond} {
		if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
			t.Errorf("%s: got %v, %v", formatDuration(d), got, err)
		}
	}
	for _, n := range []int64{0, 1, 1023, 1024, 1536, 64 << 20, 1 << 40, 1<<30 + 1} {
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Errorf("%s: got %v, %v", formatSize(n), got, err)
		}
	}
}
