package pipeline

import (
	"maps"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/policy"
)

// worldly is a bed with a way to the world and link-local services.
func worldly(change func(*policy.Objects)) bedOptions {
	o := worldlyObjects()
	if change != nil {
		change(o)
	}
	return bedOptions{objects: o}
}

// comes is a drive in which a port that belongs to no ENI gives a UDP packet.
func comes(port, src, dst string) func(*bed) {
	return func(b *bed) { b.inject(port, b.udpBetween(port, src, dst, 53, 4000)) }
}

// udpBetween is a UDP packet by way of the router, whoever has the addresses.
func (b *bed) udpBetween(from, src, dst string, sport, dport uint16) []byte {
	if packet.MustIP(src).Is6() {
		return b.frame(from, packet.IPv6{Src: packet.MustIP(src), Dst: packet.MustIP(dst)}, packet.UDP{SrcPort: sport, DstPort: dport}, packet.Fill(9))
	}
	return b.frame(from, packet.IPv4{Src: packet.MustIP(src), Dst: packet.MustIP(dst)}, packet.UDP{SrcPort: sport, DstPort: dport}, packet.Fill(9))
}

func init() {
	maps.Copy(dropCases, map[drop.Reason]dropCase{
		drop.GatewaySourceSpoofed: {worldly(nil), func(b *bed) {
			comes("uplink", "10.0.2.10", "198.18.0.10")(b)
			comes("uplink", "198.18.0.20", "198.18.0.10")(b)
			comes("uplink", "127.0.0.1", "198.18.0.10")(b)
			comes("uplink", "2001:db8:0:2::10", "2001:db8:0:1::10")(b)
		}, "uplink"},
		drop.GatewaySourcePrivate: {worldly(nil), func(b *bed) {
			comes("uplink", "192.168.1.1", "198.18.0.10")(b)
			comes("uplink", "fd12::1", "2001:db8:0:1::10")(b)
		}, "uplink"},
		drop.GatewaySourceShared: {worldly(nil), comes("uplink", "100.64.0.1", "198.18.0.10"), "uplink"},
		drop.GatewayNoPrivateAddress: {worldly(nil), func(b *bed) {
			comes("uplink", "8.8.8.8", "198.18.0.99")(b)
			comes("uplink", "8.8.8.8", "10.0.1.10")(b)
			comes("uplink", "2001:db9::1", "2001:db8:0:1::99")(b)
		}, "uplink"},
		drop.GatewayNoPublicAddress: {worldly(func(o *policy.Objects) { o.ENIs[0].Public = nil }), sends(toIP("8.8.8.8")), ""},
		drop.GatewayDestinationPrivate: {worldly(nil), func(b *bed) {
			b.inject("web", toIP("172.16.0.1")(b), b.udpBetween("web", "2001:db8:0:1::10", "fd12::1", 1, 2))
		}, ""},
		drop.GatewayDestinationShared:   {worldly(nil), sends(toIP("100.64.0.1")), ""},
		drop.GatewayReflection:          {worldly(nil), sends(toIP("198.18.0.20")), ""},
		drop.ServiceSource:              {worldly(nil), comes("svc", "8.8.8.8", "10.0.1.10"), "svc"},
		drop.ServiceDestination:         {worldly(nil), comes("svc", "169.254.169.253", "10.0.1.99"), "svc"},
		drop.LinkLocalAllowanceExceeded: {worldly(func(o *policy.Objects) { o.ENIs[0].LinkLocalRate = 1 }), sends(toIP("169.254.169.254"), toIP("169.254.169.254")), ""},
	})
}

// public and private are web's addresses, host is somebody in the world.
const (
	webPublic, webPrivate = "198.18.0.10", "10.0.1.10"
	host                  = "8.8.8.8"
)

