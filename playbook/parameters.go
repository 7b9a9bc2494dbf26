package playbook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A rule may name its parameters instead of writing them out:
//
//	parameters: shop.parameters.yaml#bgnbd
//
// Resolve puts what the file says in that place, as one flow mapping on the
// same line. Compile never sees a reference that it could follow, and what the
// control topic, the journal and the archive carry is the whole text: the same
// text is the same playbook, wherever the file is now.

// parametersForm is the version of parameters files that this package reads.
const parametersForm = "1"

// Resolve replaces every reference of text to a parameters file by what the
// file says; read gives a file's bytes by the name that stands before the #.
// Lines keep their numbers. A text without references, or one that is not a
// playbook, comes back as it is, for Compile to judge. The error, if any, is an
// *Errors with the places of the references.
func Resolve(text []byte, name string, read func(file string) ([]byte, error)) ([]byte, error) {
	root, problems := parse(text)
	if root == nil || len(problems) > 0 || root.kind != mapNode {
		return text, nil
	}
	refs := references(root)
	if len(refs) == 0 {
		return text, nil
	}
	c := &compiler{}
	files := map[string]*node{}
	lines := bytes.Split(text, []byte{'\n'})
	for i := len(refs) - 1; i >= 0; i-- { // from the end: places before stay true
		r := refs[i]
		file, entry, _ := strings.Cut(r.n.text, "#")
		models, seen := files[file]
		if !seen {
			models = c.parametersFile(r.n, r.path, file, read)
			files[file] = models
		}
		if models == nil {
			continue
		}
		value := models.find(entry)
		if value == nil || value.kind != mapNode {
			c.problem(r.n, r.path, fmt.Sprintf("%s has no parameters %q%s", file, shorten(entry), didYouMean(entry, models.keys())), strings.Join(models.keys(), ", "))
			continue
		}
		if r.n.line < 1 || r.n.line > len(lines) || !replaceScalar(&lines[r.n.line-1], r.n.text, flow(nil, value)) {
			c.problem(r.n, r.path, "this place can't hold a reference", "file.yaml#name on the line of its key")
		}
	}
	if len(c.problems) > 0 {
		e := &Errors{File: name, Problems: c.problems}
		e.sort()
		return nil, e
	}
	return bytes.Join(lines, []byte{'\n'}), nil
}

type reference struct {
	n    *node
	path string
}

// references finds the scalars that stand for parameters, in the order of the text.
func references(root *node) []reference {
	var out []reference
	rules := root.find("churn")
	if rules == nil {
		return nil
	}
	for i, rule := range rules.items {
		if v := rule.find("parameters"); v != nil && v.kind == scalarNode && strings.Contains(v.text, "#") {
			out = append(out, reference{v, fmt.Sprintf("churn[%d].parameters", i)})
		}
	}
	return out
}

func (n *node) find(key string) *node {
	for _, e := range n.entries {
		if e.key.text == key {
			return e.value
		}
	}
	return nil
}

func (n *node) keys() []string {
	var out []string
	for _, e := range n.entries {
		out = append(out, e.key.text)
	}
	return out
}

// parametersFile reads the models of a file, or says at the reference why it can't.
func (c *compiler) parametersFile(at *node, path, file string, read func(string) ([]byte, error)) *node {
	const allowed = "a file that tidemark fit churn wrote"
	text, err := read(file)
	if err != nil {
		c.problem(at, path, fmt.Sprintf("can't read the parameters: %v", err), "a path from the playbook's folder, and the name after the #")
		return nil
	}
	root, problems := parse(text)
	for _, p := range problems {
		c.problem(at, path, fmt.Sprintf("%s:%d:%d: %s", file, p.Line, p.Column, p.Problem), p.Allowed)
	}
	if len(problems) > 0 || root == nil {
		return nil
	}
	form, models, hash := root.find("tidemark_parameters"), root.find("models"), root.find("hash")
	switch {
	case form == nil || models == nil || models.kind != mapNode:
		c.problem(at, path, file+" is not a file of parameters", allowed)
		return nil
	case form.text != parametersForm:
		c.problem(at, path, fmt.Sprintf("%s has the form %q, and this version reads %s", file, shorten(form.text), parametersForm), allowed)
		return nil
	case hash != nil && hash.text != hashOf(models):
		c.problem(at, path, fmt.Sprintf("%s was changed since it was fitted: its hash is %s, its models give %s", file, shorten(hash.text), hashOf(models)),
			"the file as it was written, or one without a hash, whose figures are then your own")
		return nil
	}
	return models
}

// ParametersHash is the hash that a parameters file states: of the canonical
// text of what stands under models. The error, if any, is an *Errors.
func ParametersHash(text []byte, name string) (string, error) {
	root, problems := parse(text)
	if root == nil || len(problems) > 0 {
		return "", &Errors{File: name, Problems: problems}
	}
	models := root.find("models")
	if models == nil {
		return "", &Errors{File: name, Problems: []Problem{{Line: 1, Column: 1, Problem: `"models" is missing`}}}
	}
	return hashOf(models), nil
}

func hashOf(n *node) string {
	sum := sha256.Sum256(canonical(nil, n))
	return hex.EncodeToString(sum[:8])
}

// replaceScalar puts value in place of the last one-line scalar text in line,
// quoted or not.
func replaceScalar(line *[]byte, text string, value []byte) bool {
	for _, form := range []string{`"` + text + `"`, "'" + text + "'", text} {
		if i := bytes.LastIndex(*line, []byte(form)); i >= 0 {
			*line = append(append(append([]byte(nil), (*line)[:i]...), value...), (*line)[i+len(form):]...)
			return true
		}
	}
	return false
}

// flow writes n in YAML's flow style.
func flow(dst []byte, n *node) []byte {
	switch n.kind {
	case scalarNode:
		if n.text != "" && strings.Trim(n.text, "abcdefghijklmnopqrstuvwxyz0123456789._") == "" && n.text != "null" && n.text != "true" && n.text != "false" {
			return append(dst, n.text...)
		}
		return appendJSON(dst, n.text)
	case listNode:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = flow(dst, item)
		}
		return append(dst, ']')
	case mapNode:
		dst = append(dst, '{')
		for i, e := range n.entries {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = flow(append(flow(dst, e.key), ": "...), e.value)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}
