package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline/profile"
)

// heavy ends the window that is under way and returns what was seen of each flow
// that web began from a UDP port.
func (b *bed) heavy() map[uint16]profile.Flow {
	b.t.Helper()
	b.clock.advance(profile.WindowLength)
	b.engine.Worker(0).Round()
	var w profile.Window
	if !b.engine.Heavy(0, &w) {
		b.t.Fatal("no window is published")
	}
	flows := map[uint16]profile.Flow{}
	for i := range w.Flows[:w.N] {
		flows[w.Flows[i].Key.SrcPort()] = w.Flows[i]
	}
	return flows
}

// A packet that waits is looked at when it is decided, and not before. With a budget
// of one, each comes to a burst of its own out of the waiting queue, and bursts of one
// packet are always looked at.
func TestProfileOfWhatWaited(t *testing.T) {
	const packets = 20
	b := newBed(t, bedOptions{config: func(c *Config) { c.SlowPathBudget = 1 }})
	b.engine.Worker(0).Round()
	for i := range uint16(packets) {
		b.inject("web", b.udp("web", "app", 1000+i, 80))
	}
	s := b.settle()
	if s.Waited != packets-1 {
		t.Fatalf("%d packets waited, want %d", s.Waited, packets-1)
	}
	flows := b.heavy()
	length := uint64(len(b.udp("web", "app", 1000, 80)))
	for i := range uint16(packets) {
		f, seen := flows[1000+i]
		if i == 0 { // it was one of the first burst, of which one packet is looked at or none
			continue
		}
		if !seen || f.Packets != 1 || f.Bytes != length || f.Dropped || f.Egress != b.eni("app") {
			t.Errorf("flow %d is seen %v as %+v, want one packet of %d bytes to app", i, seen, f, length)
		}
	}
}

// Who does not want to know pays nothing, and is told nothing.
func TestProfileOff(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.NoHeavyFlows = true }})
	b.inject("web", b.udp("web", "app", 1, 80))
	b.settle()
	b.clock.advance(2 * profile.WindowLength)
	b.engine.Worker(0).Round()
	var w profile.Window
	if b.engine.HeavyFlows() || b.engine.Heavy(0, &w) {
		t.Errorf("heavy flows are looked for: %+v", w.Totals)
	}
}

// What is dropped is seen as that, and nitrod's own business not at all.
func TestProfileOfDrops(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.engine.Worker(0).Round()
	b.inject("web", b.udp("web", "app", 1, 80))
	b.settle()
	b.inject("web", b.udp("web", "app", 2, 81))
	b.settle()
	b.inject("web", b.arp("web", packet.ARP{Sender: packet.MustIP("10.0.1.10"), Target: packet.MustIP("10.0.1.1")}))
	b.settle()
	flows := b.heavy()
	if len(flows) != 2 || flows[1].Dropped || !flows[2].Dropped {
		t.Errorf("%+v", flows)
	}
}

// Time counts as busy from the beginning of a round with work to the next round.
func TestBusy(t *testing.T) {
	b := newBed(t, bedOptions{})
	w := b.engine.Worker(0)
	w.Round()
	b.clock.advance(time.Hour)
	w.Round()
	b.inject("web", b.udp("web", "app", 1, 80))
	w.Round()
	b.clock.advance(3 * time.Microsecond)
	w.Round()
	b.clock.advance(time.Hour)
	w.Round()
	if s := b.stats(); s.BusyNS != 3000 {
		t.Errorf("busy for %d ns, want 3000", s.BusyNS)
	}
}

// Both ends of a tracked connection count it, once.
func TestConnectionsByENI(t *testing.T) {
	b := newBed(t, bedOptions{})
	for range 3 {
		b.inject("web", b.udp("web", "app", 1, 80), b.udp("web", "app", 2, 80))
		b.inject("app", b.udp("app", "web", 80, 1))
		b.settle()
	}
	web, app := b.engine.ENI(b.eni("web")), b.engine.ENI(b.eni("app"))
	if web.Opened != 2 || web.Accepted != 0 || app.Opened != 0 || app.Accepted != 2 {
		t.Errorf("web opened %d and accepted %d, app %d and %d", web.Opened, web.Accepted, app.Opened, app.Accepted)
	}
}
