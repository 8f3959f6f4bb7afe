package dpdk

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/pktio"
)

// long is a rest that no test waits out, and short one that ends by time.
const (
	long  = 30 * time.Second
	short = time.Millisecond
)

// A packet ends a rest by interrupts on a tap, whether it comes before the rest
// or during it, and whichever queue it takes; polled packets end none.
func TestTapEndsRest(t *testing.T) {
	needTap(t)
	ns, pool := testNetns(t), smallPool(t)
	tap := mustTap(t, TapConfig{Name: "rest", Netns: ns, MAC: guestMAC, Queues: 2, Pool: pool})
	io := mustIO(t, pool, tap.Port)
	if !io.Interrupts() {
		t.Fatal("the tap's queues have no interrupts")
	}
	g := openGuest(t, ns, "rest")
	descs := make([]pktio.Desc, pktio.MaxBurst)
	quiet := func() {
		// The kernel says something of its own on a new interface.
		for io.Idle(pktio.RestInterrupt, 50*short) {
			free(descs[:io.Rx(descs)]...)
		}
	}
	quiet()
	for i := range 8 {
		var sent chan struct{}
		io.Arm(true)
		if i%2 == 0 {
			g.send(t, frame(60, i))
		} else {
			sent = make(chan struct{})
			go func() { time.Sleep(short); g.send(t, frame(60, i)); close(sent) }()
		}
		if !io.Idle(pktio.RestInterrupt, long) {
			t.Fatalf("frame %d did not end the rest", i)
		}
		if sent != nil {
			<-sent
		}
		quiet()
	}
	if io.Idle(pktio.RestInterrupt, short) && io.Rx(descs) == 0 {
		t.Error("a rest ended without a packet")
	}
}

// Wake ends a sleep, one under way or the next, and one only.
func TestWake(t *testing.T) {
	pool := smallPool(t)
	io := mustIO(t, pool, mustOpen(t, PortConfig{Device: uniqueName("net_null"), Pool: pool}))
	if io.Interrupts() {
		t.Error("net_null has interrupts")
	}
	for _, how := range []pktio.Rest{pktio.RestSleep, pktio.RestInterrupt} {
		io.Wake()
		io.Wake()
		if !io.Idle(how, long) {
			t.Errorf("%v: a wake before the rest did not end it", how)
		}
		if io.Idle(how, short) {
			t.Errorf("%v: a wake ended two rests", how)
		}
		go func() { time.Sleep(short); io.Wake() }()
		if !io.Idle(how, long) {
			t.Errorf("%v: a wake did not end the rest", how)
		}
	}
	if !mustIO(t, pool).Interrupts() {
		t.Error("an lcore without queues waits for others only, and they wake it")
	}
}
