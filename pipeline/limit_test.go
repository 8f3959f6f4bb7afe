package pipeline

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

const mbit = 1_000_000

// sized is numbered, with n bytes in its frame.
func (b *bed) sized(flow, seq, n int) []byte {
	p := make([]byte, n-14-20-8)
	binary.BigEndian.PutUint32(p[len(p)-8:], uint32(flow))
	binary.BigEndian.PutUint32(p[len(p)-4:], uint32(seq))
	return b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: uint16(10000 + flow), DstPort: 80}, packet.Payload(p))
}

// tight lets one frame pass, and none wait.
var tight = policy.Limit{Rate: mbit, Burst: 1514}

func tightBandwidth() policy.Bandwidth { return policy.Bandwidth{Limit: tight, Baseline: mbit} }

// exceeds sends four frames at once of a flow that a limit lets pass one of.
func exceeds(at string, change func(o *policy.Objects)) dropCase {
	o := defaultObjects()
	change(o)
	return dropCase{bedOptions{objects: o}, func(b *bed) {
		for i := range 4 {
			b.inject("web", b.sized(1, i, 1000))
		}
	}, at}
}

func init() {
	dropCases[drop.FlowBandwidthExceeded] = exceeds("web", func(o *policy.Objects) { o.Instances[0].Flow.Default = tight })
	dropCases[drop.ENIOutBandwidthExceeded] = exceeds("web", func(o *policy.Objects) { o.ENIs[0].Out = tight })
	dropCases[drop.ENIInBandwidthExceeded] = exceeds("app", func(o *policy.Objects) { o.ENIs[2].In = tight })
	dropCases[drop.QueueBandwidthExceeded] = exceeds("app", func(o *policy.Objects) { o.ENIs[2].Queue = tight })
	dropCases[drop.BWOutAllowanceExceeded] = exceeds("web", func(o *policy.Objects) { o.Instances[0].Out = tightBandwidth() })
	dropCases[drop.BWInAllowanceExceeded] = exceeds("app", func(o *policy.Objects) { o.Instances[2].In = tightBandwidth() })
	dropCases[drop.PPSAllowanceExceeded] = exceeds("web", func(o *policy.Objects) { o.Instances[0].Packets = policy.Limit{Rate: 1000, Burst: 1} })
	dropCases[drop.PPSInAllowanceExceeded] = exceeds("app", func(o *policy.Objects) { o.Instances[2].Packets = policy.Limit{Rate: 1000, Burst: 1} })
	full := exceeds("web", func(o *policy.Objects) { o.ENIs[0].Out = waiting(mbit) })
	full.options.config = func(c *Config) { c.LimitQueue = 1 }
	dropCases[drop.LimitQueueFull] = full
	removed := exceeds("web", func(o *policy.Objects) { o.ENIs[0].Out = waiting(mbit) })
	drive := removed.drive
	removed.drive = func(b *bed) {
		drive(b)
		b.settle()
		all := b.objects.ENIs
		b.policy(func(o *policy.Objects) { o.ENIs = o.ENIs[:2] })
		b.objects.ENIs = all // the next run begins with them
		b.clock.advance(time.Second)
	}
	dropCases[drop.ENIRemoved] = removed
}

// waiting is a limit in small bursts, where packets wait for up to 100 ms.
func waiting(rate uint64) policy.Limit {
	return policy.Limit{Rate: rate, Burst: 1514, Delay: policy.MaxDelay}
}

// What exceeds a limit waits and leaves in its time, in order; it counts as queued
// for each limit that lets it wait, at the ENI that ENA tells.
func TestExcessWaits(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].Out = waiting(8 * mbit) // 1,000 bytes in a millisecond
	o.Instances[2].In = policy.Bandwidth{Limit: waiting(8 * mbit), Baseline: 8 * mbit}
	b := newBed(t, bedOptions{objects: o})
	for i := range 20 {
		b.inject("web", b.sized(1, i, 1000))
	}
	s := b.settle()
	next := map[int]int{}
	if got := b.received("app"); len(got) != 1 || s.Held() != 19 {
		t.Fatalf("%d frames came at once, %d wait", len(got), s.Held())
	}
	next[1] = 1
	for at := range 20 {
		if at == 0 {
			b.clock.advance(488 * time.Microsecond) // the burst is 514 bytes more than a frame
		} else {
			b.clock.advance(time.Millisecond)
		}
		b.settle()
		got := b.received("app")
		if want := 1; at < 19 && len(got) != want {
			t.Fatalf("%d frames came in millisecond %d, want %d", len(got), at, want)
		}
		inOrder(t, got, next)
	}
	b.wantDrops(b.settle(), nil)
	if next[1] != 20 {
		t.Errorf("%d frames came, of 20", next[1])
	}
	out, in := b.engine.Limited(b.eni("web")), b.engine.Limited(b.eni("app"))
	if out[LimitENIOut] != (LimitCounts{Queued: 19}) || in[LimitInstanceIn] != (LimitCounts{Queued: 19}) {
		t.Errorf("web counts %+v, app %+v; want 19 queued at each", out, in)
	}
}

