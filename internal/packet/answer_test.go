package packet_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

func TestARPReply(t *testing.T) {
	request := packet.Pad(packet.Build(packet.Ether{Dst: packet.Broadcast, Src: macA},
		packet.ARP{SenderMAC: macA, Sender: ip4A, Target: ip4B}), 60)
	n := packet.ARPReply(request, macB)
	check.Equal(t, request[:n], packet.Build(packet.Ether{Dst: macA, Src: macB},
		packet.ARP{Op: packet.ARPAnswer, SenderMAC: macB, Sender: ip4B, TargetMAC: macA, Target: ip4A}))
	check.ARP(t, request[:n], check.Op(packet.ARPAnswer), check.SenderMAC(macB), check.Src("10.0.1.4"), check.Dst("10.0.0.4"), check.Len(packet.ARPFrameLen))
	decode(t, request[:n])
}

func TestARPKinds(t *testing.T) {
	for _, c := range []struct {
		name                string
		arp                 packet.ARP
		probe, announcement bool
	}{
		{"request", packet.ARP{Sender: ip4A, Target: ip4B}, false, false},
		{"probe", packet.ARP{Target: ip4B}, true, false},
		{"announcement", packet.ARP{Sender: ip4A, Target: ip4A}, false, true},
		{"announcement by answer", packet.ARP{Op: packet.ARPAnswer, Sender: ip4A, Target: ip4A}, false, true},
	} {
		h := packet.ARPHeader(packet.Build(c.arp))
		if !h.IsValid() || h.IsProbe() != c.probe || h.IsAnnouncement() != c.announcement {
			t.Errorf("%s: valid %t, probe %t, announcement %t", c.name, h.IsValid(), h.IsProbe(), h.IsAnnouncement())
		}
	}
	for i := range 6 {
		h := packet.ARPHeader(packet.Build(packet.ARP{}))
		h[i] ^= 0x10
		if h.IsValid() {
			t.Errorf("valid with byte %d changed", i)
		}
	}
}

// solicitation parses the frame as the pipeline does.
func solicitation(t *testing.T, frame []byte) (s packet.NeighborSolicitation, ok bool) {
	t.Helper()
	ip := packet.IPv6Header(frame[packet.EtherLen:])
	if !ip.IsValid() {
		t.Fatal("IPv6 header is not valid")
	}
	up, _ := ip.Upper()
	ok = packet.ParseNeighborSolicitation(packet.EtherHeader(frame).Src(), ip, ip[up.Offset:packet.IPv6Len+int(ip.PayloadLen())], &s)
	return s, ok
}

func TestNeighborAdvert(t *testing.T) {
	for _, c := range []struct {
		name     string
		frame    []byte
		router   bool
		to       string
		toMAC    packet.MAC
		flags    uint32
		dad      bool
		wantLink bool
	}{
		{"peer", packet.NeighborSolicit(macA, ip6A, ip6B), false, "2001:db8::4", macA, 0x60000000, false, true},
		{"router", packet.NeighborSolicit(macA, ip6A, ip6B), true, "2001:db8::4", macA, 0xe0000000, false, true},
		{"probe", packet.NeighborSolicit(macA, packet.IPv6{}.Src, ip6B), false, "ff02::1", packet.MustMAC("33:33:00:00:00:01"), 0x20000000, true, false},
		{"unicast without link", packet.Build(eth, packet.IPv6{Src: ip6A, Dst: ip6B, HopLimit: 255},
			packet.ICMPv6{Type: packet.ICMPv6NeighborSolicit}, packet.NDBody{Target: ip6B}), false, "2001:db8::4", macA, 0x60000000, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ok := solicitation(t, c.frame)
			if !ok || s.DAD != c.dad || s.HasLink != c.wantLink || s.TargetAddr() != ip6B {
				t.Fatalf("solicitation %+v, %t", s, ok)
			}
			// In place: the answer to a probe is longer than the probe.
			buf := packet.Pad(c.frame, packet.NDAdvertFrameLen)
			got := buf[:packet.PutNeighborAdvert(buf, &s, macB, c.router)]
			check.IPv6(t, got, check.Len(packet.NDAdvertFrameLen), check.EtherSrc(macB), check.EtherDst(c.toMAC),
				check.Src("2001:db8:1::4"), check.Dst(c.to), check.TTL(255),
				check.ICMPv6(check.Type(packet.ICMPv6NeighborAdvert), check.Code(0)))
			check.Equal(t, got, packet.Build(packet.Ether{Dst: c.toMAC, Src: macB},
				packet.IPv6{Src: ip6B, Dst: packet.MustIP(c.to), HopLimit: 255},
				packet.ICMPv6{Type: packet.ICMPv6NeighborAdvert, Rest: c.flags},
				packet.NDBody{Target: ip6B, Option: packet.NDTargetLink, Link: macB}))
			na, ok := decode(t, got).Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
			if !ok || na.Router() != c.router || na.Solicited() == c.dad || !na.Override() {
				t.Errorf("gopacket sees %+v", na)
			}
		})
	}
	s := packet.NeighborSolicitation{}
	if n := packet.PutNeighborAdvert(make([]byte, packet.NDAdvertFrameLen-1), &s, macB, false); n != 0 {
		t.Errorf("wrote %d bytes to a buffer that is too short", n)
	}
}

