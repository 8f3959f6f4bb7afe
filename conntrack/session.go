package conntrack

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// Session is the record of one connection between two ENIs: one for both
// directions and both halves. Two cache lines: the first is what every packet
// touches, the second is what names the session.
//
// Each half is tracked or not (docs/semantics.md S1.2): the session speaks for
// the security groups of an ENI only where that half is tracked, and counts
// against the allowance of its instance only there. At least one half is.
//
// A session is live while its incarnation is odd. Whoever keeps its index keeps
// the incarnation too, and a mismatch says that the session is gone.
//
// Times have a resolution of a millisecond. Idle times may be up to 24 days.
type Session struct {
	head    uint64    // incarnation (32) | state (8) | flags (8) | window scale by direction (4, 4) | marks (8) of window.go
	clock   uint64    // time of the last packet (32) | idle time after which it is gone (32); ms
	packets [2]uint64 // by direction: largest window announced, not scaled (16) | packets (48)
	bytes   [2]uint64 // by direction, layer 3
	seq     [2]uint64 // by direction: end of what was sent (32) | highest acknowledgement sent (32); TCP

	key    hash.FlowKey // of the first packet
	where  uint64       // responder's ENI (16) | VPC (16) | group that admitted at the originator's half (16), at the responder's (16)
	owners uint64       // originator's instance (16) | responder's instance (16) | created, s (32)
	place  uint64       // the hash's top (16) | drained at, s (16) | the hash's low word (32)
}

// Flags of a session.
const (
	flagTracked0 = 1 << iota // tracked at the originator's ENI
	flagTracked1             // tracked at the responder's ENI
	flagDraining             // ends at the time in place, whatever its packets
)

const (
	millisecond = 1_000_000
	second      = 1_000_000_000

	packetBits = 48
	packetMask = 1<<packetBits - 1
	hashMask   = 0xffff_0000_ffff_ffff // what the index makes use of
)

// Incarnation returns the session's incarnation; odd while it lives.
func (s *Session) Incarnation() uint32 { return uint32(s.head >> 32) }

// Live reports whether the record is in use.
func (s *Session) Live() bool { return s.head>>32&1 != 0 }

// State returns where the session stands.
func (s *Session) State() State { return State(s.head >> 24) }

func (s *Session) flags() uint64 { return s.head >> 16 & 0xff }

// Tracked reports whether the session speaks for the half of an end: 0 the
// originator's, 1 the responder's.
func (s *Session) Tracked(end int) bool { return s.flags()>>(end&1)&flagTracked0 != 0 }

// track sets the flag. For the owner.
func (s *Session) track(end int) { relaxed.Store64(&s.head, s.head|flagTracked0<<(16+end&1)) }

// Last returns the time of its last packet in nanoseconds, seen from a time now
// that is less than 24 days off.
func (s *Session) Last(now int64) int64 {
	return (now/millisecond - int64(s.idle(now))) * millisecond
}

// idle returns for how many milliseconds the session has had no packet; it may
// be negative for a reader whose clock was read before the packet came.
func (s *Session) idle(now int64) int32 { return int32(Millis(now) - uint32(s.clock>>32)) }

// Timeout returns the idle time, in nanoseconds, after which it is gone.
func (s *Session) Timeout() int64 { return int64(uint32(s.clock)) * millisecond }

// Created returns the time of its first packet in nanoseconds, to the second.
func (s *Session) Created() int64 { return int64(uint32(s.owners)) * second }

// CreatedBefore reports whether it was created in a second before that of a time
// in nanoseconds.
func (s *Session) CreatedBefore(at int64) bool {
	return int32(uint32(s.owners)-uint32(at/second)) < 0
}

// Packets returns how many packets went in direction dir.
func (s *Session) Packets(dir int) uint64 { return s.packets[dir&1] & packetMask }

// Bytes returns how many layer-3 bytes went in direction dir.
func (s *Session) Bytes(dir int) uint64 { return s.bytes[dir&1] }

// Key returns the key of its first packet: direction 0, the originator's.
func (s *Session) Key() *hash.FlowKey { return &s.key }

// Originator returns the ENI that sent the first packet.
func (s *Session) Originator() uint16 { return s.key.ENI() }

// Responder returns the ENI that the first packet was sent to.
func (s *Session) Responder() uint16 { return uint16(s.where >> 48) }

// End returns the ENI of an end: 0 the originator's, 1 the responder's.
func (s *Session) End(end int) uint16 {
	if end == 0 {
		return s.Originator()
	}
	return s.Responder()
}

// Instances returns the instances of the originator and the responder. It
// counts against their allowances where the half is tracked.
func (s *Session) Instances() (originator, responder uint16) {
	return uint16(s.owners >> 48), uint16(s.owners >> 32)
}

