package microburst

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/hash"
)

// lcore is a monitor of one queue, with a clock and counters that the test owns.
type lcore struct {
	m     *Monitor
	q     *Queue
	now   int64
	total sums // what the queue took and refused since start
	flow  func() uint64
	asked int // for a flow
}

func newLcore(c Config) *lcore {
	l := &lcore{m: New(c), now: 1_000_000_000}
	l.q = l.m.Add(3, 1, 1024)
	return l
}

// round is one in which packets of size bytes come.
func (l *lcore) round(packets int, size, drops uint64, depth int) {
	l.m.At(l.now)
	l.total.packets += uint64(packets)
	l.total.bytes += uint64(packets) * size
	l.total.drops += drops
	if packets != 0 || drops != 0 || depth != 0 {
		if l.q.Note(l.total.packets, l.total.bytes, l.total.drops, uint32(depth)) {
			l.asked++
			flow := uint64(1)
			if l.flow != nil {
				flow = l.flow()
			}
			l.q.Sample(&hash.FlowKey{Tail: flow})
		}
	}
}

// idle lets time pass in rounds without packets.
func (l *lcore) idle(ns int64) {
	for end := l.now + ns; l.now < end; l.now += 2000 {
		l.round(0, 0, 0, 0)
		if l.now/100_000 != (l.now+2000)/100_000 {
			l.m.Tidy()
		}
	}
}

// events returns what is kept, the oldest first.
func (l *lcore) events() []Event {
	var all []Event
	l.m.Events(func(e *Event) bool {
		all = append([]Event{*e}, all...)
		return true
	})
	return all
}

func near(got, want int64) bool { return max(got-want, want-got) < Window }

// A generator that is on and off: each burst is found, with start and length
// right to within a window, and its bytes and packets exact.
func TestOnOff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := DefaultConfig
		c.MinLength = time.Duration(rapid.Int64Range(1, 3).Draw(t, "least") * Window)
		l := newLcore(c)
		l.idle(rapid.Int64Range(0, 3*Window).Draw(t, "phase"))
		type on struct{ start, end, bytes, packets int64 }
		var want []on
		for range rapid.IntRange(1, 6).Draw(t, "bursts") {
			// 8 Gbps and more while it is on, against a threshold of 5.
			step := rapid.Int64Range(200, 3000).Draw(t, "round")
			packets := int(rapid.Int64Range(1, 2).Draw(t, "packets") * step / 1000)
			size := uint64(step) / uint64(max(1, packets))
			packets = max(1, packets)
			b := on{start: l.now}
			for end := l.now + rapid.Int64Range(int64(c.MinLength)+2*Window, 40*Window).Draw(t, "on"); l.now < end; l.now += step {
				l.round(packets, size, 0, packets)
				b.bytes += int64(packets) * int64(size)
				b.packets += int64(packets)
			}
			b.end = l.now
			want = append(want, b)
			l.idle(rapid.Int64Range(3*Window, 40*Window).Draw(t, "off"))
		}
		l.m.Publish()
		got := l.events()
		if len(got) != len(want) {
			t.Fatalf("%d events, want %d: %+v\n%+v", len(got), len(want), got, want)
		}
		for i, b := range want {
			e := got[i]
			if !near(e.Start, b.start) || !near(e.Length, b.end-b.start) || int64(e.Bytes) != b.bytes || int64(e.Packets) != b.packets {
				t.Fatalf("burst %d from %d for %d, %d bytes in %d packets, is told as from %d for %d, %d bytes in %d packets",
					i, b.start, b.end-b.start, b.bytes, b.packets, e.Start, e.Length, e.Bytes, e.Packets)
			}
			sum := uint64(0)
			for _, n := range e.Shape {
				sum += uint64(n)
			}
			if sum != e.Bytes {
				t.Fatalf("the shape has %d bytes of %d", sum, e.Bytes)
			}
			if e.Flows[0].Key.Tail != 1 || e.Flows[0].Bytes != e.Bytes || e.Flows[1].Bytes != 0 {
				t.Fatalf("the only flow is told as %+v of %d bytes", e.Flows, e.Bytes)
			}
		}
		if s := l.m.Stats(0); s.Bursts != uint64(len(want)) || s.Bytes != l.total.bytes || s.Packets != l.total.packets {
			t.Fatalf("the figures are %+v", s)
		}
	})
}

