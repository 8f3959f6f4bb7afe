package control

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/traffic"
	"github.com/nitrod/nitrod/policy"
)

// profileBed is a bed whose group app admits everything of the VPC, with a link-local
// rate, a fragment rate and four queues at app.
func profileBed(t *testing.T) *bed {
	o := objects()
	o.SecurityGroups[1].Inbound = []policy.SGRule{{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: netip.MustParsePrefix("10.0.0.0/16")}}
	o.ENIs[0].FragmentRate, o.ENIs[0].LinkLocalRate = 1000, 1024
	o.ENIs[2].Queues = 4
	return newBedOf(t, o)
}

// to is a frame to app of some length behind the IP header.
func (b *bed) to(from string, proto uint8, payload int) []byte {
	r := &b.snap.ENIs[b.eni(from)]
	return packet.Build(packet.Ether{Dst: r.RouterMAC, Src: r.MAC},
		packet.IPv4{Src: b.snap.ENI(b.eni(from)).Primary4, Dst: netip.MustParseAddr("10.0.2.20"), Proto: proto}, packet.Fill(payload))
}

func (b *bed) udp(from string, sport, dport uint16, payload int) []byte {
	r := &b.snap.ENIs[b.eni(from)]
	return packet.Build(packet.Ether{Dst: r.RouterMAC, Src: r.MAC},
		packet.IPv4{Src: b.snap.ENI(b.eni(from)).Primary4, Dst: netip.MustParseAddr("10.0.2.20")},
		packet.UDP{SrcPort: sport, DstPort: dport}, packet.Fill(payload))
}

// packetTakes is how long the lcore of a bed takes for a packet.
const packetTakes = int64(5 * time.Millisecond)

// second carries the frames of an ENI one by one, evenly over a second of the bed's
// clock, and ends the window with it.
func (b *bed) second(from string, frames ...[]byte) {
	b.t.Helper()
	step := int64(time.Second) / int64(len(frames)+1)
	for _, f := range frames {
		if !b.ports[b.eni(from)].Inject(0, f) {
			b.t.Fatal("the port takes no more frames")
		}
		b.engine.Worker(0).Round()
		b.clock.Add(packetTakes)
		b.engine.Worker(0).Round() // finds nothing
		b.clock.Add(step - packetTakes)
		for _, p := range b.ports {
			p.Discard()
		}
	}
	b.clock.Add(int64(time.Second) - step*int64(len(frames)))
	b.engine.Worker(0).Round()
}

func (b *bed) sample() *traffic.Sample {
	b.t.Helper()
	var s traffic.Sample
	b.get("/v1/profile?queues=true", &s)
	return &s
}

