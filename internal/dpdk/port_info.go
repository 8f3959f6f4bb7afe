package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"fmt"
	"math"
	"net"
	"slices"
)

// Link is the state of a port's link.
type Link struct {
	Up         bool
	SpeedMbps  uint32 // 0: unknown
	FullDuplex bool
}

// PortStats are a port's basic counters, since it was opened.
type PortStats struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
	RxMissed             uint64 // dropped by the device: no descriptor was free
	RxErrors, TxErrors   uint64
	RxNoMbuf             uint64 // dropped by the driver: the pool was empty
}

// XStat is one of the counters that a driver has of its own.
type XStat struct {
	Name  string
	Value uint64
}

// ID returns the port's number in DPDK, which a pktio.TxRun names.
func (p *Port) ID() uint16 { return p.id }

// Name returns the device's name, such as "net_tap0".
func (p *Port) Name() string { return p.name }

// Device returns the device string with which the port was opened.
func (p *Port) Device() string { return p.device }

// Driver returns the name of the driver, such as "net_tap".
func (p *Port) Driver() string { return p.driver }

// RxQueues returns the number of receive queues.
func (p *Port) RxQueues() int { return p.rxQueues }

// TxQueues returns the number of transmit queues.
func (p *Port) TxQueues() int { return p.txQueues }

// RxDesc returns the descriptors of a receive queue, as the driver took them.
func (p *Port) RxDesc() int { return p.rxDesc }

// TxDesc returns the descriptors of a transmit queue, as the driver took them.
func (p *Port) TxDesc() int { return p.txDesc }

// MTU returns the MTU in bytes.
func (p *Port) MTU() int { return p.mtu }

// MAC returns the MAC that the device has on nitrod's side.
func (p *Port) MAC() net.HardwareAddr { return slices.Clone(p.mac) }

// String returns the device's name.
func (p *Port) String() string {
	if p == nil {
		return "no port"
	}
	return p.name
}

// Link returns the state of the link, without waiting for it.
func (p *Port) Link() (Link, error) {
	var l C.struct_nd_link
	if err := check(C.nd_port_link(C.uint16_t(p.id), &l)); err != nil {
		return Link{}, fmt.Errorf("dpdk: link of %s: %w", p.name, err)
	}
	speed := uint32(l.speed_mbps)
	if speed == math.MaxUint32 {
		speed = 0
	}
	return Link{Up: l.up != 0, SpeedMbps: speed, FullDuplex: l.full_duplex != 0}, nil
}

// Stats returns the basic counters.
func (p *Port) Stats() (PortStats, error) {
	var s C.struct_nd_port_stats
	if err := check(C.nd_port_get_stats(C.uint16_t(p.id), &s)); err != nil {
		return PortStats{}, fmt.Errorf("dpdk: counters of %s: %w", p.name, err)
	}
	return PortStats{
		RxPackets: uint64(s.rx_packets),
		TxPackets: uint64(s.tx_packets),
		RxBytes:   uint64(s.rx_bytes),
		TxBytes:   uint64(s.tx_bytes),
		RxMissed:  uint64(s.rx_missed),
		RxErrors:  uint64(s.rx_errors),
		TxErrors:  uint64(s.tx_errors),
		RxNoMbuf:  uint64(s.rx_nombuf),
	}, nil
}

// XStats returns the driver's own counters, in the driver's order.
func (p *Port) XStats() ([]XStat, error) {
	n := C.nd_port_xstats(C.uint16_t(p.id), nil, 0)
	if n > 0 {
		buf := make([]C.struct_nd_xstat, n)
		n = min(n, C.nd_port_xstats(C.uint16_t(p.id), &buf[0], C.uint32_t(n)))
		if n > 0 {
			list := make([]XStat, n)
			for i := range list {
				list[i] = XStat{Name: C.GoString(&buf[i].name[0]), Value: uint64(buf[i].value)}
			}
			return list, nil
		}
	}
	if err := check(n); err != nil {
		return nil, fmt.Errorf("dpdk: extended counters of %s: %w", p.name, err)
	}
	return nil, nil
}
