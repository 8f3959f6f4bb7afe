package policy

import (
	"net/netip"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/hash"
)

// The generators draw right configurations from few values: two VPCs of the
// same addresses, subnets, rules that meet the packets.

var (
	genMatch = rapid.Custom(func(t *rapid.T) Match {
		m := Match{Protocol: rapid.SampledFrom([]int{ProtoAll, ProtoTCP, ProtoTCP, ProtoUDP, ProtoICMP, ProtoICMPv6, 47}).Draw(t, "protocol")}
		switch m.Protocol {
		case ProtoICMP, ProtoICMPv6:
			m.FromPort = rapid.SampledFrom([]int{-1, 0, 8, 128}).Draw(t, "type")
			m.ToPort = rapid.SampledFrom([]int{-1, 0, 1}).Draw(t, "code")
		case ProtoTCP, ProtoUDP:
			m.FromPort = rapid.SampledFrom([]int{0, 80, 81, 443}).Draw(t, "from")
			m.ToPort = rapid.SampledFrom([]int{m.FromPort, 443, 65535}).Draw(t, "to")
		default:
			m.FromPort, m.ToPort = rapid.IntRange(-9, 9).Draw(t, "ignored"), rapid.IntRange(-9, 9).Draw(t, "ignoredToo")
		}
		return m
	})
	genPeer = rapid.SampledFrom([]netip.Prefix{
		pfx("0.0.0.0/0"), pfx("::/0"), pfx("10.0.0.0/16"), pfx("10.0.1.0/24"), pfx("10.0.2.128/25"), pfx("10.0.1.10/32"),
		pfx("2001:db8::/56"), pfx("2001:db8:0:1::/64"), pfx("10.0.2.3/20"), pfx("198.51.100.0/24"),
	})
	genRoutes = rapid.Custom(func(t *rapid.T) []Route {
		var out []Route
		for _, d := range rapid.SliceOfNDistinct(rapid.SampledFrom([]netip.Prefix{
			pfx("0.0.0.0/0"), pfx("::/0"), pfx("10.0.0.0/16"), pfx("10.0.1.0/24"), pfx("10.0.2.0/24"), pfx("2001:db8:0:1::/64"),
			pfx("198.51.100.0/24"), pfx("169.254.0.0/16"), pfx("fe80::/10"), pfx("2001:db8::/56"),
		}), 0, 4, rapid.ID).Draw(t, "destinations") {
			r := Route{Destination: d, Target: rapid.SampledFrom([]TargetKind{TargetENI, TargetENI, TargetInternetGateway, TargetBlackhole, TargetGateway, TargetGateway}).Draw(t, "target")}
			switch r.Target {
			case TargetENI:
				r.TargetID = "e-" + strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "via"))
			case TargetGateway:
				r.TargetID = "gw"
			case TargetInternetGateway:
				r.TargetID = "igw"
				if contains([]netip.Prefix{pfx("10.0.0.0/16"), pfx("2001:db8::/56")}, d.Addr()) {
					r.Target, r.TargetID = TargetBlackhole, ""
				}
			}
			out = append(out, r)
		}
		return out
	})
	genACLRules = rapid.Custom(func(t *rapid.T) []ACLRule {
		var out []ACLRule
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 40), 0, 5, rapid.ID).Draw(t, "numbers") {
			out = append(out, ACLRule{Number: n, Allow: rapid.IntRange(0, 3).Draw(t, "allow") != 0, Match: genMatch.Draw(t, "match"), CIDR: genPeer.Draw(t, "cidr")})
		}
		return out
	})
	genSGRules = rapid.Custom(func(t *rapid.T) []SGRule {
		var out []SGRule
		for range rapid.IntRange(0, 4).Draw(t, "rules") {
			r := SGRule{Match: genMatch.Draw(t, "match")}
			switch rapid.IntRange(0, 3).Draw(t, "peer") {
			case 0:
				r.Group = "sg-" + strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "group"))
			case 1:
				r.PrefixList = "pl"
			default:
				r.CIDR = genPeer.Draw(t, "cidr")
			}
			out = append(out, r)
		}
		if rapid.IntRange(0, 2).Draw(t, "open") == 0 { // as a new group is outward
			out = append(out, SGRule{Match: all, CIDR: pfx("0.0.0.0/0")}, SGRule{Match: tcp(0, 65535), CIDR: pfx("::/0")})
		}
		return out
	})
)

// prefixPool are the prefixes that may be delegated to ENIs of vpc-1, by subnet.
var prefixPool = map[string][]string{
	"s-1": {"10.0.1.32/28", "2001:db8:0:1:7::/80"},
	"s-2": {"10.0.2.32/28", "10.0.2.48/28"},
}

