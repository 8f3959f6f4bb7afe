package conntrack

import "unsafe"

// Address returns where what every packet needs of a session lies, for a
// prefetch.
func (t *Table) Address(id uint32) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(t.sessions))) + uintptr(id)*unsafe.Sizeof(Session{})
}
