package lint

import (
	"bytes"
	"fmt"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Rules are the project's import rules.
var Rules = []Rule{
	{
		Dirs:   []string{"pipeline"},
		Deny:   []string{"internal/dpdk", "internal/config", "internal/telemetry", "internal/control", "cmd"},
		Tests:  true,
		Reason: "the pipeline sees ports, configuration and metrics through interfaces and plain structs only",
	},
	{
		Dirs:   []string{"pipeline", "hash", "rings", "conntrack", "policy"},
		Deny:   []string{"log"},
		Reason: "the packet path never logs; it counts",
	},
	{
		Dirs:   []string{"pipeline"},
		Deny:   []string{"fmt"},
		Reason: "formatting allocates; text is made by internal/control and cmd",
	},
	{
		Dirs:   []string{"hash", "conntrack", "policy"},
		Deny:   []string{"internal/pktio", "internal/dpdk", "internal/simport", "rings", "pipeline", "internal/config", "internal/telemetry", "internal/control"},
		Reason: "hash, conntrack and policy know nothing of ports, and nothing of what is above them",
	},
	{
		Dirs:   []string{"internal/dpdk", "internal/simport"},
		Deny:   []string{"pipeline", "policy", "conntrack", "internal/config", "internal/telemetry", "internal/control"},
		Reason: "what moves packets does not know what becomes of them",
	},
	{
		Dirs: []string{
			"pipeline", "hash", "rings", "conntrack", "policy", "cmd",
			"internal/hugemem", "internal/config", "internal/telemetry", "internal/control",
		},
		Deny:   []string{"bench", "internal/lint", "testing"},
		Reason: "nothing that is shipped depends on tests or on the benchmark",
	},
}

// CheckCgo returns a complaint if the file uses cgo outside internal/dpdk.
func CheckCgo(f *File) []string {
	if under(f.Package(), "internal/dpdk") {
		return nil
	}
	return imports(f, "C", "cgo is for internal/dpdk alone")
}

// CheckUnsafe returns a complaint if the file imports unsafe without saying so
// in its name. internal/dpdk is where unsafe memory comes from.
func CheckUnsafe(f *File) []string {
	name := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.Path), ".go"), "_test")
	if under(f.Package(), "internal/dpdk") || strings.HasSuffix(name, "_unsafe") || slices.Contains(strings.Split(name, "_"), "unsafe") {
		return nil
	}
	return imports(f, "unsafe", "unsafe is for files named *_unsafe.go")
}

func imports(f *File, what, reason string) []string {
	for _, i := range f.Imports {
		if i.Path == what {
			return []string{fmt.Sprintf("%s:%d: imports %s: %s", f.Path, i.Line, what, reason)}
		}
	}
	return nil
}

// Spelt so that this file keeps its own rule.
var deferred = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// CheckComments returns the comments that put work off.
func CheckComments(f *File) []string {
	var broken []string
	for _, c := range f.Comments {
		if m := deferred.FindString(c.Text); m != "" {
			broken = append(broken, fmt.Sprintf("%s:%d: a comment says %s; do it, or open an issue", f.Path, c.Line, m))
		}
	}
	return broken
}

// CheckFormat returns a complaint if gofmt would change the file.
func CheckFormat(f *File) []string {
	formatted, err := format.Source(f.Source)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", f.Path, err)}
	}
	if !bytes.Equal(formatted, f.Source) {
		return []string{f.Path + ": is not formatted; run gofmt -w"}
	}
	return nil
}

// TopLevel are the folders at the root of the project. They are fixed: a new
// one is a change of design, and docs/ says which part belongs where.
var TopLevel = []string{
	"bench", "cmd", "conntrack", "docker", "docs", "examples", "hash",
	"internal", "pipeline", "policy", "rings", "scripts",
}

// notOurs are folders that tools make.
var notOurs = []string{"build"}

// CheckTopLevel returns the folders at the root that are not among TopLevel.
func CheckTopLevel(folders []string) []string {
	var broken []string
	for _, name := range folders {
		if strings.HasPrefix(name, ".") || slices.Contains(notOurs, name) || slices.Contains(TopLevel, name) {
			continue
		}
		broken = append(broken, name+": is none of the top-level folders "+strings.Join(TopLevel, ", "))
	}
	return broken
}
