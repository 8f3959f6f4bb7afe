package policy

import (
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/mapping"
)

// outside fills the records of the ports that belong to no ENI, and the public
// addresses of each VPC.
func (c *compiler) outside() {
	s := c.s
	pairs := make([][]mapping.Pair, len(s.vpcs))
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		vpc := s.ENIs[s.eniNames.at[e.ID]].VPC
		for _, p := range e.Public {
			pairs[vpc] = append(pairs[vpc], mapping.Pair{Private: uint32(KeyAddr(p.Private).Lo), Public: uint32(KeyAddr(p.Public).Lo)})
		}
	}
	for i := range s.vpcs {
		s.vpcs[i].public, s.vpcs[i].services = mapping.NewNAT(pairs[i]), NoENI
	}
	for i := range c.o.Gateways {
		g := &c.o.Gateways[i]
		c.outsidePort(g.ID, g.VPC, g.MAC, g.MTU, g.Queues, IsInternetGateway)
	}
	for i := range c.o.Services {
		p := &c.o.Services[i]
		at := c.outsidePort(p.ID, p.VPC, p.MAC, p.MTU, p.Queues, IsServicePort)
		s.vpcs[s.vpcNames.at[p.VPC]].services = at
	}
}

func (c *compiler) outsidePort(id, vpc string, mac [6]byte, mtu, queues int, kind ENIFlags) uint16 {
	at := c.s.eniNames.at[id]
	c.s.ENIs[at] = ENIRecord{
		MAC: mac, RouterMAC: outsideMAC(vpc, id), Flags: kind,
		VPC: c.s.vpcNames.at[vpc], Subnet: NoSubnet, Instance: NoInstance,
		MTU: uint16(mtu), Queues: uint16(queues),
		// A flow is forgotten when its ENI says so: of two idle times the shorter counts.
		TCPEstablished: MaxTCPEstablished, UDP: MaxUDP, UDPStream: MaxUDPStream,
	}
	return at
}

// outsideMAC derives nitrod's own MAC on the wire of a port that belongs to no
// ENI, as a router's is derived. It is no subnet's, since no id has a space.
func outsideMAC(vpc, id string) [6]byte { return routerMAC(vpc, "port "+id) }

// effectiveOutside fingerprints what is in force at a port that belongs to no
// ENI. Every public address of its VPC counts at an internet gateway: which
// sources may leave by it, and which destinations would come straight back.
func (c *compiler) effectiveOutside(at uint16) fingerprint {
	r := &c.s.ENIs[at]
	var e encoder
	e.bytes(r.MAC[:])
	e.bytes(r.RouterMAC[:])
	for _, v := range []int{int(r.Flags), int(r.VPC), int(r.MTU), int(r.Queues)} {
		e.num(v)
	}
	vpc := &c.s.vpcs[r.VPC]
	e.prefixes(vpc.cidrs)
	e.addr(vpc.resolver)
	if r.Flags&IsInternetGateway != 0 {
		var all []PublicAddress
		for i := range c.o.ENIs {
			if o := &c.o.ENIs[i]; c.s.ENIs[c.s.eniNames.at[o.ID]].VPC == r.VPC {
				all = append(all, o.Public...)
			}
		}
		slices.SortFunc(all, func(a, b PublicAddress) int { return netip.Addr.Compare(a.Private, b.Private) })
		for _, p := range all {
			e.addr(p.Private)
			e.addr(p.Public)
		}
	}
	return e.sum()
}
