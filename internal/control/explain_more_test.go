package control

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// explained asks about a packet from web to app.
func (b *bed) explained(req ExplainRequest) *Explanation {
	b.t.Helper()
	req.VPC, req.Src, req.Dst = "main", "10.0.1.10", "10.0.2.20"
	x, err := Explain(b.engine, &req)
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

func TestExplainLimitsAndQueue(t *testing.T) {
	b := newBed(t) // web's instance may have 50 tracked connections
	x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80})
	want := []Limit{
		{Name: "mtu_exceeded", Of: "app", Left: 1460, Text: "The packet has 40 bytes of the MTU of 1500."},
		{Name: "conntrack_allowance_exceeded", Of: "web", Left: 50, Text: "ENI web may begin 50 more tracked connections."},
	}
	if diff := cmp.Diff(want, x.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if x.Tracked == nil || *x.Tracked != [2]bool{true, true} {
		t.Errorf("tracked at %v", x.Tracked)
	}
	if !regexp.MustCompile(`^Toeplitz of addresses and ports is 0x[0-9a-f]{8}, entry [0-9]+ of 128 in the indirection table$`).MatchString(x.QueueWhy) {
		t.Errorf("the queue is chosen by %q", x.QueueWhy)
	}
	for port := range uint16(50) {
		b.carry("web", b.tcp("web", 2000+port, 80, packet.TCPSyn))
	}
	x = b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80})
	if x.Reason != "conntrack_allowance_exceeded" || len(x.Limits) != 2 || !x.Limits[1].Bites || x.Limits[1].Left != 0 {
		t.Errorf("with the allowance used up: %s, %+v", x.Reason, x.Limits)
	}
	x = b.explained(ExplainRequest{SrcPort: 2000, DstPort: 80, TCPFlags: "S"})
	if x.Verdict != "forward" || x.LeftNS <= 0 || x.Limits[1].Bites {
		t.Errorf("of a connection that there is: %+v", x)
	}
}

// What explain says of the answer is what it says, and what happens, when that
// comes.
func TestExplainBoth(t *testing.T) {
	b := newBed(t)
	x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80, Both: true})
	r := x.Reply
	if r == nil || r.ENI != "app" || r.Egress != "web" || r.Verdict != "forward" || len(r.Steps) == 0 {
		t.Fatalf("the answer: %+v", r)
	}
	if last := r.Steps[len(r.Steps)-1]; last.Outcome != "skip" || last.Text != "A session admits the packet; the security groups of ENI web are not asked." {
		t.Errorf("the answer's last step: %+v", last)
	}
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn))
	back, err := Explain(b.engine, &ExplainRequest{Src: "10.0.2.20", Dst: "10.0.1.10", SrcPort: 80, DstPort: 1000, TCPFlags: "SA"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Steps, back.Steps[:len(r.Steps)]); diff != "" {
		t.Errorf("the answer's steps (-foretold +when it comes):\n%s", diff)
	}

	if x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 8080, Both: true}); x.Reply != nil {
		t.Errorf("what is dropped has an answer: %+v", x.Reply)
	}
	if x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80}); x.Reply != nil {
		t.Error("an answer that nobody asked for")
	}
	ping := b.explained(ExplainRequest{Protocol: "icmp", SrcPort: 7, Both: true})
	if ping.Reply == nil || ping.Reply.Verdict != "forward" {
		t.Errorf("a ping's answer: %+v", ping.Reply)
	}
}

// An answer may be refused where no session helps: by a network ACL.
func TestExplainBothRefused(t *testing.T) {
	cfg := newPlanBed(t).host.running
	o := cfg.Objects
	o.NetworkACLs[0].Outbound = nil
	b := newBedOf(t, &o)
	x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80, Both: true})
	if r := x.Reply; x.Verdict != "forward" || r == nil || r.Verdict != "drop" || r.Reason != "nacl_out" || r.Code != "SUBNET_ACL_RESTRICTION" ||
		r.Help != "Of network ACL back, the final rule denies tcp/1000 out of subnet back for 10.0.1.10." {
		t.Errorf("%+v", x.Reply)
	}
}

// A rate and a budget are said with what is left of them, where a packet may
// meet them.
func TestExplainRatesAndBudgets(t *testing.T) {
	o := objects()
	o.Services = []policy.ServicePort{{ID: "svc", VPC: "main", MAC: [6]byte{2, 0, 0, 0, 9, 2}, MTU: 1500, Queues: 1}}
	o.ENIs[0].LinkLocalRate, o.ENIs[0].ConntrackHalfOpen = 1024, 3
	b := newBedOf(t, o)
	limit := func(x *Explanation, name string) *Limit {
		for i := range x.Limits {
			if x.Limits[i].Name == name {
				return &x.Limits[i]
			}
		}
		return nil
	}
	const rate, budget = "linklocal_allowance_exceeded", "conntrack_half_open_exceeded"
	x, err := Explain(b.engine, &ExplainRequest{ENI: "web", Protocol: "udp", Src: "10.0.1.10", Dst: "169.254.169.253", SrcPort: 5000, DstPort: 53})
	if err != nil {
		t.Fatal(err)
	}
	want := &Limit{Name: rate, Of: "web", Left: 1024, Text: "ENI web may send 1024 packets a second to link-local services."}
	if diff := cmp.Diff(want, limit(x, rate)); diff != "" || x.Verdict != "forward" || x.Egress != "svc" {
		t.Errorf("%s to %s; the rate (-want +got):\n%s", x.Verdict, x.Egress, diff)
	}
	for begun := range 4 {
		x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80})
		left := max(0, 3-begun)
		want := &Limit{Name: budget, Of: "web", Left: int64(left), Bites: x.Reason == budget,
			Text: fmt.Sprintf("ENI web may have %d more half-open connections, of 3.", left)}
		if diff := cmp.Diff(want, limit(x, budget)); diff != "" || limit(x, rate) != nil {
			t.Errorf("with %d half open, the budget (-want +got):\n%s", begun, diff)
		}
		b.carry("web", b.tcp("web", 2000+uint16(begun), 80, packet.TCPSyn))
	}
}

