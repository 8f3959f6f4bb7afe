package pipeline

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
)

// pacing is one of so many bits a second, of all and of each flow.
func pacing(all, flow uint64) policy.Pacing {
	return policy.Pacing{Rate: all, FlowRate: flow, Packets: 1024, FlowPackets: 100, Delay: policy.MaxPaceDelay}
}

func init() {
	paced := func(p policy.Pacing, flows, packets int, wait time.Duration) dropCase {
		o := defaultObjects()
		o.ENIs[2].Pacing = p
		return dropCase{bedOptions{objects: o}, func(b *bed) {
			for f := range flows {
				for i := range packets {
					b.inject("web", b.sized(f, i, 1000))
				}
			}
			b.settle()
			b.clock.advance(wait)
		}, "app"}
	}
	few := pacing(mbit, 0)
	few.FlowPackets = 2
	dropCases[drop.PacingFlowFull] = paced(few, 1, 8, 0)
	few = pacing(mbit, 0)
	few.Packets, few.FlowPackets = 64, 64
	dropCases[drop.PacingQueueFull] = paced(few, 70, 1, 0)
	few = pacing(0, 64_000)
	few.Delay = policy.MinPaceDelay
	dropCases[drop.PacingTooLate] = paced(few, 1, 5, time.Second)
}

// counted adds up the bytes of what an ENI receives by flow, and sees that no packet
// comes before an older one of its flow. last is the highest number of each so far.
func counted(t tb, frames [][]byte, last map[int]int, bytes map[int]float64) (n uint64) {
	t.Helper()
	for _, f := range frames {
		flow, seq := int(binary.BigEndian.Uint32(f[len(f)-8:])), int(binary.BigEndian.Uint32(f[len(f)-4:]))+1
		if seq <= last[flow] {
			t.Fatalf("flow %d: packet %d after packet %d", flow, seq, last[flow])
		}
		last[flow] = seq
		bytes[flow] += float64(len(f))
		n++
	}
	return n
}

