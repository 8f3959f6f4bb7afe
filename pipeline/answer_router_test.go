package pipeline

import (
	"net/netip"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/policy"
)

// group6 is a frame from an ENI to an IPv6 group.
func (b *bed) group6(from string, src netip.Addr, dst string, hopLimit uint8, layers ...packet.Layer) []byte {
	group := packet.MustIP(dst)
	return packet.Build(append([]packet.Layer{packet.Ether{Dst: packet.MulticastMAC6(group.As16()), Src: b.record(from).MAC},
		packet.IPv6{Src: src, Dst: group, HopLimit: hopLimit}}, layers...)...)
}

func (b *bed) routerSolicit(from string, src netip.Addr) []byte {
	return b.group6(from, src, "ff02::2", 255, packet.ICMPv6{Type: packet.ICMPv6RouterSolicit})
}

// dhcp6 is a message of a client that has an identifier.
func (b *bed) dhcp6(from string, m packet.DHCP6) []byte {
	m.ClientID = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9}
	return b.group6(from, packet.MustIP("fe80::9"), "ff02::1:2", 1, packet.UDP{SrcPort: 546, DstPort: 547}, m)
}

// withoutIPv6 is defaultObjects whose web2 has no IPv6.
func withoutIPv6() *policy.Objects {
	o := defaultObjects()
	o.ENIs[1].Addresses = o.ENIs[1].Addresses[:1]
	return o
}

func TestRouterSolicitation(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores, objects: withoutIPv6(), config: func(c *Config) { c.AdvertEvery = 10 * time.Minute }})
		router := b.snap.Subnet(b.record("web").Subnet).RouterLinkLocal.String()
		none := netip.IPv6Unspecified()
		short := b.routerSolicit("web", none)
		short[21]--
		for _, c := range []struct {
			name, eni string
			question  []byte
			to        string // "": silence
			why       drop.Reason
		}{
			{"from a link-local address", "web", b.routerSolicit("web", packet.MustIP("fe80::9")), "fe80::9", 0},
			{"from its own address", "web", b.routerSolicit("web", packet.MustIP("2001:db8:0:1::10")), "2001:db8:0:1::10", 0},
			{"without an address", "web", b.routerSolicit("web", none), "ff02::1", 0},
			{"in a peer's name", "web", b.routerSolicit("web", packet.MustIP("2001:db8:0:2::10")), "", drop.SourceIPSpoofed},
			{"hop limit", "web", short, "", drop.NDMalformed},
			{"from an ENI without IPv6", "web2", b.routerSolicit("web2", none), "", drop.NDNotAnswered},
		} {
			t.Run(c.name, func(t *testing.T) {
				answer, why, _ := b.asked(c.eni, c.question)
				if why != c.why || (answer != nil) != (c.to != "") {
					t.Fatalf("%v, answer %x; want %v", why, answer, c.why)
				}
				if answer == nil {
					return
				}
				check.IPv6(t, answer, check.EtherSrc(b.record("web").RouterMAC), check.Src(router), check.Dst(c.to), check.TTL(255),
					check.Len(packet.RouterAdvertFrameLen), check.ICMPv6(check.Type(packet.ICMPv6RouterAdvert)))
				if lifetime := int(answer[60])<<8 | int(answer[61]); lifetime != 1800 {
					t.Errorf("the router may be used for %d s", lifetime)
				}
			})
		}
	}
}

// Unasked, every ENI with IPv6 hears of its router once in the interval, and no
// other does.
func TestAdvertisements(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores, objects: withoutIPv6(), config: func(c *Config) { c.AdvertEvery = 10 * time.Second }})
		b.settle()
		b.clock.advance(9 * time.Second)
		if s := b.settle(); s.Originated != 0 {
			t.Errorf("%d advertisements before their time", s.Originated)
		}
		for range 3 {
			b.clock.advance(10 * time.Second)
			b.settle()
			for _, c := range []struct {
				eni  string
				want int
			}{{"web", 1}, {"web2", 0}, {"app", 1}} {
				got := b.received(c.eni)
				if len(got) != c.want {
					t.Fatalf("%s heard of its router %d times, want %d", c.eni, len(got), c.want)
				}
				for _, f := range got {
					check.IPv6(t, f, check.Dst("ff02::1"), check.Src(b.snap.Subnet(b.record(c.eni).Subnet).RouterLinkLocal.String()),
						check.EtherSrc(b.record(c.eni).RouterMAC), check.ICMPv6(check.Type(packet.ICMPv6RouterAdvert)))
				}
			}
		}
		if s := b.stats(); s.Originated != 6 || s.Tx != 6 || s.Dropped() != 0 {
			t.Errorf("%d made, %d sent, %d dropped", s.Originated, s.Tx, s.Dropped())
		}
	}
}

