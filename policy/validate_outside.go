package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/route"
)

// checkOutside checks internet gateways, service ports and public addresses.
func (c *checker) checkOutside() {
	gateways := make(map[string]int)
	for i := range c.o.Gateways {
		g := &c.o.Gateways[i]
		owner := fmt.Sprintf("internet gateway %q", g.ID)
		c.checkOutsidePort(g.Pos, owner, g.ID, g.VPC, g.MAC, g.MTU, g.Queues)
		if first, taken := gateways[g.VPC]; taken {
			c.errorf(g.Pos, "%s: VPC %q already has the internet gateway %q%s", owner, g.VPC, c.o.Gateways[first].ID, where(c.o.Gateways[first].Pos))
		} else {
			gateways[g.VPC] = i
		}
	}
	services := make(map[string]int)
	for i := range c.o.Services {
		p := &c.o.Services[i]
		owner := fmt.Sprintf("service port %q", p.ID)
		c.checkOutsidePort(p.Pos, owner, p.ID, p.VPC, p.MAC, p.MTU, p.Queues)
		if g, is := c.gateways.at[p.ID]; is {
			c.errorf(p.Pos, "%s: there is an internet gateway of this id%s", owner, where(c.o.Gateways[g].Pos))
		}
		if first, taken := services[p.VPC]; taken {
			c.errorf(p.Pos, "%s: VPC %q already has the service port %q%s", owner, p.VPC, c.o.Services[first].ID, where(c.o.Services[first].Pos))
		} else {
			services[p.VPC] = i
		}
	}
	c.checkPublic(gateways)
}

// checkOutsidePort checks what both kinds of ports have.
func (c *checker) checkOutsidePort(pos Pos, owner, id, vpc string, mac [6]byte, mtu, queues int) {
	c.ref(pos, owner, &c.vpcs, vpc)
	if e, is := c.enis.at[id]; is { // they share the names of counters and of explain
		c.errorf(pos, "%s: there is an ENI of this id%s", owner, where(c.o.ENIs[e].Pos))
	}
	switch {
	case mac == [6]byte{}:
		c.errorf(pos, "%s has no MAC address", owner)
	case mac[0]&1 != 0:
		c.errorf(pos, "%s: MAC %s is a multicast address", owner, macString(mac))
	case mac == outsideMAC(vpc, id):
		c.errorf(pos, "%s: MAC %s is nitrod's own there", owner, macString(mac))
	}
	if mtu < MinMTU6 || mtu > MaxMTU {
		c.errorf(pos, "%s: MTU %d is not between %d and %d", owner, mtu, MinMTU6, MaxMTU)
	}
	if queues < 1 || queues > MaxQueues {
		c.errorf(pos, "%s: the number of queues %d is not between 1 and %d", owner, queues, MaxQueues)
	}
}

// checkPublic checks the public addresses of all ENIs.
func (c *checker) checkPublic(gateways map[string]int) {
	taken := make(map[netip.Addr]int)
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		if e.LinkLocalRate < 0 {
			c.errorf(e.Pos, "ENI %q: the rate of packets to link-local services %d is negative; 0 means no limit", e.ID, e.LinkLocalRate)
		}
		var of []netip.Addr // private addresses that have one
		for _, p := range e.Public {
			owner := fmt.Sprintf("ENI %q, public address %s", e.ID, p.Public)
			switch {
			case !p.Private.Is4() || !slices.Contains(e.Addresses, p.Private):
				c.errorf(p.Pos, "%s: %s is not an IPv4 address of the ENI", owner, p.Private)
			case slices.Contains(of, p.Private):
				c.errorf(p.Pos, "%s: %s has a public address already", owner, p.Private)
			}
			of = append(of, p.Private)
			if !p.Public.Is4() || route.Classify(p.Public) != route.Routable || p.Public.IsPrivate() || route.IsShared(p.Public) {
				c.errorf(p.Pos, "%s is not a public IPv4 address", owner)
			} else if first, is := taken[p.Public]; is {
				c.errorf(p.Pos, "%s is already that of ENI %q%s", owner, c.o.ENIs[first].ID, where(c.o.ENIs[first].Pos))
			} else {
				taken[p.Public] = i
			}
			s, known := c.subnets.at[e.Subnet]
			if !known {
				continue // which has its own error
			}
			vpc := c.o.Subnets[s].VPC
			if v, known := c.vpcs.at[vpc]; known && contained(p.Public, c.o.VPCs[v].CIDRs) {
				c.errorf(p.Pos, "%s lies in the CIDRs of VPC %q", owner, vpc)
			}
			if _, has := gateways[vpc]; !has {
				c.errorf(p.Pos, "%s: VPC %q has no internet gateway", owner, vpc)
			}
		}
	}
}

// contained reports whether a lies in one of the prefixes.
func contained(a netip.Addr, in []netip.Prefix) bool {
	return slices.ContainsFunc(in, func(p netip.Prefix) bool { return p.Contains(a) })
}
