package control

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/rebalance"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/pipeline/microburst"
	"github.com/nitrod/nitrod/policy"
)

// bed is a server over an engine between ports in memory. Nothing runs but
// what the test calls.
type bed struct {
	t      testing.TB
	clock  atomic.Int64
	engine *pipeline.Engine
	snap   *policy.Snapshot
	ports  []*simport.Port // by ENI
	host   fakeHost
	server *Server
}

// Now makes a bed its engine's clock.
func (b *bed) Now() int64 { return b.clock.Load() }

// fakeHost is what the daemon would say.
type fakeHost struct {
	driver  func() Driver
	running *config.Config

	balancer *rebalance.Balancer
}

func (fakeHost) Port(eni uint16) (device, link string) { return "tap " + string('a'+rune(eni)), "up" }
func (fakeHost) LcoreCPU(lcore int) int                { return 7 + lcore }
func (fakeHost) Mbufs() Mbufs                          { return Mbufs{Total: 100, Available: 90} }
func (fakeHost) Version() (nitrod, dpdk string)        { return "v1", "DPDK 1" }
func (h fakeHost) Running() *config.Config             { return h.running }
func (h fakeHost) Balancer() *rebalance.Balancer       { return h.balancer }

func (h fakeHost) Driver() Driver {
	if h.driver != nil {
		return h.driver()
	}
	return Driver{RxMissed: 3, TxUnchained: 4}
}

func newBed(t testing.TB) *bed { return newBedOf(t, objects()) }

func newBedOf(t testing.TB, o *policy.Objects) *bed {
	t.Helper()
	b := &bed{t: t}
	b.clock.Store(int64(time.Second))
	var err error
	if b.snap, err = policy.Compile(o, nil); err != nil {
		t.Fatal(err)
	}
	pool := simport.NewPool(1024, simport.DefaultSlotSize)
	t.Cleanup(pool.Close)
	var queues []simport.Queue
	var ports []pipeline.Port
	for i := range b.snap.ENIs {
		p := simport.NewPort(pool, simport.PortConfig{})
		b.ports = append(b.ports, p)
		queues = append(queues, simport.Queue{Port: p})
		ports = append(ports, pipeline.Port{ENI: uint16(i), Port: p.ID(), Queues: 1, Depth: 256})
	}
	b.engine, err = pipeline.New(pipeline.Config{
		Burst: 32, SlowPathBudget: 16, SlowPathQueue: 64, Flows: 1024, FlowIdle: time.Minute, Sessions: 1024,
		PickupMidstream: true, Timeouts: conntrack.DefaultTimeouts, Fragments: pipeline.DefaultFragments, Bursts: microburst.DefaultConfig, RingSize: 64, Clock: b,
	}, b.snap, ports, []pktio.IO{simport.NewIO(pool, queues)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.engine.Stop()
		b.engine.RunLcore(0) // returns at once, and gives back what is held
		for _, p := range b.ports {
			p.Discard()
		}
		if err := b.engine.Free(); err != nil {
			t.Error(err)
		}
	})
	b.host.balancer = rebalance.New(b.engine)
	for i := range b.snap.ENIs {
		s := rebalance.Settings{Mode: rebalance.Off, Interval: time.Second, Threshold: 25, Patience: 1}
		if err := b.host.balancer.Set(b.snap.ENI(uint16(i)).ID, s); err != nil {
			t.Fatal(err)
		}
	}
	b.server = newServer(b.engine, &b.host)
	return b
}

