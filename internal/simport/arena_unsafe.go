package simport

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena is memory outside the Go heap: a Desc holds the address of a packet as
// a number, which the collector does not see and the pointer checks of a race
// build refuse to turn back into a pointer to the heap.
type arena struct {
	mem  []byte
	base uint64
}

func newArena(size int) arena {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(fmt.Sprintf("simport: map %d bytes: %v", size, err))
	}
	return arena{mem: mem, base: uint64(uintptr(unsafe.Pointer(&mem[0])))}
}

func (a *arena) close() {
	if a.mem == nil {
		return
	}
	if err := unix.Munmap(a.mem); err != nil {
		panic(fmt.Sprintf("simport: unmap: %v", err))
	}
	a.mem = nil
}
