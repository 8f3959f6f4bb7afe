package policy

import (
	"net/netip"
	"strconv"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
)

// outside returns the port that belongs to no ENI and has an id, as if it were
// one, its VPC, and whether it is that of link-local services; nil for any other
// id.
func (m model) outside(id string) (port *ENI, vpc string, service bool) {
	if g := find(m.o.Gateways, func(g *InternetGateway) bool { return g.ID == id }); g != nil {
		return &ENI{ID: id}, g.VPC, false
	}
	if p := find(m.o.Services, func(p *ServicePort) bool { return p.ID == id }); p != nil {
		return &ENI{ID: id}, p.VPC, true
	}
	return nil, "", false
}

func (e *ENI) id() string {
	if e == nil {
		return ""
	}
	return e.ID
}

// service returns where the services of a VPC are.
func (m model) service(vpc *VPC) (drop.Reason, *ENI) {
	p := find(m.o.Services, func(p *ServicePort) bool { return p.VPC == vpc.ID })
	if p == nil {
		return drop.LinkLocalNoService, nil
	}
	return drop.Unset, &ENI{ID: p.ID}
}

// public returns whose public address a is in a VPC, and of which private one.
func (m model) public(vpc string, is func(PublicAddress) bool) bool {
	for i := range m.o.ENIs {
		if e := &m.o.ENIs[i]; m.subnet(e.Subnet).VPC == vpc {
			for _, p := range e.Public {
				if is(p) {
					return true
				}
			}
		}
	}
	return false
}

var (
	modelPrivate = []netip.Prefix{pfx("10.0.0.0/8"), pfx("172.16.0.0/12"), pfx("192.168.0.0/16"), pfx("fc00::/7")}
	modelShared  = []netip.Prefix{pfx("100.64.0.0/10")}
)

// outward says whether an internet gateway sends a packet of its VPC.
func (m model) outward(vpc *VPC, p packet) drop.Reason {
	switch {
	case m.public(vpc.ID, func(a PublicAddress) bool { return a.Public == p.dst }):
		return drop.GatewayReflection
	case contains(modelPrivate, p.dst):
		return drop.GatewayDestinationPrivate
	case contains(modelShared, p.dst):
		return drop.GatewayDestinationShared
	case p.src.Is4() && !m.public(vpc.ID, func(a PublicAddress) bool { return a.Private == p.src }),
		p.src.Is6() && (contains(modelPrivate, p.src) || !contains(vpc.CIDRs, p.src)):
		return drop.GatewayNoPublicAddress
	}
	return drop.Unset
}

// inward decides on a packet that came by a port that belongs to no ENI.
func (m model) inward(id string, service bool, p packet) (drop.Reason, *ENI) {
	vpc := find(m.o.VPCs, func(v *VPC) bool { return v.ID == id })
	isService := contains([]netip.Prefix{pfx("169.254.168.0/22"), pfx("fd00:ec2::/32")}, p.src) ||
		p.src == vpc.CIDRs[0].Addr().Next().Next()
	switch {
	case service && !isService:
		return drop.ServiceSource, nil
	case service:
	case contains(vpc.CIDRs, p.src), m.public(id, func(a PublicAddress) bool { return a.Public == p.src }),
		p.src.IsMulticast(), p.src.IsLoopback(), p.src.IsLinkLocalUnicast(), contains([]netip.Prefix{pfx("fd00:ec2::/32")}, p.src):
		return drop.GatewaySourceSpoofed, nil
	case contains(modelPrivate, p.src):
		return drop.GatewaySourcePrivate, nil
	case contains(modelShared, p.src):
		return drop.GatewaySourceShared, nil
	}
	if p.dst.IsMulticast() {
		return drop.Multicast, nil
	}
	if !p.routed {
		return drop.DestinationMACUnknown, nil
	}
	to := m.owner(id, p.dst)
	switch {
	case to == nil && service:
		return drop.ServiceDestination, nil
	case to == nil || !service && p.dst.Is6() && contains(modelPrivate, p.dst):
		return drop.GatewayNoPrivateAddress, nil
	case service:
		return drop.Unset, to
	case !m.acl(m.subnet(to.Subnet), true, p.src, p):
		return drop.NACLIn, to
	case !(p.admittedIn && to.ID == p.far) && !m.groups(to, true, p.src, nil, p):
		return drop.SecurityGroupIn, to
	}
	return drop.Unset, to
}

