package packet

import (
	"net/netip"
	"strconv"
)

// Summary describes a frame in one line, for explain and for traces:
//
//	02:00:00:00:00:01 > 02:00:00:00:00:02 10.0.0.4:40000 > 10.0.1.4:80 tcp S seq 1 win 64240 len 0 ttl 64
//
// What is truncated or malformed is named, after what could be read. Wrong
// checksums are named too. The form is for people and may change.
func Summary(frame []byte) string {
	l, err := Locate(frame)
	p := printer{b: make([]byte, 0, 160), frame: frame, Layout: l}
	if len(frame) < EtherLen {
		return "bad: " + ErrShortEther.Error() + ", " + strconv.Itoa(len(frame)) + " bytes"
	}
	eth := EtherHeader(frame)
	p.b = append(eth.Src().append(p.b), " > "...)
	p.b = eth.Dst().append(p.b)
	for i := range l.Tags {
		p.num(" vlan ", uint64(VLANTag(frame[EtherLen+i*VLANLen:]).ID()))
	}
	switch {
	case l.L3 == 0 && err == nil:
		p.b = strconv.AppendUint(append(p.b, " ethertype 0x"...), uint64(l.EtherType), 16)
		p.num(" len ", uint64(len(frame)))
	case l.L3 == 0:
	case l.EtherType == EtherTypeARP:
		p.arp(ARPHeader(frame[l.L3:]))
	case l.EtherType == EtherTypeIPv4:
		p.ipv4(IPv4Header(frame[l.L3:]))
	case l.EtherType == EtherTypeIPv6:
		p.ipv6(IPv6Header(frame[l.L3:]))
	}
	if err != nil {
		p.str(" bad: ", err.Error())
	}
	return string(p.b)
}

type printer struct {
	b     []byte
	frame []byte
	Layout
}

func (p *printer) num(label string, v uint64) {
	p.b = strconv.AppendUint(append(p.b, label...), v, 10)
}

func (p *printer) str(label, v string) { p.b = append(append(p.b, label...), v...) }

func (p *printer) addr(label string, a netip.Addr) {
	p.b = a.AppendTo(append(p.b, label...))
}

func (p *printer) arp(h ARPHeader) {
	switch {
	case h.Op() == ARPAnswer:
		p.addr(" arp ", h.SenderAddr())
		p.b = h.SenderMAC().append(append(p.b, " is at "...))
	case h.Op() == ARPRequest:
		p.addr(" arp who has ", h.TargetAddr())
		p.addr(" tell ", h.SenderAddr())
	default:
		p.num(" arp op ", uint64(h.Op()))
	}
}

func (p *printer) ipv4(h IPv4Header) {
	p.endpoints(h.SrcAddr(), h.DstAddr())
	p.transport(func(seg []byte) bool {
		if p.Proto == ProtoICMP {
			return Sum(seg) == 0xffff
		}
		return h.TransportSum(p.Proto, seg) == 0xffff
	})
	p.num(" ttl ", uint64(h.TTL()))
	if h.IsFragment() {
		p.fragment(uint32(h.ID()), h.FragmentOffset(), h.MoreFragments())
	}
	if h.DontFragment() {
		p.str(" df", "")
	}
	if h.HeaderLen() > IPv4MinLen {
		p.num(" options ", uint64(h.HeaderLen()-IPv4MinLen))
	}
	if !h.ChecksumOK() {
		p.str(" bad: ", "IPv4 checksum")
	}
}

func (p *printer) ipv6(h IPv6Header) {
	p.endpoints(h.SrcAddr(), h.DstAddr())
	p.transport(func(seg []byte) bool { return h.TransportSum(p.Proto, seg) == 0xffff })
	p.num(" hops ", uint64(h.HopLimit()))
	if u, ok := h.Upper(); ok && u.Fragment != 0 {
		f := IPv6Fragment(h[u.Fragment:])
		p.fragment(f.ID(), f.Offset(), f.More())
	}
}

