package text

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"

	"github.com/nitrod/nitrod/internal/packet"
)

// nd reads a neighbour or router discovery message (RFC 4861).
func (p *parser) nd() {
	q := p.p
	p.ipv6 = true
	q.Kind, q.Proto, q.TTL = IPv6, packet.ProtoICMPv6, 255
	q.Given |= Proto | Type | Code
	guest, _ := p.guest()
	link := func(kind byte, m packet.MAC) []byte { return append([]byte{kind, 1}, m[:]...) }
	switch {
	case p.accept("who"):
		p.expect("has")
		target := p.addr6("the address asked for")
		q.Type = packet.ICMPv6NeighborSolicit
		q.Data = target.AsSlice()
		if p.accept("probe") {
			q.Src = netip.IPv6Unspecified()
			q.Given |= Src
		} else {
			q.Data = append(q.Data, link(packet.NDSourceLink, guest.MAC)...)
		}
		q.Given |= Data
		p.ndTo(packet.SolicitedNode(target))
	case p.accept("router"):
		p.expect("solicit")
		q.Type = packet.ICMPv6RouterSolicit
		q.Data = link(packet.NDSourceLink, guest.MAC)
		q.Given |= Data
		p.ndTo(netip.MustParseAddr("ff02::2"))
	default:
		target := p.addr6("the address that is told")
		p.expect("is")
		p.expect("at")
		q.Type = packet.ICMPv6NeighborAdvert
		q.Data = append(target.AsSlice(), link(packet.NDTargetLink, p.mac("the address's MAC"))...)
		q.Given |= Data
		for _, f := range []struct {
			word string
			bit  uint32
		}{{"router", 1 << 31}, {"solicited", 1 << 30}, {"override", 1 << 29}} {
			if p.accept(f.word) {
				q.Rest |= f.bit
				q.Given |= Rest
			}
		}
	}
	if !p.expected {
		q.Given |= TTL
	}
}

// ndTo sets where a message goes that names no receiver.
func (p *parser) ndTo(group netip.Addr) {
	if p.p.To == "" && !p.expected {
		p.p.Dst = group
		p.p.Given |= Dst
	}
}

func (p *parser) addr6(what string) netip.Addr {
	w := p.word("an address")
	if a, err := netip.ParseAddr(w); err == nil && a.Is6() && usable(a) {
		return a
	}
	if g, ok := p.guestNamed(w); ok && g.Addr6.IsValid() {
		return g.Addr6
	}
	p.fail("%s must be an IPv6 address, not %s", what, quoted(w))
	return netip.Addr{}
}

// dhcpField is one thing that a text says of a DHCP message.
type dhcpField struct{ name, value string }

// DHCP's fields by their words, with the option that holds them; 0 is in the
// fixed header.
var dhcpWords = map[string]byte{
	"xid": 0, "ciaddr": 0, "yiaddr": 0, "mask": 1, "router": 3, "dns": 6, "mtu": 26, "requested": 50, "lease": 51, "server": 54,
}

// dhcp reads a DHCPv4 message: of a client if it is sent, what to look for if it
// is expected.
func (p *parser) dhcp() {
	q := p.p
	w := p.word("the type of the message")
	typ := packet.DHCPType(0)
	for t := packet.DHCPDiscover; t <= packet.DHCPInform; t++ {
		if t.String() == w {
			typ = t
		}
	}
	if typ == 0 {
		p.fail("%s is no type of a DHCP message", quoted(w))
	}
	q.Kind, q.Proto = IPv4, packet.ProtoUDP
	q.Given |= Proto | DHCP
	q.dhcp = append(q.dhcp, dhcpField{"type", typ.String()})
	for {
		w := p.peek()
		if _, ok := dhcpWords[w]; !ok {
			break
		}
		p.next++
		switch w {
		case "xid", "mtu", "lease":
			q.dhcp = append(q.dhcp, dhcpField{w, strconv.FormatUint(p.number(w, 0xffffffff), 10)})
		default:
			q.dhcp = append(q.dhcp, dhcpField{w, p.addr4(w).String()})
		}
	}
	if !p.expected {
		p.dhcpRequest(typ)
	}
}

