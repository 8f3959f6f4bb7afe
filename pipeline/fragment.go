package pipeline

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// admitFragment is the part of dispatch for packet i, a fragment at the lcore where
// those of its address pair meet. The first one of a datagram teaches the ports,
// the later ones get them; those that come before it wait. It reports whether the
// packet goes on, as a packet of its flow; otherwise it is held or dropped.
//
// No byte of a datagram passes twice, so that no receiver can put it together in
// another way than the rules saw it (docs/semantics.md S7.2).
func (w *Worker) admitFragment(i int) bool {
	m, k, s := &w.burst.meta[i], &w.burst.keys[i], &w.frags
	name := nameOf(m, k)
	id := s.find(&name, w.now)
	var x extent
	if id != noSlot {
		d := &s.datagrams[id]
		if d.state() == fragSpoiled {
			w.dropAt(i, d.reason())
			return false
		}
		x = d.extent
	}
	from := uint32(m.FragAt)
	if r := x.add(from, from+uint32(m.FragLen), m.Flags&flagMore == 0); r != drop.Unset {
		if r == drop.FragmentOverlap || r == drop.FragmentPastEnd {
			s.spoil(w, id, r)
		}
		w.dropAt(i, r)
		return false
	}
	waits := m.Flags&flagLater != 0
	if waits && id != noSlot && s.datagrams[id].state() == fragKnown {
		// Behind those that wait already, for as long as there is room.
		waits = s.datagrams[id].held != noSlot && s.shares[m.ENI].freeItem != noSlot
	} else if waits && !(s.makeRoom(w, m.ENI) && (id == noSlot || s.datagrams[id].state() != fragFree)) {
		w.dropAt(i, drop.FragmentHoldFull) // its own datagram may be the one that gave up
		return false
	}
	if id == noSlot {
		id = s.admit(w, &name, m.VPC)
	}
	d := &s.datagrams[id]
	d.grow(&x)
	switch {
	case waits:
		s.hold(w, id, i)
		m.Verdict = VerdictHold
		w.counters.local[countFragmentsWaited]++
		return false
	case m.Flags&flagLater == 0:
		s.know(id, firstOf(m, k))
		m.Flags |= flagResolved
	default:
		m.complete(k, d.first)
		w.burst.places[i] = flowcache.Place(w.engine.hasher.Hash(k, uint32(m.VPC)), k)
	}
	return true
}

// releaseShare is how many fragments that waited go in one round at most, so
// that there is room for others in the burst.
const releaseShare = 16

// release fills the beginning of the burst with fragments whose first ones have
// come, which go like packets from another lcore, and returns how many there are.
func (w *Worker) release() int {
	s, n := &w.frags, 0
	for ; n < releaseShare && s.ready.front != noSlot; n++ {
		id := s.ready.front
		var it item
		s.takeHeld(id, &it)
		it.meta.complete(&it.key, s.datagrams[id].first)
		it.meta.Hash = w.engine.hasher.Hash(&it.key, uint32(it.meta.VPC))
		w.burst.put(n, &it)
	}
	return n
}

// quotedFragment completes the key of packet i, an ICMP error that quotes a later
// fragment, if the first one of that datagram is known; else it is judged as a
// message of its own.
func (w *Worker) quotedFragment(i int) {
	m, k := &w.burst.meta[i], &w.burst.keys[i]
	m.Flags |= flagResolved
	name := quotedName(m, k)
	if first, ok := w.frags.quoted(&name, m.VPC, w.now, w.view.snap); ok {
		m.quote(k, first)
		w.burst.places[i] = flowcache.Place(w.engine.hasher.Hash(k, uint32(m.VPC)), k)
	}
}

// quotedName returns the name of the datagram of which an ICMP error quotes a
// fragment; it says nothing of the ENI.
func quotedName(m *Meta, k *hash.FlowKey) datagramName {
	n := datagramName{k.Dst, k.Src, uint64(m.FragID)<<32 | uint64(k.Proto())<<8 | uint64(hash.KeyIPv4)}
	if k.IsIPv6() {
		n.rest = n.rest&^0xffff | uint64(hash.KeyIPv6)
	}
	return n
}

// quote makes k the reverse of the flow of the datagram that an ICMP error quotes,
// by what its first fragment says.
func (m *Meta) quote(k *hash.FlowKey, first uint64) {
	m.Flags &^= flagQuotedLater
	proto := uint8(first >> 16)
	if isICMP(proto, k.IsIPv6()) {
		if _, _, ok := queryOf(uint8(first>>8), k.IsIPv6()); !ok || uint8(first) != 0 {
			return // as quotedKey has it
		}
	}
	m.Flags |= flagQuoted
	k.Tail = hash.Tail(uint16(first>>32), uint16(first>>48), k.ENI(), proto, k.Flags())
}

// pairOwner returns the lcore at which the fragments between two addresses meet.
func (e *Engine) pairOwner(k *hash.FlowKey) int {
	pair := *k
	pair.Tail &= 0xff // no ports, and no protocol: IPv6's fragments may name several
	return int(e.owners[e.sharder.Shard(&pair)])
}
