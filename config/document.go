package config

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

	"tidemark/spelling"
)

// Limits of the file. The nesting bounds the recursion of the YAML parser.
const (
	maxFile   = 256 << 10
	maxFlow   = 16  // brackets in brackets
	maxIndent = 120 // columns before a list entry or a key's colon in block style
)

// parse gives the root of the one document in text; nil without a problem for
// a file in which nothing is said.
func parse(text []byte) (root ast.Node, problem *Problem) {
	one := func(line, column int, problem, cure string) (ast.Node, *Problem) {
		return nil, &Problem{Line: line, Column: column, Problem: problem, Cure: cure}
	}
	if at := badRune(text); at >= 0 {
		return one(1+strings.Count(string(text[:at]), "\n"), 1, "not UTF-8, or it holds a control character", "save the file as UTF-8 without byte order mark")
	}
	// The parser indexes into its tokens freely; on some malformed texts that
	// panics. The panic stops here and is told as what it is: bad YAML.
	defer func() {
		if r := recover(); r != nil {
			root, problem = one(0, 0, "not YAML that can be read", "compare the file with tidemark.example.yaml")
		}
	}()
	tokens := joinColons(lexer.Tokenize(string(text)))
	if t := tooDeep(tokens); t != nil {
		return one(t.Position.Line, max(t.Position.Column, 1), "nested or indented too deeply", "use keys of the configuration alone; none stands deeper than three")
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		const cure = "check indentation (spaces, no tabs), colons with a space behind, and quotes"
		var y yaml.Error
		// Not err.Error(): it prints the lines around, which may hold secrets.
		if errors.As(err, &y) && y.GetToken() != nil {
			p := y.GetToken().Position
			return one(p.Line, max(p.Column, 1), "not YAML: "+y.GetMessage(), cure)
		}
		return one(0, 0, "not YAML that can be read", cure)
	}
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if _, comment := d.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if root != nil {
			p := placeOf(d.Body)
			return one(p.line, p.column, "a second document", "keep one document in the file: remove the line --- and what follows it")
		}
		root = d.Body
	}
	return root, nil
}

func badRune(text []byte) int {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size <= 1 || c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f || c == 0xfeff {
			return i
		}
		i += size
	}
	return -1
}

// joinColons puts host:port together again where it stands in a list within
// braces, {brokers: [localhost:9092]}: there the lexer takes every colon for
// that of a key (goccy/go-yaml issue 832), while YAML wants a space behind it.
func joinColons(tokens token.Tokens) token.Tokens {
	var out token.Tokens
	var inside []token.Type // the brackets and braces that are open
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			inside = append(inside, t.Type)
		case token.MappingEndType, token.SequenceEndType:
			inside = inside[:max(len(inside)-1, 0)]
		case token.MappingValueType:
			if len(inside) == 0 || inside[len(inside)-1] != token.SequenceStartType || len(out) == 0 || i+1 == len(tokens) {
				break
			}
			before, after := out[len(out)-1], tokens[i+1]
			if isWord(before) && isWord(after) && touches(before, t) && touches(t, after) {
				word := before.Value + ":" + after.Value
				out[len(out)-1] = token.String(word, word, before.Position)
				i++
				continue
			}
		}
		out = append(out, t)
	}
	for i, t := range out {
		t.Prev, t.Next = nil, nil
		if i > 0 {
			t.Prev, out[i-1].Next = out[i-1], t
		}
	}
	return out
}

func isWord(t *token.Token) bool {
	return t.Indicator == token.NotIndicator && t.CharacterType == token.CharacterTypeMiscellaneous &&
		strings.TrimSpace(t.Origin) == t.Value && !strings.Contains(t.Value, "\n")
}

func touches(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line && a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}

func tooDeep(tokens token.Tokens) *token.Token {
	flow := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			if flow++; flow > maxFlow {
				return t
			}
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType, token.MappingKeyType:
			if flow <= 0 && t.Position.Column > maxIndent {
				return t
			}
		}
	}
	return nil
}

// placeOf gives where a node begins: a mapping's own token is its first colon.
func placeOf(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			n = m.Values[0].Key
		}
	case *ast.MappingValueNode:
		n = m.Key
	}
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			return place{line: t.Position.Line, column: max(t.Position.Column, 1)}
		}
	}
	return place{}
}

// document walks the tree and stores what it says in the Config.
type document struct {
	*loader
	seen map[string]place // keys and blocks
}

func (d *document) problem(at place, path, value, problem, allowed, cure string) {
	d.add(path, Problem{Field: path, Value: value, File: d.file, Line: at.line, Column: at.column,
		Problem: problem, Allowed: allowed, Cure: cure})
}

