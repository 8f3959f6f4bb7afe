package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/pipeline/microburst"
)

// burstBed is a bed whose receive queues are measured.
func burstBed(t tb, lcores, depth int, port func(eni string) simport.PortConfig) *bed {
	o := openObjects()
	o.ENIs[2].Queues = 1
	return newBed(t, bedOptions{lcores: lcores, objects: o, depth: depth, port: port, config: func(c *Config) {
		c.Bursts = microburst.DefaultConfig
	}})
}

// on sends size bytes of each of these source ports in turn for a time: one
// packet in a round each microsecond. It returns how many it sent.
func (b *bed) on(d time.Duration, size int, flows ...uint16) (packets int) {
	for end := b.clock.ns + int64(d); b.clock.ns < end; b.clock.advance(time.Microsecond) {
		udp := packet.UDP{SrcPort: flows[packets%len(flows)], DstPort: 80}
		b.inject("web", b.frame("web", b.ip("web", "app"), udp, packet.Fill(size-42)))
		packets++
		b.rounds()
	}
	return packets
}

// off lets time pass in rounds without packets.
func (b *bed) off(d time.Duration) {
	for end := b.clock.ns + int64(d); b.clock.ns < end; b.clock.advance(5 * time.Microsecond) {
		b.rounds()
	}
}

// rounds runs every lcore, those twice that have something from another one.
func (b *bed) rounds() {
	for range b.engine.workers {
		for _, w := range b.engine.workers {
			w.Round()
		}
	}
	for i, p := range b.ports {
		for q := range int(b.snap.ENIs[i].Queues) {
			p.Drain(q, func([]byte) {})
		}
	}
}

func (b *bed) bursts() (all []microburst.Event) {
	b.engine.Publish()
	b.engine.Bursts(func(_ int, e *microburst.Event) bool {
		all = append([]microburst.Event{*e}, all...)
		return true
	})
	return all
}

// A known pattern through the whole pipeline: bursts of one ENI's queue, with
// their flows, and nothing of the others.
func TestBurstsOfQueue(t *testing.T) {
	for _, lcores := range []int{1, 2} {
		b := burstBed(t, lcores, 1024, nil)
		b.on(100*time.Microsecond, 100, 1, 2, 3, 4) // known from now on
		b.off(time.Millisecond)
		type pattern struct {
			start, length int64
			packets       int
		}
		var want []pattern
		for i := range 4 {
			start := b.clock.ns
			d := time.Duration(60+35*i) * time.Microsecond
			// Flow 1 has ten of twelve packets.
			n := b.on(d, 1400, 1, 1, 1, 2, 1, 1, 1, 1, 1, 3, 1, 1)
			want = append(want, pattern{start, int64(d), n})
			b.off(time.Duration(30+13*i) * time.Microsecond)
		}
		b.off(100 * time.Microsecond)
		got := b.bursts()
		if len(got) != len(want) {
			t.Fatalf("%d lcores: %d events, want %d: %+v", lcores, len(got), len(want), got)
		}
		near := func(a, b int64) bool { return max(a-b, b-a) < microburst.Window }
		for i, w := range want {
			e := &got[i]
			if e.ENI != b.eni("app") || !near(e.Start, w.start) || !near(e.Length, w.length) || int(e.Packets) != w.packets || int(e.Bytes) != w.packets*1400 {
				t.Errorf("%d lcores: burst %d, %+v, is told as %+v", lcores, i, w, e)
			}
			if e.PeakRate != 11_200_000_000 || e.Second > 500_000_000 || e.Drops != 0 {
				t.Errorf("%d lcores: burst %d has at most %d bits per second, in the second %d; %d drops", lcores, i, e.PeakRate, e.Second, e.Drops)
			}
			largest := &e.Flows[0]
			if largest.Key.SrcPort() != 1 || largest.Key.ENI() != b.eni("web") || largest.Bytes > e.Bytes {
				t.Errorf("%d lcores: the largest flow of burst %d of %d bytes is told as %+v", lcores, i, e.Bytes, largest)
			}
		}
		total := uint64(0)
		b.engine.EachQueue(func(_ int, s *microburst.Stats) bool {
			total += s.Packets
			if s.ENI != b.eni("app") && (s.Packets != 0 || s.Bursts != 0) {
				t.Errorf("%d lcores: a queue without packets has seen %+v", lcores, s)
			}
			return true
		})
		if s := b.stats(); total != s.Tx {
			t.Errorf("%d lcores: the queues have seen %d packets, %d were sent", lcores, total, s.Tx)
		}
	}
}

// A guest that takes nothing: the ring fills, and the event tells what was
// dropped, as the counters do.
func TestBurstWithDrops(t *testing.T) {
	b := burstBed(t, 1, 256, func(eni string) simport.PortConfig {
		return simport.PortConfig{TxDepth: 2}
	})
	start := b.clock.ns
	sent := 0
	for range 40 { // rounds of 10 packets, in 40 us
		for range 10 {
			b.inject("web", b.udp("web", "app", 7, 80))
			sent++
		}
		b.engine.workers[0].Round()
		b.clock.advance(time.Microsecond)
	}
	end := b.clock.ns
	s := b.stats()
	for range 200 { // the guest comes back
		b.clock.advance(5 * time.Microsecond)
		b.rounds()
	}
	got := b.bursts()
	drops := s.Drops[drop.TxQueueFull]
	if len(got) != 1 || drops == 0 || got[0].Drops != drops || got[0].Packets != uint64(sent)-drops || got[0].Depth != 256 || got[0].Ring != 256 {
		t.Fatalf("of %d packets from %d to %d, %d were dropped, and that is told as %+v", sent, start, end, drops, got)
	}
	if f := got[0].Flows[0]; f.Key.SrcPort() != 7 {
		t.Errorf("the flow is told as %+v", f)
	}
}

// Where nothing is measured, nothing is told.
func TestBurstsOff(t *testing.T) {
	b := newBed(t, bedOptions{objects: openObjects()})
	b.on(200*time.Microsecond, 1400, 1)
	if got := b.bursts(); len(got) != 0 {
		t.Errorf("the events are %+v", got)
	}
	b.engine.EachQueue(func(_ int, s *microburst.Stats) bool {
		t.Errorf("a queue has seen %+v", s)
		return true
	})
}

func TestBurstsRefused(t *testing.T) {
	b := newBed(t, bedOptions{})
	cfg := b.engine.cfg
	cfg.Bursts = microburst.Config{On: true}
	if _, err := New(cfg, b.snap, nil, nil); err == nil {
		t.Error("an engine is made with thresholds of nothing")
	}
}
