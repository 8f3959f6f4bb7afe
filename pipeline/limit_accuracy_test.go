package pipeline

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// limitAt says where a limit is set for what web sends to app.
type limitAt struct {
	name    string
	set     func(o *policy.Objects, l policy.Limit)
	packets bool // it counts packets
	flows   int  // over which it holds
}

// savedCredits are those of the baseline in limitsAt.
const savedCredits = 10_000

var limitsAt = []limitAt{
	{"flow", func(o *policy.Objects, l policy.Limit) { o.Instances[0].Flow.Default = l }, false, 1},
	{"eni out", func(o *policy.Objects, l policy.Limit) { o.ENIs[0].Out = l }, false, 64},
	{"eni in", func(o *policy.Objects, l policy.Limit) { o.ENIs[2].In = l }, false, 64},
	{"queue", func(o *policy.Objects, l policy.Limit) { o.ENIs[2].Queue = l }, false, 64},
	{"instance out", func(o *policy.Objects, l policy.Limit) {
		o.Instances[0].Out = policy.Bandwidth{Limit: l, Baseline: l.Rate}
	}, false, 64},
	{"instance in", func(o *policy.Objects, l policy.Limit) {
		o.Instances[2].In = policy.Bandwidth{Limit: l, Baseline: l.Rate}
	}, false, 64},
	{"baseline", func(o *policy.Objects, l policy.Limit) {
		o.Instances[0].Out = policy.Bandwidth{Limit: l, Baseline: l.Rate, Credits: savedCredits}
		o.Instances[0].Out.Rate *= 10
	}, false, 64},
	{"packets", func(o *policy.Objects, l policy.Limit) { o.Instances[0].Packets = l }, true, 64},
}

// overloaded offers more than a limit lets pass, for a time, and holds what comes
// out to both bounds: in no window more than rate * t + burst, in the whole not one
// percent less than rate * t. A window begins and ends with a step, and what waits
// leaves with the slots of the wheel.
func overloaded(t tb, at limitAt, l policy.Limit, size, lcores int, offered float64, lasts time.Duration) {
	t.Helper()
	o := defaultObjects()
	at.set(o, l)
	o.ENIs[0].Queues = lcores
	b := newBed(t, bedOptions{objects: o, lcores: lcores, config: func(c *Config) { c.LimitQueue = 2048 }})
	cost, perNS := float64(size), float64(l.Rate)/8e9
	if at.packets {
		cost, perNS = 1, float64(l.Rate)/1e9
	}
	most := float64(l.Burst)
	if at.name == "baseline" {
		most += savedCredits
	}
	// So short that packets always wait, and that the port takes what comes.
	steps := max(int(offered*perNS*float64(lasts)/cost/200), int(lasts/(l.Delay/5)), 100)
	step := lasts / time.Duration(steps)
	frames := make([][]byte, at.flows)
	for i := range frames {
		frames[i] = b.sized(i, 0, size)
	}
	came, level, due, seq := 0.0, 0.0, 0.0, 0
	for range steps {
		for due += offered * perNS * float64(step) / cost; due >= 1; due-- {
			if !b.ports[b.eni("web")].Inject(seq%lcores, frames[seq%at.flows]) {
				t.Fatal("the port takes no more")
			}
			seq++
		}
		b.settle()
		b.clock.advance(step)
		b.settle()
		n := cost * float64(b.ports[b.eni("app")].Drain(0, func([]byte) {}))
		came += n
		level = max(0, level-perNS*float64(step)) + n
		if level > most+2*perNS*float64(step+1<<slotShift)+1e-6*came {
			t.Fatalf("%s, %d lcores: %v came within a step of %v where %v may be ahead", at.name, lcores, level, step, most)
		}
	}
	s, all := b.stats(), perNS*float64(step)*float64(steps)
	if came > all+most+1e-6*all || came < all*0.99-cost {
		t.Fatalf("%s of %d, %d lcores, frames of %d bytes: %v came in %v, want %v", at.name, l.Rate, lcores, size, came, lasts, all)
	}
	for r, n := range s.Drops {
		if n != 0 && drop.Reason(r).Info().Stage != drop.StageLimit {
			t.Fatalf("%d packets were dropped for %v", n, drop.Reason(r))
		}
	}
}

// Every bucket is right to one percent from 10 Mbps to 100 Gbps, through the whole
// pipeline, for every size of frames and several lcores.
func TestLimitAccuracy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SampledFrom(limitsAt).Draw(t, "limit")
		l := policy.Limit{
			Rate:  uint64(math.Pow(10, rapid.Float64Range(7, 11).Draw(t, "rate"))),
			Burst: rapid.Uint64Range(16<<10, 128<<10).Draw(t, "burst"), Delay: policy.DefaultDelay,
		}
		size := rapid.OneOf(rapid.IntRange(60, 1514), rapid.Just(1514)).Draw(t, "bytes")
		frame := time.Duration(float64(size) * 8e9 / float64(l.Rate))
		if at.packets {
			l.Rate, l.Burst = l.Rate/8/uint64(size), 64
		}
		overloaded(t, at, l, size, rapid.IntRange(1, 3).Draw(t, "lcores"), rapid.Float64Range(1.2, 3).Draw(t, "load"), max(1500*frame, 300*time.Microsecond))
	})
}

// What comes in a second, as an instance's owner would measure it.
func TestLimitAccuracyOverASecond(t *testing.T) {
	for _, at := range limitsAt {
		for _, rate := range []uint64{10 * mbit, 500 * mbit, 2500 * mbit} {
			l := policy.Limit{Rate: rate, Burst: 64 << 10, Delay: policy.DefaultDelay}
			if at.packets {
				l.Rate, l.Burst = rate/8/1514, 64
			}
			overloaded(t, at, l, 1514, 1, 1.5, time.Second)
		}
	}
}
