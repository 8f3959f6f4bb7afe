package flowcache

import "unsafe"

// addressOf returns where an entry lies, for a prefetch.
func addressOf(entries []Entry, id uint32) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(entries))) + uintptr(id)*unsafe.Sizeof(Entry{})
}
