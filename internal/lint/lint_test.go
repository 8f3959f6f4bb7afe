package lint

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../.."

// TestProject holds the project to its rules.
func TestProject(t *testing.T) {
	files, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files were found; the rules were not checked", len(files))
	}
	for _, f := range files {
		for _, broken := range check(f) {
			t.Error(broken)
		}
	}
}

func TestTopLevelFolders(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	for _, broken := range CheckTopLevel(folders) {
		t.Error(broken)
	}
	if got := CheckTopLevel([]string{"pkg", ".git", "build", "hash"}); len(got) != 1 || !strings.HasPrefix(got[0], "pkg:") {
		t.Errorf("a new folder gives %q", got)
	}
}

func check(f *File) []string {
	var broken []string
	for _, r := range Rules {
		broken = append(broken, r.Check(f)...)
	}
	broken = append(broken, CheckCgo(f)...)
	broken = append(broken, CheckUnsafe(f)...)
	broken = append(broken, CheckComments(f)...)
	return append(broken, CheckFormat(f)...)
}

// TestRules shows each rule a file that breaks it and one that does not: a
// rule that finds nothing anywhere would pass TestProject too.
func TestRules(t *testing.T) {
	src := func(imports ...string) string {
		s := "package p\n"
		for _, i := range imports {
			s += "\nimport _ \"" + i + "\"\n"
		}
		return s
	}
	for _, tc := range []struct {
		path, source string
		want         string // part of the complaint; "" for none
	}{
		{"pipeline/worker.go", src(Module + "/internal/dpdk"), "interfaces and plain structs"},
		{"pipeline/flowcache/table.go", src(Module + "/internal/config"), "interfaces and plain structs"},
		{"pipeline/worker_test.go", src(Module + "/internal/telemetry"), "interfaces and plain structs"},
		{"pipeline/worker.go", src("fmt"), "formatting allocates"},
		{"pipeline/worker_test.go", src("fmt", "testing"), ""},
		{"pipeline/worker.go", src("log/slog"), "never logs"},
		{"policy/secgroup/group.go", src("log"), "never logs"},
		{"policy/errors.go", src("fmt"), ""},
		{"pipeline/worker.go", src(Module+"/hash", Module+"/internal/pktio"), ""},
		{"hash/key.go", src(Module + "/internal/pktio"), "know nothing of ports"},
		{"policy/route/route.go", src(Module + "/internal/simport"), "know nothing of ports"},
		{"conntrack/shard.go", src(Module + "/pipeline"), "know nothing of ports"},
		{"internal/simport/port.go", src(Module + "/policy"), "what becomes of them"},
		{"internal/dpdk/eal.go", src("C", "unsafe"), ""},
		{"hash/toeplitz.go", src("C"), "cgo is for"},
		{"hash/toeplitz.go", src("unsafe"), "unsafe is for"},
		{"hash/load_unsafe.go", src("unsafe"), ""},
		{"hash/load_unsafe_test.go", src("unsafe"), ""},
		{"cmd/nitrod/main.go", src(Module + "/bench/report"), "shipped"},
		{"hash/a.go", "package hash\n\n// TO" + "DO: later\n", "do it, or open an issue"},
		{"hash/a.go", "package hash\n\n// Todos are what people do.\n", ""},
		{"hash/a.go", "package hash\nvar  x int\n", "gofmt"},
	} {
		files, err := Load(fstest.MapFS{tc.path: {Data: []byte(tc.source)}})
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %d files, %v", tc.path, len(files), err)
		}
		got := strings.Join(check(files[0]), "\n")
		if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s:\n%s\ngot  %q\nwant %q", tc.path, tc.source, got, tc.want)
		}
	}
}

func TestLoadLeavesOut(t *testing.T) {
	good := &fstest.MapFile{Data: []byte("package p\n")}
	files, err := Load(fstest.MapFS{
		"a/a.go": good, "a/testdata/b.go": good, ".hidden/c.go": good, "_x/d.go": good,
		"build/go/e.go": good, "a/build/f.go": good, "a/text.txt": good,
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	if got := strings.Join(names, " "); got != "a/a.go a/build/f.go" {
		t.Errorf("loaded %q", got)
	}
	if _, err := Load(fstest.MapFS{"a.go": {Data: []byte("no go")}}); err == nil {
		t.Error("a file that does not parse gives no error")
	}
}
