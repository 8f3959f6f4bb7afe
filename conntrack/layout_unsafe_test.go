package conntrack

import (
	"testing"
	"unsafe"
)

// Two cache lines: what every packet touches, and what names the session.
func TestSessionLayout(t *testing.T) {
	var s Session
	if n := unsafe.Sizeof(s); n != 128 {
		t.Errorf("a session has %d bytes, want 128", n)
	}
	for _, f := range []struct {
		name       string
		start, end uintptr
	}{
		{"head", unsafe.Offsetof(s.head), unsafe.Sizeof(s.head)},
		{"clock", unsafe.Offsetof(s.clock), unsafe.Sizeof(s.clock)},
		{"packets", unsafe.Offsetof(s.packets), unsafe.Sizeof(s.packets)},
		{"bytes", unsafe.Offsetof(s.bytes), unsafe.Sizeof(s.bytes)},
		{"seq", unsafe.Offsetof(s.seq), unsafe.Sizeof(s.seq)},
	} {
		if f.start+f.end > 64 {
			t.Errorf("%s ends at byte %d, beyond the first line", f.name, f.start+f.end)
		}
	}
	if o := unsafe.Offsetof(s.key); o != 64 {
		t.Errorf("the key begins at byte %d, want 64", o)
	}
	if n := unsafe.Sizeof(allowance{}); n != 64 {
		t.Errorf("an allowance has %d bytes, want a cache line", n)
	}
	// 4 Mi sessions take no more than 160 bytes each.
	const sessions = 4 << 20
	size := unsafe.Sizeof(s)*sessions + unsafe.Sizeof(links{})*sessions + unsafe.Sizeof(suspect{})<<16 + sessions/4*64
	if size > 160*sessions {
		t.Errorf("a session takes %.1f bytes in all, want 160 at most", float64(size)/sessions)
	}
	tab := newTable(t, 4)
	if at := uintptr(unsafe.Pointer(tab.At(0))); at%64 != 0 {
		t.Errorf("the first session lies at %#x, across cache lines", at)
	}
}
