package playbook

import (
	"fmt"
	"sort"
	"strings"

	"tidemark/spelling"
)

// Problem is one mistake in a playbook.
type Problem struct {
	Line, Column int    // 1-based, columns in characters; 0 where there is no place in the text
	Path         string // where in the document, such as tiers[0].levels[1].reach; "" for the whole
	Problem      string // what is wrong, in plain words
	Allowed      string // what is allowed there; "" where the problem says it
}

// Errors holds every mistake that was found in one playbook, in the order of
// the text. It is the type of every error that Compile returns.
type Errors struct {
	File     string // as given to Compile
	Problems []Problem
}

// Error prints the problems as a compiler does, one a line:
// file:line:col: path: problem; allowed: …
func (e *Errors) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
		if p.Path != "" {
			b.WriteString(p.Path)
			b.WriteString(": ")
		}
		b.WriteString(p.Problem)
		if p.Allowed != "" {
			b.WriteString("; allowed: ")
			b.WriteString(p.Allowed)
		}
	}
	return b.String()
}

func (e *Errors) sort() {
	sort.SliceStable(e.Problems, func(i, j int) bool {
		a, b := e.Problems[i], e.Problems[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
}

// didYouMean returns `, did you mean "x"?` for the nearest of words, or "" if
// none is near enough to be a slip of the pen.
func didYouMean(word string, words []string) string {
	best := spelling.Nearest(word, words)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}
