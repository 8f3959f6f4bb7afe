package pipeline

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/simport"
)

// What is counted by queue is what the guests gave to each queue and found in
// each; what is missing was counted as an overrun of the queue where it
// happened, or waits there.
func TestQueueCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const depth, inPort = 4, 8
		o := openObjects()
		for i := range o.ENIs {
			o.ENIs[i].Queues = rapid.IntRange(1, 4).Draw(t, "queues")
		}
		b := newBed(t, bedOptions{
			objects: o, depth: depth, lcores: rapid.IntRange(1, 3).Draw(t, "lcores"),
			port: func(string) simport.PortConfig { return simport.PortConfig{TxDepth: inPort} },
		})
		web, app := b.eni("web"), b.eni("app")
		sent := make([]SendCounts, b.record("web").Queues)
		got := make([]SendCounts, b.record("app").Queues)
		take := func(q int) {
			b.ports[app].Drain(q, func(f []byte) {
				got[q].Packets++
				got[q].Bytes += uint64(len(f))
			})
		}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			for range rapid.IntRange(0, 30).Draw(t, "packets") {
				f := b.udp("web", "app", uint16(rapid.IntRange(1, 20).Draw(t, "port")), 80)
				if rapid.IntRange(0, 9).Draw(t, "spoofed") == 0 {
					f = b.frame("web", b.ip("web2", "app"))
				}
				q := rapid.IntRange(0, len(sent)-1).Draw(t, "queue")
				b.ports[web].Inject(q, f)
				sent[q].Packets++
				sent[q].Bytes += uint64(len(f))
			}
			b.settle()
			for q := range got {
				if rapid.Bool().Draw(t, "takes") {
					take(q)
				}
			}
		}
		for range 100 { // for what still waits
			s := b.settle()
			if s.Held() == 0 {
				break
			}
			for q := range got {
				take(q)
			}
		}
		s := b.settle()
		for q := range got {
			take(q)
		}

		_, send := b.engine.Rings(web)
		for q, want := range sent {
			if send[q].SendCounts != want || send[q].Lcore != q%b.engine.Lcores() {
				t.Fatalf("queue %d of web counts %+v, was given %+v", q, send[q], want)
			}
		}
		receive, _ := b.engine.Rings(app)
		overruns := uint64(0)
		for q, want := range got {
			r := receive[q]
			if (SendCounts{r.Packets, r.Bytes}) != want || r.Waiting != 0 || r.Depth != depth {
				t.Fatalf("queue %d of app counts %+v, gave %+v", q, r, want)
			}
			if r.HighWater > depth || r.Overruns > 0 && r.HighWater != depth || r.Packets > 0 && r.HighWater == 0 {
				t.Fatalf("queue %d of app: %+v", q, r)
			}
			overruns += r.Overruns
		}
		c := b.engine.ENI(app)
		if overruns != s.Drops[drop.TxQueueFull] || c.RxOverruns != overruns || c.Drops != c.RxOverruns+c.RxDrops+c.TxDrops {
			t.Fatalf("%d overruns by queue, %d dropped; app %+v", overruns, s.Drops[drop.TxQueueFull], c)
		}
		if c := b.engine.ENI(web); c.TxDrops != s.Drops[drop.SourceIPSpoofed] || c.Drops != c.TxDrops || c.TxPackets != s.Rx {
			t.Fatalf("web %+v, of all %+v", c, s)
		}
	})
}

// A queue that its guest does not empty shows what waits, and says so no more once
// it is empty.
func TestQueueWaiting(t *testing.T) {
	b := newBed(t, bedOptions{depth: 4, port: func(string) simport.PortConfig { return simport.PortConfig{TxDepth: 2} }})
	for range 9 {
		b.inject("web", b.udp("web", "app", 1, 80))
	}
	b.engine.workers[0].Round()
	b.engine.Publish()
	app := b.eni("app")
	receive, _ := b.engine.Rings(app)
	// The ring has room for 4 of the burst's 9, of which the port takes 2.
	if r := receive[0]; len(receive) != 1 || r.Waiting != 2 || r.HighWater != 4 || r.Overruns != 5 || r.Packets != 2 {
		t.Errorf("with a guest that takes nothing: %+v", receive)
	}
	for range 3 {
		b.received("app")
		b.settle()
	}
	if receive, _ = b.engine.Rings(app); receive[0].Waiting != 0 || receive[0].Packets != 4 || receive[0].Overruns != 5 {
		t.Errorf("with one that took all: %+v", receive)
	}
}

// Rings of an ENI that has no port are none.
func TestRingsOfNobody(t *testing.T) {
	b := newBed(t, bedOptions{})
	if receive, send := b.engine.Rings(noENI); receive != nil || send != nil {
		t.Errorf("%v, %v", receive, send)
	}
}
