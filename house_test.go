// Package tidemark_test holds the rules of the house that hold across packages.
package tidemark_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says which rooms a room may import. Dependencies point one way: a room
// that is not named here may import what it likes, and nobody named here may
// import it.
var rooms = map[string][]string{
	"schemas":                 {},
	"spelling":                {},
	"schemas/avrojson":        {"schemas"},
	"schemas/registry":        {"schemas"},
	"state":                   {"schemas"},
	"state/checkpoint":        {"blobs", "schemas", "state"},
	"blobs":                   {},
	"playbook":                {"schemas", "spelling"},
	"ingest":                  {"schemas", "spelling"},
	"examples":                {},
	"examples/around":         {"schemas"},
	"telemetry":               {"schemas"},
	"sinks":                   {"schemas"},
	"fit":                     {"playbook", "processor/churn", "schemas"},
	"processor/numeric":       {},
	"processor/rfm":           {},
	"processor/churn":         {"processor/numeric", "schemas"},
	"processor/history":       {"schemas", "state"},
	"processor/award":         {"playbook", "processor/history", "schemas", "state"},
	"processor/tier":          {"playbook", "processor/award", "processor/facts", "processor/history", "schemas", "state"},
	"processor/ledger":        {"playbook", "processor/award", "processor/history", "schemas", "state"},
	"processor/task":          {"playbook", "processor/facts", "processor/history", "schemas"},
	"processor/facts":         {"playbook", "processor/history", "schemas", "state"},
	"processor/recall":        {},
	"processor/experiment":    {"playbook", "schemas"},
	"processor/calendar":      {"playbook", "schemas"},
	"processor/touch":         {"playbook", "processor/history", "schemas"},
	"processor/core":          {"playbook", "processor/award", "processor/calendar", "processor/churn", "processor/experiment", "processor/facts", "processor/history", "processor/ledger", "processor/numeric", "processor/recall", "processor/rfm", "processor/task", "processor/tier", "processor/touch", "schemas", "state"},
	"processor/replay":        {"playbook", "processor/core", "schemas"},
	"processor/replay/script": {"playbook", "processor/core", "schemas"},
	"processor/source":        {"schemas"},
	"processor/group":         {"schemas"},
	"processor/rights":        {"processor/source"},
	"processor/runtime":       {"playbook", "processor/core", "processor/group", "processor/internal/seam", "processor/rights", "processor/source", "schemas", "schemas/registry", "sinks", "state", "state/checkpoint", "telemetry"},

	// The simulator's way into the commit path.
	"processor/internal/seam": {"processor/core"},
}

// pure rooms are a function of their input: no clock, no chance, no threads, no files.
var pure = []string{"processor/core", "processor/award", "processor/history", "processor/ledger", "processor/facts", "processor/tier", "processor/task", "processor/recall", "processor/experiment", "processor/touch", "processor/calendar", "processor/churn", "processor/rfm",
	"processor/numeric", "processor/replay", "processor/replay/script", "playbook"}

// Nothing under these may be imported by a pure room. playbook.Load reads the
// one file that it is given.
var impure = []string{"os", "net", "sync", "syscall", "unsafe", "runtime", "io/ioutil", "log", "math/rand", "crypto/rand", "hash/maphash",
	"github.com/segmentio", "github.com/twmb", "github.com/cockroachdb", "go.opentelemetry.io"}

// What a pure room may not call: the machine's clock, and what gives other bits
// on another processor. package numeric has these functions.
var forbidden = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"},
	"math": {"Exp", "Exp2", "Expm1", "Log", "Log1p", "Log2", "Log10", "Lgamma", "Gamma", "Pow", "FMA", "Sin", "Cos", "Tanh"},
}

type source struct {
	room string // the package's folder
	name string
	file *ast.File
	set  *token.FileSet
}

// sources parses every Go file that is not a test.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "vendor") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		all = append(all, source{path.Dir(p), p, f, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d files only", len(all))
	}
	return all
}

func (s *source) imports(t *testing.T) []string {
	var all []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestDependenciesPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		allowed, named := rooms[s.room]
		seen[s.room] = true
		for _, p := range s.imports(t) {
			room, own := strings.CutPrefix(p, "tidemark/")
			switch {
			case own && strings.HasPrefix(room, "cmd/"):
				t.Errorf("%s imports %s: nobody imports a command", s.name, p)
			case own && named && !slices.Contains(allowed, room):
				t.Errorf("%s imports %s; %s may import %v of this module", s.name, p, s.room, allowed)
			}
		}
	}
	for room := range rooms {
		if !seen[room] {
			t.Errorf("there is no room %s", room)
		}
	}
}

func TestPureRooms(t *testing.T) {
	for _, s := range sources(t) {
		if !slices.Contains(pure, s.room) {
			continue
		}
		for _, p := range s.imports(t) {
			if s.name == "playbook/compile.go" && p == "os" {
				continue
			}
			for _, bad := range impure {
				if p == bad || strings.HasPrefix(p, bad+"/") {
					t.Errorf("%s imports %s", s.name, p)
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.set.Position(n.Pos()))
			case *ast.SelectStmt, *ast.ChanType:
				t.Errorf("%s uses channels", s.set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(forbidden[x.Name], n.Sel.Name) {
					if s.room == "playbook" && n.Sel.Name == "LoadLocation" {
						return true // from the zone data that the binary carries
					}
					t.Errorf("%s calls %s.%s", s.set.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}

// A package's name says what it is about, and a file past 700 lines is about two things.
func TestNamesAndSizes(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "manager", "misc"}, path.Base(s.room)) {
			t.Errorf("%s: the package's name says nothing", s.room)
		}
		if n := s.set.Position(s.file.FileEnd).Line; n > 700 {
			t.Errorf("%s has %d lines", s.name, n)
		}
	}
}
