package pipeline

import (
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/rings"
)

// What the queues of an ENI have sent is what the ENI has received, also where
// several lcores serve them, and overruns are counted at the queue that was full.
func TestQueuesCount(t *testing.T) {
	o := openObjects()
	o.ENIs[2].Queues = 4
	b := newBed(t, bedOptions{objects: o, lcores: 2})
	for i := range 64 {
		b.inject("web", b.udp("web", "app", 1000+uint16(i), 80))
	}
	b.settle()
	eni := b.eni("app")
	queues := b.engine.Queues(eni)
	if len(queues) != 4 {
		t.Fatalf("%d queues, want 4", len(queues))
	}
	var packets, bytes uint64
	lcores := map[int]bool{}
	for i, q := range queues {
		if q.Packets == 0 || q.HighWater == 0 || q.Waiting != 0 || q.Overruns != 0 || int(q.Device) != i {
			t.Errorf("queue %d: %+v", i, q)
		}
		packets, bytes, lcores[q.Lcore] = packets+q.Packets, bytes+q.Bytes, true
	}
	if c := b.engine.ENI(eni); packets != 64 || packets != c.RxPackets || bytes != c.RxBytes || len(lcores) != 2 {
		t.Errorf("the queues, served by %d lcores, sent %d packets of %d bytes, the ENI received %d of %d", len(lcores), packets, bytes, c.RxPackets, c.RxBytes)
	}
	if b.engine.Queues(eni+1000) != nil {
		t.Error("an ENI that is none has queues")
	}

	b = newBed(t, bedOptions{depth: 2})
	for range 5 {
		b.inject("web", b.udp("web", "app", 1, 80))
	}
	b.settle()
	s := b.stats()
	want := rings.QueueCounts{Packets: s.Tx, Bytes: b.engine.ENI(b.eni("app")).RxBytes, Overruns: s.Drops[drop.TxQueueFull], Depth: 2, HighWater: 2}
	var sum rings.QueueCounts
	for _, q := range b.engine.Queues(b.eni("app")) {
		sum.Packets, sum.Bytes, sum.Overruns = sum.Packets+q.Packets, sum.Bytes+q.Bytes, sum.Overruns+q.Overruns
		sum.Depth, sum.HighWater = q.Depth, max(sum.HighWater, q.HighWater)
	}
	if sum != want || want.Overruns == 0 {
		t.Errorf("the queues counted %+v, want %+v", sum, want)
	}
}
