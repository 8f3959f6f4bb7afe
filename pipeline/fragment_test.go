package pipeline

import (
	"encoding/binary"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
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

// settledFor is settle, then time d in steps in which all lcores do what is due.
func (b *bed) settledFor(d time.Duration) Stats {
	b.t.Helper()
	b.settle()
	for step := max(d/8, time.Millisecond); d > 0; d -= step {
		b.clock.advance(min(step, d))
		b.settle()
	}
	return b.settle()
}

// Later fragments wait for the first: they come out behind it if it comes in
// time, and are dropped if it does not.
func TestLaterFragmentWaits(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores})
		f := b.datagram(false, 7, 4000)
		last := len(f) - 1
		b.inject("web", f[last], f[1])
		if s := b.settle(); s.Held() != 2 || s.FragmentsWaited != 2 {
			t.Fatalf("%d are held, %d have waited; want 2", s.Held(), s.FragmentsWaited)
		}
		b.settledFor(DefaultFragments.Hold - time.Millisecond)
		b.inject("web", f[0])
		b.inject("web", f[2:last]...)
		b.wantDrops(b.settle(), nil)
		var at []int
		for _, g := range b.received("app") {
			at = append(at, packet.IPv4Header(g[14:]).FragmentOffset()/step(f))
		}
		// The first passes all; what came behind those that waited goes behind them.
		if want := []int{0, last, 1, 2, 3, 4, 5}[:len(f)]; !slices.Equal(at, want) {
			t.Errorf("%d lcores: %v came, want %v", lcores, at, want)
		}

		b.inject("web", b.datagram(false, 8, 2000)[1:]...)
		s := b.settledFor(DefaultFragments.Hold)
		b.wantDrops(s, map[drop.Reason]uint64{drop.FragmentWithoutFirst: 3})
		if s.Held() != 0 {
			t.Errorf("%d lcores: %d are held", lcores, s.Held())
		}
		b.inject("web", b.datagram(false, 8, 2000)...) // as if nothing had been
		b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentWithoutFirst: 3})
	}
}

// More fragments than one round lets go, and than the rest of a burst has room
// for.
func TestManyFragmentsWait(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.Burst = 64 }})
	f := b.datagram(true, 7, 30_000)
	slices.Reverse(f)
	if len(f) <= 2*releaseShare || len(f) > DefaultFragments.Held {
		t.Fatalf("%d fragments do not do", len(f))
	}
	b.inject("web", f...)
	for range 64 {
		b.inject("web2", b.udp("web2", "app", 1, 80))
	}
	b.wantDrops(b.settle(), nil)
	if n := len(b.received("app")); n != len(f)+64 {
		t.Errorf("%d packets came, want %d", n, len(f)+64)
	}
}

func TestFragmentsAreForgotten(t *testing.T) {
	b := newBed(t, bedOptions{})
	f := b.datagram(false, 7, 2000)
	b.inject("web", f[0])
	b.settledFor(DefaultFragments.Lifetime - time.Millisecond)
	b.inject("web", f[1])
	b.wantDrops(b.settle(), nil)
	b.clock.advance(time.Millisecond)
	b.inject("web", f[2])
	if s := b.settle(); s.Held() != 1 {
		t.Errorf("%d are held: the datagram is still known", s.Held())
	}
	b.wantDrops(b.settledFor(DefaultFragments.Hold), map[drop.Reason]uint64{drop.FragmentWithoutFirst: 1})
}

// A datagram of which everything has come does not stand in the way of the next
// with its identification, and is not needed for that one.
func TestIdentificationAgain(t *testing.T) {
	b := newBed(t, bedOptions{})
	for range 3 {
		b.inject("web", b.datagram(false, 7, 2000)...)
		b.settle()
	}
	f := b.datagram(false, 7, 2000)
	slices.Reverse(f)
	b.inject("web", f...)
	b.wantDrops(b.settle(), nil)
	if n := len(b.received("app")); n != 4*len(f) {
		t.Errorf("%d fragments came, want %d", n, 4*len(f))
	}
}

