package control

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// What waits for its pace is to be seen in the list of queues and in explain, and
// who has no pace says nothing of it.
func TestPacedQueue(t *testing.T) {
	o := objects()
	for i := range o.ENIs {
		if o.ENIs[i].ID == "app" {
			o.ENIs[i].Pacing = policy.Pacing{FlowRate: 64_000, Packets: 64, FlowPackets: 3, Delay: time.Second}
		}
	}
	b := newBedOf(t, o)
	syn := b.tcp("web", 1000, 80, packet.TCPSyn)
	for range 100 { // 56 of them are a burst: two frames of the MTU
		b.carry("web", syn, syn)
	}
	var got []ENIQueues
	b.get("/v1/queues?eni=app", &got)
	if p := got[0].Rx[0].Pace; p == nil || p.FlowRate != 64_000 || p.Rate != 0 || p.Flows != 1 || p.Waiting != 2 || p.High < 3 ||
		p.Left != got[0].Rx[0].Packets || p.FlowFull != got[0].RxDrops || p.Left+p.Waiting+p.FlowFull != 200 || p.Late+p.Full != 0 {
		t.Errorf("of the queue %+v its pace is %+v", got[0].Rx[0], p)
	}
	if x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80}); x.Pace != "any rate in all and 64kbps of a flow; 2 packets of 1 flows wait" {
		t.Errorf("its pace is %q", x.Pace)
	}
	got = nil
	if b.get("/v1/queues?eni=web", &got); got[0].Rx[0].Pace != nil {
		t.Errorf("a queue without a pace has %+v", got[0].Rx[0].Pace)
	}
}
