// Package policy is the VPC: it compiles a configuration of VPCs, subnets,
// route tables, network ACLs, security groups and ENIs to an immutable
// Snapshot, and decides by it what becomes of a packet.
//
// Decide is the only judge. The datapath calls it for the first packet of a
// flow and explain with a Trace, so that what explain says is what happens.
// The rules it follows, with their sources, are in docs/semantics.md.
package policy

import (
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/mapping"
	"github.com/nitrod/nitrod/policy/nacl"
	"github.com/nitrod/nitrod/policy/route"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// Snapshot is a compiled configuration.
//
// Indices of ENIs, instances and all other objects are stable from a snapshot
// to the one compiled after it. The slot of a removed ENI stays, marked Dead,
// until another ENI takes it under a higher generation.
//
// Thread-safety: immutable; any number of goroutines may use it, and it may be
// swapped behind an atomic pointer. Limits: those of limits.go.
type Snapshot struct {
	// ENIs are the records of the ENIs by index. Nobody changes them.
	ENIs []ENIRecord
	// Limits are the ENIs' own limits, parallel to ENIs; Instances are those of
	// the instances by index. Nobody changes them.
	Limits    []ENILimits
	Instances []InstanceRecord

	enis       []eniPolicy // parallel to ENIs
	prints     []fingerprint
	vpcs       []vpcPolicy
	subnets    []subnetPolicy
	tables     []*route.Table
	acls       []aclPolicy
	defaultACL aclPolicy
	groups     []groupInfo
	groupSets  [][]uint16 // sets of groups, each ascending
	instances  []InstanceInfo
	macs       []macEntry // by key

	// sets are the compiled unions of groups, kept for the next Compile.
	sets map[fingerprint]*secgroup.Set

	vpcNames, subnetNames, tableNames, aclNames, groupNames, placementNames, instanceNames, eniNames slots
}

type vpcPolicy struct {
	cidrs     []netip.Prefix
	resolver  netip.Addr
	addresses *mapping.Table
	public    *mapping.NAT
	services  uint16 // port of its link-local services, NoENI if it has none
}

type subnetPolicy struct {
	vpc, table, acl uint16
	zone            uint16
	cidrs           []netip.Prefix
	routerMAC       [6]byte
	routerLL        netip.Addr
}

// defaultACL is the index of the ACL that every VPC comes with.
const defaultACL = 0xffff

type aclPolicy struct{ in, out *nacl.List }

type eniPolicy struct {
	addresses []netip.Addr
	prefixes  []netip.Prefix
	groupSet  uint32
	rules     *secgroup.Set
}

type groupInfo struct {
	in, out []string // ids of the rules; "" where none is written
	live    LiveFlows
}

// macEntry finds an ENI by subnet and MAC.
type macEntry struct {
	key uint64
	eni uint16
}

func macKey(subnet uint16, m [6]byte) uint64 {
	k := uint64(subnet) << 48
	for i, b := range m {
		k |= uint64(b) << (40 - 8*i)
	}
	return k
}

// acl returns the network ACL of a subnet.
func (s *Snapshot) acl(p *subnetPolicy) *aclPolicy {
	if p.acl == defaultACL {
		return &s.defaultACL
	}
	return &s.acls[p.acl]
}

// live reports whether i is the index of an ENI.
func (s *Snapshot) live(i uint16) bool {
	return int(i) < len(s.ENIs) && !s.ENIs[i].Dead()
}

// Owner returns who has an address of a VPC; kind None where nobody has it or
// there is no such VPC. It does not allocate.
func (s *Snapshot) Owner(vpc uint16, a netip.Addr) mapping.Entry {
	if int(vpc) >= len(s.vpcs) {
		return mapping.Entry{}
	}
	return s.vpcs[vpc].addresses.Lookup(a)
}

// ENIByAddress returns the index of the ENI that has an address of a VPC. It
// does not allocate.
func (s *Snapshot) ENIByAddress(vpc uint16, a netip.Addr) (uint16, bool) {
	e := s.Owner(vpc, a)
	return e.ENI, e.Kind == mapping.ENI
}

// ENIByMAC returns the index of the ENI of a subnet that has a MAC. It does
// not allocate.
func (s *Snapshot) ENIByMAC(subnet uint16, mac [6]byte) (uint16, bool) {
	key := macKey(subnet, mac)
	i, ok := slices.BinarySearchFunc(s.macs, key, func(e macEntry, k uint64) int {
		switch {
		case e.key < k:
			return -1
		case e.key > k:
			return 1
		}
		return 0
	})
	if !ok {
		return NoENI, false
	}
	return s.macs[i].eni, true
}

// ResolveMAC returns what ARP or neighbour discovery answers when ENI eni asks
// for an address: the MAC of the peer of the same subnet that has it, or the
// router's for the router's own addresses, for the resolver and for the
// link-local services. Nothing else is answered, the ENI's own addresses
// neither, since who asks for those probes for a duplicate (docs/semantics.md
// S4.3). At a port that belongs to no ENI it is as ResolveOutside says. It
// does not allocate.
func (s *Snapshot) ResolveMAC(eni uint16, a netip.Addr) (mac [6]byte, ok bool) {
	if !s.live(eni) {
		return mac, false
	}
	r := &s.ENIs[eni]
	if r.Outside() {
		return r.RouterMAC, s.ResolveOutside(eni, a)
	}
	p := &s.subnets[r.Subnet]
	if a == p.routerLL || a == route.RouterLinkLocal {
		return r.RouterMAC, true
	}
	if a.Is4() && route.Classify(a) == route.Service {
		return r.RouterMAC, true
	}
	on := false
	for _, c := range p.cidrs {
		on = on || c.Contains(a)
		if a == routerAddr(c) {
			return r.RouterMAC, true
		}
	}
	if !on {
		return mac, false
	}
	switch e := s.vpcs[r.VPC].addresses.Lookup(a); {
	case e.Kind == mapping.Resolver:
		return r.RouterMAC, true
	case e.Kind == mapping.ENI && e.ENI != eni && e.Subnet == r.Subnet:
		return s.ENIs[e.ENI].MAC, true
	}
	return mac, false
}
