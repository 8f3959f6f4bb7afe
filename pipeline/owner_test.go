package pipeline

import (
	"strings"
	"testing"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// genHostRules draws rules that take some of what frameMaker makes.
func genHostRules(t *rapid.T, lcores int) (rules []hash.SteerRule) {
	for location := range uint32(rapid.IntRange(0, 3).Draw(t, "host rules")) {
		r := hash.SteerRule{
			Location: location, Queue: uint16(rapid.IntRange(0, lcores-1).Draw(t, "to lcore")),
			Type: rapid.SampledFrom([]hash.FlowType{hash.FlowIPv4, hash.FlowIPv6, hash.FlowIPv4TCP, hash.FlowIPv4UDP, hash.FlowIPv6UDP}).Draw(t, "host type"),
		}
		if r.Type > hash.FlowIPv6 {
			r.DstPort, r.DstPortMask = 80, rapid.SampledFrom([]uint16{0, 0xffff, 16}).Draw(t, "host mask")
		} else {
			r.Src, r.SrcMask = hash.Addr{Lo: 10}, hash.Addr{Lo: uint64(rapid.SampledFrom([]int{0, 0xff, 1}).Draw(t, "host mask"))}
		}
		rules = append(rules, r)
	}
	return rules
}

// A rule of the host leads both directions of a flow to its lcore, with the
// fragments of its datagrams and the ICMP errors about it; the lowest location
// wins, and what no rule takes goes by the shares.
func TestHostSteering(t *testing.T) {
	rules := []hash.SteerRule{
		{Location: 1, Queue: 2, Type: hash.FlowIPv4UDP, DstPort: 80, DstPortMask: 0xffff},
		{Location: 2, Queue: 1, Type: hash.FlowIPv4UDP, DstPort: 80, DstPortMask: 0xffff, SrcPort: 1, SrcPortMask: 1},
	}
	b := newBed(t, bedOptions{lcores: 3, objects: openObjects(), config: func(c *Config) {
		c.Steering, c.Shares = rules, []uint32{1, 0, 0}
	}})
	send := func(from string, frames ...[]byte) {
		b.inject(from, frames...)
		b.wantDrops(b.settle(), nil)
	}
	for i := range uint16(50) {
		send("web", b.udp("web", "app", 1000+i, 80))
		send("app", b.udp("app", "web", 80, 1000+i))
	}
	whole := packet.Build(packet.Ether{Dst: b.record("web").RouterMAC, Src: b.record("web").MAC}, b.ip("web", "app"),
		packet.UDP{SrcPort: 1000, DstPort: 80}, packet.Fill(3000))
	pieces := packet.Fragment(whole, 1400, 7)
	send("web", pieces...)
	quoted := b.udp("app", "web", 80, 1000)[14:]
	send("web", b.frame("web", b.ip("web", "app"), packet.ICMP{Type: 3, Code: 3}, packet.Payload(quoted[:28])))
	worked := func(i int) uint64 { l := b.engine.Lcore(i); return l.FlowHits + l.SlowPath }
	if worked(0) != 0 || worked(1) != 0 || worked(2) == 0 {
		t.Errorf("the lcores worked %d, %d and %d packets; all were for lcore 2", worked(0), worked(1), worked(2))
	}
	before := worked(2)
	send("web", b.udp("web", "app", 1000, 81), b.tcp("web", "app", 1000, 80, conntrack.SYN))
	if worked(0) != 2 || worked(2) != before {
		t.Errorf("the lcores worked %d and %d more packets that no rule takes; want 2 and 0", worked(0), worked(2)-before)
	}
	if x := b.engine.Explain(b.eni("app"), b.udp("app", "web", 80, 1001)); x.Lcore != 2 || x.HostRule != 1 {
		t.Errorf("explain says lcore %d by rule %d, want 2 by 1", x.Lcore, x.HostRule)
	}
	if x := b.engine.Explain(b.eni("app"), b.udp("app", "web", 81, 1001)); x.Lcore != 0 || x.HostRule != noRule {
		t.Errorf("explain says lcore %d by rule %d, want 0 by none", x.Lcore, x.HostRule)
	}
}

// An lcore that rules lead to has tables for flows, also without a share.
func TestSteeredLcoreHasTables(t *testing.T) {
	b := newBed(t, bedOptions{lcores: 2, objects: openObjects(), config: func(c *Config) {
		c.Steering, c.Shares = []hash.SteerRule{{Queue: 1, Type: hash.FlowIPv4}}, []uint32{1, 0}
	}})
	for i := range uint16(500) {
		b.inject("web", b.udp("web", "app", 1000+i, 80))
		b.wantDrops(b.settle(), nil)
	}
	if n := len(b.received("app")); n != 500 {
		t.Errorf("%d of 500 flows passed", n)
	}
}

func TestHostSteeringThatIsNone(t *testing.T) {
	snap, err := policy.Compile(defaultObjects(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := simport.NewPool(1, simport.DefaultSlotSize)
	defer pool.Close()
	for _, tt := range []struct {
		rules []hash.SteerRule
		want  string
	}{
		{[]hash.SteerRule{{Location: 7, Queue: 1, Type: hash.FlowIPv4}}, "location 7: it leads to lcore 1"},
		{[]hash.SteerRule{{Location: 7, Type: hash.FlowIPv4}, {Location: 7, Type: hash.FlowIPv6}}, "location 7: hash: the steering index is in use"},
		{[]hash.SteerRule{{Location: 8, Type: hash.FlowIPv4, TrafficMask: 1}}, "location 8: hash: the steering rule matches on what is not supported"},
	} {
		cfg := Config{Burst: 1, SlowPathBudget: 1, SlowPathQueue: 1, Clock: &manualClock{}, Fragments: DefaultFragments, Steering: tt.rules}
		if _, err := New(cfg, snap, []Port{{Queues: 1, Depth: 2}}, []pktio.IO{simport.NewIO(pool, nil)}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New said %v, want %q", err, tt.want)
		}
	}
}
