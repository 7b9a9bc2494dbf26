package numeric

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// sources imports Tidemark's own packages from their source and no others: a
// name from elsewhere is of unknown type, which the check below takes for a
// float. So it needs no compiled packages and errs on the safe side.
type sources struct{}

func (sources) Import(path string) (*types.Package, error) {
	dir, ok := strings.CutPrefix(path, "tidemark/")
	if !ok {
		return nil, fmt.Errorf("not looked at: %s", path)
	}
	fset := token.NewFileSet()
	files, err := parseDir(fset, filepath.Join("../..", dir))
	if err != nil {
		return nil, err
	}
	conf := types.Config{Importer: sources{}, Error: func(error) {}, IgnoreFuncBodies: true}
	p, _ := conf.Check(path, fset, files, nil)
	return p, nil
}

// parseDir parses a folder's files, without its tests.
func parseDir(fset *token.FileSet, dir string) ([]*ast.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// unguarded lists the float products that a compiler may fuse with a sum.
func unguarded(fset *token.FileSet, files []*ast.File) []string {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: sources{}, Error: func(error) {}}
	conf.Check("p", fset, files, info)
	mayFloat := func(e ast.Expr) bool {
		tv := info.Types[e]
		if tv.Value != nil {
			return false // computed by the compiler, exactly
		}
		if tv.Type == nil {
			return true
		}
		b, ok := tv.Type.Underlying().(*types.Basic)
		return !ok || b.Info()&types.IsInteger == 0
	}
	var found []string
	for _, f := range files {
		var parents []ast.Node
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				parents = parents[:len(parents)-1]
				return true
			}
			parents = append(parents, n)
			bad := false
			switch e := n.(type) {
			case *ast.BinaryExpr:
				// A quotient by a power of two is a product to the compiler.
				product := e.Op == token.MUL || e.Op == token.QUO && info.Types[e.Y].Value != nil
				bad = product && mayFloat(e) && !guarded(parents)
			case *ast.AssignStmt:
				product := e.Tok == token.MUL_ASSIGN || e.Tok == token.QUO_ASSIGN && info.Types[e.Rhs[0]].Value != nil
				bad = product && mayFloat(e.Lhs[0])
			}
			if bad {
				found = append(found, fset.Position(n.Pos()).String())
			}
			return true
		})
	}
	return found
}

// guarded tells whether the product on top of the stack is converted, or only
// goes into another product or quotient, which is looked at by itself.
func guarded(stack []ast.Node) bool {
	for i := len(stack) - 2; i >= 0; i-- {
		switch p := stack[i].(type) {
		case *ast.ParenExpr, *ast.UnaryExpr:
		case *ast.BinaryExpr:
			return p.Op == token.MUL || p.Op == token.QUO
		case *ast.CallExpr:
			id, ok := p.Fun.(*ast.Ident)
			return ok && id.Name == "float64"
		default:
			return false
		}
	}
	return false
}

func TestNoProductCanFuse(t *testing.T) {
	for _, dir := range []string{".", "../churn"} {
		fset := token.NewFileSet()
		files, err := parseDir(fset, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "math" && !exact[s.Sel.Name] {
						t.Errorf("%v: math.%s is not exact by definition", fset.Position(n.Pos()), s.Sel.Name)
					}
				}
				return true
			})
		}
		if len(files) == 0 {
			t.Errorf("no source in %s", dir)
		}
		for _, at := range unguarded(fset, files) {
			t.Errorf("%s: product without float64(...)", at)
		}
	}
}

var exact = map[string]bool{
	"Abs": true, "Floor": true, "Ceil": true, "RoundToEven": true, "Float64bits": true, "Float64frombits": true,
	"Inf": true, "IsInf": true, "IsNaN": true, "NaN": true, "MaxFloat64": true, "MaxInt64": true, "MinInt64": true, "Sqrt": true,
}

// The guard's own test: it must see each form of an open product.
func TestGuardSees(t *testing.T) {
	const src = `package p
func f(a, b, c float64, n int) float64 {
	x := a * b             // open: fused across statements
	a *= b                 // open
	y := c + a*b           // open
	y = c + (a * b)        // open
	y = float64(a*b) + c
	y = float64(a*(b*c)) + float64(-a*b)
	y = c + 2*3
	n = n*n + 1
	y = float64(c + a*b)   // open
	y = c + a/2            // open: the compiler multiplies by .5
	y /= 2                 // open
	y = c + a/b + float64(a/2)
	return x / (a * b) + y
}`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(unguarded(fset, []*ast.File{f}), " ")
	if want := "p.go:3:7 p.go:4:2 p.go:5:11 p.go:6:11 p.go:11:18 p.go:12:10 p.go:13:2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
