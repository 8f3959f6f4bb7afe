package secgroup

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRef(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.Uint16().Draw(t, "group")
		in := rapid.Bool().Draw(t, "inbound")
		i := rapid.IntRange(0, MaxRules-1).Draw(t, "index")
		r := MakeRef(g, in, i)
		if r == 0 || r.Group() != g || r.Inbound() != in || r.Index() != i {
			t.Fatalf("MakeRef(%d, %v, %d) = %#x reads back as %d, %v, %d", g, in, i, r, r.Group(), r.Inbound(), r.Index())
		}
	})
	if i := Ref(0).Index(); i != -1 {
		t.Fatalf("no rule has index %d, want -1", i)
	}
}

// admits is the dumb twin: does one rule admit the packet?
func admits(r Rule, peer netip.Addr, groups []uint16, proto uint8, port uint16) bool {
	ok := r.HasGroup && slices.Contains(groups, r.Group)
	for _, p := range r.Prefixes {
		ok = ok || p.Contains(peer)
	}
	if !ok || r.Protocol != -1 && r.Protocol != int(proto) {
		return false
	}
	switch r.Protocol {
	case 6, 17:
		return r.From <= int(port) && int(port) <= r.To
	case 1, 58:
		return r.From == -1 || r.From == int(port>>8) && (r.To == -1 || r.To == int(port&0xff))
	}
	return true
}

// The union has no order: whatever the order of the rules, a packet is
// admitted exactly if one of them admits it, and the rule named is such a one.
func TestUnion(t *testing.T) {
	peers := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.9.1"), netip.MustParseAddr("fd00::1")}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 80).Draw(t, "n")
		rules := make([]Rule, n)
		for i := range rules {
			r := Rule{Ref: MakeRef(1, true, i), Protocol: rapid.SampledFrom([]int{-1, 1, 6, 17, 58, 50}).Draw(t, "proto")}
			r.From = rapid.IntRange(0, 9).Draw(t, "from")
			r.To = rapid.IntRange(r.From, 12).Draw(t, "to")
			if rapid.Bool().Draw(t, "group") {
				r.HasGroup, r.Group = true, rapid.Uint16Range(0, 4).Draw(t, "ref")
			} else {
				r.Prefixes = []netip.Prefix{rapid.SampledFrom([]netip.Prefix{
					netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
				}).Draw(t, "cidr")}
			}
			rules[i] = r
		}
		c := Compile(rapid.Permutation(rules).Draw(t, "order"))
		for range 20 {
			peer := rapid.SampledFrom(peers).Draw(t, "peer")
			groups := rapid.SliceOfNDistinct(rapid.Uint16Range(0, 6), 0, 4, rapid.ID).Draw(t, "groups")
			slices.Sort(groups)
			proto := rapid.SampledFrom([]uint8{1, 6, 17, 58, 50, 47}).Draw(t, "packet")
			port := rapid.Uint16Range(0, 15).Draw(t, "port")
			if proto == 1 || proto == 58 {
				port = port<<8 | rapid.Uint16Range(0, 15).Draw(t, "code")
			}
			ref, ok := c.Match(peer, groups, proto, port)
			want := slices.ContainsFunc(rules, func(r Rule) bool { return admits(r, peer, groups, proto, port) })
			if ok != want || ok && !admits(rules[ref.Index()], peer, groups, proto, port) {
				t.Fatalf("Match(%v, %v, %d, %d) = %d, %v; want %v", peer, groups, proto, port, ref.Index(), ok, want)
			}
		}
	})
}

func TestNoRulesAdmitNothing(t *testing.T) {
	if ref, ok := Compile(nil).Match(netip.MustParseAddr("10.0.0.1"), []uint16{1}, 6, 80); ok || ref != 0 {
		t.Fatalf("got %d, %v; want no rule", ref, ok)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	c := Compile([]Rule{{Ref: 1, Protocol: 6, From: 80, To: 80, HasGroup: true, Group: 2}})
	peer, groups := netip.MustParseAddr("10.0.0.1"), []uint16{1, 2, 3}
	if n := testing.AllocsPerRun(100, func() { c.Match(peer, groups, 6, 80) }); n != 0 {
		t.Fatalf("%v allocations per match", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			rules := make([]Rule, n)
			for i := range rules {
				p, _ := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}).Prefix(24)
				rules[i] = Rule{Ref: MakeRef(1, true, i), Protocol: 6, From: i, To: i + 100, Prefixes: []netip.Prefix{p}}
			}
			rules[n-1] = Rule{Ref: MakeRef(1, true, n-1), Protocol: 6, From: 8080, To: 8080, HasGroup: true, Group: 4}
			c := Compile(rules)
			peer, groups := netip.MustParseAddr("10.0.7.9"), []uint16{2, 4, 9}
			for b.Loop() {
				if _, ok := c.Match(peer, groups, 6, 8080); !ok {
					b.Fatal("the last rule must match")
				}
			}
		})
	}
}