// VPC returns the index of the VPC in which the addresses hold.
func (s *Session) VPC() uint16 { return uint16(s.where >> 32) }

// Group returns the index of the security group that admitted the first packet
// at an end: 0 the originator's, 1 the responder's. It means something only
// where the half is tracked.
func (s *Session) Group(end int) uint16 { return uint16(s.where >> (16 * (1 - uint(end&1)))) }

// SetGroup changes it. For the owner.
func (s *Session) SetGroup(end int, group uint16) {
	shift := 16 * (1 - uint(end&1))
	relaxed.Store64(&s.where, s.where&^(0xffff<<shift)|uint64(group)<<shift)
}

// Expired reports whether the session was idle for too long at time now.
func (s *Session) Expired(now int64) bool { return int64(s.idle(now)) > int64(uint32(s.clock)) }

// Draining reports whether the session ends at a given time, and whether that
// has come.
func (s *Session) Draining(now int64) (draining, over bool) {
	if s.flags()&flagDraining == 0 {
		return false, false
	}
	return true, int16(uint16(now/second)-uint16(s.place>>32)) >= 0
}

// Over reports whether the session has ended by time: it was idle for too long,
// or drained.
func (s *Session) Over(now int64) bool { return s.OverAt(now, Millis(now)) }

// OverAt is Over with the same time as Millis makes it.
func (s *Session) OverAt(now int64, ms uint32) bool {
	if int64(int32(ms-uint32(s.clock>>32))) > int64(uint32(s.clock)) {
		return true
	}
	_, over := s.Draining(now)
	return over
}

// Millis returns a time as sessions keep it. Who counts many packets at one time
// makes it once.
func Millis(now int64) uint32 { return uint32(now / millisecond) }

// Drain lets the session end at the given time in nanoseconds, which is less
// than nine hours away, unless it ends earlier. For the owner.
func (s *Session) Drain(at int64) {
	tick := uint64(uint16((at + second - 1) / second))
	relaxed.Store64(&s.place, s.place&^(0xffff<<32)|tick<<32)
	relaxed.Store64(&s.head, s.head|flagDraining<<16)
}

// Spare takes back what Drain said. For the owner.
func (s *Session) Spare() { relaxed.Store64(&s.head, s.head&^(flagDraining<<16)) }

// Count adds one packet of n layer-3 bytes in direction dir at a time of Millis.
// For the owner.
func (s *Session) Count(dir int, n, ms uint32) {
	dir &= 1
	relaxed.Store64(&s.packets[dir], s.packets[dir]+1)
	relaxed.Store64(&s.bytes[dir], s.bytes[dir]+uint64(n))
	if last := uint64(ms); last != s.clock>>32 {
		relaxed.Store64(&s.clock, last<<32|s.clock&0xffff_ffff)
	}
}

// halves returns the tracked halves, in a.
func (s *Session) halves(a *[2]tracked) []tracked {
	all := a[:0]
	from, to := s.Instances()
	for end, instance := range [2]uint16{from, to} {
		if s.Tracked(end) {
			all = append(all, tracked{half{s.End(end), instance}, end})
		}
	}
	return all
}

// enter changes the state and the idle time, in nanoseconds, that goes with it.
func (s *Session) enter(state State, timeout int64) {
	relaxed.Store64(&s.head, s.head&^(0xff<<24)|uint64(state)<<24)
	relaxed.Store64(&s.clock, s.clock&^0xffff_ffff|uint64(uint32(timeout/millisecond)))
}

// The following are what the window checks of TCP remember of a direction
// (window.go).

// Sent returns the sequence number behind the last octet that a direction has
// sent, and the highest acknowledgement that it has sent.
func (s *Session) Sent(dir int) (end, ack uint32) {
	return uint32(s.seq[dir&1] >> 32), uint32(s.seq[dir&1])
}

// setSent changes both. For the owner.
func (s *Session) setSent(dir int, end, ack uint32) {
	relaxed.Store64(&s.seq[dir&1], uint64(end)<<32|uint64(ack))
}

// Window returns the largest window that a direction has announced, as it
// stands in the header, and by how many bits it is to be shifted; NoScale where
// that was never said.
func (s *Session) Window(dir int) (largest uint16, scale uint8) {
	return uint16(s.packets[dir&1] >> packetBits), uint8(s.head >> (12 - 4*(dir&1)) & 0xf)
}

// setWindow changes the largest window. For the owner.
func (s *Session) setWindow(dir int, largest uint16) {
	relaxed.Store64(&s.packets[dir&1], s.packets[dir&1]&packetMask|uint64(largest)<<packetBits)
}