func TestNDRefuses(t *testing.T) {
	group := packet.SolicitedNode(ip6B)
	ns := packet.ICMPv6{Type: packet.ICMPv6NeighborSolicit}
	ip := packet.IPv6{Src: ip6A, Dst: group, HopLimit: 255}
	body := packet.NDBody{Target: ip6B, Option: packet.NDSourceLink, Link: macA}
	probe := packet.IPv6{Dst: group, HopLimit: 255}
	if _, ok := solicitation(t, packet.Build(eth, ip, ns, body)); !ok {
		t.Fatal("the good solicitation is refused, so this test shows nothing")
	}
	if _, ok := solicitation(t, packet.Build(eth, ip, ns, body, packet.Payload{99, 1, 0, 0, 0, 0, 0, 0})); !ok {
		t.Error("an unknown option must be skipped")
	}
	for name, frame := range map[string][]byte{
		"hop limit":              packet.Build(eth, packet.IPv6{Src: ip6A, Dst: group, HopLimit: 254}, ns, body),
		"checksum":               packet.Build(eth, ip, packet.ICMPv6{Type: packet.ICMPv6NeighborSolicit, Checksum: 1}, body),
		"code":                   packet.Build(eth, ip, packet.ICMPv6{Type: packet.ICMPv6NeighborSolicit, Code: 1}, body),
		"type":                   packet.Build(eth, ip, packet.ICMPv6{Type: packet.ICMPv6NeighborAdvert}, body),
		"no ND type":             packet.Build(eth, ip, packet.ICMPv6{Type: packet.ICMPv6EchoRequest}, body),
		"truncated target":       packet.Build(eth, ip, ns, packet.Fill(15)),
		"multicast target":       packet.Build(eth, ip, ns, packet.NDBody{Target: group}),
		"option of length 0":     packet.Build(eth, ip, ns, packet.NDBody{Target: ip6B}, packet.Payload{1, 0, 0, 0, 0, 0, 0, 0}),
		"option truncated":       packet.Build(eth, ip, ns, packet.NDBody{Target: ip6B}, packet.Payload{1, 2, 0, 0, 0, 0, 0, 0}),
		"bytes behind":           packet.Build(eth, ip, ns, body, packet.Payload{0}),
		"link of 16 bytes":       packet.Build(eth, ip, ns, packet.NDBody{Target: ip6B}, packet.Payload{1, 2, 15: 0}),
		"probe with link":        packet.Build(eth, probe, ns, body),
		"probe to another group": packet.Build(eth, packet.IPv6{Dst: packet.MustIP("ff02::1"), HopLimit: 255}, ns, packet.NDBody{Target: ip6B}),
	} {
		if s, ok := solicitation(t, frame); ok {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}

func TestNDOptions(t *testing.T) {
	opts := packet.NDOptions{packet.NDSourceLink, 1, 2, 0, 0, 0, 0, 1, packet.NDMTU, 1, 0, 0, 0, 0, 0x23, 0x29}
	typ, b, ok := opts.Next()
	if !ok || typ != packet.NDSourceLink || packet.MAC(b[2:]) != packet.MustMAC("02:00:00:00:00:01") {
		t.Errorf("first option %d %x %t", typ, b, ok)
	}
	typ, b, ok = opts.Next()
	if !ok || typ != packet.NDMTU || binary.BigEndian.Uint32(b[4:]) != 9001 {
		t.Errorf("second option %d %x %t", typ, b, ok)
	}
	if _, _, ok = opts.Next(); ok || !opts.Done() {
		t.Error("there is no third option")
	}
}