// An ENI has its own share of the store. In a full one its oldest datagram makes
// room, and those of other ENIs are not touched, however many it sends.
func TestFragmentStoreShares(t *testing.T) {
	const datagrams = 40
	b := newBed(t, bedOptions{config: func(c *Config) {
		c.Fragments = FragmentConfig{Hold: time.Second, Lifetime: 30 * time.Second, Datagrams: datagrams, Held: 8}
	}})
	other, waits := b.datagramFrom("web2", false, 1, 2000), b.datagramFrom("web2", true, 2, 2000)
	b.inject("web2", other[0], waits[1])
	b.settle()
	const n = 10 * datagrams
	for id := range n {
		b.inject("web", b.datagram(false, uint32(id), 2000)[0])
		b.inject("web", b.datagram(false, uint32(1000+id), 2000)[1])
		b.settle()
	}
	s := b.settle()
	b.wantDrops(s, map[drop.Reason]uint64{drop.FragmentHoldFull: n - 8})
	if s.Held() != 9 {
		t.Errorf("%d are held, want 8 of web's and 1 of web2's", s.Held())
	}
	b.received("app")
	b.inject("web2", append(other[1:], waits[0])...)
	b.settle()
	if got := len(b.received("app")); got != len(other)-1+2 {
		t.Errorf("%d of the other ENI's fragments came, want %d", got, len(other)+1)
	}
	b.inject("web", b.datagram(false, n-1, 2000)[2], b.datagram(false, 0, 2000)[2])
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentHoldFull: n - 8 + 1})
	if got := len(b.received("app")); got != 1 {
		t.Errorf("%d later fragments of the oldest and the youngest datagram came, want 1", got)
	}
}

// A fragment that is about to go is dropped when its datagram has to make room.
func TestFragmentStoreFull(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.Fragments.Datagrams, c.Fragments.Held = 3, 2 }})
	f := b.datagram(false, 7, 2000)
	b.inject("web", f[1], f[0])
	for id := range uint32(3) {
		b.inject("web", b.datagram(false, 8+id, 2000)[0])
	}
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentStoreFull: 1})
}

// shifted is a fragment of IPv4 or IPv6, moved by some bytes in its datagram.
func shifted(frame []byte, by int) []byte {
	f := slices.Clone(frame)
	l, err := packet.Locate(f)
	if err != nil {
		panic(err)
	}
	if l.EtherType == packet.EtherTypeIPv4 {
		ip := packet.IPv4Header(f[l.L3:])
		binary.BigEndian.PutUint16(ip[6:8], binary.BigEndian.Uint16(ip[6:8])+uint16(by/8))
		ip.UpdateChecksum()
		return f
	}
	at := f[l.L3+packet.IPv6Len+2:]
	binary.BigEndian.PutUint16(at, binary.BigEndian.Uint16(at)+uint16(by))
	return f
}

// An overlap, or two ends, spoil a datagram: what waits of it and what comes
// later goes, and no byte has passed twice. A duplicate goes alone.
func TestSpoiledDatagrams(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, c := range []struct {
			name   string
			frames func(f [][]byte) [][]byte
			passed int
			want   map[drop.Reason]uint64
		}{
			{"overlap", func(f [][]byte) [][]byte { return [][]byte{f[0], f[1], shifted(f[1], 8), f[2], f[3]} }, 2,
				map[drop.Reason]uint64{drop.FragmentOverlap: 3}},
			{"overlap before the first", func(f [][]byte) [][]byte { return [][]byte{f[1], shifted(f[1], 8), f[0], f[2], f[3]} }, 0,
				map[drop.Reason]uint64{drop.FragmentOverlap: 5}},
			{"first over later", func(f [][]byte) [][]byte { return [][]byte{shifted(f[1], -8), f[0], f[2]} }, 0,
				map[drop.Reason]uint64{drop.FragmentOverlap: 3}},
			{"past the end", func(f [][]byte) [][]byte { return [][]byte{f[0], f[3], shifted(f[1], 4000), f[2]} }, 2,
				map[drop.Reason]uint64{drop.FragmentPastEnd: 2}},
			{"two ends", func(f [][]byte) [][]byte { return [][]byte{f[0], f[1], shifted(f[3], 8), f[3], f[2]} }, 3,
				map[drop.Reason]uint64{drop.FragmentPastEnd: 2}},
			{"end before others", func(f [][]byte) [][]byte { return [][]byte{f[0], f[2], shifted(f[3], -800)} }, 2,
				map[drop.Reason]uint64{drop.FragmentPastEnd: 1}},
			{"duplicates", func(f [][]byte) [][]byte { return [][]byte{f[1], f[1], f[0], f[0], f[1], f[2], f[3]} }, 4,
				map[drop.Reason]uint64{drop.FragmentDuplicate: 3}},
		} {
			b := newBed(t, bedOptions{})
			b.inject("web", c.frames(b.datagram(v6, 7, 2000))...)
			s := b.settle()
			b.wantDrops(s, c.want)
			if got := len(b.received("app")); got != c.passed || s.Held() != 0 {
				t.Errorf("%s, IPv6 %t: %d fragments passed, want %d; %d are held", c.name, v6, got, c.passed, s.Held())
			}
		}
	}
}

