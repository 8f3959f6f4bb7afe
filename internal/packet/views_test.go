package packet_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
)

// same fails where a view and gopacket read a field differently.
func same[T comparable](t *rapid.T, field string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, gopacket reads %v", field, got, want)
	}
}

func parsed[T gopacket.Layer](t *rapid.T, frame []byte, typ gopacket.LayerType) T {
	t.Helper()
	l, ok := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{}).Layer(typ).(T)
	if !ok {
		t.Fatalf("gopacket sees no %v in %s", typ, packet.Summary(frame))
	}
	return l
}

func addr4(t *rapid.T, name string) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], rapid.Uint32().Draw(t, name))
	return netip.AddrFrom4(b)
}

func addr6(t *rapid.T, name string) netip.Addr {
	return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)))
}

func TestViewsIPv4TCP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := packet.Build(eth,
			packet.VLAN{ID: rapid.Uint16Max(4095).Draw(t, "vlan"), Priority: rapid.Uint8Max(7).Draw(t, "prio"), DropEligible: rapid.Bool().Draw(t, "dei")},
			packet.IPv4{Src: addr4(t, "src"), Dst: addr4(t, "dst"), TTL: rapid.Uint8Min(1).Draw(t, "ttl"), TOS: rapid.Uint8().Draw(t, "tos"),
				ID: rapid.Uint16().Draw(t, "id"), DF: rapid.Bool().Draw(t, "df")},
			packet.TCP{SrcPort: rapid.Uint16().Draw(t, "sport"), DstPort: rapid.Uint16().Draw(t, "dport"), Seq: rapid.Uint32().Draw(t, "seq"),
				Ack: rapid.Uint32().Draw(t, "ack"), Flags: rapid.Uint8().Draw(t, "flags"), Window: rapid.Uint16Min(1).Draw(t, "window")},
			packet.Fill(rapid.IntRange(0, 100).Draw(t, "payload")))

		tag, v := packet.VLANTag(frame[packet.EtherLen:]), parsed[*layers.Dot1Q](t, frame, layers.LayerTypeDot1Q)
		same(t, "VLAN", tag.ID(), v.VLANIdentifier)
		same(t, "priority", tag.Priority(), v.Priority)
		same(t, "drop eligible", tag.DropEligible(), v.DropEligible)
		same(t, "inner type", tag.Type(), uint16(v.Type))

		ip, w := packet.IPv4Header(frame[packet.EtherLen+packet.VLANLen:]), parsed[*layers.IPv4](t, frame, layers.LayerTypeIPv4)
		same(t, "TOS", ip.TOS(), w.TOS)
		same(t, "total length", ip.TotalLen(), w.Length)
		same(t, "header length", ip.HeaderLen(), int(w.IHL)*4)
		same(t, "identification", ip.ID(), w.Id)
		same(t, "DF", ip.DontFragment(), w.Flags&layers.IPv4DontFragment != 0)
		same(t, "TTL", ip.TTL(), w.TTL)
		same(t, "protocol", ip.Protocol(), uint8(w.Protocol))
		same(t, "checksum", ip.Checksum(), w.Checksum)
		same(t, "source", ip.SrcAddr().String(), w.SrcIP.String())
		same(t, "destination", ip.DstAddr().String(), w.DstIP.String())
		same(t, "source number", ip.Src(), binary.BigEndian.Uint32(w.SrcIP))
		same(t, "destination number", ip.Dst(), binary.BigEndian.Uint32(w.DstIP))

		tcp, x := packet.TCPHeader(ip.Payload()), parsed[*layers.TCP](t, frame, layers.LayerTypeTCP)
		same(t, "source port", tcp.SrcPort(), uint16(x.SrcPort))
		same(t, "destination port", tcp.DstPort(), uint16(x.DstPort))
		same(t, "sequence", tcp.Seq(), x.Seq)
		same(t, "acknowledgment", tcp.Ack(), x.Ack)
		same(t, "window", tcp.Window(), x.Window)
		same(t, "TCP checksum", tcp.Checksum(), x.Checksum)
		for bit, set := range map[uint8]bool{packet.TCPFin: x.FIN, packet.TCPSyn: x.SYN, packet.TCPRst: x.RST, packet.TCPPsh: x.PSH,
			packet.TCPAck: x.ACK, packet.TCPUrg: x.URG, packet.TCPEce: x.ECE, packet.TCPCwr: x.CWR} {
			same(t, "flag", tcp.Flags()&bit != 0, set)
		}
		same(t, "payload", len(tcp.Payload()), len(x.Payload))
	})
}