// Over steady traffic below the threshold a burst has no pauses around it; it
// begins and ends with a window.
func TestOnSteadyTraffic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLcore(DefaultConfig)
		steady := rapid.Int64Range(10, 300).Draw(t, "steady") // bytes in 1 us: below 2.4 Gbps
		base := func(ns int64) {
			for end := l.now + ns; l.now < end; l.now += 1000 {
				l.round(1, uint64(steady), 0, 1)
			}
		}
		base(rapid.Int64Range(20, 50).Draw(t, "before") * 1000)
		start := l.now
		for end := l.now + rapid.Int64Range(60, 900).Draw(t, "on")*1000; l.now < end; l.now += 1000 {
			l.round(2, 1000, 0, 2)
		}
		end := l.now
		base(50_000)
		l.idle(100_000)
		l.m.Publish()
		got := l.events()
		if len(got) != 1 || !near(got[0].Start, start) || !near(got[0].Start+got[0].Length, end) {
			t.Fatalf("a burst from %d to %d is told as %+v", start, end, got)
		}
		if e := &got[0]; e.Start%Window != 0 || e.Length%Window != 0 || e.PeakRate != 16_000_000_000 {
			t.Fatalf("from %d for %d, at most %d", e.Start, e.Length, e.PeakRate)
		}
	})
}

// The windows against all notes in a list.
func TestWindowsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLcore(DefaultConfig)
		type note struct{ at, packets, bytes int64 }
		var notes []note
		var fill, depths [NumBuckets]uint64
		deepest := 0
		count := func(h *[NumBuckets]uint64, n int) {
			i := 0
			for ; n > 0; n /= 2 {
				i++
			}
			h[i]++
		}
		for range rapid.IntRange(0, 300).Draw(t, "rounds") {
			l.now += rapid.SampledFrom([]int64{500, 1500, 9999, 10_000, 33_000, 333_000, 40_000_000, 700_000_000}).Draw(t, "gap")
			packets, size := rapid.IntRange(0, 64).Draw(t, "packets"), rapid.Uint64Range(60, 9000).Draw(t, "size")
			depth := rapid.IntRange(packets, 1024).Draw(t, "depth")
			l.round(packets, size, 0, depth)
			deepest = max(deepest, depth)
			notes = append(notes, note{l.now, int64(packets), int64(packets) * int64(size)})
			if packets > 0 || depth >= 512 {
				count(&fill, packets)
			}
			if packets > 0 || depth > 0 {
				count(&depths, depth)
			}
			if rapid.Bool().Draw(t, "tidy") {
				l.m.Tidy()
			}
		}
		l.now += rapid.SampledFrom([]int64{Window, 50_000_000, 900_000_000, 3_000_000_000}).Draw(t, "rest")
		l.m.At(l.now)
		l.m.Publish()
		got := l.m.Stats(0)
		for i, length := range Lengths {
			bytes, packets := map[int64]int64{}, map[int64]int64{}
			var most, mostPackets int64
			for _, n := range notes {
				w := n.at / length
				bytes[w] += n.bytes
				packets[w] += n.packets
				most, mostPackets = max(most, bytes[w]), max(mostPackets, packets[w])
			}
			p := got.Peaks[i]
			if int64(p.Bytes) != most || int64(p.Packets) != mostPackets || most > 0 && (bytes[p.At/length] != most || p.At%length != 0) {
				t.Fatalf("the peak in %d ns is %+v, want %d bytes and %d packets", length, p, most, mostPackets)
			}
		}
		second, from := int64(0), l.now/100_000_000*100_000_000-1_000_000_000
		for _, n := range notes {
			if n.at >= from {
				second += n.bytes
			}
		}
		if want := float64(second) * 8e9 / float64(l.now-from); float64(got.Second) > want*1.000002+1 || float64(got.Second) < want*0.999998-1 {
			t.Fatalf("the last second had %d bits per second, want %.0f", got.Second, want)
		}
		if high := got.High; high != uint64(deepest) {
			t.Fatalf("at most %d packets were in the ring, want %d", high, deepest)
		}
		if got.Fill != fill || got.Depth != depths {
			t.Fatalf("rounds by packets %v, want %v; by depth %v, want %v", got.Fill, fill, got.Depth, depths)
		}
	})
}

// What is short is no event, unless something was lost in it.
func TestShort(t *testing.T) {
	l := newLcore(DefaultConfig)
	l.round(10, 1500, 0, 10)
	l.idle(100_000)
	l.round(10, 1500, 7, 1024)
	l.idle(100_000)
	l.m.Publish()
	e, s := l.events(), l.m.Stats(0)
	if len(e) != 1 || e[0].Drops != 7 || e[0].Packets != 10 || e[0].Length != Window || e[0].Depth != 1024 || e[0].Ring != 1024 {
		t.Errorf("the events are %+v", e)
	}
	if s.Bursts != 1 || s.Short != 1 || s.Drops != 7 {
		t.Errorf("the figures are %+v", s)
	}
}

// A ring that stays full is a burst, whether or not anything comes.
func TestFullRing(t *testing.T) {
	l := newLcore(DefaultConfig)
	start := l.now
	l.round(600, 60, 0, 600)
	for range 50 {
		l.now += 2000
		l.round(0, 0, 0, 600)
	}
	end := l.now
	for depth := 500; depth > 0; depth -= 100 { // below half of it
		l.now += 2000
		l.round(0, 0, 0, depth)
	}
	l.idle(50_000)
	l.m.Publish()
	if e := l.events(); len(e) != 1 || e[0].Start != start || e[0].Length != end-start || e[0].Depth != 600 || e[0].Bytes != 36000 {
		t.Errorf("a ring full from %d to %d is told as %+v", start, end, e)
	}
}

