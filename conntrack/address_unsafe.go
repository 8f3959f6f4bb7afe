package conntrack

import "unsafe"

// Bucket returns where Find looks first for a flow hash, for a prefetch.
func (t *Table) Bucket(h uint64) uintptr { return t.index.Address(h) }

// Address returns where what every packet needs of a session lies, for a
// prefetch.
func (t *Table) Address(id uint32) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(t.sessions))) + uintptr(id)*unsafe.Sizeof(Session{})
}