func TestViewsIPv6UDP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := packet.Build(eth,
			packet.IPv6{Src: addr6(t, "src"), Dst: addr6(t, "dst"), HopLimit: rapid.Uint8Min(2).Draw(t, "hops"),
				TrafficClass: rapid.Uint8().Draw(t, "class"), FlowLabel: rapid.Uint32Max(0xfffff).Draw(t, "label")},
			packet.UDP{SrcPort: rapid.Uint16().Draw(t, "sport"), DstPort: rapid.Uint16().Draw(t, "dport")},
			packet.Fill(rapid.IntRange(0, 100).Draw(t, "payload")))
		ip, w := packet.IPv6Header(frame[packet.EtherLen:]), parsed[*layers.IPv6](t, frame, layers.LayerTypeIPv6)
		same(t, "traffic class", ip.TrafficClass(), w.TrafficClass)
		same(t, "flow label", ip.FlowLabel(), w.FlowLabel)
		same(t, "payload length", ip.PayloadLen(), w.Length)
		same(t, "next header", ip.NextHeader(), uint8(w.NextHeader))
		same(t, "hop limit", ip.HopLimit(), w.HopLimit)
		src, dst := ip.SrcAddr().As16(), ip.DstAddr().As16()
		same(t, "source", src, [16]byte(w.SrcIP.To16()))
		same(t, "destination", dst, [16]byte(w.DstIP.To16()))
		hi, lo := ip.Src()
		same(t, "source words", [2]uint64{hi, lo}, [2]uint64{binary.BigEndian.Uint64(src[:]), binary.BigEndian.Uint64(src[8:])})
		hi, lo = ip.Dst()
		same(t, "destination words", [2]uint64{hi, lo}, [2]uint64{binary.BigEndian.Uint64(dst[:]), binary.BigEndian.Uint64(dst[8:])})

		udp, x := packet.UDPHeader(ip.Payload()), parsed[*layers.UDP](t, frame, layers.LayerTypeUDP)
		same(t, "source port", udp.SrcPort(), uint16(x.SrcPort))
		same(t, "destination port", udp.DstPort(), uint16(x.DstPort))
		same(t, "length", udp.Len(), x.Length)
		same(t, "checksum", udp.Checksum(), x.Checksum)

		ip.DecrementHopLimit()
		same(t, "hop limit after one hop", ip.HopLimit(), w.HopLimit-1)
	})
}

func TestViewsICMP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := packet.Build(eth, packet.IPv4{Src: ip4A, Dst: ip4B},
			packet.ICMP{Type: rapid.Uint8().Draw(t, "type"), Code: rapid.Uint8().Draw(t, "code"), ID: rapid.Uint16().Draw(t, "id"), Seq: rapid.Uint16().Draw(t, "seq")},
			packet.Fill(9))
		h := packet.ICMPHeader(frame[packet.EtherLen+packet.IPv4MinLen:])
		w := parsed[*layers.ICMPv4](t, frame, layers.LayerTypeICMPv4)
		same(t, "type", h.Type(), w.TypeCode.Type())
		same(t, "code", h.Code(), w.TypeCode.Code())
		same(t, "checksum", h.Checksum(), w.Checksum)
		same(t, "identifier", h.ID(), w.Id)
		same(t, "sequence", h.Seq(), w.Seq)
		same(t, "second word", h.Rest(), uint32(w.Id)<<16|uint32(w.Seq))
		same(t, "body", len(h.Body()), len(w.Payload))
	})
}

