package config

import (
	"net/netip"
	"time"

	"github.com/nitrod/nitrod/policy"
)

// objects turns the file's VPC objects into policy's, with what a rule's keys
// must not say together checked.
func (d *decoder) objects(doc *document) policy.Objects {
	d.types(doc)
	nitro := make(map[string]Nitro, len(doc.Instances))
	for i := range doc.Instances {
		nitro[doc.Instances[i].ID] = doc.Instances[i].Nitro
	}
	return policy.Objects{
		VPCs: convert(doc.VPCs, func(v *vpcDoc) policy.VPC {
			return policy.VPC{ID: v.ID, CIDRs: v.CIDRs, Pos: v.Pos}
		}),
		Subnets: convert(doc.Subnets, func(s *subnetDoc) policy.Subnet {
			return policy.Subnet{ID: s.ID, VPC: s.VPC, Zone: s.Zone, CIDRs: s.CIDRs, RouteTable: s.RouteTable, NetworkACL: s.NetworkACL, Pos: s.Pos}
		}),
		RouteTables: convert(doc.RouteTables, func(t *routeTableDoc) policy.RouteTable {
			return policy.RouteTable{ID: t.ID, VPC: t.VPC, Main: t.Main, Routes: convert(t.Routes, route), Pos: t.Pos}
		}),
		NetworkACLs: convert(doc.NetworkACLs, func(a *networkACLDoc) policy.NetworkACL {
			return policy.NetworkACL{ID: a.ID, VPC: a.VPC, Inbound: convert(a.Inbound, d.aclRule), Outbound: convert(a.Outbound, d.aclRule), Pos: a.Pos}
		}),
		SecurityGroups: convert(doc.SecurityGroups, d.securityGroup),
		PrefixLists: convert(doc.PrefixLists, func(l *prefixListDoc) policy.PrefixList {
			return policy.PrefixList{ID: l.ID, Prefixes: l.Prefixes, Pos: l.Pos}
		}),
		Placements: convert(doc.Placements, func(p *placementDoc) policy.PlacementGroup {
			return policy.PlacementGroup{ID: p.ID, Cluster: p.Strategy == placementCluster, Pos: p.Pos}
		}),
		Instances: convert(doc.Instances, d.instance),
		ENIs: convert(doc.ENIs, func(e *eniDoc) policy.ENI {
			out := eni(e, nitro[e.Instance].established())
			d.eniLimits(e, &out)
			out.RSS = d.rss(e)
			d.pacing(e.Pacing, &out.Pacing)
			return out
		}),
		Gateways: convert(doc.Gateways, func(g *gatewayDoc) policy.InternetGateway {
			return policy.InternetGateway{ID: g.ID, VPC: g.VPC, MAC: g.MAC, MTU: g.MTU, Queues: g.Queues, Pos: g.Pos}
		}),
		Services: convert(doc.Services, func(p *serviceDoc) policy.ServicePort {
			return policy.ServicePort{ID: p.ID, VPC: p.VPC, MAC: p.MAC, MTU: p.MTU, Queues: p.Queues, Pos: p.Pos}
		}),
	}
}

func convert[From, To any](list []From, one func(*From) To) []To {
	if list == nil {
		return nil
	}
	out := make([]To, len(list))
	for i := range list {
		out[i] = one(&list[i])
	}
	return out
}

func route(r *routeDoc) policy.Route {
	return policy.Route{Destination: r.Destination, Target: r.Target.kind, TargetID: r.Target.id, Pos: r.Pos}
}

func (d *decoder) aclRule(r *aclRuleDoc) policy.ACLRule {
	return policy.ACLRule{
		Number: r.Rule,
		Allow:  r.Action == aclAllow,
		Match:  d.match(matchDoc{&r.Protocol, &r.Ports, &r.ICMP, r.Pos}),
		CIDR:   r.CIDR,
		Pos:    r.Pos,
	}
}

func (d *decoder) securityGroup(g *securityGroupDoc) policy.SecurityGroup {
	out := policy.SecurityGroup{
		ID: g.ID, VPC: g.VPC,
		Inbound:   convert(g.Inbound, d.sgRule),
		Outbound:  convert(g.Outbound, d.sgRule),
		LiveFlows: policy.LiveFlows(g.LiveFlows),
		Pos:       g.Pos,
	}
	if !d.given(&g.Outbound) {
		out.Outbound = allowAll(g.Pos)
	}
	return out
}

// allowAll is the outbound side of a new security group (VPC guide, "Security
// groups": by default, a group allows all outbound traffic).
func allowAll(pos policy.Pos) []policy.SGRule {
	all := policy.Match{Protocol: policy.ProtoAll, FromPort: allPorts.from, ToPort: allPorts.to}
	return []policy.SGRule{
		{Match: all, CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Pos: pos},
		{Match: all, CIDR: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Pos: pos},
	}
}

