package classify

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Compile compiles rules. It keeps no reference to them. Ports and protocols
// out of range, prefixes that are not valid and rules beyond the limit are the
// caller's to refuse; they are compiled as if they matched nothing.
func Compile(rules []Rule) *Classifier {
	b := builder{
		c:    &Classifier{words: (len(rules) + 63) / 64},
		seen: make(map[string]uint32),
	}
	if len(rules) == 0 {
		return b.c
	}
	b.peers(rules)
	b.groups(rules)
	b.services(rules)
	return b.c
}

// builder interns vectors: most intervals and prefixes of a real rule list
// share a few of them.
type builder struct {
	c    *Classifier
	seen map[string]uint32
	key  []byte
}

func (b *builder) intern(v []uint64) uint32 {
	b.key = b.key[:0]
	for _, w := range v {
		b.key = binary.LittleEndian.AppendUint64(b.key, w)
	}
	if at, ok := b.seen[string(b.key)]; ok {
		return at
	}
	at := uint32(len(b.c.vectors))
	b.c.vectors = append(b.c.vectors, v...)
	b.seen[string(b.key)] = at
	return at
}

func set(v []uint64, rule int) { v[rule>>6] |= 1 << (rule & 63) }

// peers gives each distinct prefix the bits of its own rules and of all
// prefixes that cover it, so that the longest prefix alone tells everything.
func (b *builder) peers(rules []Rule) {
	type entry struct {
		prefix netip.Prefix
		rule   int
	}
	var all []entry
	for i := range rules {
		for _, p := range rules[i].Prefixes {
			if p.IsValid() {
				all = append(all, entry{p.Masked(), i})
			}
		}
	}
	// Shorter prefixes first: what covers a prefix is there before it.
	slices.SortStableFunc(all, func(x, y entry) int {
		if d := x.prefix.Bits() - y.prefix.Bits(); d != 0 {
			return d
		}
		return x.prefix.Addr().Compare(y.prefix.Addr())
	})
	b.c.flat = len(all) == 0 || all[len(all)-1].prefix.Bits() == 0
	b.c.any = [2]int64{-1, -1}
	v := make([]uint64, b.c.words)
	for i := 0; i < len(all); {
		prefix := all[i].prefix
		clear(v)
		if at, ok := b.c.peers.LookupPrefix(prefix); ok {
			copy(v, b.c.vector(at))
		}
		for ; i < len(all) && all[i].prefix == prefix; i++ {
			set(v, all[i].rule)
		}
		at := b.intern(v)
		if prefix.Bits() == 0 {
			b.c.any[b2i(prefix.Addr().Is6())] = int64(at)
		}
		if !b.c.flat {
			b.c.peers.Insert(prefix, at)
		}
	}
}

func (b *builder) groups(rules []Rule) {
	for i := range rules {
		if rules[i].HasGroup {
			b.c.groups = append(b.c.groups, rules[i].Group)
		}
	}
	slices.Sort(b.c.groups)
	b.c.groups = slices.Clip(slices.Compact(b.c.groups))

	vecs := make([][]uint64, len(b.c.groups))
	for i := range rules {
		if !rules[i].HasGroup {
			continue
		}
		at, _ := slices.BinarySearch(b.c.groups, rules[i].Group)
		if vecs[at] == nil {
			vecs[at] = make([]uint64, b.c.words)
		}
		set(vecs[at], i)
	}
	for _, v := range vecs {
		b.c.groupVec = append(b.c.groupVec, b.intern(v))
	}
}

// services compiles one list of intervals per protocol that a rule names, and
// one for all the others, which only AllProtocols rules admit.
func (b *builder) services(rules []Rule) {
	named := [256]bool{}
	for i := range rules {
		if p := rules[i].Protocol; p >= 0 && p < len(named) {
			named[p] = true
		}
	}
	b.c.services = append(b.c.services, b.intervals(rules, AllProtocols))
	for p := range named {
		if named[p] {
			b.c.service[p] = uint16(len(b.c.services))
			b.c.services = append(b.c.services, b.intervals(rules, p))
		}
	}
}

// intervals sweeps over the ports of one protocol; a rule is set where its
// range begins and cleared behind its end.
func (b *builder) intervals(rules []Rule, proto int) service {
	type edge struct {
		port int
		rule int
	}
	var begin, end []edge
	for i := range rules {
		from, to, ok := portRange(&rules[i], proto)
		if ok {
			begin = append(begin, edge{from, i})
			end = append(end, edge{to + 1, i})
		}
	}
	byPort := func(x, y edge) int { return x.port - y.port }
	slices.SortFunc(begin, byPort)
	slices.SortFunc(end, byPort)

	var s service
	v := make([]uint64, b.c.words)
	for port := 0; port <= 0xffff; {
		for len(end) != 0 && end[0].port <= port {
			v[end[0].rule>>6] &^= 1 << (end[0].rule & 63)
			end = end[1:]
		}
		for len(begin) != 0 && begin[0].port <= port {
			set(v, begin[0].rule)
			begin = begin[1:]
		}
		if at := b.intern(v); len(s.vecs) == 0 || s.vecs[len(s.vecs)-1] != at {
			s.starts = append(s.starts, uint16(port))
			s.vecs = append(s.vecs, at)
		}
		next := 0x10000
		if len(begin) != 0 {
			next = begin[0].port
		}
		if len(end) != 0 {
			next = min(next, end[0].port)
		}
		port = next
	}
	s.index()
	return s
}

// portRange returns the range of Port values of protocol proto that r admits.
func portRange(r *Rule, proto int) (from, to int, ok bool) {
	if r.Protocol == AllProtocols {
		return 0, 0xffff, true
	}
	if r.Protocol != proto {
		return 0, 0, false
	}
	switch proto {
	case protoTCP, protoUDP:
		from, to = r.From, r.To
	case protoICMP, protoICMPv6:
		switch {
		case r.From == AnyType:
			from, to = 0, 0xffff
		case r.To == AnyType:
			from, to = r.From<<8, r.From<<8|0xff
		default:
			from = r.From<<8 | r.To&0xff
			to = from
		}
	default:
		from, to = 0, 0xffff
	}
	return from, to, 0 <= from && from <= to && to <= 0xffff
}
