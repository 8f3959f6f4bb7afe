package lint

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The checks in this file hold the documents to what they say of the tree: a
// link that leads nowhere and a directory that is gone are the first things in
// a document that rot.

var (
	inlineLink  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading     = regexp.MustCompile(`(?m)^#+ +(.+?) *#*$`)
	tableFolder = regexp.MustCompile(`(?m)^\| \[([a-z0-9]+)\]`)
	inCode      = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// markdown returns the Markdown files below root, but for those of tools and
// test data.
func markdown(root fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || name == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".md") {
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			files[name] = string(text)
		}
		return nil
	})
	return files, err
}

// anchors returns the names by which the headings of a document can be linked
// to, as the common hosts of repositories make them.
func anchors(text string) []string {
	var names []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// brokenLinks returns the relative links that lead to no file, or to no heading
// of the document that they name.
func brokenLinks(root fs.FS, files map[string]string) []string {
	var broken []string
	for name, text := range files {
		for _, m := range inlineLink.FindAllStringSubmatch(inCode.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if _, err := fs.Stat(root, file); err != nil {
				broken = append(broken, name+": the link "+m[1]+" leads to no file")
			} else if other, ok := files[file]; anchor != "" && (!ok || !slices.Contains(anchors(other), anchor)) {
				broken = append(broken, name+": the link "+m[1]+" leads to no heading")
			}
		}
	}
	slices.Sort(broken)
	return broken
}

func TestLinks(t *testing.T) {
	tree := os.DirFS(root)
	files, err := markdown(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d documents were found; the links were not checked", len(files))
	}
	for _, b := range brokenLinks(tree, files) {
		t.Error(b)
	}
}

// The directories that the README lists are those that there are.
func TestREADMEDirectories(t *testing.T) {
	text, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range tableFolder.FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, m[1])
		if info, err := os.Stat(root + "/" + m[1]); err != nil || !info.IsDir() {
			t.Errorf("README.md lists the directory %s, which does not exist", m[1])
		}
	}
	for _, name := range TopLevel {
		// One without a file does not outlive a clone, and needs no line.
		if entries, err := os.ReadDir(root + "/" + name); err == nil && len(entries) != 0 && !slices.Contains(listed, name) {
			t.Errorf("README.md does not list the directory %s", name)
		}
	}
}

// Every package has its line in the tree of docs/architecture.md.
func TestArchitectureNamesPackages(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	// In the tree a package stands by its whole path, or by its last part below
	// its parent.
	named := map[string]bool{}
	parent := ""
	for line := range strings.Lines(string(text)) {
		name, _, ok := strings.Cut(strings.TrimLeft(line, " "), "/ ")
		switch indent := len(line) - len(strings.TrimLeft(line, " ")); {
		case !ok || indent < 4:
		case indent == 4:
			parent = name
			named[name] = true
		default:
			named[parent+"/"+name] = true
		}
	}
	files, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if p := f.Package(); !named[p] {
			t.Errorf("docs/architecture.md does not name the package %s", p)
			named[p] = true // once
		}
	}
	for p := range named {
		if _, err := os.Stat(root + "/" + p); err != nil {
			t.Errorf("docs/architecture.md names the package %s, which does not exist", p)
		}
	}
}

// Every module that is imported has its line, with a reason, in
// docs/dependencies.md, and no other has.
func TestDependenciesAreNamed(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		named[m[1]] = false
	}
	files, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, i := range f.Imports {
			first, _, _ := strings.Cut(i.Path, "/")
			if !strings.Contains(first, ".") || under(i.Path, Module) {
				continue // the standard library, or our own
			}
			found := false
			for module := range named {
				if under(i.Path, module) {
					named[module], found = true, true
				}
			}
			if !found {
				t.Errorf("%s:%d: imports %s, which docs/dependencies.md does not name", f.Path, i.Line, i.Path)
			}
		}
	}
	for module, used := range named {
		if !used {
			t.Errorf("docs/dependencies.md names %s, which nothing imports", module)
		}
	}
}

var (
	citedFile = regexp.MustCompile(`docs/[a-z0-9/_-]+\.md`)
	citedRule = regexp.MustCompile(`semantics\.md (S[0-9]+(?:\.[0-9]+)?)\b`)
)

// What comments cite exists: files of docs, and rules of docs/semantics.md.
func TestCitations(t *testing.T) {
	tree := os.DirFS(root)
	semantics, err := fs.ReadFile(tree, "docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	cited := 0
	for _, f := range files {
		for _, c := range f.Comments {
			for _, name := range citedFile.FindAllString(c.Text, -1) {
				if _, err := fs.Stat(tree, name); err != nil {
					t.Errorf("%s:%d: cites %s, which does not exist", f.Path, c.Line, name)
				}
			}
			for _, m := range citedRule.FindAllStringSubmatch(c.Text, -1) {
				cited++
				if !regexp.MustCompile(`(?m)^#+ ` + regexp.QuoteMeta(m[1]) + ` `).Match(semantics) {
					t.Errorf("%s:%d: cites rule %s, which docs/semantics.md does not have", f.Path, c.Line, m[1])
				}
			}
		}
	}
	if cited < 10 {
		t.Errorf("only %d citations of rules were found; they were not checked", cited)
	}
}

func TestBrokenLinks(t *testing.T) {
	tree := fstest.MapFS{
		"README.md": {Data: []byte("# A title, with `code`\n" +
			"[a](docs/b.md) [b](docs/b.md#two-words) [c](#a-title-with-code) [d](docs) [e](https://x.example/none)\n" +
			"`[f](none)`\n```\n[g](none)\n```\n" +
			"[h](docs/none.md) [i](docs/b.md#three) [j](#none)\n")},
		"docs/b.md":          {Data: []byte("## Two words\n[k](../README.md) [l](b.md) [m](README.md)\n")},
		"a/testdata/c.md":    {Data: []byte("[n](none)\n")},
		"build/go/README.md": {Data: []byte("[o](none)\n")},
	}
	files, err := markdown(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md: the link #none leads to no heading",
		"README.md: the link docs/b.md#three leads to no heading",
		"README.md: the link docs/none.md leads to no file",
		"docs/b.md: the link README.md leads to no file",
	}
	if got := brokenLinks(tree, files); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
