package classify

import (
	"net/netip"
	"slices"
)

// classes divides all packets into sets that no rule of a list tells apart.
// What holds for one packet of a class holds for all of them, so that whoever
// looks at every class has looked at every packet.
type classes struct {
	words    int
	addrs    []addrClass
	groups   []groupClass
	services [][]uint64 // the distinct sets of rules by protocol and port
}

// addrClass is the peers that a set of prefixes tells apart from all others.
type addrClass struct {
	rules  []uint64
	member bool // ENIs of the VPC may have these addresses, and therefore be in groups
}

type groupClass struct {
	group uint16
	rules []uint64
}

// classesOf finds the classes of a list of rules. Of groups it takes each by
// itself: rules only admit, so that a peer in several groups is admitted by no
// less. members are the blocks in which ENIs have their addresses.
func classesOf(rules []Rule, members []netip.Prefix) *classes {
	c := &classes{words: (len(rules) + 63) / 64}
	if len(rules) == 0 {
		return c
	}
	b := builder{c: &Classifier{words: c.words}, seen: make(map[string]uint32)}
	b.groups(rules)
	b.services(rules)
	for i, g := range b.c.groups {
		c.groups = append(c.groups, groupClass{g, b.c.vector(b.c.groupVec[i])})
	}
	c.services = c.distinctServices(b.c)
	c.addrs = c.addressClasses(rules, members)
	return c
}

// distinctServices returns the sets of rules that packets of any protocol and
// port meet, each once.
func (c *classes) distinctServices(from *Classifier) [][]uint64 {
	seen := make(map[uint32]bool)
	var out [][]uint64
	reached := make([]bool, len(from.services))
	for _, s := range from.service { // the first list is of no use where all 256 are named
		reached[s] = true
	}
	for i := range from.services {
		if !reached[i] {
			continue
		}
		for _, at := range from.services[i].vecs {
			if !seen[at] {
				seen[at] = true
				out = append(out, from.vector(at))
			}
		}
	}
	return out
}

// addressClasses makes a class of each distinct set of prefixes that hold some
// address together.
func (c *classes) addressClasses(rules []Rule, members []netip.Prefix) []addrClass {
	sets := make(map[netip.Prefix]*addrClass)
	at := func(p netip.Prefix) *addrClass {
		p = p.Masked()
		if sets[p] == nil {
			sets[p] = &addrClass{rules: make([]uint64, c.words)}
		}
		return sets[p]
	}
	for i := range rules {
		for _, p := range rules[i].Prefixes {
			if p.IsValid() {
				set(at(p).rules, i)
			}
		}
	}
	for _, p := range members {
		at(p).member = true
	}
	prefixes := make([]netip.Prefix, 0, len(sets))
	for p := range sets {
		prefixes = append(prefixes, p)
	}
	SortPrefixes(prefixes)
	// A prefix follows those that hold it, the longest of them last.
	var holders []netip.Prefix
	for _, p := range prefixes {
		for len(holders) != 0 && !holders[len(holders)-1].Contains(p.Addr()) {
			holders = holders[:len(holders)-1]
		}
		if n := len(holders); n != 0 {
			outer, inner := sets[holders[n-1]], sets[p]
			for i, w := range outer.rules {
				inner.rules[i] |= w
			}
			inner.member = inner.member || outer.member
		}
		holders = append(holders, p)
	}
	var out []addrClass
	seen := make(map[string]bool)
	b := builder{c: &Classifier{words: c.words}, seen: make(map[string]uint32)}
	for i, p := range prefixes {
		if Covered(p, prefixes[i+1:]) {
			continue // every address in it belongs to a longer one
		}
		a := sets[p]
		b.intern(a.rules)
		if key := string(b.key) + string(rune('0'+b2i(a.member))); !seen[key] {
			seen[key] = true
			out = append(out, *a)
		}
	}
	return out
}

// SortPrefixes sorts prefixes by address, those that hold others before them.
func SortPrefixes(ps []netip.Prefix) {
	slices.SortFunc(ps, func(a, b netip.Prefix) int {
		if d := a.Addr().Compare(b.Addr()); d != 0 {
			return d
		}
		return a.Bits() - b.Bits()
	})
}

// Covered reports whether every address of p lies in one of the prefixes that
// follow it in the order of SortPrefixes.
func Covered(p netip.Prefix, following []netip.Prefix) bool {
	n := 0
	for n < len(following) && p.Contains(following[n].Addr()) {
		n++
	}
	return covered(p, following[:n])
}

// covered is Covered where all prefixes lie in p.
func covered(p netip.Prefix, in []netip.Prefix) bool {
	if len(in) == 0 || p.Bits() == p.Addr().BitLen() {
		return len(in) != 0
	}
	if in[0].Bits() == p.Bits() {
		return true
	}
	low, high := halves(p)
	n := 0
	for n < len(in) && low.Contains(in[n].Addr()) {
		n++
	}
	return covered(low, in[:n]) && covered(high, in[n:])
}

// halves splits a prefix that holds more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	low = netip.PrefixFrom(p.Addr(), bits)
	if p.Addr().Is4() {
		b := p.Addr().As4()
		b[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
		return low, netip.PrefixFrom(netip.AddrFrom4(b), bits)
	}
	b := p.Addr().As16()
	b[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	return low, netip.PrefixFrom(netip.AddrFrom16(b), bits)
}

// each calls f with the rules that the packets of each class meet, until it
// returns false. f must not keep them.
func (c *classes) each(f func(met []uint64) bool) {
	met := make([]uint64, c.words)
	meet := func(peer, group []uint64) bool {
		for _, s := range c.services {
			some := uint64(0)
			for i := range met {
				w := peer[i]
				if group != nil {
					w |= group[i]
				}
				met[i] = w & s[i]
				some |= met[i]
			}
			if some != 0 && !f(met) {
				return false
			}
		}
		return true
	}
	for i := range c.addrs {
		if !meet(c.addrs[i].rules, nil) {
			return
		}
		for j := range c.groups {
			if c.addrs[i].member && !meet(c.addrs[i].rules, c.groups[j].rules) {
				return
			}
		}
	}
}
