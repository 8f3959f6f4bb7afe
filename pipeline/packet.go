package pipeline

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// Verdict says what becomes of a packet. The zero value drops, so that a stage
// that forgets to decide can never forward.
type Verdict uint8

// The verdicts.
const (
	VerdictDrop     Verdict = iota
	VerdictForward          // to Meta.Egress and Meta.Queue
	VerdictConsume          // it was for nitrod itself
	VerdictAnswer           // consumed, and its buffer holds nitrod's answer to the sender
	VerdictHold             // waits in a queue of nitrod's; it is not in this burst any more
	VerdictReplaced         // gone; what nitrod made of it or says about it goes to Meta.Egress and Meta.Queue
)

var verdictNames = [...]string{"drop", "forward", "consume", "answer", "hold", "replaced"}

// String names the verdict.
func (v Verdict) String() string { return verdictNames[v] }

// class is what kind of handling a packet asks for.
type class uint8

const (
	classFlow      class = iota // by its key: flow cache, sessions, policy
	classARP                    // answered by nitrod
	classND                     // answered by nitrod
	classDHCP                   // answered by nitrod
	classDHCP6                  // answered by nitrod
	classICMPError              // by the flow that it quotes
)

// Bits of Meta.Flags.
const (
	flagIPv6        uint16 = 1 << iota
	flagRouted             // addressed to the subnet's router
	flagFragment           // any fragment
	flagLater              // a fragment that is not the first: it has no layer 4 header
	flagMore               // a fragment that is not the last
	flagResolved           // a fragment whose datagram's ports are in the key
	flagQuoted             // an ICMP error whose key is the reverse of the packet it quotes
	flagQuotedLater        // one that quotes a later fragment: the same, but for the ports
	flagGroup              // addressed to a group MAC
	flagService            // from a link-local service: it keeps its TTL
)

// Meta is what the stages know about a packet: parse fills it once, and no
// later stage looks for a header again. The widest fields come first. It is
// padded to 56 bytes, so that a packet that changes lcores (see item) takes two
// cache lines; without the padding it measured slower (docs/performance.md).
type Meta struct {
	Hash   uint64 // flow hash; the burst has it as a place until a packet leaves it or the slow path takes it
	L3Len  uint32 // bytes from the IP header to the end of the packet's payload
	FragID uint32 // identification of a fragment's datagram, or of the one that an ICMP error quotes
	Seq    uint32 // of a TCP segment, as the three below; of others they are 0
	Ack    uint32

	VPC    uint16
	ENI    uint16 // that sent the packet
	L3, L4 uint16 // offsets in the frame; L4 is 0 where there is none
	Flags  uint16
	Egress uint16 // ENI that receives it, or that judged it last; noENI until one is known

	Window  uint16 // as it stands in the header, not scaled
	Payload uint16 // bytes after the TCP header; of a fragment those that it has itself

	FragAt  uint16 // where a fragment's bytes begin in its datagram
	FragLen uint16 // and how many they are

	class    class
	Proto    uint8 // IP protocol after extension headers
	TCPFlags uint8
	ICMPType uint8
	ICMPCode uint8
	TTL      uint8 // or hop limit
	TOS      uint8 // or traffic class

	Verdict Verdict
	Reason  drop.Reason
	Queue   uint8 // receive queue of the egress ENI
	_       [2]byte
}

// item is a packet on its way from one lcore to another, or waiting.
type item struct {
	desc pktio.Desc
	key  hash.FlowKey
	meta Meta
}

// burst is the packets of one round, a structure of arrays: C fills desc, and
// hashing and lookup go over keys and places in passes. Only the first n of
// each are in use; a stage that takes packets out moves the rest up, in order.
type burst struct {
	n      int
	desc   [pktio.MaxBurst]pktio.Desc
	keys   [pktio.MaxBurst]hash.FlowKey
	scopes [pktio.MaxBurst]uint32 // of the hashes: the VPC
	places [pktio.MaxBurst]uint64 // in the flow cache's index, made of the flow hash
	meta   [pktio.MaxBurst]Meta
	entry  [pktio.MaxBurst]uint32 // in the flow cache
}

// frame returns the first segment of packet i.
func (b *burst) frame(i int) []byte { return pktio.Bytes(b.desc[i].Data, b.desc[i].Len) }

// move copies packet from to slot to.
func (b *burst) move(to, from int) {
	if to != from {
		b.desc[to], b.keys[to], b.meta[to], b.places[to] = b.desc[from], b.keys[from], b.meta[from], b.places[from]
	}
}

// put copies a packet that was elsewhere into slot i.
func (b *burst) put(i int, it *item) {
	b.desc[i], b.keys[i], b.meta[i] = it.desc, it.key, it.meta
	b.places[i] = flowcache.Place(it.meta.Hash, &it.key)
}

// take copies packet i out.
func (b *burst) take(i int, it *item) {
	it.desc, it.key, it.meta = b.desc[i], b.keys[i], b.meta[i]
	it.meta.Hash = flowcache.HashOf(b.places[i], &b.keys[i])
}