// setScale changes the scale. For the owner.
func (s *Session) setScale(dir int, scale uint8) {
	shift := 12 - 4*(dir&1)
	relaxed.Store64(&s.head, s.head&^(0xf<<shift)|uint64(scale&0xf)<<shift)
}

// ways reports in which directions of the session a packet with key k can go,
// whoever sends it: 0, 1, or both for a flow between equal endpoints.
func (s *Session) ways(k *hash.FlowKey, vpc uint16) (ways [2]bool) {
	const portsAndProto = 0xffff_ffff_0000_ff00
	if s.VPC() != vpc {
		return ways
	}
	family := uint64(hash.KeyIPv4 | hash.KeyIPv6)
	ways[0] = (s.key.Tail^k.Tail)&(portsAndProto|family) == 0 && s.key.Src == k.Src && s.key.Dst == k.Dst
	reverse := hash.Tail(s.key.DstPort(), s.key.SrcPort(), 0, s.key.Proto(), s.key.Flags())
	ways[1] = (reverse^k.Tail)&(portsAndProto|family) == 0 && s.key.Src == k.Dst && s.key.Dst == k.Src
	return ways
}

// dirOf returns the direction of a packet with key k in the session: 0, 1, or
// -1 if it is no packet of the session. A packet belongs only where it is sent
// by one of the two ENIs, so that the hops of a flow through an appliance are
// sessions of their own.
func (s *Session) dirOf(k *hash.FlowKey, vpc uint16) int {
	ways := s.ways(k, vpc)
	for dir, is := range ways {
		if is && s.End(dir) == k.ENI() {
			return dir
		}
	}
	return -1
}

// put fills the record with all but the incarnation, which publishes it.
func (s *Session) put(n *New) {
	relaxed.Store64(&s.clock, uint64(uint32(n.Now/millisecond))<<32|uint64(uint32(n.TimeoutNanosec/millisecond)))
	for d := range s.packets {
		relaxed.Store64(&s.packets[d], 0)
		relaxed.Store64(&s.bytes[d], 0)
		relaxed.Store64(&s.seq[d], 0)
	}
	relaxed.Store64(&s.key.Src.Hi, n.Key.Src.Hi)
	relaxed.Store64(&s.key.Src.Lo, n.Key.Src.Lo)
	relaxed.Store64(&s.key.Dst.Hi, n.Key.Dst.Hi)
	relaxed.Store64(&s.key.Dst.Lo, n.Key.Dst.Lo)
	relaxed.Store64(&s.key.Tail, n.Key.Tail)
	relaxed.Store64(&s.where, uint64(n.Responder)<<48|uint64(n.VPC)<<32|uint64(n.Groups[0])<<16|uint64(n.Groups[1]))
	relaxed.Store64(&s.owners, uint64(n.Instances[0])<<48|uint64(n.Instances[1])<<32|uint64(uint32(n.Now/second)))
	relaxed.Store64(&s.place, n.Hash&hashMask)
}

// publish makes a filled record a live session.
func (s *Session) publish(n *New) {
	flags := uint64(0)
	for end, tracked := range n.Tracked {
		if tracked {
			flags |= flagTracked0 << end
		}
	}
	const unscaled = NoScale<<12 | NoScale<<8
	atomic.StoreUint64(&s.head, uint64(s.Incarnation()+1)<<32|uint64(n.State)<<24|flags<<16|unscaled)
}

// copyFrom copies a record for another goroutine than the owner's and reports
// whether it is a live one. Identity and incarnation are of one moment; time
// and counters may be younger.
func (s *Session) copyFrom(p *Session) bool {
	s.head = atomic.LoadUint64(&p.head)
	if s.head>>32&1 == 0 {
		return false
	}
	s.clock = atomic.LoadUint64(&p.clock)
	for d := range s.packets {
		s.packets[d] = atomic.LoadUint64(&p.packets[d])
		s.bytes[d] = atomic.LoadUint64(&p.bytes[d])
		s.seq[d] = atomic.LoadUint64(&p.seq[d])
	}
	s.key.Src.Hi = atomic.LoadUint64(&p.key.Src.Hi)
	s.key.Src.Lo = atomic.LoadUint64(&p.key.Src.Lo)
	s.key.Dst.Hi = atomic.LoadUint64(&p.key.Dst.Hi)
	s.key.Dst.Lo = atomic.LoadUint64(&p.key.Dst.Lo)
	s.key.Tail = atomic.LoadUint64(&p.key.Tail)
	s.where = atomic.LoadUint64(&p.where)
	s.owners = atomic.LoadUint64(&p.owners)
	s.place = atomic.LoadUint64(&p.place)
	return atomic.LoadUint64(&p.head)>>32 == s.head>>32
}
