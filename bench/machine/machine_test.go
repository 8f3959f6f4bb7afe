package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestCPUModel(t *testing.T) {
	if got := cpuModel("processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU @ 3GHz\n\nmodel name\t: Other\n"); got != "Some CPU @ 3GHz" {
		t.Errorf("got %q", got)
	}
	if got := cpuModel("processor : 0\n"); got == "" {
		t.Error("a CPU without a name has no name at all")
	}
}

func TestCollect(t *testing.T) {
	f := Collect(t.Context())
	if f.CPU == "" || f.CPUs < 1 || f.Kernel == "" || !strings.HasPrefix(f.Go, "go") || f.Date == "" {
		t.Errorf("facts that every machine has are missing: %+v", f)
	}
}

// kernel stands for sysfs: pages are free as soon as they are granted.
func kernel(t *testing.T, total, free int) (*Hugepages, func(string) int) {
	t.Helper()
	h := &Hugepages{dir: t.TempDir(), was: -1}
	for name, n := range map[string]int{"nr_hugepages": total, "free_hugepages": free} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(strconv.Itoa(n)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h, func(name string) int {
		n, err := h.read(name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func TestHugepagesEnough(t *testing.T) {
	h, read := kernel(t, 100, 50)
	if err := h.Need(100); err != nil {
		t.Errorf("50 free pages of 2 MiB do not hold 100 MiB: %v", err)
	}
	if mb, err := h.FreeMB(); err != nil || mb != 100 {
		t.Errorf("%d MiB are free, %v; want 50 pages of 2 MiB", mb, err)
	}
	if err := h.Restore(); err != nil || read("nr_hugepages") != 100 {
		t.Errorf("what was never raised was changed to %d, %v", read("nr_hugepages"), err)
	}
}

func TestHugepagesRaised(t *testing.T) {
	h, read := kernel(t, 100, 50)
	// This kernel takes the number and grants nothing.
	if err := h.Need(201); err == nil || !strings.Contains(err.Error(), "50 hugepages of 2 MiB are free and 101 are needed") {
		t.Errorf("error %v", err)
	}
	if got := read("nr_hugepages"); got != 151 {
		t.Errorf("asked for %d pages, want 100 + 101 - 50", got)
	}
	if err := h.Need(301); err == nil {
		t.Error("no error for pages that are not there")
	}
	if err := h.Restore(); err != nil || read("nr_hugepages") != 100 {
		t.Errorf("restored to %d, %v; want what was there first", read("nr_hugepages"), err)
	}
}

func TestHugepagesAbsent(t *testing.T) {
	h := &Hugepages{dir: filepath.Join(t.TempDir(), "absent"), was: -1}
	if err := h.Need(1); err == nil {
		t.Error("a machine without hugepages grants one")
	}
	if err := h.Restore(); err != nil {
		t.Error(err)
	}
}
