package pipeline

import (
	"testing"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

var (
	parseENI = &policy.ENIRecord{MAC: [6]byte{2, 1, 1, 1, 1, 1}, RouterMAC: [6]byte{2, 9, 9, 9, 9, 9}, VPC: 3}
	toRouter = packet.Ether{Dst: parseENI.RouterMAC, Src: parseENI.MAC}
	toPeer   = packet.Ether{Dst: packet.MAC{2, 1, 1, 1, 1, 2}, Src: parseENI.MAC}
	toAll    = packet.Ether{Dst: packet.Broadcast, Src: parseENI.MAC}
	v4       = packet.IPv4{Src: packet.MustIP("10.0.1.10"), Dst: packet.MustIP("10.0.2.10")}
	v6       = packet.IPv6{Src: packet.MustIP("2001:db8::1"), Dst: packet.MustIP("2001:db8::2")}
	tcpPorts = packet.TCP{SrcPort: 40000, DstPort: 80, Flags: packet.TCPSyn}
	udpPorts = packet.UDP{SrcPort: 5000, DstPort: 53}
)

func v4of(change func(*packet.IPv4)) packet.IPv4 {
	ip := v4
	change(&ip)
	return ip
}

func v6of(change func(*packet.IPv6)) packet.IPv6 {
	ip := v6
	change(&ip)
	return ip
}

// parsed is what the parser made of a frame.
type parsed struct {
	reason drop.Reason
	key    hash.FlowKey
	meta   Meta
}

func parseOf(frame []byte, total int) (p parsed) {
	p.reason = parseFrame(frame[:len(frame):len(frame)], uint32(total), parseENI, 7, &p.key, &p.meta)
	return p
}

// parseCases are frames and what the parser has to make of them.
var parseCases = []struct {
	name       string
	frame      []byte
	want       drop.Reason
	class      class
	proto      uint8
	sport      uint16
	dport      uint16
	l4         uint16
	flags      uint16
	icmp, code uint8
}{
	{name: "tcp", frame: packet.Build(toRouter, v4, tcpPorts), proto: 6, sport: 40000, dport: 80, l4: 34, flags: flagRouted},
	{name: "tcp to a neighbour", frame: packet.Build(toPeer, v4, tcpPorts), proto: 6, sport: 40000, dport: 80, l4: 34},
	{name: "udp, padded", frame: packet.Pad(packet.Build(toRouter, v4, udpPorts), 60), proto: 17, sport: 5000, dport: 53, l4: 34, flags: flagRouted},
	{name: "udp6", frame: packet.Build(toRouter, v6, udpPorts), proto: 17, sport: 5000, dport: 53, l4: 54, flags: flagRouted | flagIPv6},
	{name: "gre", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.Proto = 47 }), packet.Fill(12)), proto: 47, l4: 34, flags: flagRouted},
	{name: "options", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.Options = make([]byte, 40) }), tcpPorts), proto: 6, sport: 40000, dport: 80, l4: 74, flags: flagRouted},
	{name: "extensions", frame: packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 0, Data: make([]byte, 6)}, packet.IPv6Ext{Proto: 60, Data: make([]byte, 14)},
		packet.IPv6Ext{Proto: 43, Data: make([]byte, 6)}, packet.IPv6Ext{Proto: 51, Data: make([]byte, 10)}, tcpPorts),
		proto: 6, sport: 40000, dport: 80, l4: 54 + 8 + 16 + 8 + 16, flags: flagRouted | flagIPv6},
	{name: "no next header", frame: packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 60, Data: make([]byte, 6)}), proto: 59, l4: 62, flags: flagRouted | flagIPv6},
	{name: "first fragment", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.MF, i.ID = true, 9 }), packet.UDP{SrcPort: 5000, DstPort: 53, Len: 3000}, packet.Fill(16)),
		proto: 17, sport: 5000, dport: 53, l4: 34, flags: flagRouted | flagFragment | flagMore},
	{name: "later fragment", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset, i.Proto = 1480, 17 }), packet.Fill(3)), proto: 17, flags: flagRouted | flagFragment | flagLater},
	{name: "first fragment 6", frame: packet.Build(toRouter, v6, packet.IPv6Frag{More: true, ID: 9}, tcpPorts, packet.Fill(4)), proto: 6, sport: 40000, dport: 80, l4: 62, flags: flagRouted | flagFragment | flagMore | flagIPv6},
	{name: "later fragment 6", frame: packet.Build(toRouter, v6, packet.IPv6Frag{Next: 6, Offset: 80}, packet.Fill(5)), proto: 6, flags: flagRouted | flagFragment | flagLater | flagIPv6},
	{name: "atomic fragment", frame: packet.Build(toRouter, v6, packet.IPv6Frag{}, tcpPorts), proto: 6, sport: 40000, dport: 80, l4: 62, flags: flagRouted | flagIPv6},
	{name: "echo request", frame: packet.Build(toRouter, v4, packet.ICMP{Type: 8, ID: 77}), proto: 1, sport: 77, dport: 8, l4: 34, flags: flagRouted, icmp: 8},
	{name: "echo reply", frame: packet.Build(toRouter, v4, packet.ICMP{Type: 0, ID: 77}), proto: 1, sport: 8, dport: 77, l4: 34, flags: flagRouted},
	{name: "echo request 6", frame: packet.Build(toRouter, v6, packet.ICMPv6{Type: 128, Rest: 77 << 16}), proto: 58, sport: 77, dport: 128, l4: 54, flags: flagRouted | flagIPv6, icmp: 128},
	{name: "timestamp reply", frame: packet.Build(toRouter, v4, packet.ICMP{Type: 14, ID: 77}), proto: 1, sport: 13, dport: 77, l4: 34, flags: flagRouted, icmp: 14},
	{name: "router advertisement of ICMP", frame: packet.Build(toRouter, v4, packet.ICMP{Type: 9, Code: 16}), proto: 1, dport: 9<<8 | 16, l4: 34, flags: flagRouted, icmp: 9, code: 16},
	{name: "ICMPv6 in IPv4", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.Proto = 58 }), packet.Fill(4)), proto: 58, l4: 34, flags: flagRouted},
	{name: "arp", frame: packet.Build(toAll, packet.ARP{SenderMAC: parseENI.MAC}), class: classARP, flags: flagGroup},
	{name: "nd", frame: packet.NeighborSolicit(parseENI.MAC, v6.Src, v6.Dst), class: classND, proto: 58, dport: 135 << 8, l4: 54, flags: flagGroup | flagIPv6, icmp: 135},
	{name: "dhcp", frame: packet.Build(toAll, packet.IPv4{Dst: packet.MustIP("255.255.255.255")}, packet.UDP{SrcPort: 68, DstPort: 67}, packet.DHCP{}), class: classDHCP, proto: 17, sport: 68, dport: 67, l4: 34, flags: flagGroup},

	{name: "nothing", frame: nil, want: drop.FrameTooShort},
	{name: "13 bytes", frame: packet.Build(toRouter)[:13], want: drop.FrameTooShort},
	{name: "spoofed", frame: packet.Build(packet.Ether{Dst: parseENI.RouterMAC, Src: packet.MAC{2}}, v4, tcpPorts), want: drop.SourceMACSpoofed},
	{name: "tag cut off", frame: packet.Build(toRouter, packet.VLAN{ID: 1}, v4, tcpPorts)[:17], want: drop.VLANTruncated},
	{name: "second tag cut off", frame: packet.Build(packet.Ether{Dst: toRouter.Dst, Src: toRouter.Src, Type: 0x88a8}, packet.VLAN{ID: 1}, packet.VLAN{ID: 2}, v4)[:20], want: drop.VLANTruncated},
	{name: "tagged", frame: packet.Build(toRouter, packet.VLAN{ID: 1}, v4, tcpPorts), want: drop.VLANTagged},
	{name: "QinQ", frame: packet.Build(packet.Ether{Dst: toRouter.Dst, Src: toRouter.Src, Type: 0x88a8}, packet.VLAN{ID: 1}, packet.VLAN{ID: 2}, v6, tcpPorts), want: drop.VLANTagged},
	{name: "tagged arp", frame: packet.Build(toAll, packet.VLAN{ID: 1}, packet.ARP{}), want: drop.VLANTagged},
	{name: "three tags", frame: packet.Build(toRouter, packet.VLAN{ID: 1}, packet.VLAN{ID: 2}, packet.VLAN{ID: 3}, v4), want: drop.EtherTypeUnknown},
	{name: "LLDP", frame: packet.Build(packet.Ether{Dst: toRouter.Dst, Src: toRouter.Src, Type: 0x88cc}, packet.Fill(50)), want: drop.EtherTypeUnknown},
	{name: "arp cut off", frame: packet.Build(toAll, packet.ARP{})[:41], want: drop.ARPMalformed},
	{name: "arp of a token ring", frame: arpOf(6), want: drop.ARPMalformed},
	{name: "ipv4 cut off", frame: packet.Build(toRouter, v4)[:33], want: drop.IPv4Truncated},
	{name: "ipv4 of version 5", frame: poke(packet.Build(toRouter, v4, tcpPorts), 14, 0x55), want: drop.IPv4BadVersion},
	{name: "ipv4 header of 16", frame: poke(packet.Build(toRouter, v4, tcpPorts), 14, 0x44), want: drop.IPv4BadHeaderLength},
	{name: "options cut off", frame: poke(packet.Build(toRouter, v4, packet.Fill(8)), 14, 0x4f), want: drop.IPv4BadHeaderLength},
	{name: "ipv4 longer than the frame", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.TotalLen = 41 }), tcpPorts), want: drop.IPv4BadTotalLength},
	{name: "ipv4 shorter than its header", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.TotalLen = 19 }), tcpPorts), want: drop.IPv4BadTotalLength},
	{name: "ipv4 checksum", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.BadChecksum = true }), tcpPorts), want: drop.IPv4BadChecksum},
	{name: "ipv6 cut off", frame: packet.Build(toRouter, v6)[:53], want: drop.IPv6Truncated},
	{name: "ipv6 of version 4", frame: poke(packet.Build(toRouter, v6, tcpPorts), 14, 0x45), want: drop.IPv6BadVersion},
	{name: "ipv6 longer than the frame", frame: packet.Build(toRouter, v6of(func(i *packet.IPv6) { i.PayloadLen = 21 }), tcpPorts), want: drop.IPv6BadPayloadLength},
	{name: "jumbogram", frame: poke(poke(packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 0, Data: make([]byte, 6)}), 18, 0), 19, 0), want: drop.IPv6BadPayloadLength},
	{name: "hop-by-hop not first", frame: packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 60, Data: make([]byte, 6)}, packet.IPv6Ext{Proto: 0, Data: make([]byte, 6)}, tcpPorts), want: drop.IPv6BadExtension},
	{name: "extension beyond the packet", frame: packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 60, Next: 6, Data: make([]byte, 6), Len: 9}), want: drop.IPv6BadExtension},
	{name: "extension cut off", frame: packet.Build(toRouter, v6of(func(i *packet.IPv6) { i.Next = 60 }), packet.Fill(7)), want: drop.IPv6BadExtension},
	{name: "nine extensions", frame: packet.Build(append([]packet.Layer{toRouter, v6}, nineExtensions()...)...), want: drop.IPv6BadExtension},
	{name: "empty fragment", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset = 8 })), want: drop.FragmentMalformed},
	{name: "odd fragment", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.MF, i.FragOffset = true, 8 }), packet.Fill(9)), want: drop.FragmentMalformed},
	{name: "datagram of 65536", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset = 65512 }), packet.Fill(4)), want: drop.FragmentTooLong},
	{name: "datagram of 65535", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset, i.Proto = 65512, 17 }), packet.Fill(3)), proto: 17, flags: flagRouted | flagFragment | flagLater},
	{name: "datagram of 65536 with options", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset, i.Options = 65504, make([]byte, 8) }), packet.Fill(4)), want: drop.FragmentTooLong},
	{name: "datagram of 65536 6", frame: packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 60, Data: make([]byte, 6)}, packet.IPv6Frag{Next: 17, Offset: 65520}, packet.Fill(8)), want: drop.FragmentTooLong},
	{name: "datagram of 65535 6", frame: packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 60, Data: make([]byte, 6)}, packet.IPv6Frag{Next: 17, Offset: 65520}, packet.Fill(7)), proto: 17, flags: flagRouted | flagFragment | flagLater | flagIPv6},
	{name: "tiny tcp", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.MF, i.Proto = true, 6 }), packet.Fill(16)), want: drop.FragmentTiny},
	{name: "tiny tcp options", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.MF = true }), packet.TCP{DataOffset: 7}, packet.Fill(4)), want: drop.FragmentTiny},
	{name: "tiny extensions", frame: packet.Build(toRouter, v6, packet.IPv6Frag{More: true, Next: 60}, packet.Payload([]byte{17, 1, 1, 4, 0, 0, 0, 0})), want: drop.FragmentTiny},
	{name: "tiny udp 6", frame: packet.Build(toRouter, v6, packet.IPv6Frag{More: true, Next: 60}, packet.Payload([]byte{17, 0, 1, 4, 0, 0, 0, 0})), want: drop.FragmentTiny},
	{name: "tiny icmp", frame: packet.Build(toRouter, v6, packet.IPv6Frag{Next: 60, More: true}, packet.Payload([]byte{58, 0, 1, 4, 0, 0, 0, 0})), want: drop.FragmentTiny},
	{name: "into the tcp header", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset, i.Proto = 8, 6 }), packet.Fill(16)), want: drop.FragmentInHeader},
	{name: "into the tcp header 6", frame: packet.Build(toRouter, v6, packet.IPv6Frag{Next: 6, Offset: 16}, packet.Fill(16)), want: drop.FragmentInHeader},
	{name: "behind a udp header", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.FragOffset, i.Proto = 8, 17 }), packet.Fill(16)), proto: 17, flags: flagRouted | flagFragment | flagLater},
	{name: "two fragment headers", frame: packet.Build(toRouter, v6, packet.IPv6Frag{More: true}, packet.IPv6Frag{Offset: 80}, packet.Fill(16)), want: drop.IPv6BadExtension},
	{name: "icmp error in fragments", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.MF = true }), packet.ICMP{Type: 3, Code: 1}, packet.Fill(16)), class: classICMPError, proto: 1, dport: 3<<8 | 1, l4: 34, flags: flagRouted | flagFragment | flagMore, icmp: 3, code: 1},
	{name: "discovery in fragments", frame: packet.Build(toRouter, v6, packet.IPv6Frag{More: true}, packet.ICMPv6{Type: 135}, packet.Fill(16)), want: drop.NDMalformed},
	{name: "odd fragment 6", frame: packet.Build(toRouter, v6, packet.IPv6Frag{Next: 17, More: true, Offset: 8}, packet.Fill(9)), want: drop.FragmentMalformed},
	{name: "tcp cut off", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.Proto = 6 }), packet.Fill(19)), want: drop.TCPTruncated},
	{name: "tcp of 16", frame: packet.Build(toRouter, v4, packet.TCP{DataOffset: 4}), want: drop.TCPBadOffset},
	{name: "tcp beyond the packet", frame: packet.Build(toRouter, v6, packet.TCP{DataOffset: 6}), want: drop.TCPBadOffset},
	{name: "udp cut off", frame: packet.Build(toRouter, v6of(func(i *packet.IPv6) { i.Next = 17 }), packet.Fill(7)), want: drop.UDPTruncated},
	{name: "udp of 7", frame: packet.Build(toRouter, v4, packet.UDP{Len: 7}), want: drop.UDPBadLength},
	{name: "udp beyond the packet", frame: packet.Build(toRouter, v4, packet.UDP{Len: 9}), want: drop.UDPBadLength},
	{name: "icmp cut off", frame: packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.Proto = 1 }), packet.Fill(7)), want: drop.ICMPTruncated},
	{name: "icmp6 cut off", frame: packet.Build(toRouter, v6of(func(i *packet.IPv6) { i.Next = 58 }), packet.Fill(7)), want: drop.ICMPTruncated},
	{name: "broadcast", frame: packet.Build(toAll, v4of(func(i *packet.IPv4) { i.Dst = packet.MustIP("10.0.1.255") }), udpPorts), want: drop.Broadcast},
	{name: "multicast", frame: packet.Build(toAll, v4of(func(i *packet.IPv4) { i.Dst = packet.MustIP("224.0.0.251") }), udpPorts), want: drop.Multicast},
	{name: "multicast 6", frame: packet.Build(toAll, v6of(func(i *packet.IPv6) { i.Dst = packet.MustIP("ff02::fb") }), udpPorts), want: drop.Multicast},
	{name: "dhcp from elsewhere", frame: packet.Build(toAll, v4of(func(i *packet.IPv4) { i.Dst = packet.MustIP("255.255.255.255") }), packet.UDP{SrcPort: 67, DstPort: 67}), want: drop.Broadcast},
}

