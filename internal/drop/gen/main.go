// Command gen writes docs/drops.md from the list of drop reasons.
//
//	go run ./internal/drop/gen OUTPUT_FILE
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/nitrod/nitrod/internal/drop"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen OUTPUT_FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], render(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

const preamble = `<!-- Generated from internal/drop by go generate; do not edit. -->

# Drop reasons

Every packet that nitrod refuses is counted under one of these reasons. ` + "`nitrod stats`" + ` shows those that have
occurred, ` + "`nitrod explain`" + ` says which one a packet would meet and why, and the names are stable: they are labels
of metrics.

- **Stage** is where in the pipeline the packet ends.
- **Half** is the side that judged it. A packet between two local ENIs is judged twice: as it leaves the source ENI
  (egress) and as it reaches the destination ENI (ingress).
- **AWS** is the explanation code of the VPC Reachability Analyzer that comes closest.

| Name | Stage | Half | AWS | Meaning |
|---|---|---|---|---|
`

// render returns the whole document.
func render() []byte {
	var b strings.Builder
	b.WriteString(preamble)
	for r := range drop.Count {
		i := r.Info()
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", i.Name, i.Stage, i.Half, code(i.AWS), strings.ReplaceAll(i.Help, "|", `\|`))
	}
	return []byte(b.String())
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
