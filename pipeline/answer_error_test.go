package pipeline

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/policy"
)

// smallMTU is a bed whose app takes 1,280 bytes only.
func smallMTU(t *testing.T, o bedOptions) *bed {
	if o.objects == nil {
		o.objects = propertyObjects()
	}
	o.objects.ENIs[2].MTU = 1280
	return newBed(t, o)
}

// What the sender hears about a packet that cannot go on; and the drop is counted
// all the same.
func TestRouterComplains(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := smallMTU(t, bedOptions{lcores: lcores})
		web := b.record("web")
		udp := packet.UDP{SrcPort: 7, DstPort: 80}
		ip4, ip6 := b.ip("web", "app"), b.ip6("web", "app")
		ip4.ID = 9
		ttl4, ttl6, df := ip4, ip6, ip4
		ttl4.TTL, ttl6.HopLimit, df.DF = 1, 1, true
		for _, c := range []struct {
			name   string
			frame  []byte
			why    drop.Reason
			code   uint8
			mtu    uint32
			quoted int // bytes
		}{
			{"TTL", b.frame("web", ttl4, udp, packet.Fill(100)), drop.TTLExpired, 0, 0, 128},
			{"TTL of a long packet", b.frame("web", ttl4, udp, packet.Fill(1400)), drop.TTLExpired, 0, 0, 548},
			{"hop limit", b.frame("web", ttl6, udp, packet.Fill(1100)), drop.TTLExpired, 0, 0, 1148},
			{"DF", b.frame("web", df, udp, packet.Fill(1253)), drop.MTUExceeded, 4, 1280, 548},
			{"IPv6", b.frame("web", ip6, udp, packet.Fill(1300)), drop.MTUExceeded, 0, 1280, 1232},
			{"first fragment", b.frame("web", packet.IPv4{Src: df.Src, Dst: df.Dst, MF: true, TTL: 1}, udp, packet.Fill(72)), drop.TTLExpired, 0, 0, 100},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := b.stats()
				x := b.engine.Explain(b.eni("web"), append([]byte(nil), c.frame...))
				b.inject("web", append([]byte(nil), c.frame...))
				after := b.settle()
				got := b.received("web")
				if after.Drops[c.why] != before.Drops[c.why]+1 || len(got) != 1 || after.Originated != before.Originated+1 ||
					after.Consumed != before.Consumed || after.ICMPErrors != before.ICMPErrors+1 {
					t.Fatalf("%d dropped for %v, %d messages", after.Drops[c.why]-before.Drops[c.why], c.why, len(got))
				}
				checks, icmp, typ, router := check.IPv4, check.ICMP, map[drop.Reason]uint8{drop.TTLExpired: 11, drop.MTUExceeded: 3}[c.why], "10.0.1.1"
				at, src := 42, ip4.Src
				if c.frame[12] == 0x86 {
					checks, icmp, typ, router = check.IPv6, check.ICMPv6, map[drop.Reason]uint8{drop.TTLExpired: 3, drop.MTUExceeded: 2}[c.why], "2001:db8:0:1::1"
					at, src = 62, ip6.Src
				}
				checks(t, got[0], check.EtherSrc(web.RouterMAC), check.EtherDst(web.MAC), check.Src(router), check.Dst(src.String()), icmp(check.Type(typ), check.Code(c.code)))
				if mtu := packet.ICMPHeader(got[0][at-8:]).Rest(); mtu != c.mtu {
					t.Errorf("it says MTU %d, want %d", mtu, c.mtu)
				}
				if quote := got[0][at:]; len(quote) != c.quoted || !bytes.Equal(quote, c.frame[14:14+c.quoted]) {
					t.Errorf("it quotes %d bytes, want the first %d as they were sent", len(quote), c.quoted)
				}
				if step := x.Policy.Steps[len(x.Policy.Steps)-1]; !x.Tells || !strings.Contains(step.Text, "The router tells the sender: ICMP") || !strings.HasSuffix(step.Text, "from "+router+".") {
					t.Errorf("explain says: %s", step.Text)
				}
			})
		}
	}
}

