package dpdk

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEALArgs(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       Options
		want    []string
		without []string
	}{
		{"no hugepages", Options{Hugepages: HugepagesOff},
			[]string{"--no-huge", "--no-shconf", "-m", "1024", "--no-pci", "--no-telemetry", "--file-prefix=nitrod", "--lcores=0@(0,1)"}, []string{"--in-memory"}},
		{"memory, prefix, CPUs", Options{Hugepages: HugepagesOff, MemoryMB: 99, FilePrefix: "x", MainCPUs: []int{3}},
			[]string{"-m", "99", "--file-prefix=x", "--lcores=0@(3)"}, nil},
		{"a device and more", Options{Hugepages: HugepagesOff, PCI: []string{"0000:00:05.0"}, Args: []string{"--iova-mode=pa"}},
			[]string{"-a", "0000:00:05.0", "--iova-mode=pa"}, []string{"--no-pci", "--iova-mode=va"}},
	} {
		got, err := ealArgs(c.o, []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %q is missing from %q", c.name, w, got)
			}
		}
		for _, w := range c.without {
			if slices.Contains(got, w) {
				t.Errorf("%s: %q is in %q", c.name, w, got)
			}
		}
	}
}

func TestHugepagesRequiredAndMissing(t *testing.T) {
	_, err := ealArgs(Options{Hugepages: HugepagesOn, MemoryMB: 1 << 40}, []int{0})
	wantError(t, err, "required", "MiB are free")
	got, err := ealArgs(Options{MemoryMB: 1 << 40}, []int{0})
	if err != nil || !slices.Contains(got, "--no-huge") {
		t.Errorf("without enough hugepages EAL gets %q, %v", got, err)
	}
}

func TestFreeHugepages(t *testing.T) {
	dir := t.TempDir()
	for size, free := range map[string]string{"hugepages-2048kB": "10\n", "hugepages-1048576kB": "2\n", "hugepages-64kB": "0\n", "hugepages-xkB": "9\n", "hugepages-32kB": "?\n"} {
		if err := os.Mkdir(filepath.Join(dir, size), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, size, "free_hugepages"), []byte(free), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if mb, smallest := freeHugepages(dir); mb != 20+2048 || smallest != 2<<20 {
		t.Errorf("%d MiB, smallest page %d; want 2068 and 2 MiB", mb, smallest)
	}
	if mb, smallest := freeHugepages(t.TempDir()); mb != 0 || smallest != 0 {
		t.Errorf("%d MiB, smallest page %d where there are none", mb, smallest)
	}
}

func TestVersion(t *testing.T) {
	if v := Version(); !strings.HasPrefix(v, "DPDK ") || MaxPorts() < 1 {
		t.Errorf("version %q, %d ports", v, MaxPorts())
	}
}
