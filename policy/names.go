package policy

import (
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/route"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// ENIInfo is what is known of an ENI besides its record: what people and the
// answers to ARP, neighbour discovery and DHCP need.
type ENIInfo struct {
	ID             string
	Instance       string
	VPC            string
	Subnet         string
	Addresses      []netip.Addr   // as configured
	Prefixes       []netip.Prefix // delegated to it, ascending
	SecurityGroups []string

	// Of each family that the ENI has, else zero: its primary address, its
	// subnet's CIDR and the router's address in it.
	Primary4, Primary6 netip.Addr
	Prefix4, Prefix6   netip.Prefix
	Router4, Router6   netip.Addr
	// RouterLinkLocal is made from the router's MAC (docs/semantics.md S4.2).
	RouterLinkLocal netip.Addr
	// Resolver is the DNS resolver's address, zero in a VPC without IPv4.
	Resolver netip.Addr
}

// ENI returns what is known of an ENI; the zero value for an index without
// one. Of a port that belongs to no ENI it is the id, the VPC and the VPC's
// resolver. It allocates.
func (s *Snapshot) ENI(i uint16) ENIInfo {
	if !s.live(i) {
		return ENIInfo{}
	}
	r, p := &s.ENIs[i], &s.enis[i]
	if r.Outside() {
		return ENIInfo{ID: s.eniNames.name(i), VPC: s.vpcNames.name(r.VPC), Resolver: s.vpcs[r.VPC].resolver}
	}
	subnet := &s.subnets[r.Subnet]
	info := ENIInfo{
		ID: s.eniNames.name(i), Instance: s.instanceNames.name(r.Instance),
		VPC: s.vpcNames.name(r.VPC), Subnet: s.subnetNames.name(r.Subnet),
		Addresses: slices.Clone(p.addresses), Prefixes: append([]netip.Prefix(nil), p.prefixes...), RouterLinkLocal: subnet.routerLL, Resolver: s.vpcs[r.VPC].resolver,
	}
	for _, g := range s.groupSets[p.groupSet] {
		info.SecurityGroups = append(info.SecurityGroups, s.groupNames.name(g))
	}
	for _, a := range p.addresses {
		primary, prefix, router := &info.Primary4, &info.Prefix4, &info.Router4
		if a.Is6() {
			primary, prefix, router = &info.Primary6, &info.Prefix6, &info.Router6
		}
		if primary.IsValid() {
			continue
		}
		*primary = a
		for _, c := range subnet.cidrs {
			if c.Contains(a) {
				*prefix, *router = c, routerAddr(c)
			}
		}
	}
	return info
}

// ENIByID returns the index of the ENI with an id.
func (s *Snapshot) ENIByID(id string) (uint16, bool) {
	i, ok := s.eniNames.at[id]
	return i, ok
}

// SubnetInfo describes a subnet.
type SubnetInfo struct {
	ID              string
	VPC             string
	CIDRs           []netip.Prefix
	RouterMAC       [6]byte
	RouterLinkLocal netip.Addr
	// The router's address and the CIDR of each family that the subnet has, else
	// zero.
	Router4, Router6 netip.Addr
	CIDR4, CIDR6     netip.Prefix
	RouteTable       string
	NetworkACL       string
}

// Subnet describes the subnet with an index; the zero value where there is
// none. It allocates.
func (s *Snapshot) Subnet(i uint16) SubnetInfo {
	id := s.subnetNames.name(i)
	if id == "" {
		return SubnetInfo{}
	}
	p := &s.subnets[i]
	info := SubnetInfo{
		ID: id, VPC: s.vpcNames.name(p.vpc), CIDRs: slices.Clone(p.cidrs),
		RouterMAC: p.routerMAC, RouterLinkLocal: p.routerLL,
		RouteTable: s.tableNames.name(p.table), NetworkACL: s.aclName(p.acl),
	}
	for _, c := range p.cidrs {
		if c.Addr().Is4() {
			info.CIDR4, info.Router4 = c, routerAddr(c)
		} else {
			info.CIDR6, info.Router6 = c, routerAddr(c)
		}
	}
	return info
}

// Reserved returns the addresses that a subnet keeps from use, per CIDR the
// network, the router, the resolver, one for later, and the last
// (docs/semantics.md S4.2).
func (s *Snapshot) Reserved(subnet uint16) []netip.Addr {
	if s.subnetNames.name(subnet) == "" {
		return nil
	}
	var all []netip.Addr
	for _, c := range s.subnets[subnet].cidrs {
		r := reserved(c)
		all = append(all, r[:]...)
	}
	return all
}

// VPC returns the id of the VPC with an index, "" where there is none.
func (s *Snapshot) VPC(i uint16) string { return s.vpcNames.name(i) }

// InstanceInfo describes an instance.
type InstanceInfo struct {
	ID                 string
	ConntrackAllowance int // tracked connections; 0 is no limit
}

// Instance describes the instance with an index; the zero value where there is
// none.
func (s *Snapshot) Instance(i uint16) InstanceInfo {
	if int(i) < len(s.instances) {
		return s.instances[i]
	}
	return InstanceInfo{}
}

// NumInstances returns how many indices instances have, those without one
// included.
func (s *Snapshot) NumInstances() int { return len(s.instances) }

// RouteRef names a route: the index of its table and its number in it, from 1.
// The zero value is no route.
type RouteRef struct{ Table, Route uint16 }

// ACLRef names a rule of a network ACL: the ACL's index and the rule's number.
// The zero value is no rule, since rules are numbered from 1; numbers above
// nacl.MaxNumber are the implicit final deny.
type ACLRef struct{ ACL, Rule uint16 }

// Route returns the table and the route that ref names; "" and the zero value
// for none.
func (s *Snapshot) Route(ref RouteRef) (table string, e route.Entry) {
	if int(ref.Table) >= len(s.tables) || s.tables[ref.Table] == nil {
		return "", e
	}
	if i := int(ref.Route) - 1; i >= 0 && i < len(s.tables[ref.Table].Entries()) {
		return s.tableNames.name(ref.Table), *s.tables[ref.Table].Entry(i)
	}
	return "", e
}

// ACL returns the id of the network ACL that ref names, "default" for the one
// that every VPC comes with, "" for none.
func (s *Snapshot) ACL(ref ACLRef) string {
	if ref.Rule == 0 {
		return ""
	}
	return s.aclName(ref.ACL)
}

func (s *Snapshot) aclName(i uint16) string {
	if i == defaultACL {
		return "default"
	}
	return s.aclNames.name(i)
}

// SecurityGroupRule returns the security group and the rule that ref names, ""
// for none.
func (s *Snapshot) SecurityGroupRule(ref secgroup.Ref) (group, rule string) {
	if int(ref.Group()) >= len(s.groups) {
		return "", ""
	}
	ids := s.groups[ref.Group()].out
	if ref.Inbound() {
		ids = s.groups[ref.Group()].in
	}
	if i := ref.Index(); i >= 0 && i < len(ids) {
		group = s.groupNames.name(ref.Group())
		return group, ruleName(group, ref.Inbound(), i, ids[i])
	}
	return "", ""
}