func profileOf(t *testing.T, before, after *traffic.Sample, o traffic.Options) *traffic.Profile {
	t.Helper()
	p, err := traffic.Between(before, after, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProfileNamesTheWhale carries a known mix: a GRE tunnel with most of it, and
// many small flows. Bursts of one packet are looked at each, so that the estimates
// are exact.
func TestProfileNamesTheWhale(t *testing.T) {
	b := profileBed(t)
	b.engine.Worker(0).Round() // begins the first window
	before := b.sample()
	var frames [][]byte
	gre := b.to("web", 47, 1400)
	for i := range 100 {
		if i%5 == 0 {
			frames = append(frames, b.udp("web", uint16(1000+i), 53, 20))
		} else {
			frames = append(frames, gre)
		}
	}
	b.second("web", frames...)
	after := b.sample()
	p := profileOf(t, before, after, traffic.Options{LcoreShare: 0.3, FlowShare: 0.5})

	if len(p.Flows) != 21 {
		t.Fatalf("%d flows are listed, want 21", len(p.Flows))
	}
	f := p.Flows[0]
	if math.Abs(f.Packets-80) > 0.01 || math.Abs(f.Bits-80*8*float64(len(gre))) > 1 || math.Abs(f.LcoreShare-0.8) > 0.001 {
		t.Errorf("the largest flow is %+v, want 80 packets of %d bytes a second and 0.8 of the lcore", f, len(gre))
	}
	if len(p.Whales) != 1 {
		t.Fatalf("whales are %+v", p.Whales)
	}
	w := p.Whales[0]
	if w.Kind != "GRE tunnel" || w.Src != "10.0.1.10" || w.Dst != "10.0.2.20" || w.ENI != "web" || w.Egress != "app" || w.Protocol != "gre" || math.Abs(w.OfLcore-0.4) > 0.001 {
		t.Errorf("the whale is %+v", w)
	}
	if n := after.ENIs["app"].QueueFlows[w.Queue]; n == 0 {
		t.Errorf("no flow is known on the whale's queue %d", w.Queue)
	}
	if len(p.Lcores) != 1 || math.Abs(p.Lcores[0].Busy-0.5) > 0.001 {
		t.Errorf("lcores are %+v", p.Lcores)
	}
	web := p.ENIs[slices.IndexFunc(p.ENIs, func(e traffic.ENI) bool { return e.ID == "web" })]
	bytes := uint64(0)
	for _, f := range frames {
		bytes += uint64(len(f))
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.01*want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("web's packet rate", web.TxPackets, 100)
	near("web's bit rate", web.TxBits, 8*float64(bytes))
	near("web's new connections", web.Opened, 21)
	if i := p.Instances[slices.IndexFunc(p.Instances, func(i traffic.Instance) bool { return i.ID == "app" })]; i.RxPackets != web.TxPackets || i.Accepted != web.Opened || i.Tracked != 21 {
		t.Errorf("instance app is %+v", i)
	}
	if u := web.Limits[0]; u.Name != "conntrack_allowance" || u.Used != 21 || u.Limit != 50 || u.Exceeded != 0 || u.FullIn == nil {
		t.Errorf("the limit that web hits first is %+v", u)
	}

	// With nothing to carry there is no whale, however alone the flow is.
	b.second("web", gre)
	if p := profileOf(t, after, b.sample(), traffic.DefaultOptions); len(p.Whales) != 0 || len(p.Flows) != 1 {
		t.Errorf("with one packet there are whales %+v among %d flows", p.Whales, len(p.Flows))
	}
	// What was carried long ago is no traffic of now.
	b.clock.Add(int64(5 * time.Second))
	if s := b.sample(); len(s.Flows) != 0 {
		t.Errorf("after five idle seconds there are flows %+v", s.Flows)
	}
}

// TestProfileTakesLimitsOfPolicy wants bandwidths, packet rate and flow limit to be
// those in force; where none is set for a flow, EC2's is what it is measured by.
func TestProfileTakesLimitsOfPolicy(t *testing.T) {
	o := objects()
	o.Instances[0].In = policy.Bandwidth{Limit: policy.Limit{Rate: 2_000_000, Burst: 9000}, Baseline: 1_000_000, Credits: 1 << 20}
	o.Instances[0].Out = policy.Bandwidth{Limit: policy.Limit{Rate: 4_000_000, Burst: 9000}, Baseline: 4_000_000}
	o.Instances[0].Packets = policy.Limit{Rate: 500, Burst: 64}
	o.Instances[0].Flow.Default = policy.Limit{Rate: 700_000, Burst: 9000}
	o.ENIs[0].In, o.ENIs[0].Out = policy.Limit{Rate: 300_000, Burst: 9000}, policy.Limit{Rate: 600_000, Burst: 9000}
	b := newBedOf(t, o)
	b.engine.Worker(0).Round()
	b.second("web", b.tcp("web", 1000, 80, packet.TCPSyn))
	b.second("web2", b.tcp("web2", 1000, 80, packet.TCPSyn))
	s := b.sample()
	want := traffic.InstanceCounters{
		Tracked: 1, In: traffic.Bandwidth{Bits: 2_000_000, Baseline: 1_000_000}, Out: traffic.Bandwidth{Bits: 4_000_000, Baseline: 4_000_000}, Packets: 500,
	}
	if got := s.Instances["web"]; got != want {
		t.Errorf("the instance is %+v, want %+v", got, want)
	}
	if e := s.ENIs["web"]; e.InBits != 300_000 || e.OutBits != 600_000 {
		t.Errorf("the ENI is %+v", e)
	}
	if len(s.Flows) != 1 || s.Flows[0].ENI != "web2" || s.Flows[0].LimitBits != 5e9 {
		t.Errorf("flows are %+v", s.Flows)
	}
	b.second("web", b.tcp("web", 1001, 80, packet.TCPSyn))
	if s := b.sample(); len(s.Flows) != 1 || s.Flows[0].ENI != "web" || s.Flows[0].LimitBits != 700_000 {
		t.Errorf("flows are %+v", s.Flows)
	}
}

// TestProfileCountsLimits wants what a bandwidth has held back counted for it, and the
// limit at the front.
func TestProfileCountsLimits(t *testing.T) {
	o := objects()
	o.ENIs[0].Out = policy.Limit{Rate: 64_000, Burst: 1514} // 8,000 bytes a second
	b := newBedOf(t, o)
	b.engine.Worker(0).Round()
	before := b.sample()
	var frames [][]byte
	for i := range 10 {
		frames = append(frames, append(b.tcp("web", uint16(1000+i), 80, packet.TCPSyn), make([]byte, 1000)...)) // padded
	}
	b.second("web", frames...)
	after := b.sample()
	dropped := b.engine.Total().Drops[drop.ENIOutBandwidthExceeded]
	if got := after.ENIs["web"].LimitsExceeded; dropped == 0 || got["eni_out"] != dropped || len(got) != 1 {
		t.Fatalf("%v are counted, %d were dropped", got, dropped)
	}
	p := profileOf(t, before, after, traffic.DefaultOptions)
	web := p.ENIs[slices.IndexFunc(p.ENIs, func(e traffic.ENI) bool { return e.ID == "web" })]
	if l := web.Limits[0]; l.Name != "eni_out" || l.Exceeded != float64(dropped)/p.Seconds {
		t.Errorf("the first limit is %+v", l)
	}
}

// TestProfileSpread wants flows counted on the queues that the flow cache gives them.
func TestProfileSpread(t *testing.T) {
	b := profileBed(t)
	var frames [][]byte
	for i := range 45 {
		frames = append(frames, b.udp("web", uint16(1000+i), 53, 20))
	}
	b.second("web", frames...)
	var flows []Flow
	b.get("/v1/flows?eni=app", &flows)
	want := make([]uint64, 4)
	for _, f := range flows {
		want[f.Queue]++
	}
	if got := b.sample().ENIs["app"].QueueFlows; !slices.Equal(got, want) || got[0]+got[1]+got[2]+got[3] != 45 {
		t.Errorf("flows by queue are %v, want %v", got, want)
	}
	var without traffic.Sample
	b.get("/v1/profile", &without)
	if without.ENIs["app"].QueueFlows != nil {
		t.Error("flows by queue are counted though nobody asked")
	}
	if got := b.refused(http.MethodGet, "/v1/profile?queues=maybe", ""); got != `queues "maybe" is neither true nor false` {
		t.Errorf("it says %q", got)
	}
}

// TestProfileCountsRefusals wants connections beyond the allowance, fragments and
// refused floods in the profile.
func TestProfileCountsRefusals(t *testing.T) {
	b := profileBed(t)
	b.engine.Worker(0).Round()
	before := b.sample()
	var frames [][]byte
	for i := range 60 { // ten beyond web's allowance
		frames = append(frames, b.udp("web", uint16(1000+i), 53, 20))
	}
	r := &b.snap.ENIs[b.eni("web")]
	for i := range 7 { // of other datagrams each
		frames = append(frames, packet.Build(packet.Ether{Dst: r.RouterMAC, Src: r.MAC},
			packet.IPv4{Src: netip.MustParseAddr("10.0.1.10"), Dst: netip.MustParseAddr("10.0.2.20"), ID: uint16(i + 1), MF: true},
			packet.UDP{SrcPort: 1000, DstPort: 53}, packet.Fill(40)))
	}
	b.second("web", frames...)
	after := b.sample()
	p := profileOf(t, before, after, traffic.Options{LcoreShare: 0.001, FlowShare: 0.5})
	web := p.ENIs[slices.IndexFunc(p.ENIs, func(e traffic.ENI) bool { return e.ID == "web" })]
	got := map[string]traffic.Use{}
	for _, u := range web.Limits {
		u.FullIn = nil
		got[u.Name] = u
	}
	delete(got, "single_flow")
	want := map[string]traffic.Use{
		"conntrack_allowance": {Name: "conntrack_allowance", Used: 50, Limit: 50, Share: 1, Exceeded: 10 / p.Seconds},
		"fragments":           {Name: "fragments", Unit: "/s", Used: 7 / p.Seconds, Limit: 1000, Share: 0.007 / p.Seconds},
		"linklocal_allowance": {Name: "linklocal_allowance", Unit: "/s", Limit: 1024},
		"rx_ring":             {Name: "rx_ring", Limit: 256},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("web's limits (-want +got):\n%s", diff)
	}
	if web.Limits[0].Name != "conntrack_allowance" {
		t.Errorf("the limit that web hits first is %+v", web.Limits[0])
	}
	refused := 0
	for _, w := range p.Whales {
		if w.Kind == "refused flow" {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d refused flows are whales, want 10", refused)
	}
}
