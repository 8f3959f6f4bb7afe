package dpdk

/*
#include <stdlib.h>
#include "nd.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

// RingConfig describes a ring.
type RingConfig struct {
	Name string // unique in the process, at most 28 bytes
	Size int    // how many handles it holds, exactly
	// SingleProducer and SingleConsumer promise that one thread at a time
	// enqueues or dequeues; the ring is then cheaper.
	SingleProducer, SingleConsumer bool
}

// Ring is an rte_ring of packet handles (or any 64-bit values).
//
// Thread-safety: as RingConfig says. Without the promises, threads that share
// a CPU must not use the ring at once: a preempted one holds up the others.
type Ring struct {
	h    C.nd_handle
	name string
}

// NewRing creates a ring, which the caller owns.
func NewRing(c RingConfig) (*Ring, error) {
	if !isUp() {
		return nil, ErrNotInitialised
	}
	if c.Size <= 0 || c.Size >= 1<<31 {
		return nil, fmt.Errorf("dpdk: ring %s: a size of %d is not possible", c.Name, c.Size)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	name := C.CString(c.Name)
	defer C.free(unsafe.Pointer(name))
	r := &Ring{name: c.Name}
	C.nd_log_forget()
	err := check(C.nd_ring_create(name, C.uint32_t(c.Size), cInt(c.SingleProducer), cInt(c.SingleConsumer), &r.h))
	if err != nil {
		return nil, fmt.Errorf("dpdk: ring %s of %d: %w", c.Name, c.Size, withLog(err))
	}
	return r, nil
}

// Close frees the ring, not what is in it.
func (r *Ring) Close() {
	C.nd_ring_free(r.h)
	r.h = 0
}

// Enqueue puts as many of objs into the ring as there is room for, in order,
// and returns how many.
func (r *Ring) Enqueue(objs []uint64) int {
	if len(objs) == 0 {
		return 0
	}
	return int(C.nd_ring_enqueue(r.h, (*C.uint64_t)(unsafe.SliceData(objs)), C.uint32_t(len(objs))))
}

// Dequeue fills objs with what is in the ring, oldest first, and returns how
// many it filled.
func (r *Ring) Dequeue(objs []uint64) int {
	if len(objs) == 0 {
		return 0
	}
	return int(C.nd_ring_dequeue(r.h, (*C.uint64_t)(unsafe.SliceData(objs)), C.uint32_t(len(objs))))
}

// Len returns how many handles are in the ring.
func (r *Ring) Len() int { return int(C.nd_ring_count(r.h)) }

// Cap returns how many handles the ring holds.
func (r *Ring) Cap() int { return int(C.nd_ring_capacity(r.h)) }

// ringPortPrefix is what net_ring puts before the name of a port made of rings.
const ringPortPrefix = "net_ring_"

// OpenRingPort makes a port whose queues are the given rings: it receives from
// rx and sends into tx, one ring per queue. c.Device is the port's name, and the
// numbers of queues in c are not used. The rings must outlive the port.
//
// Limits: 16 rings in each direction.
func OpenRingPort(c PortConfig, rx, tx []*Ring) (*Port, error) {
	if !isUp() {
		return nil, ErrNotInitialised
	}
	if len(rx) == 0 || len(tx) == 0 {
		return nil, errors.New("dpdk: a port of rings needs one at least in each direction")
	}
	name := ringPortPrefix + c.Device
	if c.Device == "" || strings.Contains(c.Device, ",") || len(name) >= C.ND_NAME_MAX {
		return nil, fmt.Errorf("dpdk: %q is no name for a port of rings", c.Device)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ethdev.Lock()
	defer ethdev.Unlock()
	if err := claimDevice(name); err != nil {
		return nil, err
	}
	cname := C.CString(c.Device)
	defer C.free(unsafe.Pointer(cname))
	rxh, txh := handles(rx), handles(tx)
	var id C.uint16_t
	C.nd_log_forget()
	err := check(C.nd_ring_port(cname, &rxh[0], C.uint32_t(len(rxh)), &txh[0], C.uint32_t(len(txh)), &id))
	if err != nil {
		releaseDevice(name)
		return nil, fmt.Errorf("dpdk: port %s of %d and %d rings: %w", c.Device, len(rx), len(tx), withLog(err))
	}
	c.Device, c.RxQueues, c.TxQueues = name, len(rx), len(tx)
	return adoptPort(uint16(id), name, c)
}

func handles(rings []*Ring) []C.uint64_t {
	h := make([]C.uint64_t, len(rings))
	for i, r := range rings {
		h[i] = C.uint64_t(r.h)
	}
	return h
}

func cInt(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
