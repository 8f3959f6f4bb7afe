// Command gen writes docs/configuration.md from the schema: the structs'
// tags say the keys, and their comments what the keys mean. With a file of what
// stands before the keys, it writes docs/scenarios.md likewise.
//
//	go run ./internal/config/gen SCHEMA_DIRECTORY OUTPUT_FILE [REFERENCE_FILE]
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/scenario"
)

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: gen SCHEMA_DIRECTORY OUTPUT_FILE [REFERENCE_FILE]")
		os.Exit(2)
	}
	text, err := []byte(nil), error(nil)
	if len(os.Args) == 3 {
		text, err = render(os.Args[1], preamble, config.Describe())
	} else {
		var reference []byte
		if reference, err = os.ReadFile(os.Args[3]); err == nil {
			text, err = render(os.Args[1], string(reference), scenario.Describe())
		}
	}
	if err == nil {
		err = os.WriteFile(os.Args[2], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

const preamble = `<!-- Generated from internal/config by go generate; do not edit. -->

# Configuration

nitrod reads one YAML file; ` + "`examples/two-enis.yaml`" + ` is a small complete one. ` + "`nitrod check`" + ` says what is
wrong with a file, every mistake at once, each with its line and column.

- Every key is known or refused. Keys without a default may be left out unless they are marked *required*.
- Sizes and durations carry their unit: ` + "`64KiB`, `256MiB`, `9.5KiB`; `100us`, `350s`, `1h30m`, `5d`" + `. So do rates,
  in decimal units: ` + "`800kbps`, `12.5gbps`; `100kpps`, `2.2mpps`" + `.
- Objects are items of lists and are known by their ` + "`id`" + `: up to 63 letters, digits, dots, dashes and
  underscores, beginning with a letter or digit.
- CIDR blocks are put in canonical form, as AWS does: ` + "`10.0.1.7/24` is `10.0.1.0/24`" + `.
- A list with nothing under its key is empty. Anchors and aliases work; merge keys (` + "`<<`" + `) do not.
- A file is at most 16 MiB, one YAML document.
`

// render returns the whole document. dir is the directory of the schema's
// source, and begin what stands before the keys.
func render(dir, begin string, sections []config.Section) ([]byte, error) {
	comments, err := fieldComments(dir)
	if err != nil {
		return nil, err
	}
	// Rules of both directions are one struct, described once.
	paths := map[string][]string{}
	meaning := map[string]string{}
	for _, s := range sections {
		paths[s.GoType] = append(paths[s.GoType], s.Path)
		for _, k := range s.Keys {
			text := comments[s.GoType+"."+k.GoField]
			if text == "" {
				return nil, fmt.Errorf("the field %s.%s has no comment", s.GoType, k.GoField)
			}
			if k.Section != "" {
				meaning[k.Section] = text
			}
		}
	}
	var b strings.Builder
	b.WriteString(begin)
	done := map[string]bool{}
	for _, s := range sections {
		if done[s.GoType] {
			continue
		}
		done[s.GoType] = true
		same := paths[s.GoType]
		if s.Path == "" {
			b.WriteString("\n## The file\n\n")
		} else {
			fmt.Fprintf(&b, "\n%s `%s`\n\n", strings.Repeat("#", 2+strings.Count(s.Path, ".")), strings.Join(same, "`, `"))
			if len(same) == 1 {
				b.WriteString(meaning[s.Path] + "\n\n")
			}
		}
		b.WriteString("| Key | Type | Default | Range | Meaning |\n|---|---|---|---|---|\n")
		for _, k := range s.Keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Type, defaultOf(k), rangeOf(k), cell(comments[s.GoType+"."+k.GoField]))
		}
	}
	return []byte(b.String()), nil
}

func defaultOf(k config.Key) string {
	switch {
	case k.Required:
		return "*required*"
	case k.Default != "":
		return "`" + k.Default + "`"
	}
	return ""
}

func rangeOf(k config.Key) string {
	if k.Min == "" && k.Max == "" {
		return ""
	}
	return k.Min + " to " + k.Max
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// fieldComments returns the comments above the fields of the package's
// structs, by "Type.Field", each as one line.
func fieldComments(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "schema*.go"))
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					for _, ident := range f.Names {
						comments[spec.Name.Name+"."+ident.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
			return false
		})
	}
	return comments, nil
}
