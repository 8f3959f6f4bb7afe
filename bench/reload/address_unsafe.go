package reload

import "unsafe"

// startOf returns where b begins. The memory must lie outside the Go heap.
func startOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
