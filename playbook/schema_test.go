package playbook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("playbook.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("playbook.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	j, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestExamplesSatisfySchema(t *testing.T) {
	s := compiledSchema(t)
	files, _ := filepath.Glob("../examples/playbooks/*.yaml")
	for _, f := range append(files, "testdata/full.yaml") {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, wrong := range []string{"playbook: a\ntime_zone: UTC\ncurrency: usd\n", "playbook: a\ntime_zone: UTC\n",
		"playbook: a\ntime_zone: UTC\ncurrency: USD\ntears: []\n",
		"playbook: a\ntime_zone: UTC\ncurrency: USD\nchurn: [{name: a, model: hiatus}]\n",
		"playbook: a\ntime_zone: UTC\ncurrency: USD\nchurn: [{name: a, model: hiatus, after: 30}]\n"} {
		if err := validate(t, s, []byte(wrong)); err == nil {
			t.Errorf("the schema accepts %q", wrong)
		}
	}
}

// TestSchemaHasTheVocabulary: every key that the compiler knows is in the
// schema, and the other way round; each has a title with the Chinese term and
// a description.
func TestSchemaHasTheVocabulary(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	var walk func(shape string, s map[string]any)
	walk = func(shape string, s map[string]any) {
		if target, ok := s["$ref"].(string); ok {
			name := strings.TrimPrefix(target, "#/$defs/")
			walk(shape, root["$defs"].(map[string]any)[name].(map[string]any))
		}
		if properties, ok := s["properties"].(map[string]any); ok {
			if s["additionalProperties"] != false {
				t.Errorf("%q: the schema lets unknown keys pass", shape)
			}
			for key, v := range properties {
				p := v.(map[string]any)
				found[shape] = append(found[shape], key)
				title, description := term(root, p, "title"), term(root, p, "description")
				if !strings.Contains(title, " (") || description == "" {
					t.Errorf("%s: title %q, description %q", join(shape, key), title, description)
				}
				walk(join(shape, key), p)
			}
		}
		if items, ok := s["items"].(map[string]any); ok {
			walk(shape+"[]", items)
		}
		if more, ok := s["additionalProperties"].(map[string]any); ok {
			walk(shape+".*", more)
		}
		if one, ok := s["oneOf"].([]any); ok {
			for _, x := range one {
				walk(shape, x.(map[string]any))
			}
		}
	}
	walk("", root)
	for shape, keys := range vocabulary {
		if got, want := sorted(found[shape]), sorted(keys); got != want {
			t.Errorf("%q: the schema has %s, the compiler %s", shape, got, want)
		}
		delete(found, shape)
	}
	for shape, keys := range found {
		t.Errorf("%q: the compiler does not know %v", shape, keys)
	}
}

func term(root, p map[string]any, key string) string {
	if s, ok := p[key].(string); ok {
		return s
	}
	if target, ok := p["$ref"].(string); ok {
		return term(root, root["$defs"].(map[string]any)[strings.TrimPrefix(target, "#/$defs/")].(map[string]any), key)
	}
	return ""
}

func sorted(keys []string) string {
	k := append([]string(nil), keys...)
	sort.Strings(k)
	return strings.Join(k, " ")
}

// TestEveryKeyIsRead: the vocabulary says what is accepted; this says that
// nothing accepted is ignored. Each scalar or list of a playbook that uses
// every key is replaced by a block with a nonsense key, and that place must be
// named in a problem.
func TestEveryKeyIsRead(t *testing.T) {
	root, problems := parse(full(t))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	used := map[string]bool{}
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		for i, item := range n.items {
			walk(item, fmt.Sprintf("%s[%d]", path, i))
		}
		for i := range n.entries {
			e := &n.entries[i]
			at := join(path, e.key.text)
			used[strings.Replace(strings.Replace(shapeOf(at), "rates.USD[]", "rates.*[]", 1), "rates.JPY", "rates.*", 1)] = true
			keep := e.value
			e.value = &node{kind: mapNode, line: 1, column: 1, entries: []entry{{
				key:   &node{kind: scalarNode, text: "nonsense", line: 1, column: 1},
				value: &node{kind: scalarNode, text: "1", line: 1, column: 1}}}}
			p := &builder{c: &compiler{zone: time.UTC}, taken: map[string]string{}}
			p.build(root)
			named := false
			for _, q := range p.c.problems {
				named = named || strings.HasPrefix(q.Path, at)
			}
			if !named {
				t.Errorf("%s is accepted and never read", at)
			}
			e.value = keep
			walk(e.value, at)
		}
	}
	walk(root, "")
	for shape, keys := range vocabulary {
		for _, key := range keys {
			if !used[join(shape, key)] {
				t.Errorf("testdata/full.yaml does not use %s", join(shape, key))
			}
		}
	}
}
