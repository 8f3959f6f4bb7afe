package pipeline

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

// asked is what a question led to: the answer at the asker, or the reason for
// silence. Nobody else hears anything.
func (b *bed) asked(eni string, question []byte) (answer []byte, why drop.Reason, consumed bool) {
	b.t.Helper()
	before := b.stats()
	b.inject(eni, question)
	after := b.settle()
	for r := range after.Drops {
		if after.Drops[r] != before.Drops[r] {
			why = drop.Reason(r)
		}
	}
	for i := range b.snap.ENIs {
		id := b.snap.ENI(uint16(i)).ID
		for _, f := range b.received(id) {
			if id != eni || answer != nil {
				b.t.Fatalf("%s hears %s", id, packet.Summary(f))
			}
			answer = f
		}
	}
	consumed = after.Consumed != before.Consumed
	if answered := answer != nil; answered != (after.Originated != before.Originated) || answered && !consumed {
		b.t.Fatalf("answer %v; originated %d, consumed %d", answered, after.Originated-before.Originated, after.Consumed-before.Consumed)
	}
	return answer, why, consumed
}

func (b *bed) arp(from string, a packet.ARP) []byte {
	a.SenderMAC = b.record(from).MAC
	return packet.Pad(packet.Build(packet.Ether{Dst: packet.Broadcast, Src: a.SenderMAC}, a), 60)
}

func TestARP(t *testing.T) {
	own, peer := packet.MustIP("10.0.1.10"), packet.MustIP("10.0.1.11")
	for _, lcores := range []int{1, 3} { // with three, answers leave by another lcore
		b := newBed(t, bedOptions{lcores: lcores})
		router := packet.MAC(b.record("web").RouterMAC)
		for _, c := range []struct {
			name string
			a    packet.ARP
			mac  packet.MAC // of the answer
			why  drop.Reason
		}{
			{"peer", packet.ARP{Sender: own, Target: peer}, b.record("web2").MAC, 0},
			{"router", packet.ARP{Sender: own, Target: packet.MustIP("10.0.1.1")}, router, 0},
			{"metadata service", packet.ARP{Sender: own, Target: packet.MustIP("169.254.169.254")}, router, 0},
			{"probe for a peer's address", packet.ARP{Target: peer}, b.record("web2").MAC, 0},
			{"probe for its own", packet.ARP{Target: own}, packet.MAC{}, drop.ARPNotAnswered},
			{"nobody's address", packet.ARP{Sender: own, Target: packet.MustIP("10.0.1.77")}, packet.MAC{}, drop.ARPNotAnswered},
			{"another subnet's", packet.ARP{Sender: own, Target: packet.MustIP("10.0.2.10")}, packet.MAC{}, drop.ARPNotAnswered},
			{"announcement", packet.ARP{Sender: own, Target: own}, packet.MAC{}, drop.ARPNotAnswered},
			{"reply", packet.ARP{Op: packet.ARPAnswer, Sender: own, Target: peer}, packet.MAC{}, drop.ARPNotAnswered},
			{"in a peer's name", packet.ARP{Sender: peer, Target: packet.MustIP("10.0.1.1")}, packet.MAC{}, drop.SourceIPSpoofed},
		} {
			t.Run(c.name, func(t *testing.T) {
				answer, why, _ := b.asked("web", b.arp("web", c.a))
				if why != c.why || (answer != nil) != (c.why == 0) {
					t.Fatalf("%v, answer %x; want %v", why, answer, c.why)
				}
				if answer == nil {
					return
				}
				check.ARP(t, answer, check.EtherDst(b.record("web").MAC), check.EtherSrc(c.mac), check.Op(packet.ARPAnswer),
					check.SenderMAC(c.mac), check.Src(c.a.Target.String()), check.Len(packet.ARPFrameLen))
			})
		}
	}
}

