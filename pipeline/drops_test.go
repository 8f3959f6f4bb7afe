package pipeline

import (
	"testing"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// dropCase makes packets of web be dropped for one reason and no other.
type dropCase struct {
	options bedOptions
	drive   func(b *bed)
	at      string // the ENI that the drop counts against, if not web
}

// sends is a drive in which web sends frames.
func sends(frames ...func(b *bed) []byte) func(*bed) {
	return func(b *bed) {
		for _, f := range frames {
			b.inject("web", f(b))
		}
	}
}

// toIP is a UDP packet of web to an address, by the router.
func toIP(dst string) func(*bed) []byte {
	return func(b *bed) []byte {
		return b.frame("web", packet.IPv4{Src: packet.MustIP("10.0.1.10"), Dst: packet.MustIP(dst)}, packet.UDP{SrcPort: 1, DstPort: 80}, packet.Fill(8))
	}
}

func udpTo(to string, port uint16) func(*bed) []byte {
	return func(b *bed) []byte { return b.udp("web", to, 1, port) }
}

func tcpFlags(flags uint8) func(*bed) []byte {
	return func(b *bed) []byte { return b.tcp("web", "app", 1, 80, flags) }
}

// resetOfSYN is the reset of what tcpFlags opens.
func resetOfSYN(b *bed) []byte {
	return b.frame("web", b.ip("web", "app"), packet.TCP{SrcPort: 1, DstPort: 80, Seq: 5, Flags: packet.TCPRst})
}

// fragment is one of web's fragments, moved in its datagram.
func fragment(i, by int) func(*bed) []byte {
	return func(b *bed) []byte { return shifted(b.datagram(false, 1, 2000)[i], by) }
}

func changed(change func(*policy.Objects)) bedOptions {
	o := propertyObjects()
	change(o)
	return bedOptions{objects: o}
}

func configured(f func(*Config)) bedOptions { return bedOptions{config: f} }

func denies(o *policy.Objects, in, out bool) {
	none := []policy.ACLRule{{Number: 1, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix("0.0.0.0/0")}}
	o.NetworkACLs = append(o.NetworkACLs, policy.NetworkACL{ID: "deny", VPC: "v", Inbound: none, Outbound: none})
	if in {
		o.Subnets[1].NetworkACL = "deny"
	}
	if out {
		o.Subnets[0].NetworkACL = "deny"
	}
}

// ownedBy are UDP packets of web to another ENI, of flows that one lcore owns.
func ownedBy(b *bed, lcore, n int, to string) (frames [][]byte) {
	for port := uint16(1); len(frames) < n; port++ {
		f := b.udp("web", to, port, 80)
		if b.engine.Explain(b.eni("web"), f).Lcore == lcore {
			frames = append(frames, f)
		}
	}
	return frames
}

// opening are SYNs of web to app, of flows that one lcore owns.
func opening(b *bed, lcore, n int) (frames [][]byte) {
	for port := uint16(1); len(frames) < n; port++ {
		f := b.tcp("web", "app", port, 80, conntrack.SYN)
		if b.engine.Explain(b.eni("web"), f).Lcore == lcore {
			frames = append(frames, f)
		}
	}
	return frames
}

// With two lcores, the bed gives web's queue to the first and web2's to the
// second.
func twoLcores() bedOptions {
	return bedOptions{lcores: 2, objects: openObjects(), config: func(c *Config) { c.RingSize = 2 }}
}

var dropCases = map[drop.Reason]dropCase{
	drop.HandoverRingFull: {twoLcores(), func(b *bed) {
		b.inject("web", ownedBy(b, 1, 9, "app")...)
		b.engine.workers[0].Round()
	}, ""},
	drop.EgressRingFull: {twoLcores(), func(b *bed) {
		b.inject("web", ownedBy(b, 0, 9, "web2")...)
		b.engine.workers[0].Round()
	}, "web2"},
	drop.LLQHeadersExceeded: {bedOptions{headers: 96}, sends(func(b *bed) []byte {
		return b.frame("web", b.ip6("web", "app"), packet.TCP{SrcPort: 1, DstPort: 80, Flags: packet.TCPSyn, Options: make([]byte, 24)})
	}), ""},
	drop.TxQueueFull: {bedOptions{depth: 2}, func(b *bed) {
		b.inject("web", b.udp("web", "app", 1, 80), b.udp("web", "app", 1, 80), b.udp("web", "app", 1, 80))
	}, "app"},
	drop.Shutdown: {configured(func(c *Config) { c.SlowPathBudget = 1 }), func(b *bed) {
		b.inject("web", b.udp("web", "app", 1, 80), b.udp("web", "app", 2, 80))
		b.engine.workers[0].Round()
		b.engine.workers[0].drain()
	}, ""},
	drop.SlowPathQueueFull: {configured(func(c *Config) { c.SlowPathBudget, c.SlowPathQueue = 1, 1 }), func(b *bed) {
		b.inject("web", b.udp("web", "app", 1, 80), b.udp("web", "app", 2, 80), b.udp("web", "app", 3, 80))
	}, ""},
	drop.SourceIPSpoofed: {bedOptions{}, sends(func(b *bed) []byte {
		return b.frame("web", b.ip("web2", "app"), packet.UDP{SrcPort: 1, DstPort: 80})
	}), ""},
	drop.DestinationMACUnknown: {bedOptions{}, sends(func(b *bed) []byte { return b.direct(b.udp("web", "app", 1, 80), "web2") }), ""},
	drop.ARPNotAnswered: {bedOptions{}, sends(func(b *bed) []byte {
		return b.arp("web", packet.ARP{Sender: packet.MustIP("10.0.1.10"), Target: packet.MustIP("10.0.1.99")})
	}), ""},
	drop.NDNotAnswered: {bedOptions{}, sends(func(b *bed) []byte {
		return packet.NeighborSolicit(b.record("web").MAC, packet.MustIP("2001:db8:0:1::10"), packet.MustIP("2001:db8:0:1::99"))
	}), ""},
	drop.NDMalformed: {bedOptions{}, sends(func(b *bed) []byte {
		return poke(packet.NeighborSolicit(b.record("web").MAC, packet.MustIP("2001:db8:0:1::10"), packet.MustIP("2001:db8:0:1::11")), 21, 254)
	}), ""},
	drop.DHCPMalformed: {bedOptions{}, sends(func(b *bed) []byte {
		return packet.Build(packet.Ether{Dst: packet.Broadcast, Src: b.record("web").MAC}, packet.IPv4{Dst: packet.MustIP("255.255.255.255")}, packet.UDP{SrcPort: 68, DstPort: 67}, packet.Fill(9))
	}), ""},
	drop.RouterNoService:    {bedOptions{}, sends(toIP("10.0.1.1")), ""},
	drop.LinkLocalNoService: {bedOptions{}, sends(toIP("169.254.169.254")), ""},
	drop.NoRoute:            {bedOptions{}, sends(toIP("8.8.8.8")), ""},
	drop.RouteBlackhole:     {bedOptions{objects: propertyObjects()}, sends(toIP("192.0.2.1")), ""},
	drop.RouteNoSuchTarget:  {bedOptions{objects: propertyObjects()}, sends(toIP("203.0.113.1")), ""},
	drop.UnknownDestination: {bedOptions{}, sends(toIP("10.0.1.99")), ""},
	drop.DestinationCheck:   {changed(func(o *policy.Objects) { o.ENIs[3].SourceDestCheck = true }), sends(toIP("198.51.100.1")), "fw"},
	drop.NACLOut:            {changed(func(o *policy.Objects) { denies(o, false, true) }), sends(udpTo("app", 80)), ""},
	drop.NACLIn:             {changed(func(o *policy.Objects) { denies(o, true, false) }), sends(udpTo("app", 80)), "app"},
	drop.SecurityGroupOut:   {changed(func(o *policy.Objects) { o.SecurityGroups[0].Outbound = nil }), sends(udpTo("app", 80)), ""},
	drop.SecurityGroupIn:    {bedOptions{}, sends(udpTo("app", 9999), udpTo("app", 9999)), "app"},
	drop.MTUExceeded: {changed(func(o *policy.Objects) { o.ENIs[2].MTU = 1280 }), sends(func(b *bed) []byte {
		ip := b.ip("web", "app")
		ip.DF = true
		return b.frame("web", ip, packet.UDP{SrcPort: 1, DstPort: 80}, packet.Fill(1281-28))
	}), "app"},
	drop.FragmentRateExceeded: {changed(func(o *policy.Objects) { o.ENIs[0].FragmentRate = 8 }), func(b *bed) {
		b.inject("web", b.datagram(false, 1, 1000)...) // two, of which one may pass
	}, ""},
	drop.NoBuffer: {changed(func(o *policy.Objects) { o.ENIs[2].MTU = 1280 }), func(b *bed) {
		b.engine.workers[0].io = dryIO{b.engine.workers[0].io}
		b.inject("web", b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: 1, DstPort: 80}, packet.Fill(1281-28)))
	}, "app"},
	drop.FragmentWithoutFirst: {bedOptions{}, func(b *bed) {
		b.inject("web", b.datagram(false, 1, 1000)[1])
		b.settledFor(DefaultFragments.Hold)
	}, ""},
	drop.FragmentDuplicate: {bedOptions{}, sends(fragment(0, 0), fragment(1, 0), fragment(1, 0)), ""},
	drop.FragmentOverlap:   {bedOptions{}, sends(fragment(0, 0), fragment(1, -8), fragment(1, 0)), ""},
	drop.FragmentPastEnd:   {bedOptions{}, sends(fragment(0, 0), fragment(3, 0), fragment(1, 4000), fragment(2, 0)), ""},
	drop.FragmentTooManyGaps: {bedOptions{}, func(b *bed) {
		for i := range maxSpans + 3 {
			b.inject("web", shifted(b.datagram(false, 1, 1000)[0], 2*576*i))
		}
	}, ""},
	drop.FragmentHoldFull: {configured(func(c *Config) { c.Fragments.Held = 2 }), sends(fragment(1, 0), fragment(2, 0), fragment(3, 0)), ""},
	drop.FragmentStoreFull: {configured(func(c *Config) { c.Fragments.Datagrams, c.Fragments.Held = 3, 2 }), func(b *bed) {
		b.inject("web", fragment(1, 0)(b), fragment(0, 0)(b))
		for id := range uint32(3) {
			b.inject("web", b.datagram(false, 8+id, 2000)[0])
		}
	}, ""},
	drop.ICMPErrorUnmatched: {bedOptions{}, sends(func(b *bed) []byte {
		return b.frame("web", b.ip("web", "app"), packet.ICMP{Type: 3, Code: 3}, packet.Fill(28))
	}, func(b *bed) []byte { // of a packet that its receiver has not sent
		return b.frame("web", b.ip("web", "app"), packet.ICMP{Type: 3, Code: 3}, packet.Quote(b.udp("web2", "web", 1, 2), 28))
	}), ""},
	drop.MidstreamTCP:               {configured(func(c *Config) { c.PickupMidstream = false }), sends(tcpFlags(conntrack.ACK)), ""},
	drop.SessionTableFull:           {configured(func(c *Config) { c.Sessions = 16 }), func(b *bed) { b.inject("web", ownedBy(b, 0, 40, "app")...) }, ""},
	drop.ConntrackAllowanceExceeded: {changed(func(o *policy.Objects) { o.Instances[0].ConntrackAllowance = 1 }), sends(udpTo("app", 80), udpTo("app", 5201)), ""},
	drop.ConntrackHalfOpenExceeded: {func() bedOptions {
		o := openObjects()
		o.ENIs[0].ConntrackHalfOpen = 2
		return bedOptions{lcores: 2, objects: o}
	}(), func(b *bed) { // an lcore cannot end another's
		b.inject("web", opening(b, 0, 2)...)
		b.settle()
		b.inject("web", opening(b, 1, 1)...)
	}, ""},
	drop.TCPInvalidFlags:  {bedOptions{}, sends(tcpFlags(0), tcpFlags(conntrack.SYN), tcpFlags(conntrack.SYN|conntrack.FIN)), ""},
	drop.TCPSessionClosed: {bedOptions{}, sends(tcpFlags(conntrack.SYN), resetOfSYN, tcpFlags(conntrack.ACK)), ""},
	drop.TCPOutOfWindow: {bedOptions{}, func(b *bed) {
		b.established()
		b.inject("web", b.stray("web", conntrack.ACK, 1<<30, 0), b.stray("web", conntrack.ACK, 0, 1<<30))
	}, ""},
	drop.TTLExpired: {bedOptions{}, sends(func(b *bed) []byte {
		ip := b.ip("web", "app")
		ip.TTL = 1
		return b.frame("web", ip, packet.UDP{SrcPort: 1, DstPort: 80})
	}), ""},
	drop.PortWithoutENI: {bedOptions{}, func(b *bed) {
		// A port that the engine was not told of, and one whose ENI is gone.
		unknown := simport.NewPort(b.pool, simport.PortConfig{})
		b.engine.workers[0].io = simport.NewIO(b.pool, []simport.Queue{{Port: unknown}, {Port: b.ports[1]}})
		b.ports = append(b.ports, unknown)
		unknown.Inject(0, b.udp("web", "app", 1, 80))
		b.inject("web2", b.udp("web2", "app", 1, 80))
		b.policy(func(o *policy.Objects) { o.ENIs = append(o.ENIs[:1], o.ENIs[2]) })
	}, "nobody"},
	drop.HeadersSplit: {bedOptions{}, func(b *bed) { b.ports[0].InjectSplit(0, b.udp("web", "app", 1, 80), 40) }, ""},
}