// dhcpRequest makes a client's message.
func (p *parser) dhcpRequest(typ packet.DHCPType) {
	q := p.p
	guest, _ := p.guest()
	m := packet.DHCP{Type: typ, Client: guest.MAC, XID: 1, Parameters: []byte{1, 3, 6, 26, 51}}
	for _, f := range q.dhcp[1:] {
		a := asAddr(f.value)
		switch f.name {
		case "xid":
			xid, _ := strconv.ParseUint(f.value, 10, 32)
			m.XID = uint32(xid)
		case "ciaddr":
			m.CIAddr = a
		case "requested":
			m.Requested = a
		case "server":
			m.ServerID = a
		default:
			p.fail("%s is what a server says; a client sends xid, ciaddr, requested and server", quoted(f.name))
		}
	}
	q.Data = packet.Build(m)
	q.SrcPort, q.DstPort = packet.DHCPClientPort, packet.DHCPServerPort
	q.Given |= SrcPort | DstPort | Data
	if q.Src = m.CIAddr; !q.Src.IsValid() {
		q.Src = netip.IPv4Unspecified()
	}
	q.Given |= Src
	if q.To == "" {
		q.Dst = netip.AddrFrom4([4]byte{255, 255, 255, 255})
		q.Given |= Dst
	}
}

// dhcpOf reads the fields of a DHCP message; nil for what is none.
func dhcpOf(p *Packet) []dhcpField {
	const fixed, cookie = 240, 0x63825363
	b := p.Data
	if p.Kind != IPv4 || p.Proto != packet.ProtoUDP || p.Headless || p.DstPort != packet.DHCPClientPort && p.DstPort != packet.DHCPServerPort ||
		len(b) < fixed || binary.BigEndian.Uint32(b[fixed-4:]) != cookie {
		return nil
	}
	addr := func(b []byte) string { return netip.AddrFrom4([4]byte(b)).String() }
	out := []dhcpField{{"xid", strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[4:])), 10)}, {"ciaddr", addr(b[12:16])}, {"yiaddr", addr(b[16:20])}}
	for b = b[fixed:]; len(b) > 1 && b[0] != 255; {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		n := int(b[1])
		if len(b) < 2+n {
			break
		}
		val := b[2 : 2+n]
		name := "type"
		if b[0] != 53 {
			name = ""
			for w, code := range dhcpWords {
				if code == b[0] {
					name = w
				}
			}
		}
		switch {
		case name == "type" && n == 1:
			out = append(out, dhcpField{name, packet.DHCPType(val[0]).String()})
		case name == "mtu" && n == 2:
			out = append(out, dhcpField{name, strconv.Itoa(int(binary.BigEndian.Uint16(val)))})
		case name == "lease" && n == 4:
			out = append(out, dhcpField{name, strconv.FormatUint(uint64(binary.BigEndian.Uint32(val)), 10)})
		case name != "" && n >= 4:
			out = append(out, dhcpField{name, addr(val[:4])})
		}
		b = b[2+n:]
	}
	return out
}

// lacks returns the first field that is expected and not as it should be, or "".
func (want *Packet) lacks(got *Packet) string {
	have := dhcpOf(got)
	if have == nil {
		return "no DHCP message"
	}
	for _, f := range want.dhcp {
		if !slices.Contains(have, f) {
			i := slices.IndexFunc(have, func(g dhcpField) bool { return g.name == f.name })
			if i < 0 {
				return "dhcp without " + f.name + ", want " + f.value
			}
			return "dhcp " + f.name + " " + have[i].value + ", want " + f.value
		}
	}
	return ""
}
