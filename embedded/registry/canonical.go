package registry

import (
	"slices"
	"strings"
)

// canonical writes an Avro schema as org.apache.avro.Schema.toString does,
// which is the text that Confluent's registry compares, stores and returns.
// The schema must have been accepted by the parser before.
//
// sortProps puts the properties that are not Avro's own in alphabetical order.
func canonical(schema any, sortProps bool) string {
	c := canonicalizer{sortProps: sortProps}
	return string(appendJSON(nil, c.schema(schema, "")))
}

type canonicalizer struct{ sortProps bool }

// Attributes that belong to Avro itself, so they are not properties. An enum's
// default is Avro's own too, but toString treats it apart.
var (
	schemaAttributes = []string{"type", "name", "namespace", "doc", "fields", "items", "size", "symbols", "values", "aliases"}
	fieldAttributes  = []string{"type", "name", "doc", "default", "order", "aliases"}
	primitives       = []string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)

// schema returns v in canonical shape; space is the enclosing namespace.
func (c canonicalizer) schema(v any, space string) any {
	switch v := v.(type) {
	case string:
		if slices.Contains(primitives, v) {
			return v
		}
		return shorten(qualify(v, space), space)
	case []any:
		union := make([]any, len(v))
		for i, branch := range v {
			union[i] = c.schema(branch, space)
		}
		return union
	case object:
		return c.complex(v, space)
	}
	return v
}

func (c canonicalizer) complex(o object, space string) any {
	kind := o.text("type")
	out := object{{"type", kind}}
	switch kind {
	case "array":
		items, _ := o.get("items")
		out = append(out, member{"items", c.schema(items, space)})
		return c.props(out, o, schemaAttributes)
	case "map":
		values, _ := o.get("values")
		out = append(out, member{"values", c.schema(values, space)})
		return c.props(out, o, schemaAttributes)
	case "record", "error", "enum", "fixed":
		return c.named(out, o, kind, space)
	}
	if !slices.Contains(primitives, kind) { // {"type":"Name"}
		return c.schema(kind, space)
	}
	if out = c.props(out, o, schemaAttributes); len(out) == 1 {
		return kind
	}
	return out
}

func (c canonicalizer) named(out, o object, kind, space string) any {
	full := qualify(o.text("name"), space)
	if ns := o.text("namespace"); ns != "" && !strings.Contains(o.text("name"), ".") {
		full = ns + "." + o.text("name")
	}
	own, short := split(full)
	out = append(out, member{"name", short})
	if own != space {
		out = append(out, member{"namespace", own})
	}
	if doc, ok := o.get("doc"); ok && doc != nil {
		out = append(out, member{"doc", doc})
	}
	attributes := schemaAttributes
	switch kind {
	case "enum":
		symbols, _ := o.get("symbols")
		out = append(out, member{"symbols", symbols})
		if def, ok := o.get("default"); ok {
			out = append(out, member{"default", def})
		}
		attributes = append(slices.Clone(attributes), "default")
	case "fixed":
		size, _ := o.get("size")
		out = append(out, member{"size", size})
	default:
		fields, _ := o.get("fields")
		list, _ := fields.([]any)
		done := make([]any, len(list))
		for i, f := range list {
			field, _ := f.(object)
			done[i] = c.field(field, own)
		}
		out = append(out, member{"fields", done})
	}
	out = c.props(out, o, attributes)
	if v, ok := o.get("aliases"); ok {
		list, _ := v.([]any)
		aliases := make([]any, 0, len(list))
		for _, a := range list {
			name, _ := a.(string)
			aliases = append(aliases, shorten(qualify(name, own), own))
		}
		if len(aliases) > 0 {
			out = append(out, member{"aliases", aliases})
		}
	}
	return out
}

func (c canonicalizer) field(f object, space string) any {
	typ, _ := f.get("type")
	out := object{{"name", f.text("name")}, {"type", c.schema(typ, space)}}
	if doc, ok := f.get("doc"); ok && doc != nil {
		out = append(out, member{"doc", doc})
	}
	if def, ok := f.get("default"); ok {
		out = append(out, member{"default", def})
	}
	if order := f.text("order"); order != "" && order != "ascending" {
		out = append(out, member{"order", order})
	}
	if v, ok := f.get("aliases"); ok {
		if list, _ := v.([]any); len(list) > 0 {
			out = append(out, member{"aliases", list})
		}
	}
	return c.props(out, f, fieldAttributes)
}

func (c canonicalizer) props(out, o object, attributes []string) object {
	from := len(out)
	for _, m := range o {
		if !slices.Contains(attributes, m.key) {
			out = append(out, m)
		}
	}
	if c.sortProps {
		slices.SortFunc(out[from:], func(a, b member) int { return strings.Compare(a.key, b.key) })
	}
	return out
}

func qualify(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func split(full string) (space, short string) {
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full[:i], full[i+1:]
	}
	return "", full
}

func shorten(full, space string) string {
	if own, short := split(full); own == space {
		return short
	}
	return full
}