// A connection from inside to the world and back: translated, accelerated, with
// one TTL less each way and checksums that are right (which check.IPv4 sees to).
func TestInternetGateway(t *testing.T) {
	b := newBed(t, worldly(nil))
	uplink, web := b.record("uplink"), b.record("web")
	for i := range 3 {
		b.inject("web", b.frame("web", packet.IPv4{Src: packet.MustIP(webPrivate), Dst: packet.MustIP(host)},
			packet.TCP{SrcPort: 4000, DstPort: 443, Flags: []uint8{conntrack.SYN, conntrack.ACK, conntrack.ACK}[i]}, packet.Fill(i)))
		b.settle()
		out := b.received("uplink")
		if len(out) != 1 {
			t.Fatalf("%d frames left by the uplink", len(out))
		}
		check.IPv4(t, out[0], check.EtherDst(uplink.MAC), check.EtherSrc(uplink.RouterMAC), check.Src(webPublic), check.Dst(host), check.TTL(63),
			check.TCP(check.SrcPort(4000), check.DstPort(443)))
		b.inject("uplink", b.frame("uplink", packet.IPv4{Src: packet.MustIP(host), Dst: packet.MustIP(webPublic)},
			packet.TCP{SrcPort: 443, DstPort: 4000, Flags: []uint8{conntrack.SYN | conntrack.ACK, conntrack.ACK, conntrack.ACK}[i]}, packet.Fill(2*i)))
		b.settle()
		in := b.received("web")
		if len(in) != 1 {
			t.Fatalf("%d frames came to web", len(in))
		}
		check.IPv4(t, in[0], check.EtherDst(web.MAC), check.EtherSrc(web.RouterMAC), check.Src(host), check.Dst(webPrivate), check.TTL(63))
	}
	s := b.settle()
	b.wantDrops(s, nil)
	if s.FlowHits != 4 {
		t.Errorf("%d of the six packets were accelerated, want all but the first of each direction", s.FlowHits)
	}
	if c := b.engine.ENI(b.eni("uplink")); c.RxPackets != 3 || c.TxPackets != 3 {
		t.Errorf("the uplink counts %+v", c)
	}
}

// What the groups refuse of the world's is refused by the flow cache, until the
// guest asks for it itself: by the gateway, or by an appliance that the answers
// do not pass.
func TestRefusalOfTheWorldIsCached(t *testing.T) {
	for _, c := range []struct{ name, host, egress string }{
		{"by the gateway", host, "uplink"},
		{"by an appliance", "198.51.100.7", "fw"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, bedOptions{objects: propertyObjects()})
			answer := b.udpBetween("uplink", c.host, webPublic, 53, 4000)
			b.inject("uplink", answer, answer, answer)
			s := b.settle()
			b.wantDrops(s, map[drop.Reason]uint64{drop.SecurityGroupIn: 3})
			if s.FlowHits != 2 || s.SlowPath != 1 {
				t.Errorf("the slow path refused %d packets, the flow cache %d", s.SlowPath, s.FlowHits)
			}
			b.inject("web", b.udpBetween("web", webPrivate, c.host, 4000, 53))
			b.settle()
			if len(b.received(c.egress)) != 1 {
				t.Fatalf("what web asks does not go to %s", c.egress)
			}
			b.inject("uplink", answer)
			b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 3})
			if len(b.received("web")) != 1 {
				t.Error("the answer did not come")
			}
		})
	}
}

// The world reaches a guest by its public address where the groups admit it, and
// is refused at the guest's half where they do not.
func TestReachedByPublicAddress(t *testing.T) {
	b := newBed(t, worldly(func(o *policy.Objects) {
		o.SecurityGroups[0].Inbound = []policy.SGRule{{Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: 53, ToPort: 53}, CIDR: mustPrefix("8.0.0.0/8")}}
	}))
	b.inject("uplink", b.udpBetween("uplink", host, webPublic, 4000, 53), b.udpBetween("uplink", host, webPublic, 4000, 54))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
	if n := b.engine.ENI(b.eni("web")).Drops; n != 1 {
		t.Errorf("web counts %d drops", n)
	}
	check.IPv4(t, one(t, b.received("web")), check.Dst(webPrivate), check.UDP(check.DstPort(53)))
	b.inject("web", b.udpBetween("web", webPrivate, host, 53, 4000))
	b.settle()
	check.IPv4(t, one(t, b.received("uplink")), check.Src(webPublic), check.Dst(host), check.UDP(check.SrcPort(53)))

	// IPv6 goes as it is.
	b.inject("web", b.udpBetween("web", "2001:db8:0:1::10", "2001:db9::1", 1, 2))
	b.settle()
	check.IPv6(t, one(t, b.received("uplink")), check.Src("2001:db8:0:1::10"), check.Dst("2001:db9::1"), check.TTL(63))
	b.inject("uplink", b.udpBetween("uplink", "2001:db9::1", "2001:db8:0:1::10", 2, 1))
	b.settle()
	check.IPv6(t, one(t, b.received("web")), check.Src("2001:db9::1"), check.Dst("2001:db8:0:1::10"))
}

