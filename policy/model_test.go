package policy

import (
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/internal/drop"
)

// packet is what the model decides on, in the words of the configuration.
type packet struct {
	eni       string
	src, dst  netip.Addr
	proto     int
	port      int // destination port
	srcPort   int
	typ, code int // ICMP
	routed    bool
	dstMAC    [6]byte
	opens     bool

	admittedOut, admittedIn bool
	far                     string // where admittedIn holds
}

// model is the dumb twin of Decide: it reads the configuration itself, object
// by object and rule by rule, and compiles nothing.
type model struct{ o *Objects }

func find[T any](all []T, is func(*T) bool) *T {
	for i := range all {
		if is(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

func (m model) subnet(id string) *Subnet {
	return find(m.o.Subnets, func(s *Subnet) bool { return s.ID == id })
}

func (m model) eni(id string) *ENI { return find(m.o.ENIs, func(e *ENI) bool { return e.ID == id }) }

func (m model) vpc(e *ENI) *VPC {
	id := m.subnet(e.Subnet).VPC
	return find(m.o.VPCs, func(v *VPC) bool { return v.ID == id })
}

func (m model) owner(vpc string, a netip.Addr) *ENI {
	return find(m.o.ENIs, func(e *ENI) bool { return m.subnet(e.Subnet).VPC == vpc && has(e, a) })
}

// has reports whether an address is an ENI's own, by itself or by a prefix.
func has(e *ENI, a netip.Addr) bool {
	return slices.Contains(e.Addresses, a) || contains(e.Prefixes, a)
}

func contains(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// decide returns the reason of a drop, or drop.Unset with the receiving ENI.
func (m model) decide(p packet) (drop.Reason, *ENI) {
	if port, vpc, service := m.outside(p.eni); port != nil {
		return m.inward(vpc, service, p)
	}
	from := m.eni(p.eni)
	vpc := m.vpc(from)
	subnet := m.subnet(from.Subnet)
	if from.SourceDestCheck && !has(from, p.src) {
		return drop.SourceIPSpoofed, nil
	}
	if p.src.IsLinkLocalUnicast() && p.routed || p.src.IsMulticast() || p.src.IsLoopback() {
		return drop.SourceIPSpoofed, nil
	}
	if p.dst.IsMulticast() {
		return drop.Multicast, nil
	}
	owner := m.owner(vpc.ID, p.dst)
	to := owner
	if p.routed {
		why, via := m.route(vpc, subnet, p.dst)
		if why != drop.Unset {
			return why, nil
		}
		if via != nil {
			to = via
		}
		if port, _, service := m.outside(to.id()); port != nil && service {
			return drop.Unset, port
		}
	} else {
		to = find(m.o.ENIs, func(e *ENI) bool { return e.Subnet == from.Subnet && e.MAC == p.dstMAC })
		if to == nil || to != owner && to.SourceDestCheck {
			return drop.DestinationMACUnknown, nil
		}
	}
	crosses := !contains(subnet.CIDRs, p.dst)
	if to != nil {
		crosses = to.Subnet != from.Subnet
	}
	if crosses && !m.acl(subnet, false, p.dst, p) {
		return drop.NACLOut, to
	}
	if !p.admittedOut && !m.groups(from, false, p.dst, to, p) {
		return drop.SecurityGroupOut, to
	}
	if to == nil {
		return drop.UnknownDestination, nil
	}
	if port, _, _ := m.outside(to.id()); port != nil {
		return m.outward(vpc, p), port
	}
	if to.SourceDestCheck && to != owner {
		return drop.DestinationCheck, to
	}
	if crosses && !m.acl(m.subnet(to.Subnet), true, p.src, p) {
		return drop.NACLIn, to
	}
	if !(p.admittedIn && to.ID == p.far) && !m.groups(to, true, p.src, from, p) {
		return drop.SecurityGroupIn, to
	}
	return drop.Unset, to
}

// route returns the ENI that a route names, or none for a local one.
func (m model) route(vpc *VPC, subnet *Subnet, dst netip.Addr) (drop.Reason, *ENI) {
	if contains([]netip.Prefix{pfx("169.254.168.0/22"), pfx("fd00:ec2::/32")}, dst) {
		return m.service(vpc)
	}
	if dst.IsLinkLocalUnicast() {
		return drop.NoRoute, nil
	}
	for i := range vpc.CIDRs {
		if base := vpc.CIDRs[i].Masked().Addr(); base.Is4() {
			if dst == base.Next().Next() {
				return m.service(vpc)
			}
			break
		}
	}
	for i := range m.o.Subnets {
		if s := &m.o.Subnets[i]; s.VPC == vpc.ID {
			for _, c := range s.CIDRs {
				first := c.Masked().Addr()
				beyond := dst.Next()
				if slices.Contains([]netip.Addr{first, first.Next(), first.Next().Next(), first.Next().Next().Next()}, dst) ||
					c.Contains(dst) && (!beyond.IsValid() || !c.Contains(beyond)) {
					return drop.RouterNoService, nil
				}
			}
		}
	}
	table := find(m.o.RouteTables, func(t *RouteTable) bool {
		return t.VPC == vpc.ID && (t.ID == subnet.RouteTable || subnet.RouteTable == "" && t.Main)
	})
	best := Route{Target: TargetInvalid}
	bits := -1
	for _, c := range vpc.CIDRs { // implied, unless written below
		if c.Contains(dst) && c.Bits() > bits {
			best, bits = Route{Target: TargetLocal}, c.Bits()
		}
	}
	if table != nil {
		for _, r := range table.Routes {
			if r.Destination.Contains(dst) && r.Destination.Bits() >= bits {
				best, bits = r, r.Destination.Bits()
			}
		}
	}
	switch best.Target {
	case TargetLocal:
		return drop.Unset, nil
	case TargetENI:
		return drop.Unset, m.eni(best.TargetID)
	case TargetInternetGateway:
		return drop.Unset, &ENI{ID: best.TargetID}
	case TargetBlackhole:
		return drop.RouteBlackhole, nil
	case TargetGateway:
		return drop.RouteNoSuchTarget, nil
	}
	return drop.NoRoute, nil
}

func (m model) acl(s *Subnet, inbound bool, peer netip.Addr, p packet) bool {
	acl := find(m.o.NetworkACLs, func(a *NetworkACL) bool { return a.ID == s.NetworkACL })
	if acl == nil {
		return true
	}
	rules := acl.Outbound
	if inbound {
		rules = acl.Inbound
	}
	rules = slices.Clone(rules)
	slices.SortFunc(rules, func(a, b ACLRule) int { return a.Number - b.Number })
	for _, r := range rules {
		if r.CIDR.Contains(peer) && matches(r.Match, p) {
			return r.Allow
		}
	}
	return false
}

// groups reports whether a rule of the ENI's groups admits the packet. other
// is the ENI at the other end of this half's path.
func (m model) groups(e *ENI, inbound bool, peer netip.Addr, other *ENI, p packet) bool {
	if e == nil {
		return true
	}
	for _, id := range e.SecurityGroups {
		g := find(m.o.SecurityGroups, func(g *SecurityGroup) bool { return g.ID == id })
		rules := g.Outbound
		if inbound {
			rules = g.Inbound
		}
		for _, r := range rules {
			var is bool
			switch {
			case r.Group != "":
				is = other != nil && has(other, peer) && slices.Contains(other.SecurityGroups, r.Group)
			case r.PrefixList != "":
				is = contains(find(m.o.PrefixLists, func(l *PrefixList) bool { return l.ID == r.PrefixList }).Prefixes, peer)
			default:
				is = r.CIDR.Contains(peer)
			}
			if is && matches(r.Match, p) {
				return true
			}
		}
	}
	return false
}

// tracked reports whether the flow of a packet that an ENI's groups admit is
// tracked there: FACTS' three conditions, word by word.
func (m model) tracked(e *ENI, inbound bool, p packet) bool {
	if p.proto != ProtoTCP && p.proto != ProtoUDP {
		return true
	}
	opens := p // as the packet that opens the flow
	answer := p
	answer.port, answer.srcPort = p.srcPort, p.port
	if m.open(e, inbound, opens, false) && m.open(e, !inbound, answer, true) {
		return false
	}
	isSYN := p.opens && p.proto == ProtoTCP
	if !isSYN && m.open(e, !inbound, answer, false) && m.open(e, inbound, opens, true) {
		return false // as an answer
	}
	return true
}

// open reports whether a rule of an ENI admits a packet from or to everywhere;
// with allPorts, whatever its ports.
func (m model) open(e *ENI, inbound bool, p packet, allPorts bool) bool {
	for _, id := range e.SecurityGroups {
		g := find(m.o.SecurityGroups, func(g *SecurityGroup) bool { return g.ID == id })
		rules := g.Outbound
		if inbound {
			rules = g.Inbound
		}
		for _, r := range rules {
			prefixes := []netip.Prefix{r.CIDR}
			if r.PrefixList != "" {
				prefixes = find(m.o.PrefixLists, func(l *PrefixList) bool { return l.ID == r.PrefixList }).Prefixes
			}
			everywhere := slices.ContainsFunc(prefixes, func(x netip.Prefix) bool {
				return x.IsValid() && x.Bits() == 0 && x.Addr().Is4() == p.src.Is4()
			})
			if !everywhere || !matches(r.Match, p) {
				continue
			}
			if !allPorts || r.Protocol == ProtoAll || r.FromPort == 0 && r.ToPort == 65535 {
				return true
			}
		}
	}
	return false
}

func matches(m Match, p packet) bool {
	if m.Protocol == ProtoAll {
		return true
	}
	if m.Protocol != p.proto {
		return false
	}
	switch p.proto {
	case ProtoTCP, ProtoUDP:
		return m.FromPort <= p.port && p.port <= m.ToPort
	case ProtoICMP, ProtoICMPv6:
		return m.FromPort == -1 || m.FromPort == p.typ && (m.ToPort == -1 || m.ToPort == p.code)
	}
	return true
}
