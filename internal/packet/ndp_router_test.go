package packet_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

func routerConfig() *packet.RouterConfig {
	return &packet.RouterConfig{MAC: macB, Addr: routerLL, Prefix: netip.MustParsePrefix("2001:db8::/56"), MTU: 9001, Lifetime: 1800}
}

func routerSolicit(src netip.Addr, options packet.Payload) []byte {
	return packet.Build(packet.Ether{Dst: packet.MAC{0x33, 0x33, 0, 0, 0, 2}, Src: macA},
		packet.IPv6{Src: src, Dst: packet.MustIP("ff02::2"), HopLimit: 255}, packet.ICMPv6{Type: packet.ICMPv6RouterSolicit}, options)
}

func TestRouterAdvert(t *testing.T) {
	link := packet.Payload{1, 1, 2, 0, 0, 0, 0, 0x0a}
	for _, c := range []struct {
		name     string
		question []byte // nil: unasked
		to       string
		mac      packet.MAC
	}{
		{"asked", routerSolicit(guestLL, link), "fe80::a", macA},
		{"asked by one without an address", routerSolicit(netip.IPv6Unspecified(), nil), "ff02::1", packet.MAC{0x33, 0x33, 0, 0, 0, 1}},
		{"unasked", nil, "ff02::1", packet.MAC{0x33, 0x33, 0, 0, 0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s *packet.RouterSolicitation
			if c.question != nil {
				s = new(packet.RouterSolicitation)
				ip := packet.IPv6Header(c.question[14:])
				if !packet.ParseRouterSolicitation(macA, ip, ip.Payload(), s) {
					t.Fatal("the question is not understood")
				}
			}
			buf := make([]byte, packet.RouterAdvertFrameLen)
			frame := buf[:routerConfig().PutAdvert(buf, s)]
			check.IPv6(t, frame, check.Len(packet.RouterAdvertFrameLen), check.EtherSrc(macB), check.EtherDst(c.mac), check.Src("fe80::b"), check.Dst(c.to), check.TTL(255))
			ra, ok := decode(t, frame).Layer(layers.LayerTypeICMPv6RouterAdvertisement).(*layers.ICMPv6RouterAdvertisement)
			if !ok {
				t.Fatal("gopacket sees no router advertisement")
			}
			if ra.HopLimit != 64 || ra.Flags != 0x80 || ra.RouterLifetime != 1800 || ra.ReachableTime != 0 || ra.RetransTimer != 0 || len(ra.Options) != 3 {
				t.Errorf("%+v", ra)
			}
			if o := ra.Options[0]; o.Type != 1 || packet.MAC(o.Data) != macB {
				t.Errorf("link-layer address %+v", o)
			}
			if o := ra.Options[1]; o.Type != 5 || o.Data[4] != 0x23 || o.Data[5] != 0x29 {
				t.Errorf("MTU %+v", o)
			}
			if o := ra.Options[2]; o.Type != 3 || o.Data[0] != 56 || o.Data[1] != 0x80 || o.Data[2] != 0xff || o.Data[6] != 0 ||
				netip.AddrFrom16([16]byte(o.Data[14:])) != packet.MustIP("2001:db8::") {
				t.Errorf("prefix %+v", o)
			}
			ip := packet.IPv6Header(frame[14:])
			if !packet.NDValid(ip, ip.Payload()) {
				t.Error("it breaks the rules of RFC 4861")
			}
		})
	}
	if routerConfig().PutAdvert(make([]byte, packet.RouterAdvertFrameLen-1), nil) != 0 {
		t.Error("it was written beyond its buffer")
	}
}

func TestRouterSolicitationRefused(t *testing.T) {
	spoil := func(at int, f []byte) []byte {
		f[at] ^= 1
		return f
	}
	for name, frame := range map[string][]byte{
		"hop limit":                          spoil(21, routerSolicit(guestLL, nil)),
		"checksum":                           spoil(56, routerSolicit(guestLL, nil)),
		"link address without an IP address": routerSolicit(netip.IPv6Unspecified(), packet.Payload{1, 1, 2, 0, 0, 0, 0, 1}),
		"long link address":                  routerSolicit(guestLL, packet.Payload{1, 2, 2, 0, 0, 0, 0, 1, 15: 0}),
		"empty option":                       routerSolicit(guestLL, packet.Payload{14, 0, 0, 0, 0, 0, 0, 0}),
		"neighbour solicitation":             packet.NeighborSolicit(macA, ip6A, ip6B),
	} {
		ip := packet.IPv6Header(frame[14:])
		var s packet.RouterSolicitation
		if packet.ParseRouterSolicitation(macA, ip, ip.Payload(), &s) {
			t.Errorf("%s: accepted", name)
		}
	}
}
