package packet_test

import (
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
)

func TestSummary(t *testing.T) {
	v4 := packet.IPv4{Src: ip4A, Dst: ip4B}
	v6 := packet.IPv6{Src: ip6A, Dst: ip6B}
	const macs = "02:00:00:00:00:0a > 02:00:00:00:00:0b "
	udp := packet.Build(eth, v4, packet.UDP{SrcPort: 53, DstPort: 5353}, packet.Fill(100))
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{nil, "bad: frame ends inside the Ethernet header or a VLAN tag, 0 bytes"},
		{packet.Build(eth), macs + "ethertype 0xffff len 14"},
		{packet.Build(eth, packet.VLAN{ID: 5}, packet.VLAN{ID: 6})[:20], macs + "vlan 5 bad: frame ends inside the Ethernet header or a VLAN tag"},
		{packet.Build(eth, v4, packet.TCP{SrcPort: 40000, DstPort: 80, Seq: 1, Flags: packet.TCPSyn}),
			macs + "10.0.0.4:40000 > 10.0.1.4:80 tcp S seq 1 win 64240 len 0 ttl 64"},
		{packet.Build(eth, v6, packet.TCP{SrcPort: 40000, DstPort: 80, Flags: packet.TCPAck | packet.TCPFin, Ack: 9}, packet.Fill(3)),
			macs + "[2001:db8::4]:40000 > [2001:db8:1::4]:80 tcp FA seq 0 ack 9 win 64240 len 3 hops 64"},
		{packet.Build(eth, packet.VLAN{ID: 7}, packet.IPv4{Src: ip4A, Dst: ip4B, DF: true, Options: []byte{1}}, packet.UDP{SrcPort: 1, DstPort: 2, Checksum: 1}),
			macs + "vlan 7 10.0.0.4:1 > 10.0.1.4:2 udp len 0 bad: transport checksum ttl 64 df options 4"},
		{packet.Build(eth, packet.IPv4{Src: ip4A, Dst: ip4B, BadChecksum: true}, packet.TCP{}),
			macs + "10.0.0.4:0 > 10.0.1.4:0 tcp - seq 0 win 64240 len 0 ttl 64 bad: IPv4 checksum"},
		{packet.Fragment(udp, 68, 3)[0], macs + "10.0.0.4:53 > 10.0.1.4:5353 udp len 100 ttl 64 frag id 3 off 0+"},
		{packet.Fragment(udp, 68, 3)[2], macs + "10.0.0.4 > 10.0.1.4 proto 17 ttl 64 frag id 3 off 96"},
		{packet.Fragment(packet.Build(eth, v6, packet.UDP{}, packet.Fill(100)), 100, 3)[1], macs + "2001:db8::4 > 2001:db8:1::4 proto 17 hops 64 frag id 3 off 48+"},
		{packet.Build(eth, packet.IPv4{Src: ip4A, Dst: ip4B, Proto: 99}, packet.Fill(5)), macs + "10.0.0.4 > 10.0.1.4 proto 99 len 5 ttl 64"},
		{packet.Build(eth, v4, packet.ICMP{Type: packet.ICMPEchoRequest, ID: 3, Seq: 4}), macs + "10.0.0.4 > 10.0.1.4 icmp echo request id 3 seq 4 ttl 64"},
		{packet.Build(eth, v6, packet.ICMPv6{Type: packet.ICMPv6EchoReply, Rest: 3<<16 | 4}), macs + "2001:db8::4 > 2001:db8:1::4 icmp6 echo reply id 3 seq 4 hops 64"},
		{packet.Build(eth, v4, packet.ICMP{Type: packet.ICMPTimeExceeded, Checksum: 1}), macs + "10.0.0.4 > 10.0.1.4 icmp type 11 code 0 bad: transport checksum ttl 64"},
		{packet.NeighborSolicit(macA, ip6A, ip6B), "02:00:00:00:00:0a > 33:33:ff:00:00:04 2001:db8::4 > ff02::1:ff00:4 icmp6 type 135 code 0 target 2001:db8:1::4 hops 255"},
		{packet.Build(eth, packet.ARP{Sender: ip4A, Target: ip4B}), macs + "arp who has 10.0.1.4 tell 10.0.0.4"},
		{packet.Build(eth, packet.ARP{Op: packet.ARPAnswer, SenderMAC: macA, Sender: ip4A}), macs + "arp 10.0.0.4 is at 02:00:00:00:00:0a"},
		{packet.Build(eth, packet.ARP{Op: 9}), macs + "arp op 9"},
		{packet.Build(eth, v4, packet.UDP{SrcPort: 68, DstPort: 67}, packet.DHCP{Type: packet.DHCPDiscover}), macs + "10.0.0.4:68 > 10.0.1.4:67 udp len 300 dhcp discover ttl 64"},
		{packet.Build(eth, v4, packet.UDP{SrcPort: 68, DstPort: 67}), macs + "10.0.0.4:68 > 10.0.1.4:67 udp len 0 bad: dhcp: message is truncated ttl 64"},
		{packet.Build(eth, packet.IPv6{Src: ip6A, Dst: ip6B, Next: packet.ProtoDestOpts}), macs + "2001:db8::4 > 2001:db8:1::4 proto 60 hops 64 bad: IPv6 header or extension header does not fit the frame"},
	} {
		if got := packet.Summary(c.frame); got != c.want {
			t.Errorf("%x\n got %s\nwant %s", c.frame, got, c.want)
		}
	}
}