func one(t *testing.T, frames [][]byte) []byte {
	t.Helper()
	if len(frames) != 1 {
		t.Fatalf("%d frames, want one", len(frames))
	}
	return frames[0]
}

// ICMP errors from the world reach the guest, about what the guest itself sent;
// the guest's own errors tell the world what the world sent.
func TestErrorsThroughGateway(t *testing.T) {
	b := newBed(t, worldly(nil))
	sent := b.udpBetween("web", webPrivate, host, 4000, 53)
	b.inject("web", append([]byte(nil), sent...))
	b.settle()
	left := one(t, b.received("uplink"))
	// A router on the way says that the packet is too big.
	b.inject("uplink", b.frame("uplink", packet.IPv4{Src: packet.MustIP("192.0.2.1"), Dst: packet.MustIP(webPublic)},
		packet.ICMP{Type: 3, Code: 4, Seq: 1400}, packet.Quote(left, 28)))
	b.wantDrops(b.settle(), nil)
	in := one(t, b.received("web"))
	check.IPv4(t, in, check.Src("192.0.2.1"), check.Dst(webPrivate))
	quote := in[ethHeader+ipv4Header+8:]
	want := append([]byte(nil), packet.Quote(sent, 28)...)
	want[8]-- // it had crossed nitrod's router
	packet.IPv4Header(want).UpdateChecksum()
	check.Equal(t, quote, want)

	// The guest refuses an answer.
	b.inject("uplink", b.udpBetween("uplink", host, webPublic, 53, 4000))
	b.settle()
	answer := one(t, b.received("web"))
	b.inject("web", b.frame("web", packet.IPv4{Src: packet.MustIP(webPrivate), Dst: packet.MustIP(host)},
		packet.ICMP{Type: 3, Code: 3}, packet.Quote(answer, 28)))
	b.wantDrops(b.settle(), nil)
	out := one(t, b.received("uplink"))
	check.IPv4(t, out, check.Src(webPublic), check.Dst(host))
	q := packet.IPv4Header(out[ethHeader+ipv4Header+8:])
	if q.DstAddr() != packet.MustIP(webPublic) || q.SrcAddr() != packet.MustIP(host) || !q.ChecksumOK() {
		t.Errorf("the world is quoted a packet from %v to %v", q.SrcAddr(), q.DstAddr())
	}
}

// All fragments of a datagram are translated, in both directions, and put
// together they have a right checksum.
func TestFragmentsThroughGateway(t *testing.T) {
	b := newBed(t, worldly(nil))
	for _, way := range []struct{ from, to, src, dst string }{{"web", "uplink", webPrivate, host}, {"uplink", "web", host, webPublic}} {
		whole := b.frame(way.from, packet.IPv4{Src: packet.MustIP(way.src), Dst: packet.MustIP(way.dst)},
			packet.UDP{SrcPort: 4000, DstPort: 4000}, packet.Fill(1200))
		b.inject(way.from, packet.Fragment(whole, 600, 7)...)
		b.wantDrops(b.settle(), nil)
		got := b.received(way.to)
		if len(got) != 3 {
			t.Fatalf("%d fragments came to %s", len(got), way.to)
		}
		var payload []byte
		for _, f := range got {
			h := packet.IPv4Header(f[ethHeader:])
			payload = append(payload, h.Payload()...)
			if !h.ChecksumOK() {
				t.Error("a fragment's header has a wrong checksum")
			}
		}
		if sum := packet.IPv4Header(got[0][ethHeader:]).TransportSum(protoUDP, payload); sum != 0xffff {
			t.Errorf("the datagram's checksum is wrong at %s: %#x", way.to, sum)
		}
	}
}

