// Package classify is the packet classifier behind security groups and
// network ACLs: a list of rules compiled to bit vectors.
//
// Every rule is one bit. The rules that a packet's peer admits are one bit
// vector, found by longest prefix and by the peer's groups; the rules that its
// protocol and port admit are another, found by binary search. Their
// conjunction is the set of rules that match, and its lowest bit the first of
// them. The cost of a match is therefore two look-ups and a few words,
// whatever the number of rules (the scheme is the bit-vector classification of
// Lakshman and Stiliadis, SIGCOMM 1998, with one dimension for the service).
package classify

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// AllProtocols is the protocol of a rule that matches every protocol.
const AllProtocols = -1

// AnyType is the ICMP type or code of a rule that matches all of them.
const AnyType = -1

// MaxGroups is the largest number of groups that a peer may have; those
// beyond it are not looked at. It is AWS's maximum of security groups per
// network interface (docs/semantics.md S3).
const MaxGroups = 16

// Protocols whose rules have ports, or type and code.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// Rule is one rule in the order in which it was written.
type Rule struct {
	// Protocol is an IP protocol number or AllProtocols.
	Protocol int
	// From and To are the destination ports for TCP and UDP, inclusive; type
	// and code for ICMP and ICMPv6, each possibly AnyType. All other
	// protocols ignore them (docs/semantics.md S3).
	From, To int
	// Prefixes are the peers' addresses, canonical and not IPv4-in-IPv6. A
	// prefix never matches the other family.
	Prefixes []netip.Prefix
	// Group is a group whose members match, where HasGroup is set.
	Group    uint16
	HasGroup bool
}

// Classifier is a compiled list of rules.
//
// Thread-safety: immutable, so that any number of goroutines may match.
// Limits: at most 65,535 rules. Memory is a vector of one bit per rule for
// each distinct set of prefixes, port interval and referenced group.
type Classifier struct {
	words   int      // words per vector
	vectors []uint64 // all distinct vectors, one after the other
	peers   bart.Table[uint32]
	// flat: no prefix is longer than /0, as in most ACLs and many groups. Then
	// any is all there is to look up.
	flat     bool
	any      [2]int64 // the vectors of 0.0.0.0/0 and ::/0, -1 for none
	groups   []uint16 // referenced groups, ascending
	groupVec []uint32 // their vectors
	services []service
	service  [256]uint16 // protocol to services
}

// service maps the ports of a protocol to the rules that admit them.
type service struct {
	starts []uint16 // first port of each interval, ascending; the first is 0
	vecs   []uint32
	blocks []uint16 // the interval of each multiple of 256, and the last one; nil where there are few intervals
}

// few intervals are searched as they are.
const few = 4

// index makes the blocks.
func (s *service) index() {
	if len(s.starts) <= few {
		return
	}
	at := 0
	for port := 0; port <= 0xffff; port += 256 {
		for at+1 < len(s.starts) && int(s.starts[at+1]) <= port {
			at++
		}
		s.blocks = append(s.blocks, uint16(at))
	}
	s.blocks = append(s.blocks, uint16(len(s.starts)-1))
}

// Port returns what Match takes as port: the destination port for TCP and UDP,
// type and code for ICMP and ICMPv6, 0 for the rest.
func Port(proto uint8, dstPort uint16, icmpType, icmpCode uint8) uint16 {
	switch proto {
	case protoTCP, protoUDP:
		return dstPort
	case protoICMP, protoICMPv6:
		return uint16(icmpType)<<8 | uint16(icmpCode)
	}
	return 0
}

// Match returns the index of the first rule that admits a packet to or from
// peer, or -1. It does not allocate.
func (c *Classifier) Match(peer netip.Addr, groups []uint16, proto uint8, port uint16) int {
	if c.words == 0 {
		return -1
	}
	svc := c.vector(c.services[c.service[proto]].find(port))

	// The peer's own vector first, then one per group that some rule names.
	var sets [MaxGroups + 1]uint32
	n := 0
	if c.flat {
		if v := c.any[b2i(peer.Is6())]; v >= 0 {
			sets[0], n = uint32(v), 1
		}
	} else if v, ok := c.peers.Lookup(peer); ok {
		sets[0], n = v, 1
	}
	if len(c.groups) != 0 {
		for _, g := range groups[:min(len(groups), MaxGroups)] {
			if i, ok := slices.BinarySearch(c.groups, g); ok {
				sets[n] = c.groupVec[i]
				n++
			}
		}
	}
	switch n {
	case 0:
		return -1
	case 1:
		for i, w := range c.vector(sets[0]) {
			if w &= svc[i]; w != 0 {
				return i<<6 + bits.TrailingZeros64(w)
			}
		}
		return -1
	}
	for i, s := range svc {
		if s == 0 {
			continue
		}
		var w uint64
		for _, v := range sets[:n] {
			w |= c.vectors[int(v)+i]
		}
		if w &= s; w != 0 {
			return i<<6 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// MatchAll reports whether a rule admits packets to or from all addresses of a
// family. It does not allocate.
func (c *Classifier) MatchAll(v6 bool, proto uint8, port uint16) bool {
	if c.words == 0 || c.any[b2i(v6)] < 0 {
		return false
	}
	all := c.vector(uint32(c.any[b2i(v6)]))
	for i, w := range c.vector(c.services[c.service[proto]].find(port)) {
		if w&all[i] != 0 {
			return true
		}
	}
	return false
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *Classifier) vector(at uint32) []uint64 {
	return c.vectors[at : int(at)+c.words : int(at)+c.words]
}

// find returns the vector of the interval that port lies in.
func (s *service) find(port uint16) uint32 {
	at, n := uint(0), uint(len(s.starts))
	if block := uint(port >> 8); block+1 < uint(len(s.blocks)) {
		at = uint(s.blocks[block])
		n = uint(s.blocks[block+1]) - at + 1
	}
	for n > 1 {
		half := n / 2
		if s.starts[at+half] <= port {
			at += half
		}
		n -= half
	}
	return s.vecs[at]
}
