package rings

import "unsafe"

// address returns where p lies, for a device to read. Only for memory outside
// the Go heap, or that its owner keeps alive.
func address(p *uint64) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }
