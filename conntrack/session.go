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
// A session is live while its incarnation is odd. Whoever keeps its index keeps
// the incarnation too, and a mismatch says that the session is gone.
type Session struct {
	head    uint64    // incarnation (32) | state (8) | reserved (24)
	last    int64     // time of the last packet, ns
	timeout int64     // idle time after which it is gone, ns
	packets [2]uint64 // by direction
	bytes   [2]uint64 // by direction, layer 3
	hash    uint64    // in the index

	key     hash.FlowKey // of the first packet
	where   uint64       // responder's ENI (16) | VPC (16) | shard (16) | reserved
	created int64        // ns
	owners  uint64       // originator's instance (16) | responder's instance (16) | reserved
}

// Incarnation returns the session's incarnation; odd while it lives.
func (s *Session) Incarnation() uint32 { return uint32(s.head >> 32) }

// Live reports whether the record is in use.
func (s *Session) Live() bool { return s.head>>32&1 != 0 }

// State returns where the session stands.
func (s *Session) State() State { return State(s.head >> 24) }

// Last returns the time of its last packet in nanoseconds.
func (s *Session) Last() int64 { return s.last }

// Timeout returns the idle time, in nanoseconds, after which it is gone.
func (s *Session) Timeout() int64 { return s.timeout }

// Created returns the time of its first packet in nanoseconds.
func (s *Session) Created() int64 { return s.created }

// Packets returns how many packets went in direction dir.
func (s *Session) Packets(dir int) uint64 { return s.packets[dir&1] }

// Bytes returns how many layer-3 bytes went in direction dir.
func (s *Session) Bytes(dir int) uint64 { return s.bytes[dir&1] }

// Key returns the key of its first packet: direction 0, the originator's.
func (s *Session) Key() *hash.FlowKey { return &s.key }

// Originator returns the ENI that sent the first packet.
func (s *Session) Originator() uint16 { return s.key.ENI() }

// Responder returns the ENI that the first packet was sent to.
func (s *Session) Responder() uint16 { return uint16(s.where >> 48) }

// Instances returns the instances against whose allowances it counts: the
// originator's and the responder's.
func (s *Session) Instances() (originator, responder uint16) {
	return uint16(s.owners >> 48), uint16(s.owners >> 32)
}

// VPC returns the index of the VPC in which the addresses hold.
func (s *Session) VPC() uint16 { return uint16(s.where >> 32) }

// Shard returns the host's shard of the session.
func (s *Session) Shard() uint16 { return uint16(s.where >> 16) }

// Expired reports whether the session was idle for too long at time now.
func (s *Session) Expired(now int64) bool { return now-s.last > s.timeout }

// Count adds one packet of n layer-3 bytes in direction dir at time now. For
// the owner.
func (s *Session) Count(dir int, n uint32, now int64) {
	dir &= 1
	relaxed.Store64(&s.packets[dir], s.packets[dir]+1)
	relaxed.Store64(&s.bytes[dir], s.bytes[dir]+uint64(n))
	relaxed.StoreInt64(&s.last, now)
}

// Enter changes the state and the idle time that goes with it. For the owner.
func (s *Session) Enter(state State, timeout int64) {
	relaxed.Store64(&s.head, s.head&^(0xff<<24)|uint64(state)<<24)
	relaxed.StoreInt64(&s.timeout, timeout)
}

// dirOf returns the direction of a packet with key k in the session: 0, 1, or
// -1 if it is no packet of the session. A packet belongs only where it is sent
// by one of the two ENIs, so that the hops of a flow through an appliance are
// sessions of their own.
func (s *Session) dirOf(k *hash.FlowKey, vpc uint16) int {
	const portsAndProto = 0xffff_ffff_0000_ff00
	if s.VPC() != vpc {
		return -1
	}
	family := uint64(hash.KeyIPv4 | hash.KeyIPv6)
	if (s.key.Tail^k.Tail)&(portsAndProto|family) == 0 && s.key.Src == k.Src && s.key.Dst == k.Dst && s.key.ENI() == k.ENI() {
		return 0
	}
	reverse := hash.Tail(s.key.DstPort(), s.key.SrcPort(), 0, s.key.Proto(), s.key.Flags())
	if (reverse^k.Tail)&(portsAndProto|family) == 0 && s.key.Src == k.Dst && s.key.Dst == k.Src && s.Responder() == k.ENI() {
		return 1
	}
	return -1
}

// copyFrom copies a record for another goroutine than the owner's and reports
// whether it is a live one. Identity and state are of one moment; time and
// counters may be younger.
func (s *Session) copyFrom(p *Session) bool {
	s.head = atomic.LoadUint64(&p.head)
	if s.head>>32&1 == 0 {
		return false
	}
	s.last = atomic.LoadInt64(&p.last)
	s.timeout = atomic.LoadInt64(&p.timeout)
	for d := range s.packets {
		s.packets[d] = atomic.LoadUint64(&p.packets[d])
		s.bytes[d] = atomic.LoadUint64(&p.bytes[d])
	}
	s.hash = atomic.LoadUint64(&p.hash)
	s.key.Src.Hi = atomic.LoadUint64(&p.key.Src.Hi)
	s.key.Src.Lo = atomic.LoadUint64(&p.key.Src.Lo)
	s.key.Dst.Hi = atomic.LoadUint64(&p.key.Dst.Hi)
	s.key.Dst.Lo = atomic.LoadUint64(&p.key.Dst.Lo)
	s.key.Tail = atomic.LoadUint64(&p.key.Tail)
	s.where = atomic.LoadUint64(&p.where)
	s.created = atomic.LoadInt64(&p.created)
	s.owners = atomic.LoadUint64(&p.owners)
	return atomic.LoadUint64(&p.head)>>32 == s.head>>32
}
