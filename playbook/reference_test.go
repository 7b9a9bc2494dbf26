package playbook

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestReference holds docs/playbook-reference.md against the schema; `go test
// ./playbook -run TestReference -rewrite` writes it anew. Its examples are those
// of testdata/full.yaml, which other tests compile.
func TestReference(t *testing.T) {
	const file = "../docs/playbook-reference.md"
	want := referencePage(t)
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the schema gives; run with -rewrite and read the difference", file)
	}
}

var _ = datadriven.RunTest // it registers -rewrite

func referencePage(t *testing.T) string {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	told := map[string]map[string]any{} // by path of the key
	var walk func(shape string, s map[string]any)
	walk = func(shape string, s map[string]any) {
		if target, ok := s["$ref"].(string); ok {
			walk(shape, root["$defs"].(map[string]any)[strings.TrimPrefix(target, "#/$defs/")].(map[string]any))
		}
		if properties, ok := s["properties"].(map[string]any); ok {
			for key, v := range properties {
				p := v.(map[string]any)
				told[join(shape, key)] = p
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

	tree, problems := parse(full(t))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	examples := map[string]*node{}
	var find func(n *node, path string)
	find = func(n *node, path string) {
		for _, item := range n.items {
			find(item, path+"[]")
		}
		for _, e := range n.entries {
			at := strings.Replace(join(path, e.key.text), "rates.USD[]", "rates.*[]", 1)
			if examples[at] == nil {
				examples[at] = e.value
			}
			find(e.value, at)
		}
	}
	find(tree, "")

	var shapes []string
	place := map[string]int{}
	for i, key := range vocabulary[""] {
		place[key] = i + 1
	}
	for shape := range vocabulary {
		shapes = append(shapes, shape)
	}
	first := func(s string) int {
		return place[strings.FieldsFunc(s+".", func(r rune) bool { return r == '.' || r == '[' })[0]]
	}
	sort.Slice(shapes, func(i, j int) bool {
		a, b := shapes[i], shapes[j]
		if a == "" || b == "" {
			return a == "" && b != ""
		}
		if first(a) != first(b) {
			return first(a) < first(b)
		}
		return a < b
	})
	var b strings.Builder
	b.WriteString("# Every key of the playbook (运营手册字段参考)\n\nMade from [the schema](../playbook/schema.json); the examples are those of a [playbook that uses every key](../playbook/testdata/full.yaml), which the tests compile. What the blocks are for and how they work together stands in [playbook.md](playbook.md). A key under a list (`[]`) stands in each of its entries.\n")
	for _, shape := range shapes {
		name := shape
		if shape == "" {
			name = "The file"
		} else {
			name = "`" + shape + "`"
		}
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		if p := told[strings.TrimSuffix(shape, "[]")]; p != nil && shape != "" {
			if d := term(root, p, "description"); d != "" {
				b.WriteString(cell(d) + "\n\n")
			}
		}
		b.WriteString("| key | what | meaning | example |\n|---|---|---|---|\n")
		for _, key := range vocabulary[shape] {
			at := join(shape, key)
			p := told[at]
			if p == nil {
				t.Errorf("the schema does not have %s", at)
				continue
			}
			example := ""
			if n := examples[at]; n != nil {
				if s := key + ": " + oneLine(n); len([]rune(s)) <= 160 {
					example = "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
				} else {
					example = "below"
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, cell(term(root, p, "title")), cell(term(root, p, "description")), example)
		}
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// oneLine writes a node as YAML in one line.
func oneLine(n *node) string {
	switch n.kind {
	case listNode:
		var parts []string
		for _, item := range n.items {
			parts = append(parts, oneLine(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mapNode:
		var parts []string
		for _, e := range n.entries {
			parts = append(parts, e.key.text+": "+oneLine(e.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	if strings.ContainsAny(n.text, `"&|:{}[],#!*%>`) || strings.Contains(n.text, "'") {
		return "'" + strings.ReplaceAll(n.text, "'", "''") + "'"
	}
	return n.text
}