// An ENI whose packets wait leaves room on the lcore for those of others.
func TestWaitingIsShared(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].Out, o.ENIs[1].Out = waiting(mbit), waiting(mbit)
	b := newBed(t, bedOptions{objects: o, config: func(c *Config) { c.LimitQueue = 12 }})
	flood := func(from string) {
		for i := range 40 {
			b.inject(from, b.frame(from, b.ip(from, "app"), packet.UDP{SrcPort: uint16(i), DstPort: 80}, packet.Payload(make([]byte, 58))))
		}
	}
	waits := func(id string) uint64 { return b.engine.Limited(b.eni(id))[LimitENIOut].Queued }
	flood("web")
	if b.settle(); waits("web") != 6 {
		t.Errorf("%d packets of one ENI wait, of the 12 that the lcore holds", waits("web"))
	}
	flood("web2")
	if b.settle(); waits("web2") != 3 {
		t.Errorf("%d packets of another ENI wait beside it, of the 6 for which there was room", waits("web2"))
	}
}

// Whatever limits are in force, come and go, however many lcores and whatever the
// sizes: no flow's packets overtake each other, every packet is accounted for, and
// one that is dropped is dropped for a limit.
func TestLimitsKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := func(t *rapid.T) policy.Limit {
			return policy.Limit{
				Rate:  rapid.SampledFrom([]uint64{0, mbit, 10 * mbit, 100 * mbit, 1000 * mbit}).Draw(t, "rate"),
				Burst: rapid.Uint64Range(1514, 20_000).Draw(t, "burst"),
				Delay: time.Duration(rapid.Int64Range(0, int64(policy.MaxDelay)).Draw(t, "delay")),
			}
		}
		draw := func(t *rapid.T, o *policy.Objects) {
			o.ENIs[0].Out, o.ENIs[2].In, o.ENIs[2].Queue = limit(t), limit(t), limit(t)
			o.Instances[0].Flow.Default = limit(t)
			o.Instances[2].In = policy.Bandwidth{Limit: limit(t)}
			o.Instances[2].In.Baseline, o.Instances[2].In.Credits = max(o.Instances[2].In.Rate/2, 64_000), 5000
			if o.Instances[2].In.Rate == 0 {
				o.Instances[2].In.Baseline = 0
			}
			o.Instances[0].Packets = policy.Limit{Rate: rapid.SampledFrom([]uint64{0, 1000, 100_000}).Draw(t, "packets"), Burst: 4, Delay: time.Millisecond}
		}
		o := defaultObjects()
		draw(t, o)
		o.ENIs[2].Queues = rapid.IntRange(1, 3).Draw(t, "queues")
		b := newBed(t, bedOptions{objects: o, slots: 2048, lcores: rapid.IntRange(1, 3).Draw(t, "lcores"), config: func(c *Config) {
			c.Flows = rapid.SampledFrom([]int{16, 4096}).Draw(t, "flows")
			c.LimitQueue = rapid.SampledFrom([]int{3, 512}).Draw(t, "limit queue")
			c.SlowPathBudget = rapid.SampledFrom([]int{1, 64}).Draw(t, "budget")
		}})
		sent, last, came := map[int]int{}, map[int]int{}, uint64(0)
		look := func() Stats {
			s := b.settle()
			for _, f := range b.received("app") {
				flow, seq := int(binary.BigEndian.Uint32(f[len(f)-8:])), int(binary.BigEndian.Uint32(f[len(f)-4:]))+1
				if seq <= last[flow] {
					t.Fatalf("flow %d: packet %d after packet %d", flow, seq, last[flow])
				}
				last[flow] = seq
				came++
			}
			return s
		}
		total := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 8).Draw(t, "packets") {
				flow := rapid.IntRange(0, 30).Draw(t, "flow")
				b.inject("web", b.sized(flow, sent[flow], rapid.IntRange(60, 1514).Draw(t, "bytes")))
				sent[flow]++
				total++
			}
			if rapid.IntRange(0, 5).Draw(t, "policy") == 0 {
				b.policy(func(o *policy.Objects) { draw(t, o) })
			}
			look()
			b.clock.advance(time.Duration(rapid.OneOf(rapid.Int64Range(0, 2000), rapid.Int64Range(0, 2_000_000), rapid.Int64Range(0, 50_000_000)).Draw(t, "advance")))
		}
		b.clock.advance(time.Second)
		s := look()
		dropped := uint64(0)
		for r, n := range s.Drops {
			if drop.Reason(r).Info().Stage == drop.StageLimit {
				dropped += n
			}
		}
		if s.Held() != 0 || came+dropped != total || s.Dropped() != dropped {
			t.Fatalf("of %d packets %d came, %d were dropped for limits, %d in all, %d are held", total, came, dropped, s.Dropped(), s.Held())
		}
		limited := uint64(0)
		for _, id := range []string{"web", "app"} {
			for _, c := range b.engine.Limited(b.eni(id)) {
				limited += c.Dropped
			}
		}
		if limited < dropped-s.Drops[drop.LimitQueueFull] {
			t.Fatalf("%d packets were dropped for limits, and %d are counted", dropped, limited)
		}
	})
}

