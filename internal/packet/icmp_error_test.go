package packet_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

func TestICMPError(t *testing.T) {
	for _, c := range []struct {
		name       string
		e          packet.ICMPError
		size, mtu  int // of the packet that it is about, of the sender
		at, quoted int
	}{
		{"IPv4, all", packet.ICMPError{Type: 11, Src: ip4B, Dst: ip4A}, 100, 1500, 42, 100},
		{"IPv4, up to 576 bytes", packet.ICMPError{Type: 3, Code: 4, MTU: 1280, Src: ip4B, Dst: ip4A}, 1400, 1500, 42, 548},
		{"IPv4, small MTU", packet.ICMPError{Type: 3, Code: 4, MTU: 128, Src: ip4B, Dst: ip4A}, 1400, 128, 42, 100},
		{"IPv6, all", packet.ICMPError{Type: 3, Src: ip6B, Dst: ip6A}, 1200, 1500, 62, 1200},
		{"IPv6, up to 1280 bytes", packet.ICMPError{Type: 2, MTU: 1280, Src: ip6B, Dst: ip6A}, 1400, 1500, 62, 1232},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.Router, c.e.Sender = macB, macA
			at, most := c.e.Quote(c.mtu)
			about := packet.Fill(c.size)
			frame := make([]byte, at+min(most, c.size))
			copy(frame[at:], about)
			if n := c.e.Put(frame); n != len(frame) || at != c.at || len(frame)-at != c.quoted {
				t.Fatalf("%d bytes, the quote at %d", n, at)
			}
			icmp, checks := check.ICMP, check.IPv4
			if c.e.Src.Is6() {
				icmp, checks = check.ICMPv6, check.IPv6
			}
			checks(t, frame, check.EtherSrc(macB), check.EtherDst(macA), check.Src(c.e.Src.String()), check.Dst(c.e.Dst.String()),
				check.TTL(64), icmp(check.Type(c.e.Type), check.Code(c.e.Code)))
			if !bytes.Equal(frame[at:], about[:c.quoted]) {
				t.Error("the quote changed")
			}
			if mtu := packet.ICMPHeader(frame[at-8:]).Rest(); mtu != uint32(c.e.MTU) {
				t.Errorf("it says MTU %d", mtu)
			}
			p := decode(t, frame)
			if c.e.Src.Is6() {
				if ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ip.TrafficClass != 0xc0 || ip.Version != 6 || ip.FlowLabel != 0 {
					t.Errorf("class %x, version %d, label %d", ip.TrafficClass, ip.Version, ip.FlowLabel)
				}
			} else if ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ip.TOS != 0xc0 {
				t.Errorf("type of service %x", ip.TOS)
			}
		})
	}
}