// A changed public address holds at once, for flows that are accelerated already
// and also for what comes in; a changed next hop too.
func TestGatewayChanges(t *testing.T) {
	b := newBed(t, worldly(nil))
	send := func() Stats {
		b.inject("web", b.udpBetween("web", webPrivate, host, 4000, 53))
		return b.settle()
	}
	send()
	send()
	b.received("uplink")
	b.policy(func(o *policy.Objects) { o.ENIs[0].Public[0].Public = packet.MustIP("198.18.0.77") })
	send()
	check.IPv4(t, one(t, b.received("uplink")), check.Src("198.18.0.77"))
	b.inject("uplink", b.udpBetween("uplink", host, webPublic, 53, 4000))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.GatewayNoPrivateAddress: 1})
	b.inject("uplink", b.udpBetween("uplink", host, "198.18.0.77", 53, 4000))
	b.settle()
	one(t, b.received("web"))

	b.policy(func(o *policy.Objects) { o.Gateways[0].MAC = [6]byte{2, 0, 0, 0, 9, 7} })
	send()
	check.IPv4(t, one(t, b.received("uplink")), check.EtherDst(packet.MAC{2, 0, 0, 0, 9, 7}))
	b.policy(func(o *policy.Objects) { o.ENIs[0].Public = nil })
	if s := send(); s.Drops[drop.GatewayNoPublicAddress] != 1 {
		t.Error("without a public address the flow still leaves")
	}
}

// nitrod answers ARP and neighbour discovery on the uplink for what is behind
// it, and nothing else; broadcasts and frames for others are dropped.
func TestUplinkNeighbours(t *testing.T) {
	b := newBed(t, worldly(nil))
	uplink, svc := b.record("uplink"), b.record("svc")
	ask := func(port, target string) []byte {
		b.inject(port, packet.Build(packet.Ether{Dst: packet.Broadcast, Src: b.record(port).MAC},
			packet.ARP{Op: 1, SenderMAC: b.record(port).MAC, Sender: packet.MustIP("192.0.2.9"), Target: packet.MustIP(target)}))
		b.settle()
		if all := b.received(port); len(all) == 1 {
			return all[0]
		}
		return nil
	}
	check.ARP(t, ask("uplink", webPublic), check.EtherSrc(uplink.RouterMAC), check.EtherDst(uplink.MAC))
	check.ARP(t, ask("svc", webPrivate), check.EtherSrc(svc.RouterMAC), check.EtherDst(svc.MAC))
	for port, target := range map[string]string{"uplink": webPrivate, "svc": webPublic} {
		if ask(port, target) != nil {
			t.Errorf("%s is answered at %s", target, port)
		}
	}
	if ask("uplink", "198.18.0.99") != nil || ask("svc", "10.0.1.1") != nil {
		t.Error("an address that nobody has is answered")
	}
	for target, want := range map[string]bool{"2001:db8:0:1::10": true, "2001:db8:0:1::99": false} {
		b.inject("uplink", packet.NeighborSolicit(uplink.MAC, packet.MustIP("2001:db9::9"), packet.MustIP(target)))
		b.settle()
		if n := len(b.received("uplink")); n == 1 != want {
			t.Errorf("%d answers for %s", n, target)
		}
	}
	before := b.settle()
	b.inject("uplink",
		packet.Build(packet.Ether{Dst: packet.Broadcast, Src: uplink.MAC}, packet.IPv4{Src: packet.MustIP(host), Dst: packet.MustIP("255.255.255.255")}, packet.UDP{SrcPort: 68, DstPort: 67}, packet.Fill(300)),
		packet.Build(packet.Ether{Dst: packet.MAC{1, 0, 0x5e, 0, 0, 5}, Src: uplink.MAC}, packet.IPv4{Src: packet.MustIP(host), Dst: packet.MustIP("224.0.0.5")}, packet.Payload("hello")),
		packet.Build(packet.Ether{Dst: packet.MAC{0x33, 0x33, 0, 0, 0, 2}, Src: uplink.MAC}, packet.IPv6{Src: packet.MustIP("fe80::1"), Dst: packet.MustIP("ff02::2")}, packet.ICMPv6{Type: ndRouterSolicit}),
		packet.Build(packet.Ether{Dst: packet.MAC{2, 3, 4}, Src: uplink.MAC}, packet.IPv4{Src: packet.MustIP(host), Dst: packet.MustIP(webPublic)}, packet.UDP{SrcPort: 1, DstPort: 2}))
	after := b.settle()
	for r, n := range map[drop.Reason]uint64{drop.Broadcast: 1, drop.Multicast: 2, drop.DestinationMACUnknown: 1} {
		if got := after.Drops[r] - before.Drops[r]; got != n {
			t.Errorf("%d were dropped for %v, want %d", got, r, n)
		}
	}
	// Frames from another router on the wire are as good as the next hop's.
	f := b.udpBetween("uplink", host, "198.18.0.20", 1, 80)
	f[11] ^= 0xff
	b.inject("uplink", f)
	if s := b.settle(); s.Drops[drop.SourceMACSpoofed] != 0 {
		t.Error("a frame from another router is refused for its MAC")
	}
}

