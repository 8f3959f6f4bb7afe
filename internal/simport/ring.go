package simport

import "sync/atomic"

// ring is a bounded queue of slots between two goroutines.
//
// Thread-safety: one goroutine pushes, one pops; each end may pass from one
// goroutine to another if something orders the two.
type ring struct {
	buf  []uint32
	mask uint32
	size uint32 // how many it may hold, at most len(buf)

	_    [64]byte
	head atomic.Uint32 // next to pop
	_    [60]byte
	tail atomic.Uint32 // next to push
	_    [60]byte
}

func newRing(size int) *ring {
	n := 1
	for n < size {
		n *= 2
	}
	return &ring{buf: make([]uint32, n), mask: uint32(n - 1), size: uint32(size)}
}

func (r *ring) push(v uint32) bool {
	t := r.tail.Load()
	if t-r.head.Load() >= r.size {
		return false
	}
	r.buf[t&r.mask] = v
	r.tail.Store(t + 1)
	return true
}

func (r *ring) pop() (uint32, bool) {
	h := r.head.Load()
	if h == r.tail.Load() {
		return 0, false
	}
	v := r.buf[h&r.mask]
	r.head.Store(h + 1)
	return v, true
}

func (r *ring) len() int { return int(r.tail.Load() - r.head.Load()) }
