package pipeline

import (
	"testing"
	"unsafe"
)

func TestLayout(t *testing.T) {
	if n := unsafe.Sizeof(Meta{}); n != 40 {
		t.Errorf("Meta has %d bytes, want 40", n)
	}
	if n := unsafe.Sizeof(item{}); n != 128 {
		t.Errorf("item has %d bytes, want 128: two cache lines", n)
	}
}
