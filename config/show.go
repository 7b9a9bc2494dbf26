package config

import (
	"fmt"
	"regexp"
	"strings"
)

// String is Show without the comments.
func (c *Config) String() string { return c.yaml(false) }

// Show prints every value that is in force as a file that Load takes, with a
// comment that says where each came from. Secrets show their reference or a
// mask; a masked one has to be put back by hand.
func (c *Config) Show() string { return c.yaml(true) }

// Format prints String for every verb, so that none goes around the masks.
func (c *Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

func (c *Config) yaml(origins bool) string {
	var b strings.Builder
	var above []string
	for _, f := range c.fields() {
		parts := strings.Split(f.path, ".")
		for i := range len(parts) - 1 {
			if i < len(above) && above[i] == parts[i] {
				continue
			}
			above = nil
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), parts[i])
		}
		above = parts[:len(parts)-1]
		line := strings.Repeat("  ", len(parts)-1) + parts[len(parts)-1] + ": " + f.yaml()
		if origins {
			line += " # " + c.origin(f.path)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (c *Config) origin(path string) string {
	at, ok := c.origins[path]
	switch {
	case at.variable != "":
		return at.variable
	case ok:
		return fmt.Sprintf("%s:%d:%d", shorten(c.file), at.line, at.column)
	}
	return "default"
}

// plain is what can stand in YAML without quotes and stays text.
var plain = regexp.MustCompile(`^[A-Za-z./][A-Za-z0-9./_-]*$`)

func (f *field) yaml() string {
	switch v := f.value.(type) {
	case *bool, *int, *int64:
		return f.text()
	case *[]string:
		items := make([]string, len(*v))
		for i, s := range *v {
			items[i] = fmt.Sprintf("%q", s)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	s := f.text()
	switch f.kind {
	case durationKind, sizeKind:
		return s
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan", ".", "..":
		return fmt.Sprintf("%q", s)
	}
	if plain.MatchString(s) {
		return s
	}
	return fmt.Sprintf("%q", s)
}
