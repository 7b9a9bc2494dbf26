package playbook

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of the text. The text travels in one record of the control topic, and
// the nesting bounds the recursion of every reader.
const (
	maxText   = 512 << 10
	maxFlow   = 16  // brackets in brackets
	maxIndent = 120 // columns before a list entry or a key's colon in block style
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	scalarNode
	listNode
	mapNode
)

// node is one value of the document: what the compiler needs of the YAML
// library's tree, and nothing of its types.
type node struct {
	kind         nodeKind
	line, column int
	text         string // scalarNode: its value as text
	style        scalarStyle
	indent       int // literalStyle: columns before the text
	items        []*node
	entries      []entry
	refused      bool // a problem says already why there is no value
}

type entry struct {
	key   *node
	value *node
}

type scalarStyle uint8

const (
	plainStyle scalarStyle = iota
	singleStyle
	doubleStyle
	literalStyle
	foldedStyle // also plain and quoted text over several lines: no column can be told
)

func (n *node) String() string {
	switch n.kind {
	case scalarNode:
		return fmt.Sprintf("%q", shorten(n.text))
	case listNode:
		return "a list"
	case mapNode:
		return "a block of keys"
	}
	return "nothing"
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= 40 {
		return s
	}
	return string([]rune(s)[:37]) + "…"
}

