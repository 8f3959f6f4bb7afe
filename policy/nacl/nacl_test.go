package nacl

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// first is the dumb twin: it searches the matching rule with the lowest number.
func first(rules []Rule, peer netip.Addr, proto uint8, port uint16) (uint16, bool) {
	number, allow := uint16(ImplicitDeny4), false
	if peer.Is6() {
		number = ImplicitDeny6
	}
	for _, r := range rules {
		if r.Number < number && r.CIDR.Contains(peer) && serves(r, proto, port) {
			number, allow = r.Number, r.Allow
		}
	}
	return number, allow
}

func serves(r Rule, proto uint8, port uint16) bool {
	if r.Protocol != -1 && r.Protocol != int(proto) {
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

var genRule = rapid.Custom(func(t *rapid.T) Rule {
	r := Rule{
		Number:   rapid.Uint16Range(1, MaxNumber).Draw(t, "number"),
		Allow:    rapid.Bool().Draw(t, "allow"),
		Protocol: rapid.SampledFrom([]int{-1, 1, 6, 17, 58, 50}).Draw(t, "proto"),
	}
	r.CIDR = rapid.SampledFrom([]netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.128/25"),
		netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8::/64"),
	}).Draw(t, "cidr")
	if r.Protocol == 1 || r.Protocol == 58 {
		r.From, r.To = rapid.IntRange(-1, 9).Draw(t, "type"), rapid.IntRange(-1, 4).Draw(t, "code")
	} else {
		r.From = rapid.IntRange(0, 100).Draw(t, "from")
		r.To = rapid.IntRange(r.From, 0xffff).Draw(t, "to")
	}
	return r
})

func TestMatchEqualsFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfNDistinct(genRule, 0, 70, func(r Rule) uint16 { return r.Number }).Draw(t, "rules")
		list := Compile(rules)
		for range 20 {
			peer := rapid.SampledFrom([]netip.Addr{
				netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.200"), netip.MustParseAddr("10.0.1.1"),
				netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::1"),
			}).Draw(t, "peer")
			proto := rapid.SampledFrom([]uint8{1, 6, 17, 58, 50, 47}).Draw(t, "proto")
			port := rapid.Uint16().Draw(t, "port")
			if proto == 1 || proto == 58 {
				port = rapid.Uint16Range(0, 9).Draw(t, "type")<<8 | rapid.Uint16Range(0, 4).Draw(t, "code")
			}
			gotN, gotA := list.Match(peer, proto, port)
			wantN, wantA := first(rules, peer, proto, port)
			if gotN != wantN || gotA != wantA {
				t.Fatalf("Match(%v, %d, %d) = %d %v, want %d %v", peer, proto, port, gotN, gotA, wantN, wantA)
			}
		}
	})
}

func TestDefaultAllowsBothFamilies(t *testing.T) {
	for addr, want := range map[string]uint16{"192.0.2.1": 100, "2001:db8::1": 101} {
		if n, ok := Default().Match(netip.MustParseAddr(addr), 47, 0); n != want || !ok {
			t.Errorf("%s: rule %d, allow %v; want rule %d, allow", addr, n, ok, want)
		}
	}
}

func TestEmptyListDenies(t *testing.T) {
	for addr, want := range map[string]uint16{"192.0.2.1": ImplicitDeny4, "2001:db8::1": ImplicitDeny6} {
		if n, ok := Compile(nil).Match(netip.MustParseAddr(addr), 6, 80); n != want || ok {
			t.Errorf("%s: rule %d, allow %v; want rule %d, deny", addr, n, ok, want)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	list, peer := Default(), netip.MustParseAddr("10.0.0.1")
	if n := testing.AllocsPerRun(100, func() { list.Match(peer, 6, 80) }); n != 0 {
		t.Fatalf("%v allocations per match", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{2, 40} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			rules := make([]Rule, n)
			for i := range rules {
				p, _ := netip.AddrFrom4([4]byte{10, byte(i), 0, 0}).Prefix(16)
				rules[i] = Rule{Number: uint16(i + 1), Allow: true, Protocol: 6, From: 80 + i, To: 80 + i, CIDR: p}
			}
			list := Compile(rules)
			peer := netip.MustParseAddr("10.1.0.9")
			for b.Loop() {
				if number, _ := list.Match(peer, 6, 81); number != 2 {
					b.Fatal("rule 2 must match")
				}
			}
		})
	}
}
