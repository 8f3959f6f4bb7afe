package pipeline

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/policy"
)

// FragmentConfig bounds what the engine remembers of datagrams that come in
// fragments. The bounds are for each ENI on each lcore, so that none takes
// another's place.
type FragmentConfig struct {
	Hold      time.Duration // how long a later fragment waits for the first
	Lifetime  time.Duration // how long a datagram is remembered, at least Hold
	Datagrams int           // that are remembered
	Held      int           // fragments that wait, fewer than Datagrams
}

// DefaultFragments is the documented default.
var DefaultFragments = FragmentConfig{Hold: time.Second, Lifetime: 30 * time.Second, Datagrams: 128, Held: 64}

func (c *FragmentConfig) check() error {
	switch {
	case c.Hold <= 0 || c.Lifetime < c.Hold:
		return errors.New("pipeline: fragments are remembered for a shorter time than they are held")
	case c.Held < 1 || c.Datagrams <= c.Held:
		return errors.New("pipeline: no more datagrams are remembered than fragments held")
	}
	return nil
}

// fragStore is what an lcore knows of datagrams in fragments: which parts have
// come, the ports of the first fragment, and the later ones that wait for it.
//
// Each ENI has slots of its own, for datagrams and for fragments that wait; in a
// full share the ENI's oldest makes room. All datagrams are in one hash index,
// which does not tell ENIs apart: an ICMP error comes from another one than the
// datagram that it quotes.
//
// Thread-safety: one owner, but for datagram.read.
//
// Limits: an ENI that uses an identification for a new datagram between the same
// addresses, while an older one of which not all has come is remembered, loses
// the new one, as at any receiver. A datagram that had to make room is forgotten,
// with the parts that had passed.
type fragStore struct {
	config    FragmentConfig
	datagrams []datagram // Datagrams for each ENI
	items     []heldItem // Held for each ENI
	shares    []fragShare
	heads     []uint32 // of the chains of the hash index; its length is a power of two
	seed      uint64
	due       fragQueue // that wait for their first, the one that gives up next in front
	ready     fragQueue // whose first has come, with fragments to let go
	held      int       // fragments in items
}

const noSlot = ^uint32(0)

// datagram is what is known of one datagram.
type datagram struct {
	info   uint64 // VPC (16) | reason (8), of a spoiled one | state (8) | version (32), odd while it is written
	name   datagramName
	first  uint64 // what the first fragment says, see firstOf
	until  int64  // ns: when it is forgotten
	extent extent

	// The rest is for the owner only.
	giveUp  int64  // ns: when what is held is dropped
	chain   uint32 // next with the same hash, or next free
	older   uint32 // in its share's list
	younger uint32
	before  uint32 // in due or ready
	after   uint32
	held    uint32 // newest fragment that waits, which leads to the oldest
}

// The writes of what read copies, all but those to extent, are in here.

func (d *datagram) state() fragState    { return fragState(d.info >> 32) }
func (d *datagram) reason() drop.Reason { return drop.Reason(d.info >> 40) }
func (d *datagram) vpc() uint16         { return uint16(d.info >> 48) }

func (d *datagram) begin() { relaxed.Store64(&d.info, d.info+1) }
func (d *datagram) end()   { relaxed.Store64(&d.info, d.info&^0xffffffff|uint64(uint32(d.info)+1)) }

func (d *datagram) enter(s fragState, r drop.Reason) {
	relaxed.Store64(&d.info, d.info&(0xffff<<48|0xffffffff)|uint64(r)<<40|uint64(s)<<32)
}

// start makes d a datagram of which nothing has come yet.
func (d *datagram) start(n *datagramName, vpc uint16, until int64) {
	d.begin()
	relaxed.Store64(&d.info, uint64(vpc)<<48|uint64(fragWaiting)<<32|d.info&0xffffffff)
	relaxed.Store64(&d.name.src.Hi, n.src.Hi)
	relaxed.Store64(&d.name.src.Lo, n.src.Lo)
	relaxed.Store64(&d.name.dst.Hi, n.dst.Hi)
	relaxed.Store64(&d.name.dst.Lo, n.dst.Lo)
	relaxed.Store64(&d.name.rest, n.rest)
	relaxed.StoreInt64(&d.until, until)
	d.extent.store(&extent{})
	d.end()
	d.held = noSlot
}

