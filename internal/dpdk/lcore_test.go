package dpdk

import (
	"errors"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

// onGoroutine runs f on a goroutine of its own, whose thread may be pinned.
func onGoroutine(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}

func processCPUs(t testing.TB) []int {
	t.Helper()
	cpus, err := allowedCPUs(0)
	if err != nil || len(cpus) == 0 {
		t.Fatalf("CPUs of the process: %v, %v", cpus, err)
	}
	return cpus
}

func TestInitLeavesThreadsUnpinned(t *testing.T) {
	needEAL(t)
	all := processCPUs(t)
	for _, th := range threads() {
		cpus, err := allowedCPUs(th.tid)
		if err == nil && !slices.Equal(cpus, all) {
			t.Errorf("thread %d (%s) may run on %v, the process on %v", th.tid, th.name, cpus, all)
		}
	}
}

func TestLcore(t *testing.T) {
	needEAL(t)
	all := processCPUs(t)
	cpu := all[len(all)-1]
	onGoroutine(func() {
		l, err := RegisterLcore(cpu)
		if err != nil {
			t.Error(err)
			return
		}
		if got, _ := allowedCPUs(0); !slices.Equal(got, []int{cpu}) || l.CPU() != cpu || l.ID() <= 0 {
			t.Errorf("lcore %d on CPU %d may run on %v", l.ID(), l.CPU(), got)
		}
		if got := LcoreCPUs(); !slices.Equal(got, []int{cpu}) {
			t.Errorf("the lcores' CPUs are %v, want %d", got, cpu)
		}
		if _, err := RegisterLcore(cpu); !errors.Is(err, syscall.EEXIST) {
			t.Errorf("a second lcore on the CPU gave %v", err)
		}
		onGoroutine(func() {
			if err := l.Unregister(); err == nil {
				t.Error("another goroutine unregistered the lcore")
			}
		})
		warnings := CheckAffinity([]int{cpu})
		if len(warnings) == 0 {
			t.Error("no thread may run on the lcore's CPU, though all may")
		}
		for _, w := range warnings {
			if w.TID == l.tid || !slices.Equal(w.CPUs, []int{cpu}) || w.String() == "" {
				t.Errorf("a wrong warning: %s", w)
			}
		}
		if err := l.Unregister(); err != nil {
			t.Error(err)
		}
		if got, _ := allowedCPUs(0); !slices.Equal(got, all) {
			t.Errorf("after Unregister the thread may run on %v, want %v", got, all)
		}
	})
	if got := LcoreCPUs(); len(got) != 0 {
		t.Errorf("lcores are left: %v", got)
	}
}

func TestLcoreOnAMissingCPU(t *testing.T) {
	needEAL(t)
	_, err := RegisterLcore(1000)
	wantError(t, err, "CPU 1000", "does not exist")
	_, err = RegisterLcore(-1)
	wantError(t, err, "CPU -1", "does not exist")
	if got := LcoreCPUs(); len(got) != 0 {
		t.Errorf("lcores are left: %v", got)
	}
}

func TestConfineControlThreads(t *testing.T) {
	needEAL(t)
	all := processCPUs(t)
	if len(all) < 2 {
		t.Skip("this machine has one CPU; confining needs two")
	}
	t.Cleanup(func() {
		if err := ConfineControlThreads(all); err != nil {
			t.Error(err)
		}
		confined.Lock()
		confined.cpus = nil
		confined.Unlock()
	})
	lcoreCPU, rest := all[len(all)-1], all[:len(all)-1]
	onGoroutine(func() {
		l, err := RegisterLcore(lcoreCPU)
		if err != nil {
			t.Error(err)
			return
		}
		if err := ConfineControlThreads(rest); err != nil {
			t.Error(err)
		}
		if w := CheckAffinity([]int{lcoreCPU}); len(w) != 0 {
			t.Errorf("threads stayed on the lcore's CPU: %v", w)
		}
		if got, _ := allowedCPUs(0); !slices.Equal(got, []int{lcoreCPU}) {
			t.Errorf("the lcore was moved to %v", got)
		}
		newThreads(4)
		if w := CheckAffinity([]int{lcoreCPU}); len(w) != 0 {
			t.Errorf("new threads run on the lcore's CPU: %v", w)
		}
		if err := l.Unregister(); err != nil {
			t.Error(err)
		}
	})
	// The kernel takes what exists of a set, so threads never get the whole of it.
	if err := ConfineControlThreads([]int{all[0], 1000}); err != nil {
		t.Error(err)
	}
	wantError(t, ConfineControlThreads([]int{1000}), "CPU 1000")
	if err := ConfineControlThreads(nil); err == nil {
		t.Error("threads were confined to no CPU")
	}
}

// newThreads makes the runtime clone n threads: each goroutine holds one.
func newThreads(n int) {
	hold, held := make(chan struct{}), make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread()
			held <- struct{}{}
			<-hold
		}()
	}
	for range n {
		<-held
	}
	close(hold)
}

func TestInitRunsOnce(t *testing.T) {
	needEAL(t)
	wantError(t, Init(Options{}), "once")
}