// Limits of an ENI, an instance and its packets hold across lcores, above and
// below: what many flows get of each is the rate, to one percent over a second.
func TestLimitsAcrossLcores(t *testing.T) {
	const rate, size = 80 * mbit, 1000 // 10,000 frames a second
	for name, change := range map[string]func(o *policy.Objects){
		"eni out": func(o *policy.Objects) {
			o.ENIs[0].Out = policy.Limit{Rate: rate, Burst: 64 << 10, Delay: 5 * time.Millisecond}
		},
		"instance in": func(o *policy.Objects) {
			o.Instances[2].In = policy.Bandwidth{Limit: policy.Limit{Rate: rate, Burst: 64 << 10, Delay: 5 * time.Millisecond}, Baseline: rate}
		},
		"packets": func(o *policy.Objects) {
			o.Instances[0].Packets = policy.Limit{Rate: rate / 8 / size, Burst: 64, Delay: 5 * time.Millisecond}
		},
		"credits gone": func(o *policy.Objects) {
			o.Instances[0].Out = policy.Bandwidth{Limit: policy.Limit{Rate: 10 * rate, Burst: 64 << 10, Delay: 5 * time.Millisecond}, Baseline: rate, Credits: 100_000}
		},
	} {
		for _, lcores := range []int{1, 3} {
			o := defaultObjects()
			change(o)
			o.ENIs[0].Queues = lcores
			b := newBed(t, bedOptions{objects: o, lcores: lcores})
			sum, seq := 0, 0
			const steps = 5000
			for range steps { // 5 frames in 200 us: two and a half times the rate
				for range 5 {
					if !b.ports[b.eni("web")].Inject(seq%lcores, b.sized(seq*7919%64, seq, size)) {
						t.Fatal("the port takes no more")
					}
					seq++
				}
				b.clock.advance(time.Second / steps)
				b.settle()
				sum += len(b.received("app")) * size
			}
			s := b.stats()
			// The burst and the credits come on top.
			if extra := 64<<10 + 100_000; sum > rate/8+extra || sum < rate/8*99/100 {
				t.Errorf("%s, %d lcores: %d bytes in a second, want %d", name, lcores, sum, rate/8)
			}
			if s.Dropped() == 0 {
				t.Errorf("%s, %d lcores: nothing was dropped of twice the rate", name, lcores)
			}
		}
	}
}

// A flow's limit is its own: others beside it have theirs.
func TestFlowLimit(t *testing.T) {
	o := defaultObjects()
	o.Instances[0].Flow.Default = policy.Limit{Rate: 8 * mbit, Burst: 2000, Delay: 2 * time.Millisecond}
	b := newBed(t, bedOptions{objects: o})
	sent := map[int]int{}
	got := map[int]int{}
	for range 1000 {
		for flow, n := range []int{4, 1} { // one flow at four times the rate, one at its rate
			for range n {
				b.inject("web", b.sized(flow, sent[flow], 1000))
				sent[flow]++
			}
		}
		b.clock.advance(time.Millisecond)
		b.settle()
		for _, f := range b.received("app") {
			got[int(binary.BigEndian.Uint32(f[len(f)-8:]))]++
		}
	}
	if got[0] < 990 || got[0] > 1003 || got[1] < 998 {
		t.Errorf("%v frames came, want 1,000 of each flow", got)
	}
	c := b.engine.Limited(b.eni("web"))[LimitFlow]
	if s := b.stats(); c.Dropped != s.Drops[drop.FlowBandwidthExceeded] || c.Dropped < 2900 || c.Queued < 900 {
		t.Errorf("%+v are counted, %d dropped", c, s.Drops[drop.FlowBandwidthExceeded])
	}
}

