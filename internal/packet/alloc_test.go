package packet_test

import (
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
)

func TestNoAllocations(t *testing.T) {
	tcp := packet.Build(eth, packet.IPv4{Src: ip4A, Dst: ip4B}, packet.TCP{Options: packet.TCPOptions{MSS: 1400, HasScale: true}.Bytes()})
	arp := packet.Build(eth, packet.ARP{Sender: ip4A, Target: ip4B})
	ns := packet.NeighborSolicit(macA, ip6A, ip6B)
	discover := packet.Build(packet.DHCP{Type: packet.DHCPDiscover, Client: macA, ClientID: []byte{1}})
	ext := packet.IPv6Header(packet.Build(packet.IPv6{Src: ip6A, Dst: ip6B}, packet.IPv6Ext{Proto: packet.ProtoDestOpts}, packet.UDP{}))
	buf := make([]byte, packet.DHCPReplyMax)
	config := dhcpConfig()
	for name, f := range map[string]func(){
		"checksums": func() {
			ip := packet.IPv4Header(tcp[packet.EtherLen:])
			ip.UpdateChecksum()
			ip.DecrementTTL()
			ip.SetSrc(ip.Dst())
			sink += ip.TransportSum(packet.ProtoTCP, ip.Payload())
		},
		"TCP options": func() {
			sink += packet.ParseTCPOptions(packet.TCPHeader(packet.IPv4Header(tcp[packet.EtherLen:]).Payload()).Options()).MSS
		},
		"extension headers": func() {
			up, _ := ext.Upper()
			sink += uint16(up.Offset)
		},
		"ARP": func() { packet.ARPReply(arp, macB) },
		"ND": func() {
			ip := packet.IPv6Header(ns[packet.EtherLen:])
			var s packet.NeighborSolicitation
			if packet.ParseNeighborSolicitation(macA, ip, ip.Payload(), &s) {
				packet.PutNeighborAdvert(buf, &s, macB, true)
			}
		},
		"DHCP":   func() { config.Reply(buf, discover) },
		"locate": func() { _, _ = packet.Locate(tcp) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAnswers(b *testing.B) {
	ns := packet.NeighborSolicit(macA, ip6A, ip6B)
	discover := packet.Build(packet.DHCP{Type: packet.DHCPDiscover, Client: macA, ClientID: []byte{1}})
	arp := packet.Build(eth, packet.ARP{Sender: ip4A, Target: ip4B})
	buf := make([]byte, packet.DHCPReplyMax)
	config := dhcpConfig()
	b.Run("arp", func(b *testing.B) {
		for range b.N {
			packet.ARPReply(arp, macB)
		}
	})
	b.Run("nd", func(b *testing.B) {
		for range b.N {
			ip := packet.IPv6Header(ns[packet.EtherLen:])
			var s packet.NeighborSolicitation
			packet.ParseNeighborSolicitation(macA, ip, ip.Payload(), &s)
			packet.PutNeighborAdvert(buf, &s, macB, true)
		}
	})
	b.Run("dhcp", func(b *testing.B) {
		for range b.N {
			config.Reply(buf, discover)
		}
	})
}