// know notes what the first fragment says.
func (d *datagram) know(first uint64) {
	d.begin()
	d.enter(fragKnown, drop.Unset)
	relaxed.Store64(&d.first, first)
	d.end()
}

// grow notes what has come.
func (d *datagram) grow(x *extent) {
	d.begin()
	d.extent.store(x)
	d.end()
}

// read copies what is known of from for another goroutine than the owner, and
// reports whether there is something.
func (d *datagram) read(from *datagram) bool {
	for range 64 {
		before := atomic.LoadUint64(&from.info)
		if before&1 != 0 {
			continue
		}
		d.name.src.Hi = atomic.LoadUint64(&from.name.src.Hi)
		d.name.src.Lo = atomic.LoadUint64(&from.name.src.Lo)
		d.name.dst.Hi = atomic.LoadUint64(&from.name.dst.Hi)
		d.name.dst.Lo = atomic.LoadUint64(&from.name.dst.Lo)
		d.name.rest = atomic.LoadUint64(&from.name.rest)
		d.first = atomic.LoadUint64(&from.first)
		d.until = atomic.LoadInt64(&from.until)
		d.extent.load(&from.extent)
		if d.info = atomic.LoadUint64(&from.info); d.info == before {
			return d.state() != fragFree
		}
	}
	return false // written all the time: as good as gone
}

type fragState uint8

const (
	fragFree    fragState = iota
	fragWaiting           // its first fragment has not come
	fragKnown             // it has
	fragSpoiled           // nothing more of it may pass
)

// datagramName is what the fragments of a datagram have in common (RFC 791, RFC
// 8200 section 4.5). For IPv6 that is not the protocol: fragments other than the
// first may name another next header.
type datagramName struct {
	src, dst hash.Addr
	rest     uint64 // identification (32) | ENI (16) | IPv4: protocol (8) | family flag (8)
}

const nameENI = uint64(0xffff) << 16

func nameOf(m *Meta, k *hash.FlowKey) datagramName {
	rest := uint64(m.FragID)<<32 | uint64(m.ENI)<<16
	if k.IsIPv6() {
		return datagramName{k.Src, k.Dst, rest | uint64(hash.KeyIPv6)}
	}
	return datagramName{k.Src, k.Dst, rest | uint64(m.Proto)<<8 | uint64(hash.KeyIPv4)}
}

// firstOf packs what a first fragment says of the others: ports (32) | protocol
// (8) | ICMP type (8) | ICMP code (8).
func firstOf(m *Meta, k *hash.FlowKey) uint64 {
	return k.Tail&^0xffffffff | uint64(m.Proto)<<16 | uint64(m.ICMPType)<<8 | uint64(m.ICMPCode)
}

// complete makes the key of a later fragment the one of its first, and tells the
// rest of the pipeline that it is.
func (m *Meta) complete(k *hash.FlowKey, first uint64) {
	m.Proto, m.ICMPType, m.ICMPCode = uint8(first>>16), uint8(first>>8), uint8(first)
	k.Tail = first&^0xffffffff | k.Tail&0xffff00ff | uint64(m.Proto)<<8
	m.Flags |= flagResolved
}

// heldItem is a fragment that waits, or a free slot.
type heldItem struct {
	item
	next uint32
}

// fragShare is what belongs to one ENI.
type fragShare struct {
	free, freeItem uint32   // slots, chained
	waiting, known fragList // known has the spoiled ones too
}

// fragList and fragQueue are lists of datagrams, oldest first.
type (
	fragList  struct{ oldest, youngest uint32 }
	fragQueue struct{ front, back uint32 }
)

func newFragStore(c FragmentConfig, enis int) fragStore {
	size := 64
	for size < enis*c.Datagrams {
		size *= 2
	}
	s := fragStore{
		config:    c,
		datagrams: make([]datagram, enis*c.Datagrams), items: make([]heldItem, enis*c.Held),
		shares: make([]fragShare, enis), heads: make([]uint32, size), seed: hash.RandomSeed(),
		due: fragQueue{noSlot, noSlot}, ready: fragQueue{noSlot, noSlot},
	}
	for i := range s.heads {
		s.heads[i] = noSlot
	}
	for e := range s.shares {
		sh := fragShare{noSlot, noSlot, fragList{noSlot, noSlot}, fragList{noSlot, noSlot}}
		for i := range uint32(c.Datagrams) {
			id := uint32(e*c.Datagrams) + i
			s.datagrams[id].chain, sh.free = sh.free, id
		}
		for i := range uint32(c.Held) {
			id := uint32(e*c.Held) + i
			s.items[id].next, sh.freeItem = sh.freeItem, id
		}
		s.shares[e] = sh
	}
	return s
}

