package pipeline

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// What explain says of the limits of a packet is what they then do with it, for
// each kind, on any number of lcores, and while others wait; and what it says is
// left of a bucket is what decides.
func TestExplainForeseesLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := func(name string) policy.Limit {
			return policy.Limit{
				Rate:  rapid.SampledFrom([]uint64{0, mbit, 10 * mbit, 1000 * mbit}).Draw(t, name),
				Burst: rapid.Uint64Range(1514, 6000).Draw(t, "burst"),
				Delay: time.Duration(rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(t, "delay")),
			}
		}
		o := defaultObjects()
		o.Instances[0].Flow.Default = limit("flow")
		o.ENIs[0].Out, o.ENIs[2].In, o.ENIs[2].Queue = limit("out"), limit("in"), limit("queue")
		o.Instances[0].Out = policy.Bandwidth{Limit: limit("instance out")}
		if rate := o.Instances[0].Out.Rate; rate != 0 {
			o.Instances[0].Out.Baseline, o.Instances[0].Out.Credits = rate/2, 3000
		}
		o.Instances[2].Packets = policy.Limit{Rate: rapid.SampledFrom([]uint64{0, 1000}).Draw(t, "packets"), Burst: 3, Delay: 2 * time.Millisecond}
		o.ENIs[2].Queues = rapid.IntRange(1, 3).Draw(t, "queues")
		b := newBed(t, bedOptions{objects: o, lcores: rapid.IntRange(1, 3).Draw(t, "lcores")})
		for seq := range rapid.IntRange(1, 60).Draw(t, "packets") {
			b.clock.advance(time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 20_000), rapid.Int64Range(0, 10_000_000)).Draw(t, "gap")))
			b.settle()
			b.received("app")
			foreseen(t, b, b.sized(rapid.IntRange(0, 3).Draw(t, "flow"), seq, rapid.IntRange(60, 1514).Draw(t, "bytes")))
		}
	})
}

// foreseen sends a frame, and compares what becomes of it with what explain said.
func foreseen(t *rapid.T, b *bed, frame []byte) {
	x := b.engine.Explain(b.eni("web"), frame)
	for _, s := range x.Limits {
		cost := uint64(len(frame))
		if s.Kind == LimitPackets {
			cost = 1
		}
		if passes := !s.Drops && s.Wait == 0; cost <= s.Left != passes && cost != s.Left && cost != s.Left+1 || s.Left > s.Depth {
			t.Fatalf("a frame of %d bytes: %+v", len(frame), s)
		}
	}
	before, waiting := b.stats(), b.limited()
	b.inject("web", frame)
	after := b.settle()
	got := outcome{verdict: VerdictForward, egress: x.Egress, queue: int(x.Queue)}
	switch {
	case b.limited() > waiting:
		got = outcome{verdict: VerdictHold, egress: noENI}
	case after.Dropped() != before.Dropped():
		r := slices.IndexFunc(after.Drops[:], func(n uint64) bool { return n != 0 })
		for i := range after.Drops {
			if after.Drops[i] != before.Drops[i] {
				r = i
			}
		}
		got = outcome{verdict: VerdictDrop, reason: drop.Reason(r), egress: noENI}
	}
	want := said(&x)
	if want.verdict == VerdictForward && got.verdict == VerdictHold && waiting > 0 {
		// An older one of its flow is due within a slot of the wheel: it stays behind that.
		if b.clock.advance(1 << slotShift); b.settle().Tx == before.Tx {
			t.Fatalf("a frame that may leave waits for more than a slot: %+v", x)
		}
		return
	}
	if got != want {
		t.Fatalf("a frame of %d bytes: explained as %+v, happened %+v\n%+v", len(frame), want, got, x)
	}
	if steps := x.Policy.Steps; len(x.Limits) != 0 && !slices.ContainsFunc(steps, func(s policy.Step) bool {
		return s.Stage == policy.Stage(drop.StageLimit) && s.Reason == x.Reason
	}) {
		t.Fatalf("no step tells of the limits: %+v", steps)
	}
}

// Of two ENIs of one instance a packet counts twice towards its packet rate, which
// explain says once; and it names who is limited, at which rate.
func TestExplainNamesLimits(t *testing.T) {
	o := defaultObjects()
	o.ENIs[2].Instance = "web"
	o.Instances[0].Packets = policy.Limit{Rate: 1000, Burst: 3}
	o.Instances[0].In = policy.Bandwidth{Limit: policy.Limit{Rate: 80 * mbit, Burst: 8000}, Baseline: 8 * mbit, Credits: 40_000}
	b := newBed(t, bedOptions{objects: o})
	x := b.engine.Explain(b.eni("web"), b.sized(1, 0, 1000))
	want := []LimitSays{
		{Kind: LimitPackets, ENI: b.eni("web"), Rate: 1000, Left: 3, Depth: 3, Reason: drop.PPSAllowanceExceeded},
		{Kind: LimitInstanceIn, ENI: b.eni("app"), Rate: 80 * mbit, Left: 8000, Depth: 8000, Reason: drop.BWInAllowanceExceeded},
		{Kind: LimitInstanceIn, ENI: b.eni("app"), Credits: true, Rate: 8 * mbit, Left: 48_000, Depth: 48_000, Reason: drop.BWInAllowanceExceeded},
	}
	if !slices.Equal(x.Limits, want) {
		t.Errorf("explained as %+v, want %+v", x.Limits, want)
	}
	b.inject("web", b.sized(1, 0, 1000))
	b.settle()
	x = b.engine.Explain(b.eni("web"), b.sized(1, 1, 1000))
	if x.Reason != drop.PPSAllowanceExceeded || x.Limits[0].Left != 1 || !x.Limits[0].Drops || x.Limits[2].Left != 47_000 || x.Wait != 0 {
		t.Errorf("after one packet: %+v", x)
	}
}

// What explain reads of buckets while lcores use them makes sense. Run it with the
// race detector.
func TestLimitsReadBesideLcores(t *testing.T) {
	const n = 10_000
	c := converse(t, 2, 200, n, 500, nil)
	c.policy(func(o *policy.Objects) {
		wide := policy.Limit{Rate: 20 * mbit, Burst: 1514, Delay: policy.MaxDelay} // 500 packets need 12 ms of it
		o.ENIs[0].Out, o.ENIs[2].In, o.Instances[0].Flow.Default = wide, wide, wide
		o.Instances[0].Packets = policy.Limit{Rate: 1_000_000, Burst: 100, Delay: policy.MaxDelay}
	})
	frame := c.udp("web", "app", 20001, 80)
	stop, done := make(chan struct{}), make(chan struct{})
	engine, web := c.engine, c.eni("web")
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			x := engine.Explain(web, frame)
			if x.Verdict != VerdictForward || len(x.Limits) != 4 || x.Wait > policy.MaxDelay {
				t.Errorf("explained as %v %v, which waits for %v: %+v", x.Verdict, x.Reason, x.Wait, x.Limits)
				return
			}
			for _, s := range x.Limits {
				if s.Left > s.Depth {
					t.Errorf("more is left than there can be: %+v", s)
				}
			}
			runtime.Gosched()
		}
	}()
	c.run(t, n)
	close(stop)
	<-done
	if c.engine.Limited(web)[LimitENIOut].Queued == 0 {
		t.Error("nothing waited")
	}
}
