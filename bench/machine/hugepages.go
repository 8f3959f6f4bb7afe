package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Hugepages lends hugepages of 2 MiB from the kernel for the length of a run.
type Hugepages struct {
	dir string // sysfs directory of the page size
	was int    // nr_hugepages before the first raise; -1 if it was never raised
}

const hugepageMB = 2

// NewHugepages looks at the machine's hugepages of 2 MiB.
func NewHugepages() *Hugepages {
	return &Hugepages{dir: "/sys/kernel/mm/hugepages/hugepages-2048kB", was: -1}
}

// Need makes sure that mb MiB are free, raising the kernel's number of pages
// where they are not. The error says how many there are.
func (h *Hugepages) Need(mb int) error {
	want := (mb + hugepageMB - 1) / hugepageMB
	free, err := h.read("free_hugepages")
	if err != nil {
		return err
	}
	if free >= want {
		return nil
	}
	total, err := h.read("nr_hugepages")
	if err != nil {
		return err
	}
	if err := h.set(total + want - free); err != nil {
		return err
	}
	if h.was < 0 {
		h.was = total
	}
	// The kernel grants what it finds, without an error.
	if free, err = h.read("free_hugepages"); err != nil {
		return err
	}
	if free < want {
		return fmt.Errorf("%d hugepages of 2 MiB are free and %d are needed", free, want)
	}
	return nil
}

// FreeMB returns how many MiB in hugepages nobody has taken.
func (h *Hugepages) FreeMB() (int, error) {
	n, err := h.read("free_hugepages")
	return n * hugepageMB, err
}

// Restore sets the number of pages to what it was before Need raised it.
func (h *Hugepages) Restore() error {
	if h.was < 0 {
		return nil
	}
	err := h.set(h.was)
	h.was = -1
	return err
}

func (h *Hugepages) read(name string) (int, error) {
	b, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		return 0, fmt.Errorf("hugepages: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("hugepages: %s: %w", name, err)
	}
	return n, nil
}

func (h *Hugepages) set(n int) error {
	if err := os.WriteFile(filepath.Join(h.dir, "nr_hugepages"), []byte(strconv.Itoa(n)), 0o644); err != nil {
		return fmt.Errorf("hugepages: %w", err)
	}
	return nil
}