// Fragments that go to the router and to the neighbour's own MAC are of one
// datagram for their receiver, and so here.
func TestOverlapByTwoPaths(t *testing.T) {
	b := newBed(t, bedOptions{objects: openObjects()})
	f := packet.Fragment(b.frame("web", b.ip("web", "web2"), packet.UDP{SrcPort: 3000, DstPort: 80}, packet.Fill(2000)), 600, 1)
	b.inject("web", f[0], f[1], b.direct(shifted(f[1], 8), "web2"), b.direct(slices.Clone(f[2]), "web2"))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.FragmentOverlap: 2})
}

// IPv6 fragments with headers behind the fragment header: their protocol is known
// from the first alone, whatever the later ones call it (RFC 8200 section 4.5).
func TestFragmentsWithOptions(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores})
		whole := packet.Build(b.ip6("web", "app"), packet.IPv6Ext{Proto: packet.ProtoDestOpts, Data: make([]byte, 14)},
			packet.UDP{SrcPort: 3000, DstPort: 80}, packet.Fill(1500))
		part := func(from, to int, next uint8, more bool) []byte {
			return b.frame("web", b.ip6("web", "app"), packet.IPv6Frag{Next: next, Offset: from, More: more, ID: 5}, packet.Payload(whole[40:][from:to]))
		}
		end := len(whole) - 40
		b.inject("web", part(1200, end, packet.ProtoUDP, false), part(0, 640, packet.ProtoDestOpts, true), part(640, 1200, 59, true))
		s := b.settle()
		b.wantDrops(s, nil)
		if got := len(b.received("app")); got != 3 || s.Sessions != 1 {
			t.Errorf("%d fragments came, of %d sessions; want 3 of 1", got, s.Sessions)
		}
	}
}

// What refuses a first fragment refuses the later ones, also where they have
// nothing by which it could tell.
func TestLaterFragmentsShareARefusal(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		b := newBed(t, bedOptions{lcores: lcores})
		segment := func(flags uint8, id uint32) [][]byte {
			return packet.Fragment(b.frame("web", b.ip("web", "app"), packet.TCP{SrcPort: 4000, DstPort: 80, Flags: flags}, packet.Fill(1500)), 600, id)
		}
		b.inject("web", b.tcp("web", "app", 4000, 80, conntrack.SYN))
		b.settle()
		b.inject("app", b.tcp("app", "web", 80, 4000, conntrack.SYN|conntrack.ACK))
		b.settle()
		f := segment(conntrack.SYN|conntrack.FIN, 1)
		b.inject("web", f[1], f[0])
		b.inject("web", f[2:]...)
		b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.TCPInvalidFlags: uint64(len(f))})
		// The next datagram of that name is another matter.
		b.inject("web", segment(conntrack.ACK, 1)...)
		b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.TCPInvalidFlags: uint64(len(f))})
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
