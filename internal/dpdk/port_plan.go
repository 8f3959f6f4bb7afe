package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"fmt"
	"math"
	"syscall"
)

const (
	errENOTSUP = syscall.ENOTSUP
	errENOSYS  = syscall.ENOSYS
)

// frameOverhead is what a frame has besides the MTU's bytes: Ethernet header
// and two VLAN tags. The checksum is not part of it here.
const frameOverhead = 14 + 2*4

// traits are what a driver does and does not say, or says and does not do.
type traits struct {
	chainsRx bool // receives into chains without announcing SCATTER
	chainsTx bool // sends chains without announcing MULTI_SEGS
	// partial: it receives from the host's kernel, which leaves checksums
	// half done and has no way to say so.
	partial bool
	// stream: a receive queue is a read into the whole descriptor list, which
	// should therefore be no longer than a frame needs.
	stream bool
	// anyMTU: the limit it announces is not one (see port_mtu.c).
	anyMTU bool
}

// drivers is the table of the peculiar ones, checked against DPDK 22.11.
var drivers = map[string]traits{
	"net_af_packet": {partial: true},
	"net_af_xdp":    {partial: true},
	"net_memif":     {chainsRx: true},
	"net_null":      {chainsRx: true, chainsTx: true},
	"net_pcap":      {chainsRx: true, chainsTx: true},
	"net_tap":       {stream: true, anyMTU: true},
	"net_vhost":     {chainsRx: true},
}

// What an IO must know of a port.
const (
	portNoChainsTx   = C.ND_PORT_NO_CHAINS_TX
	portCheckPartial = C.ND_PORT_CHECK_PARTIAL
	portInterrupts   = C.ND_PORT_INTERRUPTS
)

// setPortFlags must precede the IOs that use the port.
func setPortFlags(p *Port, flags uint8) { C.nd_port_set_flags(C.uint16_t(p.id), C.uint8_t(flags)) }

// maxTapMTU is the kernel's limit: a frame of 65,535 bytes less its header.
const maxTapMTU = 65521

// portLimits are what a driver announces.
type portLimits struct {
	driver             string
	rxQueues, txQueues int // most
	minMTU, maxMTU     int
	scatter, multiSegs bool
}

func limitsOf(info *C.struct_nd_port_info) portLimits {
	return portLimits{
		driver:    C.GoString(&info.driver[0]),
		rxQueues:  int(info.max_rx_queues),
		txQueues:  int(info.max_tx_queues),
		minMTU:    int(info.min_mtu),
		maxMTU:    int(info.max_mtu),
		scatter:   info.scatter != 0,
		multiSegs: info.multi_segs != 0,
	}
}

// portPlan is how a port will be configured.
type portPlan struct {
	rxQueues, txQueues int
	rxDesc, txDesc     int // 0: the driver's choice
	mtu                int // 0: as the device has it
	forceMTU           int // 0: none; else the MTU to set behind ethdev's back
	scatter, multiSegs bool
	interrupts         bool
	flags              uint8
}

// planPort fits what is wanted to what the driver can do, or says why not.
func planPort(c PortConfig, l portLimits) (portPlan, error) {
	t := drivers[l.driver]
	p := portPlan{
		rxQueues:  max(c.RxQueues, 1),
		txQueues:  max(c.TxQueues, 1),
		rxDesc:    c.RxDesc,
		txDesc:    c.TxDesc,
		mtu:       c.MTU,
		multiSegs: l.multiSegs,

		interrupts: c.Interrupts,
	}
	if c.RxQueues < 0 || c.TxQueues < 0 || outside16(c.RxDesc) || outside16(c.TxDesc) || outside16(c.MTU) {
		return p, fmt.Errorf("%d receive and %d transmit queues, %d and %d descriptors, MTU %d: a number is out of range",
			c.RxQueues, c.TxQueues, c.RxDesc, c.TxDesc, c.MTU)
	}
	if p.rxQueues > l.rxQueues {
		return p, fmt.Errorf("%d receive queues are wanted, the driver %s has at most %d", p.rxQueues, l.driver, l.rxQueues)
	}
	if p.txQueues > l.txQueues {
		return p, fmt.Errorf("%d transmit queues are wanted, the driver %s has at most %d", p.txQueues, l.driver, l.txQueues)
	}
	if err := p.planMTU(l, t); err != nil {
		return p, err
	}
	room := c.Pool.DataRoom()
	frame := max(p.mtu, p.forceMTU) + frameOverhead
	if frame > room {
		p.scatter = l.scatter
		if !l.scatter && !t.chainsRx {
			return p, fmt.Errorf("MTU %d makes frames of %d bytes, the data room of pool %s is %d, and the driver %s does not receive into several segments: a pool with a larger data room is needed",
				frame-frameOverhead, frame, c.Pool.Name(), room, l.driver)
		}
	}
	if t.stream {
		p.rxDesc = 1 + (frame-1)/room
	}
	if !l.multiSegs && !t.chainsTx {
		p.flags |= portNoChainsTx
	}
	if t.partial {
		p.flags |= portCheckPartial
	}
	if p.interrupts {
		p.flags |= portInterrupts
	}
	return p, nil
}

func (p *portPlan) planMTU(l portLimits, t traits) error {
	switch {
	case p.mtu == 0:
		return nil
	case p.mtu < l.minMTU:
		return fmt.Errorf("MTU %d is wanted, the driver %s does no less than %d", p.mtu, l.driver, l.minMTU)
	case p.mtu <= l.maxMTU:
		return nil
	case t.anyMTU && p.mtu <= maxTapMTU:
		p.mtu, p.forceMTU = 0, p.mtu
		return nil
	default:
		return fmt.Errorf("MTU %d is wanted, the driver %s carries at most %d", p.mtu, l.driver, l.maxMTU)
	}
}

func outside16(n int) bool { return n < 0 || n > math.MaxUint16 }
