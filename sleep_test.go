package nearside_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// sleepers are the tests that name time.Sleep outside of the files of bubbles, and why.
var sleepers = map[string]string{
	"cache/cachetest/remote_test.go": "the suite sleeps in a bubble",
	"cache/tags_fixture_test.go":     "its callers are all in bubbles",
}

// TestNoTestSleeps: a test waits for an event, or in a bubble for its clock, and not for
// a time in which the event should have come.
func TestNoTestSleeps(t *testing.T) {
	used := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_synctest_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok || selector.Sel.Name != "Sleep" {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "time" {
				return true
			}
			if place := filepath.ToSlash(path); sleepers[place] != "" {
				used[place] = true
				return true
			}
			t.Errorf("%v: a test sleeps on the machine's clock: wait for what it waits for, or use a bubble", fset.Position(selector.Pos()))
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for place := range sleepers {
		if !used[place] {
			t.Errorf("%s is an exception, and does not sleep", place)
		}
	}
}
