package flowcache

import (
	"testing"
	"unsafe"
)

func TestEntryIsOneLine(t *testing.T) {
	if n := unsafe.Sizeof(Entry{}); n != 64 {
		t.Fatalf("an entry has %d bytes, want 64", n)
	}
}
