// Package secgroup is the union of the security groups of an ENI: allow rules
// only, without order, whose peers are addresses or the members of groups
// (docs/semantics.md S3).
//
// Groups are matched by membership: the caller looks up which groups the peer
// is in. No rule is expanded into the addresses of a group's members, so that a
// change of membership compiles nothing anew.
package secgroup

import (
	"net/netip"

	"github.com/nitrod/nitrod/policy/internal/classify"
)

// Ref names a rule of a security group: the group's index, the direction, and
// the rule's position in it. The zero value is no rule.
type Ref uint32

// MaxRules is the largest number of rules that a group may have in one
// direction, and the largest number in force at one ENI in one direction and
// family (docs/semantics.md S3).
const MaxRules = 1000

// MaxGroups is the largest number of groups at one ENI.
const MaxGroups = classify.MaxGroups

// MakeRef returns the reference to rule i of a group, inbound or outbound. It
// requires i < MaxRules.
func MakeRef(group uint16, inbound bool, i int) Ref {
	r := Ref(group)<<16 | Ref(i+1)
	if inbound {
		r |= 1 << 15
	}
	return r
}

// Group returns the index of the group.
func (r Ref) Group() uint16 { return uint16(r >> 16) }

// Inbound reports whether the rule is an inbound one.
func (r Ref) Inbound() bool { return r&(1<<15) != 0 }

// Index returns the rule's position in its group's list, from 0; -1 for no
// rule.
func (r Ref) Index() int { return int(r&(1<<15-1)) - 1 }

// Rule is one rule of one direction.
type Rule struct {
	Ref      Ref
	Protocol int // IP protocol number, or -1 for all
	From, To int // ports, or ICMP type and code; see classify.Rule
	Prefixes []netip.Prefix
	Group    uint16 // index of the referenced group, where HasGroup is set
	HasGroup bool
}

// Rules is one direction of a compiled union of groups.
//
// Thread-safety: immutable, so that any number of goroutines may match.
// Limits: those of classify.Classifier.
type Rules struct {
	classifier *classify.Classifier
	refs       []Ref
	open       [4]bool // by openTo: a rule admits everything
}

// Compile compiles the rules of one direction. It keeps no reference to them.
func Compile(rules []Rule) *Rules {
	c := &Rules{}
	input := make([]classify.Rule, len(rules))
	for i := range rules {
		r := &rules[i]
		input[i] = classify.Rule{
			Protocol: r.Protocol, From: r.From, To: r.To,
			Prefixes: r.Prefixes, Group: r.Group, HasGroup: r.HasGroup,
		}
		c.refs = append(c.refs, r.Ref)
		c.opens(r)
	}
	c.classifier = classify.Compile(input)
	return c
}

// Match returns the first rule that admits a packet. The peer is the source of
// inbound and the destination of outbound packets, groups are the groups that
// the peer is in, and port is classify.Port's. It does not allocate.
func (c *Rules) Match(peer netip.Addr, groups []uint16, proto uint8, port uint16) (Ref, bool) {
	if i := c.classifier.Match(peer, groups, proto, port); i >= 0 {
		return c.refs[i], true
	}
	return 0, false
}

// OpenToAll reports whether a rule admits a protocol's port for all addresses of
// a family, be it among others that admit it too. It does not allocate.
func (c *Rules) OpenToAll(v6 bool, proto uint8, port uint16) bool {
	return c.classifier.MatchAll(v6, proto, port)
}

// AllOpen reports whether a rule admits all ports of TCP or UDP, whichever proto
// is, for all addresses of a family. It does not allocate.
func (c *Rules) AllOpen(v6 bool, proto uint8) bool {
	return c.open[openTo(v6, proto)]
}

// openTo numbers the families and protocols of Rules.open.
func openTo(v6 bool, proto uint8) (i int) {
	if v6 {
		i = 2
	}
	if proto == protoUDP {
		i++
	}
	return i
}

const (
	protoTCP = 6
	protoUDP = 17
)

// opens notes what a rule opens entirely.
func (c *Rules) opens(r *Rule) {
	for _, p := range r.Prefixes {
		for _, proto := range []uint8{protoTCP, protoUDP} {
			all := r.Protocol == classify.AllProtocols || r.Protocol == int(proto) && r.From == 0 && r.To == 0xffff
			if p.Bits() == 0 && all {
				c.open[openTo(p.Addr().Is6(), proto)] = true
			}
		}
	}
}

// Len returns the number of rules.
func (c *Rules) Len() int { return len(c.refs) }

// Set is both directions of a union of groups. ENIs with the same groups share
// one.
type Set struct{ In, Out *Rules }
