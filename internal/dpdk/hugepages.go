package dpdk

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const hugepageDir = "/sys/kernel/mm/hugepages"

// useHugepages decides on hugepages. With HugepagesOn it fails where they
// cannot serve, and says what the machine lacks.
func useHugepages(mode HugepageMode, memoryMB int) (bool, error) {
	if mode == HugepagesOff {
		return false, nil
	}
	want := memoryMB
	if want == 0 {
		want = autoHugeMB
	}
	err := hugepagesServe(want)
	switch {
	case err == nil:
		return true, nil
	case mode == HugepagesOn:
		return false, fmt.Errorf("dpdk: hugepages are required: %w", err)
	default:
		return false, nil
	}
}

func hugepagesServe(wantMB int) error {
	freeMB, smallest := freeHugepages(hugepageDir)
	if freeMB < wantMB {
		return fmt.Errorf("%d MiB are free, %d MiB are needed (see vm.nr_hugepages)", freeMB, wantMB)
	}
	// Counted pages may still be out of reach, behind a cgroup's limit.
	mem, err := unix.Mmap(-1, 0, smallest, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB|hugeShift(smallest))
	if err != nil {
		return fmt.Errorf("mapping one failed: %w", err)
	}
	return unix.Munmap(mem)
}

// hugeShift encodes a page size for mmap (MAP_HUGE_SHIFT in mmap(2)).
func hugeShift(size int) int {
	shift := 0
	for ; size > 1; size >>= 1 {
		shift++
	}
	return shift << unix.MAP_HUGE_SHIFT
}

// freeHugepages sums the free hugepages of all sizes, in MiB, and returns the
// smallest size of which there are any, in bytes.
func freeHugepages(dir string) (mb, smallest int) {
	sizes, _ := filepath.Glob(filepath.Join(dir, "hugepages-*kB"))
	for _, path := range sizes {
		kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "hugepages-"), "kB"))
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(path, "free_hugepages"))
		if err != nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || n == 0 {
			continue
		}
		mb += n * kb / 1024
		if smallest == 0 || kb<<10 < smallest {
			smallest = kb << 10
		}
	}
	return mb, smallest
}