// While the lcore is elsewhere nothing is known; what comes after it belongs to
// the burst before it.
func TestStall(t *testing.T) {
	l := newLcore(DefaultConfig)
	on := func(ns int64) {
		for end := l.now + ns; l.now < end; l.now += 1000 {
			l.round(2, 1000, 0, 2)
		}
	}
	start := l.now
	on(100_000)
	l.now += 300_000
	on(100_000)
	end := l.now
	l.idle(100_000)
	on(100_000)
	l.now += 2_000_000 // too long for one burst
	on(100_000)
	l.idle(100_000)
	l.m.Publish()
	e := l.events()
	if len(e) != 3 || e[0].Start != start || !near(e[0].Length, end-start) || e[0].Bytes != 400_000 || e[1].Bytes != 200_000 || e[2].Bytes != 200_000 {
		t.Errorf("the events are %+v", e)
	}
}

// An overload that does not end is told second by second, and the average of the
// second is what it was.
func TestOverload(t *testing.T) {
	l := newLcore(DefaultConfig)
	for end := l.now + 3_500_000_000; l.now < end; l.now += 5000 {
		l.round(5, 1000, 0, 5)
	}
	l.idle(100_000)
	l.m.Publish()
	e := l.events()
	if len(e) != 4 {
		t.Fatalf("the events are %+v", e)
	}
	sum := uint64(0)
	for i, e := range e[:3] {
		if !near(e.Length, MaxLength) || e.PeakRate != 8_000_000_000 || e.Second < 7_990_000_000 || e.Second > 8_000_000_000 {
			t.Errorf("piece %d is %+v", i, e)
		}
		for at, n := range e.Shape {
			if have := int64(at+1)*e.Step <= e.Length; have && int64(n) != e.Step {
				t.Errorf("bin %d of piece %d, of %d ns, has %d bytes", at, i, e.Step, n)
			}
		}
	}
	for _, e := range e {
		sum += e.Bytes
	}
	if sum != l.total.bytes {
		t.Errorf("the events have %d bytes, the queue took %d", sum, l.total.bytes)
	}
}

// A burst that lasts asks for fewer and fewer flows, and still knows what share they
// have: two of them that have half each.
func TestFlowsOfALongBurst(t *testing.T) {
	l := newLcore(DefaultConfig)
	begun, random := l.now, uint32(7)
	l.flow = func() uint64 {
		random = random*1664525 + 1013904223
		return uint64(random >> 31)
	}
	for end := l.now + 900_000_000; l.now < end; l.now += 2000 {
		l.round(5, 1000, 0, 5)
		if l.now-begun == 1_000_000 && (l.asked < 150 || l.asked > 350) {
			t.Errorf("%d flows were asked for in the first millisecond, want about 250", l.asked)
		}
	}
	l.idle(100_000)
	l.m.Publish()
	if l.asked > 3000 {
		t.Errorf("%d flows were asked for in 0.9 s", l.asked)
	}
	e := l.events()
	if len(e) != 1 {
		t.Fatalf("the events are %+v", e)
	}
	for _, f := range e[0].Flows[:2] {
		if share := float64(f.Bytes) / float64(e[0].Bytes); share < 0.4 || share > 0.6 {
			t.Errorf("a flow has %.2f of the bytes, want about half", share)
		}
	}
}

// The average says little where the burst is short.
func TestAverageHidesBurst(t *testing.T) {
	l := newLcore(DefaultConfig)
	for range 100 {
		l.now += 1000
		l.round(5, 1000, 0, 5)
	}
	l.idle(100_000)
	l.m.Publish()
	if e := l.events(); len(e) != 1 || e[0].PeakRate != 40_000_000_000 || e[0].Second < 3_900_000 || e[0].Second > 4_100_000 {
		t.Errorf("the events are %+v", e)
	}
}

func TestNothingAllocates(t *testing.T) {
	l := newLcore(DefaultConfig)
	n := 0
	if a := testing.AllocsPerRun(1000, func() {
		for range 50 {
			l.now += 1000
			l.round(5, 1000, 1, 5)
		}
		l.idle(50_000)
		n++
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
	l.m.Publish()
	if s := l.m.Stats(0); s.Bursts < uint64(n) {
		t.Errorf("there were %d bursts", s.Bursts)
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"rate":   func(c *Config) { c.Rate = 799_999 },
		"share":  func(c *Config) { c.RingShare = 0 },
		"share2": func(c *Config) { c.RingShare = 101 },
		"events": func(c *Config) { c.Events = 0 },
	} {
		c := DefaultConfig
		change(&c)
		if c.Check() == nil {
			t.Errorf("%s: %+v passes", name, c)
		}
		if c.On = false; c.Check() != nil {
			t.Errorf("%s: refused though nothing is measured", name)
		}
	}
	if err := DefaultConfig.Check(); err != nil {
		t.Error(err)
	}
}
