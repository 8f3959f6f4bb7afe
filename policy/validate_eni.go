package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

func (c *checker) checkInstances() {
	for i := range c.o.Instances {
		if in := &c.o.Instances[i]; in.ConntrackAllowance < 0 {
			c.errorf(in.Pos, "instance %q: the conntrack allowance %d is negative; 0 means no limit", in.ID, in.ConntrackAllowance)
		}
	}
	c.checkGuarantees()
}

// checkGuarantees sees that what the ENIs of an instance are guaranteed fits
// its allowance. The ENI with which it no longer does is named.
func (c *checker) checkGuarantees() {
	sums := make(map[string]int)
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		at, known := c.instances.at[e.Instance]
		if !known || e.ConntrackGuaranteed <= 0 {
			continue
		}
		in := &c.o.Instances[at]
		before := sums[e.Instance]
		sums[e.Instance] += e.ConntrackGuaranteed
		switch limit := in.ConntrackAllowance; {
		case limit == 0:
			c.errorf(e.Pos, "ENI %q: a guarantee of %d needs a conntrack allowance to be part of, and instance %q has none", e.ID, e.ConntrackGuaranteed, in.ID)
		case before <= limit && sums[e.Instance] > limit:
			c.errorf(e.Pos, "ENI %q: with its guarantee of %d the ENIs of instance %q are guaranteed %d; the instance's conntrack allowance is %d", e.ID, e.ConntrackGuaranteed, in.ID, sums[e.Instance], limit)
		}
	}
}

// inVPC is a thing that must be unique within a VPC.
type inVPC[T comparable] struct {
	vpc   string
	thing T
}

func (c *checker) checkENIs() {
	addresses := make(map[inVPC[netip.Addr]]int)
	macs := make(map[inVPC[[6]byte]]int)
	routers := make(map[inVPC[[6]byte]]string)
	for i := range c.o.Subnets {
		s := &c.o.Subnets[i]
		routers[inVPC[[6]byte]{s.VPC, routerMAC(s.VPC, s.ID)}] = s.ID
	}
	weights := make(map[string][4]int, len(c.o.SecurityGroups))
	for i := range c.o.SecurityGroups {
		g := &c.o.SecurityGroups[i]
		var w [4]int
		w[0], w[1] = c.weights(g.Inbound)
		w[2], w[3] = c.weights(g.Outbound)
		weights[g.ID] = w
	}
	delegated := new(delegations)
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		owner := fmt.Sprintf("ENI %q", e.ID)
		c.ref(e.Pos, owner, &c.instances, e.Instance)
		c.checkSettings(e, owner)

		at, known := c.ref(e.Pos, owner, &c.subnets, e.Subnet)
		if !known {
			continue
		}
		s := &c.o.Subnets[at]
		c.checkMAC(e, i, owner, s.VPC, macs, routers)
		c.checkAddresses(e, i, owner, s, addresses)
		c.checkPrefixes(e, i, owner, s, delegated)
		c.checkMembership(e, owner, s.VPC, weights)
	}
	c.checkDelegatedAddresses(delegated)
}

func (c *checker) checkSettings(e *ENI, owner string) {
	between := func(what string, v, lo, hi int) {
		if v < lo || v > hi {
			c.errorf(e.Pos, "%s: %s %d is not between %d and %d", owner, what, v, lo, hi)
		}
	}
	minMTU := MinMTU
	if slices.ContainsFunc(e.Addresses, netip.Addr.Is6) ||
		slices.ContainsFunc(e.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		minMTU = MinMTU6
	}
	between("MTU", e.MTU, minMTU, MaxMTU)
	between("the number of queues", e.Queues, 1, MaxQueues)
	between("the idle timeout of established TCP in seconds", e.TCPEstablished, MinTCPEstablished, MaxTCPEstablished)
	between("the idle timeout of UDP in seconds", e.UDP, MinUDP, MaxUDP)
	between("the rate of fragments", e.FragmentRate, 0, MaxFragmentRate)
	between("the idle timeout of UDP streams in seconds", e.UDPStream, MinUDPStream, MaxUDPStream)
	between("the number of guaranteed connections", e.ConntrackGuaranteed, 0, MaxConntrackGuaranteed)
	between("the number of half-open connections", e.ConntrackHalfOpen, 0, MaxConntrackHalfOpen)
}

