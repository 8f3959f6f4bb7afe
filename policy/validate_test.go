package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each case makes one mistake in a configuration that is right and names the
// one error that must come of it.
func TestCompileRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Objects)
		want string // suffix of the error, position included
	}{
		{"id missing", func(o *Objects) { o.Instances = append(o.Instances, Instance{Pos: line(99)}) }, `vpc.yaml:99: the instance's id is missing`},
		{"id too long", func(o *Objects) {
			o.Instances = append(o.Instances, Instance{ID: strings.Repeat("x", 129), Pos: line(99)})
		}, `vpc.yaml:99: the instance's id is longer than 128 characters`},
		{"id with a space", func(o *Objects) { o.Instances = append(o.Instances, Instance{ID: "a b", Pos: line(99)}) }, `vpc.yaml:99: the instance's id "a b" contains ' '; use letters, digits and . _ - : /`},
		{"duplicate id", func(o *Objects) { o.Instances = append(o.Instances, Instance{ID: "i-web", Pos: line(99)}) }, `vpc.yaml:99: instance "i-web" is already defined at vpc.yaml:90`},
		{"negative allowance", func(o *Objects) { o.Instances[0].ConntrackAllowance = -1 }, `vpc.yaml:90: instance "i-web": the conntrack allowance -1 is negative; 0 means no limit`},
		{"guarantee of no allowance", func(o *Objects) { o.ENIs[0].ConntrackGuaranteed = 1 }, `ENI "web": a guarantee of 1 needs a conntrack allowance to be part of, and instance "i-web" has none`},
		{"guarantees beyond the allowance", func(o *Objects) {
			o.ENIs[2].Instance = o.ENIs[1].Instance
			o.ENIs[1].ConntrackGuaranteed, o.ENIs[2].ConntrackGuaranteed = 600, 401
		}, `vpc.yaml:103: ENI "app2": with its guarantee of 401 the ENIs of instance "i-app" are guaranteed 1001; the instance's conntrack allowance is 1000`},
		{"negative guarantee", func(o *Objects) { o.ENIs[1].ConntrackGuaranteed = -1 }, `ENI "app": the number of guaranteed connections -1 is not between 0 and 1048575`},
		{"negative budget", func(o *Objects) { o.ENIs[1].ConntrackHalfOpen = -1 }, `ENI "app": the number of half-open connections -1 is not between 0 and 67108864`},

		{"VPC without CIDR", func(o *Objects) { o.VPCs = append(o.VPCs, VPC{ID: "v", Pos: line(9)}) }, `vpc.yaml:9: VPC "v" has no CIDR`},
		{"VPC CIDRs overlap", func(o *Objects) { o.VPCs[0].CIDRs = append(o.VPCs[0].CIDRs, pfx("10.0.128.0/17")) }, `vpc.yaml:1: VPC "vpc-1": CIDRs 10.0.0.0/16 and 10.0.128.0/17 overlap`},
		{"VPC in link-local", func(o *Objects) { o.VPCs[0].CIDRs = append(o.VPCs[0].CIDRs, pfx("169.254.0.0/16")) }, `VPC "vpc-1": CIDR 169.254.0.0/16 overlaps link-local addresses, which no VPC may have`},
		{"VPC in services", func(o *Objects) { o.VPCs[0].CIDRs = append(o.VPCs[0].CIDRs, pfx("fd00:ec2::/56")) }, `overlaps addresses of the platform's services, which no VPC may have`},
		{"IPv4 in IPv6 form", func(o *Objects) { o.VPCs[0].CIDRs = append(o.VPCs[0].CIDRs, pfx("::ffff:10.9.0.0/112")) }, `VPC "vpc-1": write ::ffff:10.9.0.0/112 as an IPv4 CIDR`},
		{"zero CIDR", func(o *Objects) { o.VPCs[0].CIDRs = append(o.VPCs[0].CIDRs, netip.Prefix{}) }, `VPC "vpc-1" has a CIDR that is missing or not valid`},

		{"unknown VPC", func(o *Objects) { o.Subnets = append(o.Subnets, Subnet{ID: "s", VPC: "vcp-1", Pos: line(19)}) }, `vpc.yaml:19: subnet "s" refers to VPC "vcp-1", which is not defined; did you mean "vpc-1"?`},
		{"no VPC", func(o *Objects) {
			o.Subnets = append(o.Subnets, Subnet{ID: "s", CIDRs: []netip.Prefix{pfx("10.0.9.0/24")}, Pos: line(19)})
		}, `vpc.yaml:19: subnet "s" names no VPC`},
		{"subnet without CIDR", func(o *Objects) { o.Subnets = append(o.Subnets, Subnet{ID: "s", VPC: "vpc-1", Pos: line(19)}) }, `vpc.yaml:19: subnet "s" has no CIDR`},
		{"subnet outside", func(o *Objects) { addSubnet(o, "10.1.0.0/24") }, `subnet "s": CIDR 10.1.0.0/24 is outside the CIDRs of VPC "vpc-1"`},
		{"subnets overlap", func(o *Objects) { addSubnet(o, "10.0.2.128/25") }, `vpc.yaml:19: subnet "s": CIDR 10.0.2.128/25 overlaps 10.0.2.0/24 of subnet "app" at vpc.yaml:11`},
		{"subnet covers another", func(o *Objects) { o.Subnets[3].CIDRs[0] = pfx("10.0.0.0/20"); addSubnetTo(o, "vpc-2", "10.0.2.0/24") }, `vpc.yaml:19: subnet "s": CIDR 10.0.2.0/24 overlaps 10.0.0.0/20 of subnet "other" at vpc.yaml:13`},
		{"subnet too small", func(o *Objects) { addSubnet(o, "10.0.9.0/29") }, `subnet "s": IPv4 CIDR 10.0.9.0/29 must be between /16 and /28`},
		{"IPv6 subnet of odd size", func(o *Objects) { addSubnet(o, "2001:db8:0:8::/62") }, `subnet "s": IPv6 CIDR 2001:db8:0:8::/62 must be between /44 and /64 in steps of 4`},
		{"two IPv4 CIDRs", func(o *Objects) { addSubnet(o, "10.0.8.0/24", "10.0.9.0/24") }, `subnet "s" has more than one IPv4 CIDR`},
		{"route table of another VPC", func(o *Objects) { o.Subnets[3].RouteTable = "rt-web" }, `vpc.yaml:13: subnet "other" is in VPC "vpc-2" but refers to route table "rt-web" of VPC "vpc-1"`},
		{"unknown ACL", func(o *Objects) { o.Subnets[0].NetworkACL = "acl-wep" }, `vpc.yaml:10: subnet "web" refers to network ACL "acl-wep", which is not defined; did you mean "acl-web"?`},

		{"second main table", func(o *Objects) { o.RouteTables[0].Main = true }, `vpc.yaml:25: VPC "vpc-1" already has the main route table "rt-web" at vpc.yaml:20`},
		{"duplicate route", func(o *Objects) { addRoute(o, Route{Destination: pfx("192.0.2.9/24"), Target: TargetBlackhole}) }, `vpc.yaml:29: route table "rt-web", route to 192.0.2.9/24: there is already one at vpc.yaml:21`},
		{"route to metadata", func(o *Objects) {
			addRoute(o, Route{Destination: pfx("169.254.169.254/32"), Target: TargetBlackhole})
		}, `no route may divert the link-local ranges 169.254.168.0/22 and fd00:ec2::/32`},
		{"route to a part of a subnet", func(o *Objects) {
			addRoute(o, Route{Destination: pfx("10.0.2.0/25"), Target: TargetENI, TargetID: "fw"})
		}, `route to 10.0.2.0/25: a destination inside the VPC must be the whole CIDR of one of its subnets`},
		{"route to another VPC's subnet", func(o *Objects) {
			o.Subnets[3].CIDRs[0] = pfx("10.0.0.0/20")
			addRoute(o, Route{Destination: pfx("10.0.0.0/20"), Target: TargetBlackhole})
		}, `a destination inside the VPC must be the whole CIDR of one of its subnets`},
		{"local beyond the VPC", func(o *Objects) { addRoute(o, Route{Destination: pfx("10.1.0.0/16"), Target: TargetLocal}) }, `route to 10.1.0.0/16: only a CIDR of VPC "vpc-1" can be local`},
		{"route without target", func(o *Objects) { addRoute(o, Route{Destination: pfx("10.1.0.0/16")}) }, `route to 10.1.0.0/16 has no target`},
		{"gateway without name", func(o *Objects) { addRoute(o, Route{Destination: pfx("10.1.0.0/16"), Target: TargetGateway}) }, `route to 10.1.0.0/16: the gateway's name is missing`},
		{"blackhole with a name", func(o *Objects) {
			addRoute(o, Route{Destination: pfx("10.1.0.0/16"), Target: TargetBlackhole, TargetID: "x"})
		}, `a local or blackhole route names no target, but this one names "x"`},
		{"unknown ENI", func(o *Objects) {
			addRoute(o, Route{Destination: pfx("10.1.0.0/16"), Target: TargetENI, TargetID: "fww"})
		}, `refers to ENI "fww", which is not defined; did you mean "fw"?`},
		{"ENI of another VPC", func(o *Objects) {
			addRoute(o, Route{Destination: pfx("10.1.0.0/16"), Target: TargetENI, TargetID: "far"})
		}, `ENI "far" is in VPC "vpc-2", not in "vpc-1"`},

		{"rule number 0", func(o *Objects) { addACL(o, ACLRule{Match: all, CIDR: pfx("0.0.0.0/0")}) }, `vpc.yaml:49: network ACL "acl-web", inbound rule 0: rule numbers go from 1 to 32766`},
		{"rule number of the final deny", func(o *Objects) { addACL(o, ACLRule{Number: 32767, Match: all, CIDR: pfx("0.0.0.0/0")}) }, `rule numbers go from 1 to 32766`},
		{"rule number taken", func(o *Objects) { addACL(o, ACLRule{Number: 101, Match: all, CIDR: pfx("0.0.0.0/0")}) }, `inbound rule 101: the number is already taken at vpc.yaml:32`},
		{"rule without CIDR", func(o *Objects) { addACL(o, ACLRule{Number: 1, Match: all}) }, `inbound rule 1 has a CIDR that is missing or not valid`},
		{"protocol", func(o *Objects) { addACL(o, ACLRule{Number: 1, Match: Match{256, 0, 0}, CIDR: pfx("0.0.0.0/0")}) }, `protocol 256 is neither -1 nor between 0 and 255`},
		{"port", func(o *Objects) { addACL(o, ACLRule{Number: 1, Match: tcp(-1, 80), CIDR: pfx("0.0.0.0/0")}) }, `ports -1-80 are not between 0 and 65535`},
		{"port range", func(o *Objects) { addACL(o, ACLRule{Number: 1, Match: tcp(81, 80), CIDR: pfx("0.0.0.0/0")}) }, `the port range 81-80 ends before it begins`},
		{"ICMP type", func(o *Objects) { addACL(o, ACLRule{Number: 1, Match: icmp(256, 0), CIDR: pfx("0.0.0.0/0")}) }, `ICMP type 256 is neither -1 nor between 0 and 255`},
		{"ICMP code", func(o *Objects) { addACL(o, ACLRule{Number: 1, Match: icmp(8, -2), CIDR: pfx("0.0.0.0/0")}) }, `ICMP code -2 is neither -1 nor between 0 and 255`},
		{"too many ACL rules", func(o *Objects) {
			o.NetworkACLs[0].Inbound = nil
			for i := range 1001 {
				o.NetworkACLs[0].Inbound = append(o.NetworkACLs[0].Inbound, ACLRule{Number: i + 1, Match: all, CIDR: pfx("0.0.0.0/0")})
			}
		}, `network ACL "acl-web" has 1001 inbound rules; at most 1000 are allowed`},

		{"rule without peer", func(o *Objects) { addSG(o, SGRule{Match: all}) }, `vpc.yaml:59: security group "sg-web", rule "sg-web/in/2" must name exactly one of a CIDR, a group and a prefix list, and names 0`},
		{"rule with two peers", func(o *Objects) { addSG(o, SGRule{Match: all, CIDR: pfx("0.0.0.0/0"), Group: "sg-app"}) }, `and names 2`},
		{"unknown group", func(o *Objects) { addSG(o, SGRule{Match: all, Group: "sg-ap"}) }, `refers to security group "sg-ap", which is not defined; did you mean "sg-app"?`},
		{"unknown prefix list", func(o *Objects) { addSG(o, SGRule{Match: all, PrefixList: "zzzzzzzzz"}) }, `refers to prefix list "zzzzzzzzz", which is not defined`},
		{"group of another VPC", func(o *Objects) {
			o.SecurityGroups = append(o.SecurityGroups, SecurityGroup{ID: "sg-2", VPC: "vpc-2"})
			addSG(o, SGRule{Match: all, Group: "sg-2"})
		}, `rule "sg-web/in/2" is in VPC "vpc-1" but refers to security group "sg-2" of VPC "vpc-2"`},
		{"rule id taken", func(o *Objects) { addSG(o, SGRule{ID: "http", Match: all, CIDR: pfx("0.0.0.0/0")}) }, `rule "http": the id is already taken at vpc.yaml:53`},
		{"too many rules at an ENI", func(o *Objects) {
			o.PrefixLists = append(o.PrefixLists, PrefixList{ID: "big"})
			for i := range 1000 {
				p, _ := netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 0}).Prefix(24)
				o.PrefixLists[1].Prefixes = append(o.PrefixLists[1].Prefixes, p)
			}
			o.SecurityGroups[2].Outbound = append(o.SecurityGroups[2].Outbound, SGRule{Match: all, PrefixList: "big"})
		}, `vpc.yaml:104: ENI "fw": its security groups have 1001 outbound IPv4 rules; at most 1000 are allowed, prefix lists counted by their entries`},
		{"too many rules in a group", func(o *Objects) {
			o.SecurityGroups = append(o.SecurityGroups, SecurityGroup{ID: "sg-big", VPC: "vpc-1", Outbound: slices.Repeat([]SGRule{{Match: all, CIDR: pfx("::/0")}}, 1001), Pos: line(75)})
		}, `vpc.yaml:75: security group "sg-big" has 1001 rules in one direction; at most 1000 are allowed`},
		{"prefix twice", func(o *Objects) { o.PrefixLists[0].Prefixes = append(o.PrefixLists[0].Prefixes, pfx("10.0.2.7/24")) }, `vpc.yaml:80: prefix list "offices" has the entry 10.0.2.0/24 twice`},

		{"unknown subnet", func(o *Objects) { o.ENIs[4].Subnet = "webb" }, `vpc.yaml:105: ENI "web2" refers to subnet "webb", which is not defined; did you mean "web"?`},
		{"unknown instance", func(o *Objects) { o.ENIs[4].Instance = "i-wed2" }, `vpc.yaml:105: ENI "web2" refers to instance "i-wed2", which is not defined; did you mean "i-web2"?`},
		{"no MAC", func(o *Objects) { o.ENIs[4].MAC = [6]byte{} }, `vpc.yaml:105: ENI "web2" has no MAC address`},
		{"multicast MAC", func(o *Objects) { o.ENIs[4].MAC[0] = 3 }, `ENI "web2": MAC 03:00:00:00:00:05 is a multicast address`},
		{"MAC taken", func(o *Objects) { o.ENIs[4].MAC[5] = 2 }, `vpc.yaml:105: ENI "web2": MAC 02:00:00:00:00:02 is already that of ENI "app" at vpc.yaml:102`},
		{"router's MAC", func(o *Objects) { o.ENIs[4].MAC = routerMAC("vpc-1", "app") }, `is that of the router of subnet "app"`},
		{"no address", func(o *Objects) { o.ENIs[4].Addresses = nil }, `ENI "web2" has no address`},
		{"zero address", func(o *Objects) { o.ENIs[4].Addresses[0] = netip.Addr{} }, `ENI "web2": address "invalid IP" is not a plain IPv4 or IPv6 address`},
		{"address with zone", func(o *Objects) { o.ENIs[4].Addresses[0] = ip("fe80::1%eth0") }, `address "fe80::1%eth0" is not a plain IPv4 or IPv6 address`},
		{"address outside", func(o *Objects) { o.ENIs[4].Addresses[0] = ip("10.0.2.5") }, `ENI "web2": address 10.0.2.5 is outside the CIDRs of subnet "web"`},
		{"router's address", func(o *Objects) { o.ENIs[4].Addresses[0] = ip("10.0.1.1") }, `ENI "web2": address 10.0.1.1 of subnet "web" is reserved: it is the router's`},
		{"fourth address", func(o *Objects) { o.ENIs[4].Addresses[0] = ip("2001:db8:0:1::3") }, `is reserved: it is kept for later use`},
		{"last address", func(o *Objects) { o.ENIs[4].Addresses[0] = ip("2001:db8:0:1:ffff:ffff:ffff:ffff") }, `is reserved: it is the last of the subnet`},
		{"address taken", func(o *Objects) { o.ENIs[4].Addresses[0] = ip("10.0.1.10") }, `vpc.yaml:105: ENI "web2": address 10.0.1.10 is already that of ENI "web" at vpc.yaml:101`},
		{"address twice", func(o *Objects) { o.ENIs[4].Addresses = append(o.ENIs[4].Addresses, ip("10.0.1.20")) }, `ENI "web2": address 10.0.1.20 is already that of ENI "web2" at vpc.yaml:105`},
		{"prefix of a wrong length", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.1.32/27")} }, `vpc.yaml:105: ENI "web2": prefix 10.0.1.32/27 has 27 bits; a prefix of an ENI is a /28 of IPv4 or a /80 of IPv6`},
		{"IPv6 prefix of a wrong length", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("2001:db8:0:1:7::/96")} }, `prefix 2001:db8:0:1:7::/96 has 96 bits; a prefix of an ENI is a /28 of IPv4 or a /80 of IPv6`},
		{"zero prefix", func(o *Objects) { o.ENIs[4].Prefixes = make([]netip.Prefix, 1) }, `ENI "web2": prefix "invalid Prefix" is not a plain IPv4 or IPv6 prefix`},
		{"prefix outside", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.2.32/28")} }, `vpc.yaml:105: ENI "web2": prefix 10.0.2.32/28 is outside the CIDRs of subnet "web"`},
		{"prefix with the router", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.1.0/28")} }, `prefix 10.0.1.0/28 holds the address 10.0.1.0, which subnet "web" reserves: it names the subnet`},
		{"prefix with the last address", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.1.240/28")} }, `holds the address 10.0.1.255, which subnet "web" reserves: it is the last of the subnet`},
		{"prefix taken", func(o *Objects) {
			o.ENIs[0].Prefixes = []netip.Prefix{pfx("10.0.1.32/28")}
			o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.1.33/28")}
		}, `vpc.yaml:105: ENI "web2": prefix 10.0.1.32/28 is already that of ENI "web" at vpc.yaml:101`},
		{"prefix over another's address", func(o *Objects) { o.ENIs[0].Prefixes = []netip.Prefix{pfx("10.0.1.16/28")} }, `vpc.yaml:105: ENI "web2": address 10.0.1.20 lies in a prefix that is delegated to ENI "web" at vpc.yaml:101`},
		{"prefix over its own address", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.1.16/28")} }, `vpc.yaml:105: ENI "web2": address 10.0.1.20 lies in a prefix that is delegated to ENI "web2" at vpc.yaml:105`},
		{"IPv6 prefix and a small MTU", func(o *Objects) {
			o.ENIs[4].Prefixes, o.ENIs[4].MTU = []netip.Prefix{pfx("2001:db8:0:1:7::/80")}, 1279
		}, `ENI "web2": MTU 1279 is not between 1280 and 9001`},
		{"group of another VPC at an ENI", func(o *Objects) { o.ENIs[5].SecurityGroups = []string{"sg-web"} }, `vpc.yaml:101: ENI "far" is in VPC "vpc-2" but refers to security group "sg-web" of VPC "vpc-1"`},
		{"group twice", func(o *Objects) { o.ENIs[0].SecurityGroups = []string{"sg-web", "sg-web"} }, `ENI "web" has security group "sg-web" twice`},
		{"too many groups", func(o *Objects) {
			for i := range 17 {
				id := "sg-" + strconv.Itoa(i)
				o.SecurityGroups = append(o.SecurityGroups, SecurityGroup{ID: id, VPC: "vpc-1"})
				o.ENIs[4].SecurityGroups = append(o.ENIs[4].SecurityGroups, id)
			}
		}, `ENI "web2" has 17 security groups; at most 16 are allowed`},
		{"MTU", func(o *Objects) { o.ENIs[4].MTU = 9002 }, `ENI "web2": MTU 9002 is not between 128 and 9001`},
		{"MTU for IPv6", func(o *Objects) { o.ENIs[0].MTU = 1279 }, `ENI "web": MTU 1279 is not between 1280 and 9001`},
		{"queues", func(o *Objects) { o.ENIs[4].Queues = 0 }, `ENI "web2": the number of queues 0 is not between 1 and 128`},
		{"TCP timeout", func(o *Objects) { o.ENIs[4].TCPEstablished = 59 }, `the idle timeout of established TCP in seconds 59 is not between 60 and 432000`},
		{"UDP timeout", func(o *Objects) { o.ENIs[4].UDP = 61 }, `the idle timeout of UDP in seconds 61 is not between 30 and 60`},
		{"fragment rate", func(o *Objects) { o.ENIs[4].FragmentRate = -1 }, `the rate of fragments -1 is not between 0 and 100000000`},
		{"UDP stream timeout", func(o *Objects) { o.ENIs[4].UDPStream = 181 }, `the idle timeout of UDP streams in seconds 181 is not between 60 and 180`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := fixture()
			tc.edit(o)
			s, err := Compile(o, nil)
			var all Errors
			if s != nil || !errors.As(err, &all) {
				t.Fatalf("Compile = %v, %v; want Errors", s, err)
			}
			if !slices.ContainsFunc(all, func(e *Error) bool { return strings.HasSuffix(e.Error(), tc.want) }) {
				t.Fatalf("got:\n%v\nwant:\n%s", err, tc.want)
			}
			// A mistake in an object that others refer to may have a second
			// error, never a cascade.
			if len(all) > 2 {
				t.Errorf("%d errors for one mistake:\n%v", len(all), err)
			}
		})
	}
}

func addSubnet(o *Objects, cidrs ...string) { addSubnetTo(o, "vpc-1", cidrs...) }

func addSubnetTo(o *Objects, vpc string, cidrs ...string) {
	s := Subnet{ID: "s", VPC: vpc, Pos: line(19)}
	for _, c := range cidrs {
		s.CIDRs = append(s.CIDRs, pfx(c))
	}
	o.Subnets = append(o.Subnets, s)
}

func addRoute(o *Objects, r Route) {
	r.Pos = line(29)
	o.RouteTables[0].Routes = append(o.RouteTables[0].Routes, r)
}

func addACL(o *Objects, r ACLRule) {
	r.Pos = line(49)
	o.NetworkACLs[0].Inbound = append(o.NetworkACLs[0].Inbound, r)
}

func addSG(o *Objects, r SGRule) {
	r.Pos = line(59)
	o.SecurityGroups[0].Inbound = append(o.SecurityGroups[0].Inbound, r)
}

func TestErrorsComeByPosition(t *testing.T) {
	o := fixture()
	o.ENIs[4].MTU = 1
	o.VPCs[0].CIDRs = nil
	o.NetworkACLs[0].Inbound[1].Number = 0
	_, err := Compile(o, nil)
	var all Errors
	if !errors.As(err, &all) || len(all) < 3 {
		t.Fatalf("want at least three errors, got %v", err)
	}
	if !slices.IsSortedFunc(all, func(a, b *Error) int { return a.Pos.Line - b.Pos.Line }) {
		t.Errorf("not in order:\n%v", err)
	}
	var one *Error
	if !errors.As(err, &one) || one != all[0] {
		t.Error("errors.As must find the single errors")
	}
}

func TestErrorPosition(t *testing.T) {
	for want, pos := range map[string]Pos{
		"a.yaml:3:7: bad": {"a.yaml", 3, 7},
		"a.yaml:3: bad":   {"a.yaml", 3, 0},
		"a.yaml: bad":     {"a.yaml", 0, 7},
		"3:7: bad":        {"", 3, 7},
		"bad":             {},
	} {
		if got := (&Error{Pos: pos, Msg: "bad"}).Error(); got != want {
			t.Errorf("%+v prints %q, want %q", pos, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"subnet-web", "subnet-app", "main", "acl"}
	for id, want := range map[string]string{"subnet-wep": "subnet-web", "Main": "main", "mian": "main", "ac": "acl", "gateway-17": "", "": ""} {
		if got, ok := nearest(id, known); got != want || ok != (want != "") {
			t.Errorf("nearest(%q) = %q, want %q", id, got, want)
		}
	}
}