// dryIO has no buffers left for packets of nitrod's own.
type dryIO struct{ pktio.IO }

func (dryIO) Alloc([]pktio.Desc) int { return 0 }

// notHere are the reasons that no packet can be dropped for in this layer.
var notHere = map[drop.Reason]string{
	drop.Unset: "a stage that refuses without a reason is a defect, which every test here looks for",
}

// Every reason in the list can happen, is counted, and counts against the right
// ENI.
func TestEveryDropReason(t *testing.T) {
	byParser := map[drop.Reason][][]byte{}
	for _, c := range parseCases {
		if len(c.frame) > 0 {
			byParser[c.want] = append(byParser[c.want], c.frame)
		}
	}
	for r := drop.Reason(0); r < drop.Count; r++ {
		if notHere[r] != "" {
			continue
		}
		c, ok := dropCases[r]
		if frames := byParser[r]; !ok && len(frames) > 0 {
			c, ok = dropCase{drive: func(b *bed) { b.inject("web", frames...) }, at: ""}, true
			c.options.objects = defaultObjects()
			c.options.objects.ENIs[0].MAC = parseENI.MAC
		}
		if !ok {
			t.Errorf("nothing here is dropped for %v", r)
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			b := newBed(t, c.options)
			c.drive(b)
			s := b.settle()
			n := s.Drops[r]
			if n == 0 {
				t.Errorf("nothing was dropped for it")
			}
			b.wantDrops(s, map[drop.Reason]uint64{r: n})
			at := c.at
			if at == "" {
				at = "web"
			}
			for i := range b.snap.ENIs {
				if id := b.snap.ENI(uint16(i)).ID; b.engine.ENI(uint16(i)).Drops != map[bool]uint64{true: n}[id == at] {
					t.Errorf("ENI %s counts %d of %d drops", id, b.engine.ENI(uint16(i)).Drops, n)
				}
			}
		})
	}
}