func TestND(t *testing.T) {
	own, peer := packet.MustIP("2001:db8:0:1::10"), packet.MustIP("2001:db8:0:1::11")
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores})
		web := b.record("web")
		router := packet.MAC(web.RouterMAC)
		routerLL := b.snap.Subnet(web.Subnet).RouterLinkLocal
		spoilt := packet.NeighborSolicit(web.MAC, own, peer)
		spoilt[len(spoilt)-1] ^= 1 // the checksum is wrong then
		advert := packet.Build(packet.Ether{Dst: packet.MAC{0x33, 0x33, 0, 0, 0, 2}, Src: web.MAC},
			packet.IPv6{Src: packet.MustIP("fe80::9"), Dst: packet.MustIP("ff02::2"), HopLimit: 255}, packet.ICMPv6{Type: packet.ICMPv6RouterAdvert}, packet.Payload(make([]byte, 8)))
		for _, c := range []struct {
			name     string
			question []byte
			mac      packet.MAC
			to       string
			why      drop.Reason
		}{
			{"peer", packet.NeighborSolicit(web.MAC, own, peer), b.record("web2").MAC, own.String(), 0},
			{"router", packet.NeighborSolicit(web.MAC, own, routerLL), router, own.String(), 0},
			{"from a link-local address", packet.NeighborSolicit(web.MAC, packet.MustIP("fe80::9"), peer), b.record("web2").MAC, "fe80::9", 0},
			{"the peer directly", b.direct(packet.NeighborSolicit(web.MAC, own, peer), "web2"), b.record("web2").MAC, own.String(), 0},
			{"duplicate of a peer's address", packet.NeighborSolicit(web.MAC, netip.Addr{}, peer), b.record("web2").MAC, "ff02::1", 0},
			{"its own address is free", packet.NeighborSolicit(web.MAC, netip.Addr{}, own), packet.MAC{}, "", drop.NDNotAnswered},
			{"nobody's address", packet.NeighborSolicit(web.MAC, own, packet.MustIP("2001:db8:0:1::77")), packet.MAC{}, "", drop.NDNotAnswered},
			{"in a peer's name", packet.NeighborSolicit(web.MAC, peer, routerLL), packet.MAC{}, "", drop.SourceIPSpoofed},
			{"wrong checksum", spoilt, packet.MAC{}, "", drop.NDMalformed},
			{"router advertisement", advert, packet.MAC{}, "", drop.NDNotAnswered},
		} {
			t.Run(c.name, func(t *testing.T) {
				answer, why, _ := b.asked("web", c.question)
				if why != c.why || (answer != nil) != (c.why == 0) {
					t.Fatalf("%v, answer %x; want %v", why, answer, c.why)
				}
				if answer == nil {
					return
				}
				check.IPv6(t, answer, check.EtherSrc(c.mac), check.TTL(255), check.Dst(c.to), check.Len(packet.NDAdvertFrameLen),
					check.ICMPv6(check.Type(packet.ICMPv6NeighborAdvert)))
				if flags := answer[58]; flags&0x80 != 0 != (c.mac == router) {
					t.Errorf("the answer's flags are %x", flags)
				}
			})
		}
	}
}

