package pipeline

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/internal/simport"
)

// A packet that is too long for its receiver comes in pieces that make it up
// again, in its place among the others of its flow, whole or in segments.
func TestTooLongGoesInPieces(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		o := openObjects()
		o.ENIs[2].MTU, o.ENIs[2].Queues = 1280, 1
		b := newBed(t, bedOptions{lcores: lcores, objects: o})
		numbered := func(n int, size int) []byte {
			ip := b.ip("web", "app")
			ip.ID = uint16(n)
			return b.frame("web", ip, packet.UDP{SrcPort: 7, DstPort: 80}, packet.Fill(size))
		}
		p := b.ports[b.eni("web")]
		p.Inject(0, numbered(1, 10))
		p.Inject(0, numbered(2, 1400))
		p.InjectSplit(0, numbered(3, 1900), 300)
		p.Inject(0, numbered(4, 10))
		s := b.settle()
		b.wantDrops(s, nil)
		if s.Fragmented != 2 || s.Consumed != 2 || s.Originated != 4 || s.Tx != 6 {
			t.Errorf("%d fragmented, %d consumed, %d made, %d sent", s.Fragmented, s.Consumed, s.Originated, s.Tx)
		}
		got := b.received("app")
		if len(got) != 6 {
			t.Fatalf("%d frames came", len(got))
		}
		for i, want := range []struct {
			id, off int
			more    bool
		}{{1, 0, false}, {2, 0, true}, {2, 1256, false}, {3, 0, true}, {3, 1256, false}, {4, 0, false}} {
			check.IPv4(t, got[i], check.TTL(63), check.EtherDst(b.record("app").MAC), check.EtherSrc(b.record("app").RouterMAC), check.Fragment(want.off, want.more))
			if id := packet.IPv4Header(got[i][14:]).ID(); int(id) != want.id {
				t.Errorf("frame %d is of packet %d, want %d", i, id, want.id)
			}
		}
		for _, pair := range [][2]int{{1, 1400}, {3, 1900}} {
			whole := append(append([]byte(nil), packet.IPv4Header(got[pair[0]][14:]).Payload()...), packet.IPv4Header(got[pair[0]+1][14:]).Payload()...)
			if !bytes.Equal(whole[8:], packet.Fill(pair[1])) {
				t.Errorf("the pieces of %d bytes make up another datagram", pair[1])
			}
		}
	}
}

// Whatever comes, the pieces hold exactly the bytes that were sent, the queue of
// the receiver is that of fragments, and what is made in a round is bounded.
func TestFragmentsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := openObjects()
		mtu := rapid.SampledFrom([]int{128, 576, 1279, 1280}).Draw(t, "mtu")
		o.ENIs[2].Addresses = o.ENIs[2].Addresses[:1] // IPv6 asks for more
		o.ENIs[2].MTU, o.ENIs[2].Queues = mtu, 4
		b := newBed(t, bedOptions{objects: o})
		sent, want, n := 0, 0, rapid.IntRange(1, 64).Draw(t, "packets")
		for i := range n {
			size := rapid.IntRange(0, 1900).Draw(t, "size")
			ip := b.ip("web", "app")
			ip.ID, ip.DF = uint16(i), rapid.IntRange(0, 3).Draw(t, "df") == 0
			f := b.frame("web", ip, packet.UDP{SrcPort: 7, DstPort: 80}, packet.Fill(size))
			b.inject("web", f)
			if len(f)-14 <= mtu || !ip.DF {
				sent, want = sent+size+8, want+1
			}
		}
		s := b.settle()
		got, whole := 0, 0
		queues := 0
		p := b.ports[b.eni("app")]
		for q := range 4 {
			inQueue := 0
			p.Drain(q, func(f []byte) {
				ip := packet.IPv4Header(f[14:])
				if !ip.IsValid() || !ip.ChecksumOK() || len(ip) > mtu {
					t.Fatalf("a piece of %d bytes: %s", len(ip), packet.Summary(f))
				}
				got += len(ip.Payload())
				if ip.FragmentOffset() == 0 {
					whole++
				}
				if ip.IsFragment() {
					inQueue++
				}
			})
			if inQueue > 0 {
				queues++
			}
		}
		lost := s.Drops[drop.NoBuffer]
		if queues > 1 || uint64(whole)+lost != uint64(want) || lost == 0 && got != sent {
			t.Fatalf("of %d packets with %d bytes %d with %d came, in %d queues; %d found no buffer", want, sent, whole, got, queues, lost)
		}
		if s.Dropped() != lost+s.Drops[drop.MTUExceeded] || uint64(n-want) != s.Drops[drop.MTUExceeded] {
			t.Fatalf("%d dropped, %d for their length", s.Dropped(), s.Drops[drop.MTUExceeded])
		}
	})
}

// A pool that runs dry costs the packets that need a buffer, and nothing else.
func TestFragmentsFromADryPool(t *testing.T) {
	o := openObjects()
	o.ENIs[2].MTU, o.ENIs[2].Addresses = 128, o.ENIs[2].Addresses[:1]
	b := newBed(t, bedOptions{objects: o, slots: 32, port: func(string) simport.PortConfig { return simport.PortConfig{} }})
	b.inject("web", b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: 7, DstPort: 80}, packet.Fill(1900)),
		b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: 7, DstPort: 80}, packet.Fill(1900)))
	s := b.settle()
	if s.Fragmented != 1 || s.Drops[drop.NoBuffer] != 1 || s.Originated != 19 {
		t.Errorf("%d fragmented into %d, %d without a buffer", s.Fragmented, s.Originated, s.Drops[drop.NoBuffer])
	}
}
