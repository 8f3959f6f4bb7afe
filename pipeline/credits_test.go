package pipeline

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// creditTwin is a bandwidth of an instance in whole bytes: a bucket of the burst's
// rate and one of credits.
type creditTwin struct {
	of          policy.Bandwidth
	rate, saved shaper.CreditLimit
	burst       shaper.Credits
	credits     shaper.Credits
	leaving     []int64 // ns: when packets leave that have not yet
	left        int     // packets that have
}

func newCreditTwin(of policy.Bandwidth) *creditTwin {
	return &creditTwin{of: of, rate: shaper.NewCreditLimit(of.Rate, of.Burst), saved: shaper.NewCreditLimit(of.Baseline, of.Credits+of.Burst)}
}

func (c *creditTwin) packet(now int64, n uint32) {
	at := max(c.burst.Due(c.rate, now, n), c.credits.Due(c.saved, now, n))
	if at-now > int64(c.of.Delay) {
		return
	}
	c.burst.Spend(n)
	c.credits.Spend(n)
	c.leaving = append(c.leaving, at)
}

// until lets leave what does so until now.
func (c *creditTwin) until(now int64) {
	for len(c.leaving) != 0 && c.leaving[0] <= now {
		c.leaving = c.leaving[1:]
		c.left++
	}
}

// An instance that is busy and idle in turns gets, over hours, what an exact bucket
// of credits gives it, to three packets at every moment; and explain says what that
// bucket has left.
func TestCreditsOverHours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := defaultObjects()
		way := policy.Bandwidth{
			Limit: policy.Limit{
				Rate:  rapid.Uint64Range(200_000, 4_000_000).Draw(t, "rate"),
				Burst: rapid.Uint64Range(2000, 20_000).Draw(t, "burst"), Delay: policy.MaxDelay,
			},
			Credits: rapid.Uint64Range(0, 400_000).Draw(t, "credits"),
		}
		way.Baseline = rapid.Uint64Range(policy.MinBandwidth, way.Rate/2).Draw(t, "baseline")
		out := rapid.Bool().Draw(t, "out")
		if out {
			o.Instances[0].Out = way
		} else {
			o.Instances[2].In = way
		}
		b, twin := newBed(t, bedOptions{objects: o}), newCreditTwin(way)
		came, seq := 0, 0
		for range rapid.IntRange(1, 5).Draw(t, "phases") {
			// Busy for some seconds, at less than the baseline or more than the rate.
			size := rapid.IntRange(60, 1514).Draw(t, "bytes")
			load := float64(way.Rate) * rapid.Float64Range(0.1, 1.5).Draw(t, "load")
			step := 20 * time.Millisecond
			due := 0.0
			for range rapid.IntRange(50, 400).Draw(t, "steps") {
				for due += load / 8 * step.Seconds() / float64(size); due >= 1; due-- {
					b.inject("web", b.sized(1, seq, size))
					twin.packet(b.clock.Now(), uint32(size))
					seq++
				}
				b.settle()
				b.clock.advance(step)
				b.settle()
				twin.until(b.clock.Now() - 1<<slotShift)
				least := twin.left
				twin.until(b.clock.Now())
				came += len(b.received("app"))
				if came < least-3 || came > twin.left+3 {
					t.Fatalf("%d packets of %d bytes came, want %d", came, size, twin.left)
				}
			}
			// And idle for up to hours.
			b.clock.advance(time.Duration(rapid.OneOf(rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(0, int64(3*time.Hour))).Draw(t, "idle")))
			b.settle()
			twin.until(b.clock.Now())
			came += len(b.received("app"))
			said, exact := b.creditsLeft(t), twin.credits.Left(twin.saved, b.clock.Now())
			if math.Abs(float64(said)-float64(exact)) > 3*1514 {
				t.Fatalf("explain says that %d credits are left, want %d", said, exact)
			}
		}
		if s := b.stats(); s.Dropped() != s.Drops[drop.BWOutAllowanceExceeded]+s.Drops[drop.BWInAllowanceExceeded] {
			t.Fatalf("dropped for other reasons: %v", s.Drops)
		}
	})
}

// creditsLeft returns what explain says that is left of the only credits.
func (b *bed) creditsLeft(t *rapid.T) uint64 {
	x := b.engine.Explain(b.eni("web"), b.sized(1, 0, 60))
	for _, l := range x.Limits {
		if l.Credits {
			return l.Left
		}
	}
	t.Fatalf("explain knows of no credits: %+v", x.Limits)
	return 0
}
