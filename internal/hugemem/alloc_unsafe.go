//go:build !race

package hugemem

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

func alloc[T any](n, size int) (*Block[T], error) {
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	kind := KindHuge
	var raw []byte
	err := error(unix.ENOMEM)
	if size >= hugePage/2 && !noHugepages.Load() {
		// The pages are reserved here, so that a pool that runs dry later
		// cannot kill the process at first touch.
		raw, err = unix.Mmap(-1, 0, roundUp(size, hugePage), prot, flags|unix.MAP_HUGETLB)
	}
	if err != nil {
		kind = KindSmall
		raw, err = unix.Mmap(-1, 0, roundUp(size, unix.Getpagesize()), prot, flags)
		if err != nil {
			return nil, fmt.Errorf("hugemem: map %d bytes: %w", size, err)
		}
		if size >= hugePage {
			_ = unix.Madvise(raw, unix.MADV_HUGEPAGE) // advice only
		}
	}
	return &Block[T]{Items: unsafe.Slice((*T)(unsafe.Pointer(&raw[0])), n), Kind: kind, raw: raw}, nil
}

// Free gives the memory back. Items must not be used afterwards.
func (b *Block[T]) Free() error {
	if b.raw == nil {
		return nil
	}
	raw := b.raw
	b.raw, b.Items, b.Kind = nil, nil, KindNone
	return unix.Munmap(raw)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
