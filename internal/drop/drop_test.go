package drop_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
)

func TestEveryReasonIsDescribed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	stages := map[drop.Stage]bool{
		drop.StageRx: true, drop.StageParse: true, drop.StageDispatch: true, drop.StageSlowPath: true,
		drop.StageLimit: true, drop.StageTrack: true, drop.StageRewrite: true, drop.StageTx: true,
	}
	halves := map[drop.Half]bool{"": true, drop.HalfEgress: true, drop.HalfIngress: true}
	seen := map[string]drop.Reason{}
	for r := range drop.Count {
		i := r.Info()
		if !name.MatchString(i.Name) {
			t.Errorf("reason %d: the name %q is not in snake case", r, i.Name)
		}
		if first, ok := seen[i.Name]; ok {
			t.Errorf("reasons %d and %d are both called %q", first, r, i.Name)
		}
		seen[i.Name] = r
		if !stages[i.Stage] || !halves[i.Half] {
			t.Errorf("%s: stage %q, half %q is not one of the list", i.Name, i.Stage, i.Half)
		}
		if i.AWS != strings.ToUpper(i.AWS) {
			t.Errorf("%s: %q is no explanation code", i.Name, i.AWS)
		}
		if !strings.HasSuffix(i.Help, ".") || i.Help[:1] != strings.ToUpper(i.Help[:1]) {
			t.Errorf("%s: the help %q is not a sentence", i.Name, i.Help)
		}
	}
}

func TestParse(t *testing.T) {
	for r := range drop.Count {
		if got, ok := drop.Parse(r.String()); !ok || got != r {
			t.Errorf("Parse(%q) = %v, %v", r.String(), got, ok)
		}
	}
	for _, name := range []string{"", "Unset", "nacl", "nacl_in "} {
		if got, ok := drop.Parse(name); ok {
			t.Errorf("Parse(%q) = %v; there is no such reason", name, got)
		}
	}
}

// A number beyond the list must not read beyond the table.
func TestReasonOutOfRange(t *testing.T) {
	for _, r := range []drop.Reason{drop.Count, 255} {
		if got, want := r.Info(), drop.Unset.Info(); got != want {
			t.Errorf("Reason(%d).Info() = %+v, want that of Unset", r, got)
		}
	}
}

// A reason that no stage gives is a counter that never moves.
func TestEveryReasonIsUsed(t *testing.T) {
	constants := reasonConstants(t)
	if len(constants) != int(drop.Count)-1 {
		t.Fatalf("drop.go declares %d reasons after Unset, but Count is %d", len(constants), drop.Count)
	}
	used := usedSelectors(t, "../..")
	for _, c := range constants {
		if !used[c] {
			t.Errorf("no code drops a packet for drop.%s", c)
		}
	}
}

// reasonConstants returns the names of the constants between Unset and Count.
func reasonConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "drop.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	inside := false
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			for _, ident := range s.(*ast.ValueSpec).Names {
				switch {
				case ident.Name == "Unset":
					inside = true
				case ident.Name == "Count":
					inside = false
				case inside:
					names = append(names, ident.Name)
				}
			}
		}
	}
	return names
}

// usedSelectors returns every NAME in drop.NAME of the code below root, tests
// and this package aside.
func usedSelectors(t *testing.T, root string) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "build") || isHere(path) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		local := importName(file)
		if local == "" {
			return nil
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == local {
					used[s.Sel.Name] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// importName is what a file calls this package, or "".
func importName(f *ast.File) string {
	for _, i := range f.Imports {
		if path, err := strconv.Unquote(i.Path.Value); err == nil && path == "github.com/nitrod/nitrod/internal/drop" {
			if i.Name != nil {
				return i.Name.Name
			}
			return "drop"
		}
	}
	return ""
}

func isHere(path string) bool {
	here, err := os.Stat(".")
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(here, info)
}
