package shaper

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// left is a packet that left at a time.
type left struct {
	at    int64
	bytes uint32
}

// checkBits reports whether in some window more left than rate * t + burst, by
// whole numbers without rounding. The times are rounded up to whole nanoseconds,
// so that a window may be one longer than it seems.
func checkBits(t rapid.TB, all []left, rate, burst uint64) {
	t.Helper()
	slices.SortStableFunc(all, func(a, b left) int { return int(a.at - b.at) })
	for i := range all {
		sum := uint64(0)
		for j := i; j < len(all); j++ {
			sum += uint64(all[j].bytes)
			if sum <= burst {
				continue
			}
			over := new(big.Int).Mul(new(big.Int).SetUint64((sum-burst)*8), big.NewInt(second))
			may := new(big.Int).Mul(new(big.Int).SetUint64(rate), big.NewInt(all[j].at-all[i].at+1))
			if over.Cmp(may) > 0 {
				t.Fatalf("%d bytes left in %d ns at %d bits a second with a burst of %d", sum, all[j].at-all[i].at, rate, burst)
			}
		}
	}
}

func drawBits(t *rapid.T) uint64 {
	return rapid.OneOf(rapid.Uint64Range(64_000, 10_000_000), rapid.Uint64Range(10_000_000, 100_000_000_000),
		rapid.SampledFrom([]uint64{10_000_000, 1_000_000_000, 5_000_000_000, 100_000_000_000})).Draw(t, "rate")
}

// drawArrival draws a time between two packets: none, near what one costs at the
// rate, or as long as the bucket takes to fill.
func drawArrival(t *rapid.T, rate, burst uint64) int64 {
	frame := int64(8 * 1500 * second / float64(rate))
	return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 2*frame+2),
		rapid.Int64Range(0, int64(float64(burst)*8*second/float64(rate))+2)).Draw(t, "gap")
}

// A clock's times never let more leave than the rate and the burst, only grow, are
// never earlier than the packet, and never later than the longest delay.
func TestClockNeverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := drawBits(t), rapid.Uint64Range(1514, 1<<20).Draw(t, "burst")
		delay := time.Duration(rapid.Int64Range(0, int64(10*time.Millisecond)).Draw(t, "delay"))
		r := NewBandwidth(rate, burst, delay, 1)
		var c Clock
		var all []left
		now, last := int64(second), int64(0)
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			now += drawArrival(t, rate, burst)
			n := rapid.Uint32Range(60, 1514).Draw(t, "bytes")
			at, ok := c.Departure(&r, r.Cost(n), now)
			if !ok {
				continue
			}
			if at < now || at > now+int64(delay)+1 || at < last {
				t.Fatalf("a packet of %d leaves at %d after %d, with a delay of %v", now, at, last, delay)
			}
			c.Charge(r.Cost(n))
			all, last = append(all, left{at, n}), at
		}
		checkBits(t, all, rate, burst)
	})
}

// exact is a token bucket with a queue in whole numbers of any size.
type exact struct {
	rate   *big.Int // bits a second
	tokens *big.Int // bits * ns
	depth  *big.Int
	now    int64
}

// leaves returns the nanosecond at which n bytes may leave that come at now, behind
// all before them, and takes them out then.
func (e *exact) leaves(now int64, n uint32) int64 {
	e.to(max(now, e.now))
	need := new(big.Int).Mul(big.NewInt(int64(n)*8), big.NewInt(second))
	if missing := new(big.Int).Sub(need, e.tokens); missing.Sign() > 0 {
		wait, rest := new(big.Int).DivMod(missing, e.rate, new(big.Int))
		if rest.Sign() > 0 {
			wait.Add(wait, big.NewInt(1))
		}
		e.to(e.now + wait.Int64())
	}
	e.tokens.Sub(e.tokens, need)
	return e.now
}

func (e *exact) to(now int64) {
	e.tokens.Add(e.tokens, new(big.Int).Mul(e.rate, big.NewInt(now-e.now)))
	if e.tokens.Cmp(e.depth) > 0 {
		e.tokens.Set(e.depth)
	}
	e.now = now
}