// head returns the chain of a name, whatever its ENI.
func (s *fragStore) head(n *datagramName) *uint32 {
	h := (n.src.Lo ^ n.dst.Hi ^ s.seed) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ n.dst.Lo ^ n.src.Hi ^ n.rest&^nameENI) * 0xbf58476d1ce4e5b9
	return &s.heads[h>>32&uint64(len(s.heads)-1)]
}

// find returns the datagram to which a fragment belongs, or noSlot. One of which
// everything has come is not looked for: what comes under its name is another.
func (s *fragStore) find(n *datagramName, now int64) uint32 {
	for id := *s.head(n); id != noSlot; {
		d := &s.datagrams[id]
		if d.name == *n && !(d.state() == fragKnown && d.extent.complete()) {
			if d.until > now {
				return id
			}
			if d.state() != fragWaiting { // which its own time limit ends
				s.remove(id)
			}
			return noSlot
		}
		id = d.chain
	}
	return noSlot
}

// quoted returns what the first fragment says of a datagram that some ENI of the
// VPC sent, and might send.
func (s *fragStore) quoted(n *datagramName, vpc uint16, now int64, snap *policy.Snapshot) (first uint64, ok bool) {
	for id := *s.head(n); id != noSlot; id = s.datagrams[id].chain {
		if d := &s.datagrams[id]; d.isQuoted(n, vpc, now, snap) {
			return d.first, true
		}
	}
	return 0, false
}

func (d *datagram) eni() uint16 { return uint16(d.name.rest >> 16) }

// isQuoted reports whether an ICMP error in a VPC that quotes name n speaks of d.
// A datagram whose sender lied about its address is none that anyone answers.
func (d *datagram) isQuoted(n *datagramName, vpc uint16, now int64, snap *policy.Snapshot) bool {
	return d.state() == fragKnown && d.vpc() == vpc && d.until > now &&
		d.name.src == n.src && d.name.dst == n.dst && (d.name.rest^n.rest)&^nameENI == 0 &&
		snap.MaySend(d.eni(), n.src, n.rest&uint64(hash.KeyIPv6) != 0)
}

// admit gives a fragment's datagram a slot, if it has none yet.
func (s *fragStore) admit(w *Worker, n *datagramName, vpc uint16) uint32 {
	sh := &s.shares[uint16(n.rest>>16)]
	if sh.free == noSlot {
		oldest := sh.known.oldest
		if oldest == noSlot {
			oldest = sh.waiting.oldest
		}
		s.dropHeld(w, oldest, drop.FragmentStoreFull)
		s.remove(oldest)
	}
	id := sh.free
	d := &s.datagrams[id]
	sh.free = d.chain
	head := s.head(n)
	d.chain, *head = *head, id
	d.start(n, vpc, w.now+int64(s.config.Lifetime))
	s.append(&sh.waiting, id)
	return id
}

// know notes what the first fragment of a datagram says. What waits for it is
// ready to go.
func (s *fragStore) know(id uint32, first uint64) {
	d := &s.datagrams[id]
	sh := &s.shares[d.eni()]
	s.unlink(&sh.waiting, id)
	s.append(&sh.known, id)
	d.know(first)
	if d.held != noSlot {
		s.leave(&s.due, id)
		s.enter(&s.ready, id)
	}
}

// spoil sees to it that nothing more of a datagram passes, for reason r.
func (s *fragStore) spoil(w *Worker, id uint32, r drop.Reason) {
	d := &s.datagrams[id]
	sh := &s.shares[d.eni()]
	s.dropHeld(w, id, r)
	if d.state() == fragWaiting {
		s.unlink(&sh.waiting, id)
		s.append(&sh.known, id)
	}
	d.enter(fragSpoiled, r)
}

