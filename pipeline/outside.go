package pipeline

import (
	"encoding/binary"
	"net/netip"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// This file is what the stages do at the ports that belong to no ENI: internet
// gateways (docs/semantics.md S4.7) and those of link-local services (S4.5). What
// comes by a gateway gets its private address before it is parsed, and what
// leaves by one its public address after all else is done, so that everything
// between knows private addresses only.

// fromOutside readies a frame that came by a port that belongs to no ENI, before
// it is parsed, and returns the reason to drop it, or Unset. Whatever it leaves
// alone because it is malformed the parser refuses.
func fromOutside(frame []byte, r *policy.ENIRecord, snap *policy.Snapshot) drop.Reason {
	if len(frame) < ethHeader+ipv4Header {
		return drop.Unset
	}
	etherType := binary.BigEndian.Uint16(frame[12:14])
	if frame[0]&1 != 0 {
		return groupFromOutside(frame, etherType)
	}
	if isND(frame, etherType, ndRouterSolicit) {
		return drop.NDNotAnswered // nobody's router is here
	}
	if [6]byte(frame[0:6]) != r.RouterMAC {
		return drop.DestinationMACUnknown
	}
	ip := frame[ethHeader:]
	if r.Flags&policy.IsInternetGateway == 0 || etherType != etherIPv4 || ip[0]>>4 != 4 {
		return drop.Unset
	}
	if !natIn(ip[:min(len(ip), max(ipv4Header, int(packet.IPv4Header(ip).TotalLen())))], snap.NAT(r.VPC)) {
		return drop.GatewayNoPrivateAddress
	}
	return drop.Unset
}

// groupFromOutside lets pass what nitrod answers at such a port: ARP and
// neighbour solicitations.
func groupFromOutside(frame []byte, etherType uint16) drop.Reason {
	const firstOctet = ethHeader + destinationField
	switch etherType {
	case etherIPv4:
		if frame[firstOctet]>>4 == 0xe {
			return drop.Multicast
		}
		return drop.Broadcast
	case etherIPv6:
		if !isND(frame, etherType, ndNeighborSolicit) {
			return drop.Multicast
		}
	}
	return drop.Unset
}

// isND reports whether a frame is a message of neighbour discovery of a type. One
// with extension headers is none: such messages have no use for them.
func isND(frame []byte, etherType uint16, typ uint8) bool {
	const nextHeader, icmpType = ethHeader + 6, ethHeader + ipv6Header
	return etherType == etherIPv6 && len(frame) > icmpType && frame[nextHeader] == protoICMPv6 && frame[icmpType] == typ
}

// arrive readies the packets from i on that came by port, which belongs to no
// ENI, for parse, and takes those out that it drops.
func (w *Worker) arrive(i int, port, eni uint16) {
	b := &w.burst
	for i < b.n && b.desc[i].Port == port {
		d := &b.desc[i]
		r := fromOutside(pktio.Bytes(d.Data, d.Len), &w.enis[eni], w.view.snap)
		if r == drop.Unset {
			i++
			continue
		}
		w.refuse(d, eni, r)
		copy(b.desc[i:], b.desc[i+1:b.n])
		b.n--
	}
}

// keepsTTL reports whether a packet is on its way to a link-local service or from
// one: a service answers with a TTL of 1, so that no answer goes further than its
// guest.
func (m *Meta) keepsTTL(dst *policy.ENIRecord) bool {
	return m.Flags&flagService != 0 || dst.Flags&policy.IsServicePort != 0
}

// destinationOf is the address from which nitrod complains about a packet that
// came by a port that belongs to no ENI: the packet's own destination, the only
// address of the VPC that the sender is known to reach.
func destinationOf(frame []byte, m *Meta) netip.Addr {
	if m.Flags&flagIPv6 != 0 {
		return packet.IPv6Header(frame[m.L3:]).DstAddr()
	}
	return packet.IPv4Header(frame[m.L3:]).DstAddr()
}

// rewriteRest is rewrite for what its common case leaves: packets that stay in
// their subnet, that are too long or too old, or that come by a port that
// belongs to no ENI or leave by one. length counts the bytes behind the Ethernet
// header.
func (w *Worker) rewriteRest(i int, m *Meta, length uint32) {
	dst, hop := &w.enis[m.Egress], &w.view.hops[m.Egress]
	if dst.Flags&policy.IsServicePort != 0 && !w.linkLocalAllowed(m.ENI) {
		w.dropAt(i, drop.LinkLocalAllowanceExceeded)
		return
	}
	frame := w.burst.frame(i)
	r := checkForward(frame, length, m, dst)
	if r == drop.MTUExceeded && w.fragment(i, hop) {
		return
	}
	if r == drop.Unset {
		r = leave(frame, m, dst, w.view.snap)
	}
	switch {
	case r != drop.Unset:
		w.refuseAndTell(i, r)
	case m.Flags&flagRouted == 0: // stays as it is
	case m.keepsTTL(dst):
		hop.address((*[ethHeader + ipv4Header]byte)(frame))
	default:
		route((*[ethHeader + ipv4Header]byte)(frame), m.Flags, hop)
	}
}

// leave gives a packet that is to leave by an internet gateway its public
// address. Policy has asked whether there is one.
func leave(frame []byte, m *Meta, dst *policy.ENIRecord, snap *policy.Snapshot) drop.Reason {
	if dst.Flags&policy.IsInternetGateway == 0 || m.Flags&flagIPv6 != 0 {
		return drop.Unset
	}
	if !natOut(frame[m.L3:][:min(len(frame)-int(m.L3), int(m.L3Len))], snap.NAT(m.VPC)) {
		return drop.GatewayNoPublicAddress
	}
	return drop.Unset
}

// leaveInPieces makes the header of a packet that is about to be cut up the one
// that its pieces shall have; each of them lowers the TTL by one.
func (w *Worker) leaveInPieces(i int, m *Meta) drop.Reason {
	frame, dst := w.burst.frame(i), &w.enis[m.Egress]
	if m.keepsTTL(dst) {
		frame[m.L3+8]++
	}
	return leave(frame, m, dst, w.view.snap)
}

// linkLocalAllowed counts a packet to a link-local service against the rate of
// the ENI that sent it, and reports whether it may pass.
func (w *Worker) linkLocalAllowed(eni uint16) bool {
	w.eniCounts.touch(eni).LinkLocal++
	if w.linkLocalShares[eni].Take(&w.engine.linkLocalBuckets[eni], w.view.linkLocal[eni], w.now) {
		return true
	}
	w.eniCounts.touch(eni).LinkLocalExceeded++
	return false
}

// linkLocalLimit returns how many packets an ENI may send to link-local services
// on all lcores together (docs/semantics.md S4.5).
func linkLocalLimit(r *policy.ENIRecord, lcores int) shaper.SharedLimit {
	return shaper.NewSharedLimit(r.LinkLocalRate, shaper.DefaultDepth(r.LinkLocalRate), lcores)
}