// addressPool are the addresses that ENIs of vpc-1 may have, by subnet.
var addressPool = map[string][]string{
	"s-1": {"10.0.1.10", "10.0.1.11", "10.0.1.12", "2001:db8:0:1::10", "2001:db8:0:1::11"},
	"s-2": {"10.0.2.10", "10.0.2.200", "10.0.2.201", "2001:db8:0:2::10"},
	"s-3": {"10.0.3.10", "10.0.3.11", "10.0.3.12"},
}

var genObjects = rapid.Custom(func(t *rapid.T) *Objects {
	o := &Objects{
		VPCs: []VPC{
			{ID: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.0.0/16"), pfx("2001:db8::/56")}},
			{ID: "vpc-2", CIDRs: []netip.Prefix{pfx("10.0.0.0/16")}},
		},
		Subnets: []Subnet{
			{ID: "s-1", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.1.0/24"), pfx("2001:db8:0:1::/64")}},
			{ID: "s-2", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.2.0/24"), pfx("2001:db8:0:2::/64")}},
			{ID: "s-3", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.3.0/24")}},
			{ID: "s-far", VPC: "vpc-2", CIDRs: []netip.Prefix{pfx("10.0.1.0/24")}},
		},
		PrefixLists: []PrefixList{{ID: "pl", Prefixes: rapid.SliceOfNDistinct(genPeer, 0, 3, netip.Prefix.Masked).Draw(t, "list")}},
		Instances:   []Instance{{ID: "i"}},
		Gateways:    []InternetGateway{{ID: "igw", VPC: "vpc-1", MAC: [6]byte{2, 1}, MTU: 1500, Queues: 1}},
	}
	if rapid.Bool().Draw(t, "services") {
		o.Services = []ServicePort{{ID: "svc", VPC: "vpc-1", MAC: [6]byte{2, 2}, MTU: 1500, Queues: 1}}
	}
	for i := range 3 {
		id := strconv.Itoa(i)
		o.RouteTables = append(o.RouteTables, RouteTable{ID: "rt-" + id, VPC: "vpc-1", Main: i == 0 && rapid.Bool().Draw(t, "main"), Routes: genRoutes.Draw(t, "routes")})
		o.NetworkACLs = append(o.NetworkACLs, NetworkACL{ID: "acl-" + id, VPC: "vpc-1", Inbound: genACLRules.Draw(t, "in"), Outbound: genACLRules.Draw(t, "out")})
		if rapid.Bool().Draw(t, "ownTable") {
			o.Subnets[i].RouteTable = "rt-" + id
		}
		if rapid.IntRange(0, 3).Draw(t, "ownACL") == 0 {
			o.Subnets[i].NetworkACL = "acl-" + id
		}
	}
	for i := range 4 {
		o.SecurityGroups = append(o.SecurityGroups, SecurityGroup{ID: "sg-" + strconv.Itoa(i), VPC: "vpc-1", LiveFlows: LiveFlows{Mode: LiveMode(i % 3), Drain: time.Second}, Inbound: genSGRules.Draw(t, "in"), Outbound: genSGRules.Draw(t, "out")})
	}
	taken := map[string]bool{}
	for i := range rapid.IntRange(3, 7).Draw(t, "enis") {
		e := ENI{
			ID: "e-" + strconv.Itoa(i), Instance: "i", MAC: [6]byte{2, 0, 0, 0, 0, byte(i + 1)}, MTU: 9001, Queues: 1, TCPEstablished: 350, UDP: 30, UDPStream: 180,
			SourceDestCheck: rapid.IntRange(0, 3).Draw(t, "check") != 0,
			SecurityGroups:  rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"sg-0", "sg-1", "sg-2", "sg-3"}), 0, 3, rapid.ID).Draw(t, "groups"),
		}
		for n := range 3 { // the pools of all subnets hold enough for seven
			e.Subnet = "s-" + strconv.Itoa((rapid.IntRange(0, 2).Draw(t, "subnet")+n)%3+1)
			for _, a := range rapid.Permutation(addressPool[e.Subnet]).Draw(t, "pool") {
				if !taken[a] && len(e.Addresses) < 2 {
					taken[a] = true
					e.Addresses = append(e.Addresses, ip(a))
				}
			}
			if len(e.Addresses) != 0 {
				break
			}
		}
		if len(e.Addresses) == 0 {
			break
		}
		for _, p := range prefixPool[e.Subnet] {
			if !taken[p] && rapid.IntRange(0, 2).Draw(t, "delegated") == 0 {
				taken[p] = true
				e.Prefixes = append(e.Prefixes, pfx(p))
			}
		}
		e.Public = genPublic(t, &e)
		o.ENIs = append(o.ENIs, e)
	}
	if rapid.IntRange(0, 2).Draw(t, "worldly") == 0 {
		openToWorld(o)
	}
	// Routes name the first three.
	for i := range o.RouteTables {
		for j := range o.RouteTables[i].Routes {
			if r := &o.RouteTables[i].Routes[j]; r.Target == TargetENI && int(r.TargetID[2]-'0') >= len(o.ENIs) {
				r.Target, r.TargetID = TargetBlackhole, ""
			}
		}
	}
	return o
})

var interesting = []string{
	"10.0.1.10", "10.0.1.11", "10.0.1.12", "10.0.2.10", "10.0.2.200", "10.0.2.201", "10.0.3.10", "10.0.3.11",
	"2001:db8:0:1::10", "2001:db8:0:1::11", "2001:db8:0:2::10",
	"10.0.1.32", "10.0.1.47", "10.0.2.40", "10.0.2.63", "2001:db8:0:1:7::9", "2001:db8:0:1:7:ffff:ffff:ffff",
	"10.0.1.1", "10.0.2.3", "10.0.1.255", "10.0.0.2", "10.0.9.9", "10.0.2.99", "198.51.100.7", "203.0.113.1", "203.0.113.74", "203.0.113.138", "172.16.0.1", "100.64.0.1", "fd12::1",
	"169.254.169.254", "169.254.3.3", "fd00:ec2::254", "fe80::9", "2001:db8:0:2::3", "2001:db8:9::9", "239.1.1.1", "ff02::9",
}

// genPacket draws a packet of an ENI of o, mostly one that gets somewhere.
func genPacket(t *rapid.T, o *Objects) packet {
	if rapid.IntRange(0, 5).Draw(t, "outside") == 0 {
		return genFromOutside(t, o)
	}
	from := &o.ENIs[rapid.IntRange(0, len(o.ENIs)-1).Draw(t, "from")]
	p := packet{
		eni: from.ID, src: rapid.SampledFrom(from.Addresses).Draw(t, "src"), dst: ip(rapid.SampledFrom(interesting).Draw(t, "dst")),
		proto:  rapid.SampledFrom([]int{ProtoTCP, ProtoUDP, ProtoICMP, ProtoICMPv6, 47, 50}).Draw(t, "proto"),
		routed: rapid.IntRange(0, 3).Draw(t, "routed") != 0, admittedOut: rapid.IntRange(0, 3).Draw(t, "admitted out") == 0, admittedIn: rapid.IntRange(0, 3).Draw(t, "admitted in") == 0,
		opens: rapid.Bool().Draw(t, "opens"),
	}
	if rapid.IntRange(0, 3).Draw(t, "foreign") == 0 {
		p.src = ip(rapid.SampledFrom(append(interesting[:17:17], "fe80::9", "169.254.3.3", "127.0.0.1", "ff02::1")).Draw(t, "otherSrc"))
	}
	if e := &o.ENIs[rapid.IntRange(0, len(o.ENIs)-1).Draw(t, "public")]; len(e.Public) != 0 && rapid.IntRange(0, 5).Draw(t, "reflected") == 0 {
		p.dst = e.Public[0].Public
	}
	if p.src.Is4() != p.dst.Is4() {
		p.dst = ip("10.0.2.10")
		if p.src.Is6() {
			p.dst = ip("2001:db8:0:2::10")
		}
	}
	p.far = o.ENIs[rapid.IntRange(0, len(o.ENIs)-1).Draw(t, "far")].ID
	if to := rapid.IntRange(0, len(o.ENIs)).Draw(t, "mac"); to < len(o.ENIs) {
		p.dstMAC = o.ENIs[to].MAC
	}
	switch p.proto {
	case ProtoTCP, ProtoUDP:
		ports := rapid.SampledFrom([]int{0, 79, 80, 81, 443, 444, 65535})
		p.port, p.srcPort = ports.Draw(t, "port"), ports.Draw(t, "source port")
	case ProtoICMP, ProtoICMPv6:
		p.typ, p.code = rapid.SampledFrom([]int{0, 3, 8, 128}).Draw(t, "type"), rapid.IntRange(0, 2).Draw(t, "code")
	}
	return p
}

// queryOf puts a packet into the words of the snapshot.
func queryOf(s *Snapshot, p packet) *Query {
	i, ok := s.ENIByID(p.eni)
	if !ok {
		i = NoENI
	}
	var flags uint8
	if p.src.Is6() {
		flags |= hash.KeyIPv6
	}
	if p.routed {
		flags |= hash.KeyRouted
	}
	far, ok := s.ENIByID(p.far)
	if !ok {
		far = NoENI
	}
	return &Query{
		Key:      hash.FlowKey{Src: KeyAddr(p.src), Dst: KeyAddr(p.dst), Tail: hash.Tail(uint16(p.srcPort), uint16(p.port), i, uint8(p.proto), flags)},
		ICMPType: uint8(p.typ), ICMPCode: uint8(p.code), DstMAC: p.dstMAC, Opens: p.opens && p.proto == ProtoTCP,
		AdmittedOut: p.admittedOut, AdmittedIn: p.admittedIn, Far: far,
	}
}