func TestDHCP6(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores, objects: withoutIPv6()})
		web := b.record("web")
		router := b.snap.Subnet(web.Subnet).RouterLinkLocal
		server := append([]byte{0, 3, 0, 1}, web.RouterMAC[:]...)
		ia := []packet.DHCP6Association{{ID: 1}}
		udp := packet.UDP{SrcPort: 546, DstPort: 547}
		solicit := packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: []byte{0, 1, 2}, Associations: ia}
		spoilt := b.dhcp6("web", solicit)
		spoilt[len(spoilt)-1] ^= 1
		for _, c := range []struct {
			name, eni string
			question  []byte
			answer    packet.DHCP6Type // 0: none
			why       drop.Reason
		}{
			{"solicit", "web", b.dhcp6("web", solicit), packet.DHCP6Advertise, 0},
			{"request", "web", b.dhcp6("web", packet.DHCP6{Type: packet.DHCP6Request, ServerID: server, Associations: ia}), packet.DHCP6Reply, 0},
			{"release", "web", b.dhcp6("web", packet.DHCP6{Type: packet.DHCP6Release, ServerID: server}), packet.DHCP6Reply, 0},
			{"another server's", "web", b.dhcp6("web", packet.DHCP6{Type: packet.DHCP6Request, ServerID: []byte{0, 1, 2, 3}, Associations: ia}), 0, 0},
			{"an answer", "web", b.dhcp6("web", packet.DHCP6{Type: packet.DHCP6Reply, ServerID: server}), 0, drop.DHCPMalformed},
			{"wrong checksum", "web", spoilt, 0, drop.DHCPMalformed},
			{"no address", "web", b.group6("web", netip.IPv6Unspecified(), "ff02::1:2", 1, udp, solicit), 0, drop.DHCPMalformed},
			{"in a peer's name", "web", b.group6("web", packet.MustIP("2001:db8:0:2::10"), "ff02::1:2", 1, udp, solicit), 0, drop.SourceIPSpoofed},
			{"from an ENI without IPv6", "web2", b.dhcp6("web2", solicit), 0, drop.DHCPMalformed},
			{"to the servers of the site", "web", b.group6("web", packet.MustIP("fe80::9"), "ff05::1:3", 1, udp, solicit), 0, drop.Multicast},
			{"to the router alone", "web", b.frame("web", packet.IPv6{Src: packet.MustIP("2001:db8:0:1::10"), Dst: router}, udp, solicit), 0, drop.RouterNoService},
		} {
			t.Run(c.name, func(t *testing.T) {
				answer, why, consumed := b.asked(c.eni, c.question)
				if why != c.why || (answer != nil) != (c.answer != 0) || consumed != (c.why == 0) {
					t.Fatalf("%v, consumed %v, answer %x", why, consumed, answer)
				}
				if answer != nil {
					check.IPv6(t, answer, check.EtherSrc(web.RouterMAC), check.EtherDst(web.MAC), check.Src(router.String()), check.Dst("fe80::9"), check.UDP(check.SrcPort(547), check.DstPort(546)))
					if typ := packet.DHCP6Type(answer[62]); typ != c.answer {
						t.Errorf("the answer is of type %d", typ)
					}
				}
			})
		}
	}
}

// Everything to a group that nitrod does not answer itself is dropped and counted,
// and no other guest hears it.
func TestGroupsAreDropped(t *testing.T) {
	b := newBed(t, bedOptions{})
	own6, own4 := packet.MustIP("fe80::9"), packet.MustIP("10.0.1.10")
	group4 := func(dst string, layers ...packet.Layer) []byte {
		to := packet.MustIP(dst).As4()
		mac := packet.MAC{1, 0, 0x5e, to[1] & 0x7f, to[2], to[3]}
		return packet.Build(append([]packet.Layer{packet.Ether{Dst: mac, Src: b.record("web").MAC}, packet.IPv4{Src: own4, Dst: packet.MustIP(dst), TTL: 1, Proto: 2}}, layers...)...)
	}
	for _, c := range []struct {
		name  string
		frame []byte
		why   drop.Reason
	}{
		{"MLD report", b.group6("web", own6, "ff02::16", 1, packet.IPv6Ext{Proto: packet.ProtoHopByHop, Data: []byte{5, 2, 0, 0, 1, 0}}, packet.ICMPv6{Type: packet.ICMPv6ListenerReport2}), drop.Multicast},
		{"IGMP report", group4("224.0.0.22", packet.Fill(8)), drop.Multicast},
		{"mDNS", b.group6("web", own6, "ff02::fb", 255, packet.UDP{SrcPort: 5353, DstPort: 5353}), drop.Multicast},
		{"ping to all nodes", b.group6("web", own6, "ff02::1", 64, packet.ICMPv6{Type: packet.ICMPv6EchoRequest}), drop.Multicast},
		{"directed broadcast", packet.Build(packet.Ether{Dst: packet.Broadcast, Src: b.record("web").MAC}, packet.IPv4{Src: own4, Dst: packet.MustIP("10.0.1.255")}, packet.UDP{SrcPort: 1, DstPort: 2}), drop.Broadcast},
		{"announcement", b.arp("web", packet.ARP{Sender: own4, Target: own4}), drop.ARPNotAnswered},
		{"unsolicited advertisement", b.group6("web", own6, "ff02::1", 255, packet.ICMPv6{Type: packet.ICMPv6NeighborAdvert}, packet.Fill(16)), drop.NDNotAnswered},
		{"ping to the router", b.frame("web", packet.IPv4{Src: own4, Dst: packet.MustIP("10.0.1.1")}, packet.ICMP{Type: 8}), drop.RouterNoService},
		{"ping to the router, IPv6", b.frame("web", packet.IPv6{Src: packet.MustIP("2001:db8:0:1::10"), Dst: packet.MustIP("2001:db8:0:1::1")}, packet.ICMPv6{Type: 128}), drop.RouterNoService},
	} {
		t.Run(c.name, func(t *testing.T) {
			if answer, why, _ := b.asked("web", c.frame); why != c.why || answer != nil {
				t.Errorf("%v, answer %x; want %v and silence", why, answer, c.why)
			}
		})
	}
}

