package shaper

import (
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

const second = 1_000_000_000

// twin is a bucket as one is usually described: tokens that drip in.
type twin struct {
	last, tokens int64 // ticks
}

func newTwin(l Limit) *twin { return &twin{tokens: l.span} }

func (b *twin) take(l Limit, now int64, n uint32) bool {
	b.tokens = min(b.tokens+(now-b.last)<<tickShift, l.span)
	b.last = now
	if b.tokens < int64(n)*l.cost {
		return false
	}
	b.tokens -= int64(n) * l.cost
	return true
}

func drawLimit(t *rapid.T) (rate, depth uint32) {
	rate = rapid.OneOf(rapid.Uint32Range(1, 2000), rapid.Uint32Range(1, 100_000_000), rapid.Just(uint32(1024))).Draw(t, "rate")
	return rate, rapid.OneOf(rapid.Uint32Range(0, 20), rapid.Just(DefaultDepth(rate))).Draw(t, "depth")
}

// drawGap draws a time between two packets: none, near what one packet costs,
// or long.
func drawGap(t *rapid.T, rate, depth uint32) int64 {
	cost := second / int64(rate)
	return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 2*cost+2),
		rapid.Int64Range(0, cost*int64(depth+2)+2)).Draw(t, "gap")
}

func TestBucketTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, depth := drawLimit(t)
		l := NewLimit(rate, depth)
		var b Bucket
		want, now := newTwin(l), int64(0)
		for range rapid.IntRange(1, 100).Draw(t, "packets") {
			now += drawGap(t, rate, depth)
			n := rapid.Uint32Range(1, 4).Draw(t, "n")
			if got, want := b.Take(l, now, n), want.take(l, now, n); got != want {
				t.Fatalf("%d packets at %d: %v, the twin says %v", n, now, got, want)
			}
		}
	})
}

// passed are the times at which packets passed.
type passed []int64

// check reports whether in no window more packets passed than rate * t + depth.
func (p passed) check(t rapid.TB, rate, depth uint32) {
	t.Helper()
	for i := range p {
		for j := i; j < len(p); j++ {
			// n <= rate * t + depth, in packets and seconds, without rounding.
			if n := int64(j - i + 1); (n-int64(max(depth, 1)))*second > int64(rate)*(p[j]-p[i]) {
				t.Fatalf("%d packets passed in %d ns at %d a second with depth %d", n, p[j]-p[i], rate, depth)
			}
		}
	}
}

func TestNoWindowHasMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, depth := drawLimit(t)
		l := NewLimit(rate, depth)
		var b Bucket
		var p passed
		now := int64(0)
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			now += drawGap(t, rate, depth)
			if b.Take(l, now, 1) {
				p = append(p, now)
			}
		}
		p.check(t, rate, depth)
	})
}

// Several lcores, each with a clock that is a little behind the others', pass no
// more together than one may.
func TestSharesTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, depth := drawLimit(t)
		lcores := rapid.IntRange(1, 6).Draw(t, "lcores")
		l := NewSharedLimit(rate, depth, lcores)
		var s Shared
		shares := make([]Share, lcores)
		var p passed
		now := int64(0)
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			now += drawGap(t, rate, depth)
			if shares[rapid.IntRange(0, lcores-1).Draw(t, "lcore")].Take(&s, l, now) {
				p = append(p, now)
			}
			for i := range shares {
				if shares[i].held >= l.quantum {
					t.Fatalf("lcore %d holds %d packets of a quantum of %d", i, shares[i].held, l.quantum)
				}
			}
		}
		p.check(t, rate, depth)
	})
}

// One lcore alone loses nothing by sharing at the rates where a quantum is one
// packet: it is the plain bucket.
func TestShareTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, depth := rapid.Uint32Range(1, borrowings).Draw(t, "rate"), rapid.Uint32Range(0, 20).Draw(t, "depth")
		l, plain := NewSharedLimit(rate, depth, 4), NewLimit(rate, depth)
		var s Shared
		var share Share
		var b Bucket
		now := int64(0)
		for range rapid.IntRange(1, 100).Draw(t, "packets") {
			now += drawGap(t, rate, depth)
			if got, want := share.Take(&s, l, now), b.Take(plain, now, 1); got != want {
				t.Fatalf("at %d: %v, the plain bucket says %v", now, got, want)
			}
		}
	})
}