// block reads the keys under a path; "" is the root.
func (d *document) block(n ast.Node, path string, key place) {
	var entries []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		entries = m.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{m}
	case nil, *ast.NullNode: // all of its keys are commented out
		return
	default:
		at := placeOf(n)
		if at.line == 0 {
			at = key
		}
		words := d.children(path)
		name, first := path, words[0]
		if path == "" {
			d.problem(at, "", "", "the file must hold keys with values, not "+describe(n), strings.Join(words, ", "), "begin with app: my-shop")
			return
		}
		d.problem(at, name, "", "must be a block of keys, not "+describe(n), strings.Join(words, ", "),
			fmt.Sprintf("write %s: and under it, indented, %s: and the others", last(path), first))
		return
	}
	for _, e := range entries {
		d.entry(e, path)
	}
}

func (d *document) entry(e *ast.MappingValueNode, path string) {
	at := placeOf(e.Key)
	if _, merge := e.Key.(*ast.MergeKeyNode); merge {
		d.problem(at, path, "", "merge keys (<<) are not read", "", "write the keys out")
		return
	}
	key, ok := scalar(e.Key)
	if !ok {
		d.problem(at, path, "", "a key must be a word", strings.Join(d.children(path), ", "), "write one of the keys and a colon")
		return
	}
	child := key
	if path != "" {
		child = path + "." + key
	}
	f, isBlock := d.table[child], d.blocks[child]
	if f == nil && !isBlock {
		d.unknown(at, path, key)
		return
	}
	if first, double := d.seen[child]; double {
		d.problem(at, child, "", "stands here a second time", "each key once", fmt.Sprintf("remove it here or in line %d", first.line))
		return
	}
	d.seen[child] = at
	if isBlock {
		d.block(e.Value, child, at)
		return
	}
	d.value(f, e.Value, at)
}

// unknown never shows the value: it may be a secret under a misspelled key.
func (d *document) unknown(at place, path, key string) {
	words := d.children(path)
	name := shorten(key)
	if path != "" {
		name = path + "." + name
	}
	d.add("", Problem{Field: name, File: d.file, Line: at.line, Column: at.column, Problem: "unknown key",
		Allowed: strings.Join(words, ", "), Cure: d.rightWord(path, key, words)})
}

func (d *document) rightWord(path, key string, words []string) string {
	if w := spelling.Nearest(key, words); w != "" {
		return fmt.Sprintf("did you mean %s?", w)
	}
	var elsewhere []string
	for _, p := range d.paths {
		if last(p) == key || p == key {
			elsewhere = append(elsewhere, p)
		}
	}
	if len(elsewhere) > 0 && len(elsewhere) <= 3 {
		return "move it: the key is " + strings.Join(elsewhere, " or ")
	}
	return "remove it, or see tidemark.example.yaml for the keys there are"
}

func (d *document) value(f *field, n ast.Node, key place) {
	at := placeOf(n)
	if at.line == 0 {
		at = key
	}
	d.origins[f.path] = at
	wrong := func(at place, item, problem, cure string) {
		d.problem(at, f.path, item, problem, f.allowed(), cure)
	}
	switch v := n.(type) {
	case nil, *ast.NullNode:
		wrong(key, "", "has no value", "write a value, or remove the key for the default")
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		wrong(at, "", "anchors, aliases and tags (&, *, !) are not read", "write the value out, in quotes if it begins with such a mark")
		return
	case *ast.SequenceNode:
		if f.kind != listKind {
			wrong(at, "", "must be one value, not "+describe(n), "write the value alone, without brackets or dashes")
			return
		}
		var items []string
		var places []place
		for _, x := range v.Values {
			s, ok := scalar(x)
			if !ok {
				wrong(placeOf(x), "", "an entry must be one value, not "+describe(x), "write one value behind each dash, in quotes if it begins with a mark")
				continue
			}
			items, places = append(items, s), append(places, placeOf(x))
		}
		if len(items) < len(v.Values) {
			return
		}
		for _, w := range f.readList(items) {
			if w.item < 0 {
				d.fault(f, at, strings.Join(items, ","), w)
				continue
			}
			d.fault(f, places[w.item], items[w.item], w)
		}
		return
	}
	s, ok := scalar(n)
	if !ok {
		wrong(at, "", "must be one value, not "+describe(n), "write the value behind the colon")
		return
	}
	d.read(f, s, at)
}

// scalar gives a value as it stands in the file, so that 007 stays 007.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		if v.Value == nil {
			return "", true
		}
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return strings.TrimSpace(n.GetToken().Value), true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a block of keys"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "an anchor, an alias or a tag"
	}
	return "one value"
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func shorten(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}
