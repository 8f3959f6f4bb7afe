package control

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/packet"
)

// Bursts of a known pattern, by the API: of which queue, when, and how much.
func TestBursts(t *testing.T) {
	b := newBed(t)
	w := b.engine.Worker(0)
	frame := packet.Build(packet.Ether{Dst: b.snap.ENIs[b.eni("web")].RouterMAC, Src: b.snap.ENIs[b.eni("web")].MAC},
		packet.IPv4{Src: b.snap.ENI(b.eni("web")).Primary4, Dst: b.snap.ENI(b.eni("app")).Primary4},
		packet.TCP{SrcPort: 5, DstPort: 80, Flags: conntrack.SYN}, packet.Fill(1400))
	for range 2 {
		for range 90 {
			b.ports[b.eni("web")].Inject(0, frame)
			w.Round()
			b.ports[b.eni("app")].Drain(0, func([]byte) {})
			b.clock.Add(int64(time.Microsecond))
		}
		for range 100 {
			w.Round()
			b.clock.Add(int64(10 * time.Microsecond))
		}
	}
	b.engine.Publish()
	var got Bursts
	b.get("/v1/bursts?eni=app", &got)
	now := time.Now().UnixNano()
	if len(got.Queues) != 1 || len(got.Events) != 2 {
		t.Fatalf("%d queues, %d events: %+v", len(got.Queues), len(got.Events), got)
	}
	q, young, old := got.Queues[0], got.Events[0], got.Events[1]
	bytes := uint64(90 * len(frame))
	if q.ENI != "app" || q.Packets != 180 || q.Bytes != 2*bytes || q.Bursts != 2 || q.Ring != 256 || len(q.Windows) != 3 || q.Windows[1].PeakBytes != bytes {
		t.Errorf("the queue is told as %+v", q)
	}
	if young.ENI != "app" || young.Bytes != bytes || young.Packets != 90 || young.LengthNS != 89_000 || young.TimeNS-old.TimeNS != 1_090_000 || young.TimeNS > now {
		t.Errorf("the bursts are told as %+v and %+v", young, old)
	}
	want := Tuple{"tcp", "10.0.1.10", "10.0.2.20", 5, 80}
	if len(young.Flows) != 1 || young.Flows[0].Tuple != want || young.Flows[0].ENI != "web" || young.Flows[0].Bytes != bytes {
		t.Errorf("the flows are told as %+v", young.Flows)
	}
	sum := uint64(0)
	for _, n := range young.Shape {
		sum += uint64(n)
	}
	if sum != bytes || young.Shape[len(young.Shape)-1] == 0 {
		t.Errorf("the shape is %v", young.Shape)
	}
	b.get("/v1/bursts?limit=1", &got)
	if len(got.Queues) != 4 || len(got.Events) != 1 {
		t.Errorf("with a limit of 1 there are %d queues and %d events", len(got.Queues), len(got.Events))
	}
	b.refused("GET", "/v1/bursts?eni=nobody", "")
}