// Of a later fragment explain says whether its first one was seen.
func TestExplainFragments(t *testing.T) {
	b := newBed(t)
	web := &b.snap.ENIs[b.eni("web")]
	frames := packet.Fragment(packet.Build(packet.Ether{Dst: web.RouterMAC, Src: web.MAC},
		packet.IPv4{Src: packet.MustIP("10.0.1.10"), Dst: packet.MustIP("10.0.2.20")}, packet.ICMP{Type: 8, ID: 7}, packet.Fill(1500)), 600, 1)
	explain := func(i int, verdict, datagram string) {
		t.Helper()
		x, err := Explain(b.engine, &ExplainRequest{ENI: "web", Frame: hex.EncodeToString(frames[i])})
		if err != nil {
			t.Fatal(err)
		}
		if x.Verdict != verdict || x.Datagram != datagram {
			t.Errorf("fragment %d: %s, %q", i, x.Verdict, x.Datagram)
		}
	}
	explain(0, "forward", "the first fragment, whose verdict all others get")
	explain(1, "hold", "a later fragment, whose first one was not seen: it would wait for that")
	b.carry("web", frames[1])
	explain(2, "hold", "a later fragment, whose first one was not seen: it would wait for that")
	b.carry("web", frames[0])
	explain(2, "forward", "a later fragment, whose first one was seen: it goes the same way")
	var s Stats
	if b.get("/v1/stats", &s); s.FragmentsWaited != 1 || s.Tx != 2 || s.Held != 0 {
		t.Errorf("%d fragments waited, %d went, %d are held", s.FragmentsWaited, s.Tx, s.Held)
	}
	if x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80}); x.Datagram != "" {
		t.Errorf("what is no fragment is %q", x.Datagram)
	}
}

// The buckets that speak for a packet are named, with what is left of each and
// what each does with the packet.
func TestExplainBuckets(t *testing.T) {
	o := objects()
	o.Instances[0].Flow.Default = policy.Limit{Rate: 5_000_000_000, Burst: 65536}
	o.Instances[0].Out = policy.Bandwidth{Limit: policy.Limit{Rate: 80_000, Burst: 2000, Delay: 5 * time.Millisecond}, Baseline: 64_000, Credits: 10_000}
	o.Instances[0].Packets = policy.Limit{Rate: 10, Burst: 2}
	b := newBedOf(t, o)
	buckets := func() []Limit {
		x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80})
		return slices.DeleteFunc(x.Limits, func(l Limit) bool { return l.Name == "mtu_exceeded" || strings.HasPrefix(l.Name, "conntrack") })
	}
	want := []Limit{
		{Name: "flow_bandwidth_exceeded", Of: "web", Left: 65536, Text: "A flow of ENI web may have 5gbps: 65536 of 65536 bytes are left; it lets the packet pass at once."},
		{Name: "bw_out_allowance_exceeded", Of: "web", Left: 2000, Text: "Instance web may send 80kbps: 2000 of 2000 bytes are left; it lets the packet pass at once."},
		{Name: "bw_out_allowance_exceeded", Of: "web", Left: 12000, Text: "Instance web may send 64kbps without credits: 12000 of 12000 bytes of credits are left; it lets the packet pass at once."},
		{Name: "pps_allowance_exceeded", Of: "web", Left: 2, Text: "Instance web may send and receive 10pps: 2 of 2 packets are left; it lets the packet pass at once."},
	}
	if diff := cmp.Diff(want, buckets()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	frame := packet.Pad(b.tcp("web", 2000, 80, packet.TCPSyn), 1000)
	b.carry("web", frame, frame) // and 2 ms, in which 20 bytes come
	got := buckets()
	if l := got[1]; l.Left != 20 || l.WaitNS != 3_400_000 || l.Bites ||
		l.Text != "Instance web may send 80kbps: 20 of 2000 bytes are left; it lets the packet wait for 3.4ms." {
		t.Errorf("with the burst used up: %+v", l)
	}
	if l := got[3]; !l.Bites || l.Text != "Instance web may send and receive 10pps: 0 of 2 packets are left; it drops the packet, which would have to wait for too long." {
		t.Errorf("with no packet left: %+v", l)
	}
	if x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80}); x.Verdict != "drop" || x.Reason != "pps_allowance_exceeded" || x.WaitNS != 0 {
		t.Errorf("explained as %+v", x)
	}
	b.clock.Add(int64(100 * time.Millisecond))
	if x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80}); x.Verdict != "forward" || x.WaitNS != 0 {
		t.Errorf("a tenth of a second later: %+v", x)
	}
}
