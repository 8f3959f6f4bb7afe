package pipeline

import (
	"testing"
	"unsafe"
)

func TestLayout(t *testing.T) {
	if n := unsafe.Sizeof(Meta{}); n != 56 {
		t.Errorf("Meta has %d bytes, want 56", n)
	}
	if n := unsafe.Sizeof(item{}); n != 128 {
		t.Errorf("item has %d bytes, want 128: two cache lines", n)
	}
}
