// Package lint holds the rules that the project keeps about itself: which
// package may import what, where unsafe and cgo may stand, what the top-level
// folders are. The rules are tests, so that go test ./... enforces them
// wherever it runs; .golangci.yml repeats those that an editor can show.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the project's module path.
const Module = "github.com/nitrod/nitrod"

// File is a Go source file of the project, as far as the rules look at it.
type File struct {
	Path     string // relative to the root of the module, with slashes
	Source   []byte
	Imports  []Import
	Comments []Comment
}

// Import is one import of a file.
type Import struct {
	Path string
	Line int
}

// Comment is one comment group of a file.
type Comment struct {
	Text string
	Line int
}

// Test says whether the file belongs to tests only.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Package is the directory of the file: the import path below the module.
func (f *File) Package() string { return path.Dir(f.Path) }

// Load parses all Go files below root. Directories that the go command
// ignores are left out, and so is build.
func Load(root fs.FS) ([]*File, error) {
	var files []*File
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || name == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parse(name, source)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func parse(name string, source []byte) (*File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	f := &File{Path: name, Source: source}
	line := func(n ast.Node) int { return fset.Position(n.Pos()).Line }
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("lint: %s: import %s: %w", name, spec.Path.Value, err)
		}
		f.Imports = append(f.Imports, Import{imported, line(spec)})
	}
	for _, group := range tree.Comments {
		for _, c := range group.List {
			f.Comments = append(f.Comments, Comment{c.Text, line(c)})
		}
	}
	return f, nil
}

// under says whether a package is dir or lies below it.
func under(pkg, dir string) bool {
	return pkg == dir || strings.HasPrefix(pkg, dir+"/")
}

// Rule forbids imports to the packages below some directories.
type Rule struct {
	Dirs   []string // of the module
	Deny   []string // import paths and what is below them; of the module without its path
	Tests  bool     // whether tests must keep the rule as well
	Reason string
}

// Check returns what breaks the rule, one sentence each.
func (r Rule) Check(f *File) []string {
	if f.Test() && !r.Tests {
		return nil
	}
	if !slices.ContainsFunc(r.Dirs, func(d string) bool { return under(f.Package(), d) }) {
		return nil
	}
	var broken []string
	for _, i := range f.Imports {
		local := strings.TrimPrefix(i.Path, Module+"/")
		if slices.ContainsFunc(r.Deny, func(d string) bool { return under(local, d) }) {
			broken = append(broken, fmt.Sprintf("%s:%d: imports %s: %s", f.Path, i.Line, i.Path, r.Reason))
		}
	}
	return broken
}