// jain returns Jain's index of fairness, of 1 if all are equal.
func jain(x map[int]float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

// Ten flows that push 10 Gbps each through a queue of 10 Gbps get 1 Gbps each: by
// fairness alone, by a pace of their own, and by both. The other end sees nothing
// but the rates.
func TestTenFlowsOfTenGigabits(t *testing.T) {
	const gbit, size, flows = 1000 * mbit, 1500, 10
	for name, p := range map[string]policy.Pacing{
		"the queue's rate": pacing(10*gbit, 0),
		"each flow's":      pacing(0, gbit),
		"both":             pacing(10*gbit, gbit),
	} {
		for _, lcores := range []int{1, 3} {
			o := defaultObjects()
			o.ENIs[2].Pacing = p
			o.ENIs[0].Queues = lcores
			b := newBed(t, bedOptions{objects: o, lcores: lcores, config: func(c *Config) { c.SlowPathBudget = pktio.MaxBurst }})
			last, bytes, sent := map[int]int{}, map[int]float64{}, 0
			const step, steps = 6 * time.Microsecond, 2000 // 12 ms; 5 packets of each flow in a step
			for range steps {
				for range 5 {
					for f := range flows {
						if !b.ports[b.eni("web")].Inject(f%lcores, b.sized(f, sent, size)) {
							t.Fatal("the port takes no more")
						}
					}
					sent++
				}
				b.clock.advance(step)
				b.settle()
				counted(t, b.received("app"), last, bytes)
			}
			want := gbit / 8 * (steps * step).Seconds()
			for f := range flows {
				// A burst comes on top: 100 us' worth, of which a flow alone may have more.
				if got := bytes[f]; got < want*0.99 || got > want*1.01+gbit/8/10_000+2*1514 {
					t.Errorf("%s, %d lcores: flow %d gets %.0f bytes, want %.0f", name, lcores, f, got, want)
				}
			}
			if j := jain(bytes); j < 0.999 {
				t.Errorf("%s, %d lcores: Jain's index is %.5f", name, lcores, j)
			}
			s := b.stats()
			rx, _ := b.engine.Rings(b.eni("app"))
			c := rx[0].Pace
			if s.Drops[drop.PacingFlowFull] == 0 || c.FlowFull != s.Drops[drop.PacingFlowFull] || c.Dropped() != s.Dropped() ||
				c.Left != rx[0].Packets+rx[0].Waiting || c.Waiting != uint64(s.Held())-rx[0].Waiting || c.Flows < flows || c.HighWater < flows*100 {
				t.Errorf("%s, %d lcores: %+v is counted of the queue, %d dropped, %d held", name, lcores, c, s.Dropped(), s.Held())
			}
		}
	}
}

// Whatever paces come, change and go, however many lcores and queues and whatever
// the sizes, fragments among them: no flow's packets overtake each other, each is
// accounted for, and in the end all have left.
func TestPacingKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(t *rapid.T) policy.Pacing {
			rate := rapid.SampledFrom([]uint64{0, mbit, 10 * mbit, 100 * mbit, 1000 * mbit})
			p := policy.Pacing{Rate: rate.Draw(t, "rate"), FlowRate: rate.Draw(t, "flow rate"), Packets: 64}
			if p.Rate != 0 {
				p.FlowRate = min(p.FlowRate, p.Rate)
			}
			p.FlowPackets = rapid.IntRange(1, 64).Draw(t, "flow packets")
			p.Delay = time.Duration(rapid.Int64Range(int64(policy.MinPaceDelay), int64(policy.MaxPaceDelay)).Draw(t, "delay"))
			return p
		}
		o := defaultObjects()
		o.ENIs[2].Pacing = draw(t)
		o.ENIs[2].Queues = rapid.IntRange(1, 3).Draw(t, "queues")
		if rapid.Bool().Draw(t, "limited") {
			o.ENIs[0].Out = waiting(20 * mbit)
		}
		if rapid.Bool().Draw(t, "fragments") {
			o.ENIs[2].MTU, o.ENIs[2].Addresses = 600, o.ENIs[2].Addresses[:1]
		}
		whole := o.ENIs[2].MTU == 1500
		b := newBed(t, bedOptions{objects: o, slots: 4096, lcores: rapid.IntRange(1, 3).Draw(t, "lcores"), config: func(c *Config) {
			c.Flows = rapid.SampledFrom([]int{16, 4096}).Draw(t, "flows")
			c.SlowPathBudget = rapid.SampledFrom([]int{1, 64}).Draw(t, "budget")
		}})
		sent, last, bytes := map[int]int{}, map[int]int{}, map[int]float64{}
		total, came := uint64(0), uint64(0)
		look := func() Stats {
			s := b.settle()
			if frames := b.received("app"); whole {
				came += counted(t, frames, last, bytes)
			} else {
				came += uint64(len(frames))
			}
			return s
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 8).Draw(t, "packets") {
				flow := rapid.IntRange(0, 30).Draw(t, "flow")
				b.inject("web", b.sized(flow, sent[flow], rapid.IntRange(60, 1514).Draw(t, "bytes")))
				sent[flow]++
				total++
			}
			if rapid.IntRange(0, 5).Draw(t, "policy") == 0 {
				b.policy(func(o *policy.Objects) { o.ENIs[2].Pacing = draw(t) })
			}
			look()
			b.clock.advance(time.Duration(rapid.OneOf(rapid.Int64Range(0, 2000), rapid.Int64Range(0, 2_000_000), rapid.Int64Range(0, 50_000_000)).Draw(t, "advance")))
		}
		for range 3 { // what waits for limits comes to the pacers at the end of that
			b.clock.advance(2 * time.Second)
			look()
		}
		s := look()
		paced := s.Drops[drop.PacingFlowFull] + s.Drops[drop.PacingQueueFull] + s.Drops[drop.PacingTooLate]
		if s.Held() != 0 || came+s.Dropped() != total+s.Originated-s.Consumed {
			t.Fatalf("of %d packets %d came, %d were dropped, %d are held", total, came, s.Dropped(), s.Held())
		}
		if other := s.Dropped() - paced - s.Drops[drop.ENIOutBandwidthExceeded]; other != 0 {
			t.Fatalf("%d packets were dropped for other reasons: %v", other, s.Drops)
		}
		counts := uint64(0)
		rx, _ := b.engine.Rings(b.eni("app"))
		for _, q := range rx {
			if q.Pace != nil {
				counts += q.Pace.Dropped()
			}
		}
		if counts != paced {
			t.Fatalf("the queues count %d drops, and there were %d", counts, paced)
		}
	})
}

