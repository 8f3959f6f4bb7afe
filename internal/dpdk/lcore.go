package dpdk

/*
#include <stdlib.h>
#include "nd.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Lcore is a goroutine that is locked to a thread, pinned to a CPU, and known
// to DPDK, so that it has a cache of its own in every mempool.
type Lcore struct {
	id, cpu, tid int
	before       unix.CPUSet
}

// lcores are the registered threads: id of the thread -> CPU.
var lcores struct {
	sync.Mutex
	cpus map[int]int
}

// RegisterLcore makes the calling goroutine an lcore on the given CPU. The
// goroutine stays locked to its thread until Unregister.
//
// Limits: DPDK knows at most 128 lcores (RTE_MAX_LCORE). A CPU takes one.
func RegisterLcore(cpu int) (*Lcore, error) {
	if !isUp() {
		return nil, ErrNotInitialised
	}
	runtime.LockOSThread()
	l, err := registerThread(cpu)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("dpdk: lcore on CPU %d: %w", cpu, err)
	}
	return l, nil
}

func registerThread(cpu int) (*Lcore, error) {
	l := &Lcore{cpu: cpu, tid: unix.Gettid()}
	// The process may be restricted (cgroup, taskset, isolcpus), so ask before.
	if err := unix.SchedGetaffinity(0, &l.before); err != nil {
		return nil, err
	}
	if err := claimCPU(l.tid, cpu); err != nil {
		return nil, err
	}
	set := cpuSet([]int{cpu})
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		releaseCPU(l.tid)
		return nil, fmt.Errorf("the CPU does not exist, or is not allowed: %w", err)
	}
	name := C.CString(fmt.Sprintf("lcore-%d", cpu))
	defer C.free(unsafe.Pointer(name))
	C.nd_log_forget()
	id := C.nd_lcore_register(name)
	if err := check(id); err != nil {
		_ = unix.SchedSetaffinity(0, &l.before) // the first error counts
		releaseCPU(l.tid)
		return nil, withLog(err)
	}
	l.id = int(id)
	return l, nil
}

func claimCPU(tid, cpu int) error {
	lcores.Lock()
	defer lcores.Unlock()
	for _, c := range lcores.cpus {
		if c == cpu {
			return fmt.Errorf("the CPU has an lcore already: %w", unix.EEXIST)
		}
	}
	if _, ok := lcores.cpus[tid]; ok {
		return fmt.Errorf("the thread is an lcore already: %w", unix.EEXIST)
	}
	if lcores.cpus == nil {
		lcores.cpus = make(map[int]int)
	}
	lcores.cpus[tid] = cpu
	return nil
}

func releaseCPU(tid int) {
	lcores.Lock()
	defer lcores.Unlock()
	delete(lcores.cpus, tid)
}

func isLcoreThread(tid int) bool {
	lcores.Lock()
	defer lcores.Unlock()
	_, ok := lcores.cpus[tid]
	return ok
}

// LcoreCPUs returns the CPUs of the registered lcores, ascending.
func LcoreCPUs() []int {
	lcores.Lock()
	defer lcores.Unlock()
	cpus := make([]int, 0, len(lcores.cpus))
	for _, cpu := range lcores.cpus {
		cpus = append(cpus, cpu)
	}
	slices.Sort(cpus)
	return cpus
}

// ID returns the lcore's number in DPDK.
func (l *Lcore) ID() int { return l.id }

// CPU returns the CPU to which the lcore is pinned.
func (l *Lcore) CPU() int { return l.cpu }

// Unregister ends the lcore: its mempool caches are flushed, the thread gets
// its CPUs back, and the goroutine is unlocked from it. It must be called by
// the goroutine that called RegisterLcore.
func (l *Lcore) Unregister() error {
	if unix.Gettid() != l.tid {
		return fmt.Errorf("dpdk: lcore %d is unregistered by another goroutine than its own", l.id)
	}
	C.nd_lcore_unregister()
	releaseCPU(l.tid)
	// Threads confined since then must not regain the lcores' CPUs.
	confined.Lock()
	if confined.cpus != nil {
		l.before = cpuSet(confined.cpus)
	}
	confined.Unlock()
	if err := unix.SchedSetaffinity(0, &l.before); err != nil {
		// Still locked: the thread dies with the goroutine, and its pin with it.
		return fmt.Errorf("dpdk: lcore %d: freeing its thread: %w", l.id, err)
	}
	runtime.UnlockOSThread()
	return nil
}
