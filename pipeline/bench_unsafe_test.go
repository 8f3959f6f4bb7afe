package pipeline

import "unsafe"

// startOf returns where b lies, for memory outside the Go heap.
func startOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
