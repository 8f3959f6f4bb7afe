package mapping

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// exact is a hash table of single addresses: nearly all that a VPC has, and asked
// for twice for every new flow. What is in it comes from the configuration, so
// that nobody who sends packets can make its chains long.
type exact struct {
	slots []slot // a power of two, at most half in use
	n     int
}

type slot struct {
	hi, lo uint64 // of the address, IPv4 in IPv6
	entry  Entry
	used   bool
}

const minSlots = 16

func words(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, 0xffff_0000_0000 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// find returns the slot of an address: its own, or the free one where it belongs.
func (t *exact) find(hi, lo uint64) *slot {
	up, down := bits.Mul64(hi^0x9e37_79b9_7f4a_7c15, lo^0xc2b2_ae3d_27d4_eb4f)
	for i := up ^ down; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if !s.used || s.lo == lo && s.hi == hi {
			return s
		}
	}
}

func (t *exact) insert(a netip.Addr, e Entry) {
	if 2*t.n >= len(t.slots) {
		old := t.slots
		t.slots = make([]slot, max(minSlots, 2*len(old)))
		for i := range old {
			if s := &old[i]; s.used {
				*t.find(s.hi, s.lo) = *s
			}
		}
	}
	hi, lo := words(a)
	s := t.find(hi, lo)
	if !s.used {
		t.n++
	}
	*s = slot{hi, lo, e, true}
}

func (t *exact) lookup(a netip.Addr) (Entry, bool) {
	if t.n == 0 {
		return Entry{}, false
	}
	s := t.find(words(a))
	return s.entry, s.used
}
