package ingest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// yamlReader walks the YAML tree and keeps every fault with its place. It reads
// scalars as the text that stands in the file, so 0017 and 0.10 stay what they
// are. Aliases and tags are refused: mappings are short.
type yamlReader struct {
	faults []MappingFault
}

func (y *yamlReader) fault(n ast.Node, format string, args ...any) {
	p := placeOf(n)
	y.faults = append(y.faults, MappingFault{p.Line, p.Column, fmt.Sprintf(format, args...)})
}

func placeOf(n ast.Node) place {
	if n == nil {
		return place{}
	}
	// A mapping's own token is its first colon: its place is its first key.
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			n = m.Values[0].Key
		}
	case *ast.MappingValueNode:
		n = m.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{}
}

// parseYAML gives the root mapping of the one document in text.
func parseYAML(text []byte) (ast.Node, *MappingFault) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		f := &MappingFault{Reason: err.Error()}
		var y yaml.Error
		if errors.As(err, &y) {
			f.Reason = y.GetMessage()
			if t := y.GetToken(); t != nil && t.Position != nil {
				f.Line, f.Column = t.Position.Line, t.Position.Column
			}
		}
		return nil, f
	}
	var root ast.Node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			p := placeOf(d.Body)
			return nil, &MappingFault{p.Line, p.Column, "a second document; a mapping is one"}
		}
		root = d.Body
	}
	if root == nil {
		return nil, &MappingFault{1, 1, "the mapping is empty"}
	}
	return root, nil
}

// fields is a mapping node by key.
type fields struct {
	y    *yamlReader
	node ast.Node
	m    map[string]ast.Node
}

// fields reads a mapping whose keys are all among known.
func (y *yamlReader) fields(n ast.Node, what string, known ...string) fields {
	f := fields{y, n, map[string]ast.Node{}}
	for _, v := range y.pairs(n, what) {
		key := v.Key.GetToken().Value
		if !slices.Contains(known, key) {
			y.fault(v.Key, "unknown key %q in %s; known are %s", key, what, strings.Join(known, ", "))
			continue
		}
		if _, null := v.Value.(*ast.NullNode); null {
			y.fault(v.Key, "%s has no value", key)
			continue
		}
		f.m[key] = v.Value
	}
	return f
}

func (y *yamlReader) pairs(n ast.Node, what string) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	y.fault(n, "%s must be keys with values", what)
	return nil
}

func (y *yamlReader) list(n ast.Node) []ast.Node {
	if s, ok := n.(*ast.SequenceNode); ok {
		return s.Values
	}
	return []ast.Node{n}
}

func (y *yamlReader) scalar(n ast.Node, what string) string {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value
	case *ast.LiteralNode:
		return s.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value
	}
	y.fault(n, "%s must be a single value", what)
	return ""
}

func (y *yamlReader) bool(n ast.Node, what string) bool {
	switch y.scalar(n, what) {
	case "true":
		return true
	case "false":
		return false
	}
	y.fault(n, "%s is true or false", what)
	return false
}

// need faults a key that is not there.
func (f fields) need(what, key string) (ast.Node, bool) {
	n, ok := f.m[key]
	if !ok {
		f.y.fault(f.node, "%s needs %s", what, key)
	}
	return n, ok
}

func (f fields) text(key, otherwise string) string {
	if n, ok := f.m[key]; ok {
		return f.y.scalar(n, key)
	}
	return otherwise
}

func (f fields) bool(key string, otherwise bool) bool {
	if n, ok := f.m[key]; ok {
		return f.y.bool(n, key)
	}
	return otherwise
}

// one gives a text that is one of few.
func (f fields) one(key, otherwise string, of ...string) string {
	s := f.text(key, otherwise)
	if n, ok := f.m[key]; ok && !slices.Contains(of, s) {
		f.y.fault(n, "%s is %q; it is one of %s", key, s, strings.Join(of, ", "))
		return otherwise
	}
	return s
}

// columnOf reads a column: a name, or a number from 1.
func (y *yamlReader) columnOf(n ast.Node, what string) (columnRef, bool) {
	c := columnRef{place: placeOf(n)}
	if i, ok := n.(*ast.IntegerNode); ok {
		index, err := strconv.Atoi(i.GetToken().Value)
		if err != nil || index < 1 || index > 10000 {
			y.fault(n, "%s: columns are numbered from 1", what)
			return c, false
		}
		c.index = index
		return c, true
	}
	c.name = strings.TrimSpace(y.scalar(n, what))
	return c, c.name != ""
}
