package classify

import (
	"math/bits"
	"net/netip"
	"slices"
)

// Deciders tells for each rule of a list in which the first match decides,
// which rules decide the packets that it matches: itself among them, unless no
// packet reaches it. It is exact over all peers, protocols and ports: a rule is
// found out of reach also where several rules before it take its packets
// together. Of a rule that is reached only the rule itself is named.
//
// Cost: the number of distinct sets of prefixes times that of services.
func Deciders(rules []Rule) [][]int {
	c := classesOf(rules, nil)
	reached := make([]uint64, c.words)
	c.each(func(met []uint64) bool {
		set(reached, lowest(met))
		return true
	})
	out := make([][]int, len(rules))
	unreached := make([]uint64, c.words)
	for i := range rules {
		if has(reached, i) {
			out[i] = []int{i}
		} else {
			set(unreached, i)
		}
	}
	c.each(func(met []uint64) bool {
		first := lowest(met)
		for w := range met {
			for m := met[w] & unreached[w]; m != 0; m &= m - 1 {
				i := w<<6 + bits.TrailingZeros64(m)
				if at, known := slices.BinarySearch(out[i], first); !known {
					out[i] = slices.Insert(out[i], at, first)
				}
			}
		}
		return true
	})
	return out
}

// Spare tells of each rule of a list in which any match admits, whether the
// other rules admit all that it admits, whoever is in the groups that they
// name. members are the blocks in which the members of groups have their
// addresses. Each answer is about one rule alone: of two equal rules both are
// spare, and one of them is needed.
func Spare(rules []Rule, members []netip.Prefix) []bool {
	c := classesOf(rules, members)
	needed := make([]uint64, c.words)
	c.each(func(met []uint64) bool {
		if i, only := single(met); only {
			set(needed, i)
		}
		return true
	})
	out := make([]bool, len(rules))
	for i := range out {
		out[i] = !has(needed, i)
	}
	return out
}

// Removable tells which rules of a list in which any match admits can be taken
// out together without a change to what is admitted, whoever is in the groups
// that they name. Of equal rules it keeps the first; otherwise it prefers to
// take out the rule of which less is left when the others are there: the one
// that comes later.
func Removable(rules []Rule, members []netip.Prefix) []bool {
	c := classesOf(rules, members)
	out := Spare(rules, members)
	kept := make([]uint64, c.words)
	for i := range rules {
		set(kept, i)
	}
	for _, i := range slices.Backward(removalOrder(rules)) {
		if !out[i] {
			continue
		}
		c.each(func(met []uint64) bool {
			if !has(met, i) {
				return true
			}
			others := uint64(0)
			for w := range met {
				m := met[w] & kept[w]
				if w == i>>6 {
					m &^= 1 << (i & 63)
				}
				others |= m
			}
			out[i] = others != 0
			return out[i]
		})
		if out[i] {
			kept[i>>6] &^= 1 << (i & 63)
		}
	}
	return out
}

// removalOrder returns the rules from the widest to the narrowest, equally wide
// ones in their order: the last is the first to be taken out.
func removalOrder(rules []Rule) []int {
	order := make([]int, len(rules))
	width := make([][3]int, len(rules))
	for i := range rules {
		r := &rules[i]
		order[i] = i
		if r.Protocol == AllProtocols {
			width[i][0] = 1
		}
		for _, p := range r.Prefixes {
			width[i][1] = max(width[i][1], 1+p.Addr().BitLen()-p.Bits())
		}
		if from, to, ok := portRange(r, max(r.Protocol, 0)); ok {
			width[i][2] = to - from
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(width[b][:], width[a][:]) })
	return order
}

func has(v []uint64, i int) bool { return v[i>>6]>>(i&63)&1 != 0 }

// lowest returns the first rule of a set that is not empty.
func lowest(v []uint64) int {
	for w := range v {
		if v[w] != 0 {
			return w<<6 + bits.TrailingZeros64(v[w])
		}
	}
	return -1
}

// single returns the only rule of a set, if it has but one.
func single(v []uint64) (rule int, only bool) {
	n := 0
	for _, w := range v {
		n += bits.OnesCount64(w)
	}
	return lowest(v), n == 1
}
