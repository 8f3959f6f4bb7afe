package shaper

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// exactCredits is a bucket of credits in fractions of a byte.
type exactCredits struct {
	at   int64
	left *big.Rat // below 0 where credits are owed
}

func (e *exactCredits) earn(baseline, size uint64, now int64) {
	if now <= e.at {
		return
	}
	come := new(big.Rat).SetInt(new(big.Int).Mul(new(big.Int).SetUint64(baseline), big.NewInt(now-e.at)))
	e.left.Add(e.left, come.Quo(come, ratOf(bitNanoseconds)))
	if full := ratOf(size); e.left.Cmp(full) > 0 {
		e.left = full
	}
	e.at = now
}

// due returns when n bytes are there, in ns, rounded up.
func (e *exactCredits) due(baseline, size uint64, now int64, n uint32) int64 {
	e.earn(baseline, size, now)
	lacks := new(big.Rat).Sub(ratOf(uint64(n)), e.left)
	if lacks.Sign() <= 0 {
		return now
	}
	wait := lacks.Mul(lacks, ratOf(bitNanoseconds))
	wait.Quo(wait, ratOf(baseline))
	ns, rest := new(big.Int).QuoRem(wait.Num(), wait.Denom(), new(big.Int))
	if rest.Sign() != 0 {
		ns.Add(ns, big.NewInt(1))
	}
	ns.Add(ns, big.NewInt(e.at))
	if !ns.IsInt64() {
		return math.MaxInt64
	}
	return max(now, ns.Int64())
}

func ratOf(n uint64) *big.Rat { return new(big.Rat).SetInt(new(big.Int).SetUint64(n)) }

// Credits are what exact arithmetic says, to the nanosecond and the byte, over
// hours of packets and pauses.
func TestCreditsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		baseline := rapid.SampledFrom([]uint64{64_000, 781_000_000, 12_500_000_000, 999_999_999_999, 1}).Draw(t, "baseline")
		if baseline == 1 {
			baseline = rapid.Uint64Range(1, 1<<40).Draw(t, "odd baseline")
		}
		size := rapid.OneOf(rapid.Uint64Range(0, 1<<17), rapid.Uint64Range(0, 1<<50)).Draw(t, "size")
		l := NewCreditLimit(baseline, size)
		now := rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start")
		var got Credits
		want := exactCredits{left: ratOf(size)}
		last, lastNow := int64(0), int64(0) // of the last packet charged
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				now += rapid.Int64Range(0, 5000).Draw(t, "ns")
			case 1:
				now += rapid.Int64Range(0, int64(time.Second)).Draw(t, "gap")
			case 2:
				now += rapid.Int64Range(0, int64(time.Hour)).Draw(t, "pause")
			case 3: // time stands still, or goes back
				now -= rapid.Int64Range(0, min(now, 100)).Draw(t, "back")
			}
			n := rapid.OneOf(rapid.Uint32Range(60, 9015), rapid.Uint32()).Draw(t, "bytes")
			due := got.Due(l, now, n)
			if exact := want.due(baseline, size, now, n); due != exact {
				t.Fatalf("at %d: %d bytes may leave at %d, want %d", now, n, due, exact)
			}
			if due == math.MaxInt64 || rapid.IntRange(0, 4).Draw(t, "dropped") == 0 {
				continue
			}
			if now >= lastNow && due < last {
				t.Fatalf("at %d: a packet may leave at %d, before the last one at %d", now, due, last)
			}
			last, lastNow = due, now
			got.Spend(n)
			want.left.Sub(want.left, ratOf(uint64(n)))
			left := new(big.Rat).Set(want.left)
			if left.Sign() < 0 {
				left.SetInt64(0)
			}
			floor := new(big.Int).Quo(left.Num(), left.Denom()) // a byte counts when it is there as a whole
			if have := got.Left(l, now); new(big.Int).SetUint64(have).Cmp(floor) != 0 {
				t.Fatalf("at %d: %d bytes are left, want %v", now, have, floor)
			}
		}
	})
}

