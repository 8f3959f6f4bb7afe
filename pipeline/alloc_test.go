package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// cycle is a source that gives frames in turn, for ever.
func cycle(frames [][]byte) simport.Source {
	at := 0
	return func(buf []byte) int {
		n := copy(buf, frames[at])
		if at++; at == len(frames) {
			at = 0
		}
		return n
	}
}

// driven is a bed whose web sends what frames says, and whose guests take
// everything. frames is called once there are addresses to build with.
func driven(t tb, objects *policy.Objects, config func(*Config), frames func(b *bed) (web, app [][]byte)) *bed {
	plain := newBed(t, bedOptions{objects: objects, slots: 64})
	web, app := frames(plain)
	sources := map[string]simport.Source{"web": cycle(web)}
	if app != nil {
		sources["app"] = cycle(app)
	}
	return newBed(t, bedOptions{objects: objects, config: config, port: func(eni string) simport.PortConfig {
		return simport.PortConfig{
			Sink: func(int) simport.Sink { return func([]byte) {} },
			Source: func(queue int) simport.Source {
				if s := sources[eni]; s != nil && queue == 0 {
					return s
				}
				return func([]byte) int { return 0 }
			},
		}
	}})
}

// udpFlows are packets of n flows, one each.
func udpFlows(n int, v6 bool) func(*bed) (web, app [][]byte) {
	return func(b *bed) (web, app [][]byte) {
		for i := range n {
			udp := packet.UDP{SrcPort: uint16(i), DstPort: uint16(80 + i>>16)}
			if v6 {
				web = append(web, b.frame("web", b.ip6("web", "app"), udp, packet.Fill(18)))
			} else {
				web = append(web, b.frame("web", b.ip("web", "app"), udp, packet.Fill(18)))
			}
		}
		return web, nil
	}
}

// tcpFlows are packets of n connections in both directions, past their
// handshake.
func tcpFlows(n int) func(*bed) (web, app [][]byte) {
	return func(b *bed) (web, app [][]byte) {
		for i := range n {
			web = append(web, b.tcp("web", "app", uint16(i), 80, conntrack.ACK))
			app = append(app, b.tcp("app", "web", 80, uint16(i), conntrack.ACK))
		}
		return web, app
	}
}

// datagrams are the fragments of some datagrams of each family, among whole
// packets, the first one of each last of all, or not at all.
func datagrams(whole bool) func(*bed) (web, app [][]byte) {
	return func(b *bed) (web, app [][]byte) {
		for id := range uint32(40) {
			pieces := b.datagram(id%2 == 1, id, 2000)
			web = append(web, pieces[1:]...)
			if whole {
				web = append(web, b.udp("web", "app", 1, 80), pieces[0])
			}
		}
		return web, nil
	}
}

