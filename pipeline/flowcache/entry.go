package flowcache

import (
	"github.com/nitrod/nitrod/hash"
)

// Entry is what one packet of a flow needs to be accelerated: one cache line.
//
// The key is directional. A flow that answers has two entries, each installed
// when the first packet of its direction has been judged, and both refer to one
// session.
type Entry struct {
	Key  hash.FlowKey
	ref  uint64 // session incarnation (32) | session index (32)
	gens uint64 // generation of the sending ENI (32) | of the receiving ENI (32)
	info uint64 // egress ENI (16) | queue or reason (8) | flags (8) | used (16) | sequence (16)
}

const (
	flagForward = 1 << 0
	flagReply   = 1 << 1
	flagQueued  = 1 << 2
	flagAnswer  = 1 << 3
)

// Action is an entry without its key: what to do with the flow's packets.
type Action struct {
	Forward bool // else the packets are dropped, for Reason
	Reply   bool // the key's direction is the reverse of the session's first packet
	Answer  bool // a TCP SYN is not meant; see Entry.Answer
	Queued  bool // older packets of the flow may be waiting; see Entry.Queued
	Reason  uint8
	Queue   uint8  // receive queue of the egress ENI
	Egress  uint16 // ENI that receives the packets

	Session     uint32 // that must live for the verdict to hold; its own, of a forwarded flow
	Incarnation uint32

	SrcGen, DstGen uint32 // generations of both ENIs when the flow was judged
}

func (a *Action) words() (ref, gens, info uint64) {
	ref = uint64(a.Incarnation)<<32 | uint64(a.Session)
	gens = Gens(a.SrcGen, a.DstGen)
	info = uint64(a.Egress) << 48
	if a.Forward {
		info |= flagForward<<32 | uint64(a.Queue)<<40
	} else {
		info |= uint64(a.Reason) << 40
	}
	if a.Reply {
		info |= flagReply << 32
	}
	if a.Queued {
		info |= flagQueued << 32
	}
	if a.Answer {
		info |= flagAnswer << 32
	}
	return ref, gens, info
}

// Gens combines two generations for a comparison with Entry.Gens.
func Gens(src, dst uint32) uint64 { return uint64(src)<<32 | uint64(dst) }

// Gens returns the generations under which the flow was judged.
func (e *Entry) Gens() uint64 { return e.gens }

// Session returns the index of the session on which the verdict rests, that of
// none where it rests on none.
func (e *Entry) Session() uint32 { return uint32(e.ref) }

// Incarnation returns the incarnation that the session must still have.
func (e *Entry) Incarnation() uint32 { return uint32(e.ref >> 32) }

// Egress returns the ENI that receives the flow's packets; for a flow that is
// dropped, the one that judged it last.
func (e *Entry) Egress() uint16 { return uint16(e.info >> 48) }

// Queue returns the receive queue of the egress ENI.
func (e *Entry) Queue() uint8 { return uint8(e.info >> 40) }

// Reason returns why a flow that is not forwarded is dropped.
func (e *Entry) Reason() uint8 { return uint8(e.info >> 40) }

// Forward reports whether the flow's packets are forwarded.
func (e *Entry) Forward() bool { return e.info&(flagForward<<32) != 0 }

// Dir returns 0 for the direction of the session's first packet, 1 for replies.
func (e *Entry) Dir() int { return int(e.info >> 33 & 1) }

// Queued reports whether packets of the flow may be waiting for the slow path,
// so that a younger one must not go by this entry before they have.
func (e *Entry) Queued() bool { return e.info&(flagQueued<<32) != 0 }

// Answer reports whether the verdict holds for packets that may be answers, and
// not for a TCP SYN, which opens a flow of its own.
func (e *Entry) Answer() bool { return e.info&(flagAnswer<<32) != 0 }

// Used returns the tick of the entry's last use.
func (e *Entry) Used() uint16 { return uint16(e.info >> 16) }

// loose returns 1 for an entry that Cache.Loose counts, else 0.
func (e *Entry) loose() int {
	if e.Key.Tail != 0 && (!e.Forward() || e.Session() == None) {
		return 1
	}
	return 0
}

func (e *Entry) sequence() uint16 { return uint16(e.info) }