// Every address of an ENI is as good as its primary one: secondary ones, and
// those of a delegated prefix. DHCPv4 gives the primary one.
func TestAddressesOfAnENI(t *testing.T) {
	o := openObjects()
	o.ENIs[0].Addresses = []netip.Addr{packet.MustIP("10.0.1.10"), packet.MustIP("10.0.1.20"), packet.MustIP("2001:db8:0:1::10"), packet.MustIP("2001:db8:0:1::20")}
	o.ENIs[0].Prefixes = []netip.Prefix{mustPrefix("10.0.1.32/28"), mustPrefix("2001:db8:0:1:7::/80")}
	b := newBed(t, bedOptions{objects: o})
	udp := packet.UDP{SrcPort: 1, DstPort: 80}
	for _, own := range []string{"10.0.1.10", "10.0.1.20", "10.0.1.32", "10.0.1.47", "2001:db8:0:1::10", "2001:db8:0:1::20", "2001:db8:0:1:7::1", "2001:db8:0:1:7:ffff:ffff:ffff"} {
		a := packet.MustIP(own)
		var to, back packet.Layer = packet.IPv4{Src: a, Dst: packet.MustIP("10.0.2.10")}, packet.IPv4{Src: packet.MustIP("10.0.2.10"), Dst: a}
		question := b.arp("web2", packet.ARP{Sender: packet.MustIP("10.0.1.11"), Target: a})
		dup := b.arp("web", packet.ARP{Target: a})
		silence := drop.ARPNotAnswered
		if a.Is6() {
			to, back = packet.IPv6{Src: a, Dst: packet.MustIP("2001:db8:0:2::10")}, packet.IPv6{Src: packet.MustIP("2001:db8:0:2::10"), Dst: a}
			question = packet.NeighborSolicit(b.record("web2").MAC, packet.MustIP("2001:db8:0:1::11"), a)
			dup, silence = packet.NeighborSolicit(b.record("web").MAC, netip.Addr{}, a), drop.NDNotAnswered
		}
		if got := b.fate("web", b.frame("web", to, udp)); got.verdict != VerdictForward || got.egress != b.eni("app") {
			t.Errorf("from %s: %+v", own, got)
		}
		if got := b.fate("app", b.frame("app", back, packet.UDP{SrcPort: 80, DstPort: 1})); got.verdict != VerdictForward || got.egress != b.eni("web") {
			t.Errorf("to %s: %+v", own, got)
		}
		if got := b.fate("web2", b.frame("web2", to, udp)); got.reason != drop.SourceIPSpoofed {
			t.Errorf("from %s, by another ENI: %+v", own, got)
		}
		answer, why, _ := b.asked("web2", question)
		if answer == nil {
			t.Errorf("nobody answers for %s: %v", own, why)
		} else {
			check.Any(t, answer, check.EtherSrc(b.record("web").MAC))
		}
		if _, why, _ := b.asked("web", dup); why != silence {
			t.Errorf("%s finds a duplicate of itself: %v", own, why)
		}
	}
	discover := packet.Build(packet.Ether{Dst: packet.Broadcast, Src: b.record("web").MAC}, packet.IPv4{Dst: packet.MustIP("255.255.255.255")},
		packet.UDP{SrcPort: 68, DstPort: 67}, packet.DHCP{Type: packet.DHCPDiscover, Client: b.record("web").MAC})
	offer, _, _ := b.asked("web", discover)
	check.IPv4(t, offer, check.Dst("10.0.1.10"))
}
