package conntrack

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// Kind says whether a session may be ended early, to make room for another, and
// in which order (docs/semantics.md S1.8).
type Kind uint8

// The kinds.
const (
	Kept     Kind = iota // never ended early
	HalfOpen             // TCP, until both ends have spoken and the originator has confirmed
	Closing              // TCP, after a FIN or an RST
	OneWay               // UDP, ICMP and other protocols without an answer
	NumKinds
)

var kindNames = [NumKinds]string{"kept", "half_open", "closing", "one_way"}

// String returns the kind's stable name.
func (k Kind) String() string { return kindNames[k%NumKinds] }

// kindOf returns the kind of a session in a state, of which the responder has
// sent something or not. A connection that is picked up midstream is half open
// until its other side is seen.
func kindOf(s State, answered bool) Kind {
	switch {
	case s == SynSent || s == SynReceived || s == Established && !answered:
		return HalfOpen
	case s > Established && s <= ResetResponder:
		return Closing
	case s > ResetResponder && s != UDPStream && !answered:
		return OneWay
	}
	return Kept
}

// candidates are lists of the sessions that may be ended early. For each ENI,
// and for either end that it can be of a session, there is a list of each kind,
// the longest in it first. The list of the responder's end has the sessions
// that are tracked there: it serves the allowance of the responder's instance.
//
// Thread-safety: one writer, the table's owner. Counts may be read by others.
type candidates struct {
	links []links // by session
	enis  []suspect
	high  uint32 // ENIs at and above have never had a candidate
	hand  uint32 // walks over the ENIs
	worst uint16 // the ENI that began the most candidates, as far as was noticed
	n     uint32 // candidates in all

	linkBlock *hugemem.Block[links]
	eniBlock  *hugemem.Block[suspect]
}

// suspect is an ENI's lists, by end and kind.
type suspect struct{ lists [2][NumKinds - 1]list }

// list is a ring of sessions.
type list struct {
	oldest uint32
	n      uint32
}

// total returns how many candidates the ENI has at an end. For all goroutines.
func (s *suspect) total(end int) uint32 {
	l := &s.lists[end]
	return atomic.LoadUint32(&l[0].n) + atomic.LoadUint32(&l[1].n) + atomic.LoadUint32(&l[2].n)
}

// links are a session's neighbours in its lists: before and after it in that of
// the originator's end, then of the responder's. Four identifiers of 27 bits
// and the kind, in 14 bytes, because a session has 160 for all.
type links struct {
	low  [4]uint16
	high [3]uint16 // from the lowest up: the upper 11 bits of each; the kind (2); whether the second list has it (1)
}

const (
	before = 0 // and 2 for the responder's end
	after  = 1 // and 3

	maxSessions = 1 << 27
)

func (l *links) upper() uint64 {
	return uint64(l.high[0]) | uint64(l.high[1])<<16 | uint64(l.high[2])<<32
}

func (l *links) setUpper(u uint64) {
	l.high = [3]uint16{uint16(u), uint16(u >> 16), uint16(u >> 32)}
}

func (l *links) at(end, which int) uint32 {
	i := uint(2*end + which)
	return uint32(l.low[i&3]) | uint32(l.upper()>>(11*i)&0x7ff)<<16
}

func (l *links) set(end, which int, id uint32) {
	i := uint(2*end + which)
	l.low[i&3] = uint16(id)
	l.setUpper(l.upper()&^(0x7ff<<(11*i)) | uint64(id>>16&0x7ff)<<(11*i))
}

func (l *links) kind() Kind { return Kind(l.high[2] >> 12 & 3) }

func (l *links) both() bool { return l.high[2]>>14&1 != 0 }

func (l *links) setKind(k Kind, both bool) {
	l.high[2] = l.high[2]&0xfff | uint16(k)<<12
	if both {
		l.high[2] |= 1 << 14
	}
}

func (c *candidates) alloc(sessions int) (err error) {
	if c.linkBlock, err = hugemem.Alloc[links](sessions); err != nil {
		return err
	}
	if c.eniBlock, err = hugemem.Alloc[suspect](1 << 16); err != nil {
		return err
	}
	c.links, c.enis = c.linkBlock.Items, c.eniBlock.Items
	return nil
}

func (c *candidates) free() (err error) {
	c.links, c.enis = nil, nil
	if c.linkBlock != nil {
		err = c.linkBlock.Free()
	}
	if c.eniBlock != nil {
		if e := c.eniBlock.Free(); err == nil {
			err = e
		}
	}
	return err
}

// enlist puts session id, which is in no list, at the end of the lists of its
// kind.
func (c *candidates) enlist(id uint32, s *Session, k Kind) {
	if k == Kept {
		return
	}
	c.links[id].setKind(k, s.Tracked(1))
	c.push(id, s.Originator(), 0, k)
	if s.Tracked(1) {
		c.push(id, s.Responder(), 1, k)
	}
	relaxed.Store32(&c.n, c.n+1)
	if eni := s.Originator(); c.enis[eni].total(0) > c.enis[c.worst].total(0) {
		c.worst = eni
	}
}

func (c *candidates) push(id uint32, eni uint16, end int, k Kind) {
	c.high = max(c.high, uint32(eni)+1)
	l := &c.enis[eni].lists[end][k-1]
	if l.n == 0 {
		c.links[id].set(end, before, id)
		c.links[id].set(end, after, id)
		l.oldest = id
	} else {
		first := &c.links[l.oldest]
		last := first.at(end, before)
		c.links[last].set(end, after, id)
		c.links[id].set(end, before, last)
		c.links[id].set(end, after, l.oldest)
		first.set(end, before, id)
	}
	relaxed.Store32(&l.n, l.n+1)
}

// extend puts session id, which has come to be tracked at the responder's end,
// into the list there too.
func (c *candidates) extend(id uint32, s *Session) {
	if k := c.links[id].kind(); k != Kept && s.Tracked(1) && !c.links[id].both() {
		c.links[id].setKind(k, true)
		c.push(id, s.Responder(), 1, k)
	}
}

// strike takes session id out of its lists, if it is in any.
func (c *candidates) strike(id uint32, s *Session) {
	k := c.links[id].kind()
	if k == Kept {
		return
	}
	c.pull(id, s.Originator(), 0, k)
	if c.links[id].both() {
		c.pull(id, s.Responder(), 1, k)
	}
	c.links[id].setKind(Kept, false)
	relaxed.Store32(&c.n, c.n-1)
}

func (c *candidates) pull(id uint32, eni uint16, end int, k Kind) {
	l := &c.enis[eni].lists[end][k-1]
	prev, next := c.links[id].at(end, before), c.links[id].at(end, after)
	c.links[prev].set(end, after, next)
	c.links[next].set(end, before, prev)
	if l.oldest == id {
		l.oldest = next
	}
	relaxed.Store32(&l.n, l.n-1)
}
