package pipeline

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
)

// fragment explains what the store of fragments does with one, and reports
// whether it goes on as a packet of its flow. It does not foresee that there is no
// room, nor that the ENI's rate is used up.
func (x *Explanation) fragment(e *Engine) bool {
	m, k := &x.Meta, &x.Key
	name := nameOf(m, k)
	var d datagram
	found := e.fragmentStore(k).lookup(&name, e.Now(), &d)
	from := uint32(m.FragAt)
	switch {
	case found && d.state() == fragSpoiled:
		x.Reason = d.reason()
	case found:
		x.Reason = d.extent.add(from, from+uint32(m.FragLen), m.Flags&flagMore == 0)
	}
	switch {
	case x.Reason != drop.Unset:
		return false
	case m.Flags&flagLater == 0:
		x.Datagram = DatagramBegins
		m.Flags |= flagResolved
		return true
	case !found || d.state() != fragKnown:
		x.Datagram = DatagramWaits
		x.Verdict = VerdictHold
		return false
	}
	x.Datagram = DatagramKnown
	m.complete(k, d.first)
	return true
}

// Datagram says what is known of the datagram of a fragment.
type Datagram uint8

// The values of Datagram.
const (
	NoDatagram     Datagram = iota // the packet is no fragment, or one that is dropped
	DatagramBegins                 // it is the first fragment
	DatagramWaits                  // the first fragment has not come: the packet waits for it
	DatagramKnown                  // the first fragment has come: the packet goes as it went
)

// quotedFragment explains an ICMP error that quotes a later fragment.
func (x *Explanation) quotedFragment(e *Engine, v *view) {
	m, k := &x.Meta, &x.Key
	name := quotedName(m, k)
	var d datagram
	s := e.fragmentStore(k)
	for i := range s.datagrams {
		if d.read(&s.datagrams[i]) && d.isQuoted(&name, m.VPC, e.Now(), v.snap) {
			m.quote(k, d.first)
			return
		}
	}
}

// fragmentStore returns the store at which the fragments between two addresses
// meet.
func (e *Engine) fragmentStore(k *hash.FlowKey) *fragStore {
	return &e.workers[e.pairOwner(k)].frags
}

// lookup is find for another goroutine than the owner's: it copies the datagram.
func (s *fragStore) lookup(n *datagramName, now int64, d *datagram) bool {
	share := s.datagrams[int(uint16(n.rest>>16))*s.config.Datagrams:][:s.config.Datagrams]
	for i := range share {
		if d.read(&share[i]) && d.name == *n && d.until > now && !(d.state() == fragKnown && d.extent.complete()) {
			return true
		}
	}
	return false
}

// lookup returns why the first fragment of a later one's datagram was dropped, for
// another goroutine than the owner's.
func (r *fragRefusals) lookup(hash uint64, m *Meta, now int64) (drop.Reason, bool) {
	e := r.slot(hash, m.FragID)
	c := fragRefusal{
		hash: atomic.LoadUint64(&e.hash), datagram: atomic.LoadUint64(&e.datagram),
		until: atomic.LoadInt64(&e.until), reason: atomic.LoadUint64(&e.reason),
	}
	return drop.Reason(c.reason), c.is(hash, m) && c.until > now
}
