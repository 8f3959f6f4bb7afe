package pipeline

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
)

// This file is how a guest comes to its IPv6 addresses: the router of its subnet
// answers its solicitations and says from time to time that it is there, and
// answers DHCPv6 from the ENI's configuration (docs/semantics.md S4.3).

// resolver6 is the DNS resolver's IPv6 address (docs/semantics.md S4.5).
var resolver6 = netip.MustParseAddr("fd00:ec2::253")

// maxLifetime is the longest time, in seconds, for which a router may be used
// without being heard of again (RFC 4861 section 4.2).
const maxLifetime = 9000

// guest6 is what the guest of an ENI is told in IPv6. Without an address of the
// router's the ENI has no IPv6, and nothing is told.
type guest6 struct {
	router packet.RouterConfig
	dhcp   packet.DHCP6Config
}

// guest6Of derives what the guest of an ENI is told. every is the time between
// two unasked advertisements: a router is good for three of them (RFC 4861
// section 6.2.1).
func guest6Of(r *policy.ENIRecord, info *policy.ENIInfo, subnet *policy.SubnetInfo, every time.Duration) guest6 {
	var g guest6
	g.dhcp = packet.DHCP6Config{Router: info.RouterLinkLocal, RouterMAC: r.RouterMAC, DNS: resolver6}
	for _, a := range info.Addresses {
		if a.Is6() {
			g.dhcp.Addrs = append(g.dhcp.Addrs, a.As16())
		}
	}
	for _, p := range info.Prefixes {
		if p.Addr().Is6() {
			g.dhcp.Prefixes = append(g.dhcp.Prefixes, p)
		}
	}
	if len(g.dhcp.Addrs)+len(g.dhcp.Prefixes) == 0 {
		return guest6{}
	}
	lifetime := uint16(maxLifetime)
	if every != 0 {
		lifetime = uint16(min(3*every/time.Second, maxLifetime))
	}
	g.router = packet.RouterConfig{
		MAC: r.RouterMAC, Addr: info.RouterLinkLocal, Prefix: subnet.CIDR6, MTU: r.MTU, Lifetime: lifetime,
	}
	return g
}

// resolveRS reads a router solicitation and returns why there is no answer to it.
func resolveRS(v *view, m *Meta, frame []byte, s *packet.RouterSolicitation) drop.Reason {
	ip := packet.IPv6Header(frame[m.L3:][:m.L3Len])
	switch {
	case !packet.ParseRouterSolicitation(packet.MAC(frame[6:12]), ip, ip[m.L4-m.L3:], s):
		return drop.NDMalformed
	case !v.ownOnLink(m, ip.SrcAddr()):
		return drop.SourceIPSpoofed
	case !v.six[m.ENI].router.Addr.IsValid():
		return drop.NDNotAnswered
	}
	return drop.Unset
}

// ownOnLink reports whether an ENI may send from an address on its own link: its
// guest chooses its link-local address itself, and at first has none.
func (v *view) ownOnLink(m *Meta, a netip.Addr) bool {
	if a.IsUnspecified() || a.IsLinkLocalUnicast() {
		return true
	}
	owner, ok := v.snap.ENIByAddress(m.VPC, a)
	return ok && owner == m.ENI
}

func (w *Worker) answerRouterSolicitation(i int) {
	m := &w.burst.meta[i]
	buf := w.whole(i)
	if buf == nil {
		m.Reason = drop.NDMalformed
		return
	}
	var s packet.RouterSolicitation
	if m.Reason = resolveRS(w.view, m, buf, &s); m.Reason == drop.Unset {
		w.answer(i, w.view.six[m.ENI].router.PutAdvert(buf, &s))
	}
}

// replyDHCP6 writes the answer to a DHCPv6 message to dst, which may be frame
// itself. It returns its length, or else why there is none; both zero mean that
// the message was understood and wants none.
func replyDHCP6(v *view, m *Meta, dst, frame []byte) (int, drop.Reason) {
	ip := packet.IPv6Header(frame[m.L3:][:m.L3Len])
	udp := packet.UDPHeader(ip[m.L4-m.L3:])
	udp = udp[:binary.BigEndian.Uint16(udp[4:])]
	cfg := &v.six[m.ENI].dhcp
	switch src := ip.SrcAddr(); {
	case ip.TransportSum(packet.ProtoUDP, udp) != 0xffff || src.IsUnspecified() || !cfg.Router.IsValid():
		return 0, drop.DHCPMalformed // an ENI without IPv6 has nothing to ask for
	case !v.ownOnLink(m, src):
		return 0, drop.SourceIPSpoofed
	}
	n, verdict := cfg.Reply(dst, udp[packet.UDPLen:], packet.MAC(frame[6:12]), [16]byte(ip[8:24]))
	if verdict == packet.DHCPMalformed {
		return 0, drop.DHCPMalformed
	}
	return n, drop.Unset
}

func (w *Worker) answerDHCP6(i int) {
	m := &w.burst.meta[i]
	buf := w.whole(i)
	if buf == nil {
		m.Reason = drop.DHCPMalformed
		return
	}
	n, r := replyDHCP6(w.view, m, buf, buf)
	switch {
	case r != drop.Unset:
		m.Reason = r
	case n != 0:
		w.answer(i, n)
	default:
		m.Verdict = VerdictConsume
	}
}

// isDHCP6 tells a message to the DHCPv6 servers on the link.
func (m *Meta) isDHCP6(dstHi, dstLo uint64, port uint16) bool {
	return port == packet.DHCP6ServerPort && m.Flags&(flagFragment|flagIPv6|flagGroup) == flagIPv6|flagGroup &&
		dstHi == 0xff02<<48 && dstLo == 1<<16|2
}

// advertiser sends the routers' unasked advertisements to the ENIs whose first
// queue this lcore serves, some in each run, so that no round is long.
type advertiser struct {
	due int64 // ns: when the next pass begins
	at  int   // ENI, in a pass
}

const (
	advertsPerRun = 8   // messages
	advertScan    = 256 // ENIs looked at
)

// advertise tells guests that their router is there, if it is time for that. A
// guest that is never told again gives its router up when the lifetime ends.
func (w *Worker) advertise() {
	every, a := int64(w.engine.cfg.AdvertEvery), &w.advert
	if every == 0 || a.due == 0 || w.now < a.due {
		if a.due == 0 {
			a.due = w.now + every
		}
		return
	}
	sent := 0
	for n := 0; n < advertScan && sent < advertsPerRun && a.at < len(w.enis); n++ {
		if w.advertiseTo(a.at) {
			sent++
		}
		a.at++
	}
	if a.at >= len(w.enis) {
		a.at, a.due = 0, w.now+every
	}
	if sent > 0 {
		w.clearMade()
		w.sendAll()
	}
}

// advertiseTo sends an ENI its router's advertisement, and reports whether it is
// for this lcore to do so, and there is one.
func (w *Worker) advertiseTo(eni int) bool {
	g, dest := &w.view.six[eni], w.eniQueue[eni]
	if !g.router.Addr.IsValid() || w.enis[eni].Dead() || w.out[dest].queue == nil {
		return false
	}
	d, ok := w.newPacket(0)
	if !ok {
		return false // the next pass tries again
	}
	w.finish(d, g.router.PutAdvert(pktio.Bytes(d.Data, d.Len), nil))
	w.send(w.made.descs[len(w.made.descs)-1:], dest)
	return true
}