// writeOut puts into a document what its absent keys mean, where that is not
// the default of each key alone.
func (d *decoder) writeOut(doc *document) {
	for i := range doc.SecurityGroups {
		g := &doc.SecurityGroups[i]
		if d.given(&g.Outbound) {
			continue
		}
		for _, r := range allowAll(g.Pos) {
			g.Outbound = append(g.Outbound, sgRuleDoc{Protocol: policy.ProtoAll, CIDR: r.CIDR, Pos: g.Pos})
		}
	}
}

func (d *decoder) sgRule(r *sgRuleDoc) policy.SGRule {
	peers := 0
	for _, p := range []any{&r.CIDR, &r.Group, &r.PrefixList} {
		if d.given(p) {
			peers++
		}
	}
	if peers != 1 && d.ok(r) {
		d.fail(nil, r.Pos, "a security group's rule must have exactly one of the keys cidr, group and prefix_list, not %d", peers)
	}
	return policy.SGRule{
		ID:         r.ID,
		Match:      d.match(matchDoc{&r.Protocol, &r.Ports, &r.ICMP, r.Pos}),
		CIDR:       r.CIDR,
		Group:      r.Group,
		PrefixList: r.PrefixList,
		Pos:        r.Pos,
	}
}

// match applies the rules of EC2's IpPermission: ports belong to tcp and udp,
// types and codes to icmp and icmpv6, and all types means all codes. Where EC2
// ignores ports of other protocols they are refused here, since whoever wrote
// them means something by them.
func (d *decoder) match(m matchDoc) policy.Match {
	out := policy.Match{Protocol: int(*m.protocol)}
	if !d.ok(m.protocol) {
		return out
	}
	switch out.Protocol {
	case policy.ProtoTCP, policy.ProtoUDP:
		if !d.given(m.ports) {
			d.fail(m.ports, m.pos, "a rule for tcp or udp must have the key ports, such as 80, 1000-2000 or all")
		}
		if d.given(m.icmp) {
			d.fail(m.icmp, m.pos, "a rule for tcp or udp must not have the key icmp")
		}
		out.FromPort, out.ToPort = m.ports.from, m.ports.to
	case policy.ProtoICMP, policy.ProtoICMPv6:
		if d.given(m.ports) {
			d.fail(m.ports, m.pos, "a rule for icmp or icmpv6 must not have the key ports; the key icmp names a type and a code")
		}
		out.FromPort, out.ToPort = -1, -1
		if icmp := *m.icmp; icmp != nil {
			out.FromPort, out.ToPort = int(icmp.Type), int(icmp.Code)
			if icmp.Type < 0 && icmp.Code >= 0 && d.ok(&icmp.Type, &icmp.Code) {
				d.fail(&icmp.Code, icmp.Pos, "code must be all where type is all")
			}
		}
	default:
		out.FromPort, out.ToPort = allPorts.from, allPorts.to
		if d.given(m.ports) {
			d.fail(m.ports, m.pos, "a rule must not have the key ports unless its protocol is tcp or udp")
		}
		if d.given(m.icmp) {
			d.fail(m.icmp, m.pos, "a rule must not have the key icmp unless its protocol is icmp or icmpv6")
		}
	}
	return out
}

// established returns the idle time of established TCP connections at ENIs that
// give none (docs/semantics.md S1.5).
func (n Nitro) established() time.Duration {
	if n == NitroV6 {
		return 350 * time.Second
	}
	return policy.MaxTCPEstablished * time.Second
}

// eni turns an ENI into policy's. established is its idle time of established
// TCP connections where it gives none.
func eni(e *eniDoc, established time.Duration) policy.ENI {
	if e.TCPEstablishedTimeout != 0 {
		established = e.TCPEstablishedTimeout
	}
	return policy.ENI{
		ID:                  e.ID,
		Instance:            e.Instance,
		Subnet:              e.Subnet,
		MAC:                 e.MAC,
		Addresses:           e.Addresses,
		Prefixes:            e.Prefixes,
		SecurityGroups:      e.SecurityGroups,
		SourceDestCheck:     e.SourceDestCheck,
		MTU:                 e.MTU,
		Queues:              e.Queues,
		TCPEstablished:      int(established / time.Second),
		UDP:                 int(e.UDPTimeout / time.Second),
		UDPStream:           int(e.UDPStreamTimeout / time.Second),
		ConntrackGuaranteed: e.ConntrackGuaranteed,
		ConntrackHalfOpen:   e.ConntrackHalfOpen,
		FragmentRate:        e.FragmentRate,
		LinkLocalRate:       e.LinkLocalRate,
		Public: convert(e.Public, func(p *publicDoc) policy.PublicAddress {
			return policy.PublicAddress{Private: p.Private, Public: p.Public, Pos: p.Pos}
		}),
		Pos: e.Pos,
	}
}
