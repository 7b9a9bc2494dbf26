package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// place is where a value was given: in the file or in a variable. The zero
// place: nowhere.
type place struct {
	line, column int
	variable     string
}

// Problem is one mistake, told for the one who has to cure it.
type Problem struct {
	Field        string // such as kafka.session_timeout; "" for the file as a whole
	Value        string // as given, quoted and shortened; never a secret's; "" where there is none
	File         string // "" where it does not stand in a file
	Line, Column int    // 1-based; 0 where it has no line
	Variable     string // the environment variable that gave the value; "" for none
	Problem      string // what is wrong
	Allowed      string // what may stand there
	Cure         string // what to do
}

// String prints one line: PLACE: FIELD VALUE: PROBLEM; allowed: …; cure: …
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.Variable != "":
		b.WriteString("environment variable " + p.Variable)
	case p.File == "":
		b.WriteString("configuration")
	case p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d", p.File, p.Line, p.Column)
	default:
		b.WriteString(p.File)
	}
	b.WriteString(": ")
	if p.Field != "" {
		b.WriteString(p.Field)
		if p.Value != "" {
			b.WriteString(" = " + p.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Problem)
	if p.Allowed != "" {
		b.WriteString("; allowed: " + p.Allowed)
	}
	if p.Cure != "" {
		b.WriteString("; cure: " + p.Cure)
	}
	return b.String()
}

// Errors is the type of every error that Load, Validate and CheckClock return:
// all problems, those of the file in its order, then those of variables.
type Errors struct{ Problems []Problem }

// Error prints one problem a line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func asError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	sort.SliceStable(problems, func(i, j int) bool {
		a, b := problems[i], problems[j]
		if (a.Variable == "") != (b.Variable == "") {
			return a.Variable == ""
		}
		if a.Variable != b.Variable {
			return a.Variable < b.Variable
		}
		if a.Line != b.Line {
			return b.Line == 0 || a.Line != 0 && a.Line < b.Line // what is missing has no line: last
		}
		return a.Column < b.Column
	})
	return &Errors{problems}
}

// quote shows a value that is no secret. What stands before an @ may be a user
// and a password in an address; it is left out.
func quote(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = "…" + s[at:]
	}
	if utf8.RuneCountInString(s) > 60 {
		s = string([]rune(s)[:57]) + "…"
	}
	return strconv.Quote(s)
}
