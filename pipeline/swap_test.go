package pipeline

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/scale"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// The ports of swapObjects.
const (
	swapOpen   = 1000 // admitted by either policy, by another rule in each
	swapClosed = 2000 // admitted by neither
	swapTurn   = 3000 // plus the policy's number: admitted by this one alone
	swapCount  = 3    // policies
)

// swapObjects is policy number n of several that differ in which rule admits
// what, so that a change to another raises the generations of both ENIs.
func swapObjects(n int) *policy.Objects {
	o := defaultObjects()
	udp := func(port int) policy.SGRule {
		return policy.SGRule{Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: port, ToPort: port}, Group: "web"}
	}
	in := []policy.SGRule{udp(swapTurn + n)}
	for range n {
		in = append(in, udp(9)) // moves the next rule down
	}
	o.SecurityGroups[1].Inbound = append(in, udp(swapOpen))
	o.SecurityGroups[0].Outbound[0].Match.FromPort = n // ignored by policy
	web := &o.SecurityGroups[0]
	for range n {
		web.Inbound = append(web.Inbound, udp(9))
	}
	return o
}

// Whatever policy comes into force while packets arrive, wait and are judged:
// what every policy admits arrives, what none admits is dropped for its reason,
// and what one alone admits is admitted while that one is in force.
func TestSwapLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(t, bedOptions{objects: swapObjects(0), config: func(c *Config) { c.SlowPathBudget, c.SlowPathQueue = 2, 1<<15 }})
		port := uint16(1)
		var open, closed, right, wrong, got uint64
		send := func(dport int, n int, count *uint64) {
			for range n {
				b.inject("web", b.udp("web", "app", port, uint16(dport)))
				port++
				*count++
			}
		}
		inForce := 0
		t.Repeat(map[string]func(*rapid.T){
			"open":   func(t *rapid.T) { send(swapOpen, rapid.IntRange(1, 40).Draw(t, "n"), &open) },
			"closed": func(t *rapid.T) { send(swapClosed, rapid.IntRange(1, 40).Draw(t, "n"), &closed) },
			"again": func(t *rapid.T) { // flows that are known
				for i := range min(port-1, 20) {
					b.inject("web", b.udp("web", "app", port-1-i, swapOpen))
					open++
				}
			},
			"swap": func(t *rapid.T) {
				inForce = rapid.IntRange(0, swapCount-1).Draw(t, "policy")
				b.policy(func(o *policy.Objects) { *o = *swapObjects(inForce) })
			},
			"round": func(*rapid.T) { b.engine.workers[0].Round() },
			"":      func(*rapid.T) { got += uint64(len(b.received("app"))) },
			"turn": func(t *rapid.T) { // nothing waits: this policy judges them
				b.settle()
				which := rapid.IntRange(0, swapCount-1).Draw(t, "policy")
				count := &wrong
				if which == inForce {
					count = &right
				}
				send(swapTurn+which, 5, count)
				b.settle()
			},
		})
		s := b.settle()
		b.wantDrops(s, map[drop.Reason]uint64{drop.SecurityGroupIn: closed + wrong})
		if got += uint64(len(b.received("app"))); got != open+right {
			t.Fatalf("app received %d packets, want %d", got, open+right)
		}
	})
}

// lcores that poll by themselves lose no packet, and no order, while policies
// change under them as fast as they can be compiled.
func TestSwapUnderTraffic(t *testing.T) {
	const n, flows, lcores = 200_000, 300, 2
	c := converse(t, lcores, flows, n, 900, func(cfg *Config) {
		cfg.Redecide, cfg.RedecideWithin = 100_000, DefaultRedecideWithin
		cfg.SlowPathQueue = 16 * 900 // whatever is under way may wait: the changes come faster than sweeps end
	})
	stop, swaps := make(chan struct{}), 0
	raised := c.snap.ENIs[c.eni("app")].Gen
	c.wg.Go(func() {
		snap := c.snap
		for {
			select {
			case <-stop:
				return
			default:
			}
			o := openObjects()
			for i := range o.SecurityGroups {
				o.SecurityGroups[i].Inbound = o.SecurityGroups[i].Inbound[:2:2]
				for range swaps % 2 {
					o.SecurityGroups[i].Inbound = append(o.SecurityGroups[i].Inbound, policy.SGRule{Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: 9, ToPort: 9}, CIDR: mustPrefix("192.0.2.0/24")})
				}
			}
			next, err := policy.Compile(o, snap)
			if err == nil {
				err = c.engine.SetPolicy(next)
			}
			if err != nil {
				t.Error(err)
				return
			}
			snap = next
			swaps++
		}
	})
	// run waits for all goroutines of the conversation once its packets are
	// through; the swapping ends when the last of them has been received.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c.engine.Total().Rx < n {
			select {
			case <-t.Context().Done():
				close(stop)
				return
			default:
			}
		}
		close(stop)
	}()
	c.run(t, n)
	<-done
	if got, want := c.seq.Result(), (simport.SequenceResult{Sent: n, Received: n}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s := c.engine.Total()
	for r, n := range s.Drops {
		if n != 0 {
			t.Errorf("%d packets were dropped for %v", n, drop.Reason(r))
		}
	}
	if s.Sessions != flows {
		t.Errorf("%d sessions were begun for %d flows", s.Sessions, flows)
	}
	if gen := c.engine.Policy().ENIs[c.eni("app")].Gen; swaps < 2 || gen-raised != uint32(swaps)-1 {
		t.Errorf("%d policies raised the generation from %d to %d", swaps, raised, gen)
	}
}

// BenchmarkSetPolicy is the time to put a policy of 1,000 ENIs in force, once it
// is compiled.
func BenchmarkSetPolicy(b *testing.B) {
	bed := newBed(b, bedOptions{objects: scale.Objects(scale.Spec{ENIs: 1000, Rules: 50_000}), slots: 64, depth: 256})
	b.ReportAllocs()
	for b.Loop() {
		if err := bed.engine.SetPolicy(bed.snap); err != nil {
			b.Fatal(err)
		}
	}
}
