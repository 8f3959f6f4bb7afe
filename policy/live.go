package policy

import (
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy/internal/classify"
)

// LiveMode is what becomes of the tracked flows that a security group has
// admitted when its rules, or its absence, no longer do.
type LiveMode uint8

// The modes.
const (
	LiveAWS   LiveMode = iota // they go on until they end or idle out (docs/semantics.md S1.4)
	LiveCut                   // they end with the change
	LiveDrain                 // they end some time after the change
)

// LiveFlows is a security group's choice. The zero value is AWS's.
type LiveFlows struct {
	Mode  LiveMode
	Drain time.Duration // for LiveDrain: whole seconds, at most MaxDrain
}

// MaxDrain bounds LiveFlows.Drain: sessions remember its end in 16 bits of
// seconds.
const MaxDrain = 8 * time.Hour

// LiveFlows returns the choice of a group; that which it had last if it has been
// removed since.
func (s *Snapshot) LiveFlows(group uint16) LiveFlows {
	if int(group) < len(s.groups) {
		return s.groups[group].live
	}
	return LiveFlows{}
}

// EndsFlows reports whether any group's choice for live flows is another than
// AWS's.
func (s *Snapshot) EndsFlows() bool {
	for i := range s.groups {
		if s.groups[i].live.Mode != LiveAWS {
			return true
		}
	}
	return false
}

// Untracked reports whether packets with key k, coming to or going from an ENI,
// belong to a flow that its groups admit and do not track. It does not allocate.
func (s *Snapshot) Untracked(k *hash.FlowKey, eni uint16, inbound bool) bool {
	if !s.live(eni) || s.ENIs[eni].Outside() {
		return false
	}
	set := s.enis[eni].rules
	way, back := set.Out, set.In
	if inbound {
		way, back = back, way
	}
	asOpener, asAnswer := untracked(k, way, back)
	return asOpener || asAnswer
}

// StillAdmits reports whether the security groups of an ENI admit a flow by the
// key of its first packet, and names the rule's group: as its originator (end 0)
// or its responder (end 1). far is the ENI at the flow's other end; type and
// code are an ICMP message's. It does not allocate.
func (s *Snapshot) StillAdmits(k *hash.FlowKey, icmpType, icmpCode uint8, end int, eni, far uint16) (group uint16, ok bool) {
	if !s.live(eni) || s.ENIs[eni].Outside() {
		return 0, false
	}
	v6 := k.IsIPv6()
	rules, peer := s.enis[eni].rules.Out, addr(k.Dst, v6)
	if end == 1 {
		rules, peer = s.enis[eni].rules.In, addr(k.Src, v6)
	}
	var groups []uint16
	if owner := s.vpcs[s.ENIs[eni].VPC].addresses.Lookup(peer); owns(owner, far) {
		groups = s.groupSets[owner.Groups]
	}
	ref, ok := rules.Match(peer, groups, k.Proto(), classify.Port(k.Proto(), k.DstPort(), icmpType, icmpCode))
	return ref.Group(), ok
}
