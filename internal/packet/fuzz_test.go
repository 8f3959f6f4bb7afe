package packet_test

import (
	"bytes"
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

func FuzzDHCP(f *testing.F) {
	for _, m := range []packet.DHCP{
		{Type: packet.DHCPDiscover, Client: macA, ClientID: []byte{1, 2, 3}},
		{Type: packet.DHCPRequest, Client: macA, Requested: ip4A, Broadcast: true},
		{Client: macA, Options: []byte{52, 1, 3}},
	} {
		f.Add(packet.Build(m))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var m, again packet.DHCPMessage
		err := packet.ParseDHCP(msg, &m)
		if packet.ParseDHCP(msg, &again) != err || again != m {
			t.Fatal("two readings of one message differ")
		}
		c := dhcpConfig()
		c.Client = m.Client // so that most messages are answered
		own := bytes.Clone(msg)
		buf := make([]byte, packet.DHCPReplyMax)
		n, v := c.Reply(buf, msg)
		if !bytes.Equal(own, msg) {
			t.Fatal("the request was changed")
		}
		if (v == packet.DHCPReplied) != (n != 0) || err != nil && v != packet.DHCPMalformed {
			t.Fatalf("%d bytes, verdict %d, %v", n, v, err)
		}
		if n != 0 {
			check.IPv4(t, buf[:n], check.UDP(check.SrcPort(67), check.DstPort(68)))
		}
		inPlace := packet.Pad(msg, packet.DHCPReplyMax)
		if n2, _ := c.Reply(inPlace, inPlace[:len(msg)]); n2 != n || !bytes.Equal(inPlace[:n], buf[:n]) {
			t.Fatal("a reply in place differs")
		}
	})
}

// FuzzND feeds the ICMPv6 message only; the headers around it are made right,
// so that the fuzzer gets past the checksum.
func FuzzND(f *testing.F) {
	for _, frame := range [][]byte{
		packet.NeighborSolicit(macA, ip6A, ip6B),
		packet.NeighborSolicit(macA, packet.IPv6{}.Src, ip6B),
	} {
		f.Add(frame[packet.EtherLen+packet.IPv6Len+4:], frame[packet.EtherLen+8] == 0)
	}
	f.Fuzz(func(t *testing.T, rest []byte, dad bool) {
		if len(rest) < 4 || len(rest) > 1400 {
			return
		}
		ip := packet.IPv6{Src: ip6A, Dst: packet.SolicitedNode(ip6B), HopLimit: 255}
		if dad {
			ip.Src = packet.IPv6{}.Src
		}
		frame := packet.Build(eth, ip, packet.ICMPv6{Type: packet.ICMPv6NeighborSolicit,
			Rest: uint32(rest[0])<<24 | uint32(rest[3])}, packet.Payload(rest[4:]))
		h := packet.IPv6Header(frame[packet.EtherLen:])
		var s packet.NeighborSolicitation
		if !packet.ParseNeighborSolicitation(macA, h, h.Payload(), &s) {
			return
		}
		if s.DAD != dad || s.Target[0] == 0xff || len(rest) < 20 || dad && s.HasLink {
			t.Fatalf("accepted %+v from %x", s, rest)
		}
		buf := make([]byte, packet.NDAdvertFrameLen)
		n := packet.PutNeighborAdvert(buf, &s, macB, false)
		check.IPv6(t, buf[:n], check.TTL(255), check.ICMPv6(check.Type(packet.ICMPv6NeighborAdvert)))
		ans := packet.IPv6Header(buf[packet.EtherLen:])
		if !packet.NDValid(ans, ans.Payload()) {
			t.Fatal("the answer breaks the rules of RFC 4861")
		}
	})
}

// FuzzSummary also holds Locate to what it says of itself.
func FuzzSummary(f *testing.F) {
	v4, v6 := packet.IPv4{Src: ip4A, Dst: ip4B}, packet.IPv6{Src: ip6A, Dst: ip6B}
	for _, frame := range [][]byte{
		packet.Build(eth, v4, packet.TCP{Options: packet.TCPOptions{MSS: 1, HasScale: true}.Bytes()}),
		packet.Build(eth, packet.VLAN{}, packet.VLAN{}, v6, packet.IPv6Ext{Proto: packet.ProtoHopByHop}, packet.IPv6Frag{}, packet.UDP{}),
		packet.Build(eth, v4, packet.UDP{DstPort: 67}, packet.DHCP{Type: packet.DHCPInform}),
		packet.Build(eth, v4, packet.ICMP{Type: packet.ICMPUnreachable}, packet.Quote(packet.Build(eth, v4, packet.UDP{}), 28)),
		packet.Build(eth, packet.ARP{}),
		packet.NeighborSolicit(macA, ip6A, ip6B),
		packet.Fragment(packet.Build(eth, v4, packet.UDP{}, packet.Fill(100)), 68, 1)[1],
	} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if packet.Summary(frame) == "" {
			t.Fatal("empty summary")
		}
		l, err := packet.Locate(frame)
		if l.End > len(frame) || l.L3 > l.End || l.L4 > l.End || l.L4 != 0 && l.L4 < l.L3 {
			t.Fatalf("%+v does not lie within %d bytes", l, len(frame))
		}
		if err != nil || l.L4 == 0 {
			return
		}
		if l.Proto == packet.ProtoTCP {
			o := packet.ParseTCPOptions(packet.TCPHeader(frame[l.L4:l.End]).Options())
			if o.WindowScale > 14 {
				t.Fatalf("options %+v", o)
			}
		}
	})
}