// A source that never stops gets the whole rate, and a burst of the whole depth
// after a rest.
func TestTheWholeRate(t *testing.T) {
	const rate, depth = 1024, 128
	l := NewLimit(rate, depth)
	var b Bucket
	n := 0
	for now := int64(0); now < 10*second; now += 1000 {
		if b.Take(l, now, 1) {
			n++
		}
	}
	if n != 10*rate+depth-1 { // the last falls due with the last nanosecond
		t.Errorf("%d packets passed in 10 s", n)
	}
	n = 0
	for range 2 * depth {
		if b.Take(l, 20*second, 1) {
			n++
		}
	}
	if n != depth {
		t.Errorf("a burst of %d passed, want %d", n, depth)
	}
}

func TestManyAtOnce(t *testing.T) {
	l := NewLimit(1000, 10)
	var b Bucket
	if b.Take(l, 0, 11) {
		t.Error("more than the depth passed at once")
	}
	if !b.Take(l, 0, 10) || b.Take(l, 0, 1) {
		t.Error("the depth did not pass, or more than that did")
	}
}

func TestNoLimit(t *testing.T) {
	var b Bucket
	var s Shared
	var c Share
	l, shared := NewLimit(0, 5), NewSharedLimit(0, 5, 2)
	for range 1000 {
		if !b.Take(l, 1, 1) || !c.Take(&s, shared, 1) {
			t.Fatal("a rate of 0 limits")
		}
	}
	if l.Limits() || shared.Limits() {
		t.Error("a rate of 0 says that it limits")
	}
}

// A limit can change: what passed by the old one is not forgotten, and nothing
// waits for longer than the bucket takes to fill.
func TestLimitChanges(t *testing.T) {
	slow, fast := NewLimit(10, 10), NewLimit(1000, 10)
	var b Bucket
	if !b.Take(fast, 0, 10) || b.Take(slow, 5_000_000, 10) || !b.Take(slow, 10_000_000, 10) {
		t.Error("the fast limit's burst does not cost its 10 ms")
	}
	if b.Take(fast, second/2, 1) || !b.Take(fast, second+20_000_000, 10) {
		t.Error("the slow limit's burst does not cost its second")
	}
}

// At a high rate lcores share quanta, and one that got none finds what another
// did not take.
func TestQuanta(t *testing.T) {
	l := NewSharedLimit(1_000_000, 1000, 4)
	if l.quantum != 123 { // 999,999 / 8,192 and one
		t.Errorf("a quantum is %d packets", l.quantum)
	}
	if l := NewSharedLimit(1_000_000, 100, 4); l.quantum != 13 || l.limit.span != 52*l.limit.cost {
		t.Errorf("of a depth of 100 four lcores can hold back %d each, and %d are shared", l.quantum-1, l.limit.span/l.limit.cost)
	}
	var s Shared
	var a, b Share
	n := 0
	for a.Take(&s, l, 0) || b.Take(&s, l, 0) {
		n++
	}
	if n != 1000-4*122 {
		t.Errorf("a burst of %d passed", n)
	}
}

// Lcores that take at the same time lose and gain nothing.
func TestSharesRace(t *testing.T) {
	const lcores, depth = 4, 1000
	l := NewSharedLimit(1_000_000, depth, lcores)
	var s Shared
	var wg sync.WaitGroup
	got, left := [lcores]int64{}, [lcores]Share{}
	for i := range lcores {
		wg.Go(func() {
			for range 2 * depth {
				if left[i].Take(&s, l, second) {
					got[i]++
				}
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	sum := int64(0)
	for i := range lcores {
		sum += got[i] + left[i].held
	}
	if want := l.limit.span / l.limit.cost; sum != want {
		t.Errorf("%d packets were taken or are held, of %d", sum, want)
	}
}

func TestExtremes(t *testing.T) {
	l := NewLimit(1, 1<<32-1) // the bucket is bounded by time
	var b Bucket
	if !b.Take(l, 1, 1<<25) || b.Take(l, 1, 1<<32-1) {
		t.Error("the deepest bucket")
	}
	l = NewLimit(1<<32-1, 1)
	b = Bucket{}
	if !b.Take(l, 1, 1) || b.Take(l, 1, 1) || !b.Take(l, 2, 1) {
		t.Error("the fastest bucket")
	}
}

func TestNoAllocation(t *testing.T) {
	var b Bucket
	var s Shared
	var c Share
	l, shared := NewLimit(1024, 128), NewSharedLimit(1024, 128, 2)
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		now += 500_000
		b.Take(l, now, 1)
		c.Take(&s, shared, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
