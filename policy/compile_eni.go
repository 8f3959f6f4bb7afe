package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/secgroup"
)

// interfaces fills the records of the ENIs, all but their generations.
func (c *compiler) interfaces() {
	s := c.s
	n := len(s.eniNames.names)
	s.ENIs = make([]ENIRecord, n)
	s.Limits = make([]ENILimits, n)
	s.enis = make([]eniPolicy, n)
	s.prints = make([]fingerprint, n)
	s.sets = make(map[fingerprint]*secgroup.Set)
	c.eniObject = make([]*ENI, n)
	groupSets := make(map[fingerprint]uint32)
	for i := range s.ENIs {
		s.ENIs[i].Flags = Dead
	}
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		at := s.eniNames.at[e.ID]
		subnet := s.subnetNames.at[e.Subnet]
		c.eniObject[at] = e
		r := &s.ENIs[at]
		*r = ENIRecord{
			MAC: e.MAC, RouterMAC: s.subnets[subnet].routerMAC,
			VPC: s.subnets[subnet].vpc, Subnet: subnet, Instance: s.instanceNames.at[e.Instance],
			MTU: uint16(e.MTU), Queues: uint16(e.Queues),
			TCPEstablished: uint32(e.TCPEstablished), UDP: uint16(e.UDP), UDPStream: uint16(e.UDPStream),
			FragmentRate: uint32(e.FragmentRate),
			Guaranteed:   uint32(e.ConntrackGuaranteed), HalfOpen: uint32(e.ConntrackHalfOpen),
			LinkLocalRate: uint32(e.LinkLocalRate),
		}
		if e.SourceDestCheck {
			r.Flags |= SourceDestCheck
		}
		s.Limits[at] = e.limits(s.subnets[subnet].zone)
		if s.Limits[at].limits() || s.Instances[r.Instance].limits() {
			r.Flags |= Limited
		}
		p := &s.enis[at]
		p.addresses, p.prefixes = slices.Clone(e.Addresses), masked(e.Prefixes)
		var groups []uint16
		for _, id := range e.SecurityGroups {
			groups = append(groups, s.groupNames.at[id])
		}
		slices.Sort(groups)
		p.groupSet, p.rules = c.groupSet(groups, groupSets)
		s.macs = append(s.macs, macEntry{macKey(subnet, e.MAC), at})
	}
	slices.SortFunc(s.macs, func(a, b macEntry) int { return cmp.Compare(a.key, b.key) })
}

// groupSet returns the number of a set of groups and its compiled union. Equal
// sets share both, also with the snapshot before where no rule has changed.
func (c *compiler) groupSet(groups []uint16, known map[fingerprint]uint32) (uint32, *secgroup.Set) {
	s := c.s
	var e encoder
	for _, g := range groups {
		e.num(int(g))
		e.print(c.groupPrint[g])
	}
	key := e.sum()
	if i, ok := known[key]; ok {
		return i, s.sets[key]
	}
	set, ok := c.prev.sets[key]
	if !ok {
		var in, out []secgroup.Rule
		for _, g := range groups {
			in = append(in, c.in[g]...)
			out = append(out, c.out[g]...)
		}
		set = &secgroup.Set{In: secgroup.Compile(in), Out: secgroup.Compile(out)}
	}
	s.sets[key] = set
	s.groupSets = append(s.groupSets, groups)
	known[key] = uint32(len(s.groupSets) - 1)
	return known[key], set
}

// generations raises the generation of every ENI at which the policy in force
// has changed. What counts is all that Decide reads on behalf of the ENI as
// the source or the destination of a packet, and nothing else; the other ENI
// of the packet counts by its own generation.
func (c *compiler) generations() {
	members := c.membership()
	groups := make([]fingerprint, len(c.groupPrint))
	for g := range groups {
		var e encoder
		e.print(c.groupPrint[g])
		for _, rules := range [][]secgroup.Rule{c.in[g], c.out[g]} {
			for i := range rules {
				if rules[i].HasGroup {
					e.print(members[rules[i].Group])
				}
			}
		}
		groups[g] = e.sum()
	}
	for i := range c.s.ENIs {
		r := &c.s.ENIs[i]
		gen := uint32(0)
		if i < len(c.prev.ENIs) {
			gen = c.prev.ENIs[i].Gen
		}
		if c.eniObject[i] != nil {
			c.s.prints[i] = c.effective(uint16(i), groups)
		} else if r.Outside() {
			c.s.prints[i] = c.effectiveOutside(uint16(i))
		}
		same := i < len(c.prev.ENIs) && c.prev.eniNames.names[i] == c.s.eniNames.names[i]
		if same {
			r.Born = c.prev.ENIs[i].Born
		}
		if !same || c.prev.prints[i] != c.s.prints[i] {
			gen++
			if gen == 0 { // 0 means never decided
				gen = 1
			}
		}
		if !same {
			r.Born = gen
		}
		r.Gen = gen
	}
}

// membership fingerprints the addresses of each group's members.
func (c *compiler) membership() []fingerprint {
	addresses := make([][]netip.Prefix, len(c.groupPrint))
	for i, e := range c.eniObject {
		if e == nil {
			continue
		}
		for _, g := range c.s.groupSets[c.s.enis[i].groupSet] {
			for _, a := range e.Addresses {
				addresses[g] = append(addresses[g], netip.PrefixFrom(a, a.BitLen()))
			}
			addresses[g] = append(addresses[g], e.Prefixes...)
		}
	}
	prints := make([]fingerprint, len(addresses))
	for g, list := range addresses {
		var e encoder
		e.prefixes(masked(list))
		prints[g] = e.sum()
	}
	return prints
}

// effective fingerprints the policy in force at an ENI.
func (c *compiler) effective(at uint16, groups []fingerprint) fingerprint {
	s := c.s
	r, p := &s.ENIs[at], &s.enis[at]
	subnet := &s.subnets[r.Subnet]
	vpc := &s.vpcs[r.VPC]
	var e encoder
	e.bytes(r.MAC[:])
	e.bytes(r.RouterMAC[:])
	for _, v := range []int{
		int(r.Flags &^ Limited), int(r.VPC), int(r.Subnet), int(r.Instance), int(r.MTU), int(r.Queues),
		int(r.TCPEstablished), int(r.UDP), int(r.UDPStream),
	} {
		e.num(v)
	}
	e.num(len(p.addresses))
	for _, a := range p.addresses {
		e.addr(a)
	}
	e.prefixes(p.prefixes)
	e.prefixes(subnet.cidrs)
	e.prefixes(vpc.cidrs)
	e.addr(vpc.resolver)
	e.num(int(vpc.services))
	e.num(int(subnet.table))
	e.print(c.tablePrint[subnet.table])
	e.num(int(subnet.acl))
	if subnet.acl != defaultACL {
		e.print(c.aclPrint[subnet.acl])
	}
	for _, g := range s.groupSets[p.groupSet] {
		e.num(int(g))
		e.print(groups[g])
	}
	return e.sum()
}