func nineExtensions() (all []packet.Layer) {
	for range 9 {
		all = append(all, packet.IPv6Ext{Proto: 60, Data: make([]byte, 6)})
	}
	return append(all, tcpPorts)
}

func poke(frame []byte, at int, b byte) []byte {
	frame[at] = b
	return frame
}

// arpOf is an ARP message of a hardware type.
func arpOf(hardware byte) []byte { return poke(packet.Build(toAll, packet.ARP{}), 15, hardware) }

func TestParse(t *testing.T) {
	for _, c := range parseCases {
		t.Run(c.name, func(t *testing.T) {
			p := parseOf(c.frame, len(c.frame))
			if p.reason != c.want {
				t.Fatalf("%v, want %v", p.reason, c.want)
			}
			if c.want != drop.Unset {
				return
			}
			m, k := p.meta, p.key
			if m.class != c.class || m.Proto != c.proto || m.L4 != c.l4 || m.Flags != c.flags || m.ICMPType != c.icmp || m.ICMPCode != c.code {
				t.Errorf("class %d, protocol %d, layer 4 at %d, flags %b, ICMP %d/%d", m.class, m.Proto, m.L4, m.Flags, m.ICMPType, m.ICMPCode)
			}
			if k.SrcPort() != c.sport || k.DstPort() != c.dport || k.ENI() != 7 || k.Proto() != c.proto {
				t.Errorf("key ports %d and %d of ENI %d, protocol %d", k.SrcPort(), k.DstPort(), k.ENI(), k.Proto())
			}
			if m.ENI != 7 || m.VPC != parseENI.VPC || m.Egress != noENI || m.Verdict != VerdictDrop {
				t.Errorf("meta %+v", m)
			}
		})
	}
}

