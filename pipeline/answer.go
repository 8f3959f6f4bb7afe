package pipeline

import (
	"encoding/binary"
	"net/netip"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
)

// This file is nitrod's own voice: it answers ARP, neighbour discovery and
// DHCPv4 from the configuration (router discovery and DHCPv6: answer_router.go). Nothing is flooded, no guest hears another's
// question, and what is unknown gets no answer (docs/semantics.md, ARP and ND).

// answer turns packet i, whose buffer now holds nitrod's answer of n bytes, back
// to the ENI that asked.
func (w *Worker) answer(i, n int) {
	m, d := &w.burst.meta[i], &w.burst.desc[i]
	d.Len, d.PktLen = uint32(n), uint32(n)
	w.flush.Resizes = append(w.flush.Resizes, pktio.Resize{Buf: d.Buf, Len: uint32(n)})
	m.Verdict, m.Egress, m.Queue = VerdictAnswer, m.ENI, 0
	w.counters.local[countConsumed]++
	w.counters.local[countOriginated]++
}

// whole returns the packet's buffer with room for an answer, or nil if the
// packet is in several segments, which no question to nitrod is.
func (w *Worker) whole(i int) []byte {
	d := &w.burst.desc[i]
	if d.Segs > 1 {
		return nil
	}
	return pktio.Bytes(d.Data, max(d.Len, pktio.MinRoom))
}

func (w *Worker) answerARP(i int) {
	m := &w.burst.meta[i]
	buf := w.whole(i)
	if buf == nil {
		m.Reason = drop.ARPMalformed
		return
	}
	mac, r := resolveARP(w.view, m, buf)
	if r != drop.Unset {
		m.Reason = r
		return
	}
	w.answer(i, packet.ARPReply(buf, mac))
}

// resolveARP returns the MAC to answer an ARP message with, or why there is no
// answer.
func resolveARP(v *view, m *Meta, frame []byte) (packet.MAC, drop.Reason) {
	arp := packet.ARPHeader(frame[m.L3:])
	if v.snap.ENIs[m.ENI].Outside() {
		return resolveOutside(v, m, arp)
	}
	if arp.Op() != packet.ARPRequest || arp.IsAnnouncement() {
		return packet.MAC{}, drop.ARPNotAnswered
	}
	if !arp.IsProbe() {
		if owner, ok := v.snap.ENIByAddress(m.VPC, arp.SenderAddr()); !ok || owner != m.ENI {
			return packet.MAC{}, drop.SourceIPSpoofed
		}
	}
	mac, ok := v.snap.ResolveMAC(m.ENI, arp.TargetAddr())
	if !ok {
		return packet.MAC{}, drop.ARPNotAnswered
	}
	return mac, drop.Unset
}

func (w *Worker) answerND(i int) {
	m := &w.burst.meta[i]
	if m.ICMPType == ndRouterSolicit {
		w.answerRouterSolicitation(i)
		return
	}
	buf := w.whole(i)
	var s packet.NeighborSolicitation
	mac, router, r := packet.MAC{}, false, drop.NDMalformed
	if buf != nil {
		mac, router, r = resolveND(w.view, m, buf, &s)
	}
	if r != drop.Unset {
		m.Reason = r
		return
	}
	w.answer(i, packet.PutNeighborAdvert(buf, &s, mac, router))
}

// resolveND reads a neighbour solicitation and returns the MAC to answer it
// with and whether that is the router's, or why there is no answer.
func resolveND(v *view, m *Meta, frame []byte, s *packet.NeighborSolicitation) (packet.MAC, bool, drop.Reason) {
	ip := packet.IPv6Header(frame[m.L3:][:m.L3Len])
	msg := ip[m.L4-m.L3:]
	if m.ICMPType != ndNeighborSolicit {
		if packet.NDValid(ip, msg) {
			return packet.MAC{}, false, drop.NDNotAnswered
		}
		return packet.MAC{}, false, drop.NDMalformed
	}
	if !packet.ParseNeighborSolicitation(packet.MAC(frame[6:12]), ip, msg, s) {
		return packet.MAC{}, false, drop.NDMalformed
	}
	if !v.snap.ENIs[m.ENI].Outside() && !v.ownOnLink(m, ip.SrcAddr()) {
		return packet.MAC{}, false, drop.SourceIPSpoofed
	}
	mac, ok := v.snap.ResolveMAC(m.ENI, s.TargetAddr())
	if !ok {
		return packet.MAC{}, false, drop.NDNotAnswered
	}
	return mac, mac == v.snap.ENIs[m.ENI].RouterMAC, drop.Unset
}

func (w *Worker) answerDHCP(i int) {
	m := &w.burst.meta[i]
	buf := w.whole(i)
	if buf == nil {
		m.Reason = drop.DHCPMalformed
		return
	}
	cfg := &w.view.dhcp[m.ENI]
	if !cfg.Addr.IsValid() {
		m.Reason = drop.DHCPMalformed // an ENI without IPv4 has nothing to ask for
		return
	}
	end := m.L4 + binary.BigEndian.Uint16(buf[m.L4+4:])
	n, verdict := cfg.Reply(buf, buf[m.L4+packet.UDPLen:end])
	switch verdict {
	case packet.DHCPReplied:
		w.answer(i, n)
	case packet.DHCPConsumed:
		m.Verdict = VerdictConsume
	default:
		m.Reason = drop.DHCPMalformed
	}
}

// answerUnicastDHCP answers a client that renews its lease at the router's
// address, and reports whether packet i is such a one.
func (w *Worker) answerUnicastDHCP(i int) bool {
	m, k := &w.burst.meta[i], &w.burst.keys[i]
	if !asksRouterForDHCP(w.view, m, k.SrcPort(), k.DstPort(), uint32(k.Dst.Lo)) {
		return false
	}
	w.answerDHCP(i)
	return true
}

func asksRouterForDHCP(v *view, m *Meta, src, dst uint16, addr uint32) bool {
	if m.Proto != protoUDP || src != packet.DHCPClientPort || dst != packet.DHCPServerPort ||
		m.Flags&(flagFragment|flagIPv6|flagRouted) != flagRouted {
		return false
	}
	router := v.dhcp[m.ENI].Router
	return router.Is4() && router == netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)})
}
