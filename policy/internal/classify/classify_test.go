package classify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// scan is the dumb twin: it reads the rules one after the other.
func scan(rules []Rule, peer netip.Addr, groups []uint16, proto uint8, port uint16) int {
	for i := range rules {
		r := &rules[i]
		member := r.HasGroup && slices.Contains(groups, r.Group)
		for _, p := range r.Prefixes {
			member = member || p.Contains(peer)
		}
		if member && scanService(r, proto, port) {
			return i
		}
	}
	return -1
}

func scanService(r *Rule, proto uint8, port uint16) bool {
	if r.Protocol == AllProtocols {
		return true
	}
	if r.Protocol != int(proto) {
		return false
	}
	switch proto {
	case 6, 17:
		return r.From <= int(port) && int(port) <= r.To
	case 1, 58:
		typ, code := int(port>>8), int(port&0xff)
		return r.From == AnyType || r.From == typ && (r.To == AnyType || r.To == code)
	}
	return true
}

// The generators draw from few values, so that rules meet packets.
var (
	genAddr = rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "v6") {
			a := [16]byte{0: 0xfd, 15: rapid.Byte().Draw(t, "low")}
			a[7] = rapid.ByteRange(0, 3).Draw(t, "net")
			return netip.AddrFrom16(a)
		}
		return netip.AddrFrom4([4]byte{10, 0, rapid.ByteRange(0, 3).Draw(t, "net"), rapid.Byte().Draw(t, "low")})
	})
	genPrefix = rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := genAddr.Draw(t, "addr")
		bits := rapid.SampledFrom([]int{0, 8, 22, 23, 24, 28, 31, 32}).Draw(t, "bits")
		if a.Is6() {
			bits = rapid.SampledFrom([]int{0, 8, 32, 62, 64, 124, 127, 128}).Draw(t, "bits6")
		}
		p, _ := a.Prefix(bits)
		return p
	})
	genProto = rapid.SampledFrom([]int{AllProtocols, 1, 6, 17, 58, 47, 0, 255})
	genPort  = rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 0xffff), rapid.Just(0xffff))
	genRule  = rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{Protocol: genProto.Draw(t, "proto")}
		switch r.Protocol {
		case 1, 58:
			r.From = rapid.SampledFrom([]int{AnyType, 0, 3, 8, 255}).Draw(t, "type")
			r.To = rapid.SampledFrom([]int{AnyType, 0, 4, 255}).Draw(t, "code")
		default:
			r.From = genPort.Draw(t, "from")
			r.To = max(r.From, genPort.Draw(t, "to"))
		}
		if rapid.Bool().Draw(t, "byGroup") {
			r.HasGroup, r.Group = true, rapid.Uint16Range(1, 5).Draw(t, "group")
		} else {
			r.Prefixes = rapid.SliceOfN(genPrefix, 1, 3).Draw(t, "prefixes")
		}
		return r
	})
)

func TestMatchEqualsScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(genRule, 0, 140).Draw(t, "rules")
		if rapid.IntRange(0, 3).Draw(t, "flat") == 0 {
			for i := range rules {
				for j, p := range rules[i].Prefixes {
					rules[i].Prefixes[j] = netip.PrefixFrom(p.Addr(), 0).Masked()
				}
			}
		}
		c := Compile(rules)
		for range 20 {
			peer := genAddr.Draw(t, "peer")
			groups := rapid.SliceOfNDistinct(rapid.Uint16Range(1, 6), 0, 5, rapid.ID).Draw(t, "groups")
			slices.Sort(groups)
			proto := uint8(rapid.SampledFrom([]int{1, 6, 17, 58, 47, 0, 255, 132}).Draw(t, "proto"))
			port := uint16(genPort.Draw(t, "port"))
			if proto == 1 || proto == 58 {
				port = Port(proto, 0, uint8(rapid.SampledFrom([]int{0, 3, 8, 255}).Draw(t, "t")), uint8(rapid.SampledFrom([]int{0, 4, 255}).Draw(t, "c")))
			}
			got, want := c.Match(peer, groups, proto, port), scan(rules, peer, groups, proto, port)
			if got != want {
				t.Fatalf("Match(%v, %v, %d, %d) = %d, scan = %d", peer, groups, proto, port, got, want)
			}
			toAll := slices.ContainsFunc(rules, func(r Rule) bool {
				return scanService(&r, proto, port) && slices.ContainsFunc(r.Prefixes, func(p netip.Prefix) bool {
					return p.Bits() == 0 && p.Addr().Is6() == peer.Is6()
				})
			})
			if got := c.MatchAll(peer.Is6(), proto, port); got != toAll {
				t.Fatalf("MatchAll(%v, %d, %d) = %v, scan = %v", peer.Is6(), proto, port, got, toAll)
			}
		}
	})
}

func TestPort(t *testing.T) {
	for _, tc := range []struct {
		proto uint8
		want  uint16
	}{{6, 443}, {17, 443}, {1, 0x0304}, {58, 0x0304}, {47, 0}, {132, 0}} {
		if got := Port(tc.proto, 443, 3, 4); got != tc.want {
			t.Errorf("Port(%d) = %#x, want %#x", tc.proto, got, tc.want)
		}
	}
}

// A peer with more groups than an interface may have must not write beyond
// the array of vectors.
func TestMoreGroupsThanAllowed(t *testing.T) {
	rules := make([]Rule, 40)
	groups := make([]uint16, 40)
	for i := range rules {
		rules[i] = Rule{Protocol: AllProtocols, HasGroup: true, Group: uint16(i)}
		groups[i] = uint16(i)
	}
	if got := Compile(rules).Match(netip.MustParseAddr("10.0.0.1"), groups[20:], 6, 80); got != 20 {
		t.Fatalf("got rule %d, want 20", got)
	}
}

// worst makes n rules that share nothing: every prefix, port range and vector
// is distinct, and only the last rule admits the packet of the benchmark.
func worst(n int) []Rule {
	rng := rand.New(rand.NewPCG(1, 2))
	rules := make([]Rule, n)
	for i := range rules {
		p, _ := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}).Prefix(24)
		from := rng.IntN(60000) + 1000
		rules[i] = Rule{Protocol: 6, From: from, To: from + rng.IntN(500), Prefixes: []netip.Prefix{p}}
	}
	p, _ := netip.MustParseAddr("10.0.0.0").Prefix(8)
	rules[n-1] = Rule{Protocol: 6, From: 80, To: 80, Prefixes: []netip.Prefix{p}}
	return rules
}

func TestMatchDoesNotAllocate(t *testing.T) {
	c := Compile(append(worst(999), Rule{Protocol: 6, From: 90, To: 90, HasGroup: true, Group: 3}))
	peer4, peer6, groups := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1"), []uint16{1, 2, 3}
	if n := testing.AllocsPerRun(100, func() {
		c.Match(peer4, groups, 6, 80)
		c.Match(peer6, groups, 6, 90)
		c.Match(peer4, nil, 58, 0)
	}); n != 0 {
		t.Fatalf("%v allocations per match", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			c := Compile(worst(n))
			groups := []uint16{1, 2, 3, 4, 5}
			i := 0
			for b.Loop() {
				i++
				peer := netip.AddrFrom4([4]byte{10, byte(i>>8) & 3, byte(i), 7})
				if c.Match(peer, groups, 6, 80) != n-1 {
					b.Fatal("the last rule must match")
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			rules := worst(n)
			for b.Loop() {
				Compile(rules)
			}
		})
	}
}
