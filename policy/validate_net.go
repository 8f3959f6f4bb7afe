package policy

import (
	"fmt"
	"net/netip"

	"github.com/nitrod/nitrod/policy/route"
)

func (c *checker) checkVPCs() {
	for i := range c.o.VPCs {
		v := &c.o.VPCs[i]
		owner := fmt.Sprintf("VPC %q", v.ID)
		if len(v.CIDRs) == 0 {
			c.errorf(v.Pos, "%s has no CIDR", owner)
		}
		var all []owned
		for _, p := range v.CIDRs {
			if !c.prefix(v.Pos, owner, p) {
				continue
			}
			if why := route.UnusableBlock(p); why != "" {
				c.errorf(v.Pos, "%s: CIDR %s overlaps %s, which no VPC may have", owner, p, why)
			}
			all = append(all, owned{p.Masked(), i})
		}
		overlaps(all, func(a, b owned) {
			c.errorf(v.Pos, "%s: CIDRs %s and %s overlap", owner, a.prefix, b.prefix)
		})
	}
}

func (c *checker) checkSubnets() {
	perVPC := make([][]owned, len(c.o.VPCs))
	for i := range c.o.Subnets {
		s := &c.o.Subnets[i]
		owner := fmt.Sprintf("subnet %q", s.ID)
		if s.RouteTable != "" {
			c.sameVPC(s.Pos, owner, s.VPC, &c.tables, s.RouteTable, func(i int) string { return c.o.RouteTables[i].VPC })
		}
		if s.NetworkACL != "" {
			c.sameVPC(s.Pos, owner, s.VPC, &c.acls, s.NetworkACL, func(i int) string { return c.o.NetworkACLs[i].VPC })
		}
		vpc, known := c.ref(s.Pos, owner, &c.vpcs, s.VPC)
		for _, p := range c.subnetCIDRs(s, owner) {
			if !known {
				continue
			}
			if !within(p, c.o.VPCs[vpc].CIDRs) {
				c.errorf(s.Pos, "%s: CIDR %s is outside the CIDRs of VPC %q", owner, p, s.VPC)
			}
			perVPC[vpc] = append(perVPC[vpc], owned{p, i})
		}
	}
	for _, all := range perVPC {
		overlaps(all, func(a, b owned) {
			if a.i > b.i {
				a, b = b, a
			}
			first, second := &c.o.Subnets[a.i], &c.o.Subnets[b.i]
			c.errorf(second.Pos, "subnet %q: CIDR %s overlaps %s of subnet %q%s", second.ID, b.prefix, a.prefix, first.ID, where(first.Pos))
		})
	}
}

