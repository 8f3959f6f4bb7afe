package pacer

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/pipeline/shaper"
)

const (
	frame  = 1514 // bytes
	mbit   = 1_000_000
	second = 1_000_000_000
)

// rate returns a rate with a burst of two frames and what comes in 100 us.
func rate(bits uint64) shaper.Rate {
	return shaper.NewBandwidth(bits, 2*frame+bits/80_000, 0, 1)
}

func settings(all, flow uint64) *Settings {
	return &Settings{
		Rate: rate(all), FlowRate: rate(flow), Quantum: frame,
		Packets: 1 << 20, FlowPackets: 1 << 20, Delay: second,
	}
}

func newPacer(t rapid.TB, capacity int, s *Settings) *Pacer {
	p, err := New(capacity)
	if err != nil {
		t.Fatal(err)
	}
	p.Set(s)
	return p
}

// free empties a pacer, counting what is in it, and gives its memory back.
func free(t rapid.TB, p *Pacer) (n int) {
	for ; p.Len() > 0; n++ {
		p.Drop()
	}
	if err := p.Free(); err != nil {
		t.Error(err)
	}
	return n
}

// drawSettings draws rates of 10 Mbps and more, at which no flow waits on the wheel
// beyond its horizon.
func drawSettings(t *rapid.T) *Settings {
	bits := rapid.SampledFrom([]uint64{0, 10 * mbit, 100 * mbit, 1000 * mbit, 40_000 * mbit})
	return &Settings{
		Rate: rate(bits.Draw(t, "rate")), FlowRate: rate(bits.Draw(t, "flow rate")),
		Quantum: rapid.Int32Range(frame, 4*frame).Draw(t, "quantum"),
		Packets: rapid.IntRange(1, 40).Draw(t, "packets"), FlowPackets: rapid.IntRange(1, 20).Draw(t, "flow packets"),
		Delay: rapid.Int64Range(100_000, 20_000_000).Draw(t, "delay"),
	}
}

// A pacer does what its twin does, which has no index, no numbers and no wheel but
// looks through everything, whatever comes and however its settings change.
func TestPacerTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const capacity = 30
		s := drawSettings(t)
		p, w := newPacer(t, capacity, s), &twin{capacity: capacity}
		defer free(t, p)
		w.set(s)
		now, next := int64(second), uint64(1)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 30).Draw(t, "step") {
			case 0:
				s = drawSettings(t)
				if rapid.IntRange(0, 3).Draw(t, "off") == 0 {
					s = nil
				}
				p.Set(s)
				w.set(s)
			case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14:
				flow := rapid.Uint64Range(0, 5).Draw(t, "flow")
				if rapid.IntRange(0, 3).Draw(t, "new") == 0 {
					flow = next << 20
				}
				k := Packet{next, rapid.Uint32Range(60, frame).Draw(t, "bytes")}
				next++
				if got, want := p.Push(flow, k, now), w.push(flow, k, now); got != want {
					t.Fatalf("packet %d is %d, want %d", k.Buf, got, want)
				}
			case 15, 16, 17, 18:
				now += rapid.OneOf(rapid.Int64Range(0, 3000), rapid.Int64Range(0, 500_000), rapid.Int64Range(0, 10_000_000)).Draw(t, "advance")
			case 19:
				got, late := p.Late(now)
				want, is := w.late(now)
				if got != want || late != is {
					t.Fatalf("at %d packet %d is too late (%v), want %d (%v)", now, got.Buf, late, want.Buf, is)
				}
			default:
				got, leaves := p.Next(now)
				want, is := w.next(now)
				if got != want || leaves != is {
					t.Fatalf("at %d packet %d leaves (%v), want %d (%v)", now, got.Buf, leaves, want.Buf, is)
				}
			}
			if got := p.Filled() - p.Oldest(); got != w.since(p.Filled()) {
				t.Fatalf("%d packets came since the oldest did, want %d", got, w.since(p.Filled()))
			}
			if p.Len() != len(w.packets) || p.active != w.active() {
				t.Fatalf("%d packets of %d flows wait, want %d of %d", p.Len(), p.active, len(w.packets), w.active())
			}
		}
	})
}

