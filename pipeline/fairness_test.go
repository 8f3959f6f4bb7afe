package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
)

// A flood of new flows from one ENI fills its share of the waiting queue, not
// the queue: first packets and questions of another still get through.
func TestFloodOfOneENILeavesRoomForOthers(t *testing.T) {
	b := newBed(t, bedOptions{slots: 16384, config: func(c *Config) { c.SlowPathBudget, c.SlowPathQueue = 1, 64 }})
	w := b.engine.workers[0]
	port := uint16(1)
	for round := range 400 {
		for range 32 {
			port++
			b.inject("web", b.udp("web", "app", port, 80))
		}
		if round == 200 {
			b.inject("web2", b.tcp("web2", "app", 40000, 80, conntrack.SYN),
				packet.Build(packet.Ether{Dst: packet.Broadcast, Src: b.record("web2").MAC},
					packet.ARP{SenderMAC: b.record("web2").MAC, Sender: packet.MustIP("10.0.1.11"), Target: packet.MustIP("10.0.1.1")}))
		}
		w.Round()
		b.received("app")
	}
	b.settle()
	if n := b.engine.ENI(b.eni("web2")).Drops; n != 0 {
		t.Errorf("%d packets of web2 were dropped in web's flood", n)
	}
	if got := b.received("web2"); len(got) != 1 {
		t.Errorf("web2's question for the router got %d answers", len(got))
	}
	if s := b.stats(); s.Drops[drop.SlowPathQueueFull] == 0 {
		t.Error("the flood did not fill anything")
	}
}

// Nor do many ENIs that flood together fill the queue: whoever has nothing in it
// finds room.
func TestFloodOfManyENIsLeavesRoom(t *testing.T) {
	const size, enis = 256, 60
	q := newWaitQueue(size, enis+1)
	for port := range uint64(10_000) {
		if eni := uint16(port % enis); !q.full(eni) {
			q.push(port<<16, eni).meta = Meta{Hash: port << 16, ENI: eni}
		}
		if q.full(enis) {
			t.Fatalf("with %d of %d packets waiting, one who has none finds no room", q.n, size)
		}
	}
	if q.n < size/2 {
		t.Errorf("%d ENIs together have %d of %d places only", enis, q.n, size)
	}
}

// An lcore that only sends what others hand it has work: it must not pause.
func TestSendingForOthersIsWork(t *testing.T) {
	b := newBed(t, bedOptions{lcores: 2})
	dest := b.engine.workers[0].eniQueue[b.eni("app")]
	server := b.engine.workers[b.engine.workers[0].out[dest].owner]
	other := b.engine.workers[1-server.id]
	rounds := 0
	for i := range uint16(200) {
		b.inject("web", b.udp("web", "app", i*331, 80)) // of all bits, so that no key takes all flows to one lcore
		server.Round()                                  // it receives for web, and hands over what the other owns
		other.Round()
		if waits := other.sendOut[server.id].Len(); waits > 0 {
			rounds++
			if server.Round() == 0 {
				t.Fatalf("a round that sent %d packets of another lcore counts as idle", waits)
			}
		}
		b.received("app")
		b.settle()
	}
	if rounds == 0 {
		t.Fatal("no packet crossed from lcore to lcore")
	}
}

// A refusal that concerns the sender alone is accelerated on the link too.
func TestRefusalOnTheLinkIsCached(t *testing.T) {
	b := newBed(t, bedOptions{})
	spoofed := packet.Build(packet.Ether{Dst: b.record("web2").MAC, Src: b.record("web").MAC},
		packet.IPv4{Src: packet.MustIP("10.0.1.77"), Dst: packet.MustIP("10.0.1.11")}, packet.UDP{SrcPort: 1, DstPort: 80})
	for range 5 {
		b.inject("web", spoofed)
		b.settle()
	}
	s := b.stats()
	b.wantDrops(s, map[drop.Reason]uint64{drop.SourceIPSpoofed: 5})
	if s.SlowPath != 1 || s.FlowHits != 4 {
		t.Errorf("slow path %d, hits %d; want 1 and 4", s.SlowPath, s.FlowHits)
	}
}

// The MTU holds for all that is sent, also for what stands behind the IP packet.
func TestTrailingBytesCountForTheMTU(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.inject("web", packet.Pad(b.udp("web", "app", 1, 80), ethHeader+1500), packet.Pad(b.udp("web", "app", 1, 80), ethHeader+1501))
	s := b.settle()
	b.wantDrops(s, map[drop.Reason]uint64{drop.MTUExceeded: 1})
}

// A connection that is picked up is held for days only once its other side was
// seen: packets of one side alone cannot fill the table.
func TestPickedUpNeedsAnAnswer(t *testing.T) {
	for _, flags := range []uint8{conntrack.ACK, conntrack.SYN | conntrack.ACK} {
		b := newBed(t, bedOptions{})
		b.inject("web", b.tcp("web", "app", 40000, 80, flags), b.tcp("web", "app", 40000, 80, flags), b.tcp("web", "app", 40000, 80, conntrack.ACK))
		b.settle()
		if s := b.onlySession(); s.Timeout() != conntrack.DefaultTimeouts[conntrack.SynReceived] {
			t.Errorf("flags %#x: %v for %v without an answer", flags, s.State(), time.Duration(s.Timeout()))
		}
		b.inject("app", b.tcp("app", "web", 80, 40000, conntrack.ACK))
		b.inject("web", b.tcp("web", "app", 40000, 80, conntrack.ACK))
		b.settle()
		if s := b.onlySession(); s.State() != conntrack.Established || s.Timeout() != conntrack.DefaultTimeouts[conntrack.Established] {
			t.Errorf("flags %#x: %v for %v after an answer", flags, s.State(), time.Duration(s.Timeout()))
		}
	}
}

// Flows that all begin at once, more than the slow path has time for, fill the
// waiting queue; once they are known it empties, though their packets go on
// coming as fast as before.
func TestWaitingQueueEmptiesUnderLoad(t *testing.T) {
	b := newBed(t, bedOptions{slots: 16384, config: func(c *Config) { c.Burst, c.SlowPathBudget = 32, 4 }})
	w, n, filled := b.engine.workers[0], 0, false
	round := func() {
		for range 32 {
			b.inject("web", b.udp("web", "app", uint16(n%500), 80))
			n++
		}
		w.Round()
		b.received("app")
		filled = filled || w.waiting.n > 100
	}
	for range 1000 {
		round()
	}
	if !filled {
		t.Fatal("the flows did not fill the queue")
	}
	before := b.stats()
	for range 200 {
		round()
	}
	s := b.stats()
	if w.waiting.n != 0 || s.Dropped() != before.Dropped() || s.Waited != before.Waited {
		t.Errorf("%d packets wait, %d more have waited and %d more were dropped, with every flow known",
			w.waiting.n, s.Waited-before.Waited, s.Dropped()-before.Dropped())
	}
}