func (p *printer) fragment(id uint32, off int, more bool) {
	p.num(" frag id ", uint64(id))
	p.num(" off ", uint64(off))
	if more {
		p.str("+", "")
	}
}

func (p *printer) endpoints(src, dst netip.Addr) {
	if p.L4 != 0 && (p.Proto == ProtoTCP || p.Proto == ProtoUDP) {
		// Both have their ports at the same place.
		h := UDPHeader(p.frame[p.L4:])
		p.b = netip.AddrPortFrom(src, h.SrcPort()).AppendTo(append(p.b, ' '))
		p.b = netip.AddrPortFrom(dst, h.DstPort()).AppendTo(append(p.b, " > "...))
		return
	}
	p.addr(" ", src)
	p.addr(" > ", dst)
}

// transport prints what the transport header says. sumOK reports whether its
// checksum is right, which a fragment alone cannot tell.
func (p *printer) transport(sumOK func(seg []byte) bool) {
	if p.L4 == 0 {
		p.num(" proto ", uint64(p.Proto))
		return
	}
	seg := p.frame[p.L4:p.End]
	checked := true
	switch p.Proto {
	case ProtoTCP:
		p.tcp(seg)
	case ProtoUDP:
		u := UDPHeader(seg)
		p.num(" udp len ", uint64(max(u.Len(), UDPLen)-UDPLen))
		checked = u.Checksum() != 0
		if !p.Fragment {
			seg = seg[:u.Len()]
			p.dhcp(u)
		}
	case ProtoICMP, ProtoICMPv6:
		p.icmp(seg)
	default:
		p.num(" proto ", uint64(p.Proto))
		p.num(" len ", uint64(len(seg)))
		checked = false
	}
	if checked && !p.Fragment && !sumOK(seg) {
		p.str(" bad: ", "transport checksum")
	}
}

func (p *printer) tcp(h TCPHeader) {
	p.str(" tcp ", "")
	const letters = "FSRPAUEC"
	for i := range len(letters) {
		if h.Flags()>>i&1 != 0 {
			p.b = append(p.b, letters[i])
		}
	}
	if h.Flags() == 0 {
		p.b = append(p.b, '-')
	}
	p.num(" seq ", uint64(h.Seq()))
	if h.Flags()&TCPAck != 0 {
		p.num(" ack ", uint64(h.Ack()))
	}
	p.num(" win ", uint64(h.Window()))
	p.num(" len ", uint64(len(h.Payload())))
}

func (p *printer) dhcp(u UDPHeader) {
	if u.DstPort() != DHCPServerPort {
		return
	}
	var m DHCPMessage
	if err := ParseDHCP(u.Payload(), &m); err != nil {
		p.str(" bad: ", err.Error())
		return
	}
	p.str(" dhcp ", m.Type.String())
}

func (p *printer) icmp(h ICMPHeader) {
	v6 := p.Proto == ProtoICMPv6
	p.str(" icmp", "")
	if v6 {
		p.str("6", "")
	}
	isEcho := h.Type() == ICMPEchoRequest || h.Type() == ICMPEchoReply
	isRequest := h.Type() == ICMPEchoRequest
	if v6 {
		isEcho = h.Type() == ICMPv6EchoRequest || h.Type() == ICMPv6EchoReply
		isRequest = h.Type() == ICMPv6EchoRequest
	}
	switch {
	case isEcho && isRequest:
		p.str(" echo request", "")
	case isEcho:
		p.str(" echo reply", "")
	default:
		p.num(" type ", uint64(h.Type()))
		p.num(" code ", uint64(h.Code()))
		if v6 && (h.Type() == ICMPv6NeighborSolicit || h.Type() == ICMPv6NeighborAdvert) && len(h) >= 24 {
			p.addr(" target ", netip.AddrFrom16([16]byte(h[8:24])))
		}
		return
	}
	p.num(" id ", uint64(h.ID()))
	p.num(" seq ", uint64(h.Seq()))
}