// What waits leaves at once, in order, when pacing is switched off, and what comes
// then does not pass through the pacer any more.
func TestPacingIsSwitchedOff(t *testing.T) {
	o := defaultObjects()
	o.ENIs[2].Pacing = pacing(8*mbit, 0)
	b := newBed(t, bedOptions{objects: o})
	for i := range 20 {
		b.inject("web", b.sized(1, i, 1000))
	}
	if s := b.settle(); s.Held() != 17 { // two frames of the MTU are a burst, 3,028 bytes
		t.Errorf("%d packets wait", s.Held())
	}
	b.policy(func(o *policy.Objects) { o.ENIs[2].Pacing = policy.Pacing{} })
	b.inject("web", b.sized(1, 20, 1000))
	b.wantDrops(b.settle(), nil)
	next := map[int]int{}
	inOrder(t, b.received("app"), next)
	if next[1] != 21 {
		t.Errorf("%d packets came, of 21", next[1])
	}
	b.inject("web", b.sized(1, 21, 1000))
	b.settle()
	inOrder(t, b.received("app"), next)
	if rx, _ := b.engine.Rings(b.eni("app")); next[1] != 22 || rx[0].Pace.Left != 21 {
		t.Errorf("%d packets came, %d of them by the pacer", next[1], rx[0].Pace.Left)
	}
}

// The room for packets that wait is made once, with the first policy that asks for it.
func TestPacingRoomStays(t *testing.T) {
	b := newBed(t, bedOptions{})
	room := func(packets int) error {
		o := *b.objects
		o.ENIs = append([]policy.ENI(nil), o.ENIs...)
		o.ENIs[2].Pacing = pacing(mbit, 0)
		o.ENIs[2].Pacing.Packets = packets
		snap, err := policy.Compile(&o, b.snap)
		if err != nil {
			t.Fatal(err)
		}
		return b.engine.SetPolicy(snap)
	}
	if err := room(128); err != nil {
		t.Error(err)
	}
	if err := room(256); err == nil {
		t.Error("a policy with more room was taken")
	}
	if err := room(128); err != nil {
		t.Error(err)
	}
}

// An lcore rests until a packet may leave, and one that only remembers flows rests
// for ever.
func TestRestUntilPaceIsDue(t *testing.T) {
	o := defaultObjects()
	o.ENIs[2].Pacing = pacing(8*mbit, 0) // 1,000 bytes in a millisecond
	b := newBed(t, bedOptions{objects: o})
	w := b.engine.workers[0]
	for i := range 5 {
		b.inject("web", b.sized(1, i, 1000))
	}
	b.settle()
	b.received("app")
	for held := 1; held != 0; held = b.engine.InHand() {
		until := w.restUntil() + worthSleep
		if d := until - b.clock.ns; d <= 0 || d > int64(time.Millisecond) {
			t.Fatalf("the next packet may leave in %d ns", d)
		}
		b.clock.ns = until - 1
		if b.settle(); len(b.received("app")) != 0 {
			t.Fatal("a packet left early")
		}
		b.clock.ns++
		if b.settle(); len(b.received("app")) != 1 {
			t.Fatal("no packet left in its time")
		}
	}
	if w.restUntil() != forever {
		t.Error("an lcore without packets does not rest")
	}
}

// Answers of nitrod's own come through a pacer as well.
func TestAnswersArePaced(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].Pacing = pacing(64_000, 0) // 8 bytes in a millisecond
	b := newBed(t, bedOptions{objects: o})
	for range 100 {
		b.inject("web", b.arp("web", packet.ARP{Sender: packet.MustIP("10.0.1.10"), Target: packet.MustIP("10.0.1.1")}))
	}
	b.settle()
	burst := len(b.received("web"))
	b.clock.advance(500 * time.Millisecond)
	b.settle()
	if later := len(b.received("web")); burst == 0 || burst > 80 || later == 0 || later > 110 {
		t.Errorf("%d answers came at once, %d in half a second", burst, later)
	}
}