func (c *checker) checkMAC(e *ENI, i int, owner, vpc string, macs map[inVPC[[6]byte]]int, routers map[inVPC[[6]byte]]string) {
	key := inVPC[[6]byte]{vpc, e.MAC}
	mac := macString(e.MAC)
	if e.MAC == ([6]byte{}) {
		c.errorf(e.Pos, "%s has no MAC address", owner)
		return
	}
	if e.MAC[0]&1 != 0 {
		c.errorf(e.Pos, "%s: MAC %s is a multicast address", owner, mac)
		return
	}
	if first, taken := macs[key]; taken {
		c.errorf(e.Pos, "%s: MAC %s is already that of ENI %q%s", owner, mac, c.o.ENIs[first].ID, where(c.o.ENIs[first].Pos))
	} else {
		macs[key] = i
	}
	if subnet, taken := routers[key]; taken {
		c.errorf(e.Pos, "%s: MAC %s is that of the router of subnet %q", owner, mac, subnet)
	}
}

func (c *checker) checkAddresses(e *ENI, i int, owner string, s *Subnet, taken map[inVPC[netip.Addr]]int) {
	if len(e.Addresses) == 0 {
		c.errorf(e.Pos, "%s has no address", owner)
	}
	for _, a := range e.Addresses {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			c.errorf(e.Pos, "%s: address %q is not a plain IPv4 or IPv6 address", owner, a)
			continue
		}
		cidr := netip.Prefix{}
		for _, p := range s.CIDRs {
			if p.Contains(a) {
				cidr = p
			}
		}
		if !cidr.IsValid() {
			c.errorf(e.Pos, "%s: address %s is outside the CIDRs of subnet %q", owner, a, s.ID)
			continue
		}
		for n, r := range reserved(cidr) {
			if r == a {
				c.errorf(e.Pos, "%s: address %s of subnet %q is reserved: %s", owner, a, s.ID, reservedFor[n])
				break
			}
		}
		key := inVPC[netip.Addr]{s.VPC, a}
		if first, is := taken[key]; is {
			c.errorf(e.Pos, "%s: address %s is already that of ENI %q%s", owner, a, c.o.ENIs[first].ID, where(c.o.ENIs[first].Pos))
			continue
		}
		taken[key] = i
	}
}

// reservedFor says what the addresses that reserved returns are for.
var reservedFor = [numReserved]string{
	"it names the subnet", "it is the router's", "it is the DNS resolver's", "it is kept for later use", "it is the last of the subnet",
}

func (c *checker) checkMembership(e *ENI, owner, vpc string, weights map[string][4]int) {
	if n := len(e.SecurityGroups); n > MaxGroupsPerENI {
		c.errorf(e.Pos, "%s has %d security groups; at most %d are allowed", owner, n, MaxGroupsPerENI)
	}
	var sum [4]int
	for i, id := range e.SecurityGroups {
		if slices.Contains(e.SecurityGroups[:i], id) {
			c.errorf(e.Pos, "%s has security group %q twice", owner, id)
			continue
		}
		if _, ok := c.sameVPC(e.Pos, owner, vpc, &c.groups, id, func(i int) string { return c.o.SecurityGroups[i].VPC }); ok {
			for k, w := range weights[id] {
				sum[k] += w
			}
		}
	}
	for k, n := range sum {
		if n > MaxRulesPerENI {
			c.errorf(e.Pos, "%s: its security groups have %d %s rules; at most %d are allowed, prefix lists counted by their entries",
				owner, n, [4]string{"inbound IPv4", "inbound IPv6", "outbound IPv4", "outbound IPv6"}[k], MaxRulesPerENI)
		}
	}
}

func macString(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
