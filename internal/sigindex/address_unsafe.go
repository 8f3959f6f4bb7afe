package sigindex

import "unsafe"

// Address returns where the first bucket of a hash lies, for a prefetch.
func (t *Table) Address(hash uint64) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(t.buckets))) + uintptr(t.first(hash))*unsafe.Sizeof(bucket{})
}
