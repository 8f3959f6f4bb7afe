package mapping

import "math/bits"

// Pair is a private IPv4 address and the public one by which the world knows
// it, as numbers in host order. Neither is 0.0.0.0.
type Pair struct{ Private, Public uint32 }

// NAT is the translation of an internet gateway: one private address for one
// public one, in both directions, ports untouched (docs/semantics.md S4.7).
//
// Thread-safety: immutable; any number of goroutines may look up. Limits: memory
// only, 32 bytes for each pair at most.
type NAT struct{ public, private addressMap }

// NewNAT returns the translation of the pairs, in which no address may stand
// twice on one side.
func NewNAT(pairs []Pair) *NAT {
	n := &NAT{newAddressMap(len(pairs)), newAddressMap(len(pairs))}
	for _, p := range pairs {
		n.public.insert(p.Private, p.Public)
		n.private.insert(p.Public, p.Private)
	}
	return n
}

// Public returns the public address that stands for a private one. It does not
// allocate.
func (n *NAT) Public(private uint32) (uint32, bool) { return n.public.find(private) }

// Private returns the private address for which a public one stands. It does
// not allocate.
func (n *NAT) Private(public uint32) (uint32, bool) { return n.private.find(public) }

// addressMap is a hash table with open addressing that is at most half full. A
// map of Go's is dearer and, by the rules of the hot path, not to be used there.
type addressMap struct {
	slots []addressSlot // a power of two
	shift uint8         // of the hash, which leaves the bits of an index
}

type addressSlot struct{ from, to uint32 } // from is 0 where it is free

func newAddressMap(n int) addressMap {
	log := bits.Len(uint(2 * n)) // at least 2n+1 slots: a search always ends
	return addressMap{make([]addressSlot, 1<<log), uint8(64 - log)}
}

// start is where the search for an address begins: Fibonacci hashing.
func (m *addressMap) start(a uint32) int {
	return int(uint64(a) * 0x9e3779b97f4a7c15 >> m.shift)
}

func (m *addressMap) insert(from, to uint32) {
	i := m.start(from)
	for m.slots[i].from != 0 {
		i = (i + 1) & (len(m.slots) - 1)
	}
	m.slots[i] = addressSlot{from, to}
}

func (m *addressMap) find(a uint32) (uint32, bool) {
	for i := m.start(a); ; i = (i + 1) & (len(m.slots) - 1) {
		switch s := m.slots[i]; {
		case s.from == 0:
			return 0, false
		case s.from == a:
			return s.to, true
		}
	}
}
