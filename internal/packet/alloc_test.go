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
	buf6, config6, guest6, router := make([]byte, packet.DHCP6ReplyMax), dhcp6Config(), guestLL.As16(), routerConfig()
	solicit6 := packet.Build(packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Associations: []packet.DHCP6Association{{}}})
	icmpError := packet.ICMPError{Type: 3, Src: ip6B, Dst: ip6A}
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
		"DHCPv6":               func() { config6.Reply(buf6, solicit6, macA, guest6) },
		"router advertisement": func() { router.PutAdvert(buf6, nil) },
		"ICMP error":           func() { icmpError.Put(buf6[:100]) },
		"fragments": func() {
			var f packet.IPv4Fragments
			packet.NewIPv4Fragments(packet.IPv4Header(tcp[packet.EtherLen:]), 68, &f)
			f.Next(buf6)
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
