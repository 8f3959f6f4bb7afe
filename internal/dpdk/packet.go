package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/nitrod/nitrod/internal/pktio"
)

// FreeBurst frees packets outside an IO: at shutdown, and in tests.
//
// Thread-safety: may be called from any goroutine; each packet is freed once.
func FreeBurst(bufs []uint64) {
	if len(bufs) != 0 {
		C.nd_free_burst((*C.uint64_t)(unsafe.SliceData(bufs)), C.uint32_t(len(bufs)))
	}
}

// PacketFromBytes copies frame into a fresh packet, chained where it does not
// fit into one segment. first, if not 0, is the most that the first segment
// takes. The caller owns the packet.
func PacketFromBytes(pool *Pool, frame []byte, first int) (pktio.Desc, error) {
	var d pktio.Desc
	if len(frame) == 0 || first < 0 {
		return d, errors.New("dpdk: a packet has at least one byte")
	}
	err := check(C.nd_packet_from_bytes(pool.h, unsafe.Pointer(&frame[0]), C.uint32_t(len(frame)), C.uint32_t(first),
		(*C.struct_nd_desc)(unsafe.Pointer(&d))))
	if err != nil {
		return d, fmt.Errorf("dpdk: packet of %d bytes from pool %s: %w", len(frame), pool.name, err)
	}
	return d, nil
}

// PacketBytes returns a copy of the packet's bytes as they are now, over all its
// segments. The packet stays with the caller.
func PacketBytes(d pktio.Desc) ([]byte, error) {
	out := make([]byte, max(C.nd_packet_length(C.uint64_t(d.Buf)), 1))
	n := C.nd_packet_read(C.uint64_t(d.Buf), unsafe.Pointer(&out[0]), C.uint32_t(len(out)))
	if err := check(n); err != nil {
		return nil, fmt.Errorf("dpdk: reading a packet of %d bytes: %w", len(out), err)
	}
	return out[:n], nil
}