// Stopped with packets in every queue it has, an engine counts them all.
func TestDrain(t *testing.T) {
	o := openObjects()
	o.ENIs[2].Queues = 1 // served by the first lcore, as web's is; web2's by the second
	b := newBed(t, bedOptions{lcores: 2, objects: o, config: func(c *Config) { c.SlowPathBudget = 1 }, port: func(string) simport.PortConfig {
		return simport.PortConfig{TxDepth: 1} // guests that take nothing
	}})
	w, other := b.engine.workers[0], b.engine.workers[1]
	b.inject("web", ownedBy(b, 0, 4, "app")...)  // for a receive queue
	b.inject("web", ownedBy(b, 1, 3, "web2")...) // for the ring to the other lcore, which rests
	b.inject("web", ownedBy(b, 0, 3, "web2")...) // and for its queue
	for range 12 {
		w.Round()
	}
	b.inject("web", ownedBy(b, 0, 9, "web2")[4:]...)
	w.Round() // has time for one of five
	s := b.stats()
	held := uint64(s.Held())
	queued := w.out[w.eniQueue[b.eni("app")]].queue.Len()
	if other.in[0].Len() != 3 || other.sendIn[0].Len() != 4 || w.waiting.n != 4 || queued == 0 || held != uint64(11+queued) {
		t.Fatalf("%d on the ring, %d on their way out, %d waiting, %d queued, %d held", other.in[0].Len(), other.sendIn[0].Len(), w.waiting.n, queued, held)
	}
	for _, w := range b.engine.workers {
		w.drain()
	}
	s = b.stats()
	if s.Drops[drop.Shutdown] != held || s.Held() != 0 {
		t.Errorf("%d dropped for the shutdown, %d were held", s.Drops[drop.Shutdown], held)
	}
}
