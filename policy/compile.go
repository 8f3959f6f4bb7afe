package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/mapping"
	"github.com/nitrod/nitrod/policy/nacl"
	"github.com/nitrod/nitrod/policy/route"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// Compile checks a configuration and compiles it. prev is the snapshot in
// force, or nil; objects keep their indices from it, and an ENI its generation
// unless the policy in force at it has changed.
//
// The error is an Errors with everything that is wrong, by position. Compile
// keeps no reference to o and changes neither o nor prev.
//
// Thread-safety: any number of goroutines may compile, but snapshots that
// descend from the same prev have unrelated indices and generations.
func Compile(o *Objects, prev *Snapshot) (*Snapshot, error) {
	check, errs := validate(o)
	if len(errs) != 0 {
		return nil, errs
	}
	if prev == nil {
		prev = &Snapshot{}
	}
	c := &compiler{o: o, checker: check, prev: prev, s: &Snapshot{}}
	c.assign()
	c.routeTables()
	c.networkACLs()
	c.subnets()
	c.prefixLists()
	c.securityGroups()
	c.instances()
	c.interfaces()
	c.outside()
	c.addresses()
	c.generations()
	return c.s, nil
}

// compiler builds a snapshot from objects that have been checked.
type compiler struct {
	o       *Objects
	checker *checker
	prev, s *Snapshot

	subnetObject []*Subnet // by index of the snapshot
	eniObject    []*ENI
	vpcObject    []*VPC

	tablePrint []fingerprint // by index
	aclPrint   []fingerprint
	groupPrint []fingerprint // rules alone
	in, out    [][]secgroup.Rule
	lists      [][]netip.Prefix // parallel to o.PrefixLists, in canonical form
	listPrint  listPrints
}

// impliedMain is the name of the main route table of a VPC for which none is
// written. No id looks like it.
func impliedMain(vpc string) string { return "(main of " + vpc + ")" }

func (c *compiler) assign() {
	s, p, k := c.s, c.prev, c.checker
	s.vpcNames = assign(p.vpcNames, k.vpcs.ids)
	s.subnetNames = assign(p.subnetNames, k.subnets.ids)
	s.aclNames = assign(p.aclNames, k.acls.ids)
	s.groupNames = assign(p.groupNames, k.groups.ids)
	s.placementNames = assign(p.placementNames, k.placements.ids)
	s.instanceNames = assign(p.instanceNames, k.instances.ids)
	s.eniNames = assign(p.eniNames, slices.Concat(k.enis.ids, k.gateways.ids, k.services.ids))

	tables := slices.Clone(k.tables.ids)
	for _, vpc := range k.vpcs.ids {
		if !slices.ContainsFunc(c.o.RouteTables, func(t RouteTable) bool { return t.Main && t.VPC == vpc }) {
			tables = append(tables, impliedMain(vpc))
		}
	}
	s.tableNames = assign(p.tableNames, tables)

	c.vpcObject = make([]*VPC, len(s.vpcNames.names))
	s.vpcs = make([]vpcPolicy, len(s.vpcNames.names))
	for i := range c.o.VPCs {
		v := &c.o.VPCs[i]
		at := s.vpcNames.at[v.ID]
		c.vpcObject[at] = v
		s.vpcs[at].cidrs = masked(v.CIDRs)
	}
}

// masked returns the canonical form of CIDRs, sorted, so that their order in
// the file does not matter.
func masked(ps []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(ps))
	for i, p := range ps {
		out[i] = p.Masked()
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
	})
	return out
}

