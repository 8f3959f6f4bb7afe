package pipeline

import (
	"testing"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

// A connection: its first packet each way takes the slow path, the rest are
// accelerated; the return traffic needs no rule.
func TestConnectionIsAccelerated(t *testing.T) {
	b := newBed(t, bedOptions{})
	for _, p := range []sent{{"web", conntrack.SYN}, {"app", conntrack.SYN | conntrack.ACK}} {
		b.inject(p.from, b.said(p))
		b.settle()
	}
	for range 10 {
		b.inject("web", b.said(sent{"web", conntrack.ACK | conntrack.PSH}))
		b.settle()
		b.inject("app", b.said(sent{"app", conntrack.ACK | conntrack.PSH}))
		b.settle()
	}
	s := b.settle()
	b.wantDrops(s, nil)
	if s.SlowPath != 2 || s.FlowHits != 20 || s.SessionsLive != 1 {
		t.Errorf("slow path %d, hits %d, sessions %d; want 2, 20, 1", s.SlowPath, s.FlowHits, s.SessionsLive)
	}
	got := b.received("app")
	if len(got) != 11 || len(b.received("web")) != 11 {
		t.Fatalf("app received %d frames, want 11", len(got))
	}
	for _, f := range got {
		check.IPv4(t, f, check.EtherDst(b.record("app").MAC), check.EtherSrc(b.record("app").RouterMAC), check.TTL(63), check.TCP(check.DstPort(80)))
	}
}

func TestRefusals(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.inject("web", b.tcp("web", "app", 40000, 8080, conntrack.SYN), b.tcp("web", "app", 40000, 8080, conntrack.SYN))
	b.inject("app", b.udp("app", "web", 80, 40000))
	spoofed := b.udp("web", "app", 1, 80)
	spoofed[6] ^= 4
	b.inject("web", spoofed, b.frame("web", packet.IPv4{Src: packet.MustIP("10.0.1.11"), Dst: packet.MustIP("10.0.2.10")}, packet.UDP{SrcPort: 1, DstPort: 80}))
	s := b.settle()
	b.wantDrops(s, map[drop.Reason]uint64{
		drop.SecurityGroupIn: 2, drop.SecurityGroupOut: 1, drop.SourceMACSpoofed: 1, drop.SourceIPSpoofed: 1,
	})
	if s.SlowPath != 3 || s.FlowHits != 1 {
		t.Errorf("slow path %d, hits %d; want 3 and 1: a refusal is accelerated too", s.SlowPath, s.FlowHits)
	}
}
