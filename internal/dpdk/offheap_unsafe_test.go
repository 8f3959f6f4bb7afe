package dpdk

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newOffHeap returns n words outside the Go heap, as a TxRun needs them.
func newOffHeap(t testing.TB, n int) []uint64 {
	t.Helper()
	words, err := mapWords(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), cap(words)*8))
	})
	return words
}

func mapWords(n int) ([]uint64, error) {
	mem, err := unix.Mmap(-1, 0, max(n, 1)*8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(&mem[0])), max(n, 1))[:n], nil
}

func addressOf(words []uint64) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(words))))
}

// bytesAt is the memory that a Desc points at.
func bytesAt(addr uint64, n int) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), n)
}
