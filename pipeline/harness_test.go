package pipeline

import (
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// manualClock is time that a test owns.
type manualClock struct{ ns int64 }

func (c *manualClock) Now() int64              { return c.ns }
func (c *manualClock) advance(d time.Duration) { c.ns += int64(d) }

// tb is what the bed needs of a test: *testing.T, *testing.B and *rapid.T have it.
type tb interface {
	rapid.TB
	Cleanup(func())
}

// bed is an engine between in-memory ports, one per ENI, driven round by round.
type bed struct {
	t       tb
	clock   *manualClock
	pool    *simport.Pool
	ports   []*simport.Port // by ENI index
	engine  *Engine
	snap    *policy.Snapshot
	objects *policy.Objects

	dialogue dialogue // of the connection that tests talk about
}

type bedOptions struct {
	lcores  int
	config  func(*Config)
	objects *policy.Objects // defaultObjects if nil
	port    func(eni string) simport.PortConfig
	depth   int // of the guests' receive queues; 1024 if 0
	headers int // as Port.Headers, of the ENIs
	served  func(eni string) []uint16
	slots   int // of the pool; 8192 if 0
}

func newBed(t tb, o bedOptions) *bed {
	t.Helper()
	if o.lcores == 0 {
		o.lcores = 1
	}
	if o.objects == nil {
		o.objects = defaultObjects()
	}
	if o.depth == 0 {
		o.depth = 1024
	}
	if o.slots == 0 {
		o.slots = 8192
	}
	b := &bed{t: t, clock: &manualClock{ns: int64(time.Second)}, objects: o.objects}
	var err error
	if b.snap, err = policy.Compile(o.objects, nil); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Burst: 32, SlowPathBudget: 16, SlowPathQueue: 2048, Flows: 4096, FlowIdle: time.Minute, Sessions: 4096,
		ICMPErrors: 1_000_000, PickupMidstream: true, Timeouts: conntrack.DefaultTimeouts, Fragments: DefaultFragments, RingSize: 1024, Clock: b.clock,
	}
	if o.config != nil {
		o.config(&cfg)
	}
	b.pool = simport.NewPool(o.slots, simport.DefaultSlotSize)
	queues := make([][]simport.Queue, o.lcores)
	var ports []Port
	next := 0
	for i := range b.snap.ENIs {
		pc := simport.PortConfig{}
		if o.port != nil {
			pc = o.port(b.snap.ENI(uint16(i)).ID)
		}
		n := int(b.snap.ENIs[i].Queues)
		pc.RxQueues, pc.TxQueues = n, n
		p := simport.NewPort(b.pool, pc)
		b.ports = append(b.ports, p)
		port := Port{ENI: uint16(i), Port: p.ID(), Queues: n, Depth: o.depth}
		if !b.snap.ENIs[i].Outside() {
			port.Headers = o.headers
		}
		if o.served != nil {
			port.Served = o.served(b.snap.ENI(uint16(i)).ID)
		}
		for q := range n {
			queues[next%o.lcores] = append(queues[next%o.lcores], simport.Queue{Port: p, Queue: q})
			port.Polled = append(port.Polled, uint16(next%o.lcores))
			next++
		}
		ports = append(ports, port)
	}
	var ios []pktio.IO
	for _, q := range queues {
		ios = append(ios, simport.NewIO(b.pool, q))
	}
	if b.engine, err = New(cfg, b.snap, ports, ios); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// close ends the engine as a stop does, and checks that every packet is
// accounted for and given back.
func (b *bed) close() {
	b.engine.Drain()
	if held := b.engine.Total(); held.Held() != 0 {
		b.t.Errorf("after the end %d packets are held", held.Held())
	}
	for _, p := range b.ports {
		p.Discard()
	}
	if n := b.pool.InUse(); n != 0 {
		b.t.Errorf("%d packets were never given back", n)
	}
	if err := b.engine.Free(); err != nil {
		b.t.Error(err)
	}
	b.pool.Close()
	b.engine, b.pool, b.ports = nil, nil, nil // a property makes many beds
}

// eni returns the index of an ENI.
func (b *bed) eni(id string) uint16 {
	b.t.Helper()
	i, ok := b.snap.ENIByID(id)
	if !ok {
		b.t.Fatalf("no ENI %q", id)
	}
	return i
}

func (b *bed) record(id string) *policy.ENIRecord { return &b.snap.ENIs[b.eni(id)] }

// inject gives frames to an ENI's port, as its guest would.
func (b *bed) inject(id string, frames ...[]byte) {
	b.t.Helper()
	for _, f := range frames {
		if !b.ports[b.eni(id)].Inject(0, f) {
			b.t.Fatal("the port takes no more frames")
		}
	}
}

// settle lets all lcores run until nothing moves, publishes the counters, and
// checks the law of accounting and the pool.
func (b *bed) settle() Stats {
	b.t.Helper()
	b.engine.Settle()
	return b.stats()
}

// stats publishes the counters and checks the law.
func (b *bed) stats() Stats {
	b.t.Helper()
	b.engine.Publish()
	held := b.engine.InHand()
	s := b.engine.Total()
	if s.Held() != int64(held) {
		b.t.Fatalf("rx %d + originated %d = tx %d + consumed %d + dropped %d + held %d does not hold: %d are held",
			s.Rx, s.Originated, s.Tx, s.Consumed, s.Dropped(), s.Held(), held)
	}
	return s
}

// policy puts changed objects in force.
func (b *bed) policy(change func(*policy.Objects)) {
	b.t.Helper()
	change(b.objects)
	snap, err := policy.Compile(b.objects, b.snap)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.engine.SetPolicy(snap); err != nil {
		b.t.Fatal(err)
	}
	b.snap = snap
}

// received returns the frames that an ENI's guest got.
func (b *bed) received(id string) [][]byte {
	var frames [][]byte
	p := b.ports[b.eni(id)]
	for q := range int(b.record(id).Queues) {
		p.Drain(q, func(f []byte) { frames = append(frames, append([]byte(nil), f...)) })
	}
	return frames
}

// frame builds a frame from one ENI to an address, by way of the router.
func (b *bed) frame(from string, layers ...packet.Layer) []byte {
	r := b.record(from)
	return packet.Build(append([]packet.Layer{packet.Ether{Dst: r.RouterMAC, Src: r.MAC}}, layers...)...)
}

func (b *bed) tcp(from, to string, sport, dport uint16, flags uint8) []byte {
	return b.frame(from, b.ip(from, to), packet.TCP{SrcPort: sport, DstPort: dport, Flags: flags}, packet.Payload("data"))
}

func (b *bed) udp(from, to string, sport, dport uint16) []byte {
	return b.frame(from, b.ip(from, to), packet.UDP{SrcPort: sport, DstPort: dport}, packet.Payload("data"))
}

func (b *bed) ping(from, to string, typ uint8, id uint16) []byte {
	return b.frame(from, b.ip(from, to), packet.ICMP{Type: typ, ID: id, Seq: 1}, packet.Payload("data"))
}

func (b *bed) ip6(from, to string) packet.IPv6 {
	return packet.IPv6{Src: b.snap.ENI(b.eni(from)).Primary6, Dst: b.snap.ENI(b.eni(to)).Primary6}
}

// direct readdresses a frame to a neighbour's own MAC.
func (b *bed) direct(frame []byte, to string) []byte {
	mac := b.record(to).MAC
	copy(frame[0:6], mac[:])
	return frame
}

func (b *bed) ip(from, to string) packet.IPv4 {
	return packet.IPv4{Src: b.snap.ENI(b.eni(from)).Primary4, Dst: b.snap.ENI(b.eni(to)).Primary4}
}

func (b *bed) wantDrops(s Stats, want map[drop.Reason]uint64) {
	b.t.Helper()
	for r, n := range s.Drops {
		if n != want[drop.Reason(r)] {
			b.t.Errorf("%d packets were dropped for %v, want %d", n, drop.Reason(r), want[drop.Reason(r)])
		}
	}
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// defaultObjects is a VPC with two subnets: web and web2 in the one, app in the
// other. Group app admits group web to TCP and UDP ports 80 and 5201 and to
// ping; group web admits nothing but lets everything out.
func defaultObjects() *policy.Objects {
	all4, all6 := mustPrefix("0.0.0.0/0"), mustPrefix("::/0")
	any := policy.Match{Protocol: policy.ProtoAll}
	eni := func(id, subnet string, last byte, group string, addrs ...string) policy.ENI {
		e := policy.ENI{
			ID: id, Instance: id, Subnet: subnet, MAC: [6]byte{2, 0, 0, 0, 1, last}, SecurityGroups: []string{group},
			SourceDestCheck: true, MTU: 1500, Queues: 1, TCPEstablished: 432000, UDP: 30, UDPStream: 180,
		}
		for _, a := range addrs {
			e.Addresses = append(e.Addresses, netip.MustParseAddr(a))
		}
		return e
	}
	var admits []policy.SGRule
	for _, proto := range []int{policy.ProtoTCP, policy.ProtoUDP} {
		for _, port := range []int{80, 5201} {
			admits = append(admits, policy.SGRule{Match: policy.Match{Protocol: proto, FromPort: port, ToPort: port}, Group: "web"})
		}
	}
	for _, proto := range []int{policy.ProtoICMP, policy.ProtoICMPv6} {
		admits = append(admits, policy.SGRule{Match: policy.Match{Protocol: proto, FromPort: -1, ToPort: -1}, Group: "web"})
	}
	return &policy.Objects{
		VPCs: []policy.VPC{{ID: "v", CIDRs: []netip.Prefix{mustPrefix("10.0.0.0/16"), mustPrefix("2001:db8::/56")}}},
		Subnets: []policy.Subnet{
			{ID: "front", VPC: "v", CIDRs: []netip.Prefix{mustPrefix("10.0.1.0/24"), mustPrefix("2001:db8:0:1::/64")}},
			{ID: "back", VPC: "v", CIDRs: []netip.Prefix{mustPrefix("10.0.2.0/24"), mustPrefix("2001:db8:0:2::/64")}},
		},
		SecurityGroups: []policy.SecurityGroup{
			{ID: "web", VPC: "v", Outbound: []policy.SGRule{{Match: any, CIDR: all4}, {Match: any, CIDR: all6}}},
			{ID: "app", VPC: "v", Inbound: admits},
		},
		Instances: []policy.Instance{{ID: "web"}, {ID: "web2"}, {ID: "app"}},
		ENIs: []policy.ENI{
			eni("web", "front", 10, "web", "10.0.1.10", "2001:db8:0:1::10"),
			eni("web2", "front", 11, "web", "10.0.1.11", "2001:db8:0:1::11"),
			eni("app", "back", 20, "app", "10.0.2.10", "2001:db8:0:2::10"),
		},
	}
}
