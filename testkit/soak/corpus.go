package soak

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const head = "go test fuzz v1"

// kept reads the inputs in a folder, by file name. A folder that is not there has none.
func kept(dir string) ([][]any, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var all [][]any
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		args, err := decode(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		all = append(all, args)
	}
	return all, nil
}

// decode reads Go's form of an input: a Go conversion of a literal for each argument.
func decode(text string) ([]any, error) {
	first, rest, _ := strings.Cut(text, "\n")
	if strings.TrimSpace(first) != head {
		return nil, fmt.Errorf("soak: an input begins with %q, not %.40q", head, first)
	}
	var args []any
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		kind, literal, ok := strings.Cut(line, "(")
		literal, closed := strings.CutSuffix(literal, ")")
		if !ok || !closed {
			return nil, fmt.Errorf("soak: %.60q is not an argument", line)
		}
		a, err := value(kind, literal)
		if err != nil {
			return nil, fmt.Errorf("soak: %.60q: %w", line, err)
		}
		args = append(args, a)
	}
	return args, nil
}

func value(kind, literal string) (any, error) {
	switch kind {
	case "[]byte", "string":
		s, err := strconv.Unquote(literal)
		if kind == "string" {
			return s, err
		}
		return []byte(s), err
	case "bool":
		return strconv.ParseBool(literal)
	case "byte", "rune":
		c, _, _, err := strconv.UnquoteChar(strings.TrimSuffix(strings.TrimPrefix(literal, "'"), "'"), '\'')
		if kind == "byte" {
			return byte(c), err
		}
		return c, err
	case "uint", "uint8", "uint16", "uint32", "uint64":
		v, err := strconv.ParseUint(literal, 0, 64)
		switch kind {
		case "uint":
			return uint(v), err
		case "uint8":
			return uint8(v), err
		case "uint16":
			return uint16(v), err
		case "uint32":
			return uint32(v), err
		}
		return v, err
	case "int", "int8", "int16", "int32", "int64":
		v, err := strconv.ParseInt(literal, 0, 64)
		switch kind {
		case "int":
			return int(v), err
		case "int8":
			return int8(v), err
		case "int16":
			return int16(v), err
		case "int32":
			return int32(v), err
		}
		return v, err
	}
	return nil, fmt.Errorf("a type that a soak does not know")
}

// encode is the opposite of decode.
func encode(args []any) string {
	var b strings.Builder
	b.WriteString(head + "\n")
	for _, a := range args {
		switch v := a.(type) {
		case []byte:
			fmt.Fprintf(&b, "[]byte(%q)\n", v)
		case string:
			fmt.Fprintf(&b, "string(%q)\n", v)
		case byte:
			fmt.Fprintf(&b, "byte(%q)\n", rune(v))
		default:
			fmt.Fprintf(&b, "%T(%v)\n", v, v)
		}
	}
	return b.String()
}

// sum says which corpus it was.
func sum(corpus [][]any) string {
	h := fnv.New64a()
	for _, args := range corpus {
		h.Write([]byte(encode(args)))
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
