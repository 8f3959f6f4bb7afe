package prefetch

import "testing"

// A prefetch cannot be seen, but that it neither faults nor allocates can.
func TestFirstTakesAnyAddress(t *testing.T) {
	var l Lines
	for i := range l {
		l[i] = uintptr(i) * 0x1234_5678_9abc
	}
	if n := testing.AllocsPerRun(10, func() {
		for _, n := range []int{-1, 0, 1, 63, Max, Max + 1, 1 << 40} {
			First(&l, n)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