// About these nobody hears a thing, but they are counted.
func TestRouterKeepsSilent(t *testing.T) {
	o := propertyObjects()
	o.ENIs[0].Addresses = append(o.ENIs[0].Addresses, packet.MustIP("10.0.1.20"))
	b := smallMTU(t, bedOptions{objects: o})
	udp := packet.UDP{SrcPort: 7, DstPort: 80}
	expired := b.ip("web", "app")
	expired.TTL = 1
	stranger := expired
	stranger.Src = packet.MustIP("10.0.1.11")
	reserved := expired
	reserved.Src = packet.MustIP("10.0.1.255")
	long := b.ip("web", "app")
	long.DF = true
	later := expired
	later.FragOffset, later.ID, later.Proto = 80, 5, packet.ProtoUDP
	first := b.ip("web", "app")
	first.MF, first.ID = true, 5
	b.inject("web", b.frame("web", first, udp, packet.Fill(72)))
	if b.settle(); len(b.received("app")) != 1 {
		t.Fatal("the first fragment did not come")
	}
	neighbour := packet.IPv6{Src: b.snap.ENI(b.eni("web")).Primary6, Dst: b.snap.ENI(b.eni("fw")).Primary6, HopLimit: 1}
	for _, c := range []struct {
		name, eni string
		frame     []byte
		why       drop.Reason // 0: forwarded
	}{
		{"ICMP error", "web", b.frame("web", expired, packet.ICMP{Type: 3, Code: 3}, packet.Quote(b.udp("app", "web", 80, 7), 28)), drop.TTLExpired},
		{"long ICMP error", "web", b.frame("web", long, packet.ICMP{Type: 3, Code: 3}, packet.Quote(b.udp("app", "web", 80, 7), 28), packet.Fill(1400)), drop.MTUExceeded},
		{"later fragment", "web", b.frame("web", later, packet.Payload("12345678")), drop.TTLExpired},
		{"spoofed source", "web", b.frame("web", stranger, udp), drop.SourceIPSpoofed},
		{"source that is no single host's", "fw", b.frame("fw", reserved, udp), drop.TTLExpired},
		{"neighbour", "web", b.direct(b.frame("web", neighbour, udp), "fw"), drop.Unset},
		{"long trailer", "web", packet.Pad(b.frame("web", long, udp), 1400), drop.MTUExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.eni == "fw" { // lets all pass
				b.policy(func(o *policy.Objects) { o.SecurityGroups[1].Inbound = o.SecurityGroups[2].Inbound })
			}
			got := b.fate(c.eni, c.frame)
			if got.told || got.reason != c.why || (got.verdict == VerdictForward) != (c.why == drop.Unset) {
				t.Errorf("%+v, want %v and not a word", got, c.why)
			}
		})
	}
}

// A frame that goes from neighbour to neighbour meets no router: too long, it is
// dropped and counted, whatever its DF says.
func TestTooLongForANeighbour(t *testing.T) {
	o := propertyObjects()
	o.ENIs[3].MTU = 1280
	b := newBed(t, bedOptions{objects: o})
	frame := b.direct(b.frame("web", b.ip("web", "fw"), packet.UDP{SrcPort: 7, DstPort: 80}, packet.Fill(1300)), "fw")
	if got := b.fate("web", frame); got.told || got.reason != drop.MTUExceeded {
		t.Errorf("%+v", got)
	}
}

// The router complains no more often than it may, to each ENI for itself; what
// is above is dropped and counted like the rest.
func TestComplaintsAreLimited(t *testing.T) {
	for _, c := range []struct{ rate, burst, later int }{{16, 2, 2}, {0, 0, 0}} {
		b := newBed(t, bedOptions{lcores: 2, objects: propertyObjects(), config: func(cfg *Config) { cfg.ICMPErrors = c.rate }})
		flood := func(eni string) {
			for port := range uint16(50) {
				ip := b.ip(eni, "app")
				ip.TTL = 1
				b.inject(eni, b.frame(eni, ip, packet.UDP{SrcPort: port, DstPort: 80}))
			}
			b.settle()
		}
		flood("web")
		if got := len(b.received("web")); got != c.burst {
			t.Errorf("at %d a second %d complaints came at once, want %d", c.rate, got, c.burst)
		}
		flood("web2")
		if got := len(b.received("web2")); got != c.burst {
			t.Errorf("at %d a second another ENI heard %d complaints, want %d", c.rate, got, c.burst)
		}
		b.clock.advance(time.Second)
		flood("web")
		if got := len(b.received("web")); got != c.later {
			t.Errorf("at %d a second %d complaints came a second later, want %d", c.rate, got, c.later)
		}
		if s := b.stats(); s.Drops[drop.TTLExpired] != 150 || s.ICMPErrors != s.Originated {
			t.Errorf("%d drops, %d messages, %d packets made", s.Drops[drop.TTLExpired], s.ICMPErrors, s.Originated)
		}
	}
}

// Without a buffer for it there is no message, and the packet is dropped for its
// own reason.
func TestComplaintWithoutABuffer(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.engine.workers[0].io = dryIO{b.engine.workers[0].io}
	ip := b.ip("web", "app")
	ip.TTL = 1
	b.inject("web", b.frame("web", ip, packet.UDP{SrcPort: 7, DstPort: 80}))
	s := b.settle()
	b.wantDrops(s, map[drop.Reason]uint64{drop.TTLExpired: 1})
	if s.Originated != 0 {
		t.Errorf("%d packets were made", s.Originated)
	}
}

// In a subnet without IPv6 the router still has its link-local address.
func TestRouterWithoutIPv6Complains(t *testing.T) {
	o := propertyObjects()
	fw := &o.ENIs[3]
	o.Subnets = append(o.Subnets, policy.Subnet{ID: "old", VPC: "v", CIDRs: []netip.Prefix{mustPrefix("10.0.3.0/24")}})
	fw.Subnet, fw.Addresses = "old", []netip.Addr{packet.MustIP("10.0.3.12")}
	o.SecurityGroups[1].Inbound = o.SecurityGroups[2].Inbound
	b := newBed(t, bedOptions{objects: o})
	ip := packet.IPv6{Src: packet.MustIP("2001:db8:9::9"), Dst: b.snap.ENI(b.eni("app")).Primary6, HopLimit: 1}
	b.inject("fw", b.frame("fw", ip, packet.UDP{SrcPort: 7, DstPort: 80}))
	b.settle()
	got := b.received("fw")
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	check.IPv6(t, got[0], check.Src(b.snap.Subnet(b.record("fw").Subnet).RouterLinkLocal.String()), check.Dst("2001:db8:9::9"), check.ICMPv6(check.Type(3)))
}