func TestDHCP(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores})
		web, own, router := b.record("web"), packet.MustIP("10.0.1.10"), packet.MustIP("10.0.1.1")
		bound := packet.IPv4{Dst: packet.MustIP("255.255.255.255")}
		ports := packet.UDP{SrcPort: 68, DstPort: 67}
		broadcast := func(d packet.DHCP) []byte {
			d.Client, d.XID = web.MAC, 0xabcd
			return packet.Build(packet.Ether{Dst: packet.Broadcast, Src: web.MAC}, bound, ports, d)
		}
		unicast := func(d packet.DHCP) []byte {
			d.Client, d.XID = web.MAC, 0xabcd
			return b.frame("web", packet.IPv4{Src: own, Dst: router}, ports, d)
		}
		for _, c := range []struct {
			name     string
			question []byte
			answer   packet.DHCPType // 0: none
			to       string
			why      drop.Reason
		}{
			{"discover", broadcast(packet.DHCP{Type: packet.DHCPDiscover}), packet.DHCPOffer, "10.0.1.10", 0},
			{"discover, to be answered by broadcast", broadcast(packet.DHCP{Type: packet.DHCPDiscover, Broadcast: true}), packet.DHCPOffer, "255.255.255.255", 0},
			{"request", broadcast(packet.DHCP{Type: packet.DHCPRequest, Requested: own, ServerID: router}), packet.DHCPAck, "10.0.1.10", 0},
			{"request of another address", broadcast(packet.DHCP{Type: packet.DHCPRequest, Requested: packet.MustIP("10.0.1.99")}), packet.DHCPNak, "255.255.255.255", 0},
			{"renewal", unicast(packet.DHCP{Type: packet.DHCPRequest, CIAddr: own}), packet.DHCPAck, "10.0.1.10", 0},
			{"inform", broadcast(packet.DHCP{Type: packet.DHCPInform, CIAddr: own}), packet.DHCPAck, "10.0.1.10", 0},
			{"request to another server", broadcast(packet.DHCP{Type: packet.DHCPRequest, Requested: own, ServerID: packet.MustIP("10.0.1.5")}), 0, "", 0},
			{"release", unicast(packet.DHCP{Type: packet.DHCPRelease, CIAddr: own}), 0, "", 0},
			{"offer", broadcast(packet.DHCP{Type: packet.DHCPOffer}), 0, "", drop.DHCPMalformed},
			{"no DHCP", packet.Build(packet.Ether{Dst: packet.Broadcast, Src: web.MAC}, bound, ports, packet.Fill(40)), 0, "", drop.DHCPMalformed},
			{"no DHCP to the router", b.frame("web", packet.IPv4{Src: own, Dst: router}, ports, packet.Fill(40)), 0, "", drop.DHCPMalformed},
			{"renewal after that", unicast(packet.DHCP{Type: packet.DHCPRequest, CIAddr: own}), packet.DHCPAck, "10.0.1.10", 0},
			{"fragment to the router", b.frame("web", packet.IPv4{Src: own, Dst: router, MF: true, ID: 4}, ports, packet.Fill(40)), 0, "", drop.RouterNoService},
			{"renewal after that too", unicast(packet.DHCP{Type: packet.DHCPRequest, CIAddr: own}), packet.DHCPAck, "10.0.1.10", 0},
		} {
			t.Run(c.name, func(t *testing.T) {
				answer, why, consumed := b.asked("web", c.question)
				if why != c.why || (answer != nil) != (c.answer != 0) || consumed != (c.why == 0) {
					t.Fatalf("%v, consumed %v, answer %x", why, consumed, answer)
				}
				if answer == nil {
					return
				}
				check.IPv4(t, answer, check.EtherSrc(web.RouterMAC), check.Src("10.0.1.1"), check.Dst(c.to),
					check.UDP(check.SrcPort(67), check.DstPort(68)))
				msg := answer[42:]
				if binary.BigEndian.Uint32(msg[4:8]) != 0xabcd || packet.DHCPType(msg[242]) != c.answer {
					t.Errorf("the answer is of type %v to message %x", packet.DHCPType(msg[242]), msg[4:8])
				}
			})
		}
	}
}

// An ENI without IPv4 has nothing to ask for.
func TestDHCPWithoutIPv4(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].Addresses = o.ENIs[0].Addresses[1:]
	b := newBed(t, bedOptions{objects: o})
	mac := b.record("web").MAC
	_, why, _ := b.asked("web", packet.Build(packet.Ether{Dst: packet.Broadcast, Src: mac}, packet.IPv4{Dst: packet.MustIP("255.255.255.255")},
		packet.UDP{SrcPort: 68, DstPort: 67}, packet.DHCP{Type: packet.DHCPDiscover, Client: mac}))
	if why != drop.DHCPMalformed {
		t.Errorf("%v", why)
	}
}

// Questions in several segments are none that a guest asks.
func TestQuestionsInSegments(t *testing.T) {
	b := newBed(t, bedOptions{})
	web := b.record("web")
	own, peer := packet.MustIP("2001:db8:0:1::10"), packet.MustIP("2001:db8:0:1::11")
	dhcp := packet.Build(packet.Ether{Dst: packet.Broadcast, Src: web.MAC}, packet.IPv4{Dst: packet.MustIP("255.255.255.255")},
		packet.UDP{SrcPort: 68, DstPort: 67}, packet.DHCP{Type: packet.DHCPDiscover, Client: web.MAC})
	p := b.ports[b.eni("web")]
	p.InjectSplit(0, b.arp("web", packet.ARP{Sender: packet.MustIP("10.0.1.10"), Target: packet.MustIP("10.0.1.11")}), 50)
	p.InjectSplit(0, packet.NeighborSolicit(web.MAC, own, peer), 80)
	p.InjectSplit(0, dhcp, 100)
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.ARPMalformed: 1, drop.NDMalformed: 1, drop.DHCPMalformed: 1})
}