// subnetCIDRs checks the CIDRs of a subnet one by one and returns those that
// are fit for comparison with others.
func (c *checker) subnetCIDRs(s *Subnet, owner string) []netip.Prefix {
	if len(s.CIDRs) == 0 {
		c.errorf(s.Pos, "%s has no CIDR", owner)
	}
	var good []netip.Prefix
	seen := map[bool]bool{}
	for _, p := range s.CIDRs {
		if !c.prefix(s.Pos, owner, p) {
			continue
		}
		v6, bits := p.Addr().Is6(), p.Bits()
		switch {
		case seen[v6]:
			c.errorf(s.Pos, "%s has more than one %s CIDR", owner, family(v6))
			continue
		case !v6 && (bits < MinSubnetBits4 || bits > MaxSubnetBits4):
			c.errorf(s.Pos, "%s: IPv4 CIDR %s must be between /%d and /%d", owner, p, MinSubnetBits4, MaxSubnetBits4)
		case v6 && (bits < MinSubnetBits6 || bits > MaxSubnetBits6 || bits%SubnetStep6 != 0):
			c.errorf(s.Pos, "%s: IPv6 CIDR %s must be between /%d and /%d in steps of %d", owner, p, MinSubnetBits6, MaxSubnetBits6, SubnetStep6)
		}
		seen[v6] = true
		good = append(good, p.Masked())
	}
	return good
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// within reports whether p lies in one of blocks.
func within(p netip.Prefix, blocks []netip.Prefix) bool {
	for _, b := range blocks {
		if b.IsValid() && b.Bits() <= p.Bits() && b.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

func (c *checker) checkRouteTables() {
	if n := len(c.o.RouteTables) + len(c.o.VPCs); n > MaxObjects {
		c.errorf(Pos{}, "there are %d route tables, one implied per VPC included; nitrod takes at most %d", n, MaxObjects)
	}
	main := map[string]int{}
	subnets := map[netip.Prefix][]string{} // whole subnets, with their VPCs
	for i := range c.o.Subnets {
		for _, p := range c.o.Subnets[i].CIDRs {
			subnets[p.Masked()] = append(subnets[p.Masked()], c.o.Subnets[i].VPC)
		}
	}
	for i := range c.o.RouteTables {
		t := &c.o.RouteTables[i]
		owner := fmt.Sprintf("route table %q", t.ID)
		vpc, known := c.ref(t.Pos, owner, &c.vpcs, t.VPC)
		if t.Main {
			if first, taken := main[t.VPC]; taken {
				c.errorf(t.Pos, "VPC %q already has the main route table %q%s", t.VPC, c.o.RouteTables[first].ID, where(c.o.RouteTables[first].Pos))
			} else {
				main[t.VPC] = i
			}
		}
		var blocks []netip.Prefix
		if known {
			blocks = c.o.VPCs[vpc].CIDRs
		}
		seen := map[netip.Prefix]int{}
		count := map[bool]int{}
		for j := range t.Routes {
			r := &t.Routes[j]
			owner := fmt.Sprintf("route table %q, route to %s", t.ID, r.Destination)
			if !c.prefix(r.Pos, owner, r.Destination) {
				continue
			}
			dst := r.Destination.Masked()
			if first, taken := seen[dst]; taken {
				c.errorf(r.Pos, "%s: there is already one%s", owner, where(t.Routes[first].Pos))
			} else {
				seen[dst] = j
				count[dst.Addr().Is6()]++
			}
			c.checkDestination(r, owner, t.VPC, dst, blocks, subnets[dst])
			c.checkTarget(r, owner, t.VPC)
		}
		for v6, n := range count {
			if n > MaxRoutes {
				c.errorf(t.Pos, "%s has %d %s routes; at most %d are allowed", owner, n, family(v6), MaxRoutes)
			}
		}
	}
}

// checkDestination applies the rules of docs/semantics.md S4.1 to a route's
// destination. vpcs are the VPCs that have a subnet of exactly this CIDR.
func (c *checker) checkDestination(r *Route, owner, vpc string, dst netip.Prefix, blocks []netip.Prefix, vpcs []string) {
	isBlock := false
	for _, b := range blocks {
		isBlock = isBlock || b.Masked() == dst
	}
	switch {
	case route.Diverts(dst):
		c.errorf(r.Pos, "%s: no route may divert the link-local ranges %s and %s", owner, route.ServiceRange4, route.ServiceRange6)
	case r.Target == TargetInternetGateway && (isBlock || within(dst, blocks)):
		c.errorf(r.Pos, "%s: a destination inside the VPC cannot lead to an internet gateway", owner)
	case r.Target == TargetLocal && !isBlock:
		c.errorf(r.Pos, "%s: only a CIDR of VPC %q can be local", owner, vpc)
	case !isBlock && within(dst, blocks):
		for _, v := range vpcs {
			if v == vpc {
				return
			}
		}
		c.errorf(r.Pos, "%s: a destination inside the VPC must be the whole CIDR of one of its subnets", owner)
	}
}

func (c *checker) checkTarget(r *Route, owner, vpc string) {
	switch r.Target {
	case TargetENI:
		eni, ok := c.ref(r.Pos, owner, &c.enis, r.TargetID)
		if !ok {
			return
		}
		// An ENI whose subnet is unknown has its own error.
		if s, ok := c.subnets.at[c.o.ENIs[eni].Subnet]; ok && c.o.Subnets[s].VPC != vpc {
			c.errorf(r.Pos, "%s: ENI %q is in VPC %q, not in %q", owner, r.TargetID, c.o.Subnets[s].VPC, vpc)
		}
	case TargetGateway:
		if why := badID(r.TargetID); why != "" {
			c.errorf(r.Pos, "%s: the gateway's name %s", owner, why)
		}
	case TargetInternetGateway:
		c.sameVPC(r.Pos, owner, vpc, &c.gateways, r.TargetID, func(i int) string { return c.o.Gateways[i].VPC })
	case TargetLocal, TargetBlackhole:
		if r.TargetID != "" {
			c.errorf(r.Pos, "%s: a local or blackhole route names no target, but this one names %q", owner, r.TargetID)
		}
	default:
		c.errorf(r.Pos, "%s has no target", owner)
	}
}
