package pktio

import "unsafe"

// Bytes returns the n bytes at an address outside the Go heap, as a Desc or a
// TxRun gives it. They are valid as long as the caller owns what lies there.
func Bytes(addr uint64, n uint32) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), n)
}

// Handles returns the handles of a TxRun.
func (r *TxRun) Handles() []uint64 {
	return unsafe.Slice((*uint64)(*(*unsafe.Pointer)(unsafe.Pointer(&r.Bufs))), r.N)
}
