package classify

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The dumb twin of the analysis looks at every packet of a small world: the 16
// addresses of 10.0.0.0/28 and one outside, in no group or in one of two, and
// the values of protocol and port at which any rule begins or ends.

var tiny = netip.MustParsePrefix("10.0.0.0/28")

type tinyPacket struct {
	peer   netip.Addr
	groups []uint16
	proto  uint8
	port   uint16
}

func tinyWorld(members []netip.Prefix) []tinyPacket {
	var out []tinyPacket
	peers := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd00::1")}
	for a := tiny.Addr(); tiny.Contains(a); a = a.Next() {
		peers = append(peers, a)
	}
	for _, peer := range peers {
		sets := [][]uint16{nil}
		if slices.ContainsFunc(members, func(p netip.Prefix) bool { return p.Contains(peer) }) {
			sets = append(sets, []uint16{1}, []uint16{2}, []uint16{1, 2})
		}
		for _, groups := range sets {
			for _, port := range []uint16{0, 1, 2, 3, 4, 5, 6, 0xffff} {
				out = append(out, tinyPacket{peer, groups, 6, port}, tinyPacket{peer, groups, 17, port})
			}
			for _, typ := range []uint16{0, 3, 8, 255} {
				for _, code := range []uint16{0, 1, 4, 255} {
					out = append(out, tinyPacket{peer, groups, 1, typ<<8 | code})
				}
			}
			out = append(out, tinyPacket{peer, groups, 47, 0}, tinyPacket{peer, groups, 50, 0})
		}
	}
	return out
}

var genTinyRule = rapid.Custom(func(t *rapid.T) Rule {
	r := Rule{Protocol: rapid.SampledFrom([]int{AllProtocols, 6, 6, 6, 17, 1, 47}).Draw(t, "proto")}
	switch r.Protocol {
	case 1:
		r.From = rapid.SampledFrom([]int{AnyType, 3, 8}).Draw(t, "type")
		r.To = rapid.SampledFrom([]int{AnyType, 0, 4}).Draw(t, "code")
	default:
		r.From = rapid.IntRange(0, 5).Draw(t, "from")
		r.To = rapid.SampledFrom([]int{r.From, r.From + 1, 5, 0xffff}).Draw(t, "to")
		r.To = max(r.From, r.To)
	}
	prefix := func() netip.Prefix {
		if rapid.IntRange(0, 7).Draw(t, "all") == 0 {
			return rapid.SampledFrom([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}).Draw(t, "any")
		}
		a := netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(0, 15).Draw(t, "low")})
		return netip.PrefixFrom(a, rapid.IntRange(28, 32).Draw(t, "bits"))
	}
	r.Prefixes = []netip.Prefix{prefix()}
	return r
})

// genTinyGroupRule draws rules of a security group: by prefixes or by a group.
var genTinyGroupRule = rapid.Custom(func(t *rapid.T) Rule {
	r := genTinyRule.Draw(t, "rule")
	switch rapid.IntRange(0, 3).Draw(t, "peer") {
	case 0:
		r.Prefixes, r.HasGroup, r.Group = nil, true, rapid.Uint16Range(1, 2).Draw(t, "group")
	case 1:
		r.Prefixes = append(r.Prefixes, genTinyRule.Draw(t, "second").Prefixes...)
	}
	return r
})

func TestDecidersTwin(t *testing.T) {
	world := tinyWorld(nil)
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(genTinyRule, 0, 70).Draw(t, "rules")
		want := make([][]int, len(rules))
		for _, p := range world {
			first := scan(rules, p.peer, p.groups, p.proto, p.port)
			for i := max(first, 0); i < len(rules); i++ {
				if scan(rules[i:i+1], p.peer, p.groups, p.proto, p.port) == 0 && !slices.Contains(want[i], first) {
					want[i] = append(want[i], first)
				}
			}
		}
		for i := range want {
			if slices.Sort(want[i]); slices.Contains(want[i], i) {
				want[i] = []int{i}
			}
		}
		got := Deciders(rules)
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("the packets of rule %d are decided by %v, want %v\n%+v", i, got[i], want[i], rules)
			}
		}
	})
}

// admitted lists for each packet of a world whether rules admit it.
func admitted(rules []Rule, world []tinyPacket) []bool {
	out := make([]bool, len(world))
	for i, p := range world {
		out[i] = scan(rules, p.peer, p.groups, p.proto, p.port) >= 0
	}
	return out
}

func TestSpareAndRemovableTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SampledFrom([][]netip.Prefix{nil, {tiny}, {netip.MustParsePrefix("10.0.0.0/30"), netip.MustParsePrefix("10.0.0.8/29")}}).Draw(t, "members")
		world := tinyWorld(members)
		rules := rapid.SliceOfN(genTinyGroupRule, 0, 12).Draw(t, "rules")
		whole := admitted(rules, world)
		without := func(out func(int) bool) []Rule {
			var left []Rule
			for i := range rules {
				if !out(i) {
					left = append(left, rules[i])
				}
			}
			return left
		}
		spare, removable := Spare(rules, members), Removable(rules, members)
		for i := range rules {
			if want := slices.Equal(whole, admitted(without(func(j int) bool { return i == j }), world)); spare[i] != want {
				t.Fatalf("rule %d is spare: %v, want %v\n%+v", i, spare[i], want, rules)
			}
		}
		left := without(func(i int) bool { return removable[i] })
		if !slices.Equal(whole, admitted(left, world)) {
			t.Fatalf("without the removable rules %v it is not the same\n%+v", removable, rules)
		}
		for i := range left { // none is left that could go too
			if slices.Equal(whole, admitted(slices.Delete(slices.Clone(left), i, i+1), world)) {
				t.Fatalf("after the removable rules %v are gone, %+v could go too", removable, left[i])
			}
		}
	})
}

func TestCoveredTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(0, 15).Draw(t, "low")})
			return netip.PrefixFrom(a, rapid.IntRange(28, 32).Draw(t, "bits")).Masked()
		}), 1, 12, rapid.ID).Draw(t, "prefixes")
		SortPrefixes(ps)
		for i, p := range ps {
			want := true
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				want = want && slices.ContainsFunc(ps[i+1:], func(q netip.Prefix) bool { return q.Contains(a) })
			}
			if got := Covered(p, ps[i+1:]); got != want {
				t.Fatalf("%v is covered by %v: %v, want %v", p, ps[i+1:], got, want)
			}
		}
	})
}

func BenchmarkDeciders(b *testing.B) {
	rules := make([]Rule, 1000)
	for i := range rules {
		p, _ := netip.AddrFrom4([4]byte{10, byte(i), byte(i >> 3), 0}).Prefix(16 + i%9)
		rules[i] = Rule{Protocol: 6, From: i, To: i + 500, Prefixes: []netip.Prefix{p}}
	}
	for b.Loop() {
		Deciders(rules)
	}
}