// place turns a place in the scalar's text (line from 1, column from 0, in
// characters) into one in the file.
func (n *node) place(line, column int) (int, int) {
	switch n.style {
	case literalStyle:
		return n.line + line, n.indent + column + 1
	case foldedStyle:
		return n.line, n.column
	}
	if line != 1 {
		return n.line, n.column
	}
	before := []rune(n.text)
	before = before[:min(column, len(before))]
	switch n.style {
	case singleStyle:
		column += 1 + strings.Count(string(before), "'")
	case doubleStyle:
		column += 1 + strings.Count(string(before), `"`) + strings.Count(string(before), `\`)
	}
	return n.line, n.column + column
}

// parse reads the text into nodes. Problems of the YAML itself end it; there
// is nothing sound to look at behind them.
func parse(text []byte) (root *node, problems []Problem) {
	one := func(line, column int, problem, allowed string) (*node, []Problem) {
		return nil, []Problem{{Line: line, Column: column, Problem: problem, Allowed: allowed}}
	}
	if len(text) > maxText {
		return one(0, 0, fmt.Sprintf("the text has %d bytes", len(text)), fmt.Sprintf("at most %d", maxText))
	}
	if at := badRune(text); at >= 0 {
		line := 1 + strings.Count(string(text[:at]), "\n")
		return one(line, 1, "not UTF-8, or it holds a control character", "text in UTF-8")
	}
	// The YAML library indexes into its tokens freely; on some malformed texts
	// that panics. The panic stops here and is told as what it is: bad YAML.
	defer func() {
		if r := recover(); r != nil {
			root, problems = one(0, 0, "not YAML that can be read", "")
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if line, column, what := tooDeep(tokens); what != "" {
		return one(line, column, what, "")
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var y yaml.Error
		if errors.As(err, &y) && y.GetToken() != nil {
			p := y.GetToken().Position
			return one(p.Line, max(p.Column, 1), "not YAML: "+y.GetMessage(), "")
		}
		return one(0, 0, "not YAML: "+err.Error(), "")
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) == 0 {
		return one(1, 1, "the file is empty", "a playbook: begin with the keys playbook, time_zone and currency")
	}
	r := &reader{}
	root = r.read(bodies[0])
	if len(bodies) > 1 {
		second := (&reader{}).read(bodies[1])
		r.problems = append(r.problems, Problem{Line: second.line, Column: second.column,
			Problem: "a second document", Allowed: "one playbook in a file"})
	}
	return root, r.problems
}

func badRune(text []byte) int {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size <= 1 || c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return i
		}
		i += size
	}
	return -1
}

func tooDeep(tokens token.Tokens) (int, int, string) {
	flow := 0
	for _, t := range tokens {
		p := t.Position
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			if flow++; flow > maxFlow {
				return p.Line, p.Column, "nested too deeply"
			}
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			if flow <= 0 && p.Column > maxIndent {
				return p.Line, p.Column, "nested or indented too deeply"
			}
		case token.MappingKeyType:
			return p.Line, p.Column, "a key marked with a question mark is not part of the playbook language"
		}
	}
	return 0, 0, ""
}

const (
	noAnchors        = "anchors and aliases (& and *) are not part of the playbook language"
	noAnchorsAllowed = "write the value out, or quote the text"
)

type reader struct{ problems []Problem }

func (r *reader) refuse(p *token.Position, problem, allowed string) {
	r.problems = append(r.problems, Problem{Line: p.Line, Column: max(p.Column, 1), Problem: problem, Allowed: allowed})
}

// read never returns nil.
func (r *reader) read(n ast.Node) *node {
	if n == nil {
		return &node{}
	}
	t := n.GetToken()
	out := &node{line: t.Position.Line, column: max(t.Position.Column, 1)}
	switch n := n.(type) {
	case *ast.NullNode:
		return out
	case *ast.StringNode:
		out.kind, out.text = scalarNode, n.Value
		switch t.Type {
		case token.SingleQuoteType:
			out.style = singleStyle
		case token.DoubleQuoteType:
			out.style = doubleStyle
		}
		if strings.Contains(strings.TrimSpace(t.Origin), "\n") {
			out.style = foldedStyle
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = scalarNode, strings.TrimSpace(t.Value)
	case *ast.LiteralNode:
		p := n.Start.Position
		out.line, out.column = p.Line, p.Column
		out.kind, out.style = scalarNode, foldedStyle
		if n.Value != nil {
			out.text = n.Value.Value
		}
		if n.Start.Type == token.LiteralType && n.Value != nil {
			out.style = literalStyle
			if vt := n.Value.GetToken(); vt != nil {
				first := strings.TrimLeft(vt.Origin, "\n")
				out.indent = len(first) - len(strings.TrimLeft(first, " "))
			}
		}
	case *ast.SequenceNode:
		out.kind = listNode
		for _, v := range n.Values {
			out.items = append(out.items, r.read(v))
		}
	case *ast.MappingNode:
		out.kind = mapNode
		for _, v := range n.Values {
			r.entry(out, v)
		}
		if !n.IsFlowStyle && len(out.entries) > 0 {
			out.line, out.column = out.entries[0].key.line, out.entries[0].key.column
		}
	case *ast.MappingValueNode:
		out.kind = mapNode
		r.entry(out, n)
		if len(out.entries) > 0 {
			out.line, out.column = out.entries[0].key.line, out.entries[0].key.column
		}
	case *ast.AnchorNode:
		r.refuse(t.Position, noAnchors, noAnchorsAllowed)
		return r.read(n.Value)
	case *ast.AliasNode:
		out.refused = true
		r.refuse(t.Position, noAnchors, noAnchorsAllowed)
	case *ast.TagNode:
		r.refuse(t.Position, "tags (!) are not part of the playbook language", "write the value alone, or quote the text")
		return r.read(n.Value)
	default:
		out.refused = true
		r.refuse(t.Position, "this kind of YAML is not part of the playbook language", "keys, lists, texts and numbers")
	}
	return out
}

func (r *reader) entry(out *node, v *ast.MappingValueNode) {
	if _, merge := v.Key.(*ast.MergeKeyNode); merge {
		r.refuse(v.Key.GetToken().Position, "merge keys (<<) are not part of the playbook language", "write the keys out")
		return
	}
	key := r.read(v.Key)
	if key.kind != scalarNode {
		if key.kind == nullNode { // written ~ or null, or refused above
			key.kind, key.text = scalarNode, v.Key.GetToken().Value
		} else {
			r.refuse(v.Key.GetToken().Position, "a key must be a word", "")
			return
		}
	}
	value := r.read(v.Value)
	if value.line == 0 || value.kind == nullNode {
		value.line, value.column = key.line, key.column
	}
	out.entries = append(out.entries, entry{key, value})
}
