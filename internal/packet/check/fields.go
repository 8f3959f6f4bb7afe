package check

import (
	"bytes"
	"net/netip"

	"github.com/nitrod/nitrod/internal/packet"
)

// EtherSrc asserts the source of the frame.
func EtherSrc(want packet.MAC) Check {
	return func(f *Frame) {
		f.t.Helper()
		if got := packet.EtherHeader(f.Bytes).Src(); got != want {
			f.Errorf("source MAC %s, want %s", got, want)
		}
	}
}

// EtherDst asserts the destination of the frame.
func EtherDst(want packet.MAC) Check {
	return func(f *Frame) {
		f.t.Helper()
		if got := packet.EtherHeader(f.Bytes).Dst(); got != want {
			f.Errorf("destination MAC %s, want %s", got, want)
		}
	}
}

// VLANs asserts the identifiers of the tags, the outermost first; none, that
// there is no tag.
func VLANs(want ...uint16) Check {
	return func(f *Frame) {
		f.t.Helper()
		var got []uint16
		for i := range f.Tags {
			got = append(got, packet.VLANTag(f.Bytes[packet.EtherLen+i*packet.VLANLen:]).ID())
		}
		if len(got) != len(want) {
			f.Errorf("VLAN tags %v, want %v", got, want)
			return
		}
		for i := range got {
			if got[i] != want[i] {
				f.Errorf("VLAN tags %v, want %v", got, want)
				return
			}
		}
	}
}

// Len asserts the length of the frame, padding included.
func Len(want int) Check {
	return func(f *Frame) {
		f.t.Helper()
		if len(f.Bytes) != want {
			f.Errorf("frame of %d bytes, want %d", len(f.Bytes), want)
		}
	}
}

// Src asserts the source address: of the IP header, or of the sender in ARP.
func Src(want string) Check {
	return addr("source", want, packet.ARPHeader.SenderAddr, packet.IPv4Header.SrcAddr, packet.IPv6Header.SrcAddr)
}

// Dst asserts the destination address: of the IP header, or of the target in
// ARP.
func Dst(want string) Check {
	return addr("destination", want, packet.ARPHeader.TargetAddr, packet.IPv4Header.DstAddr, packet.IPv6Header.DstAddr)
}

func addr(what, want string, arp func(packet.ARPHeader) netip.Addr, v4 func(packet.IPv4Header) netip.Addr, v6 func(packet.IPv6Header) netip.Addr) Check {
	w := netip.MustParseAddr(want)
	return func(f *Frame) {
		f.t.Helper()
		var got netip.Addr
		switch f.EtherType {
		case packet.EtherTypeARP:
			got = arp(f.arp())
		case packet.EtherTypeIPv4:
			got = v4(f.ip4())
		case packet.EtherTypeIPv6:
			got = v6(f.ip6())
		}
		if got != w {
			f.Errorf("%s address %s, want %s", what, got, w)
		}
	}
}

// TTL asserts the time to live, or the hop limit of IPv6.
func TTL(want uint8) Check {
	return func(f *Frame) {
		f.t.Helper()
		got := uint8(0)
		switch f.EtherType {
		case packet.EtherTypeIPv4:
			got = f.ip4().TTL()
		case packet.EtherTypeIPv6:
			got = f.ip6().HopLimit()
		}
		if got != want {
			f.Errorf("TTL %d, want %d", got, want)
		}
	}
}

// Proto asserts the transport protocol, behind extension headers.
func Proto(want uint8) Check {
	return func(f *Frame) {
		f.t.Helper()
		if f.Proto != want {
			f.Errorf("protocol %d, want %d", f.Proto, want)
		}
	}
}

// Fragment asserts place and MF flag of a fragment; Fragment(0, false), that
// the packet is none.
func Fragment(off int, more bool) Check {
	return func(f *Frame) {
		f.t.Helper()
		gotOff, gotMore := 0, false
		switch f.EtherType {
		case packet.EtherTypeIPv4:
			gotOff, gotMore = f.ip4().FragmentOffset(), f.ip4().MoreFragments()
		case packet.EtherTypeIPv6:
			if u, _ := f.ip6().Upper(); u.Fragment != 0 {
				h := packet.IPv6Fragment(f.ip6()[u.Fragment:])
				gotOff, gotMore = h.Offset(), h.More()
			}
		}
		if gotOff != off || gotMore != more {
			f.Errorf("fragment at %d, more %t, want at %d, more %t", gotOff, gotMore, off, more)
		}
	}
}

