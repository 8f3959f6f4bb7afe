package policy

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// delegations are the prefixes of all ENIs, by VPC: to each the index of its
// ENI.
type delegations struct {
	byVPC map[string]*bart.Table[int]
}

func (d *delegations) of(vpc string) *bart.Table[int] {
	if d.byVPC == nil {
		d.byVPC = make(map[string]*bart.Table[int])
	}
	if d.byVPC[vpc] == nil {
		d.byVPC[vpc] = new(bart.Table[int])
	}
	return d.byVPC[vpc]
}

// checkPrefixes checks the prefixes that are delegated to ENI i: their length,
// that they lie in the subnet, and that nobody else has addresses in them
// (docs/semantics.md S4.2).
func (c *checker) checkPrefixes(e *ENI, i int, owner string, s *Subnet, taken *delegations) {
	for _, p := range e.Prefixes {
		bits := DelegatedBits4
		if p.Addr().Is6() {
			bits = DelegatedBits6
		}
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			c.errorf(e.Pos, "%s: prefix %q is not a plain IPv4 or IPv6 prefix", owner, p)
			continue
		case p.Bits() != bits:
			c.errorf(e.Pos, "%s: prefix %s has %d bits; a prefix of an ENI is a /%d of IPv4 or a /%d of IPv6",
				owner, p, p.Bits(), DelegatedBits4, DelegatedBits6)
			continue
		}
		p = p.Masked()
		cidr := netip.Prefix{}
		for _, block := range s.CIDRs {
			if block.Bits() <= p.Bits() && block.Contains(p.Addr()) {
				cidr = block
			}
		}
		if !cidr.IsValid() {
			c.errorf(e.Pos, "%s: prefix %s is outside the CIDRs of subnet %q", owner, p, s.ID)
			continue
		}
		for n, r := range reserved(cidr) {
			if p.Contains(r) {
				c.errorf(e.Pos, "%s: prefix %s holds the address %s, which subnet %q reserves: %s", owner, p, r, s.ID, reservedFor[n])
				break
			}
		}
		table := taken.of(s.VPC)
		if first, is := table.Get(p); is {
			c.errorf(e.Pos, "%s: prefix %s is already that of ENI %q%s", owner, p, c.o.ENIs[first].ID, where(c.o.ENIs[first].Pos))
			continue
		}
		table.Insert(p, i)
	}
}

// checkDelegatedAddresses finds the addresses of ENIs that lie in a prefix,
// their own ones too: such an address would be given twice.
func (c *checker) checkDelegatedAddresses(taken *delegations) {
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		at, known := c.subnets.at[e.Subnet]
		if !known {
			continue
		}
		table := taken.of(c.o.Subnets[at].VPC)
		for _, a := range e.Addresses {
			if first, is := table.Lookup(a); is {
				f := &c.o.ENIs[first]
				c.errorf(e.Pos, "ENI %q: address %s lies in a prefix that is delegated to ENI %q%s", e.ID, a, f.ID, where(f.Pos))
			}
		}
	}
}
