package dpdk

/*
#include <stdlib.h>
#include "nd.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HugepageMode says whether packet memory comes from hugepages.
type HugepageMode int

// The modes. HugepagesAuto takes them where enough are free, and else runs
// from ordinary pages, at some cost in speed.
const (
	HugepagesAuto HugepageMode = iota
	HugepagesOn
	HugepagesOff
)

// Options configure EAL. The zero value suits a process with no PCI device.
type Options struct {
	Hugepages HugepageMode
	// MemoryMB is the memory reserved at the start, in MiB. 0: with hugepages
	// none, they are taken as needed; without, defaultNoHugeMB, which is
	// then all there is.
	MemoryMB int
	// FilePrefix tells several DPDK processes of a host apart. Default "nitrod".
	FilePrefix string
	// MainCPUs are the CPUs on which EAL's own thread may run; it does nothing
	// on the hot path. Default: all that the process may use.
	MainCPUs []int
	// PCI are the addresses of the PCI devices to use. With none, EAL does not
	// look at the PCI bus.
	PCI []string
	// Args are further arguments for EAL, as on a command line.
	Args []string
	// Log receives EAL's and the drivers' messages. Default: none.
	Log *slog.Logger
}

const (
	// defaultNoHugeMB is virtual memory; a page costs when it is first used.
	defaultNoHugeMB = 1024
	// autoHugeMB is the least of free hugepages for which HugepagesAuto takes
	// them when MemoryMB does not say.
	autoHugeMB = 64
)

type ealState int

const (
	ealNew ealState = iota
	ealUp
	ealDown
)

// eal is the one EAL of the process.
var eal struct {
	mu    sync.Mutex
	state ealState
	calls chan func() // to the thread that owns EAL
	log   *logRoute
	slog  *slog.Logger
}

// Init starts EAL on a thread of its own, which is never given back to the
// runtime. No file is left in hugetlbfs or in the runtime directory, not even
// after a kill: packet memory is anonymous.
//
// EAL cannot be started twice in a process: after a failure, or after Cleanup,
// Init returns an error.
//
// Thread-safety: may be called from any goroutine.
func Init(o Options) error {
	eal.mu.Lock()
	defer eal.mu.Unlock()
	if eal.state != ealNew {
		return errors.New("dpdk: EAL starts once per process, and has been started before")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	allowed, err := allowedCPUs(0)
	if err != nil {
		return fmt.Errorf("dpdk: CPUs of this process: %w", err)
	}
	args, err := ealArgs(o, allowed)
	if err != nil {
		return err
	}
	eal.state = ealDown
	eal.slog = o.Log
	if eal.log, err = openLog(o.Log); err != nil {
		return err
	}
	o.Log.Debug("dpdk: starting EAL", "args", strings.Join(args, " "))
	eal.calls = make(chan func())
	started := make(chan error)
	go ealThread(args, started)
	if err := <-started; err != nil {
		eal.log.close()
		return fmt.Errorf("dpdk: EAL did not start: %w", err)
	}
	eal.state = ealUp
	unpinThreads(allowed, o)
	return nil
}

// ealThread owns the thread that EAL knows as its main lcore.
func ealThread(args []string, started chan<- error) {
	runtime.LockOSThread()
	argv := make([]*C.char, len(args)+1)
	for i, a := range args {
		argv[i] = C.CString(a) // EAL keeps them
	}
	// EAL wants an array outside the Go heap: it rearranges it.
	mem := C.calloc(C.size_t(len(argv)), C.size_t(unsafe.Sizeof(uintptr(0))))
	copy(unsafe.Slice((**C.char)(mem), len(argv)), argv)
	C.nd_log_forget()
	err := withLog(check(C.nd_eal_init(C.int(len(args)), (**C.char)(mem))))
	// EAL makes the directory in any case, and puts nothing into it.
	if dir := C.GoString(C.nd_eal_runtime_dir()); dir != "" {
		_ = os.Remove(dir) // at worst an empty directory stays
	}
	if err != nil {
		started <- err
		return // the thread dies with its goroutine
	}
	started <- nil
	for f := range eal.calls {
		f()
	}
}

// ealArgs is EAL's command line.
func ealArgs(o Options, allowed []int) ([]string, error) {
	prefix := o.FilePrefix
	if prefix == "" {
		prefix = "nitrod"
	}
	cpus := o.MainCPUs
	if len(cpus) == 0 {
		cpus = allowed
	}
	args := []string{
		"nitrod",
		"--no-telemetry",
		"--file-prefix=" + prefix,
		// One main lcore that floats: rte_eal_init pins the thread that calls it.
		"--lcores=0@(" + joinCPUs(cpus) + ")",
	}
	huge, err := useHugepages(o.Hugepages, o.MemoryMB)
	if err != nil {
		return nil, err
	}
	mb := o.MemoryMB
	if huge {
		args = append(args, "--in-memory")
	} else {
		// EAL refuses --in-memory here; this is the part of it that applies.
		args = append(args, "--no-huge", "--no-shconf")
		if mb == 0 {
			mb = defaultNoHugeMB
		}
	}
	if mb != 0 {
		args = append(args, "-m", strconv.Itoa(mb))
	}
	if len(o.PCI) == 0 {
		// Virtual addresses for DMA need no privilege and no physical layout.
		args = append(args, "--no-pci", "--iova-mode=va")
	}
	for _, a := range o.PCI {
		args = append(args, "-a", a)
	}
	return append(args, o.Args...), nil
}

// unpinThreads restores the CPUs of any thread that EAL's start pinned: the
// runtime clones threads from whichever is at hand, and the child inherits.
func unpinThreads(allowed []int, o Options) {
	want := cpuSet(allowed)
	for _, t := range threads() {
		var got unix.CPUSet
		if unix.SchedGetaffinity(t.tid, &got) != nil || got == want {
			continue
		}
		if len(o.MainCPUs) != 0 && got == cpuSet(o.MainCPUs) {
			continue
		}
		if err := unix.SchedSetaffinity(t.tid, &want); err != nil {
			o.Log.Warn("dpdk: a thread is pinned and cannot be freed", "thread", t.name, "error", err)
		}
	}
}

// Cleanup stops EAL and gives its memory back. Every lcore must have been
// unregistered and every port closed. EAL cannot be started again.
func Cleanup() error {
	eal.mu.Lock()
	defer eal.mu.Unlock()
	if eal.state != ealUp {
		return ErrNotInitialised
	}
	eal.state = ealDown
	result := make(chan error)
	eal.calls <- func() { result <- check(C.nd_eal_cleanup()) }
	err := <-result
	eal.log.close()
	if err != nil {
		return fmt.Errorf("dpdk: cleaning up EAL: %w", err)
	}
	return nil
}

// Hugepages reports whether packet memory comes from hugepages.
func Hugepages() bool { return isUp() && C.nd_eal_has_hugepages() != 0 }

func isUp() bool {
	eal.mu.Lock()
	defer eal.mu.Unlock()
	return eal.state == ealUp
}
