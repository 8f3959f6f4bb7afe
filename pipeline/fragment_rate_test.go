package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// An ENI sends so many fragments a second and no more, whatever the lcores that
// its queues lead to; what exceeds it is counted under ENA's name, and another
// ENI's fragments and its own whole packets are not touched.
func TestFragmentRate(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		o := defaultObjects()
		for i := range o.ENIs {
			o.ENIs[i].FragmentRate = 1024
		}
		o.ENIs[0].Queues = lcores
		b := newBed(t, bedOptions{lcores: lcores, objects: o})
		const burst, second = 128, 1024 // an eighth of a second's, and a second's
		next := uint32(0)
		send := func() uint64 {
			before := b.engine.ENI(b.eni("app")).RxPackets
			for range 100 {
				next++
				for _, f := range b.datagram(false, next, 1100) { // two fragments
					b.ports[b.eni("web")].Inject(int(next)%lcores, f)
				}
				b.settle()
				b.received("app")
			}
			return b.engine.ENI(b.eni("app")).RxPackets - before
		}
		if n := send(); n != burst {
			t.Errorf("%d lcores: a burst of %d fragments passed, want %d", lcores, n, burst)
		}
		got := uint64(0)
		for range 20 {
			b.clock.advance(50 * time.Millisecond)
			got += send()
		}
		if got != second {
			t.Errorf("%d lcores: %d fragments passed in a second, want %d", lcores, got, second)
		}
		b.inject("web2", b.datagramFrom("web2", false, 1, 1100)...)
		b.inject("web", b.udp("web", "app", 1, 80))
		s := b.settle()
		if n := len(b.received("app")); n != 3 {
			t.Errorf("%d lcores: of another's fragments and a whole packet %d came, want 3", lcores, n)
		}
		want := uint64(21*200 - burst - second)
		if b.engine.ENI(b.eni("web")).PPSExceeded != want || s.Drops[drop.FragmentRateExceeded] != want || b.engine.ENI(b.eni("web2")).PPSExceeded != 0 {
			t.Errorf("%d lcores: %+v, want %d beyond the rate", lcores, b.engine.ENI(b.eni("web")), want)
		}
	}
}

// A rate of 0 is no limit, and a change takes effect at once without a flow
// being judged anew.
func TestFragmentRateIsASetting(t *testing.T) {
	b := newBed(t, bedOptions{})
	for id := range 200 {
		b.inject("web", b.datagram(false, uint32(id), 1100)...)
		b.settle()
	}
	b.wantDrops(b.settle(), nil)
	gen := b.record("web").Gen
	b.policy(func(o *policy.Objects) { o.ENIs[0].FragmentRate = 8 })
	b.inject("web", b.datagram(false, 1000, 1100)...)
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentRateExceeded: 1})
	if b.record("web").Gen != gen {
		t.Error("a change of the rate raised the generation")
	}
}
