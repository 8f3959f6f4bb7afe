package policy

import (
	"net/netip"
	"testing"

	"github.com/nitrod/nitrod/hash"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

// line makes positions that tests can tell apart.
func line(n int) Pos { return Pos{File: "vpc.yaml", Line: n} }

func tcp(from, to int) Match   { return Match{ProtoTCP, from, to} }
func icmp(typ, code int) Match { return Match{ProtoICMP, typ, code} }

var all = Match{ProtoAll, 0, 0}

// fixture is a VPC with three subnets: web and app with ACLs of their own, and
// fw, where an appliance is. A second VPC has the same addresses.
func fixture() *Objects {
	eni := func(id, subnet string, mac byte, groups []string, addrs ...string) ENI {
		e := ENI{
			ID: id, Instance: "i-" + id, Subnet: subnet, MAC: [6]byte{2, 0, 0, 0, 0, mac}, SecurityGroups: groups,
			SourceDestCheck: true, MTU: 9001, Queues: 4, TCPEstablished: 432000, UDP: 30, UDPStream: 180, Pos: line(100 + int(mac)),
		}
		for _, a := range addrs {
			e.Addresses = append(e.Addresses, ip(a))
		}
		return e
	}
	o := &Objects{
		VPCs: []VPC{
			{ID: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.0.0/16"), pfx("2001:db8::/56")}, Pos: line(1)},
			{ID: "vpc-2", CIDRs: []netip.Prefix{pfx("10.0.0.0/16")}, Pos: line(2)},
		},
		Subnets: []Subnet{
			{ID: "web", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.1.0/24"), pfx("2001:db8:0:1::/64")}, RouteTable: "rt-web", NetworkACL: "acl-web", Pos: line(10)},
			{ID: "app", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.2.0/24"), pfx("2001:db8:0:2::/64")}, NetworkACL: "acl-app", Pos: line(11)},
			{ID: "fw", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.3.0/24")}, Pos: line(12)},
			{ID: "other", VPC: "vpc-2", CIDRs: []netip.Prefix{pfx("10.0.1.0/24")}, Pos: line(13)},
		},
		RouteTables: []RouteTable{
			{ID: "rt-web", VPC: "vpc-1", Routes: []Route{
				{Destination: pfx("192.0.2.0/24"), Target: TargetBlackhole, Pos: line(21)},
				{Destination: pfx("198.51.100.0/24"), Target: TargetENI, TargetID: "fw", Pos: line(22)},
				{Destination: pfx("0.0.0.0/0"), Target: TargetGateway, TargetID: "igw-1", Pos: line(23)},
			}, Pos: line(20)},
			{ID: "rt-main", VPC: "vpc-1", Main: true, Pos: line(25)},
		},
		NetworkACLs: []NetworkACL{
			{ID: "acl-web", VPC: "vpc-1",
				Inbound: []ACLRule{{Number: 100, Allow: true, Match: all, CIDR: pfx("0.0.0.0/0"), Pos: line(31)}, {Number: 101, Allow: true, Match: all, CIDR: pfx("::/0"), Pos: line(32)}},
				Outbound: []ACLRule{
					{Number: 200, Allow: true, Match: all, CIDR: pfx("0.0.0.0/0"), Pos: line(33)},
					{Number: 90, Match: tcp(23, 23), CIDR: pfx("10.0.2.77/16"), Pos: line(34)}, // host bits: canonicalised
					{Number: 201, Allow: true, Match: all, CIDR: pfx("::/0"), Pos: line(35)},
				}, Pos: line(30)},
			{ID: "acl-app", VPC: "vpc-1",
				Inbound:  []ACLRule{{Number: 10, Allow: true, Match: tcp(1, 1000), CIDR: pfx("10.0.1.0/24"), Pos: line(41)}, {Number: 20, Allow: true, Match: icmp(8, -1), CIDR: pfx("10.0.0.0/16"), Pos: line(42)}},
				Outbound: []ACLRule{{Number: 100, Allow: true, Match: all, CIDR: pfx("0.0.0.0/0"), Pos: line(43)}}, Pos: line(40)},
		},
		SecurityGroups: []SecurityGroup{
			{ID: "sg-web", VPC: "vpc-1", Outbound: []SGRule{{Match: all, CIDR: pfx("0.0.0.0/0"), Pos: line(51)}, {Match: all, CIDR: pfx("::/0"), Pos: line(52)}},
				Inbound: []SGRule{{ID: "http", Match: tcp(80, 80), PrefixList: "offices", Pos: line(53)}}, Pos: line(50)},
			{ID: "sg-app", VPC: "vpc-1", Inbound: []SGRule{
				{Match: tcp(80, 80), Group: "sg-web", Pos: line(61)}, {Match: icmp(8, 0), Group: "sg-web", Pos: line(62)},
				{Match: tcp(5201, 5201), Group: "sg-web", Pos: line(63)}, {Match: tcp(7, 7), Group: "sg-app", Pos: line(64)},
			}, Outbound: []SGRule{{Match: tcp(443, 443), Group: "sg-web", Pos: line(65)}}, Pos: line(60)},
			{ID: "sg-fw", VPC: "vpc-1", Inbound: []SGRule{{Match: all, CIDR: pfx("0.0.0.0/0"), Pos: line(71)}}, Outbound: []SGRule{{Match: all, CIDR: pfx("0.0.0.0/0"), Pos: line(72)}}, Pos: line(70)},
		},
		PrefixLists: []PrefixList{{ID: "offices", Prefixes: []netip.Prefix{pfx("10.0.2.0/24"), pfx("2001:db8:0:2::/64")}, Pos: line(80)}},
		ENIs: []ENI{
			eni("web", "web", 1, []string{"sg-web"}, "10.0.1.10", "2001:db8:0:1::10"),
			eni("app", "app", 2, []string{"sg-app"}, "10.0.2.10", "10.0.2.11", "2001:db8:0:2::10"),
			eni("app2", "app", 3, []string{"sg-app", "sg-web"}, "10.0.2.20"),
			eni("fw", "fw", 4, []string{"sg-fw"}, "10.0.3.10"),
			eni("web2", "web", 5, nil, "10.0.1.20"),
			eni("far", "other", 1, nil, "10.0.1.10"), // the same MAC and address in another VPC
		},
	}
	o.ENIs[3].SourceDestCheck = false
	for i := range o.ENIs {
		o.Instances = append(o.Instances, Instance{ID: o.ENIs[i].Instance, ConntrackAllowance: 1000 * i, Pos: line(90 + i)})
	}
	return o
}

func compiled(t testing.TB, o *Objects, prev *Snapshot) *Snapshot {
	t.Helper()
	s, err := Compile(o, prev)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return s
}

func eniOf(t testing.TB, s *Snapshot, id string) uint16 {
	t.Helper()
	i, ok := s.ENIByID(id)
	if !ok {
		t.Fatalf("no ENI %q", id)
	}
	return i
}

// query asks for a packet that ENI eni sends through the router.
func query(t testing.TB, s *Snapshot, eni, src, dst string, proto uint8, port uint16) *Query {
	t.Helper()
	a := ip(src)
	flags := hash.KeyRouted
	if a.Is6() {
		flags |= hash.KeyIPv6
	}
	i := eniOf(t, s, eni)
	return &Query{
		Key:    hash.FlowKey{Src: KeyAddr(a), Dst: KeyAddr(ip(dst)), Tail: hash.Tail(40000, port, i, proto, flags)},
		DstMAC: s.ENIs[i].RouterMAC,
	}
}