// tracks says at which ends the flow of a packet that passes is tracked: nowhere
// if it is a link-local service's, and at no port that belongs to no ENI.
func (m model) tracks(p packet, to *ENI) (out, in bool) {
	from, _, serviceFrom := m.outside(p.eni)
	gone, _, serviceTo := m.outside(to.ID)
	if serviceFrom || serviceTo {
		return false, false
	}
	if from == nil {
		out = p.admittedOut || m.tracked(m.eni(p.eni), false, p)
	}
	if gone == nil {
		in = p.admittedIn && to.ID == p.far || m.tracked(to, true, p)
	}
	return out, in
}

// genPublic draws public addresses for an ENI's own. Each private address has
// one that is always the same, so that no two ENIs can have one.
func genPublic(t *rapid.T, e *ENI) (all []PublicAddress) {
	for _, a := range e.Addresses {
		if a.Is4() && rapid.Bool().Draw(t, "public") {
			b := a.As4()
			all = append(all, PublicAddress{Private: a, Public: ip("203.0.113." + strconv.Itoa(int(b[2])*64%256+int(b[3])%64))})
		}
	}
	return all
}

// openToWorld lets all ENIs send to the world, as far as routes and groups go.
func openToWorld(o *Objects) {
	for i := range o.Subnets {
		o.Subnets[i].RouteTable, o.Subnets[i].NetworkACL = "", ""
	}
	o.RouteTables[0].Main = true
	o.RouteTables[0].Routes = []Route{
		{Destination: pfx("0.0.0.0/0"), Target: TargetInternetGateway, TargetID: "igw"},
		{Destination: pfx("::/0"), Target: TargetInternetGateway, TargetID: "igw"},
	}
	o.SecurityGroups[0].Outbound = []SGRule{{Match: Match{Protocol: ProtoAll}, CIDR: pfx("0.0.0.0/0")}, {Match: Match{Protocol: ProtoAll}, CIDR: pfx("::/0")}}
	for i := range o.ENIs {
		o.ENIs[i].SecurityGroups = []string{"sg-0"}
	}
}

// genFromOutside draws a packet that comes by a port that belongs to no ENI.
func genFromOutside(t *rapid.T, o *Objects) packet {
	p := packet{
		eni: "igw", src: ip(rapid.SampledFrom([]string{
			"198.51.100.7", "198.51.100.7", "192.0.2.1", "10.0.2.10", "172.16.0.1", "100.64.0.1", "203.0.113.74", "127.0.0.1",
			"2001:db9::1", "2001:db8:0:2::10", "fd12::1", "fe80::9",
		}).Draw(t, "worldly")),
		dst:    ip(rapid.SampledFrom(interesting).Draw(t, "dst")),
		proto:  rapid.SampledFrom([]int{ProtoTCP, ProtoUDP, ProtoICMP, ProtoICMPv6, 47}).Draw(t, "proto"),
		port:   rapid.SampledFrom([]int{0, 80, 443}).Draw(t, "port"),
		routed: rapid.IntRange(0, 5).Draw(t, "routed") != 0, admittedIn: rapid.IntRange(0, 3).Draw(t, "admitted in") == 0,
		far: o.ENIs[0].ID,
	}
	if len(o.Services) != 0 && rapid.Bool().Draw(t, "service") {
		p.eni = "svc"
		p.src = ip(rapid.SampledFrom([]string{"169.254.169.254", "169.254.169.253", "10.0.0.2", "fd00:ec2::254", "198.51.100.7", "10.0.2.10"}).Draw(t, "serving"))
	}
	if rapid.IntRange(0, 3).Draw(t, "somebody") != 0 {
		p.dst = rapid.SampledFrom(o.ENIs[rapid.IntRange(0, len(o.ENIs)-1).Draw(t, "to")].Addresses).Draw(t, "address")
	}
	if p.src.Is4() != p.dst.Is4() {
		p.dst = ip("10.0.2.10")
		if p.src.Is6() {
			p.dst = ip("2001:db8:0:2::10")
		}
	}
	return p
}
