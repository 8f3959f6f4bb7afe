package dpdk

/*
#include <stdlib.h>
#include "nd.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// The usual data rooms, in bytes: what one segment of a packet holds, headroom
// not counted. The larger one takes a frame of AWS's MTU, 9,001, in one segment.
const (
	DataRoomStandard = 2048
	DataRoomJumbo    = 9728
)

// maxDataRoom leaves room for the headroom in a 16-bit length.
const maxDataRoom = 65535 - 128

// PoolConfig describes a pool of packets.
type PoolConfig struct {
	Name string // unique in the process, at most 25 bytes
	// Count is the number of segments; a power of two less one wastes least.
	Count int
	// Cache is how many segments each lcore keeps to itself, at most 512 and
	// two thirds of Count.
	Cache int
	// DataRoom is the bytes of data in a segment; 0: DataRoomStandard.
	DataRoom int
}

// Pool is a pool of packet segments (mbufs).
//
// Thread-safety: all methods but Close may be called from any goroutine.
type Pool struct {
	h        C.nd_handle
	name     string
	count    int
	dataRoom int
}

// NewPool creates a pool. The caller owns it and closes it after everything
// that took packets from it.
func NewPool(c PoolConfig) (*Pool, error) {
	if !isUp() {
		return nil, ErrNotInitialised
	}
	if c.DataRoom == 0 {
		c.DataRoom = DataRoomStandard
	}
	if c.Count <= 0 || c.Cache < 0 || c.DataRoom < 0 || c.DataRoom > maxDataRoom {
		return nil, fmt.Errorf("dpdk: pool %s: count %d, cache %d, data room %d make no pool", c.Name, c.Count, c.Cache, c.DataRoom)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	name := C.CString(c.Name)
	defer C.free(unsafe.Pointer(name))
	p := &Pool{name: c.Name, count: c.Count, dataRoom: c.DataRoom}
	C.nd_log_forget()
	err := check(C.nd_pool_create(name, C.uint32_t(c.Count), C.uint32_t(c.Cache), C.uint16_t(c.DataRoom), &p.h))
	if err != nil {
		return nil, fmt.Errorf("dpdk: pool %s of %d packets, cache %d, data room %d: %w", c.Name, c.Count, c.Cache, c.DataRoom, withLog(err))
	}
	return p, nil
}

// Name returns the pool's name.
func (p *Pool) Name() string { return p.name }

// Count returns the number of segments.
func (p *Pool) Count() int { return p.count }

// DataRoom returns the bytes of data that a segment holds.
func (p *Pool) DataRoom() int { return p.dataRoom }

// Available returns how many segments are free; those in caches are.
func (p *Pool) Available() int { return int(C.nd_pool_available(p.h)) }

// InUse returns how many segments are taken: packets, and what devices hold to
// receive into. While lcores run, it is a snapshot.
func (p *Pool) InUse() int { return int(C.nd_pool_in_use(p.h)) }

// Close frees the pool. Nothing may hold a packet of it any more.
func (p *Pool) Close() {
	C.nd_pool_free(p.h)
	p.h = 0
}