// A clock agrees with the exact bucket, over any arrivals, to a nanosecond and the
// third of a percent by which a packet's cost is rounded up. The burst is larger
// than a packet, so that the exact bucket, which looks at whole nanoseconds, is
// never full while one waits.
func TestClockTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := drawBits(t), rapid.Uint64Range(2000, 1<<20).Draw(t, "burst")
		r := NewBandwidth(rate, burst, time.Hour, 1)
		depth := new(big.Int).Mul(new(big.Int).SetUint64(burst*8), big.NewInt(second))
		twin := exact{rate: new(big.Int).SetUint64(rate), tokens: new(big.Int).Set(depth), depth: depth, now: second}
		var c Clock
		now, sum := int64(second), 0.0
		for range rapid.IntRange(1, 100).Draw(t, "packets") {
			now += drawArrival(t, rate, burst)
			n := rapid.Uint32Range(60, 1514).Draw(t, "bytes")
			got, ok := c.Departure(&r, r.Cost(n), now)
			if !ok {
				t.Fatal("an hour is too long")
			}
			c.Charge(r.Cost(n))
			want := twin.leaves(now, n)
			sum += float64(n) * 8 * second / float64(rate)
			if late := float64(got - want); late < -1 || late > 2+sum/300 {
				t.Fatalf("a packet of %d bytes at %d leaves at %d, the exact bucket says %d", n, now, got, want)
			}
		}
	})
}

// What a source that never stops gets in a second is the rate, to less than one
// percent, for all rates and sizes.
func TestRateError(t *testing.T) {
	for _, rate := range []uint64{10_000_000, 100_000_000, 1_000_000_000, 5_000_000_000, 10_000_000_000, 25_000_000_000, 100_000_000_000} {
		for _, n := range []uint32{60, 61, 64, 576, 1514, 9015} {
			r := NewBandwidth(rate, 64<<10, 10*time.Millisecond, 1)
			var c Clock
			now, sum := int64(second), uint64(0)
			const span = second / 10
			for {
				at, ok := c.Departure(&r, r.Cost(n), now)
				if !ok {
					t.Fatal("a packet that comes when it may leave waits for too long")
				}
				if now = at; now >= second+span {
					break
				}
				c.Charge(r.Cost(n))
				sum += uint64(n) * 8
			}
			got, want := float64(sum)-8*64<<10, float64(rate)/10
			if got > want || got < want*0.99-8*float64(n) {
				t.Errorf("%d bits a second in frames of %d: %.0f bits in 100 ms, want %.0f", rate, n, got, want)
			}
		}
	}
}

// Lcores that share a bucket pass no more together than one may, and each one's
// times only grow, whatever they borrow.
func TestLeasesNeverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := drawBits(t), rapid.Uint64Range(1514, 1<<20).Draw(t, "burst")
		delay := time.Duration(rapid.Int64Range(0, int64(10*time.Millisecond)).Draw(t, "delay"))
		lcores := rapid.IntRange(1, 5).Draw(t, "lcores")
		r := NewBandwidth(rate, burst, delay, lcores)
		var s SharedClock
		leases, last := make([]Lease, lcores), make([]int64, lcores)
		var all []left
		now := int64(second)
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			now += drawArrival(t, rate, burst)
			i, n := rapid.IntRange(0, lcores-1).Draw(t, "lcore"), rapid.Uint32Range(60, 1514).Draw(t, "bytes")
			at, ok := leases[i].Departure(&s, &r, r.Cost(n), now)
			if !ok || rapid.IntRange(0, 9).Draw(t, "refused elsewhere") == 0 {
				continue
			}
			if at < now || at > now+int64(delay)+1 || at < last[i] {
				t.Fatalf("lcore %d: a packet of %d leaves at %d after %d, with a delay of %v", i, now, at, last[i], delay)
			}
			leases[i].Charge(r.Cost(n))
			all, last[i] = append(all, left{at, n}), at
		}
		checkBits(t, all, rate, burst)
	})
}

