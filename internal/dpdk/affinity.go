package dpdk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Warning names a thread that may run on an lcore's CPU, where it would take
// time from the poller.
type Warning struct {
	TID    int
	Thread string // its name
	CPUs   []int  // the lcores' CPUs on which it may run
}

// String is the warning as a sentence.
func (w Warning) String() string {
	return fmt.Sprintf("thread %d (%s) may run on CPU %s, which belongs to an lcore", w.TID, w.Thread, joinCPUs(w.CPUs))
}

// confined are the CPUs of all threads other than lcores, once
// ConfineControlThreads was called.
var confined struct {
	sync.Mutex
	cpus []int
}

// CheckAffinity lists the threads of the process, registered lcores excepted,
// that may run on one of the given CPUs.
//
// Thread-safety: may be called from any goroutine.
func CheckAffinity(lcoreCPUs []int) []Warning {
	var warnings []Warning
	for _, t := range threads() {
		if isLcoreThread(t.tid) {
			continue
		}
		may, err := allowedCPUs(t.tid)
		if err != nil {
			continue // it ended meanwhile
		}
		shared := slices.DeleteFunc(may, func(cpu int) bool { return !slices.Contains(lcoreCPUs, cpu) })
		if len(shared) != 0 {
			warnings = append(warnings, Warning{TID: t.tid, Thread: t.name, CPUs: shared})
		}
	}
	return warnings
}

// ConfineControlThreads moves every thread of the process, registered lcores
// excepted, to the given CPUs; threads that these create later inherit that,
// and OpenPort repeats it for the threads that drivers create.
//
// Thread-safety: may be called from any goroutine.
func ConfineControlThreads(cpus []int) error {
	if len(cpus) == 0 {
		return errors.New("dpdk: no CPU is left for control threads")
	}
	confined.Lock()
	confined.cpus = slices.Clone(cpus)
	confined.Unlock()
	return confineThreads(cpus)
}

// reconfine catches the threads that a driver created with CPUs of their own.
func reconfine() error {
	confined.Lock()
	cpus := confined.cpus
	confined.Unlock()
	if cpus == nil {
		return nil
	}
	return confineThreads(cpus)
}

func confineThreads(cpus []int) error {
	want := cpuSet(cpus)
	// A thread cloned meanwhile from one not yet moved is seen by the next
	// pass; the last pass finds no new one.
	moved := make(map[int]bool)
	for more := true; more; {
		more = false
		for _, t := range threads() {
			var got unix.CPUSet
			if moved[t.tid] || isLcoreThread(t.tid) || unix.SchedGetaffinity(t.tid, &got) != nil || got == want {
				continue
			}
			err := unix.SchedSetaffinity(t.tid, &want)
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("dpdk: moving thread %d (%s) to CPU %s: %w", t.tid, t.name, joinCPUs(cpus), err)
			}
			moved[t.tid] = true
			more = true
		}
	}
	return nil
}

type thread struct {
	tid  int
	name string
}

// threads lists the threads of the process.
func threads() []thread {
	entries, _ := os.ReadDir("/proc/self/task")
	list := make([]thread, 0, len(entries))
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		name, err := os.ReadFile("/proc/self/task/" + e.Name() + "/comm")
		if err != nil {
			continue
		}
		list = append(list, thread{tid: tid, name: strings.TrimSpace(string(name))})
	}
	return list
}

// allowedCPUs returns the CPUs on which a thread may run; 0 is the caller's.
func allowedCPUs(tid int) ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		return nil, err
	}
	cpus := make([]int, 0, set.Count())
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func cpuSet(cpus []int) unix.CPUSet {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return set
}

func joinCPUs(cpus []int) string {
	text := make([]string, len(cpus))
	for i, cpu := range cpus {
		text[i] = strconv.Itoa(cpu)
	}
	return strings.Join(text, ",")
}