// A round allocates nothing, whatever it does.
func TestRoundAllocatesNothing(t *testing.T) {
	some := func(frames ...func(b *bed) []byte) func(*bed) (web, app [][]byte) {
		return func(b *bed) (web, app [][]byte) {
			for _, f := range frames {
				web = append(web, f(b))
			}
			return web, nil
		}
	}
	for name, c := range map[string]struct {
		frames func(b *bed) (web, app [][]byte)
		busy   func(before, after *Stats) bool // the case was what it says
	}{
		"hits, UDP":  {udpFlows(100, false), func(a, b *Stats) bool { return b.FlowHits > a.FlowHits && b.SlowPath == a.SlowPath }},
		"hits, IPv6": {udpFlows(100, true), func(a, b *Stats) bool { return b.FlowHits > a.FlowHits && b.SlowPath == a.SlowPath }},
		"hits, TCP":  {tcpFlows(100), func(a, b *Stats) bool { return b.FlowHits > a.FlowHits && b.SlowPath == a.SlowPath }},
		"new flows": {udpFlows(60000, false), func(a, b *Stats) bool {
			return b.Evicted > a.Evicted && b.Sessions >= a.Sessions && b.Waited > a.Waited && b.Dropped() > a.Dropped()
		}},
		"connections that open and close": {some(tcpFlags(conntrack.SYN), resetOfSYN), func(a, b *Stats) bool { return b.Sessions > a.Sessions+100 }},
		"ARP": {some(func(b *bed) []byte {
			return b.arp("web", packet.ARP{Sender: packet.MustIP("10.0.1.10"), Target: packet.MustIP("10.0.1.1")})
		}), func(a, b *Stats) bool { return b.Originated > a.Originated }},
		"ND": {some(func(b *bed) []byte {
			return packet.NeighborSolicit(b.record("web").MAC, packet.MustIP("2001:db8:0:1::10"), packet.MustIP("2001:db8:0:1::11"))
		}), func(a, b *Stats) bool { return b.Originated > a.Originated }},
		"DHCP": {some(func(b *bed) []byte {
			mac := b.record("web").MAC
			return packet.Build(packet.Ether{Dst: packet.Broadcast, Src: mac}, packet.IPv4{Dst: packet.MustIP("255.255.255.255")},
				packet.UDP{SrcPort: 68, DstPort: 67}, packet.DHCP{Type: packet.DHCPDiscover, Client: mac})
		}), func(a, b *Stats) bool { return b.Originated > a.Originated }},
		"router solicitations": {some(func(b *bed) []byte { return b.routerSolicit("web", packet.MustIP("fe80::9")) }),
			func(a, b *Stats) bool { return b.Consumed > a.Consumed && b.Drops[drop.NDMalformed] == 0 }},
		"DHCPv6": {some(func(b *bed) []byte { return b.dhcp6("web", packet.DHCP6{Type: packet.DHCP6Solicit}) }),
			func(a, b *Stats) bool { return b.Consumed > a.Consumed && b.Drops[drop.DHCPMalformed] == 0 }},
		"advertisements": {func(b *bed) (web, app [][]byte) {
			return [][]byte{b.udp("web", "app", 1, 80)}, nil
		}, func(a, b *Stats) bool { return b.Originated > a.Originated }},
		"fragments": {some(func(b *bed) []byte { return b.datagram(false, 1, 1000)[0] }, func(b *bed) []byte { return b.datagram(false, 1, 1000)[1] }),
			func(a, b *Stats) bool { return b.Tx > a.Tx && b.Dropped() == a.Dropped() }},
		"fragments out of order": {datagrams(true), func(a, b *Stats) bool {
			return b.Tx > a.Tx && b.FragmentsWaited > a.FragmentsWaited && b.Dropped() == a.Dropped()
		}},
		"fragments without their first": {datagrams(false), func(a, b *Stats) bool {
			return b.Tx-a.Tx == b.Originated-a.Originated && b.FragmentsWaited > a.FragmentsWaited && b.Dropped() > a.Dropped()
		}},
		"ICMP errors": {some(udpTo("app", 80), func(b *bed) []byte {
			return b.frame("web", b.ip("web", "app"), packet.ICMP{Type: 11}, packet.Quote(b.udp("app", "web", 80, 1), 28))
		}), func(a, b *Stats) bool { return b.Tx > a.Tx && b.Dropped() == a.Dropped() && b.SlowPath > a.SlowPath }},
		"complaints": {some(func(b *bed) []byte {
			ip := b.ip("web", "app")
			ip.TTL = 1
			return b.frame("web", ip, packet.UDP{SrcPort: 1, DstPort: 80})
		}, func(b *bed) []byte {
			return b.frame("web", b.ip6("web", "app"), packet.UDP{SrcPort: 1, DstPort: 80}, packet.Fill(1500))
		}), func(a, b *Stats) bool {
			return b.Drops[drop.TTLExpired] > a.Drops[drop.TTLExpired] && b.Drops[drop.MTUExceeded] > a.Drops[drop.MTUExceeded] && b.ICMPErrors > a.ICMPErrors
		}},
		"packets in pieces": {some(func(b *bed) []byte {
			return b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: 1, DstPort: 80}, packet.Fill(1500))
		}), func(a, b *Stats) bool { return b.Fragmented > a.Fragmented && b.Dropped() == a.Dropped() }},
		"refusals": {some(func(b *bed) []byte { return b.udp("web", "app", 1, 80)[:40] }, toIP("10.0.1.77")), func(a, b *Stats) bool { return b.Dropped() > a.Dropped() }},
	} {
		t.Run(name, func(t *testing.T) {
			b := driven(t, openObjects(), func(c *Config) { c.Sessions, c.AdvertEvery = 1<<16, 300*time.Microsecond }, c.frames)
			if err := b.engine.MeasureBuckets("app", true); err != nil {
				t.Fatal(err)
			}
			w := b.engine.workers[0]
			round := func() {
				b.clock.ns += 10_000
				w.Round()
			}
			for range 500 {
				round()
			}
			before := b.stats()
			if n := testing.AllocsPerRun(200, round); n != 0 {
				t.Errorf("%v allocations in a round", n)
			}
			if after := b.stats(); !c.busy(&before, &after) {
				t.Errorf("that was not it: from %+v\nto %+v", before, after)
			}
		})
	}
}

// Explain and the reading of counters do not disturb, but they may allocate;
// packets that change lcores may not.
func TestHandOverAllocatesNothing(t *testing.T) {
	plain := newBed(t, bedOptions{objects: openObjects(), slots: 64})
	var frames [][]byte
	for i := range 100 { // ports that differ in all bits, as few random keys would send to one lcore alone
		frames = append(frames, plain.udp("web", "app", uint16(7919*i), 80))
	}
	b := newBed(t, bedOptions{lcores: 2, objects: openObjects(), port: func(eni string) simport.PortConfig {
		pc := simport.PortConfig{Sink: func(int) simport.Sink { return func([]byte) {} }}
		if eni == "web" {
			pc.Source = func(int) simport.Source { return cycle(frames) }
		}
		return pc
	}})
	round := func() {
		for _, w := range b.engine.workers {
			w.Round()
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations in two rounds", n)
	}
	if s := b.stats(); s.HandOver == 0 || b.engine.Lcore(1).Tx == 0 {
		t.Errorf("nothing changed lcores: %+v", s)
	}
}