// What the checks of TCP's windows need comes with a segment, whatever is
// padded to it; of a fragment the payload is what it has itself.
func TestParseTCPNumbers(t *testing.T) {
	tcp := packet.TCP{SrcPort: 1, DstPort: 2, Seq: 0xfedcba98, Ack: 0x12345678, Window: 0xabcd, Flags: packet.TCPAck, Options: make([]byte, 12)}
	for _, c := range []struct {
		name  string
		frame []byte
		want  uint16
	}{
		{"plain", packet.Build(toRouter, v4, tcp, packet.Fill(7)), 7},
		{"without payload", packet.Build(toRouter, v6, tcp), 0},
		{"padded", packet.Pad(packet.Build(toRouter, v6, tcp, packet.Fill(9)), 200), 9},
		{"IPv4 options", packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.Options = make([]byte, 8) }), tcp, packet.Fill(5)), 5},
		{"IPv6 extension", packet.Build(toRouter, v6, packet.IPv6Ext{Proto: 60, Data: make([]byte, 6)}, tcp, packet.Fill(5)), 5},
		{"first fragment", packet.Build(toRouter, v4of(func(i *packet.IPv4) { i.MF, i.ID = true, 9 }), tcp, packet.Fill(16)), 16},
	} {
		p := parseOf(c.frame, len(c.frame))
		if m := p.meta; p.reason != drop.Unset || m.Seq != tcp.Seq || m.Ack != tcp.Ack || m.Window != tcp.Window || m.Payload != c.want {
			t.Errorf("%s: %v, %+v", c.name, p.reason, m)
		}
	}
	frame := packet.Build(toRouter, v4, packet.UDP{SrcPort: 1, DstPort: 2}, packet.Fill(40))
	if m := parseOf(frame, len(frame)).meta; m.Seq|m.Ack|uint32(m.Window)|uint32(m.Payload) != 0 {
		t.Errorf("a datagram has %+v", m)
	}
}

// Of whatever length the first segment is, the parser says what it says of the
// whole packet, or that the headers are split.
func TestParseFirstSegmentOnly(t *testing.T) {
	for _, c := range parseCases {
		whole, split := parseOf(c.frame, len(c.frame)), 0
		for n := range len(c.frame) {
			switch p := parseOf(c.frame[:n], len(c.frame)); {
			case p.reason == drop.HeadersSplit:
				split++
			case p != whole && c.want == drop.Unset, p.reason != whole.reason:
				t.Errorf("%s, first %d bytes: %+v, want %+v", c.name, n, p, whole)
			}
		}
		if split < min(len(c.frame), ethHeader) && len(c.frame) >= ethHeader {
			t.Errorf("%s: only %d lengths of the first segment split the headers", c.name, split)
		}
	}
}
