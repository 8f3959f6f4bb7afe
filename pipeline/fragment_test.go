package pipeline

import (
	"strconv"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/policy"
)

// datagram is a UDP datagram of many fragments from web to app.
func (b *bed) datagram(v6 bool, id uint32, size int) [][]byte {
	return b.datagramFrom("web", v6, id, size)
}

func (b *bed) datagramFrom(from string, v6 bool, id uint32, size int) [][]byte {
	var ip packet.Layer = b.ip(from, "app")
	if v6 {
		ip = b.ip6(from, "app")
	}
	return packet.Fragment(b.frame(from, ip, packet.UDP{SrcPort: 3000, DstPort: 80}, packet.Fill(size)), 600, id)
}

// All fragments of a datagram take the way of the first, in order, whichever
// lcore they come to; and they share one queue.
func TestFragmentsFollowTheFirst(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		for _, v6 := range []bool{false, true} {
			t.Run(strconv.Itoa(lcores)+"/"+strconv.FormatBool(v6), func(t *testing.T) {
				o := defaultObjects()
				o.ENIs[2].Queues = 4
				b := newBed(t, bedOptions{lcores: lcores, objects: o})
				want := b.datagram(v6, 7, 4000)
				b.inject("web", want...)
				b.inject("web", b.datagram(v6, 8, 4000)...)
				s := b.settle()
				b.wantDrops(s, nil)
				queues := 0
				for q := range 4 {
					queues += min(b.ports[b.eni("app")].TxWaiting(q), 1)
				}
				got := b.received("app")
				if len(got) != 2*len(want) || queues != 1 {
					t.Fatalf("%d fragments came in %d queues, want %d in 1", len(got), queues, 2*len(want))
				}
				for i, f := range got {
					off, checkIP := i%len(want)*step(want), check.IPv4
					if v6 {
						checkIP = check.IPv6
					}
					checkIP(t, f, check.Fragment(off, i%len(want) != len(want)-1), check.TTL(63), check.EtherDst(b.record("app").MAC))
				}
				if s.Sessions != 1 || s.SlowPath != 1 {
					t.Errorf("%d sessions, %d times the slow path", s.Sessions, s.SlowPath)
				}
			})
		}
	}
}

// step is how many bytes each but the last of a datagram's fragments carries.
func step(fragments [][]byte) int {
	l, err := packet.Locate(fragments[1])
	if err != nil {
		panic(err)
	}
	if l.EtherType == packet.EtherTypeIPv4 {
		return packet.IPv4Header(fragments[1][l.L3:]).FragmentOffset()
	}
	return packet.IPv6Fragment(fragments[1][l.L3+packet.IPv6Len:]).Offset()
}

func TestLaterFragmentAlone(t *testing.T) {
	b := newBed(t, bedOptions{})
	f := b.datagram(false, 7, 2000)
	b.inject("web", f[1:]...)
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentWithoutFirst: uint64(len(f) - 1)})
	if x := b.engine.Explain(b.eni("web"), f[1]); x.Reason != drop.FragmentWithoutFirst {
		t.Errorf("explained as %v", x.Reason)
	}
	b.inject("web", f...)
	if s := b.settle(); s.Tx != uint64(len(f)) {
		t.Errorf("%d fragments came, want %d", s.Tx, len(f))
	}
	// Another sender, protocol or identification is another datagram.
	b.inject("web", b.datagram(false, 8, 2000)[1])
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentWithoutFirst: uint64(len(f))})
}

func TestFragmentsAreForgotten(t *testing.T) {
	b := newBed(t, bedOptions{})
	f := b.datagram(false, 7, 2000)
	b.inject("web", f[0])
	b.settle()
	b.clock.advance(fragLifetime - time.Millisecond)
	b.inject("web", f[1])
	b.wantDrops(b.settle(), nil)
	b.clock.advance(time.Millisecond)
	b.inject("web", f[2])
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentWithoutFirst: 1})
}

// A younger datagram takes the place of the oldest in its set: the last ones are
// known, however many went before.
func TestFragmentStoreForgetsTheOldest(t *testing.T) {
	b := newBed(t, bedOptions{slots: 16384})
	const n = 3 * fragStoreSize
	for id := range n {
		b.inject("web", b.datagram(false, uint32(id), 2000)[0])
		if id%100 == 0 {
			b.settle()
			b.received("app")
			b.clock.advance(time.Millisecond) // so that there is an oldest
		}
	}
	s := b.settle()
	b.wantDrops(s, nil)
	later := func(from, to int) (came int) {
		b.received("app")
		for id := from; id < to; id++ {
			b.inject("web", b.datagram(false, uint32(id), 2000)[1])
			if id%100 == 0 {
				b.settle()
				came += len(b.received("app"))
			}
		}
		b.settle()
		return came + len(b.received("app"))
	}
	if came := later(0, 100); came != 0 {
		t.Errorf("%d of the 100 oldest datagrams are still known", came)
	}
	if came := later(n-100, n); came < 98 { // sets fill unevenly
		t.Errorf("%d of the 100 youngest datagrams are known", came)
	}
}

// A later fragment of an ICMP message is judged by the type of its first, also
// where policy changes in between.
func TestLaterFragmentHasTypeOfFirst(t *testing.T) {
	o := defaultObjects()
	o.NetworkACLs = []policy.NetworkACL{{ID: "echo", VPC: "v",
		Inbound: []policy.ACLRule{{Number: 1, Allow: true, Match: policy.Match{Protocol: policy.ProtoICMP, FromPort: 8, ToPort: -1}, CIDR: mustPrefix("0.0.0.0/0")}}}}
	o.Subnets[1].NetworkACL = "echo"
	b := newBed(t, bedOptions{objects: o})
	f := packet.Fragment(b.frame("web", b.ip("web", "app"), packet.ICMP{Type: 8, ID: 3}, packet.Fill(1000)), 600, 1)
	b.inject("web", f[0])
	b.settle()
	b.policy(func(o *policy.Objects) { o.ENIs[2].MTU = 1400 })
	b.inject("web", f[1])
	b.wantDrops(b.settle(), nil)
}