// Packets that wait for their pace when the engine stops are accounted for.
func TestPacingDrains(t *testing.T) {
	o := defaultObjects()
	o.ENIs[2].Pacing = pacing(8*mbit, 0)
	b := newBed(t, bedOptions{objects: o})
	for i := range 10 {
		b.inject("web", b.sized(1, i, 1000))
	}
	b.settle()
	b.engine.Drain()
	if s := b.stats(); s.Drops[drop.Shutdown] != 7 || s.Held() != 0 {
		t.Errorf("%d were dropped for the stop, %d are held", s.Drops[drop.Shutdown], s.Held())
	}
}

// Nothing is allocated, whether packets pass, wait or are dropped.
func TestPacingAllocatesNothing(t *testing.T) {
	o := defaultObjects()
	o.ENIs[2].Pacing = pacing(400*mbit, 20*mbit)
	o.ENIs[2].Pacing.FlowPackets, o.ENIs[2].Pacing.Delay = 20, policy.MinPaceDelay
	b := driven(t, o, nil, udpFlows(64, false))
	w := b.engine.workers[0]
	round := func() {
		w.Round()
		b.clock.advance(20 * time.Microsecond)
	}
	for range 200 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	b.stats()
	if rx, _ := b.engine.Rings(b.eni("app")); rx[0].Pace.Delayed == 0 || rx[0].Pace.Dropped() == 0 {
		t.Errorf("%+v: nothing waited, or nothing was dropped", rx[0].Pace)
	}
}

// A change of queues does not part the packets of a flow, whatever paces there are
// and come.
func TestChangesOfPacedQueuesKeepTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const queues = 3
		b := queuesBed(t, rapid.IntRange(1, 3).Draw(t, "lcores"), queues, 256, 1)
		r := slowReader{b: b, next: map[int]int{}}
		pace := func() {
			b.policy(func(o *policy.Objects) {
				p := &o.ENIs[2].Pacing
				*p = policy.Pacing{Packets: 4096, FlowPackets: 4096, Delay: policy.MaxPaceDelay}
				rate := rapid.SampledFrom([]uint64{0, 50 * mbit, 1000 * mbit})
				if p.Rate, p.FlowRate = rate.Draw(t, "rate"), rate.Draw(t, "flow rate"); p.Rate != 0 {
					p.FlowRate = min(p.FlowRate, p.Rate)
				}
			})
		}
		if rapid.Bool().Draw(t, "from the start") {
			pace()
		}
		sent, total := map[int]int{}, 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 4).Draw(t, "packets") {
				flow := rapid.IntRange(0, 20).Draw(t, "flow")
				for range rapid.IntRange(1, 3).Draw(t, "run") {
					b.inject("web", b.numbered(flow, sent[flow]))
					sent[flow]++
					total++
				}
			}
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				if err := b.engine.SetRSS("app", genRSS(t, t, queues)); err != nil && err != ErrQueueBusy {
					t.Fatal(err)
				}
			case 1:
				pace()
			}
			for range rapid.IntRange(0, 4).Draw(t, "rounds") {
				b.engine.workers[rapid.IntRange(0, len(b.engine.workers)-1).Draw(t, "worker")].Round()
				r.read(t, rapid.IntRange(0, queues-1).Draw(t, "first"))
			}
			b.clock.advance(time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 300_000)).Draw(t, "advance")))
		}
		for range 1000 {
			b.clock.advance(100 * time.Microsecond)
			for _, w := range b.engine.workers {
				w.Round()
				r.read(t, 0)
			}
		}
		if r.got != total {
			t.Fatalf("%d of %d packets came", r.got, total)
		}
		if b.engine.QueuesMoving("app") {
			t.Fatal("after quiet a change is still under way")
		}
	})
}
