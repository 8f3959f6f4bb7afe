// Package hugemem gives memory that the garbage collector neither scans nor
// counts, for the big tables of the hot path: huge pages where the kernel has
// free ones, else an anonymous mapping for which transparent huge pages are
// asked.
//
// Huge pages are taken from the kernel directly, not through DPDK: both take
// them from the same pool, and so tables work without DPDK, with --no-huge, and
// vanish with the process, however it ends.
//
// Under the race build tag the memory comes from the Go heap, because the race
// detector does not see mappings of one's own.
//
// Thread-safety: Alloc and Free may be called from any goroutine. Who may touch
// the memory is for its owner to say.
//
// Limits: elements must hold no Go pointers (Alloc panics: it is a mistake in
// the program), since nothing would keep alive what they point to.
package hugemem

import (
	"fmt"
	"reflect"
	"sync/atomic"
)

// NoHugepages makes Alloc take ordinary pages from now on, for a process that
// is to leave the machine's huge pages alone.
func NoHugepages() { noHugepages.Store(true) }

var noHugepages atomic.Bool

// Kind says what kind of pages stand behind a block of memory.
type Kind uint8

// The kinds of memory.
const (
	KindNone  Kind = iota
	KindHeap       // the Go heap (race builds)
	KindSmall      // anonymous, transparent huge pages asked for
	KindHuge       // huge pages
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case KindHeap:
		return "heap"
	case KindSmall:
		return "anonymous"
	case KindHuge:
		return "hugepages"
	}
	return "none"
}

// Block is memory for n values of T, zeroed, aligned to a page.
type Block[T any] struct {
	Items []T
	Kind  Kind
	raw   []byte
}

// Alloc returns a block of n zeroed values.
func Alloc[T any](n int) (*Block[T], error) {
	t := reflect.TypeFor[T]()
	if hasPointers(t) {
		panic("hugemem: " + t.String() + " holds pointers")
	}
	if n <= 0 {
		return nil, fmt.Errorf("hugemem: %d elements of %s asked for", n, t)
	}
	size := uint64(n) * uint64(t.Size())
	if size/uint64(n) != uint64(t.Size()) || size > 1<<46 {
		return nil, fmt.Errorf("hugemem: %d elements of %s are more than can be mapped", n, t)
	}
	return alloc[T](n, int(size))
}

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return true
}