// Op asserts the operation of an ARP message.
func Op(want uint16) Check {
	return func(f *Frame) {
		f.t.Helper()
		if got := f.arp().Op(); got != want {
			f.Errorf("ARP operation %d, want %d", got, want)
		}
	}
}

// SenderMAC asserts the sender's hardware address in an ARP message.
func SenderMAC(want packet.MAC) Check {
	return func(f *Frame) {
		f.t.Helper()
		if got := f.arp().SenderMAC(); got != want {
			f.Errorf("ARP sender MAC %s, want %s", got, want)
		}
	}
}

// transport asserts that a header of proto is there, and checks.
func transport(proto uint8, name string, checks []Check) Check {
	return func(f *Frame) {
		f.t.Helper()
		if f.Proto != proto || f.L4 == 0 {
			f.fatalf("protocol %d, transport header at %d: no %s header", f.Proto, f.L4, name)
		}
		f.run(checks)
	}
}

// TCP asserts that there is a TCP header, and checks.
func TCP(checks ...Check) Check { return transport(packet.ProtoTCP, "TCP", checks) }

// UDP asserts that there is a UDP header, and checks.
func UDP(checks ...Check) Check { return transport(packet.ProtoUDP, "UDP", checks) }

// ICMP asserts that there is an ICMP header, and checks.
func ICMP(checks ...Check) Check { return transport(packet.ProtoICMP, "ICMP", checks) }

// ICMPv6 asserts that there is an ICMPv6 header, and checks.
func ICMPv6(checks ...Check) Check { return transport(packet.ProtoICMPv6, "ICMPv6", checks) }

// SrcPort asserts the source port; use it inside TCP or UDP.
func SrcPort(want uint16) Check {
	return number("source port", uint32(want), func(seg []byte) uint32 { return uint32(packet.UDPHeader(seg).SrcPort()) })
}

// DstPort asserts the destination port; use it inside TCP or UDP.
func DstPort(want uint16) Check {
	return number("destination port", uint32(want), func(seg []byte) uint32 { return uint32(packet.UDPHeader(seg).DstPort()) })
}

// Flags asserts the TCP flags; use it inside TCP.
func Flags(want uint8) Check {
	return number("TCP flags", uint32(want), func(seg []byte) uint32 { return uint32(packet.TCPHeader(seg).Flags()) })
}

// Seq asserts the TCP sequence number; use it inside TCP.
func Seq(want uint32) Check {
	return number("TCP sequence", want, func(seg []byte) uint32 { return packet.TCPHeader(seg).Seq() })
}

// Ack asserts the TCP acknowledgment number; use it inside TCP.
func Ack(want uint32) Check {
	return number("TCP acknowledgment", want, func(seg []byte) uint32 { return packet.TCPHeader(seg).Ack() })
}

// Type asserts the type of an ICMP message; use it inside ICMP or ICMPv6.
func Type(want uint8) Check {
	return number("ICMP type", uint32(want), func(seg []byte) uint32 { return uint32(packet.ICMPHeader(seg).Type()) })
}

// Code asserts the code of an ICMP message; use it inside ICMP or ICMPv6.
func Code(want uint8) Check {
	return number("ICMP code", uint32(want), func(seg []byte) uint32 { return uint32(packet.ICMPHeader(seg).Code()) })
}

// ID asserts the identifier of an echo; use it inside ICMP or ICMPv6.
func ID(want uint16) Check {
	return number("ICMP identifier", uint32(want), func(seg []byte) uint32 { return uint32(packet.ICMPHeader(seg).ID()) })
}

func number(what string, want uint32, get func(seg []byte) uint32) Check {
	return func(f *Frame) {
		f.t.Helper()
		if got := get(f.segment()); got != want {
			f.Errorf("%s %d, want %d", what, got, want)
		}
	}
}

// Payload asserts what follows the transport header; use it inside TCP, UDP,
// ICMP or ICMPv6.
func Payload(want []byte) Check {
	return func(f *Frame) {
		f.t.Helper()
		var got []byte
		switch seg := f.segment(); f.Proto {
		case packet.ProtoTCP:
			got = packet.TCPHeader(seg).Payload()
		case packet.ProtoUDP:
			got = seg[packet.UDPLen:]
		case packet.ProtoICMP, packet.ProtoICMPv6:
			got = packet.ICMPHeader(seg).Body()
		}
		if !bytes.Equal(got, want) {
			f.Errorf("payload %x, want %x", got, want)
		}
	}
}