// hold keeps packet i of w, a later fragment, until the first one of its datagram
// has come and those that wait longer have gone. There must be room.
func (s *fragStore) hold(w *Worker, id uint32, i int) {
	d := &s.datagrams[id]
	sh := &s.shares[d.eni()]
	at := sh.freeItem
	it := &s.items[at]
	sh.freeItem = it.next
	w.burst.take(i, &it.item)
	if d.held == noSlot {
		it.next = at
		d.giveUp = w.now + int64(s.config.Hold)
		s.enter(&s.due, id)
	} else {
		newest := &s.items[d.held]
		it.next, newest.next = newest.next, at
	}
	d.held = at
	s.held++
}

// takeHeld takes the oldest fragment that waits out, into it. The datagram leaves
// the queue it is in with its last one.
func (s *fragStore) takeHeld(id uint32, it *item) {
	d := &s.datagrams[id]
	oldest := s.items[d.held].next
	slot := &s.items[oldest]
	*it = slot.item
	if oldest == d.held {
		d.held = noSlot
		if d.state() == fragWaiting {
			s.leave(&s.due, id)
		} else {
			s.leave(&s.ready, id)
		}
	} else {
		s.items[d.held].next = slot.next
	}
	sh := &s.shares[d.eni()]
	slot.next, sh.freeItem = sh.freeItem, oldest
	s.held--
}

// dropHeld drops all that waits of a datagram.
func (s *fragStore) dropHeld(w *Worker, id uint32, r drop.Reason) {
	for s.datagrams[id].held != noSlot {
		var it item
		s.takeHeld(id, &it)
		w.refuse(&it.desc, it.meta.ENI, r)
	}
}

// makeRoom finds a place for one more fragment to wait in an ENI's share: in a
// full one the datagram that waits longest gives up. It reports whether there is
// one; there is none if all belong to datagrams that are ready to go.
func (s *fragStore) makeRoom(w *Worker, eni uint16) bool {
	sh := &s.shares[eni]
	if sh.freeItem != noSlot {
		return true
	}
	oldest := sh.waiting.oldest
	if oldest == noSlot {
		return false
	}
	s.dropHeld(w, oldest, drop.FragmentHoldFull)
	s.remove(oldest)
	return true
}

// expire gives up the datagrams whose first fragment did not come in time.
func (s *fragStore) expire(w *Worker) {
	for s.due.front != noSlot && s.datagrams[s.due.front].giveUp <= w.now {
		id := s.due.front
		s.dropHeld(w, id, drop.FragmentWithoutFirst)
		s.remove(id)
	}
}

// remove forgets a datagram of which nothing waits.
func (s *fragStore) remove(id uint32) {
	d := &s.datagrams[id]
	sh := &s.shares[d.eni()]
	if d.state() == fragWaiting {
		s.unlink(&sh.waiting, id)
	} else {
		s.unlink(&sh.known, id)
	}
	at := s.head(&d.name)
	for *at != id {
		at = &s.datagrams[*at].chain
	}
	*at = d.chain
	d.enter(fragFree, drop.Unset)
	d.chain, sh.free = sh.free, id
}

func (s *fragStore) append(l *fragList, id uint32) {
	d := &s.datagrams[id]
	d.older, d.younger = l.youngest, noSlot
	if l.youngest == noSlot {
		l.oldest = id
	} else {
		s.datagrams[l.youngest].younger = id
	}
	l.youngest = id
}

func (s *fragStore) unlink(l *fragList, id uint32) {
	d := &s.datagrams[id]
	if d.older == noSlot {
		l.oldest = d.younger
	} else {
		s.datagrams[d.older].younger = d.younger
	}
	if d.younger == noSlot {
		l.youngest = d.older
	} else {
		s.datagrams[d.younger].older = d.older
	}
}

func (s *fragStore) enter(q *fragQueue, id uint32) {
	d := &s.datagrams[id]
	d.before, d.after = q.back, noSlot
	if q.back == noSlot {
		q.front = id
	} else {
		s.datagrams[q.back].after = id
	}
	q.back = id
}

func (s *fragStore) leave(q *fragQueue, id uint32) {
	d := &s.datagrams[id]
	if d.before == noSlot {
		q.front = d.after
	} else {
		s.datagrams[d.before].after = d.after
	}
	if d.after == noSlot {
		q.back = d.before
	} else {
		s.datagrams[d.after].before = d.before
	}
}