// An instance bursts from full credits for the time that they pay for, is held
// to its baseline then, earns while it sends less, and is full again in the end:
// hour by hour, as the table of a c7i.large has it.
func TestCreditsOverHours(t *testing.T) {
	const (
		rate, baseline = 12_500_000_000, 781_000_000
		lasting        = 1800 // s
		size           = (rate - baseline) / 8 * lasting
		step           = 10 * time.Millisecond
	)
	l := NewCreditLimit(baseline, size)
	var c Credits
	now := int64(0)
	// send offers so many bits a second for so long, in packets of one step
	// each, and returns what has passed at once.
	send := func(offered uint64, lasts time.Duration) (passed uint64) {
		packet := uint32(offered / 8 / uint64(time.Second/step))
		for end := now + int64(lasts); now < end; now += int64(step) {
			if c.Due(l, now, packet) == now {
				c.Spend(packet)
				passed += uint64(packet)
			}
		}
		return passed
	}
	within := func(what string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance*want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	within("first half hour", float64(send(rate, 30*time.Minute)), rate/8*1800, 1e-4)
	within("credits after it", float64(c.Left(l, now))+1e9, 1e9, 0.02) // a step's worth at the most
	within("the next ten minutes", float64(send(rate, 10*time.Minute)), baseline/8*600, 0.001)

	before := c.Left(l, now)
	within("an hour at half of the baseline", float64(send(baseline/2, time.Hour)), baseline/2/8*3600, 1e-6)
	within("earned in it", float64(c.Left(l, now)-before), baseline/2/8*3600, 1e-6)
	before = c.Left(l, now)
	send(baseline, time.Hour)
	within("kept at the baseline", float64(c.Left(l, now)), float64(before), 1e-3)

	now += int64(size * 8 / baseline * uint64(time.Second)) // long enough for all of them
	if left := c.Left(l, now); left != size {
		t.Errorf("%d bytes after a long rest, want %d", left, uint64(size))
	}
	now += int64(100 * 24 * time.Hour)
	if left := c.Left(l, now); left != size {
		t.Errorf("%d bytes after a longer one, want %d", left, uint64(size))
	}
}

// Whatever is sent in whatever time, no more passes than what was there and
// what has come since.
func TestCreditsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		baseline := rapid.Uint64Range(64_000, 1<<40).Draw(t, "baseline")
		size := rapid.Uint64Range(0, 1<<32).Draw(t, "size")
		l := NewCreditLimit(baseline, size)
		var c Credits
		now, sent := int64(0), new(big.Int)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			n := rapid.Uint32Range(60, 1<<20).Draw(t, "bytes")
			now = c.Due(l, now, n) + rapid.Int64Range(0, 1000).Draw(t, "late")
			c.Spend(n)
			sent.Add(sent, big.NewInt(int64(n)))
		}
		most := new(big.Int).Mul(new(big.Int).SetUint64(baseline), big.NewInt(now))
		most.Div(most, big.NewInt(bitNanoseconds))
		if most.Add(most, new(big.Int).SetUint64(size)); sent.Cmp(most) > 0 {
			t.Fatalf("%v bytes have passed in %d ns, of at most %v", sent, now, most)
		}
	})
}

// A new limit takes nothing away but what its bucket does not hold.
func TestCreditsResize(t *testing.T) {
	const baseline = 8_000_000 // a byte each us
	from := NewCreditLimit(baseline, 10_000)
	for _, tc := range []struct {
		spent      uint32
		size, left uint64
		wait       int64 // us until a packet of 1,000 bytes may leave
	}{
		{0, 20_000, 10_000, 0},     // what is there, in a larger bucket
		{4_000, 20_000, 6_000, 0},  // the same
		{4_000, 5_000, 5_000, 0},   // as much as fits
		{4_000, 500, 500, 500},     // less than a packet
		{12_000, 20_000, 0, 3_000}, // 2,000 owed, and 1,000 for the packet
		{12_000, 500, 0, 3_000},    // the same
	} {
		var c Credits
		c.Spend(tc.spent)
		to := NewCreditLimit(baseline, tc.size)
		c.Resize(from, to, 0)
		if left, due := c.Left(to, 0), c.Due(to, 0, 1000); left != tc.left || due != tc.wait*1000 {
			t.Errorf("%d spent, size %d: %d left, a packet in %d ns; want %d and %d us", tc.spent, tc.size, left, due, tc.left, tc.wait)
		}
	}
}

func TestCreditsOfNoLimit(t *testing.T) {
	var c Credits
	c.Spend(math.MaxUint32)
	if due := c.Due(CreditLimit{}, 7, 1500); due != 7 {
		t.Errorf("without a limit a packet may leave at %d, want at once", due)
	}
}