func (c *compiler) routeTables() {
	c.s.tables = make([]*route.Table, len(c.s.tableNames.names))
	c.tablePrint = make([]fingerprint, len(c.s.tables))
	compile := func(name string, vpc *VPC, routes []Route) {
		var entries []route.Entry
		written := make(map[netip.Prefix]bool, len(routes))
		for i := range routes {
			r := &routes[i]
			e := route.Entry{Destination: r.Destination.Masked()}
			switch r.Target {
			case TargetLocal:
				e.Target = route.TargetLocal
			case TargetENI:
				e.Target, e.ENI = route.TargetENI, c.s.eniNames.at[r.TargetID]
			case TargetBlackhole:
				e.Target = route.TargetBlackhole
			case TargetGateway:
				e.Target, e.Gateway = route.TargetGateway, r.TargetID
			case TargetInternetGateway:
				e.Target, e.ENI = route.TargetInternetGateway, c.s.eniNames.at[r.TargetID]
			}
			written[e.Destination] = true
			entries = append(entries, e)
		}
		for _, p := range vpc.CIDRs {
			if !written[p.Masked()] {
				entries = append(entries, route.Entry{Destination: p.Masked(), Target: route.TargetLocal})
			}
		}
		at := c.s.tableNames.at[name]
		c.s.tables[at] = route.Compile(entries)
		c.tablePrint[at] = printTable(c.s.tables[at])
	}
	for i := range c.o.RouteTables {
		t := &c.o.RouteTables[i]
		compile(t.ID, c.vpcObject[c.s.vpcNames.at[t.VPC]], t.Routes)
	}
	for i := range c.o.VPCs {
		v := &c.o.VPCs[i]
		if _, implied := c.s.tableNames.at[impliedMain(v.ID)]; implied {
			compile(impliedMain(v.ID), v, nil)
		}
	}
}

// sortedACL returns the rules in the order in which they decide, in canonical
// form: whatever does not matter is 0.
func sortedACL(rules []ACLRule) []ACLRule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].Match = out[i].canonical()
		out[i].CIDR = out[i].CIDR.Masked()
	}
	slices.SortFunc(out, func(a, b ACLRule) int { return a.Number - b.Number })
	return out
}

// canonical clears the fields that the protocol ignores.
func (m Match) canonical() Match {
	switch m.Protocol {
	case ProtoTCP, ProtoUDP:
	case ProtoICMP, ProtoICMPv6:
		if m.FromPort == -1 {
			m.ToPort = -1
		}
	default:
		m.FromPort, m.ToPort = 0, 0
	}
	return m
}

func (c *compiler) networkACLs() {
	c.s.acls = make([]aclPolicy, len(c.s.aclNames.names))
	c.aclPrint = make([]fingerprint, len(c.s.acls))
	for i := range c.o.NetworkACLs {
		a := &c.o.NetworkACLs[i]
		at := c.s.aclNames.at[a.ID]
		c.s.acls[at] = aclPolicy{in: compileACL(a.Inbound), out: compileACL(a.Outbound)}
		c.aclPrint[at] = printACL(a)
	}
	open := nacl.Default()
	c.s.defaultACL = aclPolicy{in: open, out: open}
}

func compileACL(rules []ACLRule) *nacl.List {
	var in []nacl.Rule
	for _, r := range sortedACL(rules) {
		in = append(in, nacl.Rule{
			Number: uint16(r.Number), Allow: r.Allow,
			Protocol: r.Protocol, From: r.FromPort, To: r.ToPort, CIDR: r.CIDR,
		})
	}
	return nacl.Compile(in)
}

func (c *compiler) subnets() {
	main := make(map[string]string)
	for i := range c.o.VPCs {
		main[c.o.VPCs[i].ID] = impliedMain(c.o.VPCs[i].ID)
	}
	for i := range c.o.RouteTables {
		if t := &c.o.RouteTables[i]; t.Main {
			main[t.VPC] = t.ID
		}
	}
	c.s.subnets = make([]subnetPolicy, len(c.s.subnetNames.names))
	c.subnetObject = make([]*Subnet, len(c.s.subnets))
	zones := make(zones)
	for i := range c.o.Subnets {
		o := &c.o.Subnets[i]
		table := o.RouteTable
		if table == "" {
			table = main[o.VPC]
		}
		p := subnetPolicy{
			vpc: c.s.vpcNames.at[o.VPC], table: c.s.tableNames.at[table], acl: defaultACL,
			cidrs: masked(o.CIDRs), routerMAC: routerMAC(o.VPC, o.ID),
		}
		p.routerLL = linkLocal(p.routerMAC)
		if o.NetworkACL != "" {
			p.acl = c.s.aclNames.at[o.NetworkACL]
		}
		p.zone = zones.number(o.Zone)
		at := c.s.subnetNames.at[o.ID]
		c.s.subnets[at] = p
		c.subnetObject[at] = o
	}
}

// prefixLists brings the lists into canonical form once, since thousands of
// rules may name one.
func (c *compiler) prefixLists() {
	c.lists = make([][]netip.Prefix, len(c.o.PrefixLists))
	c.listPrint = make(listPrints, len(c.lists))
	for i := range c.lists {
		c.lists[i] = masked(c.o.PrefixLists[i].Prefixes)
		c.listPrint.add(c.lists[i])
	}
}