// Whatever comes, for any rates down to the lowest: packets of a flow leave in
// order and none late; what leaves in any stretch of time is no more than rate and
// burst allow, of all and of each flow; each packet leaves once, or is dropped for a
// reason; and who looks again when Due says so misses nothing.
func TestPacerKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]uint64{0, 64_000, mbit, 100 * mbit, 10_000 * mbit})
		all, each := bits.Draw(t, "rate"), bits.Draw(t, "flow rate")
		s := settings(all, each)
		s.Packets, s.FlowPackets = 300, rapid.IntRange(1, 100).Draw(t, "flow packets")
		s.Delay = rapid.Int64Range(1_000_000, 1_000_000_000).Draw(t, "delay")
		p := newPacer(t, 300, s)
		defer free(t, p)
		type gone struct {
			at    int64
			bytes float64
		}
		var left []gone
		flows := map[uint64][]gone{}
		came, of := map[uint64]int64{}, map[uint64]uint64{}
		last := map[uint64]uint64{}
		now, taken, out, late := int64(second), 0, 0, 0
		look := func() {
			for {
				k, is := p.Late(now)
				if !is {
					break
				}
				if now-came[k.Buf] <= s.Delay {
					t.Fatalf("packet %d is too late after %d ns", k.Buf, now-came[k.Buf])
				}
				late++
			}
			for {
				k, leaves := p.Next(now)
				if !leaves {
					return
				}
				flow := of[k.Buf]
				if k.Buf <= last[flow] || now-came[k.Buf] > s.Delay {
					t.Fatalf("packet %d leaves after packet %d of its flow, and %d ns", k.Buf, last[flow], now-came[k.Buf])
				}
				last[flow] = k.Buf
				g := gone{now, float64(k.Len) * 8}
				left, flows[flow] = append(left, g), append(flows[flow], g)
				out++
			}
		}
		for id := uint64(1); id < uint64(rapid.IntRange(2, 200).Draw(t, "packets")); id++ {
			flow := rapid.Uint64Range(1, 9).Draw(t, "flow")
			came[id], of[id] = now, flow
			if p.Push(flow, Packet{id, rapid.Uint32Range(60, frame).Draw(t, "bytes")}, now) == Taken {
				taken++
			}
			look()
			wait := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 20_000), rapid.Int64Range(0, 30_000_000)).Draw(t, "advance")
			for until := now + wait; now < until; {
				now = max(now+1, min(until, p.Due())) // no sooner than it says
				look()
			}
		}
		for p.Len() > 0 {
			due := p.Due()
			if due <= now {
				t.Fatalf("at %d there is something to do at %d, and nothing was done", now, due)
			}
			now = due
			look()
		}
		if p.Due() != never {
			t.Fatalf("an empty pacer has something to do at %d", p.Due())
		}
		if taken != out+late {
			t.Fatalf("of %d packets %d left and %d were too late", taken, out, late)
		}
		within := func(what string, left []gone, bits uint64) {
			if bits == 0 {
				return
			}
			burst := float64(8*(2*frame)) + float64(bits)/10_000
			for i := range left {
				sum := 0.0
				for _, g := range left[i:] {
					sum += g.bytes
					if most := float64(bits)*float64(g.at-left[i].at+1)/second + burst; sum > most+8 {
						t.Fatalf("%v bits of %s left within %d ns, at most %v may", sum, what, g.at-left[i].at, most)
					}
				}
			}
		}
		within("all", left, all)
		for _, f := range flows {
			within("a flow", f, each)
		}
	})
}