// One lcore alone loses nothing by borrowing: as long as it is busy it is the
// plain clock.
func TestLeaseTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := drawBits(t)
		r := NewBandwidth(rate, 64<<10, 50*time.Millisecond, 3)
		var s SharedClock
		var l Lease
		var c Clock
		now := int64(second)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			n := rapid.Uint32Range(60, 1514).Draw(t, "bytes")
			got, ok := l.Departure(&s, &r, r.Cost(n), now)
			want, fine := c.Departure(&r, r.Cost(n), now)
			if got != want && ok && fine || ok != fine {
				t.Fatalf("%d bytes at %d: %d, %v; the plain clock says %d, %v", n, now, got, ok, want, fine)
			}
			if ok {
				l.Charge(r.Cost(n))
				c.Charge(r.Cost(n))
			}
		}
	})
}

// Lcores that together ask for more than the rate get all of it, to one percent
// over a second, however unequally they ask.
func TestLeasesGetTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Uint64Range(10_000_000, 500_000_000).Draw(t, "rate")
		lcores := rapid.IntRange(1, 4).Draw(t, "lcores")
		r := NewBandwidth(rate, 64<<10, 5*time.Millisecond, lcores)
		var s SharedClock
		leases, due, gaps := make([]Lease, lcores), make([]int64, lcores), make([]int64, lcores)
		frame := float64(8*1000) * second / float64(rate)
		for i := range gaps { // the first alone asks for nine tenths more than there is
			share := 1.9
			if i > 0 {
				share = rapid.Float64Range(0.001, 0.5).Draw(t, "share")
			}
			gaps[i], due[i] = int64(frame/share), second
		}
		sum := uint64(0)
		for {
			i := 0
			for j := range due {
				if due[j] < due[i] {
					i = j
				}
			}
			now := due[i]
			if now >= 2*second {
				break
			}
			due[i] += gaps[i]
			n := uint32(60 + (now/7)%1455) // all sizes
			if _, ok := leases[i].Departure(&s, &r, r.Cost(n), now); ok {
				leases[i].Charge(r.Cost(n))
				sum += uint64(n) * 8
			}
		}
		// The bucket, and what may wait at the end, come on top.
		if want := float64(rate); float64(sum) < want*0.99 {
			t.Errorf("%d lcores got %d bits in a second of %d", lcores, sum, rate)
		}
	})
}

func TestPacketRate(t *testing.T) {
	r := NewPacketRate(1000, 64, time.Millisecond, 1)
	var s SharedClock
	var l Lease
	for i := range 66 {
		at, ok := l.Departure(&s, &r, r.Cost(9000), second)
		want := int64(second) // the burst, and one that waits for the whole delay
		if i == 64 {
			want += 1_000_000
		}
		if ok != (i < 65) || ok && at != want {
			t.Fatalf("packet %d: %d, %v", i, at, ok)
		}
		if ok {
			l.Charge(r.Cost(9000))
		}
	}
}

// A rate can change: what an old one has put far ahead counts as an empty bucket.
func TestRateChanges(t *testing.T) {
	slow, fast := NewBandwidth(64_000, 1<<30, 0, 2), NewBandwidth(1_000_000_000, 64<<10, time.Millisecond, 2)
	var s SharedClock
	var l Lease
	var c Clock
	for range 1 << 17 {
		l.Departure(&s, &slow, slow.Cost(8000), second)
		l.Charge(slow.Cost(8000))
		c.Departure(&slow, slow.Cost(8000), second)
		c.Charge(slow.Cost(8000))
	}
	now := int64(second + 20_000_000)
	l.Departure(&s, &fast, fast.Cost(1500), now)
	c.Departure(&fast, fast.Cost(1500), now)
	if _, ok := l.Departure(&s, &fast, fast.Cost(1500), now+10_000_000); !ok {
		t.Error("a lease waits for what passed by another rate")
	}
	if _, ok := c.Departure(&fast, fast.Cost(1500), now); ok {
		t.Error("an empty bucket passes a packet at once")
	}
	c.Charge(fast.Cost(1500))
	if _, ok := c.Departure(&fast, fast.Cost(1500), now+10_000_000); !ok {
		t.Error("a clock waits for what passed by another rate")
	}
}

func TestNoRate(t *testing.T) {
	if r := NewBandwidth(0, 5, 0, 1); r.Limits() {
		t.Error("no bandwidth limits")
	}
	if r := NewPacketRate(0, 5, 0, 1); r.Limits() {
		t.Error("no packet rate limits")
	}
}
