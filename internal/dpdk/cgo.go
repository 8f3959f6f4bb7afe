// Package dpdk is nitrod's own binding to DPDK (22.11 LTS and newer): EAL,
// lcores, mempools, ports, rings, and bursts of packets as pktio describes
// them. It is the only package of the project that imports "C".
//
// The binding keeps DPDK's vocabulary, and a few rules of its own:
//
//   - No layout of DPDK's crosses into Go. Packets, pools and rings are integers
//     there; what Go needs of a packet is copied into a pktio.Desc.
//   - An lcore crosses into C once to receive, for all of its queues, and once
//     to transmit, for all ports and all packets to be freed.
//   - Offloads (checksum, segmentation, LRO, VLAN) are never enabled. Where
//     a peer leaves a checksum half done all the same, it is completed in
//     software before the packet is handed out.
//   - Whatever fails says which device, what was wanted, and why not; the
//     driver's last log line is part of the error.
//
// EAL exists once per process, and so does this package's state.
package dpdk

/*
#cgo pkg-config: libdpdk
#cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Wno-unused-parameter
#cgo LDFLAGS: -lrte_net_ring
#cgo noescape nd_io_rx
#cgo nocallback nd_io_rx
#cgo noescape nd_io_tx
#cgo nocallback nd_io_tx
#cgo noescape nd_io_alloc
#cgo nocallback nd_io_alloc
#cgo noescape nd_io_idle
#cgo nocallback nd_io_idle
#cgo noescape nd_io_arm
#cgo nocallback nd_io_arm
#cgo noescape nd_io_get_stats
#cgo nocallback nd_io_get_stats
#cgo noescape nd_free_burst
#cgo nocallback nd_free_burst
#cgo noescape nd_ring_enqueue
#cgo nocallback nd_ring_enqueue
#cgo noescape nd_ring_dequeue
#cgo nocallback nd_ring_dequeue
#include "nd.h"
*/
import "C"

// Version returns the version of DPDK that the process runs with.
func Version() string { return C.GoString(C.nd_dpdk_version()) }

// MaxPorts returns how many ports this build of DPDK can hold
// (RTE_MAX_ETHPORTS; 32 in Debian's packages).
func MaxPorts() int { return int(C.nd_max_ports()) }