func (c *compiler) securityGroups() {
	n := len(c.s.groupNames.names)
	c.s.groups = make([]groupInfo, n)
	c.groupPrint = make([]fingerprint, n)
	c.in, c.out = make([][]secgroup.Rule, n), make([][]secgroup.Rule, n)
	for i := range c.prev.groups { // flows that a removed group admitted may outlive it
		c.s.groups[i].live = c.prev.groups[i].live
	}
	for i := range c.o.SecurityGroups {
		g := &c.o.SecurityGroups[i]
		at := c.s.groupNames.at[g.ID]
		info := &c.s.groups[at]
		info.live = g.LiveFlows
		c.in[at], info.in = c.groupRules(g, at, true, g.Inbound)
		c.out[at], info.out = c.groupRules(g, at, false, g.Outbound)
		var e encoder
		e.groupRules(c.in[at], c.listPrint)
		e.groupRules(c.out[at], c.listPrint)
		e.num(int(g.LiveFlows.Mode))
		e.num(int(g.LiveFlows.Drain))
		c.groupPrint[at] = e.sum()
	}
}

// groupRules compiles one direction of a group and lists the ids of its rules.
func (c *compiler) groupRules(g *SecurityGroup, at uint16, inbound bool, rules []SGRule) ([]secgroup.Rule, []string) {
	out, ids := make([]secgroup.Rule, len(rules)), make([]string, len(rules))
	cidrs := make([]netip.Prefix, len(rules))
	for i := range rules {
		r := &rules[i]
		m := r.canonical()
		out[i] = secgroup.Rule{Ref: secgroup.MakeRef(at, inbound, i), Protocol: m.Protocol, From: m.FromPort, To: m.ToPort}
		switch {
		case r.Group != "":
			out[i].HasGroup, out[i].Group = true, c.s.groupNames.at[r.Group]
		case r.PrefixList != "":
			out[i].Prefixes = c.lists[c.checker.lists.at[r.PrefixList]]
		default:
			cidrs[i] = r.CIDR.Masked()
			out[i].Prefixes = cidrs[i : i+1 : i+1]
		}
		ids[i] = r.ID
	}
	return out, ids
}

func (c *compiler) instances() {
	c.s.instances = make([]InstanceInfo, len(c.s.instanceNames.names))
	c.s.Instances = make([]InstanceRecord, len(c.s.instances))
	clusters := c.clusters()
	for i := range c.s.Instances {
		c.s.Instances[i].Cluster = NoCluster
	}
	for i := range c.o.Instances {
		in := &c.o.Instances[i]
		at := c.s.instanceNames.at[in.ID]
		c.s.instances[at] = InstanceInfo{ID: in.ID, ConntrackAllowance: in.ConntrackAllowance}
		c.s.Instances[at] = in.record(clusters)
	}
}

// addresses fills the mapping of each VPC.
func (c *compiler) addresses() {
	for i := range c.s.vpcs {
		c.s.vpcs[i].addresses = &mapping.Table{}
	}
	for i := range c.s.subnets {
		if c.subnetObject[i] == nil {
			continue
		}
		p := &c.s.subnets[i]
		for _, cidr := range p.cidrs {
			for _, a := range reserved(cidr) {
				c.s.vpcs[p.vpc].addresses.Insert(a, mapping.Entry{Kind: mapping.Reserved, Subnet: uint16(i)})
			}
		}
	}
	for i, v := range c.vpcObject {
		if v == nil {
			continue
		}
		// The resolver follows the first IPv4 CIDR as it is written: it is the
		// VPC's primary one.
		for _, p := range v.CIDRs {
			if p.Addr().Is4() {
				a := resolverAddr(p)
				c.s.vpcs[i].resolver = a
				c.s.vpcs[i].addresses.Insert(a, mapping.Entry{Kind: mapping.Resolver})
				break
			}
		}
	}
	for i, e := range c.eniObject {
		if e == nil {
			continue
		}
		r := &c.s.ENIs[i]
		addresses := c.s.vpcs[r.VPC].addresses
		here := mapping.Entry{Kind: mapping.ENI, ENI: uint16(i), Subnet: r.Subnet, Groups: c.s.enis[i].groupSet}
		for _, a := range e.Addresses {
			addresses.Insert(a, here)
		}
		for _, p := range e.Prefixes {
			addresses.InsertPrefix(p, here)
		}
	}
}