// jain returns Jain's index of fairness, of 1 if all are equal.
func jain(x []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

// drive keeps flows backlogged for a time and returns how many bytes of each left.
func drive(t *testing.T, p *Pacer, flows int, size func(flow int) uint32, d time.Duration) []float64 {
	bytes := make([]float64, flows)
	now := int64(second)
	push := func(f int) {
		if v := p.Push(uint64(f)*0x10001, Packet{uint64(f), size(f)}, now); v != Taken {
			t.Fatalf("a packet is %d", v)
		}
	}
	for f := range flows {
		for range 20 {
			push(f)
		}
	}
	for end := now + int64(d); now < end; now += 1000 {
		for k, leaves := p.Next(now); leaves; k, leaves = p.Next(now) {
			bytes[k.Buf] += float64(k.Len)
			push(int(k.Buf))
		}
	}
	return bytes
}

// Flows that want all they can get share a queue evenly, whatever the sizes of their
// packets and however many they are, and the queue gives its whole rate.
func TestFlowsShareEvenly(t *testing.T) {
	for _, flows := range []int{2, 10, 1000} {
		p := newPacer(t, 20*flows, settings(1000*mbit, 0))
		got := drive(t, p, flows, func(f int) uint32 { return uint32(64 + f*733%1400) }, 2*time.Second)
		sum := 0.0
		for _, b := range got {
			sum += b
		}
		if j := jain(got); j < 0.999 {
			t.Errorf("%d flows share by Jain's index of %.5f", flows, j)
		}
		if want := 2 * 1000.0 * mbit / 8; sum < want*0.999 || sum > want*1.001 {
			t.Errorf("%d flows get %.0f bytes, want %.0f", flows, sum, want)
		}
		free(t, p)
	}
}

// A flow gets its rate and no more, to a tenth of a percent, from 10 Mbps to 100
// Gbps, whether or not the queue has one.
func TestFlowRateIsExact(t *testing.T) {
	for _, bits := range []uint64{10 * mbit, 1000 * mbit, 100_000 * mbit} {
		for _, all := range []uint64{0, 3 * bits} {
			p := newPacer(t, 60, settings(all, bits))
			d := time.Duration(20_000*8*frame) * time.Second / time.Duration(bits)
			for _, b := range drive(t, p, 3, func(int) uint32 { return frame }, d) {
				want := float64(bits) / 8 * d.Seconds()
				if burst := 2*frame + float64(bits)/80_000; b < want*0.999 || b > want*1.001+burst {
					t.Errorf("a flow of %d bps in a queue of %d gets %.0f bytes, want %.0f", bits, all, b, want)
				}
			}
			free(t, p)
		}
	}
}

// However many flows want all they can get, one that sends a packet now and then
// waits for two turns of others at the most; and however many flows begin, those
// that go on keep half of the queue.
func TestBriefFlowsHardlyWait(t *testing.T) {
	p := newPacer(t, 4000, settings(1000*mbit, 0))
	defer free(t, p)
	now := int64(second)
	for f := range 1000 {
		for range 2 {
			p.Push(uint64(f), Packet{0, frame}, now)
		}
	}
	const brief = 1
	worst := int64(0)
	for i := range 100 {
		now += 100_000
		p.Push(1<<40+uint64(i), Packet{brief, 100}, now)
		for came := now; ; now = p.Due() {
			k, leaves := p.Next(now)
			if leaves && k.Buf == brief {
				worst = max(worst, now-came)
				break
			}
		}
	}
	if turns := worst * 1000 * mbit / 8 / frame / second; turns > 3 {
		t.Errorf("a packet of a brief flow waits for %d others", turns)
	}
	for p.Len() > 0 {
		p.Next(now)
		now += 1000
	}
	steady, all, waits := 0, 0, 0
	for i := range 20_000 {
		for ; waits < 2; waits++ {
			if v := p.Push(7, Packet{7, frame}, now); v != Taken {
				t.Fatalf("a packet is %d", v)
			}
		}
		if p.Len() < 3000 {
			p.Push(1<<50+uint64(i), Packet{0, frame}, now)
		}
		if k, leaves := p.Next(now); leaves {
			all++
			if k.Buf == 7 {
				steady++
				waits--
			}
		}
		now += 8 * frame // ns at 1 Gbps
	}
	if all < 19_000 || steady < all*49/100 {
		t.Errorf("a flow gets %d of %d packets beside one new flow after the other", steady, all)
	}
}

// A flow is held to its rate also between two packets of which each finds none
// before it, and is forgotten once it has its burst again.
func TestIdleFlowsKeepTheirPace(t *testing.T) {
	p := newPacer(t, 100, settings(0, 10*mbit))
	defer free(t, p)
	now, bytes := int64(second), 0
	for range 5000 {
		p.Push(1, Packet{1, 1000}, now)
		for k, leaves := p.Next(now); leaves; k, leaves = p.Next(now) {
			bytes += int(k.Len)
		}
		for _, late := p.Late(now); late; _, late = p.Late(now) {
		}
		now += 500_000 // 16 Mbps
	}
	if want := 10 * mbit / 8 * 5 / 2; bytes < want*999/1000 || bytes > want+2*frame+125 {
		t.Errorf("%d bytes left, want %d", bytes, want)
	}
	for p.Len() > 0 {
		p.Drop()
	}
	now += second
	for id := range uint64(10) {
		p.Push(100+id, Packet{1, 100}, now)
		p.Next(now)
		p.Next(now)
	}
	if p.flows.find(1) != none {
		t.Error("a flow that has its whole burst is remembered")
	}
}

// Nothing is allocated for a packet.
func TestPacerAllocatesNothing(t *testing.T) {
	p := newPacer(t, 1000, settings(100*mbit, mbit))
	defer free(t, p)
	now, flow := int64(second), uint64(0)
	n := testing.AllocsPerRun(5000, func() {
		flow = (flow + 1) % 400
		p.Push(flow, Packet{flow, 500}, now)
		p.Late(now)
		p.Next(now)
		p.Due()
		now += 10_000
	})
	if n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	p.Publish()
	if c := p.Published(); c.Waiting != uint64(p.Len()) || c.Left == 0 || c.Delayed == 0 || c.Left < c.Delayed || c.Delay == 0 || c.HighWater < c.Waiting {
		t.Errorf("%+v are counted", c)
	}
}

// What a packet costs does not depend on how many flows there are, but for the
// memory that they touch.
func BenchmarkPacer(b *testing.B) {
	for _, flows := range []int{10, 1000, 50_000} {
		for _, paced := range []bool{false, true} {
			name := map[bool]string{false: "shared", true: "each"}[paced]
			b.Run(name+"/"+itoa(flows), func(b *testing.B) {
				each := uint64(0)
				if paced {
					each = max(1000*mbit/uint64(flows)/10*9, 64_000)
				}
				p, err := New(2 * flows)
				if err != nil {
					b.Fatal(err)
				}
				s := settings(1000*mbit, each)
				s.Delay = never / 2
				p.Set(s)
				now, hashes := int64(second), make([]uint64, flows)
				for f := range flows {
					hashes[f] = rand.Uint64()
					for range 2 {
						p.Push(hashes[f], Packet{uint64(f), frame}, now)
					}
				}
				b.ResetTimer()
				for i := 0; i < b.N; {
					k, leaves := p.Next(now)
					if !leaves {
						now = max(now+1, p.Due())
						continue
					}
					p.Push(hashes[k.Buf], k, now)
					i++
				}
				b.StopTimer()
				for p.Len() > 0 {
					p.Drop()
				}
				_ = p.Free()
			})
		}
	}
}
