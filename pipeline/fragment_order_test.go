package pipeline

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// sentFragment is a fragment of a datagram that the rules admit or not.
type sentFragment struct {
	eni      string
	frame    []byte
	datagram int
}

// In any order, among those of others, with duplicates: of a datagram that is
// admitted every fragment comes once, and of one that is not none does; and
// nothing is lost or kept.
func TestFragmentsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(t, bedOptions{lcores: rapid.IntRange(1, 3).Draw(t, "lcores"), slots: 1024})
		var all []sentFragment
		want, refused := 0, 0
		for d := range rapid.IntRange(1, 6).Draw(t, "datagrams") {
			eni := rapid.SampledFrom([]string{"web", "web2"}).Draw(t, "eni")
			port := rapid.SampledFrom([]uint16{80, 81}).Draw(t, "port")
			var ip packet.Layer = b.ip(eni, "app")
			if rapid.Bool().Draw(t, "v6") {
				ip = b.ip6(eni, "app")
			}
			frames := packet.Fragment(b.frame(eni, ip, packet.UDP{SrcPort: uint16(3000 + d), DstPort: port},
				packet.Fill(rapid.IntRange(700, 6000).Draw(t, "size"))), 600, uint32(d))
			for _, f := range frames {
				all = append(all, sentFragment{eni, f, d})
			}
			if port == 80 {
				want += len(frames)
			} else {
				refused += len(frames)
			}
		}
		all = rapid.Permutation(all).Draw(t, "order")
		burst := rapid.Bool().Draw(t, "burst")
		complete := map[int]bool{}
		left := map[int]int{}
		for _, f := range all {
			left[f.datagram]++
		}
		duplicates := 0
		for _, f := range all {
			b.inject(f.eni, f.frame)
			left[f.datagram]--
			complete[f.datagram] = left[f.datagram] == 0
			if !complete[f.datagram] && rapid.IntRange(0, 5).Draw(t, "duplicate") == 0 {
				b.inject(f.eni, f.frame)
				duplicates++
			}
			if !burst {
				b.settle()
			}
		}
		s := b.settle()
		b.wantDrops(s, map[drop.Reason]uint64{drop.FragmentDuplicate: uint64(duplicates), drop.SecurityGroupIn: uint64(refused)})
		if got := len(b.received("app")); got != want || s.Held() != 0 {
			t.Fatalf("%d fragments came, want %d; %d are held", got, want, s.Held())
		}
	})
}

// An ICMP error that quotes a later fragment belongs to the flow of its datagram
// if the first fragment is known; else the rules judge it, which admit nothing to
// web.
func TestErrorQuotesLaterFragment(t *testing.T) {
	for _, lcores := range []int{1, 3} {
		for _, v6 := range []bool{false, true} {
			o := defaultObjects()
			o.SecurityGroups[1].Outbound = []policy.SGRule{} // what leaves app is admitted by sessions alone
			b := newBed(t, bedOptions{lcores: lcores, objects: o})
			f := b.datagram(v6, 7, 2000)
			b.inject("web", f...)
			b.settle()
			about := func(quoted []byte) []byte {
				if v6 {
					return b.frame("app", b.ip6("app", "web"), packet.ICMPv6{Type: 3}, packet.Quote(quoted, 1232))
				}
				return b.frame("app", b.ip("app", "web"), packet.ICMP{Type: 11}, packet.Quote(quoted, 28))
			}
			b.inject("app", about(f[2]))
			b.wantDrops(b.settle(), nil)
			if n := len(b.received("web")); n != 1 {
				t.Errorf("%d lcores, IPv6 %t: %d errors came, want 1", lcores, v6, n)
			}
			x := b.engine.Explain(b.eni("app"), about(f[1]))
			if x.Verdict != VerdictForward || !x.HasSession {
				t.Errorf("%d lcores, IPv6 %t: explained as %+v", lcores, v6, x)
			}
			b.inject("app", about(b.datagram(v6, 8, 2000)[2]))
			b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
			b.clock.advance(DefaultFragments.Lifetime + time.Second)
			b.inject("app", about(f[2]))
			b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 2})
		}
	}
}