// A younger packet does not overtake those that wait when their limit is lifted,
// and they still leave in their time.
func TestLimitIsLifted(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].Out = waiting(8 * mbit)
	b := newBed(t, bedOptions{objects: o})
	for i := range 10 {
		b.inject("web", b.sized(1, i, 1000))
	}
	b.settle()
	b.policy(func(o *policy.Objects) { o.ENIs[0].Out = policy.Limit{} })
	b.inject("web", b.sized(1, 10, 1000), b.sized(2, 0, 1000))
	b.settle()
	next := map[int]int{}
	inOrder(t, b.received("app"), next)
	if next[1] != 1 || next[2] != 1 {
		t.Errorf("%v came at once, want one of each flow", next)
	}
	b.clock.advance(time.Second)
	b.wantDrops(b.settle(), nil)
	inOrder(t, b.received("app"), next)
	if next[1] != 11 {
		t.Errorf("%v came in the end", next)
	}
}

// Packets that wait for limits when the engine stops are accounted for.
func TestLimitsDrain(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].Out = waiting(8 * mbit)
	b := newBed(t, bedOptions{objects: o})
	for i := range 10 {
		b.inject("web", b.sized(1, i, 1000))
	}
	b.settle()
	b.engine.Drain()
	if s := b.stats(); s.Drops[drop.Shutdown] != 9 || s.Held() != 0 {
		t.Errorf("%d were dropped for the stop, %d are held", s.Drops[drop.Shutdown], s.Held())
	}
}

// The stage allocates nothing, whether packets pass, wait or are dropped.
func TestLimitAllocatesNothing(t *testing.T) {
	o := defaultObjects()
	o.Instances[0].Flow.Default = policy.Limit{Rate: 100 * mbit, Burst: 5000, Delay: time.Millisecond}
	o.ENIs[0].Out, o.ENIs[2].Queue = waiting(500*mbit), waiting(400*mbit)
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
	if b.stats(); b.engine.Limited(b.eni("app"))[LimitQueue].Queued == 0 {
		t.Error("nothing waited")
	}
}

// The wheel gives packets back in the order of their slots, each slot's in the
// order in which they came, and never early; a sorted list is its twin.
func TestWheelTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, err := newWheel(40, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.release(); err != nil {
				t.Error(err)
			}
		}()
		type entry struct{ slot, id uint64 }
		var twin []entry
		var held [2]int
		now := rapid.Int64Range(1, 1<<40).Draw(t, "start")
		for id := uint64(1); id < 200; id++ {
			if rapid.Bool().Draw(t, "put") {
				eni := rapid.Uint16Range(0, 1).Draw(t, "eni")
				at := now + rapid.OneOf(rapid.Int64Range(0, 3000), rapid.Int64Range(0, 200_000_000)).Draw(t, "wait")
				slot := w.place(at, now, id<<16, true)
				if slot == 0 {
					if at > now {
						t.Fatalf("at %d a packet of %d need not wait", now, at)
					}
					continue
				}
				if int64(slot<<slotShift) < at {
					t.Fatalf("slot %d is before %d", slot, at)
				}
				if full := w.full(slot, eni); full != (held[eni] >= 40-len(twin) || slot-w.cursor >= wheelSlots) {
					t.Fatalf("full is %v with %d packets", full, len(twin))
				} else if full {
					continue
				}
				it := w.put(slot, id<<16, id, eni)
				it.desc.Buf, it.meta.ENI = id, eni
				held[eni]++
				i := len(twin)
				for i > 0 && twin[i-1].slot > slot {
					i--
				}
				twin = append(twin[:i], append([]entry{{slot, id}}, twin[i:]...)...)
				continue
			}
			now += rapid.OneOf(rapid.Int64Range(0, 3000), rapid.Int64Range(0, 100_000_000)).Draw(t, "advance")
			for {
				it, born := w.due(now)
				if it == nil {
					break
				}
				if len(twin) == 0 || it.desc.Buf != twin[0].id || born != twin[0].id || int64(twin[0].slot<<slotShift) > now {
					t.Fatalf("at %d packet %d leaves, want %v", now, it.desc.Buf, twin)
				}
				held[it.meta.ENI]--
				twin = twin[1:]
			}
			if len(twin) != 0 && int64(twin[0].slot<<slotShift) <= now {
				t.Fatalf("at %d packet %v is still there", now, twin[0])
			}
		}
		for w.n != 0 {
			if it := w.any(); it.desc.Buf != twin[0].id {
				t.Fatalf("packet %d comes out, want %v", it.desc.Buf, twin[0])
			}
			twin = twin[1:]
		}
		if len(twin) != 0 {
			t.Fatalf("%v got lost", twin)
		}
	})
}