func TestViewsARP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := packet.Build(eth, packet.ARP{Op: rapid.Uint16Min(1).Draw(t, "op"), SenderMAC: macB, TargetMAC: macA, Sender: addr4(t, "sender"), Target: addr4(t, "target")})
		h, w := packet.ARPHeader(frame[packet.EtherLen:]), parsed[*layers.ARP](t, frame, layers.LayerTypeARP)
		same(t, "operation", h.Op(), w.Operation)
		same(t, "sender MAC", h.SenderMAC(), packet.MAC(w.SourceHwAddress))
		same(t, "target MAC", h.TargetMAC(), packet.MAC(w.DstHwAddress))
		same(t, "sender", h.Sender(), binary.BigEndian.Uint32(w.SourceProtAddress))
		same(t, "target", h.Target(), binary.BigEndian.Uint32(w.DstProtAddress))
	})
}

func TestICMPErrorTypes(t *testing.T) {
	quoting := map[uint8]bool{3: true, 4: true, 5: true, 11: true, 12: true}
	for typ := range 256 {
		if got := packet.ICMPIsError(uint8(typ)); got != quoting[uint8(typ)] {
			t.Errorf("ICMP type %d: %t", typ, got)
		}
		if got := packet.ICMPv6IsError(uint8(typ)); got != (typ < 128) {
			t.Errorf("ICMPv6 type %d: %t", typ, got)
		}
	}
}

// A UDP checksum that comes out as 0 is sent as 0xffff, since 0 is none.
func TestUDPZeroChecksum(t *testing.T) {
	frame := packet.Build(packet.IPv4{Src: ip4A, Dst: ip4B}, packet.UDP{SrcPort: 1, DstPort: 2}, packet.Payload{0, 0})
	udp := packet.UDPHeader(frame[packet.IPv4MinLen:])
	binary.BigEndian.PutUint16(udp[packet.UDPLen:], udp.Checksum()) // now the sum of the rest is all ones
	udp.ClearChecksum()
	sum := packet.IPv4Header(frame).TransportSum(packet.ProtoUDP, udp)
	udp.SetChecksum(^sum)
	if sum != 0xffff || udp.Checksum() != 0xffff {
		t.Errorf("sum %#04x is sent as %#04x", sum, udp.Checksum())
	}
	if packet.IPv4Header(frame).TransportSum(packet.ProtoUDP, udp) != 0xffff {
		t.Error("a receiver finds it wrong")
	}
}

// The shortest message of each ND type passes, one byte less does not.
func TestNDValidLengths(t *testing.T) {
	for typ, size := range map[uint8]int{
		packet.ICMPv6RouterSolicit: 8, packet.ICMPv6RouterAdvert: 16, packet.ICMPv6NeighborSolicit: 24,
		packet.ICMPv6NeighborAdvert: 24, packet.ICMPv6Redirect: 40,
	} {
		for _, cut := range []int{0, 1} {
			body := packet.Payload(make([]byte, size-packet.ICMPLen))
			if cut == 1 && len(body) == 0 {
				continue // a router solicitation: see below
			}
			frame := packet.Build(packet.IPv6{Src: ip6A, Dst: ip6B, HopLimit: 255}, packet.ICMPv6{Type: typ}, body[:len(body)-cut])
			ip := packet.IPv6Header(frame)
			if got := packet.NDValid(ip, ip.Payload()); got != (cut == 0) {
				t.Errorf("type %d with %d bytes: valid is %t", typ, size-cut, got)
			}
		}
	}
	ip := packet.IPv6Header(packet.Build(packet.IPv6{HopLimit: 255, Next: packet.ProtoICMPv6}, packet.Payload{133, 0, 0, 0, 0, 0, 0}))
	if packet.NDValid(ip, ip.Payload()) {
		t.Error("seven bytes are no message")
	}
}