// A service is reached whatever ACLs, groups and routes say, sees the guest's
// own address and TTL, and answers with a TTL of 1.
func TestLinkLocalServices(t *testing.T) {
	b := newBed(t, worldly(func(o *policy.Objects) {
		denies(o, true, true)
		o.SecurityGroups[0].Outbound = nil
		o.Instances[0].ConntrackAllowance = 1
	}))
	svc, web := b.record("svc"), b.record("web")
	for _, c := range []struct{ service, guest string }{
		{"169.254.169.254", webPrivate}, {"10.0.0.2", webPrivate}, {"fd00:ec2::254", "2001:db8:0:1::10"},
	} {
		for range 2 {
			b.inject("web", b.udpBetween("web", c.guest, c.service, 4000, 53))
			b.settle()
			out := one(t, b.received("svc"))
			check.Any(t, out, check.EtherDst(svc.MAC), check.EtherSrc(svc.RouterMAC), check.Src(c.guest), check.Dst(c.service))
			answer := b.udpBetween("svc", c.service, c.guest, 53, 4000)
			if packet.MustIP(c.guest).Is4() {
				check.IPv4(t, out, check.TTL(64))
				answer[ethHeader+8] = 1
				packet.IPv4Header(answer[ethHeader:]).UpdateChecksum()
			} else {
				check.IPv6(t, out, check.TTL(64))
				answer[ethHeader+7] = 1
			}
			b.inject("svc", answer)
			b.wantDrops(b.settle(), nil)
			in := one(t, b.received("web"))
			check.Any(t, in, check.EtherDst(web.MAC), check.EtherSrc(web.RouterMAC), check.Src(c.service), check.Dst(c.guest))
			if packet.MustIP(c.guest).Is4() {
				check.IPv4(t, in, check.TTL(1))
			}
		}
	}
}

// Each ENI has a rate of its own to all services together, on all lcores
// together, and what exceeds it is counted under ENA's name.
func TestLinkLocalRate(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		o := worldlyObjects()
		for i := range o.ENIs {
			o.ENIs[i].LinkLocalRate = 1024
		}
		b := newBed(t, bedOptions{lcores: lcores, objects: o})
		const burst, second, sent = 128, 1024, 200 // an eighth of a second's, and a second's
		send := func(from string) int {
			n := 0
			for i := range uint16(sent) {
				dst := []string{"169.254.169.254", "169.254.169.253", "10.0.0.2"}[i%3]
				b.inject(from, b.udpBetween(from, b.snap.ENI(b.eni(from)).Primary4.String(), dst, 4000+i%7, 53))
				b.settle()
				n += len(b.received("svc"))
			}
			return n
		}
		if n := send("web"); n != burst {
			t.Errorf("%d lcores: a burst of %d packets passed, want %d", lcores, n, burst)
		}
		got := 0
		for range 10 {
			b.clock.advance(100 * time.Millisecond)
			got += send("web")
		}
		if got != second {
			t.Errorf("%d lcores: %d packets passed in a second, want %d", lcores, got, second)
		}
		want := uint64(11*sent - burst - second)
		if c := b.engine.ENI(b.eni("web")); c.LinkLocalExceeded != want || c.LinkLocal != 11*sent {
			t.Errorf("%d lcores: %d of %d counted beyond the rate, want %d of %d", lcores, c.LinkLocalExceeded, c.LinkLocal, want, 11*sent)
		}
		if n := send("web2"); n != burst {
			t.Errorf("%d lcores: of another ENI %d packets passed, want %d", lcores, n, burst)
		}
	}
}
