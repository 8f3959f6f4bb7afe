package policy

import (
	"net/netip"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy/mapping"
	"github.com/nitrod/nitrod/policy/route"
)

// This file is what Decide knows of the ports that belong to no ENI: internet
// gateways (docs/semantics.md S4.7) and those of link-local services (S4.5).
// IPv4 addresses are private ones here; the datapath translates before it asks
// and after it was answered.

// fromOutside is source for a packet that came by a port that belongs to no ENI.
func (e *evaluation) fromOutside() drop.Reason {
	vpc := &e.s.vpcs[e.from.VPC]
	if e.from.Flags&IsServicePort != 0 {
		if !isService(e.src, e.srcOwner) {
			return drop.ServiceSource
		}
		e.exempt = true
		return drop.Unset
	}
	switch {
	case route.Classify(e.src) != route.Routable, contained(e.src, vpc.cidrs), e.s.isPublic(e.from.VPC, e.src):
		return drop.GatewaySourceSpoofed
	case e.src.IsPrivate():
		return drop.GatewaySourcePrivate
	case route.IsShared(e.src):
		return drop.GatewaySourceShared
	}
	return drop.Unset
}

// inward finds the ENI for a packet that came by a port that belongs to none.
func (e *evaluation) inward() drop.Reason {
	gateway := e.from.Flags&IsInternetGateway != 0
	switch {
	case !e.d.Routed:
		return drop.DestinationMACUnknown
	case e.dstOwner.Kind != mapping.ENI, gateway && e.dst.Is6() && !global(e.dst):
		e.d.Cacheable = false // any ENI may get the address
		if gateway {
			return drop.GatewayNoPrivateAddress
		}
		return drop.ServiceDestination
	}
	e.d.Egress = e.dstOwner.ENI
	return drop.Unset
}

// toService leads a packet to the port of the VPC's link-local services. Its
// way there is exempt from network ACLs, security groups and tracking.
func (e *evaluation) toService() drop.Reason {
	port := e.s.vpcs[e.from.VPC].services
	if port == NoENI {
		return drop.LinkLocalNoService
	}
	e.d.Egress, e.exempt = port, true
	return drop.Unset
}

// outward is deliver for a packet that leaves by a port that belongs to no ENI:
// whether an internet gateway may send it.
func (e *evaluation) outward() drop.Reason {
	if e.exempt {
		return drop.Unset
	}
	vpc := e.from.VPC
	switch {
	case e.s.isPublic(vpc, e.dst):
		return drop.GatewayReflection
	case e.dst.IsPrivate():
		return drop.GatewayDestinationPrivate
	case route.IsShared(e.dst):
		return drop.GatewayDestinationShared
	}
	if e.src.Is6() {
		if !global(e.src) || !contained(e.src, e.s.vpcs[vpc].cidrs) {
			return drop.GatewayNoPublicAddress
		}
	} else if _, ok := e.s.Public(vpc, e.src); !ok {
		return drop.GatewayNoPublicAddress
	}
	return drop.Unset
}

// global reports whether the world may know an IPv6 address of a VPC: if it is
// no unique local one (RFC 4193).
func global(a netip.Addr) bool { return !a.IsPrivate() }

// isService reports whether an address is one of the platform's services.
func isService(a netip.Addr, owner mapping.Entry) bool {
	return route.Classify(a) == route.Service || owner.Kind == mapping.Resolver
}

// Public returns the public IPv4 address by which the world knows a private one
// of a VPC. It does not allocate.
func (s *Snapshot) Public(vpc uint16, private netip.Addr) (netip.Addr, bool) {
	if int(vpc) >= len(s.vpcs) || !private.Is4() {
		return netip.Addr{}, false
	}
	a, ok := s.vpcs[vpc].public.Public(uint32(KeyAddr(private).Lo))
	return v4(a), ok
}

// isPublic reports whether an address is a public one of a VPC's ENIs.
func (s *Snapshot) isPublic(vpc uint16, a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	_, ok := s.vpcs[vpc].public.Private(uint32(KeyAddr(a).Lo))
	return ok
}

// NAT returns the translation of a VPC's internet gateway; it knows no address
// where there is no such VPC or gateway.
func (s *Snapshot) NAT(vpc uint16) *mapping.NAT {
	if int(vpc) >= len(s.vpcs) {
		return mapping.NewNAT(nil)
	}
	return s.vpcs[vpc].public
}

func v4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// ResolveOutside reports whether nitrod answers ARP or neighbour discovery for
// an address at a port that belongs to no ENI, with its own MAC there: at an
// internet gateway's for the public addresses of the VPC's ENIs and their global
// IPv6 ones, at that of link-local services for all addresses of the VPC's ENIs.
// It does not allocate.
func (s *Snapshot) ResolveOutside(port uint16, a netip.Addr) bool {
	if !s.live(port) {
		return false
	}
	r := &s.ENIs[port]
	if r.Flags&IsInternetGateway != 0 && (a.Is4() || !global(a)) {
		return s.isPublic(r.VPC, a)
	}
	return s.vpcs[r.VPC].addresses.Lookup(a).Kind == mapping.ENI
}

// Services returns the index of the port behind which a VPC's link-local
// services are, NoENI if it has none.
func (s *Snapshot) Services(vpc uint16) uint16 {
	if int(vpc) >= len(s.vpcs) {
		return NoENI
	}
	return s.vpcs[vpc].services
}