// objects is a VPC with web and web2 in one subnet and app in another, where
// group app admits TCP port 80 and ping from group web; and VPC other, whose
// ENI twin has web's address and MAC.
func objects() *policy.Objects {
	prefix := netip.MustParsePrefix
	everything := []policy.SGRule{
		{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: prefix("0.0.0.0/0")},
		{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: prefix("::/0")},
	}
	eni := func(id, subnet string, last byte, group string, addrs ...string) policy.ENI {
		e := policy.ENI{
			ID: id, Instance: id, Subnet: subnet, MAC: [6]byte{2, 0, 0, 0, 0, last}, SecurityGroups: []string{group},
			SourceDestCheck: true, MTU: 1500, Queues: 1, TCPEstablished: 432000, UDP: 30, UDPStream: 180,
		}
		for _, a := range addrs {
			e.Addresses = append(e.Addresses, netip.MustParseAddr(a))
		}
		return e
	}
	return &policy.Objects{
		VPCs: []policy.VPC{
			{ID: "main", CIDRs: []netip.Prefix{prefix("10.0.0.0/16"), prefix("2001:db8::/56")}},
			{ID: "other", CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}},
		},
		Subnets: []policy.Subnet{
			{ID: "front", VPC: "main", CIDRs: []netip.Prefix{prefix("10.0.1.0/24"), prefix("2001:db8:0:1::/64")}},
			{ID: "back", VPC: "main", CIDRs: []netip.Prefix{prefix("10.0.2.0/24"), prefix("2001:db8:0:2::/64")}},
			{ID: "elsewhere", VPC: "other", CIDRs: []netip.Prefix{prefix("10.0.1.0/24")}},
		},
		SecurityGroups: []policy.SecurityGroup{
			{ID: "web", VPC: "main", Outbound: everything},
			{ID: "app", VPC: "main", Inbound: []policy.SGRule{
				{ID: "http", Match: policy.Match{Protocol: policy.ProtoTCP, FromPort: 80, ToPort: 80}, Group: "web"},
				{ID: "ping", Match: policy.Match{Protocol: policy.ProtoICMP, FromPort: -1, ToPort: -1}, Group: "web"},
				{ID: "ping6", Match: policy.Match{Protocol: policy.ProtoICMPv6, FromPort: -1, ToPort: -1}, Group: "web"},
			}},
			{ID: "lone", VPC: "other", Outbound: everything},
		},
		Instances: []policy.Instance{{ID: "web", ConntrackAllowance: 50}, {ID: "web2"}, {ID: "app"}, {ID: "twin"}},
		ENIs: []policy.ENI{
			eni("web", "front", 10, "web", "10.0.1.10", "2001:db8:0:1::10"),
			eni("web2", "front", 11, "web", "10.0.1.11"),
			eni("app", "back", 20, "app", "10.0.2.20", "2001:db8:0:2::20"),
			eni("twin", "elsewhere", 10, "lone", "10.0.1.10"),
		},
	}
}

func (b *bed) eni(id string) uint16 {
	b.t.Helper()
	i, ok := b.snap.ENIByID(id)
	if !ok {
		b.t.Fatalf("there is no ENI %s", id)
	}
	return i
}

// tcp is a frame from an ENI to app by way of the router: a SYN, or what follows
// the answer to it.
func (b *bed) tcp(from string, sport, dport uint16, flags uint8) []byte {
	next := uint32(1)
	if flags&packet.TCPSyn != 0 {
		next = 0
	}
	r := &b.snap.ENIs[b.eni(from)]
	return packet.Build(packet.Ether{Dst: r.RouterMAC, Src: r.MAC},
		packet.IPv4{Src: b.snap.ENI(b.eni(from)).Primary4, Dst: netip.MustParseAddr("10.0.2.20")},
		packet.TCP{SrcPort: sport, DstPort: dport, Flags: flags, Seq: next, Ack: next})
}

// answer is app's SYN-ACK to a client's port.
func (b *bed) answer(to string, port uint16) []byte {
	r := &b.snap.ENIs[b.eni("app")]
	return packet.Build(packet.Ether{Dst: r.RouterMAC, Src: r.MAC},
		packet.IPv4{Src: netip.MustParseAddr("10.0.2.20"), Dst: b.snap.ENI(b.eni(to)).Primary4},
		packet.TCP{SrcPort: 80, DstPort: port, Ack: 1, Flags: packet.TCPSyn | packet.TCPAck})
}

// carry has the engine take frames from an ENI, and publish its counters.
func (b *bed) carry(id string, frames ...[]byte) {
	b.t.Helper()
	for _, f := range frames {
		if !b.ports[b.eni(id)].Inject(0, f) {
			b.t.Fatal("the port takes no more frames")
		}
	}
	for range 3 {
		b.clock.Add(int64(time.Millisecond))
		b.engine.Worker(0).Round()
	}
}

// get serves a GET request and decodes the answer.
func (b *bed) get(path string, out any) {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		b.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
		b.t.Fatalf("GET %s: %v\n%s", path, err, w.Body)
	}
}

// refused serves a request that must be refused, and returns what was said.
func (b *bed) refused(method, path, body string) string {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); w.Code != http.StatusBadRequest || err != nil || p.Error == "" {
		b.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return p.Error
}
